/* The server in a control group of its own, with less than the machine has: it sizes itself for
 * what it is granted, says who granted it, and notices at a reload when that has changed.
 *
 * The group is made below the one in which the test runs, in both versions of cgroups, and gone
 * afterwards. Where none can be made, by who is not root or in most containers, the tests are
 * skipped, and say why; trees of files that look like cgroups are in unit.config.machine. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define ROOT "/sys/fs/cgroup"
#define MIB (1024L * 1024L)

/* The group: one folder in version 2, two in version 1. */
static struct group {
    char cpu[512], memory[512]; /* its folders */
    bool is_v2, is_made;
    char why_not[900];
} group;

/* The path behind a line of /proc/self/cgroup that has this controller; "" in version 2. Returns
 * false: there is none. */
static bool find_path(const char *controller, char *out, size_t cap)
{
    char line[1024];
    bool is_found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && !is_found && fgets(line, sizeof line, file)) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        is_found = strcmp(names + 1, controller) == 0 ||
                   (controller[0] && strncmp(names + 1, controller, strlen(controller)) == 0 &&
                    names[1 + strlen(controller)] == ',');
        if (is_found)
            (void)snprintf(out, cap, "%s", strcmp(path, "/") == 0 ? "" : path);
    }
    if (file)
        (void)fclose(file);
    return is_found;
}

static int write_text(const char *folder, const char *name, const char *text)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int rc = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static bool is_there(const char *folder, const char *name)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static bool refuse(const char *what, int error)
{
    (void)snprintf(group.why_not, sizeof group.why_not, "%s: %s", what, strerror(error));
    return false;
}

/* Below ours: with version 2 beside it where ours has processes, since such a group hands nothing
 * on, unless it is the root. */
static bool find_folders(void)
{
    char path[256], cpu[256];
    if (find_path("cpu", cpu, sizeof cpu) && find_path("memory", path, sizeof path)) {
        (void)snprintf(group.cpu, sizeof group.cpu, ROOT "/cpu%s/remuda-test-%d", cpu, getpid());
        (void)snprintf(group.memory, sizeof group.memory, ROOT "/memory%s/remuda-test-%d", path,
                       getpid());
        return true;
    }
    group.is_v2 = true;
    if (!find_path("", path, sizeof path))
        return refuse("/proc/self/cgroup", ENOENT);
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    (void)snprintf(group.cpu, sizeof group.cpu, ROOT "%s/remuda-test-%d", path, getpid());
    (void)snprintf(group.memory, sizeof group.memory, "%s", group.cpu);
    return true;
}

/* milli_cpus: a thousandth of a CPU each */
static int limit_cpus(unsigned milli_cpus)
{
    char text[64];
    (void)snprintf(text, sizeof text, group.is_v2 ? "%u 100000" : "%u", milli_cpus * 100);
    return write_text(group.cpu, group.is_v2 ? "cpu.max" : "cpu.cfs_quota_us", text);
}

static int limit_memory(long mib)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%ld", mib * MIB);
    return write_text(group.memory, group.is_v2 ? "memory.max" : "memory.limit_in_bytes", text);
}

static bool make_group(void)
{
    if (group.is_made || group.why_not[0])
        return group.is_made;
    if (!find_folders())
        return false;
    if (mkdir(group.cpu, 0755) < 0 && errno != EEXIST)
        return refuse(group.cpu, errno);
    if (mkdir(group.memory, 0755) < 0 && errno != EEXIST) {
        int error = errno;
        (void)rmdir(group.cpu);
        return refuse(group.memory, error);
    }
    group.is_made = true;
    if (!is_there(group.cpu, group.is_v2 ? "cpu.max" : "cpu.cfs_quota_us") ||
        !is_there(group.memory, group.is_v2 ? "memory.max" : "memory.limit_in_bytes"))
        return refuse("a cgroup with the controllers cpu and memory", ENOTSUP);
    int rc = limit_cpus(1500);
    if (rc == 0)
        rc = limit_memory(512);
    return rc == 0 || refuse("a limit of the cgroup", -rc);
}

