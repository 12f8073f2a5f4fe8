/* Numbers of workers that follow the work, what a wish for a number does to that, and the decisions
 * that a server tells of. */
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/server.h"

#define LANES_SO REMUDA_TEST_APPS_DIR "/lanes.so"
#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"
#define RANGE "2..4" /* with one CPU they begin with two, which is nearest to it */

static struct reply r;

/* For servers that are started from now on: where `auto` begins is to be the same everywhere. */
static void stay_on_one_cpu(void)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
}

/* A request that is answered when the file `go` exists. */
static struct client *send_waiting(struct server *s, const char *path)
{
    char request[512];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s?file=%s HTTP/1.1\r\nHost: a\r\n\r\n", path,
                   server_path(s, "go"));
    client_send_text(c, request);
    return c;
}

static void expect(struct client *c)
{
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    client_close(c);
}

static void workers_of_class_sync_come_when_connections_wait(void **state)
{
    (void)state;
    struct client *c[4];
    struct server *s = server_start_app(LANES_SO, "--set", "worker_class=sync", "--workers", "1..4",
                                        NULL); /* three to begin with: two for the CPU, and one */
    for (int i = 0; i < 3; i++) {
        c[i] = send_waiting(s, "/wait");
        (void)server_wait_log(s, "lanes waits");
    }
    c[3] = send_waiting(s, "/wait");
    CHECK_HAS(server_wait_log(s, "web workers grow"), "from=3 to=4 why=\"jobs wait\"");
    (void)server_wait_log(s, "lanes waits");
    (void)server_write_file(s, "go", "");
    for (int i = 0; i < 4; i++)
        expect(c[i]);
}

/* A handler that waits on the loop holds up all others: another loop helps. */
static void keep_busy_until_it_grows(struct server *s)
{
    struct client *c = client_to(s);
    size_t n = 0;
    while (!lines_find_last(&s->log, "web workers grow")) {
        client_send_text(c, "GET /block?ms=50 HTTP/1.1\r\nHost: a\r\n\r\n");
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK(n++ < 2000);
    }
    client_close(c);
    CHECK_HAS(lines_find_last(&s->log, "web workers grow"), "from=1 to=2");
    (void)server_wait_log(s, "worker ready slot=1");
}

static void event_workers_come_when_their_loops_are_busy(void **state)
{
    (void)state;
    keep_busy_until_it_grows(server_start_app(REMUDA_DEMO_SO, "--workers", "1..2", NULL));
}

static void a_service_managers_sockets_are_no_reason_not_to_grow(void **state)
{
    (void)state;
    const char *args[] = {"run", REMUDA_DEMO_SO, "--workers", "1..2", NULL};
    const char *env[] = {NULL};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof in) == 0 && listen(fd, 128) == 0);
    struct server *s = server_new();
    server_launch(
        s, &(struct server_options){.args = args, .env = env, .sockets = &fd, .n_sockets = 1});
    server_wait_ready(s);
    keep_busy_until_it_grows(s);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    s->n_addresses = 0; /* it is left open by who passed it */
    (void)close(fd);
}

static void who_asks_for_a_number_gets_just_that(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1..4", NULL);
    char *answer = control_ask(s, "{\"request\":\"scale\",\"workers\":2}");
    CHECK_EQ(control_number(answer, "workers"), 2);
    free(answer);
    control_wait_member(s, "workers_max", "2");
    control_wait_member(s, "workers_min", "2");
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    control_wait_member(s, "workers_max", "4");
    control_wait_member(s, "workers_min", "1");
}

static void expect_whole_range(const struct server *s)
{
    control_wait_member(s, "workers_wanted", "2");
    control_wait_member(s, "workers_min", "2");
    control_wait_member(s, "workers_max", "4");
}

