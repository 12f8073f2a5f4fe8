/* What each task has used is told, of those that were killed, too: in the access log, and added up
 * in the status. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/json.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"

static struct reply r;

static struct server *start(const char *setting, const char *log_path)
{
    server_let_crash();
    struct server *s = server_start_app(
        HEAVY_SO, "--workers", "1", "--set", "compute.workers=1", "--set", "pools.other.workers=1",
        "--set", setting, "--accesslog", log_path, "--set", "access_log_format=json", NULL);
    s->is_violent = true;
    return s;
}

static void ask(struct server *s, const char *target)
{
    char request[128];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    client_exchange(c, &r, request);
    client_close(c);
}

static void post(struct server *s, const char *target)
{
    char request[128];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request,
                   "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", target);
    client_exchange(c, &r, request);
    client_close(c);
}

/* The line of the access log about a target: waits for it. */
static const char *wait_line(const char *path, const char *target)
{
    static char text[65536];
    char part[128];
    uint64_t deadline = patience_until(PATIENCE_MS);
    (void)snprintf(part, sizeof part, "\"target\":\"%s\"", target);
    for (;;) {
        FILE *file = fopen(path, "re");
        size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
        if (file)
            (void)fclose(file);
        text[n] = '\0';
        for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            if (strstr(line, part))
                return line;
        }
        CHECK_SAYING(patience_turn(deadline), "no line about %s", target);
    }
}

static uint64_t number(const char *line, const char *name)
{
    return (uint64_t)json_number(line, name);
}

static void each_task_is_told_in_the_access_log(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        int status;
        const char *end;
        bool is_measured;
    } rows[] = {
        {"/work?n=60000", 200, "answered", true},
        {"/crash", 500, "crash", true},
        {"/leave", 500, "crash", true},
        {"/work?n=2000", 200, "answered", true},  /* so a fresh worker is there for the next */
        {"/loop-briefly", 504, "timeout", false}, /* its client is answered before it is dead */
    };
    char path[64] = "/tmp/remuda-accounts.XXXXXX";
    CHECK(mkstemp(path) >= 0);
    struct server *s = start("compute.breaker.failures=0", path);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char value[64];
        check_context("%s", rows[i].target);
        ask(s, rows[i].target);
        CHECK_EQ(r.status, rows[i].status);
        const char *line = wait_line(path, rows[i].target);
        CHECK(json_member(line, "task_end", value, sizeof value));
        CHECK_TEXT(value, rows[i].end);
        CHECK(json_member(line, "task_cpu_us", value, sizeof value));
        if (!rows[i].is_measured) {
            CHECK_TEXT(value, "null");
            continue;
        }
        CHECK(number(line, "task_wall_us") <= number(line, "duration_us"));
        CHECK(number(line, "task_peak_bytes") > 100000);
    }
    const char *line = wait_line(path, "/work?n=60000");
    CHECK(number(line, "task_cpu_us") > 0); /* how much is the scheduler's to say */
    CHECK(number(line, "task_cpu_us") <= number(line, "task_wall_us"));
    CHECK(number(line, "task_wall_us") >= 60000);
    ask(s, "/");
    CHECK(!strstr(wait_line(path, "/"), "task_end"));
    check_context("%s", "");
    (void)unlink(path);
}

/* A number of the tasks of a route. */
static uint64_t of_route(const char *answer, const char *route, const char *name)
{
    char part[128];
    (void)snprintf(part, sizeof part, "\"route\":\"%s\",\"requests\":", route);
    const char *at = strstr(answer, part);
    CHECK_SAYING(at != NULL, "no %s in %s", part, answer);
    const char *tasks = strstr(at, "\"tasks\":");
    CHECK(tasks != NULL);
    (void)snprintf(part, sizeof part, "\"%s\":", name);
    const char *value = strstr(tasks, part);
    CHECK(value != NULL);
    return strtoull(value + strlen(part), NULL, 10);
}

