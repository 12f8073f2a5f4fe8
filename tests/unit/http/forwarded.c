/* http/forwarded.c: who is believed, how lists are read from the right, and the grammar of RFC
 * 7239. Trusted here are 10.0.0.0/8, fd00::/8 and unix sockets. */
#include "http/forwarded.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/http/fields.h"

static struct network trusted_items[3];
static const struct network_list trusted = {trusted_items, 3};
static struct forwarded_rules rules;

static int setup(void **state)
{
    (void)state;
    forwarded_rules_init(&rules, &trusted, NULL, 0, FORWARDED_LOOK_ANY);
    return network_parse(STR("10.0.0.0/8"), &trusted_items[0], NULL) |
           network_parse(STR("fd00::/8"), &trusted_items[1], NULL) |
           network_parse(STR("unix"), &trusted_items[2], NULL);
}

static struct peer peer_of(const char *text)
{
    struct peer peer = {.address.any.sa_family = AF_UNIX};
    if (inet_pton(AF_INET, text, &peer.address.v4.sin_addr) == 1) {
        peer.address.any.sa_family = AF_INET;
        peer.address.v4.sin_port = htons(4711);
    } else if (inet_pton(AF_INET6, text, &peer.address.v6.sin6_addr) == 1) {
        peer.address.any.sa_family = AF_INET6;
        peer.address.v6.sin6_port = htons(4711);
    }
    return peer;
}

static const char *const chains[] = {
    [FORWARDED_CHAIN_NONE] = "none",           [FORWARDED_CHAIN_CLIENT] = "client",
    [FORWARDED_CHAIN_TRUSTED] = "trusted",     [FORWARDED_CHAIN_HIDDEN] = "hidden",
    [FORWARDED_CHAIN_MALFORMED] = "malformed", [FORWARDED_CHAIN_LONG] = "long",
};
static const char *const protos[] = {"", " http", " https"};

static char outcome_text[512];
static struct forwarded last;

/* "CHAIN ADDRESS:PORT[ https][ HOST]", or "400 why". */
static const char *judge(const struct fields *f, const char *peer_text)
{
    struct peer peer = peer_of(peer_text);
    struct forwarded out;
    char client[PEER_TEXT_MAX];
    memset(&out, 0xaa, sizeof out);
    int status = forwarded_judge(&rules, &peer, &f->head, f->octets, &out);
    last = out;
    if (status != 0) {
        (void)snprintf(outcome_text, sizeof outcome_text, "%d %s", status, out.reason);
        return outcome_text;
    }
    assert_null(out.reason);
    (void)request_format_peer(&out.client, true, client);
    (void)snprintf(outcome_text, sizeof outcome_text, "%s %s%s%s%.*s", chains[out.chain], client,
                   protos[out.proto], out.host.len > 0 ? " " : "", STR_ARG(out.host));
    return outcome_text;
}

/* fields: "Name: value" by lines. */
static const char *judge_text(const char *text, const char *peer)
{
    struct fields f = {0};
    char copy[8192];
    assert_true(strlen(text) < sizeof copy);
    (void)snprintf(copy, sizeof copy, "%s", text);
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = '\0';
        fields_add(&f, line, colon[1] == ' ' ? colon + 2 : colon + 1);
    }
    return judge(&f, peer);
}

struct row {
    const char *fields;
    const char *outcome;
};

static void expect_rows(const struct row *rows, size_t n, const char *peer)
{
    for (size_t i = 0; i < n; i++) {
        const char *outcome = judge_text(rows[i].fields, peer);
        if (strcmp(outcome, rows[i].outcome) != 0)
            fail_msg("%s\nis \"%s\", not \"%s\"", rows[i].fields, outcome, rows[i].outcome);
    }
}

#define EXPECT(peer, rows) expect_rows(rows, sizeof rows / sizeof rows[0], peer)
#define CONTRADICTION "400 fields of a trusted proxy differ in the scheme"
#define TWO_CLIENTS "400 Forwarded and X-Forwarded-For name different clients"

