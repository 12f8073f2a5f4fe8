/* The PROXY protocol in front of connections: versions 1 and 2, over TCP and unix sockets, in one
 * piece or many; and that no connection which should begin with a header gets by without one. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

static struct reply r;

#define INFO "GET /info HTTP/1.1\r\nHost: a\r\n\r\n"
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"        /* of version 2 */
#define V4 "\xc0\0\2\7\x0a\0\0\1\x10\x92\0\x50" /* 192.0.2.7:4242 to 10.0.0.1:80 */
#define V6                                                                                         \
    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"                                                       \
    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"                                                       \
    "\x10\x92\0\x50"
#define TLV "\4\0\2ab" /* PP2_TYPE_NOOP */

struct header {
    const char *octets;
    size_t len;
    const char *peer; /* as /info says it; NULL: the connection's own */
};
#define HEADER(octets, peer)                                                                       \
    {                                                                                              \
        octets, sizeof octets - 1, peer                                                            \
    }

static const struct header v1[] = {
    HEADER("PROXY TCP4 192.0.2.7 10.0.0.1 4242 80\r\n", "192.0.2.7:4242"),
    HEADER("PROXY TCP6 2001:db8::7 2001:db8::1 4242 80\r\n", "[2001:db8::7]:4242"),
    HEADER("PROXY UNKNOWN\r\n", NULL),
    HEADER("PROXY UNKNOWN ffff::1 what ever\r\n", NULL),
};

static const struct header v2[] = {
    HEADER(SIGNATURE "\x21\x11\0\x0c" V4, "192.0.2.7:4242"),
    HEADER(SIGNATURE "\x21\x11\0\x11" V4 TLV, "192.0.2.7:4242"),
    HEADER(SIGNATURE "\x21\x21\0\x24" V6, "[2001:db8::7]:4242"),
    HEADER(SIGNATURE "\x20\0\0\0", NULL),        /* LOCAL: a health check */
    HEADER(SIGNATURE "\x20\x11\0\x0c" V4, NULL), /* LOCAL: the addresses mean nothing */
    HEADER(SIGNATURE "\x21\0\0\0", NULL),        /* family unspecified */
};

static const struct header bad[] = {
    HEADER("GET / HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 10.0.0.1 4242\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 10.0.0.1 4242 80\n", NULL),
    HEADER("PROXY TCP4 192.0.2.256 10.0.0.1 4242 80\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 10.0.0.1 4242 65536\r\n", NULL),
    HEADER("PROXY TCP4  192.0.2.7 10.0.0.1 4242 80\r\n", NULL),
    HEADER("PROXY TCP4 2001:db8::7 2001:db8::1 4242 80\r\n", NULL),
    HEADER("proxy TCP4 192.0.2.7 10.0.0.1 4242 80\r\n", NULL),
    HEADER(SIGNATURE "\x11\x11\0\x0c" V4, NULL),   /* version 1 in version 2's clothes */
    HEADER(SIGNATURE "\x2f\x11\0\x0c" V4, NULL),   /* no such command */
    HEADER(SIGNATURE "\x21\x11\0\x0b" V4, NULL),   /* too short for its family */
    HEADER(SIGNATURE "\x21\x11\xff\xff" V4, NULL), /* longer than anybody needs */
    HEADER("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c" V4, NULL),
};

#define COUNT(table) (sizeof table / sizeof table[0])

