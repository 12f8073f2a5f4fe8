/* Ends that nobody ordered. Failed assertions leave words for the master, say them on standard
 * error, and abort. */
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *words_area;
static unsigned words_bytes;

void panic_set_area(char *area, unsigned bytes)
{
    words_area = area;
    words_bytes = bytes;
}

void panic_assert(const char *condition, const char *file, int line)
{
    char words[256];
    int n = snprintf(words, sizeof words, "assertion failed at %s:%d: %s", file, line, condition);
    if (words_area)
        (void)snprintf(words_area, words_bytes, "%s", words);
    if (n > 0) {
        size_t len = (size_t)n < sizeof words ? (size_t)n : sizeof words - 1;
        words[len == sizeof words - 1 ? len - 1 : len] = '\n';
        if (write(STDERR_FILENO, words, len + 1) < 0)
            abort(); /* nobody to tell; the area has it */
    }
    abort();
}

void panic_leave(const char *words)
{
    if (words_area)
        (void)snprintf(words_area, words_bytes, "%s", words);
    _exit(EXIT_FAILURE);
}