static int remove_group(void)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    int rc = 0;
    if (!group.is_made)
        return 0;
    /* Who was killed may still be on its way out. */
    while ((rc = rmdir(group.cpu)) < 0 && errno == EBUSY && patience_turn(deadline))
        ;
    while (!group.is_v2 && (rc = rmdir(group.memory)) < 0 && errno == EBUSY &&
           patience_turn(deadline))
        ;
    return rc;
}

/* In the new process, before it becomes the server. */
static void enter_group(void *unused)
{
    (void)unused;
    if (write_text(group.cpu, "cgroup.procs", "0") < 0 ||
        write_text(group.memory, "cgroup.procs", "0") < 0)
        _exit(125);
}

static void need_group(void)
{
    if (make_group() && !group.why_not[0]) {
        CHECK_EQ(limit_memory(512), 0);
        CHECK_EQ(limit_cpus(1500), 0);
        return;
    }
    print_message("skipped: no cgroup can be made here: %s\n", group.why_not);
    skip();
}

static unsigned count_cpus(void)
{
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    return (unsigned)CPU_COUNT(&set);
}

static struct server *start_inside(const char *const *args)
{
    return server_start(&(struct server_options){.args = args, .prepare = enter_group});
}

/* What is served with, when nothing but the app and an address is said. */
static struct server *serve_inside(void)
{
    static const char *const args[] = {"run", REMUDA_DEMO_SO, "-b", "127.0.0.1:0", NULL};
    struct server *s = start_inside(args);
    server_wait_ready(s);
    return s;
}

/* Comments of `remuda config` with their lines put together again. Static text */
static const char *unwrap(const char *text)
{
    static char out[1 << 16];
    size_t n = 0;
    while (*text && n + 1 < sizeof out) {
        if (strncmp(text, "\n#", 2) == 0)
            text += 2, text += strspn(text, " ") - 1, out[n++] = ' ';
        else
            out[n++] = *text;
        text++;
    }
    out[n] = '\0';
    return out;
}

static void config_names_the_cgroup_as_the_source(void **state)
{
    (void)state;
    need_group();
    const unsigned cpus = count_cpus() < 2 ? 1 : 2;
    static const char *const args[] = {"config", "--why", NULL};
    struct server *s = start_inside(args);
    CHECK_EQ(server_run(s), 0);
    char want[700];
    const char *text = unwrap(lines_text(&s->out));
    CHECK_HAS(text, "quota of 1.50 CPUs in ");
    CHECK_HAS(text, group.cpu);
    (void)snprintf(want, sizeof want, " CPUs: %u by %s", cpus,
                   cpus == 1 ? "CPU affinity" : "cgroup quota");
    CHECK_HAS(text, want);
    (void)snprintf(want, sizeof want, " Memory: 0.50 GiB by the cgroup limit in %s/", group.memory);
    CHECK_HAS(text, want);
    (void)snprintf(want, sizeof want, " %u, one for each CPU%s. CPUs: %u by", cpus,
                   cpus > 1 ? ", fewer while others compute on them" : "", cpus);
    CHECK_HAS(text, want);
    CHECK_HAS(text, "left to the web workers");
}

static void server_starts_as_many_as_it_is_granted(void **state)
{
    (void)state;
    need_group();
    const unsigned cpus = count_cpus() < 2 ? 1 : 2;
    struct server *s = serve_inside();
    const char *line = lines_find_last(&s->log, "sized");
    CHECK_SAYING(line != NULL, "the log does not say what it was sized for");
    CHECK_EQ(lines_number(line, "cpus"), cpus);
    CHECK_EQ(lines_number(line, "memory_bytes"), 512 * MIB);
    CHECK_HAS(line, "cpus_from=\"");
    CHECK_HAS(line, "quota of 1.50 CPUs");
    CHECK_HAS(line, group.memory);
    server_wait_processes(s, 1 + cpus);
    char *status = control_ask(s, "{\"request\":\"status\"}");
    CHECK_EQ(control_number(status, "pools.0.workers_wanted"), 1);
    free(status);
    free(client_get(s, "/burn?ms=5", 200));
}

