/* What `remuda doctor` says of machines that are not this one: trees of files that look like /proc
 * and /sys. What it tries rather than reads is left out there. */
#include "server/doctor.h"

#include "base/json_out.h"
#include "tests/unit/config/tool.h"

static struct doctor doctor;
static struct merge_result merge;
static struct machine machine;

/* Settings for the machine in the trees, and all rows about it. */
#define CONSULT(...) consult((char *[]){"doctor", __VA_ARGS__, NULL})

static void consult(char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    merge_fini(&merge);
    machine_read(&machine, "proc", "sys/fs/cgroup");
    assert_int_equal(
        merge_settings(&(struct merge_input){.argc = argc, .argv = argv, .machine = &machine},
                       &merge),
        0);
    doctor = (struct doctor){.settings = merge.settings,
                             .machine = &machine,
                             .proc = "proc",
                             .sys = "sys",
                             .is_fake = true};
    doctor_run_all(&doctor);
}

static const struct doctor_row *row(const char *name)
{
    for (size_t i = 0; i < doctor.n; i++)
        if (strcmp(doctor.rows[i].name, name) == 0)
            return &doctor.rows[i];
    fail_msg("there is no row %s", name);
    return NULL;
}

static void expect(const char *name, enum doctor_verdict verdict, const char *found,
                   const char *advice, const char *command)
{
    const struct doctor_row *r = row(name);
    if (r->verdict != verdict || !strstr(r->found, found) || !strstr(r->advice, advice) ||
        !strstr(r->command, command))
        fail_msg("%s: verdict %d\nfound   %s\nadvice  %s\ncommand %s", name, (int)r->verdict,
                 r->found, r->advice, r->command);
}

static int enter(void **state)
{
    return tool_enter_folder(state);
}

static int leave(void **state)
{
    merge_fini(&merge);
    merge = (struct merge_result){0};
    return tool_leave_folder(state);
}

