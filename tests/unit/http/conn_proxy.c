/* http/conn_request.c: who asks. PROXY protocol headers in front of a connection, and what proxies
 * that are trusted say about their clients in each request; end to end, since a mistake between the
 * two would let anybody be anyone. The grammars are tested in proxy.c and forwarded.c. */
#include "http/conn.h"

#include <arpa/inet.h>

#include "http/forwarded.h"
#include "tests/unit/http/wire.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct wire wire;
static struct network allowed_items[2], trusted_items[2];
static struct network_list allowed = {allowed_items, 0}, trusted = {trusted_items, 0};
static struct forwarded_rules rules;

/* Says who is taken for the client. */
static void who(rmd_request *req, rmd_response *res)
{
    char peer[PEER_TEXT_MAX];
    size_t len;
    (void)request_format_peer(&req->peer, true, peer);
    const char *text = arena_printf(req->arena, &len, "%s %s %.*s\n", peer,
                                    req->is_https ? "https" : "http", STR_ARG(req->head.host));
    wire_give(res, 200, text, len);
}

static const rmd_route routes[] = {{.method = "*", .pattern = "/who", .handler = who}, {0}};

static void allow(struct network_list *list, struct network *items, const char *text)
{
    CHECK(network_parse(str_of(text), &items[list->n++], NULL) == 0);
}

static int setup(void **state)
{
    (void)state;
    allowed.n = trusted.n = 0;
    wire_open_app(&wire, routes, &wire_limits, 8192);
    wire.env.proxies = &allowed;
    wire.env.proxy_version = PROXY_VERSION_ANY;
    forwarded_rules_init(&rules, &trusted, NULL, 0, FORWARDED_LOOK_ANY);
    wire.env.forwarded = &rules;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_close(&wire);
    return 0;
}

static struct peer peer_at(const char *address, uint16_t port)
{
    struct peer peer = {0};
    if (strchr(address, ':')) {
        peer.address.v6.sin6_family = AF_INET6;
        peer.address.v6.sin6_port = htons(port);
        CHECK(inet_pton(AF_INET6, address, &peer.address.v6.sin6_addr) == 1);
    } else if (strcmp(address, "unix") == 0) {
        peer.address.any.sa_family = AF_UNIX;
    } else {
        peer.address.v4.sin_family = AF_INET;
        peer.address.v4.sin_port = htons(port);
        CHECK(inet_pton(AF_INET, address, &peer.address.v4.sin_addr) == 1);
    }
    return peer;
}

static void connect_from(const char *address)
{
    struct peer peer = peer_at(address, 999);
    wire_reopen_from(&wire, &peer);
}

