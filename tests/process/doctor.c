/* `remuda doctor` on this machine: whatever it finds, it says in the same way, and what is wrong on
 * purpose is found. How long things take is nobody's promise here. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/control.h"
#include "tests/harness/json.h"
#include "tests/harness/server.h"

static struct server *run(const char *const *args, void (*prepare)(void *p))
{
    struct server *s =
        server_start(&(struct server_options){.args = args, .prepare = prepare, .env = NULL});
    int code = server_run(s);
    CHECK_SAYING(code == 0 || code == 1, "remuda doctor exits %d", code);
    s->is_violent = true;
    return s;
}
#define RUN(prepare, ...) run((const char *const[]){"doctor", __VA_ARGS__, NULL}, prepare)

static int exit_code(const struct server *s)
{
    return WEXITSTATUS(s->wait_status);
}

/* The row of a name in the answer as JSON; fails the test when there is none. */
static void find_row(struct server *s, const char *name, char verdict[16], char command[600])
{
    const char *text = lines_text(&s->out);
    char path[64];
    json_must(text, strlen(text));
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(path, sizeof path, "rows.%u.name", i);
        if (strcmp(control_member(text, path), name) != 0)
            continue;
        (void)snprintf(path, sizeof path, "rows.%u.verdict", i);
        (void)snprintf(verdict, 16, "%s", control_member(text, path));
        (void)snprintf(path, sizeof path, "rows.%u.command", i);
        (void)snprintf(command, 600, "%s", control_member(text, path));
        return;
    }
    CHECK_FAIL("no row %s", name);
}

static void every_row_says_what_it_found(void **state)
{
    (void)state;
    struct server *s = RUN(NULL, "--json");
    const char *text = lines_text(&s->out);
    json_must(text, strlen(text));
    CHECK_TEXT(control_member(text, "ok"), exit_code(s) == 0 ? "true" : "false");
    static const char *const names[] = {"cpus",          "memory",    "cgroup",       "release",
                                        "clock",         "ptrace",    "schedstat",    "pressure",
                                        "backlog",       "reuseport", "defer_accept", "open_files",
                                        "shared_memory", "libraries", "overcommit"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char verdict[16], command[600];
        find_row(s, names[i], verdict, command);
        CHECK(strcmp(verdict, "ok") == 0 || strcmp(verdict, "warn") == 0 ||
              strcmp(verdict, "bad") == 0);
    }
    CHECK_HAS_NOT(text, "\"found\":\"\"");
    s = RUN(NULL, "--workers=2");
    CHECK_HAS(lines_text(&s->out), "---- machine ----");
    CHECK_HAS(lines_text(&s->out), " to look at, ");
}

static void what_is_configured_is_held_against_the_machine(void **state)
{
    (void)state;
    char verdict[16], command[600];
    struct server *s = RUN(NULL, "--json", "--backlog", "65535");
    find_row(s, "backlog", verdict, command);
    CHECK_TEXT(verdict, "warn");
    CHECK_TEXT(command, "sysctl -w net.core.somaxconn=65535");
    s = RUN(NULL, "--json", "--spool-dir", "/nonexistent/spool");
    find_row(s, "spool", verdict, command);
    CHECK_TEXT(verdict, "bad");
    CHECK_TEXT(command, "install -d -m 0700 -o root '/nonexistent/spool'");
    CHECK_EQ(exit_code(s), 1);
    CHECK_TEXT(control_member(lines_text(&s->out), "ok"), "false");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void limit_addresses(void *unused)
{
    (void)unused;
    struct rlimit limit = {.rlim_cur = UINT64_C(8) << 30, .rlim_max = UINT64_C(8) << 30};
    if (setrlimit(RLIMIT_AS, &limit) < 0)
        _exit(125);
}
#endif

static void limits_of_the_shell_are_seen(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)state;
    print_message("skipped: sanitizers reserve more addresses than the limit\n");
    skip();
#else
    (void)state;
    char verdict[16], command[600];
    struct server *s = RUN(limit_addresses, "--json");
    find_row(s, "address_space", verdict, command);
    CHECK(strcmp(verdict, "ok") != 0);
    CHECK_TEXT(command, "ulimit -v unlimited");
#endif
}

static void handing_off_is_measured_for_all_sizes(void **state)
{
    (void)state;
    static const char *const args[] = {"doctor", "--handoff", "--json", NULL};
    static const unsigned long long sizes[] = {64, 4096, 65536, 1048576, 4194304, 16777216};
    struct server *s = run(args, NULL);
    const char *text = lines_text(&s->out);
    char path[64];
    json_must(text, strlen(text));
    CHECK_EQ(control_number(text, "limit_us"), 15000);
    bool is_slow = false;
    for (unsigned i = 0; i < 6; i++) {
        (void)snprintf(path, sizeof path, "handoff.%u.bytes", i);
        CHECK_EQ(control_number(text, path), sizes[i]);
        (void)snprintf(path, sizeof path, "handoff.%u.rounds", i);
        CHECK(control_number(text, path) > 0);
        (void)snprintf(path, sizeof path, "handoff.%u.p50_us", i);
        uint64_t p50_us = control_number(text, path);
        (void)snprintf(path, sizeof path, "handoff.%u.p99_us", i);
        uint64_t p99_us = control_number(text, path);
        CHECK(p50_us > 0 && p50_us <= p99_us);
        (void)snprintf(path, sizeof path, "handoff.%u.is_slow", i);
        CHECK_TEXT(control_member(text, path), p50_us > 15000 ? "true" : "false");
        (void)snprintf(path, sizeof path, "handoff.%u.is_slow_now_and_then", i);
        CHECK_TEXT(control_member(text, path), p99_us > 15000 ? "true" : "false");
        is_slow = is_slow || p50_us > 15000;
    }
    CHECK_TEXT(control_member(text, "ok"), is_slow ? "false" : "true");
    CHECK_EQ(exit_code(s), is_slow ? 1 : 0);
}

static void usage_is_checked(void **state)
{
    (void)state;
    static const char *const args[] = {"doctor", "nonsense", NULL};
    struct server *s = server_start(&(struct server_options){.args = args});
    CHECK_EQ(server_run(s), 2);
    static const char *const help[] = {"doctor", "--help", NULL};
    s = server_start(&(struct server_options){.args = help});
    CHECK_EQ(server_run(s), 0);
    CHECK_HAS(lines_text(&s->out), "--handoff");
}

SERVER_MAIN(SERVER_TEST(every_row_says_what_it_found),
            SERVER_TEST(what_is_configured_is_held_against_the_machine),
            SERVER_TEST(limits_of_the_shell_are_seen),
            SERVER_TEST(handing_off_is_measured_for_all_sizes), SERVER_TEST(usage_is_checked))
