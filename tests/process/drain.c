/* Draining without loss: who is connected when a stop begins gets what was promised, or one more
 * answer that says close, and what can't be finished in time is named in the log. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"
#define BODIES_SO REMUDA_TEST_APPS_DIR "/bodies.so"
#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct reply r;

/* One worker, which is patient with whoever is connected. */
static struct server *start_patient(const char *app)
{
    return server_start_app(app, "--workers", "1", "--set", "graceful_timeout=1h", "--set",
                            "drain_keepalive=1h", NULL);
}

/* Says TERM, and waits until the drain has begun in the worker: then its sockets are closed. */
static void term_and_wait(struct server *s)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    server_signal(s, SIGTERM);
    while (client_try(server_address(s, 0)) == 0)
        CHECK_SAYING(patience_turn(deadline), "connections are still taken");
}

static void check_last_answer(struct client *c)
{
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK(r.is_closing);
    client_expect_close(c);
}

/* ---- the last chance ---- */

static void idle_connections_get_one_more_answer_that_says_close(void **state)
{
    (void)state;
    struct client *clients[10];
    struct server *s = start_patient(REMUDA_DEMO_SO);
    for (int i = 0; i < 10; i++) {
        clients[i] = client_to(s);
        client_exchange(clients[i], &r, GET("/"));
        CHECK(!r.is_closing);
    }
    term_and_wait(s);
    for (int i = 0; i < 10; i++) {
        client_send_text(clients[i], GET("/"));
        check_last_answer(clients[i]);
    }
    CHECK_EQ(server_wait_exit(s), 0);
}

static void pipelined_requests_are_all_answered(void **state)
{
    (void)state;
    struct server *s = start_patient(REMUDA_DEMO_SO);
    struct client *c = client_to(s);
    client_exchange(c, &r, GET("/"));
    term_and_wait(s);
    client_send_text(c, GET("/") GET("/json") GET("/hello/ann"));
    for (int i = 0; i < 2; i++) {
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK(!r.is_closing);
    }
    check_last_answer(c);
    CHECK_TEXT(r.body.data, "hello, ann\n");
    CHECK_EQ(server_wait_exit(s), 0);
}

