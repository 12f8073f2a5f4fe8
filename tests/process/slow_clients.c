/* Clients that are slow, on purpose or not: each kind is cut off at its own limit, with 408 where
 * that can still be said, and nobody else notices. All limits are at their shortest, one second;
 * what is waited for is what the server does when they have passed. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

static struct reply r;

/* What a client begins with, and the octet that it sends now and then after that; 0: none. */
struct slow {
    const char *beginning;
    char octet;
    int before; /* status of an answer that comes before it is too slow; 0: none */
};

/* Settings, "--set" in front of each. */
static struct server *start(const char *one, const char *two)
{
    return server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", one, "--set", two, NULL);
}

/* The one answer, and the end. */
static void check_408(struct client *c)
{
    client_read(c, &r, false);
    CHECK_EQ(r.status, 408);
    CHECK(r.is_closing);
    client_expect_close(c);
}

/* All of them at once, until each is told 408. */
static void check_all_are_408(struct server *s, const struct slow *slow, size_t n)
{
    struct client *clients[16];
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (size_t i = 0; i < n; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], slow[i].beginning);
        if (slow[i].before > 0) {
            client_read(clients[i], &r, false);
            CHECK_EQ(r.status, slow[i].before);
        }
    }
    for (size_t n_quiet = n; n_quiet > 0;) {
        n_quiet = 0;
        for (size_t i = 0; i < n; i++) {
            bool is_quiet = clients[i]->in.len == 0 && client_is_quiet(clients[i]);
            n_quiet += is_quiet;
            if (is_quiet && slow[i].octet)
                (void)client_send(clients[i], &slow[i].octet, 1);
        }
        CHECK_SAYING(n_quiet == 0 || patience_turn(deadline), "nobody minds %zu of %zu", n_quiet,
                     n);
    }
    for (size_t i = 0; i < n; i++) {
        check_context("%s", slow[i].beginning);
        check_408(clients[i]);
    }
}

/* The clock runs for the whole head: octets that come do not set it back. That of a second head
 * starts with its first octet. */
static void head_that_takes_too_long_is_408(void **state)
{
    (void)state;
    static const struct slow slow[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", 'x', 0},
        {"GET / HTTP/1.1\r\nHost: a\r\nX-Stop: ", 0, 0},
        {"GET /", 'x', 0},
        {"G", 0, 0},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTT", 0, 200},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /", 'x', 200},
    };
    check_all_are_408(server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set",
                                       "header_timeout=1s", "--set",
                                       "limit_request_field_size=64KiB", "--set",
                                       "limit_request_line=64KiB", NULL),
                      slow, sizeof slow / sizeof slow[0]);
}

static void connection_without_a_request_ends(void **state)
{
    (void)state;
    struct client *c = client_to(start("header_timeout=1s", "keepalive=1h"));
    client_read_all(c);
    CHECK(c->in.len == 0 || strncmp(c->in.data, "HTTP/1.1 408 ", 13) == 0);
}

static void body_that_pauses_is_408(void **state)
{
    (void)state;
    static const struct slow slow[] = {
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", 0, 0},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome", 0, 0},
        {"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome", 0, 0},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 0, 0},
        {"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", 0, 0},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", 0,
         100},
    };
    check_all_are_408(start("body_timeout=1s", "body_min_rate=0"), slow,
                      sizeof slow / sizeof slow[0]);
}

/* They never pause for body_timeout, but it would take them a day. Chunk framing is no progress. */
static void body_below_the_least_rate_is_408(void **state)
{
    (void)state;
    static const struct slow slow[] = {
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", 'x', 0},
        {"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", 'x', 0},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", 'x', 0},
    };
    check_all_are_408(start("body_timeout=1s", "body_min_rate=10MiB"), slow, 3);
}

#define LARGE_BYTES 60000000U
#define LARGE "GET /bytes?n=60000000 HTTP/1.1\r\nHost: a\r\n\r\n"

/* Asks for a large answer and takes it in sips of so many octets, never pausing for long (some ten
 * million octets a second are below the rate and more than the buffers hold), until the
 * worker lets go of the connection. Sips of 0: takes nothing. What the kernel had is less than
 * all. */
