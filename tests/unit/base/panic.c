/* base/panic.c: the abort is caught by a jump out of SIGABRT's handler. */
#include "base/panic.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static sigjmp_buf aborted;

static void on_abort(int signal_number)
{
    (void)signal_number;
    siglongjmp(aborted, 1);
}

/* Fails an assertion with standard error in a file of its own. Returns what it said there. */
static const char *fail_and_read(void)
{
    static char said[512];
    int fd = memfd_create("stderr", MFD_CLOEXEC);
    int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    struct sigaction action = {.sa_handler = on_abort};
    struct sigaction before;
    assert_true(fd >= 0 && kept >= 0);
    assert_int_equal(sigaction(SIGABRT, &action, &before), 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    volatile bool has_aborted = true;
    if (sigsetjmp(aborted, 1) == 0) {
        RMD_ASSERT(1 + 1 == 3);
        has_aborted = false;
    }
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(sigaction(SIGABRT, &before, NULL), 0);
    assert_true(has_aborted);
    ssize_t n = pread(fd, said, sizeof said - 1, 0);
    assert_true(n >= 0);
    said[n] = '\0';
    (void)close(fd);
    (void)close(kept);
    return said;
}

static void panic_says_where_and_leaves_words(void **state)
{
    (void)state;
    char area[128] = "";
    panic_set_area(area, sizeof area);
    const char *said = fail_and_read();
    assert_non_null(strstr(said, "panic.c:"));
    assert_non_null(strstr(said, ": 1 + 1 == 3\n"));
    assert_non_null(strstr(area, ": 1 + 1 == 3"));
    assert_null(strchr(area, '\n'));
    panic_set_area(NULL, 0);
}

static void panic_cuts_words_that_do_not_fit(void **state)
{
    (void)state;
    struct {
        char area[64];
        char guard[8];
    } s = {.guard = "guarded"};
    panic_set_area(s.area, 16);
    (void)fail_and_read();
    assert_string_equal(s.area, "assertion faile");
    assert_string_equal(s.guard, "guarded");
    panic_set_area(NULL, 0);
    (void)fail_and_read();
    assert_string_equal(s.area, "assertion faile");
}

static void panic_is_quiet_when_the_condition_holds(void **state)
{
    (void)state;
    int n_evaluated = 0;
    RMD_ASSERT(++n_evaluated == 1);
    assert_int_equal(n_evaluated, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(panic_says_where_and_leaves_words),
        cmocka_unit_test(panic_cuts_words_that_do_not_fit),
        cmocka_unit_test(panic_is_quiet_when_the_condition_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
