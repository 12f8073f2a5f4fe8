/* CPUs and memory, from trees of files that look like /proc and /sys/fs/cgroup of several kinds. */
#include "config/machine.h"

#include <sched.h>

#include "tests/unit/config/tool.h"

#define RAM "MemTotal:        8388608 kB\nMemFree:  1 kB\n"

static void look(struct machine *m)
{
    machine_read(m, "proc", "cgroup");
}

/* More CPUs than the machine of the test has, so that the quota decides. */
static void decide_with_cpus(struct machine *m, uint32_t cpus)
{
    m->affinity_cpus = cpus;
    machine_decide(m);
}

static void without_any_file_affinity_decides(void **state)
{
    (void)state;
    struct machine m;
    look(&m);
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_int_equal(m.cpus, CPU_COUNT(&set));
    assert_int_equal(m.memory_bytes, 0);
    assert_string_equal(m.quota_path, "");
}

static void version_2_takes_the_tightest_of_all_ancestors(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "0::/a/b/c\n");
    tool_write_deep("proc/meminfo", RAM);
    tool_write_deep("cgroup/a/cpu.max", "150000 100000\n");
    tool_write_deep("cgroup/a/b/cpu.max", "max 100000\n");
    tool_write_deep("cgroup/a/b/c/cpu.max", "800000 100000\n");
    tool_write_deep("cgroup/a/b/memory.max", "1073741824\n");
    tool_write_deep("cgroup/a/b/c/memory.max", "max\n");
    tool_write_deep("cgroup/a/memory.max", "2147483648\n");
    struct machine m;
    look(&m);
    decide_with_cpus(&m, 16);
    assert_int_equal(m.cpus, 2); /* 1.5 rounded up */
    assert_string_equal(m.quota_path, "cgroup/a/cpu.max");
    assert_int_equal(m.memory_bytes, 1 << 30);
    assert_string_equal(m.cgroup_path, "cgroup/a/b/memory.max");
}

static void quotas_of_different_periods_are_compared_as_shares(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "0::/a/b\n");
    tool_write_deep("cgroup/a/cpu.max", "30000 10000\n");     /* 3 CPUs */
    tool_write_deep("cgroup/a/b/cpu.max", "250000 100000\n"); /* 2.5 */
    struct machine m;
    look(&m);
    decide_with_cpus(&m, 16);
    assert_string_equal(m.quota_path, "cgroup/a/b/cpu.max");
    assert_int_equal(m.cpus, 3);
}

static void a_quota_below_one_cpu_is_one(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "0::/a\n");
    tool_write_deep("cgroup/a/cpu.max", "5000 100000\n");
    struct machine m;
    look(&m);
    assert_int_equal(m.cpus, 1);
}

static void version_2_in_a_container_sees_its_own_root(void **state)
{
    (void)state;
    /* Without a cgroup namespace the path is the host's and does not exist here. */
    tool_write_deep("proc/self/cgroup", "0::/system.slice/docker-abc.scope\n");
    tool_write_deep("cgroup/cpu.max", "300000 100000\n");
    tool_write_deep("cgroup/memory.max", "536870912\n");
    struct machine m;
    look(&m);
    decide_with_cpus(&m, 16);
    assert_int_equal(m.cpus, 3);
    assert_string_equal(m.quota_path, "cgroup/cpu.max");
    assert_int_equal(m.memory_bytes, 512 << 20);
}

static void a_path_outside_of_the_namespace_counts_as_the_root(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "0::/../../x\n");
    tool_write_deep("cgroup/cpu.max", "200000 100000\n");
    tool_write_deep("x/cpu.max", "100000 100000\n");
    struct machine m;
    look(&m);
    assert_string_equal(m.quota_path, "cgroup/cpu.max");
}