static void forwarded_does_not_look_at_untrusted_peers(void **state)
{
    (void)state;
    static const char everything[] = "Forwarded: for=1.2.3.4;proto=https;host=evil\n"
                                     "X-Forwarded-For: 1.2.3.5\nX-Forwarded-Host: evil\n"
                                     "X-Forwarded-Proto: https\nX-Forwarded-Ssl: off";
    assert_string_equal(judge_text(everything, "192.0.2.1"), "none 192.0.2.1:4711");
    assert_string_equal(judge_text(everything, "::ffff:192.0.2.1"), "none [::ffff:192.0.2.1]:4711");
    assert_string_equal(judge_text(everything, "2001:db8::1"), "none [2001:db8::1]:4711");
    static const struct network_list nobody = {0};
    forwarded_rules_init(&rules, &nobody, NULL, 0, FORWARDED_LOOK_ANY);
    assert_string_equal(judge_text(everything, "10.0.0.1"), "none 10.0.0.1:4711");
    assert_string_equal(judge_text(everything, "unix"), "none unix:");
}

static void forwarded_takes_deadlines_as_whole_milliseconds(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        int64_t ms; /* -1: none; -2: refused */
    } rows[] = {
        {"X-Time-Left: 0", 0},
        {"x-time-left: 1500", 1500},
        {"X-Time-Left: 3600000", 3600000},
        {"X-Time-Lift: 1", -1},
        {"X-Time-Left: 3600001", -2},
        {"X-Time-Left: 99999999999999999999", -2},
        {"X-Time-Left: 4294967297", -2},
        {"X-Time-Left: ", -2},
        {"X-Time-Left: 1s", -2},
        {"X-Time-Left: -1", -2},
        {"X-Time-Left: 1.5", -2},
        {"X-Time-Left: 1, 2", -2},
        {"X-Time-Left: 1\nX-Time-Left: 1", -2},
    };
    forwarded_rules_watch_deadline(&rules, STR("X-Time-Left"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_refused = rows[i].ms == -2;
        const char *outcome = judge_text(rows[i].fields, "10.0.0.1");
        bool is_told = strstr(outcome, "400 deadline_header: one whole number of milliseconds");
        if (is_told != is_refused)
            fail_msg("%s is %s", rows[i].fields, outcome);
        if (!is_refused)
            assert_int_equal(last.has_deadline ? (int64_t)last.deadline_ms : -1, rows[i].ms);
        assert_string_equal(judge_text(rows[i].fields, "192.0.2.1"), "none 192.0.2.1:4711");
        assert_false(last.has_deadline);
    }
}

static void forwarded_looks_at_trusted_peers_of_every_family(void **state)
{
    (void)state;
    static const char text[] = "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https";
    assert_string_equal(judge_text(text, "10.0.0.1"), "client 192.0.2.1:0 https");
    assert_string_equal(judge_text(text, "::ffff:10.0.0.1"), "client 192.0.2.1:0 https");
    assert_string_equal(judge_text(text, "fd00::1"), "client 192.0.2.1:0 https");
    assert_string_equal(judge_text(text, "unix"), "client 192.0.2.1:0 https");
    assert_string_equal(judge_text("Host: a\nAccept-Encoding: br", "unix"), "none unix:");
    assert_string_equal(judge_text("", "10.0.0.1"), "none 10.0.0.1:4711");
}

