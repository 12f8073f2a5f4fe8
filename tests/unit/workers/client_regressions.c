/* Mistakes of workers/client.c that were found by reading: each test failed before its repair. The
 * clock is the test's: a turn of the loop reads none by itself. */
#include "workers/client.h"

#include <unistd.h>

#include <ev.h>

#include "base/clock.h"
#include "base/err.h"
#include "http/stream.h"
#include "tests/harness/check.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define START_US 1000000U
#define WAIT_MS 1000

static struct {
    struct settings settings;
    struct seat_head head;
    struct web web;
    struct clients all;
    struct ev_loop *loop;
    struct router *router;
    unsigned calls; /* of the producer */
} room;

/* ---- the application ---- */

static int produce(rmd_writer *out, void *state)
{
    (void)state;
    CHECK(buf_append(out->out, "piece\n", 6) == 0);
    return ++room.calls == 2 ? RMD_END : WAIT_MS;
}

static void on_stream(rmd_request *req, rmd_response *res)
{
    (void)req;
    res->status = 200;
    res->kind = RESPONSE_STREAM;
    res->produce = produce;
}

/* Has nothing to say, and asks again at once, as one does who looks at a queue. */
static int produce_nothing(rmd_writer *out, void *state)
{
    (void)out;
    (void)state;
    CHECK_SAYING(++room.calls < 10000, "one stream keeps the loop to itself");
    return 0;
}

static void on_empty(rmd_request *req, rmd_response *res)
{
    on_stream(req, res);
    res->produce = produce_nothing;
}

static void on_target(rmd_request *req, rmd_response *res)
{
    struct str target = request_target(req);
    res->status = 200;
    res->kind = RESPONSE_BYTES;
    res->body = target.p;
    res->body_len = target.len;
}

static void on_handle(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    (void)owner;
    if (req->match.route)
        req->match.route->decl->handler(req, res);
    else
        response_error_page(res, req->arena, 404);
}

static void on_error(void *owner, struct rmd_request *req, struct rmd_response *res, int status)
{
    (void)owner;
    response_error_page(res, req->arena, status);
}

static void on_finished(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    (void)owner;
    (void)req;
    (void)res;
}

static void on_parked(void *owner, struct rmd_request *req)
{
    (void)owner;
    (void)req;
}

static void on_closed(void)
{
}

/* ---- the loop ---- */