static void version_1_has_a_hierarchy_for_each_controller(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "12:pids:/p\n4:cpu,cpuacct:/a/b\n3:cpuset:/s\n"
                                        "7:memory:/m\n1:name=systemd:/x\n");
    tool_write_deep("proc/meminfo", RAM);
    tool_write_deep("cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    tool_write_deep("cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    tool_write_deep("cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "400000\n");
    tool_write_deep("cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    tool_write_deep("cgroup/memory/m/memory.limit_in_bytes", "9223372036854771712\n");
    tool_write_deep("cgroup/memory/memory.limit_in_bytes", "4294967296\n");
    struct machine m;
    look(&m);
    decide_with_cpus(&m, 16);
    assert_int_equal(m.cpus, 4);
    assert_string_equal(m.quota_path, "cgroup/cpu,cpuacct/a/cpu.cfs_quota_us");
    assert_int_equal(m.memory_bytes, UINT64_C(4) << 30);
    assert_string_equal(m.cgroup_path, "cgroup/memory/memory.limit_in_bytes");
}

static void both_versions_side_by_side_are_looked_at(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "4:cpu:/a\n0::/u\n");
    tool_write_deep("cgroup/cpu/a/cpu.cfs_quota_us", "400000\n");
    tool_write_deep("cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    tool_write_deep("cgroup/unified/u/cpu.max", "200000 100000\n");
    struct machine m;
    look(&m);
    decide_with_cpus(&m, 16);
    assert_int_equal(m.cpus, 2);
}

/* As systemd mounts it without unified_cgroup_hierarchy: controllers in version 1, the unified
 * tree for bookkeeping alone, and in each hierarchy limits that are nested in a way of its own. */
static void hybrid_has_nested_limits_in_each_hierarchy(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "9:name=systemd:/system.slice/web.service\n"
                                        "4:memory:/box/pod/app\n3:cpuset:/box\n2:cpuacct:/box\n"
                                        "1:cpu:/box/pod\n0::/system.slice/web.service\n");
    tool_write_deep("proc/meminfo", RAM);
    tool_write_deep("cgroup/unified/system.slice/web.service/cgroup.procs", "1\n");
    tool_write_deep("cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    tool_write_deep("cgroup/cpu/cpu.cfs_period_us", "100000\n");
    tool_write_deep("cgroup/cpu/box/cpu.cfs_quota_us", "150000\n");
    tool_write_deep("cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
    tool_write_deep("cgroup/cpu/box/pod/cpu.cfs_quota_us", "40000\n");
    tool_write_deep("cgroup/cpu/box/pod/cpu.cfs_period_us", "20000\n");
    tool_write_deep("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    tool_write_deep("cgroup/memory/box/memory.limit_in_bytes", "536870912\n");
    tool_write_deep("cgroup/memory/box/pod/memory.limit_in_bytes", "9223372036854771712\n");
    tool_write_deep("cgroup/memory/box/pod/app/memory.limit_in_bytes", "1073741824\n");
    struct machine m;
    look(&m);
    decide_with_cpus(&m, 16);
    assert_int_equal(m.cpus, 2);
    assert_string_equal(m.quota_path, "cgroup/cpu/box/cpu.cfs_quota_us");
    assert_int_equal(m.memory_bytes, 512 << 20);
    assert_string_equal(m.cgroup_path, "cgroup/memory/box/memory.limit_in_bytes");
    assert_int_equal(m.n_limits, 2);
}

static void memory_high_is_a_limit_as_well(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "0::/a/b\n");
    tool_write_deep("proc/meminfo", RAM);
    tool_write_deep("cgroup/a/memory.high", "1073741824\n");
    tool_write_deep("cgroup/a/memory.max", "2147483648\n");
    tool_write_deep("cgroup/a/b/memory.high", "max\n");
    struct machine m;
    look(&m);
    assert_int_equal(m.memory_bytes, 1 << 30);
    assert_string_equal(m.cgroup_path, "cgroup/a/memory.high");
}

static void dots_in_a_name_lead_nowhere(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "0::/a..b/..c\n");
    tool_write_deep("cgroup/a..b/..c/cpu.max", "200000 100000\n");
    struct machine m;
    look(&m);
    assert_string_equal(m.quota_path, "cgroup/a..b/..c/cpu.max");
    tool_write_deep("proc/self/cgroup", "0::/..c/d\n");
    tool_write_deep("cgroup/..c/d/cpu.max", "300000 100000\n");
    look(&m);
    assert_string_equal(m.quota_path, "cgroup/..c/d/cpu.max");
}

/* 1.5 CPUs of 2 are what is granted, although two workers are made for either. */
static void a_quota_between_two_numbers_is_named_as_the_source(void **state)
{
    (void)state;
    struct machine m = {.quota_us = 150000, .period_us = 100000, .quota_path = "q"};
    struct arena arena;
    arena_init(&arena, 256);
    decide_with_cpus(&m, 2);
    assert_int_equal(m.cpus, 2);
    assert_string_equal(machine_why_cpus(&m, &arena),
                        "2 by cgroup quota: quota of 1.50 CPUs in q (150000 of 100000 us, rounded "
                        "up), affinity allows 2; another quota would change it");
    m.quota_us = 200000;
    assert_non_null(strstr(machine_why_cpus(&m, &arena), "2 by CPU affinity"));
    arena_fini(&arena);
}

static void affinity_decides_when_it_is_smaller(void **state)
{
    (void)state;
    struct machine m = {.quota_us = 800000, .period_us = 100000, .quota_path = "q"};
    decide_with_cpus(&m, 3);
    assert_int_equal(m.cpus, 3);
    struct arena arena;
    arena_init(&arena, 256);
    assert_string_equal(machine_why_cpus(&m, &arena),
                        "3 by CPU affinity: quota of 8.00 CPUs in q (800000 of 100000 us, rounded "
                        "up), affinity allows 3; taskset(1) or a cpuset would change it");
    decide_with_cpus(&m, 12);
    assert_string_equal(machine_why_cpus(&m, &arena),
                        "8 by cgroup quota: quota of 8.00 CPUs in q (800000 of 100000 us, rounded "
                        "up), affinity allows 12; another quota would change it");
    arena_fini(&arena);
}

static void a_limit_above_ram_is_none(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "0::/a\n");
    tool_write_deep("proc/meminfo", RAM);
    tool_write_deep("cgroup/a/memory.max", "17179869184\n");
    struct machine m;
    look(&m);
    assert_int_equal(m.memory_bytes, UINT64_C(8) << 30);
    assert_int_equal(m.cgroup_bytes, 0);
}

static void files_that_make_no_sense_set_no_limit(void **state)
{
    (void)state;
    tool_write_deep("proc/self/cgroup", "\n:\n::\n0::\n0:::\nnonsense\n0::/a\n");
    tool_write_deep("proc/meminfo", "MemTotal: lots\n");
    tool_write_deep("cgroup/a/cpu.max", "\n");
    tool_write_deep("cgroup/cpu.max", "100000 0\n");
    tool_write_deep("cgroup/a/memory.max", "0\n");
    tool_write_deep("cgroup/memory.max", "-5\n");
    struct machine m;
    look(&m);
    assert_int_equal(m.quota_us, 0);
    assert_int_equal(m.memory_bytes, 0);
    assert_true(m.cpus >= 1);
}

static void workers_are_as_many_as_cpus_within_the_range(void **state)
{
    (void)state;
    static const struct {
        uint32_t cpus, event, sync;
    } rows[] = {{6, 6, 13}, {1, 1, 3}, {300, 300, 512}, {2000, 512, 512}, {UINT32_MAX, 512, 512}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct machine m = {.cpus = rows[i].cpus};
        assert_int_equal(machine_workers_auto(&m, WORKER_CLASS_EVENT), rows[i].event);
        assert_int_equal(machine_workers_auto(&m, WORKER_CLASS_SYNC), rows[i].sync);
    }
}

static void only_auto_is_resolved(void **state)
{
    (void)state;
    struct settings *s = settings_new();
    assert_non_null(s);
    assert_int_equal(machine_resolve(&tool_machine, s), 0);
    assert_true(s->workers.is_auto);
    assert_int_equal(s->workers.n, 6);
    assert_int_equal(s->cpus, 6);
    assert_non_null(strstr(s->sources[SETTING_ID_workers].derived,
                           "6, one for each CPU, fewer while others compute on them. CPUs: 6"));
    s->workers = (struct setting_range){.n = 3, .min = 3, .max = 3};
    s->sources[SETTING_ID_workers].derived = NULL;
    assert_int_equal(machine_resolve(&tool_machine, s), 0);
    assert_int_equal(s->workers.n, 3);
    assert_null(s->sources[SETTING_ID_workers].derived);
    settings_free(s);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tool_enter_folder, tool_leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(without_any_file_affinity_decides),
        IN_FOLDER(version_2_takes_the_tightest_of_all_ancestors),
        IN_FOLDER(quotas_of_different_periods_are_compared_as_shares),
        IN_FOLDER(a_quota_below_one_cpu_is_one),
        IN_FOLDER(version_2_in_a_container_sees_its_own_root),
        IN_FOLDER(a_path_outside_of_the_namespace_counts_as_the_root),
        IN_FOLDER(version_1_has_a_hierarchy_for_each_controller),
        IN_FOLDER(both_versions_side_by_side_are_looked_at),
        IN_FOLDER(hybrid_has_nested_limits_in_each_hierarchy),
        IN_FOLDER(memory_high_is_a_limit_as_well),
        IN_FOLDER(dots_in_a_name_lead_nowhere),
        cmocka_unit_test(a_quota_between_two_numbers_is_named_as_the_source),
        cmocka_unit_test(affinity_decides_when_it_is_smaller),
        IN_FOLDER(a_limit_above_ram_is_none),
        IN_FOLDER(files_that_make_no_sense_set_no_limit),
        cmocka_unit_test(workers_are_as_many_as_cpus_within_the_range),
        cmocka_unit_test(only_auto_is_resolved),
    };
    return cmocka_run_group_tests_name("config/machine", tests, NULL, NULL);
}