static void forwarded_reads_x_forwarded_for_from_the_right(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"X-Forwarded-For: 192.0.2.1", "client 192.0.2.1:0"},
        {"x-forwarded-for: 6.6.6.6, 192.0.2.1", "client 192.0.2.1:0"},
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.1.1,10.2.2.2", "client 192.0.2.1:0"},
        {"X-Forwarded-For: 10.3.3.3, 192.0.2.1, 10.1.1.1", "client 192.0.2.1:0"},
        {"X-Forwarded-For: 10.3.3.3, 10.1.1.1", "trusted 10.3.3.3:0"},
        {"X-Forwarded-For: 10.3.3.3", "trusted 10.3.3.3:0"},
        /* several lines are one list */
        {"X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 192.0.2.1", "client 192.0.2.1:0"},
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.1\nA: b\nX-Forwarded-For: 10.1.1.1\n"
         "X-FORWARDED-FOR: 10.1.1.2",
         "client 192.0.2.1:0"},
        {"X-Forwarded-For: 192.0.2.1\nX-Forwarded-For:", "client 192.0.2.1:0"},
        /* forms */
        {"X-Forwarded-For: 192.0.2.1:80", "client 192.0.2.1:80"},
        {"X-Forwarded-For: 2001:db8::1", "client [2001:db8::1]:0"},
        {"X-Forwarded-For: [2001:db8::1]", "client [2001:db8::1]:0"},
        {"X-Forwarded-For: [2001:db8::1]:80", "client [2001:db8::1]:80"},
        {"X-Forwarded-For: ::ffff:192.0.2.1", "client [::ffff:192.0.2.1]:0"},
        {"X-Forwarded-For: 192.0.2.1, ::ffff:10.0.0.1", "client 192.0.2.1:0"},
        {"X-Forwarded-For: 192.0.2.1, fd00::7,[fd00::8]:1", "client 192.0.2.1:0"},
        {"X-Forwarded-For: , 192.0.2.1 ,,\t, 10.0.0.1 ,", "client 192.0.2.1:0"},
        {"X-Forwarded-For: ,", "none 10.0.0.9:4711"},
        {"X-Forwarded-For:", "none 10.0.0.9:4711"},
        /* what stops the walk */
        {"X-Forwarded-For: unknown", "hidden 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, unknown", "hidden 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.1", "hidden 10.0.0.1:0"},
        {"X-Forwarded-For: 6.6.6.6, nonsense, 10.0.0.1", "malformed 10.0.0.1:0"},
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.256", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6 192.0.2.1", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.1:", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.1:65536", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.1:+1", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, :80", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, [192.0.2.1]", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, [::1", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, []", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, ::1]", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, [::1]x", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, fe80::1%eth0", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, 010.0.0.1", "malformed 10.0.0.9:4711"},
        {"X-Forwarded-For: 6.6.6.6, \"192.0.2.1\"", "malformed 10.0.0.9:4711"},
        /* quotes mean nothing here */
        {"X-Forwarded-For: \"6.6.6.6, 192.0.2.1", "client 192.0.2.1:0"},
    };
    EXPECT("10.0.0.9", rows);
}

static void forwarded_reads_the_grammar_of_rfc_7239(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* §4 */
        {"Forwarded: for=\"_gazonk\"", "hidden 10.0.0.9:4711"},
        {"Forwarded: For=\"[2001:db8:cafe::17]:4711\"", "client [2001:db8:cafe::17]:4711"},
        {"Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43", "client 192.0.2.60:0 http"},
        {"Forwarded: for=192.0.2.43, for=198.51.100.17", "client 198.51.100.17:0"},
        {"Forwarded: for=192.0.2.43, for=10.0.0.17", "client 192.0.2.43:0"},
        /* §6, §7 */
        {"Forwarded: for=\"192.0.2.43:47011\"", "client 192.0.2.43:47011"},
        {"Forwarded: for=192.0.2.43,for=\"[fd00::17]\",for=unknown", "hidden 10.0.0.9:4711"},
        {"Forwarded: for=192.0.2.43,for=\"[fd00::17]\"", "client 192.0.2.43:0"},
        {"Forwarded: for=_hidden, for=_SEVKISEK", "hidden 10.0.0.9:4711"},
        {"Forwarded: for=_hidden, for=10.0.0.1", "hidden 10.0.0.1:0"},
        {"Forwarded: for=\"192.0.2.43:_port\"", "client 192.0.2.43:0"},
        {"Forwarded: for=\"unknown:80\"", "hidden 10.0.0.9:4711"},
        {"Forwarded: for=UNKNOWN", "hidden 10.0.0.9:4711"},
        {"Forwarded: for=\"192.0.2.43:00080\"", "client 192.0.2.43:80"},
        /* names in any case, unknown parameters, empty pairs */
        {"FORWARDED: FOR=192.0.2.1;PROTO=HTTPS;HOST=a", "client 192.0.2.1:0 https a"},
        {"Forwarded: secret=x;for=192.0.2.1;a=\"b,c;d\"", "client 192.0.2.1:0"},
        {"Forwarded: ;for=192.0.2.1;;proto=https;", "client 192.0.2.1:0 https"},
        {"Forwarded: , for=192.0.2.1 ,\t,", "client 192.0.2.1:0"},
        {"Forwarded: by=10.0.0.1;for=192.0.2.1", "client 192.0.2.1:0"},
        {"Forwarded: by=_lb1;for=192.0.2.1", "client 192.0.2.1:0"},
        /* quoted-pairs */
        {"Forwarded: for=\"192.\\0.2\\.1\"", "client 192.0.2.1:0"},
        {"Forwarded: for=192.0.2.1;proto=\"htt\\ps\"", "client 192.0.2.1:0 https"},
        {"Forwarded: for=192.0.2.1;host=\"\\a\"", "client 192.0.2.1:0"},
        {"Forwarded: x=\"a\\\"b\\\\\";for=192.0.2.1", "client 192.0.2.1:0"},
        /* nobody is named */
        {"Forwarded: proto=https", "none 10.0.0.9:4711 https"},
        {"Forwarded: for=6.6.6.6, proto=https;host=a", "none 10.0.0.9:4711 https a"},
        {"Forwarded: for=6.6.6.6, proto=https, for=10.0.0.1", "hidden 10.0.0.1:0 https"},
        {"Forwarded:", "none 10.0.0.9:4711"},
        {"Forwarded: ;", "none 10.0.0.9:4711"},
    };
    EXPECT("10.0.0.9", rows);
}

