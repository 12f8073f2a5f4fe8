/* Tests of server/oom.c, on trees of files that look like /proc and /sys/fs/cgroup. */
#include "server/oom.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/oom-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return chdir("/") == 0 ? nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

/* Writes a file below the test's folder, and the folders above it. */
static void write_deep(const char *path, const char *text)
{
    char part[256];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        (void)snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        (void)mkdir(part, 0700);
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void look(struct oom *oom)
{
    oom_open(oom, "proc", "cgroup");
}

static void a_machine_without_cgroups_counts_nothing(void **state)
{
    (void)state;
    struct oom oom;
    look(&oom);
    assert_string_equal(oom.path, "");
    assert_false(oom_take(&oom));
}

/* Each count is one death; what was counted before the start is nobody's. */
static void each_kill_of_version_2_accounts_for_one_death(void **state)
{
    (void)state;
    struct oom oom;
    write_deep("proc/self/cgroup", "0::/system.slice/app.service\n");
    write_deep("cgroup/system.slice/app.service/memory.events",
               "low 0\nhigh 0\nmax 9\noom 4\noom_kill 7\noom_group_kill 0\n");
    look(&oom);
    assert_string_equal(oom.path, "cgroup/system.slice/app.service/memory.events");
    assert_false(oom_take(&oom));
    write_deep("cgroup/system.slice/app.service/memory.events", "oom 6\noom_kill 9\n");
    assert_true(oom_take(&oom));
    assert_true(oom_take(&oom));
    assert_false(oom_take(&oom));
}

static void the_cgroups_own_events_are_preferred(void **state)
{
    (void)state;
    struct oom oom;
    write_deep("proc/self/cgroup", "0::/\n");
    write_deep("cgroup/memory.events", "oom_kill 5\n");
    write_deep("cgroup/memory.events.local", "oom_kill 1\n");
    look(&oom);
    assert_string_equal(oom.path, "cgroup/memory.events.local");
    assert_int_equal(oom.accounted, 1);
}

static void version_1_is_read_where_it_has_the_memory(void **state)
{
    (void)state;
    struct oom oom;
    write_deep("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n");
    write_deep("cgroup/memory/docker/abc/memory.oom_control",
               "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    look(&oom);
    assert_string_equal(oom.path, "cgroup/memory/docker/abc/memory.oom_control");
    assert_int_equal(oom.accounted, 3);
}

/* In a container without a namespace of its own /proc names folders that are not there. */
static void the_root_is_taken_where_the_named_folder_is_not(void **state)
{
    (void)state;
    struct oom oom;
    write_deep("proc/self/cgroup", "4:memory:/docker/abc\n");
    write_deep("cgroup/memory/memory.oom_control", "oom_kill 2\n");
    look(&oom);
    assert_string_equal(oom.path, "cgroup/memory/memory.oom_control");
}

static void a_counter_that_is_gone_or_nonsense_counts_nothing(void **state)
{
    (void)state;
    struct oom oom;
    write_deep("proc/self/cgroup", "nonsense\n:\n0:\n0::/a\n");
    write_deep("cgroup/a/memory.events", "oom_kill 1\n");
    look(&oom);
    assert_string_equal(oom.path, "cgroup/a/memory.events");
    write_deep("cgroup/a/memory.events", "oom_kill many\n");
    assert_false(oom_take(&oom));
    write_deep("cgroup/a/memory.events", "oom_kills 12\n");
    assert_false(oom_take(&oom));
    assert_int_equal(unlink("cgroup/a/memory.events"), 0);
    assert_false(oom_take(&oom));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_without_cgroups_counts_nothing),
        TEST(each_kill_of_version_2_accounts_for_one_death),
        TEST(the_cgroups_own_events_are_preferred),
        TEST(version_1_is_read_where_it_has_the_memory),
        TEST(the_root_is_taken_where_the_named_folder_is_not),
        TEST(a_counter_that_is_gone_or_nonsense_counts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