static void request_that_has_begun_may_end(void **state)
{
    (void)state;
    struct server *s = start_patient(REMUDA_DEMO_SO);
    struct client *head = client_to(s);
    struct client *body = client_to(s);
    client_send_text(head, "GET / HTTP/1.1\r\nHo");
    client_send_text(body, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    term_and_wait(s);
    client_send_text(head, "st: a\r\n\r\n");
    check_last_answer(head);
    client_send_text(body, " a word");
    check_last_answer(body);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* The kernel holds back TCP connections without a request, so this takes a unix socket. */
static void connection_that_has_sent_nothing_has_a_chance_too(void **state)
{
    (void)state;
    struct server *s = server_new();
    char bind[160];
    (void)snprintf(bind, sizeof bind, "unix:%s", server_path(s, "sock"));
    const char *args[] = {
        "run", REMUDA_DEMO_SO, "--workers",           "1",     "--bind",
        bind,  "--set",        "graceful_timeout=1h", "--set", "drain_keepalive=1h",
        NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    struct client *c = client_to(s);
    struct client *scout = client_to(s);
    server_signal(s, SIGTERM);
    do /* the master refuses new connections before the worker has heard of the drain */
        client_exchange(scout, &r, GET("/"));
    while (!r.is_closing);
    client_send_text(c, GET("/"));
    check_last_answer(c);
    CHECK_EQ(server_wait_exit(s), 0);
}

static void idle_connections_are_closed_when_their_chance_is_over(void **state)
{
    (void)state;
    static const char *const windows[] = {"drain_keepalive=0", "drain_keepalive=500ms"};
    for (int i = 0; i < 2; i++) {
        struct server *s = server_start_app(REMUDA_DEMO_SO, "--set", "graceful_timeout=1h", "--set",
                                            windows[i], NULL);
        struct client *c = client_to(s);
        client_exchange(c, &r, GET("/"));
        server_signal(s, SIGTERM);
        client_expect_close(c);
        CHECK_EQ(server_wait_exit(s), 0);
    }
}

/* Whatever drain_keepalive says: half of graceful_timeout is for the request that comes last. */
static void last_chance_is_half_of_graceful_timeout_at_most(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--set", "graceful_timeout=2s", "--set",
                                        "drain_keepalive=1h", NULL);
    struct client *c = client_to(s);
    client_exchange(c, &r, GET("/"));
    server_signal(s, SIGTERM);
    client_expect_close(c);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(lines_count(&s->log, "graceful_timeout is over"), 0);
}

/* Its head promised to go on, so the client may have sent its next request by the end of it. */
static void stream_that_promised_to_go_on_keeps_its_word(void **state)
{
    (void)state;
    struct server *s = start_patient(REMUDA_DEMO_SO);
    struct client *c = client_to(s);
    client_send_text(c, "GET /stream?n=20&ms=50 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read_head(c, &r);
    CHECK(!r.is_closing);
    term_and_wait(s);
    for (char line[256] = ""; strcmp(line, "0\r\n") != 0;)
        client_read_line(c, line, sizeof line);
    char empty[8];
    client_read_line(c, empty, sizeof empty);
    client_send_text(c, GET("/"));
    check_last_answer(c);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* ---- connections that nobody has accepted yet ---- */

/* They were promised an answer when their handshake was done. The worker is stopped, so that they
 * pile up. */
__attribute__((format(printf, 1, 0))) static void check_queue_is_served(const char *bind)
{
    enum { COUNT = 50 };
    struct client *clients[COUNT];
    char address[160];
    struct server *s = server_new();
    (void)snprintf(address, sizeof address, bind, server_path(s, "sock"));
    const char *args[] = {"run", REMUDA_DEMO_SO, "--workers", "1", "--bind", address, NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    pid_t pid = server_worker_pid(s, 0);
    CHECK(kill(pid, SIGSTOP) == 0);
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], GET("/"));
    }
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stopping");
    CHECK(kill(pid, SIGCONT) == 0);
    for (int i = 0; i < COUNT; i++) { /* whether it says close depends on what it hears first */
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
        client_close(clients[i]);
    }
    CHECK_EQ(server_wait_exit(s), 0);
}

static void whoever_is_in_the_queue_is_answered(void **state)
{
    (void)state;
    check_queue_is_served("127.0.0.1:0");
    check_queue_is_served("unix:%s");
}

/* More than the worker takes in a turn, and the last of its batches is a whole one, taken when the
 * sockets' time is over: that nobody else waits, no event tells it then. Each batch holds the loop
 * for longer than those have who are on the way. */
static void queue_of_whole_batches_is_answered_and_closed(void **state)
{
    (void)state;
    enum { BATCH = 64, BATCHES = 4 };
    struct client *clients[BATCHES * BATCH];
    struct server *s = start_patient(PROBE_SO);
    pid_t pid = server_worker_pid(s, 0);
    CHECK(kill(pid, SIGSTOP) == 0);
    for (int i = 0; i < BATCHES * BATCH; i++) {
        char request[400], name[16];
        (void)snprintf(name, sizeof name, "go%d", i / BATCH);
        (void)snprintf(
            request, sizeof request, "GET %s%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            i % BATCH == 0 ? "/wait?file=" : "/counts", i % BATCH == 0 ? server_path(s, name) : "");
        clients[i] = client_to(s);
        client_send_text(clients[i], request);
    }
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stopping");
    CHECK(kill(pid, SIGCONT) == 0);
    for (int i = 0; i < BATCHES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "go%d", i);
        (void)server_wait_log(s, "probe waits");
        uint64_t end = clock_now_us() + CLOCK_US_PER_S / 5;
        while (patience_turn(end)) /* the length of the batch, not a wait for anything */
            continue;
        (void)server_write_file(s, name, "");
    }
    for (int i = 0; i < BATCHES * BATCH; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
        client_close(clients[i]);
    }
    CHECK_EQ(server_wait_exit(s), 0);
}

/* ---- what does not end in time ---- */

/* The line about a request: there must be exactly one, with its phase. */
static const char *check_cut(struct server *s, const char *method, const char *target,
                             const char *phase)
{
    static char line[LINES_LINE_MAX];
    char want[300];
    int n = snprintf(want, sizeof want,
                     ": request cut why=\"graceful_timeout\" method=\"%s\" target=\"%s", method,
                     target);
    const char *at = strstr(lines_text(&s->log), want);
    CHECK_SAYING(at != NULL, "no line has %s", want);
    CHECK_SAYING(strstr(at + n, want) == NULL, "more than one line has %s", want);
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    (void)snprintf(want, sizeof want, " phase=%s ", phase);
    CHECK_HAS(line, want);
    CHECK_HAS(line, " elapsed_ms=");
    CHECK_HAS(line, " trace=");
    return line;
}

static struct server *start_hasty(const char *app)
{
    /* So long that the worker has time for its last lines: an eighth of it, 250 ms at most. What
     * looks for leaks at its end takes longer than that on a busy machine. */
    char limit[40], options[512];
    const char *usual = getenv("ASAN_OPTIONS");
    (void)snprintf(limit, sizeof limit, "graceful_timeout=%us", 2 * patience_factor());
    (void)snprintf(options, sizeof options, "ASAN_OPTIONS=%s%sdetect_leaks=0", usual ? usual : "",
                   usual ? ":" : "");
    const char *args[] = {"run", app,     "--bind", "127.0.0.1:0", "--workers",
                          "1",   "--set", limit,    NULL};
    const char *env[] = {options, NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    return s;
}

/* The worker lives: it says itself what it cuts, and ends in an orderly way. */
static void answers_under_way_are_named_when_they_are_cut(void **state)
{
    (void)state;
    struct server *s = start_hasty(PROBE_SO);
    struct client *stream = client_to(s);
    struct client *slow = client_to(s);
    client_send_text(stream, GET("/never?a=1"));
    client_read_head(stream, &r);
    client_shrink(slow);
    client_send_text(slow, GET("/reference?n=20000000"));
    client_read_raw(slow, 1000);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(check_cut(s, "GET", "/never?a=1", "stream"), " route=\"/never\" ");
    CHECK(lines_number(check_cut(s, "GET", "/reference?n=20000000", "send"), "sent") > 0);
    CHECK_EQ(lines_count(&s->log, "request cut"), 2);
    CHECK_EQ(lines_count(&s->log, "request lost"), 0);
    CHECK_EQ(lines_count(&s->log, "worker killed"), 0);
}

static void requests_without_an_answer_are_named_when_they_are_cut(void **state)
{
    (void)state;
    char request[400];
    struct server *s = start_hasty(BODIES_SO);
    struct client *held = client_to(s);
    struct client *body = client_to(s);
    struct client *head = client_to(s);
    (void)snprintf(request, sizeof request, "GET /hold?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(held, request);
    (void)server_wait_log(s, "holds");
    client_send_text(body, "POST /back HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    client_send_text(head, "GET /back HTTP/1.1\r\nHo");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(check_cut(s, "GET", "/hold?file=", "deferred"), " route=\"/hold\" ");
    (void)check_cut(s, "POST", "/back", "body");
    CHECK_EQ(lines_count(&s->log, "request cut"), 3);
    CHECK_HAS(lines_find_last(&s->log, "request cut"), "phase=");
    CHECK_EQ(lines_count(&s->log, "request lost"), 0);
    CHECK_EQ(lines_count(&s->log, "worker killed"), 0);
}

/* A quick stop cuts at once, and says so as well. */
static void quick_stop_names_what_it_cuts(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    struct client *c = client_to(s);
    client_send_text(c, GET("/never"));
    client_read_head(c, &r);
    server_signal(s, SIGINT);
    CHECK_EQ(server_wait_exit(s), 0);
    const char *line = lines_find_last(&s->log, "request cut");
    CHECK(line != NULL);
    CHECK_HAS(line, "why=\"stop\" method=\"GET\" target=\"/never\"");
    CHECK_EQ(lines_count(&s->log, "request cut"), 1);
    CHECK_EQ(lines_count(&s->log, "request lost"), 0);
}

/* The worker is busy in a handler and says nothing any more: its last words are the master's. */
static void request_of_a_killed_worker_is_named_by_the_master(void **state)
{
    (void)state;
    char request[400];
    struct server *s = start_hasty(PROBE_SO);
    struct client *c = client_to(s);
    s->is_violent = true;
    (void)snprintf(request, sizeof request, "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(c, request);
    (void)server_wait_log(s, "probe waits");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(lines_count(&s->log, "request lost"), 1);
    CHECK_EQ(lines_count(&s->log, "request cut"), 0);
    CHECK_HAS(lines_find_last(&s->log, "request lost"), "target=\"/wait?file=");
}

/* ---- TERM to one worker ---- */

/* The request that it has is finished, its socket is served by others meanwhile, and who loads the
 * server notices nothing. */
static void term_to_a_worker_under_load_loses_nothing(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "2", NULL);
    struct load *kept = load_start(server_address(s, 0), 8, "/info", NULL);
    for (int i = 0; i < 4; i++) {
        pid_t pid = server_worker_pid(s, i % 2);
        load_wait_answers(kept, 200);
        server_skip_log(s);
        CHECK(kill(pid, SIGTERM) == 0);
        (void)server_wait_log(s, i % 2 ? "worker ready slot=1" : "worker ready slot=0");
        CHECK(procs_wait_gone(pid, PATIENCE_MS));
    }
    load_wait_answers(kept, 200);
    struct load_result result = load_stop(kept);
    load_check(&result, 0);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
    CHECK_EQ(lines_count(&s->log, "worker ended"), 4);
}

/* As `kill 0` does, or a service manager that ends a whole group of processes. */
static void term_to_everybody_at_once_loses_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "2", NULL);
        struct client *clients[20];
        for (int k = 0; k < 20; k++) {
            clients[k] = client_to(s);
            client_send_text(clients[k], GET("/bytes?n=100000"));
        }
        CHECK(kill(server_worker_pid(s, 0), SIGTERM) == 0);
        CHECK(kill(server_worker_pid(s, 1), SIGTERM) == 0);
        server_signal(s, SIGTERM);
        for (int k = 0; k < 20; k++) {
            client_read(clients[k], &r, false);
            CHECK_EQ(r.status, 200);
            CHECK_EQ(r.body.len, 100000);
            client_close(clients[k]);
        }
        CHECK_EQ(server_wait_exit(s), 0);
    }
}

/* ---- drain_delay ---- */

static struct server *start_delayed(const char *delay)
{
    return server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", delay, NULL);
}

static void drain_delay_serves_on_until_a_second_term(void **state)
{
    (void)state;
    struct server *s = start_delayed("drain_delay=1h");
    struct client *kept = client_to(s);
    client_exchange(kept, &r, GET("/"));
    server_signal(s, SIGTERM);
    CHECK_EQ(lines_number(server_wait_log(s, "leaving"), "drain_delay_ms"), 3600000);
    client_exchange(kept, &r, GET("/"));
    CHECK(!r.is_closing);
    free(client_get(s, "/", 200));
    server_signal(s, SIGHUP); /* nothing new is begun: whoever goes needs no successor here */
    free(client_get(s, "/", 200));
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stopping");
    client_send_text(kept, GET("/"));
    client_read(kept, &r, false);
    CHECK_EQ(r.status, 200);
    client_close(kept);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(lines_count(&s->log, "reloading"), 0);
    server_check_gone(s, true);
}

static void drain_delay_ends_by_itself(void **state)
{
    (void)state;
    struct server *s = start_delayed("drain_delay=300ms");
    server_signal(s, SIGTERM);
    CHECK_HAS(server_wait_log(s, "stopping"), "why=drain_delay");
    CHECK_EQ(server_wait_exit(s), 0);
}

static void int_does_not_wait_for_drain_delay(void **state)
{
    (void)state;
    static const bool has_begun[] = {false, true};
    for (int i = 0; i < 2; i++) {
        struct server *s = start_delayed("drain_delay=1h");
        if (has_begun[i]) {
            server_signal(s, SIGTERM);
            (void)server_wait_log(s, "leaving");
        }
        server_signal(s, SIGINT);
        CHECK_HAS(server_wait_log(s, "stopping"), "how=\"quick\"");
        CHECK_EQ(server_wait_exit(s), 0);
    }
}

/* A worker that dies meanwhile is replaced as ever. */
static void drain_delay_replaces_who_dies(void **state)
{
    (void)state;
    struct server *s = start_delayed("drain_delay=1h");
    s->is_violent = true;
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "leaving");
    CHECK(kill(server_worker_pid(s, 0), SIGKILL) == 0);
    (void)server_wait_log(s, "worker ready slot=0");
    free(client_get(s, "/", 200));
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* The kernel keeps a connection without a request to itself, and would reset it with the socket:
 * during drain_delay it hands it over, and then it has its last chance. */
static void bare_connections_are_handed_over_during_drain_delay(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "drain_delay=1h", "--set",
                         "graceful_timeout=1h", "--set", "drain_keepalive=1h", NULL);
    pid_t pid = server_worker_pid(s, 0);
    size_t before = procs_fd_count_like(pid, "socket:");
    struct client *c = client_to(s);
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "leaving");
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count_like(pid, "socket:") <= before)
        CHECK_SAYING(patience_turn(deadline), "the connection was not handed over");
    term_and_wait(s);
    client_send_text(c, GET("/"));
    check_last_answer(c);
    CHECK_EQ(server_wait_exit(s), 0);
}