/* The old master has sent its workers home by then; one still has a request. */
static void fail_an_upgrade(struct server *s, bool reloads)
{
    struct client *c = send_waiting(s, "/wait");
    (void)server_wait_log(s, "lanes waits");
    s->is_violent = true;
    struct server *command =
        server_start_args("upgrade", "--control-socket", control_socket(s), NULL);
    (void)server_wait_log(s, "scaling workers=0");
    if (reloads)
        server_signal(s, SIGHUP);
    CHECK_EQ(kill(server_new_master(s), SIGKILL), 0);
    CHECK_EQ(server_run(command), 1);
    (void)server_write_file(s, "go", "");
    expect(c);
}

static void an_upgrade_that_fails_leaves_the_range_as_it_was(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, "--workers", RANGE, NULL);
    fail_an_upgrade(s, false);
    expect_whole_range(s);
}

/* It waits until the workers are back, who did not come at anybody's wish. */
static void a_reload_during_an_upgrade_that_fails_goes_by_the_settings(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, "--workers", RANGE, NULL);
    fail_an_upgrade(s, true);
    (void)server_wait_log(s, "reloaded");
    expect_whole_range(s);
}

/* Gunicorn's way, by signals. */
static void workers_that_were_sent_home_come_back_as_a_range(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, "--workers", RANGE, NULL);
    s->is_violent = true;
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master ready");
    server_signal(s, SIGWINCH);
    (void)server_wait_log(s, "scaling workers=0");
    CHECK_EQ(kill(server_new_master(s), SIGKILL), 0);
    (void)server_wait_log(s, "new master gone");
    expect_whole_range(s);
}

static void without_adaptive_nothing_has_room_to_change(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1..4", "--set",
                                        "adaptive=off", "--set", "compute.workers=1..4", NULL);
    control_wait_member(s, "workers_min", "1");
    control_wait_member(s, "workers_max", "1");
    control_wait_member(s, "pools.0.workers_max", "1");
}

static void decisions_are_told_with_what_decided(void **state)
{
    (void)state;
    struct server *s = server_start_app(HEAVY_SO, "--set", "compute.workers=1..2", "--set",
                                        "pools.other.workers=1", NULL);
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    CHECK_HAS(answer, "\"decisions\":[]");
    free(answer);
    struct client *first = send_waiting(s, "/until");
    struct client *second = send_waiting(s, "/until");
    const char *line = server_wait_log(s, "compute pool grows");
    CHECK_HAS(line, "compute=\"default\" from=1 to=2 why=\"jobs wait\" min=1 max=2");
    CHECK_HAS(line, "queued=1");
    answer = control_ask(s, "{\"request\":\"status\"}");
    CHECK_EQ(control_number(answer, "decisions.0.number"), 1);
    CHECK_TEXT(control_member(answer, "decisions.0.kind"), "compute");
    CHECK_TEXT(control_member(answer, "decisions.0.about"), "default");
    CHECK_TEXT(control_member(answer, "decisions.0.from"), "1");
    CHECK_TEXT(control_member(answer, "decisions.0.to"), "2");
    CHECK_TEXT(control_member(answer, "decisions.0.why"), "jobs wait");
    CHECK_HAS(control_member(answer, "decisions.0.figures"), "queued=1");
    free(answer);
    (void)server_write_file(s, "go", "");
    expect(first);
    expect(second);
}

static int set_up_group(void **state)
{
    stay_on_one_cpu();
    return server_setup_group(state);
}

SERVER_SHARED_MAIN(set_up_group, SERVER_TEST(workers_of_class_sync_come_when_connections_wait),
                   SERVER_TEST(event_workers_come_when_their_loops_are_busy),
                   SERVER_TEST(a_service_managers_sockets_are_no_reason_not_to_grow),
                   SERVER_TEST(who_asks_for_a_number_gets_just_that),
                   SERVER_TEST(an_upgrade_that_fails_leaves_the_range_as_it_was),
                   SERVER_TEST(a_reload_during_an_upgrade_that_fails_goes_by_the_settings),
                   SERVER_TEST(workers_that_were_sent_home_come_back_as_a_range),
                   SERVER_TEST(without_adaptive_nothing_has_room_to_change),
                   SERVER_TEST(decisions_are_told_with_what_decided))