static void forwarded_takes_nothing_of_a_malformed_element(void **state)
{
    (void)state;
    static const char *const elements[] = {
        "for",
        "for=",
        "=192.0.2.1",
        "for =192.0.2.1",
        "for= 192.0.2.1",
        "for=192.0.2.1; proto=https",
        "for=192.0.2.1 ;proto=https",
        "for=192.0.2.1 proto=https",
        "for=192.0.2.1:80", /* a colon needs quotes */
        "for=[2001:db8::1]",
        "for=2001:db8::1",
        "for=\"2001:db8::1\"", /* and IPv6 brackets */
        "for=\"[192.0.2.1]\"",
        "for=\"[2001:db8::1\"",
        "for=\"[]\"",
        "for=\"[2001:db8::1]80\"",
        "for=\"192.0.2.1:\"",
        "for=\"192.0.2.1:65536\"",
        "for=\"192.0.2.1:000080\"",
        "for=\"192.0.2.1:80:80\"",
        "for=\"192.0.2.1:_\"",
        "for=\"192.0.2.1 \"",
        "for=\" 192.0.2.1\"",
        "for=\"\"",
        "for=\"192.0.2.1",
        "for=192.0.2.1\"",
        "for=\"192.0.2.1\\\"",
        "for=\"192.0.2.1\"x",
        "for=\"192.0.2.1\"\"\"",
        "for='192.0.2.1'",
        "for=192.0.2.256",
        "for=192.0.2",
        "for=localhost",
        "for=_",
        "for=_a/b",
        "for=192.0.2.1;for=192.0.2.1",
        "for=192.0.2.1;proto=https;proto=https",
        "for=192.0.2.1;host=a;host=b",
        "for=192.0.2.1;by=10.0.0.1;by=10.0.0.1",
        "for=192.0.2.1;by=nonsense",
        "for=192.0.2.1;by=\"\"",
        "for=192.0.2.1;proto",
        "for=192.0.2.1;proto=",
        "for=192.0.2.1;x=\"a\x01\"",
        "for=192.0.2.1;x=\"a\x7f\"",
        "for=192.0.2.1;x=\"\\\x01\"",
        "f\xc3\xb6r=192.0.2.1",
        "for=192.0.2.1;x=\xc3\xb6",
    };
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "Forwarded: for=6.6.6.6;proto=https;host=evil, %s, "
                       "for=10.1.1.1;host=good",
                       elements[i]);
        const char *outcome = judge_text(text, "10.0.0.9");
        if (strcmp(outcome, "malformed 10.1.1.1:0 good") != 0)
            fail_msg("%s: %s", elements[i], outcome);
    }
}