#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* Headers, and who is the client of a connection from 10.0.0.1:999 behind them. */
static const struct header {
    const char *octets;
    size_t len;
    const char *peer;
} headers[] = {
#define ROW(text, peer)                                                                            \
    {                                                                                              \
        (text), sizeof(text) - 1, (peer)                                                           \
    }
    ROW("PROXY TCP4 192.0.2.7 10.0.0.1 54321 80\r\n", "192.0.2.7:54321"),
    ROW("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", "[2001:db8::7]:1"),
    ROW("PROXY UNKNOWN\r\n", "10.0.0.1:999"),
    ROW("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "10.0.0.1:999"),
    ROW(V2_SIGNATURE "\x21\x11\0\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\xd4\x31\0\x50",
        "192.0.2.7:54321"),
    ROW(V2_SIGNATURE "\x21\x11\0\x10\xc0\x00\x02\x07\x0a\x00\x00\x01\xd4\x31\0\x50"
                     "\x04\0\1x",
        "192.0.2.7:54321"),
    ROW(V2_SIGNATURE "\x21\x21\0\x24"
                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                     "\0\1\xff\xff",
        "[2001:db8::7]:1"),
    ROW(V2_SIGNATURE "\x20\0\0\0", "10.0.0.1:999"),
    ROW(V2_SIGNATURE "\x20\x11\0\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\xd4\x31\0\x50",
        "10.0.0.1:999"),
    ROW(V2_SIGNATURE "\x21\0\0\0", "10.0.0.1:999"),
#undef ROW
};
#define N_HEADERS (sizeof headers / sizeof headers[0])

static void check_who(const struct wire_answer *answer, const char *who_text)
{
    CHECK_EQ(answer->status, 200);
    CHECK_BYTES(answer->body.p, answer->body.len, who_text, strlen(who_text));
}

static void check_served(size_t i)
{
    char expected[128];
    struct wire_answer answers[3];
    (void)snprintf(expected, sizeof expected, "%s http a\n", headers[i].peer);
    CHECK_EQ(wire_answers(&wire, false, answers, 3), 2);
    check_who(&answers[0], expected);
    check_who(&answers[1], expected); /* it is the connection's, not the first request's */
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    CHECK_EQ(wire.n_proxy_refused, 0);
}

static void a_header_names_the_client_however_it_is_cut(void **state)
{
    (void)state;
    allow(&allowed, allowed_items, "10.0.0.0/8");
    for (size_t i = 0; i < N_HEADERS; i++) {
        struct buf octets = {0};
        CHECK(buf_append(&octets, headers[i].octets, headers[i].len) == 0);
        CHECK(buf_printf(&octets, GET("/who") GET("/who")) == 0);
        for (size_t cut = 0; cut < octets.len; cut++) {
            check_context("header %zu, cut at %zu", i, cut);
            connect_from("10.0.0.1");
            CHECK_EQ(wire.conn.state, CONN_PROXY);
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
            CHECK_EQ(wire_feed(&wire, octets.data, cut), cut);
            CHECK(cut >= headers[i].len || wire.conn.state == CONN_PROXY);
            CHECK(wire.conn.ex == NULL || cut > headers[i].len);
            CHECK_EQ(wire_feed(&wire, octets.data + cut, octets.len - cut), octets.len - cut);
            check_served(i);
        }
        check_context("header %zu, octet by octet", i);
        connect_from("10.0.0.1");
        CHECK_EQ(wire_feed_pieces(&wire, octets.data, octets.len, 1), octets.len);
        check_served(i);
        buf_fini(&octets);
    }
}

/* haproxy, doc/proxy-protocol.txt, section 2: whoever owes a header and does not send one is shown
 * the door, without a word that would help to guess. */
static void a_peer_that_owes_a_header_gets_nothing_without_one(void **state)
{
    (void)state;
    allow(&allowed, allowed_items, "10.0.0.0/8");
#define ROW(text)                                                                                  \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }
    static const struct {
        const char *octets;
        size_t len;
    } rows[] = {
        ROW(GET("/who")),
        ROW("\r\n" GET("/who")),
        ROW("\r\n\r\n" GET("/who")),
        ROW("PROXX"),
        ROW("proxy TCP4 192.0.2.7 10.0.0.1 1 80\r\n" GET("/who")),
        ROW("PROXY TCP4 192.0.2.7 10.0.0.1 1 80\n" GET("/who")),
        ROW("PROXY TCP4 192.0.2.300 10.0.0.1 1 80\r\n" GET("/who")),
        ROW("PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n" GET("/who")),
        ROW(" PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\n" GET("/who")),
        ROW(V2_SIGNATURE "\x31\x11\0\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\xd4\x31\0\x50"),
        ROW(V2_SIGNATURE "\x21\x11\0\x0b\xc0\x00\x02\x07\x0a\x00\x00\x01\xd4\x31\0"),
        ROW(V2_SIGNATURE "\x21\x11\xff\xff"),
    };
#undef ROW
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t piece = 1; piece < 5000; piece += 4998) {
            check_context("row %zu in pieces of %zu", i, piece);
            connect_from("10.0.0.1");
            (void)wire_feed_pieces(&wire, rows[i].octets, rows[i].len, piece);
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
            CHECK_EQ(wire.sent.len, 0);
            CHECK_EQ(wire.n_proxy_refused, 1);
            CHECK(wire.proxy_reason != NULL && wire.proxy_reason[0] != '\0');
            CHECK_EQ(wire.n_handled + wire.n_finished, 0);
            CHECK_EQ(wire.conn.pending.cap, 0);
        }
}