/* 0.5 CPUs are one worker on any machine; memory that the pools may need is held against the new
 * limit, too. */
static void reload_notices_what_has_changed(void **state)
{
    (void)state;
    need_group();
    const unsigned cpus = count_cpus() < 2 ? 1 : 2;
    struct server *s = serve_inside();
    CHECK_EQ(limit_cpus(500), 0);
    CHECK_EQ(limit_memory(448), 0);
    server_skip_log(s);
    server_signal(s, SIGHUP);
    char line[LINES_LINE_MAX];
    (void)snprintf(line, sizeof line, "%s", server_wait_log(s, "sized"));
    CHECK_EQ(lines_number(line, "cpus"), 1);
    CHECK_EQ(lines_number(line, "cpus_before"), cpus);
    CHECK_EQ(lines_number(line, "memory_bytes"), 448 * MIB);
    CHECK_EQ(lines_number(line, "memory_bytes_before"), 512 * MIB);
    CHECK_HAS(line, "1 by cgroup quota: quota of 0.50 CPUs");
    (void)snprintf(line, sizeof line, "%s",
                   server_wait_log(s, "compute workers may need more memory than there is"));
    CHECK_EQ(lines_number(line, "need_bytes"), 512 * MIB);
    CHECK_EQ(lines_number(line, "memory_bytes"), 448 * MIB);
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "workers"), 1);
    (void)server_wait_log(s, "generation gone");
    server_wait_processes(s, 2);
    free(client_get(s, "/", 200));
}

/* Numbers that somebody has chosen stay as they are, and are told when they do not fit. */
static void what_was_set_is_held_against_what_is_granted(void **state)
{
    (void)state;
    need_group();
    static const char *const args[] = {
        "check", "--set", "compute.workers=3", "--set", "compute.memory_limit=256MiB", NULL};
    struct server *s = start_inside(args);
    CHECK_EQ(server_run(s), 0);
    CHECK_HAS(lines_text(&s->log), "workers x memory_limit of all pools is 0.75 GiB, more than the "
                                   "memory there is, 0.50 GiB");
    static const char *const strict[] = {"check",
                                         "--set",
                                         "compute.workers=3",
                                         "--set",
                                         "compute.memory_limit=256MiB",
                                         "--set",
                                         "strict=true",
                                         NULL};
    s = start_inside(strict);
    CHECK_EQ(server_run(s), 1);
}

/* Nobody has chosen anything, but there is less than one worker may use. */
static void strict_does_not_start_what_can_not_fit(void **state)
{
    (void)state;
    need_group();
    CHECK_EQ(limit_memory(448), 0);
    static const char *const args[] = {"run",   REMUDA_DEMO_SO, "-b", "127.0.0.1:0",
                                       "--set", "strict=true",  NULL};
    struct server *s = start_inside(args);
    s->is_violent = true;
    CHECK_EQ(server_run(s), 1);
    CHECK_HAS(lines_text(&s->log), "1 compute workers x memory_limit is 0.50 GiB, more than the "
                                   "memory there is, 0.44 GiB");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SERVER_TEST(config_names_the_cgroup_as_the_source),
        SERVER_TEST(server_starts_as_many_as_it_is_granted),
        SERVER_TEST(reload_notices_what_has_changed),
        SERVER_TEST(what_was_set_is_held_against_what_is_granted),
        SERVER_TEST(strict_does_not_start_what_can_not_fit),
    };
    server_choose_tests();
    int failed = cmocka_run_group_tests(tests, server_setup_group, NULL);
    if (remove_group() < 0) {
        print_error("the cgroup is left behind: %s: %s\n", group.cpu, strerror(errno));
        failed++;
    }
    return failed;
}
