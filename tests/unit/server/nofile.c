/* server/nofile.c: what is raised, lowered, refused, and in which words. Each test in a process of
 * its own, as somebody who can't raise a hard limit. */
#include "server/nofile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "config/settings.h"
#include "tests/harness/check.h"

#undef fork

static struct settings *settings;
static struct err err;

/* For use in the child, where a failing check must not jump. */
#define WANT(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: does not hold: %s (%s)\n", __FILE__, __LINE__,           \
                          #condition, err.text);                                                   \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static bool set_limit(rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static rlim_t soft_limit(void)
{
    struct rlimit limit = {0};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

static void play(int (*in_child)(void))
{
    if (getenv("REMUDA_UNDER_VALGRIND"))
        skip(); /* it keeps limits of its own, and lets nobody lower the hard one */
    (void)fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        settings = settings_new();
        settings->workers.n = 4; /* and one bind: a worker may have to watch 4 sockets */
        settings->worker_connections = 100;
        settings->compute_pools.n = 0;
        int rc = in_child();
        settings_free(settings);
        _exit(rc);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_SAYING(status == 0, "the process of this test failed: status %x", (unsigned)status);
}

/* Limits are set while we may, then the right to raise them is given up. */
static bool limit_for_good(rlim_t soft, rlim_t hard)
{
    return set_limit(soft, hard) && (geteuid() != 0 || setresuid(61234, 61234, 61234) == 0);
}

static int enough(void)
{
    WANT(limit_for_good(900, 1000));
    WANT(nofile_raise(settings, 30, &err) == 0);
    WANT(soft_limit() == 900 && settings->worker_connections == 100);
    return 0;
}

/* Each task that waits carries up to two descriptors. */
static int tasks_that_wait(void)
{
    struct setting_pool pool = {.queue = 500};
    settings->compute_pools = (struct setting_pools){&pool, 1};
    WANT(limit_for_good(64, 3000));
    WANT(nofile_raise(settings, 30, &err) == 0);
    WANT(soft_limit() == 2 * 500 + 256);
    settings->compute_pools.n = 0;
    return 0;
}

static void what_waiting_tasks_carry_is_wanted(void **state)
{
    (void)state;
    play(tasks_that_wait);
}

static void what_is_enough_stays(void **state)
{
    (void)state;
    play(enough);
}

static int too_low_softly(void)
{
    settings->threads.n = 7;
    WANT(limit_for_good(64, 1000));
    WANT(nofile_raise(settings, 30, &err) == 0);
    WANT(soft_limit() ==
         100 + 4 + 64 + 100 + 7); /* connections, sockets, reserve, files, threads */
    WANT(settings->worker_connections == 100);
    return 0;
}

static void the_soft_limit_is_raised_to_what_is_wanted(void **state)
{
    (void)state;
    play(too_low_softly);
}

static int no_room_for_files(void)
{
    WANT(limit_for_good(64, 180));
    WANT(nofile_raise(settings, 30, &err) == 0);
    WANT(soft_limit() == 180 && settings->worker_connections == 100);
    return 0;
}

static void connections_come_before_files(void **state)
{
    (void)state;
    play(no_room_for_files);
}

static int too_low(void)
{
    WANT(limit_for_good(64, 150));
    WANT(nofile_raise(settings, 30, &err) == 0);
    WANT(soft_limit() == 150);
    WANT(settings->worker_connections == 150 - 4 - 64);
    return 0;
}

static void connections_become_what_fits(void **state)
{
    (void)state;
    play(too_low);
}

static int too_low_strictly(void)
{
    settings->strict = true;
    WANT(limit_for_good(64, 150));
    WANT(nofile_raise(settings, 30, &err) == -EMFILE);
    WANT(strstr(err.text, "limit on open files is 150, but a worker takes 168"));
    WANT(strstr(err.text, "worker_connections: 100, listening sockets: 4, reserve: 64"));
    WANT(strstr(err.text, "ulimit -n") && strstr(err.text, "LimitNOFILE="));
    WANT(settings->worker_connections == 100);
    return 0;
}

static void strict_refuses_with_all_numbers(void **state)
{
    (void)state;
    play(too_low_strictly);
}

static int next_to_nothing(void)
{
    WANT(limit_for_good(64, 131));
    WANT(nofile_raise(settings, 30, &err) == -EMFILE);
    WANT(strstr(err.text, "is 131, but a worker takes 168"));
    return 0;
}

static void next_to_nothing_is_refused(void **state)
{
    (void)state;
    play(next_to_nothing);
}

static int too_low_for_master(void)
{
    WANT(limit_for_good(64, 1000));
    WANT(nofile_raise(settings, 937, &err) == -EMFILE);
    WANT(strstr(err.text, "is 1000, but so many workers and binds take 1001 in the master"));
    WANT(strstr(err.text, "ulimit -n"));
    return 0;
}

static void the_master_needs_its_own(void **state)
{
    (void)state;
    play(too_low_for_master);
}

static int as_root(void)
{
    WANT(set_limit(64, 100));
    if (!set_limit(64, 101))
        return 0; /* a root without CAP_SYS_RESOURCE, as in a container */
    WANT(nofile_raise(settings, 30, &err) == 0);
    WANT(soft_limit() == 268 && settings->worker_connections == 100);
    return 0;
}

static void root_raises_the_hard_limit_too(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    play(as_root);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waiting_tasks_carry_is_wanted),
        cmocka_unit_test(what_is_enough_stays),
        cmocka_unit_test(the_soft_limit_is_raised_to_what_is_wanted),
        cmocka_unit_test(connections_come_before_files),
        cmocka_unit_test(connections_become_what_fits),
        cmocka_unit_test(strict_refuses_with_all_numbers),
        cmocka_unit_test(next_to_nothing_is_refused),
        cmocka_unit_test(the_master_needs_its_own),
        cmocka_unit_test(root_raises_the_hard_limit_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