/* Whatever a client sends, what its proxy appends is read as the proxy meant it. */
static void forwarded_cannot_be_changed_from_the_left(void **state)
{
    (void)state;
    static const char *const claims[] = {
        "for=\"",
        "for=\"6.6.6.6",
        "for=6.6.6.6;x=\"",
        "for=6.6.6.6;x=\"\\",
        "for=6.6.6.6;x=\"\\\\",
        "for=6.6.6.6;x=\"a\\\"",
        "\"",
        "\"\"\"",
        "\\",
        "\\\"",
        "for=6.6.6.6;host=evil;proto=http,\"",
        "for=10.1.1.1, for=\"",
        ",,,,\",",
        ";=;\"=\"",
        "for=6.6.6.6;x=\"a,b",
    };
    static const char *const appended[][2] = {
        {"for=192.0.2.1", "client 192.0.2.1:0"},
        {"for=\"192.0.2.1:80\"", "client 192.0.2.1:80"},
        {"for=\"[2001:db8::1]:80\";proto=https;host=\"a:80\"",
         "client [2001:db8::1]:80 https a:80"},
        {"host=\"a,b\";for=192.0.2.1;x=\"\\\\\\\"\"", "client 192.0.2.1:0 a,b"},
        {"for=192.0.2.1, for=\"10.7.7.7:1\"", "client 192.0.2.1:0"},
        {"for=192.0.2.1\nForwarded: for=\"10.7.7.7:1\"", "client 192.0.2.1:0"},
    };
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        for (size_t k = 0; k < sizeof appended / sizeof appended[0]; k++) {
            char text[256];
            static const char *const glue[] = {", ", ",", "\nForwarded: "};
            for (size_t g = 0; g < 3; g++) {
                (void)snprintf(text, sizeof text, "Forwarded: %s%s%s", claims[i], glue[g],
                               appended[k][0]);
                const char *outcome = judge_text(text, "10.0.0.9");
                if (strcmp(outcome, appended[k][1]) != 0)
                    fail_msg("%s: %s", text, outcome);
            }
        }
    }
}

static void forwarded_takes_host_and_proto_of_the_leftmost_trusted_writer(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* for=192.0.2.1 was written by 10.0.0.1, which is trusted; for=6.6.6.6 by 192.0.2.1 */
        {"Forwarded: for=6.6.6.6;proto=http;host=evil, for=192.0.2.1;proto=https;host=good, "
         "for=10.0.0.1;proto=http;host=inner",
         "client 192.0.2.1:0 https good"},
        {"Forwarded: for=6.6.6.6;proto=http;host=evil, for=192.0.2.1, "
         "for=10.0.0.1;proto=https;host=inner",
         "client 192.0.2.1:0 https inner"},
        {"Forwarded: for=6.6.6.6;proto=http;host=evil, for=unknown;proto=https;host=good",
         "hidden 10.0.0.9:4711 https good"},
        {"Forwarded: for=192.0.2.1;host=\"good:8080\"", "client 192.0.2.1:0 good:8080"},
        {"Forwarded: for=192.0.2.1;host=\"[::1]:8080\"", "client 192.0.2.1:0 [::1]:8080"},
        {"Forwarded: for=192.0.2.1;host=\"a b\"", "client 192.0.2.1:0"},
        {"Forwarded: for=192.0.2.1;host=\"\"", "client 192.0.2.1:0"},
        {"Forwarded: for=192.0.2.1;host=\"a/b\"", "client 192.0.2.1:0"},
        {"Forwarded: for=192.0.2.1;host=\"a:x\"", "client 192.0.2.1:0"},
        {"Forwarded: for=192.0.2.1;proto=ws", "client 192.0.2.1:0"},
        {"Forwarded: for=192.0.2.1;proto=\"\"", "client 192.0.2.1:0"},
    };
    EXPECT("10.0.0.9", rows);
}

static void forwarded_takes_one_x_forwarded_host(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"X-Forwarded-Host: a.example:81", "none 10.0.0.9:4711 a.example:81"},
        {"X-Forwarded-Host: a, b", "none 10.0.0.9:4711"},
        {"X-Forwarded-Host: a,b", "none 10.0.0.9:4711"},
        {"X-Forwarded-Host: a\nX-Forwarded-Host: a", "none 10.0.0.9:4711"},
        {"X-Forwarded-Host: a\nX-Forwarded-Host:", "none 10.0.0.9:4711"},
        {"X-Forwarded-Host:", "none 10.0.0.9:4711"},
        {"X-Forwarded-Host: a b", "none 10.0.0.9:4711"},
        {"X-Forwarded-Host: http://a", "none 10.0.0.9:4711"},
        {"X-Forwarded-Host: user@a", "none 10.0.0.9:4711"},
        {"X-Forwarded-Host: a:123456", "none 10.0.0.9:4711"},
        {"X-Forwarded-Host: a\nForwarded: for=192.0.2.1", "client 192.0.2.1:0 a"},
        {"X-Forwarded-Host: a\nForwarded: for=192.0.2.1;host=b", "client 192.0.2.1:0 b"},
    };
    EXPECT("10.0.0.9", rows);
}