static void a_machine_as_it_should_be_needs_nothing(void **state)
{
    (void)state;
    tool_write_deep("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 8000000 kB\n");
    tool_write_deep("proc/self/cgroup", "0::/a\n");
    tool_write_deep("proc/self/status", "Name: x\nCapEff:\t0000000000000000\nSeccomp:\t0\n");
    tool_write_deep("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    tool_write_deep("proc/sys/kernel/pid_max", "4194304\n");
    tool_write_deep("proc/sys/kernel/yama/ptrace_scope", "0\n");
    tool_write_deep("proc/sys/net/core/somaxconn", "4096\n");
    tool_write_deep("proc/sys/vm/overcommit_memory", "0\n");
    tool_write_deep("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n");
    tool_write_deep("proc/thread-self/schedstat", "812345 1200 9\n");
    tool_write_deep("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    CONSULT("--workers", "2");
    for (size_t i = 0; i < doctor.n; i++)
        if (doctor.rows[i].verdict != DOCTOR_OK)
            fail_msg("%s: %s", doctor.rows[i].name, doctor.rows[i].advice);
    assert_int_equal(doctor_worst(&doctor), DOCTOR_OK);
}

static void a_kernel_that_is_set_up_badly_is_told_with_commands(void **state)
{
    (void)state;
    tool_write_deep("proc/sys/kernel/osrelease", "5.13.19\n");
    tool_write_deep("proc/sys/net/core/somaxconn", "128\n");
    tool_write_deep("proc/sys/net/ipv4/tcp_max_syn_backlog", "64\n");
    tool_write_deep("proc/sys/net/ipv4/tcp_syncookies", "0\n");
    tool_write_deep("proc/sys/vm/overcommit_memory", "2\n");
    tool_write_deep("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    CONSULT("--workers", "2");
    expect("release", DOCTOR_BAD, "Linux 5.13.19", "older than 5.14", "");
    expect("backlog", DOCTOR_WARN, "backlog 2048, net.core.somaxconn 128", "to 128 a socket",
           "sysctl -w net.core.somaxconn=2048");
    expect("syn_backlog", DOCTOR_WARN, "64", "half-open", "sysctl -w net.ipv4.tcp_syncookies=1");
    expect("overcommit", DOCTOR_WARN, "is 2", "fork", "sysctl -w vm.overcommit_memory=0");
    expect("transparent_hugepages", DOCTOR_WARN, "[always]", "2 MiB",
           "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    expect("pressure", DOCTOR_WARN, "can't be read", "psi=1", "");
    expect("schedstat", DOCTOR_WARN, "says nothing", "CONFIG_SCHED_INFO", "");
    assert_int_equal(doctor_worst(&doctor), DOCTOR_BAD);
    tool_write_deep("proc/sys/kernel/osrelease", "5.14.0\n");
    CONSULT("--backlog", "100");
    expect("release", DOCTOR_OK, "5.14.0", "", "");
    expect("backlog", DOCTOR_OK, "backlog 100", "", "");
}

static void who_may_trace_is_a_matter_of_yama_and_capabilities(void **state)
{
    (void)state;
    static const struct {
        const char *scope, *capabilities;
        enum doctor_verdict verdict;
        const char *command;
    } rows[] = {{"0\n", "0000000000000000", DOCTOR_OK, ""},
                {"1\n", "0000000000000000", DOCTOR_WARN, "sysctl -w kernel.yama.ptrace_scope=0"},
                {"1\n", "0000000000080000", DOCTOR_OK, ""}, /* CAP_SYS_PTRACE */
                {"2\n", "00000000fff7ffff", DOCTOR_WARN, "ptrace_scope=0"},
                {"3\n", "000001ffffffffff", DOCTOR_WARN, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char status[64];
        (void)snprintf(status, sizeof status, "Name: x\nCapEff:\t%s\n", rows[i].capabilities);
        tool_write_deep("proc/self/status", status);
        tool_write_deep("proc/sys/kernel/yama/ptrace_scope", rows[i].scope);
        CONSULT("--workers", "1");
        expect("ptrace", rows[i].verdict, "ptrace_scope is", "", rows[i].command);
    }
    assert_string_equal(row("ptrace")->command, ""); /* 3 can't be taken back */
}

static void a_container_is_seen_with_its_limits(void **state)
{
    (void)state;
    tool_write_deep("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 8000000 kB\n");
    tool_write_deep("proc/self/cgroup", "0::/pod/app\n");
    tool_write_deep("sys/fs/cgroup/pod/cpu.max", "50000 100000\n");
    tool_write_deep("sys/fs/cgroup/pod/cpu.stat",
                    "usage_usec 9\nnr_periods 1000\nnr_throttled 51\nthrottled_usec 9\n");
    tool_write_deep("sys/fs/cgroup/pod/memory.max", "268435456\n");
    tool_write_deep("sys/fs/cgroup/pod/memory.current", "251658240\n");
    tool_write_deep("sys/fs/cgroup/pod/pids.max", "100\n");
    tool_write_deep("sys/fs/cgroup/pod/app/pids.max", "max\n");
    CONSULT("--threads", "64");
    expect("cpus", DOCTOR_OK, "1 by cgroup quota: quota of 0.50 CPUs in sys/fs/cgroup/pod/cpu.max",
           "", "");
    expect("cpu_quota", DOCTOR_WARN, "held back in 51 of 1000 periods", "a larger quota",
           "grep . sys/fs/cgroup/pod/cpu.stat");
    expect("memory", DOCTOR_WARN, "0.02 GiB are free now", "less than 10 % is free", "");
    expect("compute_memory", DOCTOR_WARN, "is 0.50 GiB of 0.25 GiB", "does not fit", "");
    expect("cgroup", DOCTOR_OK, "version 2; 1 limit of memory, one of CPU time", "", "");
    expect("processes", DOCTOR_WARN, "pids.max of a cgroup allows 100", "--pids-limit", "");
    tool_write_deep("sys/fs/cgroup/pod/cpu.stat", "nr_periods 1000\nnr_throttled 50\n");
    CONSULT("--threads", "8");
    expect("cpu_quota", DOCTOR_OK, "50 of 1000", "", "");
    expect("processes", DOCTOR_OK, "allows 100", "", "");
}

static void a_pool_without_a_limit_is_told(void **state)
{
    (void)state;
    CONSULT("--set", "compute.memory_limit=0");
    expect("compute_memory", DOCTOR_WARN, "no memory_limit", "the kernel then kills", "");
}

static void an_admin_listener_for_everyone_is_told(void **state)
{
    (void)state;
    CONSULT("--set", "admin.bind=127.0.0.1:9190");
    expect("admin", DOCTOR_OK, "127.0.0.1:9190", "", "");
    CONSULT("--set", "admin.bind=:9190");
    expect("admin", DOCTOR_WARN, "0.0.0.0:9190", "only your monitoring", "");
    CONSULT("--set", "admin.bind=unix:/run/a.sock");
    expect("admin", DOCTOR_OK, "unix:/run/a.sock", "", "");
}

static void rows_are_printed_for_people_and_for_programs(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    tool_write_deep("proc/sys/vm/overcommit_memory", "2\n");
    CONSULT("--workers", "1");
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    doctor_print(&doctor, file);
    assert_int_equal(fclose(file), 0);
    assert_non_null(strstr(text, "---- kernel ----\n"));
    assert_non_null(strstr(text, "warn  overcommit            vm.overcommit_memory is 2\n"));
    assert_non_null(
        strstr(text, "                            # sysctl -w vm.overcommit_memory=0\n"));
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
    free(text);
    struct buf buf = {0};
    struct json_out out = {.buf = &buf};
    json_out_open(&out, NULL, '{');
    doctor_print_json(&doctor, &out);
    json_out_close(&out, '}');
    assert_false(out.is_failed);
    assert_non_null(memmem(buf.data, buf.len, "\"verdict\":\"warn\"", 16));
    assert_non_null(memmem(buf.data, buf.len, "{\"ok\":true,\"rows\":[{", 20));
    buf_fini(&buf);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_machine_as_it_should_be_needs_nothing),
        IN_FOLDER(a_kernel_that_is_set_up_badly_is_told_with_commands),
        IN_FOLDER(who_may_trace_is_a_matter_of_yama_and_capabilities),
        IN_FOLDER(a_container_is_seen_with_its_limits),
        IN_FOLDER(a_pool_without_a_limit_is_told),
        IN_FOLDER(an_admin_listener_for_everyone_is_told),
        IN_FOLDER(rows_are_printed_for_people_and_for_programs),
    };
    return cmocka_run_group_tests_name("server/doctor", tests, NULL, NULL);
}
