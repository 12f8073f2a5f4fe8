/* Checks for tests: a failure says what was seen, and where, and prints what the servers of the
 * test have logged.
 * Safe: only on the thread that runs the test, since failing jumps out of it. */
#ifndef REMUDA_TESTS_HARNESS_CHECK_H
#define REMUDA_TESTS_HARNESS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Fails the test with a sentence, printf-like. */
#define CHECK_FAIL(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)

/* Fails the test when a condition does not hold; with a sentence. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            CHECK_FAIL("does not hold: %s", #condition);                                           \
    } while (0)
#define CHECK_SAYING(condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition))                                                                          \
            CHECK_FAIL(__VA_ARGS__);                                                               \
    } while (0)

/* Fails the test unless two integers are equal. */
#define CHECK_EQ(seen, expected)                                                                   \
    check_eq((long long)(seen), (long long)(expected), #seen, __FILE__, __LINE__)

/* Fails the test unless two strings are equal, octets are equal, `text` holds `part`. */
#define CHECK_TEXT(seen, expected) check_text((seen), (expected), #seen, __FILE__, __LINE__)
#define CHECK_BYTES(seen, seen_len, expected, expected_len)                                        \
    check_bytes((seen), (seen_len), (expected), (expected_len), #seen, __FILE__, __LINE__)
#define CHECK_HAS(text, part) check_has((text), (part), #text, __FILE__, __LINE__)
#define CHECK_HAS_NOT(text, part) check_has_not((text), (part), #text, __FILE__, __LINE__)

_Noreturn void check_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void check_eq(long long seen, long long expected, const char *what, const char *file, int line);
void check_text(const char *seen, const char *expected, const char *what, const char *file,
                int line);
void check_bytes(const void *seen, size_t seen_len, const void *expected, size_t expected_len,
                 const char *what, const char *file, int line);
void check_has(const char *text, const char *part, const char *what, const char *file, int line);
void check_has_not(const char *text, const char *part, const char *what, const char *file,
                   int line);

/* What the test is at, printed in front of a failure: for tests that run over tables. */
void check_context(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What to print when a check fails, before the test ends. NULL: nothing */
void check_on_failure(void (*explain)(void));

#endif