static struct server *start(const char *version, const char *peers)
{
    struct server *s = server_new();
    char unix_bind[256];
    (void)snprintf(unix_bind, sizeof unix_bind, "unix:%s", server_path(s, "socket"));
    const char *args[] = {"run",    REMUDA_DEMO_SO, "--workers", "1",
                          "--bind", "127.0.0.1:0",  "--bind",    unix_bind,
                          "--set",  "accesslog=-",  "--set",     "access_log_format=<%(h)s %(s)s>",
                          "--set",  version,        "--set",     peers,
                          NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

/* A header and requests behind it, in pieces, are served as from whom it names. */
static void check_served(struct server *s, size_t address, const struct header *h, size_t piece)
{
    char peer[256], line[300];
    bool is_unix = server_port(s, address) == 0;
    struct client *c = client_open(server_address(s, address));
    struct buf all = {0};
    CHECK(buf_append(&all, h->octets, h->len) == 0);
    CHECK(buf_append(&all, INFO INFO, 2 * strlen(INFO)) == 0);
    CHECK(client_send_pieces(c, all.data, all.len, piece));
    for (int i = 0; i < 2; i++) { /* the header is the whole connection's */
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK(json_member(r.body.data, "peer", peer, sizeof peer));
        if (h->peer || is_unix)
            CHECK_TEXT(peer, h->peer ? h->peer : "unix:");
        else
            CHECK_SAYING(strncmp(peer, "127.0.0.1:", 10) == 0, "%s", peer);
        const char *logged = lines_wait_text(&s->out, "<", patience_until(PATIENCE_MS));
        CHECK(logged != NULL);
        peer[strcspn(peer, "]")] = '\0';
        (void)snprintf(line, sizeof line, "<%s 200>",
                       !h->peer       ? is_unix ? "-" : "127.0.0.1"
                       : *peer == '[' ? peer + 1
                                      : "192.0.2.7");
        CHECK_TEXT(logged, line);
    }
    buf_fini(&all);
    client_close(c);
}

/* Nothing is said to who breaks the rules of a protocol that is not HTTP. */
static void check_closed(struct server *s, size_t address, const struct header *h)
{
    struct client *c = client_open(server_address(s, address));
    (void)client_send(c, h->octets, h->len);
    (void)client_send(c, INFO, strlen(INFO));
    client_expect_close(c);
    client_close(c);
}

static void check_table(struct server *s, const struct header *table, size_t n, bool is_served)
{
    static const size_t pieces[] = {1, 7, 4096};
    for (size_t i = 0; i < n; i++) {
        for (size_t address = 0; address < 2; address++) {
            check_context("header %zu, address %zu", i, address);
            if (!is_served)
                check_closed(s, address, &table[i]);
            for (size_t k = 0; k < 3 && is_served; k++)
                check_served(s, address, &table[i], pieces[k]);
        }
    }
}

static void version_1_only(void **state)
{
    (void)state;
    struct server *s = start("proxy_protocol=v1", "proxy_allow_ips=127.0.0.1,unix");
    check_table(s, v1, COUNT(v1), true);
    check_table(s, v2, COUNT(v2), false);
    check_table(s, bad, COUNT(bad), false);
}

static void version_2_only(void **state)
{
    (void)state;
    struct server *s = start("proxy_protocol=v2", "proxy_allow_ips=127.0.0.1,unix");
    check_table(s, v2, COUNT(v2), true);
    check_table(s, v1, COUNT(v1), false);
    check_table(s, bad, COUNT(bad), false);
}

static void either_version(void **state)
{
    (void)state;
    struct server *s = start("proxy_protocol=auto", "proxy_allow_ips=*");
    check_table(s, v1, COUNT(v1), true);
    check_table(s, v2, COUNT(v2), true);
    check_table(s, bad, COUNT(bad), false);
    (void)server_wait_log_text(s, "no PROXY protocol header");
}

/* From who is not in proxy_allow_ips a header is a bad request, and never believed. */
static void peers_that_are_not_listed_speak_http(void **state)
{
    (void)state;
    static const struct header none = HEADER("", NULL);
    struct server *s = start("proxy_protocol=auto", "proxy_allow_ips=10.0.0.0/8,unix");
    check_served(s, 0, &none, 4096);
    for (size_t i = 0; i < COUNT(v1); i++) {
        struct client *c = client_open(server_address(s, 0));
        CHECK(client_send(c, v1[i].octets, v1[i].len));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 400);
        CHECK(r.is_closing);
        client_expect_close(c);
        CHECK(lines_wait_text(&s->out, "<127.0.0.1 400>", patience_until(PATIENCE_MS)) != NULL);
    }
    check_served(s, 1, &v1[0], 4096);
    check_served(s, 1, &v2[0], 4096);
}

static void headers_are_bad_requests_where_it_is_off(void **state)
{
    (void)state;
    struct server *s = start("proxy_protocol=off", "proxy_allow_ips=*");
    for (size_t address = 0; address < 2; address++) {
        struct client *c = client_open(server_address(s, address));
        CHECK(client_send(c, v1[0].octets, v1[0].len));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 400);
    }
}

/* Who the client is comes from the header; whether it is trusted as a proxy, too. */
static void header_decides_who_is_trusted(void **state)
{
    (void)state;
    static const char request[] =
        "GET /info HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.9\r\n"
        "X-Forwarded-Proto: https\r\n\r\n";
    static const struct {
        const char *setting, *peer, *scheme;
    } rows[] = {{"forwarded_allow_ips=127.0.0.1", "192.0.2.7:4242", "http"},
                {"forwarded_allow_ips=192.0.2.0/24", "198.51.100.9:0", "https"}};
    for (size_t i = 0; i < 2; i++) {
        char value[128];
        struct client *c = client_to(start("proxy_protocol=v1", rows[i].setting));
        CHECK(client_send(c, v1[0].octets, v1[0].len));
        client_exchange(c, &r, request);
        CHECK(json_member(r.body.data, "peer", value, sizeof value));
        CHECK_TEXT(value, rows[i].peer);
        CHECK(json_member(r.body.data, "scheme", value, sizeof value));
        CHECK_TEXT(value, rows[i].scheme);
    }
}

SERVER_MAIN(SERVER_TEST(version_1_only), SERVER_TEST(version_2_only), SERVER_TEST(either_version),
            SERVER_TEST(peers_that_are_not_listed_speak_http),
            SERVER_TEST(headers_are_bad_requests_where_it_is_off),
            SERVER_TEST(header_decides_who_is_trusted))
