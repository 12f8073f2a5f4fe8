/* What cmocka lacks: texts that hold a part, long octet strings whose first difference matters, and
 * the servers' logs behind each failure. */
#include "tests/harness/check.h"

#include <stdio.h>
#include <stdlib.h>

static void (*explain_failure)(void);
static char context[256];

void check_on_failure(void (*explain)(void))
{
    explain_failure = explain;
}

void check_context(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(context, sizeof context, format, args);
    va_end(args);
}

void check_fail(const char *file, int line, const char *format, ...)
{
    if (context[0])
        (void)fprintf(stderr, "%s:\n", context);
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args); /* cmocka's print_error() cuts at 1,024 octets */
    va_end(args);
    (void)fputc('\n', stderr);
    void (*explain)(void) = explain_failure;
    explain_failure = NULL; /* a check that fails while explaining must not explain again */
    if (explain)
        explain();
    explain_failure = explain;
    _fail(file, line);
    abort(); /* not reached: cmocka has jumped */
}

void check_eq(long long seen, long long expected, const char *what, const char *file, int line)
{
    if (seen != expected)
        check_fail(file, line, "%s is %lld, expected %lld", what, seen, expected);
}

void check_text(const char *seen, const char *expected, const char *what, const char *file,
                int line)
{
    if (strcmp(seen, expected) != 0)
        check_fail(file, line, "%s is:\n%s\nexpected:\n%s", what, seen, expected);
}

void check_bytes(const void *seen, size_t seen_len, const void *expected, size_t expected_len,
                 const char *what, const char *file, int line)
{
    const unsigned char *a = seen;
    const unsigned char *b = expected;
    size_t shorter = seen_len < expected_len ? seen_len : expected_len;
    size_t at = 0;
    while (at < shorter && a[at] == b[at])
        at++;
    if (at == shorter && seen_len == expected_len)
        return;
    size_t from = at > 40 ? at - 40 : 0;
    check_fail(
        file, line, "%s: %zu octets, expected %zu; first difference at %zu:\n%.*s\nexpected:\n%.*s",
        what, seen_len, expected_len, at, (int)(seen_len - from > 120 ? 120 : seen_len - from),
        (const char *)seen + from, (int)(expected_len - from > 120 ? 120 : expected_len - from),
        (const char *)expected + from);
}

void check_has(const char *text, const char *part, const char *what, const char *file, int line)
{
    if (!strstr(text, part))
        check_fail(file, line, "%s should hold:\n  %s\nand is:\n%s", what, part, text);
}

void check_has_not(const char *text, const char *part, const char *what, const char *file, int line)
{
    if (strstr(text, part))
        check_fail(file, line, "%s should not hold:\n  %s\nand is:\n%s", what, part, text);
}