static void sums_hold_those_that_were_killed(void **state)
{
    (void)state;
    static const char *const targets[] = {"/work?n=1000", "/crash?1", "/crash?2", "/work?n=2000",
                                          "/loop-briefly"};
    struct server *s = start("compute.breaker.failures=0", "/dev/null");
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        ask(s, targets[i]);
    post(s, "/offload/crash");
    CHECK_EQ(r.status, 500);
    post(s, "/offload/time");
    CHECK_EQ(r.status, 200); /* so a fresh worker serves, and the others are buried */
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    CHECK_TEXT(control_member(answer, "pools.0.name"), "default");
    CHECK_EQ(control_number(answer, "pools.0.tasks.answered"), 3);
    CHECK_EQ(control_number(answer, "pools.0.tasks.crash"), 3);
    CHECK_EQ(control_number(answer, "pools.0.tasks.timeout"), 1);
    CHECK_EQ(control_number(answer, "pools.0.tasks.killed"), 0);
    CHECK(control_number(answer, "pools.0.tasks.wall_us") >= 3000);
    CHECK(control_number(answer, "pools.0.tasks.peak_bytes") > 100000);
    CHECK_EQ(control_number(answer, "overdue"), 1);
    CHECK_EQ(control_number(answer, "refused"), 0);
    CHECK_EQ(of_route(answer, "GET /work", "answered"), 2);
    CHECK_EQ(of_route(answer, "GET /crash", "crash"), 2);
    CHECK_EQ(of_route(answer, "GET /loop-briefly", "timeout"), 1);
    CHECK_EQ(of_route(answer, "TASK time", "answered"), 1);
    CHECK_EQ(of_route(answer, "TASK crash", "crash"), 1);
    CHECK(of_route(answer, "GET /loop-briefly", "cpu_us") > 0);
    CHECK(of_route(answer, "GET /loop-briefly", "cpu_us") <=
          of_route(answer, "GET /loop-briefly", "wall_us"));
    free(answer);
}

/* The last place of a part in a text. */
static const char *find_last(const char *text, const char *part)
{
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, part)); at++)
        found = at;
    return found;
}

static void what_a_task_had_used_is_in_the_line_about_its_death(void **state)
{
    (void)state;
    struct server *s = start("compute.breaker.failures=0", "/dev/null");
    ask(s, "/work?n=400000");
    ask(s, "/loop-briefly");
    const char *killed = server_wait_log(s, "compute worker killed");
    CHECK_HAS(killed, "target=\"/loop-briefly\"");
    CHECK(strstr(killed, " trace=") == find_last(killed, " trace="));
    CHECK(strstr(killed, " route=") == find_last(killed, " route="));
    const char *died = server_wait_log(s, "compute worker died");
    CHECK(lines_number(died, "cpu_ms") <= lines_number(died, "wall_ms")); /* not the other's, too */
    CHECK(lines_number(died, "peak_rss_bytes") > 100000);
    CHECK_HAS(died, "faults=");
}

static void what_was_refused_is_told_too(void **state)
{
    (void)state;
    char value[64];
    char path[64] = "/tmp/remuda-accounts.XXXXXX";
    CHECK(mkstemp(path) >= 0);
    struct server *s = start("compute.breaker.failures=1", path);
    ask(s, "/crash?1");
    CHECK_EQ(r.status, 500);
    ask(s, "/crash?2");
    CHECK_EQ(r.status, 503);
    CHECK(json_member(wait_line(path, "/crash?2"), "task_end", value, sizeof value));
    CHECK_TEXT(value, "refused");
    (void)unlink(path);
}

SERVER_MAIN(SERVER_TEST(each_task_is_told_in_the_access_log),
            SERVER_TEST(sums_hold_those_that_were_killed),
            SERVER_TEST(what_was_refused_is_told_too),
            SERVER_TEST(what_a_task_had_used_is_in_the_line_about_its_death))
