/* The admin process: what it answers, and that it answers whatever becomes of all the others. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define OPEN "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5"

static char address[160]; /* of the admin process of the present test */

static void learn_address(struct server *s)
{
    const char *line = lines_find_last(&s->log, "admin listening");
    CHECK(line && lines_pair(line, "address", address, sizeof address));
}

static struct server *start_with(const char *setting)
{
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--set", "admin.bind=127.0.0.1:0", "--set", setting, NULL);
    learn_address(s);
    return s;
}

static struct server *start(void)
{
    return start_with("strict=no");
}

/* A GET of the admin process on a connection of its own. Returns the status */
static int get(const char *target, const char *accept, struct reply *r)
{
    char request[512];
    struct client *c = client_open(address);
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: a\r\nAccept: %s\r\nConnection: close\r\n\r\n", target,
                   accept);
    client_exchange(c, r, request);
    client_close(c);
    return r->status;
}

static char *get_text(const char *target)
{
    struct reply r;
    reply_init(&r);
    (void)get(target, "*/*", &r);
    char *text = strdup(r.body.data ? r.body.data : "");
    reply_fini(&r);
    return text;
}

/* The value of a sample, by its name and labels as they are written; -1: there is none. */
static double sample(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line && *line;) {
        if (strncmp(line, name, len) == 0 && line[len] == ' ')
            return strtod(line + len, NULL);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return -1;
}

/* Waits until an answer has this text. */
static void wait_for(const char *target, int status, const char *part)
{
    struct reply r;
    uint64_t deadline = patience_until(PATIENCE_MS);
    bool has_it = false;
    do {
        reply_init(&r);
        has_it = get(target, "*/*", &r) == status && strstr(r.body.data, part);
        check_context("%s: %d %s", target, r.status, has_it ? "" : r.body.data);
        reply_fini(&r);
    } while (!has_it && patience_turn(deadline));
    CHECK_SAYING(has_it, "%s did not answer %d with: %s", target, status, part);
    check_context("%s", "");
}

/* Waits until a sample is above that. */
static void wait_for_more(const char *name, double least)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    double seen;
    do {
        char *text = get_text("/metrics");
        seen = sample(text, name);
        free(text);
    } while (seen <= least && patience_turn(deadline));
    CHECK_SAYING(seen > least, "%s is %g", name, seen);
}

static void signal_all(const struct server *s, int number, pid_t but)
{
    pid_t pids[PROCS_MAX];
    size_t n = procs_below(s->pid, pids);
    for (size_t i = 0; i < n; i++)
        if (pids[i] != but)
            CHECK_EQ(kill(pids[i], number), 0);
}

static pid_t admin_pid(struct server *s)
{
    pid_t pids[PROCS_MAX];
    char name[32];
    size_t n = procs_below(s->pid, pids);
    for (size_t i = 0; i < n; i++)
        if (strcmp(procs_name(pids[i], name, sizeof name), "remuda-admin") == 0)
            return pids[i];
    return 0;
}

/* ---- what it answers */

