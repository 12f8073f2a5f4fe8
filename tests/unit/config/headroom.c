/* Memory that is left, from trees of files that look like /proc and /sys/fs/cgroup. */
#include "config/headroom.h"

#include "tests/unit/config/tool.h"

#define MEMINFO "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable:    4194304 kB\nBuffers: 2 kB\n"
#define GIB (UINT64_C(1) << 30)

static uint64_t look(void)
{
    struct machine m;
    machine_read(&m, "proc", "cgroup");
    return headroom_bytes(&m, "proc");
}

static void nothing_known_is_no_limit(void **state)
{
    (void)state;
    assert_true(look() == HEADROOM_UNKNOWN);
    tool_write_deep("proc/meminfo", "MemTotal: 8388608 kB\n");
    assert_true(look() == HEADROOM_UNKNOWN);
}

static void without_a_cgroup_the_machine_decides(void **state)
{
    (void)state;
    tool_write_deep("proc/meminfo", MEMINFO);
    assert_true(look() == 4 * GIB);
}

static void what_is_left_below_the_limit_decides_when_it_is_less(void **state)
{
    (void)state;
    tool_write_deep("proc/meminfo", MEMINFO);
    tool_write_deep("proc/self/cgroup", "0::/a\n");
    tool_write_deep("cgroup/a/memory.max", "2147483648\n");
    tool_write_deep("cgroup/a/memory.current", "1610612736\n");
    assert_true(look() == GIB / 2);
    tool_write_deep("cgroup/a/memory.stat", "anon 1\ninactive_file 536870912\nslab 3\n");
    assert_true(look() == GIB);
    tool_write_deep("cgroup/a/memory.current", "3221225472\n"); /* over it */
    assert_true(look() == 0);
}

static void version_1_has_other_names(void **state)
{
    (void)state;
    tool_write_deep("proc/meminfo", MEMINFO);
    tool_write_deep("proc/self/cgroup", "4:memory:/a\n");
    tool_write_deep("cgroup/memory/a/memory.limit_in_bytes", "1073741824\n");
    tool_write_deep("cgroup/memory/a/memory.usage_in_bytes", "536870912\n");
    tool_write_deep("cgroup/memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 0\n");
    assert_true(look() == GIB / 2);
}

static void the_fullest_cgroup_decides_not_the_smallest(void **state)
{
    (void)state;
    tool_write_deep("proc/meminfo", MEMINFO);
    tool_write_deep("proc/self/cgroup", "0::/pod/a\n");
    tool_write_deep("cgroup/pod/memory.max", "3221225472\n");
    tool_write_deep("cgroup/pod/memory.current", "2952790016\n"); /* with its other members */
    tool_write_deep("cgroup/pod/a/memory.max", "1073741824\n");
    tool_write_deep("cgroup/pod/a/memory.current", "536870912\n");
    assert_true(look() == GIB / 4);
    tool_write_deep("cgroup/pod/memory.current", "1073741824\n");
    assert_true(look() == GIB / 2);
}

static void what_is_slowed_down_has_no_room(void **state)
{
    (void)state;
    tool_write_deep("proc/meminfo", MEMINFO);
    tool_write_deep("proc/self/cgroup", "0::/a\n");
    tool_write_deep("cgroup/a/memory.max", "2147483648\n");
    tool_write_deep("cgroup/a/memory.high", "1073741824\n");
    tool_write_deep("cgroup/a/memory.current", "805306368\n");
    assert_true(look() == GIB / 4);
}

static void a_process_has_what_its_status_says(void **state)
{
    (void)state;
    assert_true(headroom_of_process("proc", 77) == HEADROOM_UNKNOWN);
    tool_write_deep("proc/77/status", "Name:\tx\nVmRSS:\t 999 kB\nRssAnon:\t    100 kB\n");
    assert_int_equal(headroom_of_process("proc", 77), 102400);
    assert_true(headroom_of_process("/proc", getpid()) > 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tool_enter_folder, tool_leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_known_is_no_limit),
        TEST(without_a_cgroup_the_machine_decides),
        TEST(what_is_left_below_the_limit_decides_when_it_is_less),
        TEST(version_1_has_other_names),
        TEST(the_fullest_cgroup_decides_not_the_smallest),
        TEST(what_is_slowed_down_has_no_room),
        TEST(a_process_has_what_its_status_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
