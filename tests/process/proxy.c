/* Behind reverse proxies: whom a request is from, by which scheme and for which host, as /info of
 * the demo and the access log tell it; and that nobody who is not trusted can say so. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

static struct reply r;

struct row {
    const char *fields; /* each with its CRLF */
    const char *peer;   /* as /info says it; NULL: the test's own address; "": the answer is 400 */
    const char *logged; /* as the access log says it */
    const char *scheme;
    const char *host;
};

static struct server *start(const char *setting, const char *other)
{
    struct server *s = server_new();
    char unix_bind[256];
    (void)snprintf(unix_bind, sizeof unix_bind, "unix:%s", server_path(s, "socket"));
    const char *args[] = {"run",
                          REMUDA_DEMO_SO,
                          "--workers",
                          "1",
                          "--bind",
                          "127.0.0.1:0",
                          "--bind",
                          unix_bind,
                          "--set",
                          "accesslog=-",
                          "--set",
                          "access_log_format=<%(h)s %(s)s>",
                          "--set",
                          setting,
                          other ? "--set" : NULL,
                          other,
                          NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

static void check_member(const char *name, const char *expected)
{
    char value[512];
    CHECK(json_member(r.body.data, name, value, sizeof value));
    CHECK_TEXT(value, expected);
}

static void check_logged(struct server *s, const char *address, int status)
{
    char line[128];
    (void)snprintf(line, sizeof line, "<%s %d>", address, status);
    const char *found = lines_wait_text(&s->out, "<", patience_until(PATIENCE_MS));
    CHECK(found != NULL);
    CHECK_TEXT(found, line);
}

/* One request per row, on connections to one address of the server. */
static void check_rows(struct server *s, size_t address, const struct row *rows, size_t n)
{
    bool is_unix = server_port(s, address) == 0;
    for (size_t i = 0; i < n; i++) {
        char request[2048], peer[256];
        struct client *c = client_open(server_address(s, address));
        check_context("%s", rows[i].fields);
        (void)snprintf(request, sizeof request, "GET /info HTTP/1.1\r\nHost: own.example\r\n%s\r\n",
                       rows[i].fields);
        client_exchange(c, &r, request);
        if (rows[i].peer && !*rows[i].peer) {
            CHECK_EQ(r.status, 400);
            CHECK(lines_wait_text(&s->out, " 400>", patience_until(PATIENCE_MS)) != NULL);
            client_close(c);
            continue;
        }
        CHECK_EQ(r.status, 200);
        if (rows[i].peer || is_unix) {
            check_member("peer", rows[i].peer ? rows[i].peer : "unix:");
        } else { /* its own port, not one that was made up */
            CHECK(json_member(r.body.data, "peer", peer, sizeof peer));
            CHECK_SAYING(strncmp(peer, "127.0.0.1:", 10) == 0 && atoi(peer + 10) > 0, "%s", peer);
        }
        check_member("scheme", rows[i].scheme ? rows[i].scheme : "http");
        check_member("host", rows[i].host ? rows[i].host : "own.example");
        check_logged(s, rows[i].logged ? rows[i].logged : is_unix ? "-" : "127.0.0.1", 200);
        client_close(c);
    }
}
#define CHECK_ROWS(s, address, rows) check_rows(s, address, rows, sizeof rows / sizeof rows[0])

#define FOR "X-Forwarded-For: "

static const struct row trusted[] = {
    {"", NULL, NULL, NULL, NULL},
    {FOR "192.0.2.7\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL},
    {FOR "6.6.6.6, 192.0.2.7\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL},
    {FOR "6.6.6.6, 192.0.2.7, 127.0.0.1\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL},
    {FOR "6.6.6.6\r\n" FOR "192.0.2.7\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL},
    {FOR "192.0.2.7:4711\r\n", "192.0.2.7:4711", "192.0.2.7", NULL, NULL},
    {FOR "2001:db8::7\r\n", "[2001:db8::7]:0", "2001:db8::7", NULL, NULL},
    {FOR "\"; DROP, 192.0.2.7\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL},
    {"X-Forwarded-Proto: https\r\n", NULL, NULL, "https", NULL},
    {"X-Forwarded-Proto: http\r\n", NULL, NULL, NULL, NULL},
    {"X-Forwarded-Protocol: ssl\r\n", NULL, NULL, "https", NULL},
    {"X-Forwarded-Ssl: on\r\n", NULL, NULL, "https", NULL},
    {"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\n", NULL, NULL, "https", NULL},
    {"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n", "", NULL, NULL, NULL},
    {"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "", NULL, NULL, NULL},
    {"X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.7;proto=http\r\n", "", NULL, NULL, NULL},
    {"X-Forwarded-Host: www.example:8443\r\n", NULL, NULL, NULL, "www.example:8443"},
    {"X-Forwarded-Host: bad/host\r\n", NULL, NULL, NULL, NULL},
    {"Forwarded: for=192.0.2.7;proto=https;host=www.example\r\n", "192.0.2.7:0", "192.0.2.7",
     "https", "www.example"},
    {"Forwarded: for=6.6.6.6;host=evil, for=\"[2001:db8::7]:4711\"\r\n", "[2001:db8::7]:4711",
     "2001:db8::7", NULL, NULL},
    {"Forwarded: For=192.0.2.7, for=127.0.0.1\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL},
    {"Forwarded: for=192.0.2.7\r\n" FOR "192.0.2.7\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL},
    {"Forwarded: for=192.0.2.7\r\n" FOR "192.0.2.8\r\n", "", NULL, NULL, NULL},
    {"Forwarded: for=unknown\r\n", NULL, NULL, NULL, NULL},
    {"Forwarded: for=_hidden, for=192.0.2.7\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL},
};

static void trusted_proxy_says_who_the_client_is(void **state)
{
    (void)state;
    struct server *s = start("forwarded_allow_ips=127.0.0.1,unix", NULL);
    CHECK_ROWS(s, 0, trusted);
    CHECK_ROWS(s, 1, trusted);
}

/* Whatever it sends: who is not trusted speaks for nobody, and breaks nothing by trying. */
static void from_anybody_else_the_fields_change_nothing(void **state)
{
    (void)state;
    static const char *const settings[] = {"forwarded_allow_ips=10.0.0.0/8",
                                           "forwarded_allow_ips="};
    for (size_t k = 0; k < 2; k++) {
        struct server *s = start(settings[k], NULL);
        for (size_t address = 0; address < 2; address++)
            for (size_t i = 0; i < sizeof trusted / sizeof trusted[0]; i++)
                check_rows(s, address, &(struct row){.fields = trusted[i].fields}, 1);
    }
}

static void only_listed_networks_are_trusted(void **state)
{
    (void)state;
    static const struct row row[] = {{FOR "192.0.2.7\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL}};
    static const struct row none[] = {{FOR "192.0.2.7\r\n", NULL, NULL, NULL, NULL}};
    static const struct row all[] = {
        {FOR "192.0.2.7, 10.1.2.3, 127.9.9.9\r\n", "192.0.2.7:0", "192.0.2.7", NULL, NULL}};
    CHECK_ROWS(start("forwarded_allow_ips=127.0.0.0/8", NULL), 0, row);
    CHECK_ROWS(start("forwarded_allow_ips=127.0.0.0/8", NULL), 1, none); /* unix is not in it */
    CHECK_ROWS(start("forwarded_allow_ips=unix", NULL), 0, none);
    CHECK_ROWS(start("forwarded_allow_ips=*", NULL), 1, row);
    CHECK_ROWS(start("forwarded_allow_ips=127.0.0.0/8,10.0.0.0/8", NULL), 0, all);
}

static void forwarded_header_chooses_which_field_is_believed(void **state)
{
    (void)state;
    static const char fields[] = "Forwarded: for=192.0.2.7\r\n" FOR "192.0.2.8\r\n"
                                 "X-Forwarded-Host: x.example\r\n";
    static const struct row forwarded[] = {{fields, "192.0.2.7:0", "192.0.2.7", NULL, NULL}};
    static const struct row x[] = {{fields, "192.0.2.8:0", "192.0.2.8", NULL, "x.example"}};
    CHECK_ROWS(start("forwarded_header=forwarded", NULL), 0, forwarded);
    CHECK_ROWS(start("forwarded_header=x-forwarded", NULL), 0, x);
}

/* A map of one's own replaces the three. */
static void secure_scheme_headers_can_be_others(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"X-Tls: yes\r\n", NULL, NULL, "https", NULL},
        {"X-Tls: YES\r\n", NULL, NULL, NULL, NULL},
        {"x-tls: no\r\n", NULL, NULL, NULL, NULL},
        {"X-Forwarded-Proto: https\r\n", NULL, NULL, NULL, NULL},
    };
    CHECK_ROWS(start("secure_scheme_headers.X-TLS=yes", NULL), 0, rows);
}

SERVER_MAIN(SERVER_TEST(trusted_proxy_says_who_the_client_is),
            SERVER_TEST(from_anybody_else_the_fields_change_nothing),
            SERVER_TEST(only_listed_networks_are_trusted),
            SERVER_TEST(forwarded_header_chooses_which_field_is_believed),
            SERVER_TEST(secure_scheme_headers_can_be_others))