static void forwarded_refuses_schemes_that_contradict_each_other(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"X-Forwarded-Proto: https", "none 10.0.0.9:4711 https"},
        {"X-Forwarded-Protocol: ssl", "none 10.0.0.9:4711 https"},
        {"X-Forwarded-Ssl: on", "none 10.0.0.9:4711 https"},
        {"X-Forwarded-Proto: http", "none 10.0.0.9:4711 http"},
        {"X-Forwarded-Proto: HTTPS", "none 10.0.0.9:4711 http"},
        {"X-Forwarded-Proto: https, http", "none 10.0.0.9:4711 http"},
        {"X-Forwarded-Proto:", "none 10.0.0.9:4711 http"},
        {"X-Forwarded-Protocol: https", "none 10.0.0.9:4711 http"},
        {"X-Forwarded-Ssl: off", "none 10.0.0.9:4711 http"},
        {"X-Forwarded-Ssl: on\nX-Forwarded-Proto: https\nX-Forwarded-Protocol: ssl",
         "none 10.0.0.9:4711 https"},
        {"X-Forwarded-Proto: https\nX-Forwarded-Proto: https", "none 10.0.0.9:4711 https"},
        {"X-Forwarded-Proto: https\nX-Forwarded-Proto: http", CONTRADICTION},
        {"X-Forwarded-Ssl: off\nX-Forwarded-Proto: https", CONTRADICTION},
        {"X-Forwarded-Proto: http\nX-Forwarded-Ssl: on", CONTRADICTION},
        {"X-Forwarded-Proto: https\nForwarded: proto=http", CONTRADICTION},
        {"Forwarded: for=1.1.1.1;proto=https\nX-Forwarded-Proto: http", CONTRADICTION},
        {"Forwarded: for=1.1.1.1;proto=https\nX-Forwarded-Proto: https", "client 1.1.1.1:0 https"},
        /* of an element that no trusted proxy wrote */
        {"Forwarded: for=6.6.6.6;proto=http, for=1.1.1.1\nX-Forwarded-Proto: https",
         "client 1.1.1.1:0 https"},
        {"Forwarded: for=1.1.1.1;proto=ws\nX-Forwarded-Proto: https", "client 1.1.1.1:0 https"},
    };
    EXPECT("10.0.0.9", rows);
}

static void forwarded_takes_the_scheme_fields_of_its_rules(void **state)
{
    (void)state;
    static const char long_name[] = "X-A-Name-Of-Forty-Octets-Says-It-Is-Tls-";
    assert_int_equal(strlen(long_name), 40);
    const struct forwarded_scheme schemes[] = {{STR("Front-End-Https"), STR("On")},
                                               {str_of(long_name), STR("1")}};
    forwarded_rules_init(&rules, &trusted, schemes, 2, FORWARDED_LOOK_ANY);
    char text[128];
    (void)snprintf(text, sizeof text, "%s: 1", long_name);
    assert_string_equal(judge_text(text, "unix"), "none unix: https");
    assert_string_equal(judge_text("FRONT-END-HTTPS: On", "unix"), "none unix: https");
    assert_string_equal(judge_text("front-end-https: on", "unix"), "none unix: http");
    assert_string_equal(judge_text("X-Forwarded-Proto: https", "unix"), "none unix:");
    assert_string_equal(judge_text("Front-End-Http: On", "unix"), "none unix:");
}

static void forwarded_refuses_two_lists_that_name_different_clients(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"Forwarded: for=1.1.1.1\nX-Forwarded-For: 1.1.1.1", "client 1.1.1.1:0"},
        {"Forwarded: for=\"1.1.1.1:5\"\nX-Forwarded-For: 1.1.1.1", "client 1.1.1.1:5"},
        {"Forwarded: for=\"[::ffff:1.1.1.1]\"\nX-Forwarded-For: 1.1.1.1",
         "client [::ffff:1.1.1.1]:0"},
        {"Forwarded: for=6.6.6.6, for=1.1.1.1\nX-Forwarded-For: 7.7.7.7, 1.1.1.1, 10.0.0.1",
         "client 1.1.1.1:0"},
        {"Forwarded: for=1.1.1.1\nX-Forwarded-For: 1.1.1.2", TWO_CLIENTS},
        {"Forwarded: for=1.1.1.1\nX-Forwarded-For: 2001:db8::1", TWO_CLIENTS},
        {"Forwarded: for=unknown\nX-Forwarded-For: 1.1.1.1", TWO_CLIENTS},
        {"Forwarded: nonsense\nX-Forwarded-For: 1.1.1.1", TWO_CLIENTS},
        {"Forwarded: for=1.1.1.1\nX-Forwarded-For: unknown", TWO_CLIENTS},
        {"Forwarded: proto=https\nX-Forwarded-For: 1.1.1.1", "client 1.1.1.1:0 https"},
        {"Forwarded: for=1.1.1.1\nX-Forwarded-For: ", "client 1.1.1.1:0"},
    };
    EXPECT("10.0.0.9", rows);
    assert_string_equal(judge_text("Forwarded: for=unknown\nX-Forwarded-For: unknown", "unix"),
                        "hidden unix:");
    assert_string_equal(judge_text("Forwarded: for=unknown\nX-Forwarded-For: 1.1.1.1", "unix"),
                        TWO_CLIENTS);
}