SERVER_MAIN(SERVER_TEST(idle_connections_get_one_more_answer_that_says_close),
            SERVER_TEST(pipelined_requests_are_all_answered),
            SERVER_TEST(request_that_has_begun_may_end),
            SERVER_TEST(connection_that_has_sent_nothing_has_a_chance_too),
            SERVER_TEST(idle_connections_are_closed_when_their_chance_is_over),
            SERVER_TEST(last_chance_is_half_of_graceful_timeout_at_most),
            SERVER_TEST(stream_that_promised_to_go_on_keeps_its_word),
            SERVER_TEST(whoever_is_in_the_queue_is_answered),
            SERVER_TEST(queue_of_whole_batches_is_answered_and_closed),
            SERVER_TEST(answers_under_way_are_named_when_they_are_cut),
            SERVER_TEST(requests_without_an_answer_are_named_when_they_are_cut),
            SERVER_TEST(quick_stop_names_what_it_cuts),
            SERVER_TEST(request_of_a_killed_worker_is_named_by_the_master),
            SERVER_TEST(term_to_a_worker_under_load_loses_nothing),
            SERVER_TEST(term_to_everybody_at_once_loses_nothing),
            SERVER_TEST(drain_delay_serves_on_until_a_second_term),
            SERVER_TEST(drain_delay_ends_by_itself), SERVER_TEST(int_does_not_wait_for_drain_delay),
            SERVER_TEST(drain_delay_replaces_who_dies),
            SERVER_TEST(bare_connections_are_handed_over_during_drain_delay))