static void a_connection_that_ends_within_the_header_is_just_closed(void **state)
{
    (void)state;
    allow(&allowed, allowed_items, "10.0.0.0/8");
    for (int is_timeout = 0; is_timeout <= 1; is_timeout++)
        for (size_t len = 0; len < headers[0].len; len += 20) {
            connect_from("10.0.0.1");
            CHECK_EQ(wire_feed(&wire, headers[0].octets, len), len);
            if (is_timeout)
                conn_on_timeout(&wire.conn);
            else
                conn_on_eof(&wire.conn);
            CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
            CHECK_EQ(wire.sent.len, 0);
            CHECK_EQ(wire.n_proxy_refused, 0); /* a health check, a port scan */
            CHECK_EQ(wire.conn.pending.cap, 0);
        }
}

static void a_version_that_is_not_wanted_is_refused(void **state)
{
    (void)state;
    allow(&allowed, allowed_items, "10.0.0.0/8");
    for (size_t i = 0; i < N_HEADERS; i++) {
        bool is_v1 = headers[i].octets[0] == 'P';
        for (int version = PROXY_VERSION_1; version <= PROXY_VERSION_2; version++) {
            check_context("header %zu, version %d", i, version + 1);
            wire.env.proxy_version = (enum proxy_version)version;
            connect_from("10.0.0.1");
            (void)wire_feed(&wire, headers[i].octets, headers[i].len);
            bool is_wanted = is_v1 == (version == PROXY_VERSION_1);
            CHECK_EQ(wire.conn.state, is_wanted ? CONN_IDLE : CONN_CLOSED);
        }
    }
}

static void others_speak_http_from_the_first_octet(void **state)
{
    (void)state;
    allow(&allowed, allowed_items, "10.0.0.0/8");
    struct wire_answer answer;
    static const char *const others[][2] = {{"192.0.2.1", "192.0.2.1:999 http a\n"},
                                            {"2001:db8::9", "[2001:db8::9]:999 http a\n"},
                                            {"unix", "unix: http a\n"}};
    for (size_t k = 0; k < 3; k++) {
        check_context("%s", others[k][0]);
        connect_from(others[k][0]);
        wire_feed_text(&wire, GET("/who"));
        CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
        check_who(&answer, others[k][1]);
        for (size_t i = 0; i < N_HEADERS; i++) {
            connect_from(others[k][0]);
            (void)wire_feed(&wire, headers[i].octets, headers[i].len);
            wire_feed_text(&wire, GET("/who"));
            WIRE_ANSWERED(&wire, 400);
            CHECK_EQ(wire.n_handled, 0);
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
        }
    }
    wire.env.proxies = NULL; /* nobody is to send one */
    connect_from("10.0.0.1");
    (void)wire_feed(&wire, headers[0].octets, headers[0].len);
    WIRE_ANSWERED(&wire, 400);
}

/* The first header counts; a second is a request line that is none. */
static void a_second_header_is_malformed(void **state)
{
    (void)state;
    allow(&allowed, allowed_items, "10.0.0.0/8");
    connect_from("10.0.0.1");
    wire_feed_text(&wire, "PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\n"
                          "PROXY TCP4 192.0.2.8 10.0.0.1 1 80\r\n" GET("/who"));
    WIRE_ANSWERED(&wire, 400);
    connect_from("10.0.0.1");
    wire_feed_text(&wire, "PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\n" GET(
                              "/who") "PROXY TCP4 192.0.2.8 10.0.0.1 1 80\r\n" GET("/who"));
    WIRE_ANSWERED(&wire, 200, 400);
}

