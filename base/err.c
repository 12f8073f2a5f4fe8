/* Error values. base, config, http and ipc return them; workers and server log them, once. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *format, ...)
{
    if (!err)
        return -code;
    err->code = code;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -code;
}

int err_wrap(struct err *err, const char *format, ...)
{
    if (!err)
        return 0;
    char inner[ERR_TEXT_MAX];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->text)
        if (snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", inner) < 0)
            err->text[n] = '\0'; /* cut is fine (err.h), this is not: the context alone */
    return -err->code;
}
