/* base/schedstat.c */
#include "base/schedstat.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/harness/check.h"
#include "tests/harness/patience.h"

#undef fork /* the ban is for the server's code */

/* Two processes on one CPU: each is ready to run while the other does. */
static void a_thread_that_shares_its_cpu_is_delayed(void **state)
{
    (void)state;
    cpu_set_t before, one;
    int fd = schedstat_open();
    if (fd < 0)
        skip(); /* no /proc, or a kernel that does not count */
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    uint64_t began_ns = schedstat_delay_ns(fd);
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            ;
    uint64_t until_us = patience_until(PATIENCE_MS);
    uint64_t cpu_ns = clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    while (schedstat_delay_ns(fd) <= began_ns)
        CHECK(clock_now_us() < until_us);
    CHECK(clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID) > cpu_ns);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
    (void)close(fd);
}

static void what_is_none_says_nothing(void **state)
{
    (void)state;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC), ends[2];
    CHECK_EQ(schedstat_delay_ns(-1), 0);
    CHECK_EQ(schedstat_delay_ns(fd), 0); /* numbers, but of another kind */
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(schedstat_delay_ns(ends[0]), 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(fd);
    CHECK_EQ(schedstat_delay_ns(fd), 0); /* closed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_shares_its_cpu_is_delayed),
        cmocka_unit_test(what_is_none_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