static void check_is_cut_off(struct server *s, size_t sip)
{
    pid_t pid = server_worker_pid(s, 0);
    size_t before = procs_fd_count(pid);
    struct client *c = client_to(s);
    client_shrink(c);
    client_send_text(c, LARGE);
    client_read_head(c, &r);
    size_t taken = c->in.len;
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(pid) > before) {
        char octets[20000];
        ssize_t n = sip > 0 ? recv(c->fd, octets, sip, 0) : 0;
        taken += n > 0 ? (size_t)n : 0;
        CHECK_SAYING(patience_turn(deadline), "the connection is still there");
    }
    c->in.len = 0;
    client_read_all(c);
    CHECK(taken + c->in.len < LARGE_BYTES);
}

static void reader_below_the_least_rate_is_cut_off(void **state)
{
    (void)state;
    check_is_cut_off(start("write_timeout=1s", "write_min_rate=1GiB"), 20000);
}

static void reader_that_stops_is_cut_off(void **state)
{
    (void)state;
    check_is_cut_off(start("write_timeout=1s", "write_min_rate=0"), 0);
}

static void idle_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    struct client *c = client_to(start("keepalive=1s", "header_timeout=1h"));
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_close(c);
}

/* Who was announced as a proxy and says nothing, or not all of it. There is nobody to answer to. */
static void proxy_header_that_does_not_come_ends_the_connection(void **state)
{
    (void)state;
    static const char *const beginnings[] = {"", "PROXY TCP4 192.0.2.7", "\r\n\r\n\0\r\nQUI"};
    struct server *s = start("header_timeout=1s", "proxy_protocol=auto");
    struct client *clients[3], *c = client_to(s);
    for (size_t i = 0; i < 3; i++) {
        clients[i] = client_to(s);
        CHECK(client_send(clients[i], beginnings[i], i == 2 ? 8 : strlen(beginnings[i])));
    }
    client_exchange(c, &r, "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
    for (size_t i = 0; i < 3; i++) {
        check_context("beginning %zu", i);
        client_expect_close(clients[i]);
    }
}

/* Twenty of each kind at once, and clients that behave, all on one worker. */
static void others_are_served_while_slow_ones_are_cut_off(void **state)
{
    (void)state;
    static const char *const beginnings[] = {
        "", "GET / HTTP/1.1\r\nHos", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", LARGE};
    enum { KINDS = 5, COUNT = KINDS * 20 };
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "header_timeout=1s", "--set",
                         "body_timeout=1s", "--set", "write_timeout=1s", NULL);
    pid_t pid = server_worker_pid(s, 0);
    size_t before = procs_fd_count(pid);
    struct client *clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_to(s);
        client_shrink(clients[i]);
        client_send_text(clients[i], beginnings[i % KINDS]);
    }
    struct load *load = load_start(server_address(s, 0), 4, "/", "hello\n");
    load_wait_settled(load);
    for (int i = 0; i < COUNT; i++) {
        if (i % KINDS > 0 && i % KINDS < 4)
            check_408(clients[i]);
        if (i % KINDS < 4)
            client_close(clients[i]);
    }
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(pid) > before + 4)
        CHECK_SAYING(patience_turn(deadline), "%zu slow connections are still there",
                     procs_fd_count(pid) - before - 4);
    load_wait_answers(load, 100);
    struct load_result result = load_stop(load);
    load_check(&result, 0);
}

SERVER_MAIN(SERVER_TEST(head_that_takes_too_long_is_408),
            SERVER_TEST(connection_without_a_request_ends), SERVER_TEST(body_that_pauses_is_408),
            SERVER_TEST(body_below_the_least_rate_is_408),
            SERVER_TEST(reader_below_the_least_rate_is_cut_off),
            SERVER_TEST(reader_that_stops_is_cut_off),
            SERVER_TEST(idle_connection_is_closed_without_a_word),
            SERVER_TEST(proxy_header_that_does_not_come_ends_the_connection),
            SERVER_TEST(others_are_served_while_slow_ones_are_cut_off))