/* ---- what proxies say in requests ---- */

static void expect_who(const char *peer, const char *header, const char *fields, const char *text)
{
    char request[1024];
    struct wire_answer answer;
    check_context("from %s: %s%s", peer, header, fields);
    (void)snprintf(request, sizeof request, "%sGET /who HTTP/1.1\r\nHost: a\r\n%s\r\n", header,
                   fields);
    for (size_t piece = 1; piece < 5000; piece += 4998) {
        connect_from(peer);
        (void)wire_feed_pieces(&wire, request, strlen(request), piece);
        CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
        if (!text) {
            CHECK_EQ(answer.status, 400);
            CHECK_EQ(wire.n_handled, 0);
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
        } else {
            check_who(&answer, text);
        }
    }
}

#define SAYS                                                                                       \
    "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: example.org\r\n"

static void a_trusted_proxy_is_believed_and_others_are_not(void **state)
{
    (void)state;
    allow(&trusted, trusted_items, "10.0.0.0/8");
    expect_who("10.0.0.1", "", SAYS, "192.0.2.7:0 https example.org\n");
    expect_who("10.0.0.1", "", "Forwarded: for=\"192.0.2.7:8\";proto=https;host=b\r\n",
               "192.0.2.7:8 https b\n");
    expect_who("10.0.0.1", "", "", "10.0.0.1:999 http a\n");
    expect_who("192.0.2.1", "", SAYS, "192.0.2.1:999 http a\n");
    expect_who("192.0.2.1", "", "Forwarded: for=192.0.2.7;proto=https;host=b\r\n",
               "192.0.2.1:999 http a\n");
    expect_who("2001:db8::1", "", SAYS, "[2001:db8::1]:999 http a\n");
    expect_who("unix", "", SAYS, "unix: http a\n");
    allow(&trusted, trusted_items, "unix");
    expect_who("unix", "", SAYS, "192.0.2.7:0 https example.org\n");
}

static void a_proxy_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    static const char says_both[] = "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n";
    static const char names_both[] = "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.8\r\n";
    allow(&trusted, trusted_items, "10.0.0.0/8");
    expect_who("10.0.0.1", "", says_both, NULL);
    expect_who("10.0.0.1", "", names_both, NULL);
    expect_who("192.0.2.1", "", says_both, "192.0.2.1:999 http a\n"); /* nobody listens */
    expect_who("192.0.2.1", "", names_both, "192.0.2.1:999 http a\n");
}

/* Whom the PROXY header names is whom trust is about, not whoever opened the connection. */
static void trust_is_in_whom_the_proxy_header_names(void **state)
{
    (void)state;
    static const char from_client[] = "PROXY TCP4 192.0.2.50 10.0.0.1 1 80\r\n";
    static const char from_proxy[] = "PROXY TCP4 203.0.113.1 10.0.0.1 1 80\r\n";
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    allow(&allowed, allowed_items, "10.0.0.0/8");
    allow(&trusted, trusted_items, "10.0.0.0/8");
    expect_who("10.0.0.1", from_client, SAYS, "192.0.2.50:1 http a\n"); /* a client says so */
    expect_who("10.0.0.1", unknown, SAYS, "192.0.2.7:0 https example.org\n");
    allow(&trusted, trusted_items, "203.0.113.0/24");
    expect_who("10.0.0.1", from_proxy, SAYS, "192.0.2.7:0 https example.org\n");
    trusted.n = 0;
    expect_who("10.0.0.1", unknown, SAYS, "10.0.0.1:999 http a\n");
    wire.env.forwarded = NULL;
    expect_who("10.0.0.1", from_proxy, SAYS, "203.0.113.1:1 http a\n");
}