static int setup(void **state)
{
    static const rmd_route routes[] = {
        {.method = "GET", .pattern = "/stream", .handler = on_stream},
        {.method = "GET", .pattern = "/empty", .handler = on_empty},
        {.method = "GET", .pattern = "/:any", .handler = on_target},
        {.method = "POST", .pattern = "/:any", .handler = on_target},
        {0}};
    static const struct conn_hooks hooks = {
        .handle = on_handle, .error = on_error, .finished = on_finished, .parked = on_parked};
    static const struct http_limits limits = LIMITS_DEFAULT;
    struct err err;
    (void)state;
    memset(&room, 0, sizeof room);
    room.settings.server_header = "remuda";
    room.settings.keepalive_us = 75000000;
    room.settings.header_timeout_us = 10000000;
    room.settings.write_timeout_us = 30000000;
    room.web.settings = &room.settings;
    room.web.part.head = &room.head;
    room.loop = ev_loop_new(EVBACKEND_EPOLL);
    CHECK(room.loop != NULL);
    CHECK(router_new(&(rmd_app){.routes = routes}, 16, &room.router, &err) == 0);
    CHECK(conn_env_init(&room.web.env, &limits, room.router, &hooks, &room.web, 4096) == 0);
    room.web.env.now_us = START_US;
    conn_env_set_time(&room.web.env, 1700000000, STR("remuda"));
    CHECK(deferred_open(&room.web.box) == 0);
    CHECK(client_init(&room.all, room.loop, &room.web, on_closed, NULL) == 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    client_close_all(&room.all, "test");
    conn_env_fini(&room.web.env);
    router_free(room.router);
    ev_loop_destroy(room.loop);
    return 0;
}

static void turn(void)
{
    ev_run(room.loop, EVRUN_NOWAIT);
}

static void send_to(int fd, const char *octets, size_t len)
{
    CHECK_EQ(write(fd, octets, len), len);
}

#define SEND(fd, text) send_to((fd), (text), sizeof(text) - 1)

/* A client that has sent something before it is accepted. Returns its end */
static int connect_with(const char *octets, size_t len)
{
    int fds[2];
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    send_to(fds[0], octets, len);
    client_open(&room.all, fds[1], &address);
    return fds[0];
}

#define CONNECT(text) connect_with((text), sizeof(text) - 1)

/* What has come until now, as text. */
static const char *received(int fd)
{
    static char text[65536];
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    return text;
}

/* ---- time ---- */

/* A stream's timer may be a moment early, and sets the turn's time to its own: a body that began in
 * that turn was older than nothing, which is very old, and was refused as too slow. */
static void body_that_began_ahead_of_time_is_not_slow(void **state)
{
    (void)state;
    room.web.env.now_us = START_US + 5;
    int fd = CONNECT("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    turn();
    web_on_turn(&room.web, START_US + 4);
    SEND(fd, "5\r\nhello");
    turn();
    CHECK_TEXT(received(fd), "");
    SEND(fd, "\r\n0\r\n\r\n");
    turn();
    CHECK_HAS(received(fd), "/up");
    (void)close(fd);
}

/* ---- streams ---- */

/* Time and the client's octets may come in the same turn: what was read then went in front of what
 * had been read before, and a worker died of too much of it. */
static void client_keeps_requests_in_order_when_a_wait_ends_as_they_come(void **state)
{
    (void)state;
    int fd = CONNECT(GET("/stream") GET("/first"));
    SEND(fd, GET("/second"));
    room.web.env.now_us += WAIT_MS * CLOCK_US_PER_MS; /* libev's own clock is not there yet */
    for (int i = 0; i < 5; i++)
        turn();
    const char *text = received(fd);
    const char *first = strstr(text, "/first");
    CHECK(first != NULL);
    CHECK_HAS(first, "/second");
    (void)close(fd);
}

static void client_gives_way_when_a_stream_has_nothing_to_say(void **state)
{
    (void)state;
    int fd = CONNECT(GET("/empty"));
    int other = CONNECT(GET("/other"));
    for (int i = 0; i < 5; i++)
        turn();
    CHECK(strstr(received(other), "/other") != NULL);
    CHECK(room.calls > 0);
    (void)close(fd);
    (void)close(other);
}

/* ---- how a connection ends ---- */

static bool is_closed(int fd)
{
    char octet;
    return recv(fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static bool is_open_for_writing(int fd)
{
    return send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

/* Closing with input unread resets the connection, and takes the end of the answer with it that the
 * client has not read yet (RFC 9112 §9.6). */
static void client_lingers_when_more_has_come_behind_the_last_request(void **state)
{
    (void)state;
    room.web.env.is_keep_alive_off = true;
    int fd = CONNECT(GET("/stream"));
    SEND(fd, GET("/unread"));
    room.web.env.now_us += WAIT_MS * CLOCK_US_PER_MS;
    turn();
    CHECK_EQ(room.all.n, 1);
    CHECK(is_open_for_writing(fd));
    CHECK_HAS(received(fd), "0\r\n\r\n");
    CHECK(is_closed(fd));
    (void)close(fd);
    turn();
    turn();
    CHECK_EQ(room.all.n, 0);
}

/* One that never stops sending behind its refused request must not hold its place for ever. */
static void client_lingers_only_so_long(void **state)
{
    (void)state;
    int fd = CONNECT("nonsense\r\n\r\n");
    CHECK_HAS(received(fd), " 400 ");
    for (int second = 0; second < 60; second++) {
        room.web.env.now_us += CLOCK_US_PER_S;
        if (!is_open_for_writing(fd))
            break;
        turn();
        client_expire(&room.all);
    }
    CHECK_EQ(room.all.n, 0);
    (void)close(fd);
}

#define WINDOW_US 1000000U

/* Its small answers were blocked when the drain began: it was not idle then. They promised to go
 * on, so its last chance begins when they are gone. */
static void client_has_its_last_chance_when_blocked_answers_are_gone(void **state)
{
    (void)state;
    static char requests[60 * sizeof(GET("/some"))];
    static char more[1 << 16];
    for (size_t i = 0; i < 60; i++)
        memcpy(requests + i * (sizeof GET("/some") - 1), GET("/some"), sizeof GET("/some") - 1);
    int fds[2];
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    send_to(fds[0], requests, 60 * (sizeof GET("/some") - 1));
    while (write(fds[1], more, sizeof more) > 0)
        ; /* until it is full */
    client_open(&room.all, fds[1], &address);
    room.web.env.is_draining = true;
    client_drain(&room.all, WINDOW_US);
    room.web.env.now_us += 2 * WINDOW_US;
    client_expire(&room.all);
    CHECK_EQ(room.all.n, 1);
    for (int i = 0; i < 100 && !client_has_idle(&room.all); i++) {
        (void)received(fds[0]);
        turn();
    }
    client_expire(&room.all);
    CHECK_EQ(room.all.n, 1);
    room.web.env.now_us += WINDOW_US;
    client_expire(&room.all);
    CHECK_EQ(room.all.n, 0);
    (void)close(fds[0]);
}

/* ---- a drain ---- */

static void begin_drain(void)
{
    room.web.env.is_draining = true;
    client_drain(&room.all, WINDOW_US);
}

static void idle_client_has_a_last_chance_and_is_told(void **state)
{
    (void)state;
    int fd = CONNECT(GET("/first"));
    int other = CONNECT(GET("/first"));
    CHECK_HAS_NOT(received(fd), "close");
    room.web.env.now_us += 50000000; /* how long it has been idle does not matter */
    begin_drain();
    room.web.env.now_us += WINDOW_US - 1;
    client_expire(&room.all);
    CHECK_EQ(room.all.n, 2);
    SEND(fd, GET("/second"));
    turn();
    const char *text = received(fd);
    CHECK_HAS(text, "/second");
    CHECK_HAS(text, "Connection: close\r\n");
    CHECK_EQ(room.all.n, 1);
    room.web.env.now_us++;
    client_expire(&room.all);
    CHECK_EQ(room.all.n, 0);
    (void)received(other);
    CHECK(is_closed(other));
    (void)close(fd);
    (void)close(other);
}

/* What lies in the socket when the window ends was sent in time. */
static void request_in_the_socket_is_answered_at_the_end_of_the_last_chance(void **state)
{
    (void)state;
    int fd = CONNECT(GET("/first"));
    CHECK_HAS(received(fd), "/first");
    begin_drain();
    SEND(fd, GET("/second"));
    room.web.env.now_us += WINDOW_US;
    client_expire(&room.all);
    CHECK_HAS(received(fd), "/second");
    CHECK_EQ(room.all.n, 0);
    (void)close(fd);
}

static void connection_without_a_request_has_the_same_chance(void **state)
{
    (void)state;
    int before = CONNECT("");
    begin_drain();
    int within = CONNECT("");
    int begun = CONNECT("GET /begun HTTP/1.1\r\n");
    room.web.env.now_us += WINDOW_US - 1;
    client_expire(&room.all);
    CHECK_EQ(room.all.n, 3);
    SEND(before, GET("/in_time"));
    turn();
    CHECK_HAS(received(before), "/in_time");
    room.web.env.now_us++;
    client_expire(&room.all);
    CHECK(is_closed(within));
    CHECK_EQ(room.all.n, 1); /* a request that has begun has header_timeout */
    SEND(begun, "Host: a\r\n\r\n");
    turn();
    CHECK_HAS(received(begun), "Connection: close\r\n");
    CHECK_EQ(room.all.n, 0);
    (void)close(before);
    (void)close(within);
    (void)close(begun);
}

/* Many whose window ends at the same moment are closed bit by bit: whoever else is served does not
 * wait for all of them, and nobody has to ask again. */
static void many_that_expire_together_are_closed_in_parts(void **state)
{
    (void)state;
    enum { N = 3 * CLIENT_EXPIRE_MOST / 2 };
    static int fds[N];
    for (int i = 0; i < N; i++) {
        fds[i] = CONNECT(GET("/first"));
        CHECK_HAS(received(fds[i]), "/first");
    }
    begin_drain();
    room.web.env.now_us += WINDOW_US;
    client_expire(&room.all);
    CHECK_EQ(room.all.n, N - CLIENT_EXPIRE_MOST);
    SEND(fds[N - 1], GET("/in_time"));
    for (int i = 0; i < 3 && room.all.n > 0; i++)
        turn();
    CHECK_EQ(room.all.n, 0);
    CHECK_HAS(received(fds[N - 1]), "/in_time");
    for (int i = 0; i < N; i++)
        (void)close(fds[i]);
}

/* Not only in a drain: keepalive is over, and a request is here. */
static void client_that_was_idle_for_keepalive_is_looked_at_once_more(void **state)
{
    (void)state;
    int fd = CONNECT(GET("/first"));
    CHECK_HAS(received(fd), "/first");
    SEND(fd, GET("/second"));
    room.web.env.now_us += room.settings.keepalive_us;
    client_expire(&room.all);
    CHECK_HAS(received(fd), "/second");
    (void)close(fd);
}

/* A full worker closes the connection that has been idle longest, but not over a request that is
 * here. */
static void client_that_makes_room_is_looked_at_once_more(void **state)
{
    (void)state;
    int fd = CONNECT(GET("/first"));
    CHECK_HAS(received(fd), "/first");
    SEND(fd, GET("/second"));
    CHECK(client_has_idle(&room.all));
    client_close_oldest_idle(&room.all);
    CHECK_HAS(received(fd), "/second");
    CHECK_EQ(room.all.n, 0);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            client_keeps_requests_in_order_when_a_wait_ends_as_they_come, setup, teardown),
        cmocka_unit_test_setup_teardown(body_that_began_ahead_of_time_is_not_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(client_gives_way_when_a_stream_has_nothing_to_say, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(client_lingers_when_more_has_come_behind_the_last_request,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(client_lingers_only_so_long, setup, teardown),
        cmocka_unit_test_setup_teardown(client_has_its_last_chance_when_blocked_answers_are_gone,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(idle_client_has_a_last_chance_and_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(
            request_in_the_socket_is_answered_at_the_end_of_the_last_chance, setup, teardown),
        cmocka_unit_test_setup_teardown(connection_without_a_request_has_the_same_chance, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_that_expire_together_are_closed_in_parts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(client_that_was_idle_for_keepalive_is_looked_at_once_more,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(client_that_makes_room_is_looked_at_once_more, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