static void it_tells_health_and_metrics(void **state)
{
    (void)state;
    struct server *s = start();
    struct reply r;
    reply_init(&r);
    free(client_get(s, "/", 200));
    free(client_get(s, "/nowhere", 404));
    wait_for("/readyz", 200, "ready\nworkers_ready=2 workers_hung=0 workers_wanted=2");
    wait_for("/healthz", 200, "ok\n");
    wait_for("/metrics", 200, "remuda_workers{role=\"web\",state=\"idle\"} 2\n");
    CHECK_EQ(get("/metrics", "*/*", &r), 200);
    CHECK_TEXT(reply_field(&r, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    CHECK_EQ(sample(r.body.data, "remuda_requests_total{route=\"GET /\",method=\"GET\","
                                 "status=\"2xx\",lane=\"inline\"}"),
             1);
    CHECK_EQ(sample(r.body.data, "remuda_requests_total{route=\"none\",method=\"GET\","
                                 "status=\"4xx\",lane=\"inline\"}"),
             1);
    CHECK_EQ(sample(r.body.data, "remuda_request_duration_seconds_count{route=\"GET /\"}"), 1);
    CHECK_EQ(sample(r.body.data, "remuda_connections_accepted_total"), 2);
    CHECK_HAS(r.body.data, "remuda_setting_info{name=\"workers\",value=\"2\",source=\"command");
    CHECK_HAS(r.body.data, "remuda_setting_info{name=\"admin.bind\",value=\"127.0.0.1:0\",");
    CHECK_HAS_NOT(r.body.data, "# EOF");
    CHECK_EQ(get("/metrics", OPEN, &r), 200);
    CHECK_TEXT(reply_field(&r, "Content-Type"),
               "application/openmetrics-text; version=1.0.0; charset=utf-8");
    CHECK_HAS(r.body.data, "# TYPE remuda_requests counter\n");
    CHECK_TEXT(r.body.data + r.body.len - 6, "# EOF\n");
    CHECK_EQ(get("/", "*/*", &r), 404);
    reply_fini(&r);
}

/* Limits of the app's requests are not those of who looks at it. */
static void it_takes_what_scrapers_send_whatever_the_app_may(void **state)
{
    (void)state;
    struct reply r;
    (void)start_with("limit_request_field_size=64");
    reply_init(&r);
    CHECK_EQ(get("/metrics", OPEN, &r), 200);
    reply_fini(&r);
}

/* ---- that it answers */

static void it_answers_while_all_others_are_stopped(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t admin = admin_pid(s);
    CHECK(admin > 0);
    signal_all(s, SIGSTOP, admin);
    CHECK_EQ(kill(s->pid, SIGSTOP), 0);
    wait_for("/readyz", 503, "all workers hang\nworkers_ready=0 workers_hung=2");
    wait_for("/healthz", 200, "workers_ready=0 workers_hung=2");
    char *text = get_text("/metrics");
    CHECK_EQ(sample(text, "remuda_workers{role=\"web\",state=\"hung\"}"), 2);
    CHECK_EQ(sample(text, "remuda_ready"), 0);
    free(text);
    wait_for_more("remuda_master_silent_seconds", 1);
    CHECK_EQ(kill(s->pid, SIGCONT), 0);
    signal_all(s, SIGCONT, admin);
    wait_for("/readyz", 200, "ready\n");
}

static void it_survives_a_reload(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t admin = admin_pid(s);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "generation gone");
    wait_for("/readyz", 200, "generation=2 ");
    wait_for("/metrics", 200, "remuda_reloads_total{outcome=\"done\"} 1\n");
    CHECK_EQ(admin_pid(s), admin);
}

static void it_is_replaced_when_it_dies(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t admin = admin_pid(s);
    s->is_violent = true;
    CHECK_EQ(kill(admin, SIGKILL), 0);
    (void)server_wait_log(s, "admin process died");
    wait_for("/metrics", 200, "remuda_restarts_total{role=\"admin\",reason=\"outside\"} 1\n");
    CHECK(admin_pid(s) != admin);
    free(client_get(s, "/", 200));
}

/* The watchdog looks at it as at workers. */
static void it_is_replaced_when_it_hangs(void **state)
{
    (void)state;
    struct server *s = start_with("timeout=2s");
    s->is_violent = true;
    CHECK_EQ(kill(admin_pid(s), SIGSTOP), 0);
    (void)server_wait_log(s, "admin process does not answer");
    (void)server_wait_log(s, "admin process died");
    wait_for("/metrics", 200, "remuda_restarts_total{role=\"admin\",reason=\"hung\"} 1\n");
}

/* ---- what it says of the others */

static void counters_survive_a_worker_and_its_death_is_one(void **state)
{
    (void)state;
    struct server *s = start();
    for (int i = 0; i < 20; i++)
        free(client_get(s, "/", 200));
    /* Latencies are noted when the answers are with the kernel, behind what their clients see. */
    wait_for("/metrics", 200, "remuda_request_duration_seconds_count{route=\"GET /\"} 20\n");
    s->is_violent = true;
    CHECK_EQ(kill(server_worker_pid(s, 0), SIGKILL), 0);
    (void)server_wait_log(s, "worker died");
    (void)server_wait_log(s, "worker ready");
    wait_for("/metrics", 200, "remuda_restarts_total{role=\"web\",reason=\"outside\"} 1\n");
    char *text = get_text("/metrics");
    CHECK_EQ(sample(text, "remuda_requests_total{route=\"GET /\",method=\"GET\",status=\"2xx\","
                          "lane=\"inline\"}"),
             20);
    CHECK_EQ(sample(text, "remuda_request_duration_seconds_count{route=\"GET /\"}"), 20);
    free(text);
}

static void it_is_not_ready_while_the_server_drains(void **state)
{
    (void)state;
    struct server *s = start_with("drain_delay=60s");
    server_signal(s, SIGTERM);
    wait_for("/readyz", 503, "draining: the server stops soon\nworkers_ready=2");
    free(client_get(s, "/", 200));
    server_signal(s, SIGQUIT);
    CHECK_EQ(server_wait_exit(s), 0);
}

static void without_a_worker_it_is_not_ready(void **state)
{
    (void)state;
    struct server *s = start();
    server_signal(s, SIGWINCH);
    wait_for("/readyz", 503, "no worker is ready\nworkers_ready=0 workers_hung=0 workers_wanted=0");
}

static void tasks_are_told_by_outcome(void **state)
{
    (void)state;
    struct server *s = start();
    s->is_violent = true;
    free(client_get(s, "/burn?ms=1", 200));
    free(client_get(s, "/crash", 500));
    wait_for("/metrics", 200, "remuda_tasks_total{pool=\"default\",outcome=\"answered\"} 1\n");
    wait_for("/metrics", 200, "remuda_tasks_total{pool=\"default\",outcome=\"crash\"} 1\n");
    char *text = get_text("/metrics");
    CHECK_EQ(sample(text, "remuda_breaker_state{route=\"GET /crash\",state=\"closed\"}"), 1);
    /* A sanitizer's report ends in _exit(2). */
    CHECK(sample(text, "remuda_restarts_total{role=\"compute\",reason=\"crash\"}") == 1 ||
          sample(text, "remuda_restarts_total{role=\"compute\",reason=\"exit\"}") == 1);
    CHECK(sample(text, "remuda_task_handoff_seconds_count") >= 1);
    free(text);
}

/* ---- its address */

static void an_address_in_use_is_refused(void **state)
{
    (void)state;
    char bind[192];
    struct server *s = start();
    (void)snprintf(bind, sizeof bind, "admin.bind=%s", address + strlen("http://"));
    struct server *second =
        server_start_args("run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--set", bind, NULL);
    CHECK_EQ(server_wait_exit(second), 3);
    CHECK_HAS(lines_text(&second->log), "admin: ");
    wait_for("/healthz", 200, "ok\n");
    (void)s;
}

static void a_unix_socket_goes_with_the_server(void **state)
{
    (void)state;
    char bind[256];
    struct server *s = server_new();
    char path[160];
    (void)snprintf(path, sizeof path, "%s", server_path(s, "admin"));
    (void)snprintf(bind, sizeof bind, "admin.bind=unix:%s", path);
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--set", bind, NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    learn_address(s);
    wait_for("/healthz", 200, "ok\n");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(access(path, F_OK) != 0);
}

static void it_passes_over_in_an_upgrade(void **state)
{
    (void)state;
    struct server *s = start();
    char before[160];
    (void)snprintf(before, sizeof before, "%s", address);
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master ready");
    wait_for("/readyz", 200, "generation=2 ");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_succession(s), 0);
    (void)server_wait_log(s, "old master gone");
    wait_for("/readyz", 200, "ready\nworkers_ready=2");
    CHECK_TEXT(address, before);
}

SERVER_MAIN(SERVER_TEST(it_tells_health_and_metrics),
            SERVER_TEST(it_takes_what_scrapers_send_whatever_the_app_may),
            SERVER_TEST(it_answers_while_all_others_are_stopped), SERVER_TEST(it_survives_a_reload),
            SERVER_TEST(it_is_replaced_when_it_dies), SERVER_TEST(it_is_replaced_when_it_hangs),
            SERVER_TEST(counters_survive_a_worker_and_its_death_is_one),
            SERVER_TEST(it_is_not_ready_while_the_server_drains),
            SERVER_TEST(without_a_worker_it_is_not_ready), SERVER_TEST(tasks_are_told_by_outcome),
            SERVER_TEST(an_address_in_use_is_refused),
            SERVER_TEST(a_unix_socket_goes_with_the_server),
            SERVER_TEST(it_passes_over_in_an_upgrade))