static void forwarded_looks_at_one_kind_only_when_told(void **state)
{
    (void)state;
    static const char both[] = "Forwarded: for=1.1.1.1;host=a;proto=https\n"
                               "X-Forwarded-For: 2.2.2.2\nX-Forwarded-Host: b";
    forwarded_rules_init(&rules, &trusted, NULL, 0, FORWARDED_LOOK_RFC7239);
    assert_string_equal(judge_text(both, "unix"), "client 1.1.1.1:0 https a");
    assert_string_equal(judge_text("X-Forwarded-For: 1.1.1.1\nX-Forwarded-Host: b", "unix"),
                        "none unix:");
    assert_string_equal(judge_text("X-Forwarded-Proto: https", "unix"), "none unix: https");
    forwarded_rules_init(&rules, &trusted, NULL, 0, FORWARDED_LOOK_X);
    assert_string_equal(judge_text(both, "unix"), "client 2.2.2.2:0 b");
    assert_string_equal(judge_text("Forwarded: for=1.1.1.1;proto=https", "unix"), "none unix:");
    assert_string_equal(judge_text("X-Forwarded-Proto: https", "unix"), "none unix: https");
}

static void forwarded_trusts_everybody_up_to_the_left_end(void **state)
{
    (void)state;
    assert_int_equal(network_parse(STR("*"), &trusted_items[0], NULL), 0);
    assert_string_equal(judge_text("X-Forwarded-For: 6.6.6.6, 1.1.1.1", "192.0.2.1"),
                        "trusted 6.6.6.6:0");
}

static void forwarded_walks_so_far_and_no_further(void **state)
{
    (void)state;
    for (int n = FORWARDED_HOPS_MAX - 2; n < FORWARDED_HOPS_MAX + 3; n++) {
        char text[2000];
        size_t len = (size_t)snprintf(text, sizeof text, "X-Forwarded-For: 1.1.1.1");
        for (int i = n; i > 0; i--)
            len += (size_t)snprintf(text + len, sizeof text - len, ", 10.0.0.%d", i);
        char expected[64];
        if (n < FORWARDED_HOPS_MAX)
            (void)snprintf(expected, sizeof expected, "client 1.1.1.1:0");
        else
            (void)snprintf(expected, sizeof expected, "long 10.0.0.%d:0", FORWARDED_HOPS_MAX);
        assert_string_equal(judge_text(text, "unix"), expected);
    }
    char commas[1000] = "X-Forwarded-For: 1.1.1.1";
    memset(commas + strlen(commas), ',', FORWARDED_HOPS_MAX);
    assert_string_equal(judge_text(commas, "unix"), "long unix:");
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(forwarded_does_not_look_at_untrusted_peers),
        TEST(forwarded_takes_deadlines_as_whole_milliseconds),
        TEST(forwarded_looks_at_trusted_peers_of_every_family),
        TEST(forwarded_reads_x_forwarded_for_from_the_right),
        TEST(forwarded_reads_the_grammar_of_rfc_7239),
        TEST(forwarded_takes_nothing_of_a_malformed_element),
        TEST(forwarded_cannot_be_changed_from_the_left),
        TEST(forwarded_takes_host_and_proto_of_the_leftmost_trusted_writer),
        TEST(forwarded_takes_one_x_forwarded_host),
        TEST(forwarded_refuses_schemes_that_contradict_each_other),
        TEST(forwarded_takes_the_scheme_fields_of_its_rules),
        TEST(forwarded_refuses_two_lists_that_name_different_clients),
        TEST(forwarded_looks_at_one_kind_only_when_told),
        TEST(forwarded_trusts_everybody_up_to_the_left_end),
        TEST(forwarded_walks_so_far_and_no_further),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