/* Each request speaks for itself. */
static void what_a_proxy_says_ends_with_its_request(void **state)
{
    (void)state;
    struct wire_answer answers[3];
    allow(&trusted, trusted_items, "10.0.0.0/8");
    connect_from("10.0.0.1");
    wire_feed_text(
        &wire, "GET /who HTTP/1.1\r\nHost: a\r\n" SAYS "\r\n" GET(
                   "/who") "GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n");
    CHECK_EQ(wire_answers(&wire, false, answers, 3), 3);
    check_who(&answers[0], "192.0.2.7:0 https example.org\n");
    check_who(&answers[1], "10.0.0.1:999 http a\n");
    check_who(&answers[2], "192.0.2.9:0 http a\n");
}

/* ---- the identity that every answer carries ---- */

static void expect_id(const char *request, size_t len, int status, const char *id)
{
    struct wire_answer answer;
    struct str value;
    check_context("%.60s", request);
    wire_reopen(&wire);
    (void)wire_feed(&wire, request, len);
    if (status == 408) {
        conn_on_timeout(&wire.conn);
        (void)wire_turn(&wire);
    }
    CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
    CHECK_EQ(answer.status, status);
    CHECK(wire_field(&answer, "X-Request-ID", &value));
    if (id) {
        CHECK_BYTES(value.p, value.len, id, strlen(id));
    } else {
        CHECK_EQ(value.len, TRACE_ID_LEN);
        CHECK(memcmp(value.p, "000000000000002a", 16) == 0);
    }
}

static void every_answer_carries_its_trace_id(void **state)
{
    (void)state;
    wire.env.id_header = STR("X-Request-ID");
    conn_env_set_seed(&wire.env, 42);
#define ROW(text, status, id) expect_id((text), sizeof(text) - 1, (status), (id))
    ROW(GET("/who"), 200, NULL);
    ROW(GET("/nowhere"), 404, NULL);
    ROW("GET /who HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n\r\n", 200, "mine");
    ROW("GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n\r\n", 404, "mine");
    ROW("GET /who HTTP/1.1\r\nHost: a\r\nX-Request-ID: a b\r\n\r\n", 200, NULL);
    ROW("GET /who HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n"
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
        200, "0af7651916cd43dd8448eb211c80319c");
    ROW("GET /who HTTP/1.1\r\nX-Request-ID: mine\r\n\r\n", 400, "mine"); /* no Host */
    ROW("GET /who HTTP/1.1\r\nHost: a\r\nExpect: x\r\nX-Request-ID: mine\r\n\r\n", 417, "mine");
    ROW("GET  /who\r\n\r\n", 400, NULL);
    ROW("\n", 400, NULL);
    ROW("POST /who HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\nContent-Length: 99999999\r\n\r\n",
        413, "mine");
    ROW("GET /who HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n", 408, NULL);
    ROW("POST /who HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\nContent-Length: 9\r\n\r\n", 408,
        "mine");
#undef ROW
    wire_reopen(&wire); /* no two have the same */
    wire_feed_text(&wire, GET("/who") GET("/who"));
    struct wire_answer answers[2];
    struct str first, second;
    CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
    CHECK(wire_field(&answers[0], "X-Request-ID", &first));
    CHECK(wire_field(&answers[1], "X-Request-ID", &second));
    CHECK(!str_is_equal(first, second));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_header_names_the_client_however_it_is_cut),
        TEST(a_peer_that_owes_a_header_gets_nothing_without_one),
        TEST(a_connection_that_ends_within_the_header_is_just_closed),
        TEST(a_version_that_is_not_wanted_is_refused),
        TEST(others_speak_http_from_the_first_octet),
        TEST(a_second_header_is_malformed),
        TEST(a_trusted_proxy_is_believed_and_others_are_not),
        TEST(a_proxy_that_contradicts_itself_is_refused),
        TEST(trust_is_in_whom_the_proxy_header_names),
        TEST(what_a_proxy_says_ends_with_its_request),
        TEST(every_answer_carries_its_trace_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
