/* http/parse.c, with http/guard.c behind it where the outcome of a head is meant: heads come out
 * the same whole, octet by octet, and cut at every position; which status a bad request line gets;
 * and which llhttp is linked. Limits are in parse_limits.c, chunked bodies in parse_chunked.c. */
#include "http/parse.h"

#include <llhttp.h>

#include "tests/unit/http/heads.h"

/* ---- what is linked ---- */

static llhttp_errno_t feed_linked(const char *text)
{
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    return llhttp_execute(&parser, text, strlen(text));
}

/* LLHTTP.md 1: the loose automaton of 8.1 takes each of these. */
static void the_linked_llhttp_is_the_strict_one(void **state)
{
    (void)state;
    static const char *const loose[] = {
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nX:\r\rContent-Length: 5\r\n\r\n",
        "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\rXhello\r\n0\r\n\r\n",
    };
    CHECK(parse_is_strict());
    CHECK_EQ(feed_linked("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), HPE_OK);
    for (size_t i = 0; i < sizeof loose / sizeof loose[0]; i++) {
        check_context("%s", loose[i]);
        CHECK(feed_linked(loose[i]) != HPE_OK);
    }
}

/* The header's version is the library's: only 8 takes a field without a name (LLHTTP.md 8). */
static void the_linked_llhttp_is_of_the_version_that_its_header_says(void **state)
{
    (void)state;
    char expected[64];
    (void)snprintf(expected, sizeof expected, "%d.%d.%d%s", LLHTTP_VERSION_MAJOR,
                   LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH, " strict");
    CHECK_TEXT(parse_version(), expected);
    CHECK(LLHTTP_VERSION_MAJOR >= 8);
    bool takes_nameless = feed_linked("GET / HTTP/1.1\r\n: x\r\n\r\n") == HPE_OK;
    CHECK_EQ(takes_nameless, LLHTTP_VERSION_MAJOR == 8);
}

/* ---- heads ---- */

static void heads_come_out_whole_however_they_are_cut(void **state)
{
    (void)state;
    CHECK_TEXT(outcome("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "ok bytes=27 GET|/|1.1|Host=a");
    CHECK_TEXT(outcome("GET / HTTP/1.0\r\n\r\n"), "ok bytes=18 GET|/|1.0");
    CHECK_TEXT(
        outcome("OPTIONS * HTTP/1.1\r\nhost:a:80\r\nX-Empty:\r\nX-Blank: \t \r\nX:y\r\n\r\n"),
        "ok bytes=61 OPTIONS|*|1.1|host=a:80|X-Empty=|X-Blank=|X=y");
    CHECK_TEXT(
        outcome("M-SEARCH /a?b=c&d=%20 HTTP/1.1\r\nHost:\t a.example \t\r\nA: b  c\t d\r\n\r\n"),
        "ok bytes=66 M-SEARCH|/a?b=c&d=%20|1.1|Host=a.example|A=b  c\t d");
    CHECK_TEXT(outcome("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n"),
               "ok bytes=48 POST|/|1.1|length=12|Host=a|Content-Length=12");
    CHECK_TEXT(outcome("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"),
               "ok bytes=56 POST|/|1.1|chunked|Host=a|Transfer-Encoding=Chunked");
    CHECK_TEXT(outcome("GET http://a/b HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\xff\r\n\r\n"),
               "ok bytes=44 GET|http://a/b|1.1|Host=a|X=\xc3\xa9\xff");
}

static void octets_behind_a_head_are_left_alone(void **state)
{
    (void)state;
    CHECK_TEXT(outcome("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\n"),
               "ok bytes=27 GET|/|1.1|Host=a");
    CHECK_TEXT(outcome("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
               "ok bytes=47 POST|/|1.1|length=3|Host=a|Content-Length=3");
    CHECK_TEXT(
        outcome("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nXYZ"),
        "ok bytes=62 GET|/|1.1|Host=a|Connection=upgrade|Upgrade=h2c");
}

static void an_unfinished_head_wants_more(void **state)
{
    (void)state;
    CHECK_TEXT(outcome("GET / HTTP/1.1\r\nHost: a\r\n\r"), "more");
    CHECK_TEXT(outcome("G"), "more");
    CHECK_TEXT(outcome("BREW /pot HTTP/1.1\r"), "more");
}

/* RFC 9110 §2.5: processed as the highest 1.x that we know. */
static void later_minor_versions_are_processed(void **state)
{
    (void)state;
    for (char minor = '2'; minor <= '9'; minor++) {
        char text[64];
        char expected[64];
        (void)snprintf(text, sizeof text, "GET /x HTTP/1.%c\r\nHost: a\r\n\r\n", minor);
        (void)snprintf(expected, sizeof expected, "ok bytes=28 GET|/x|1.%c|Host=a", minor);
        CHECK_TEXT(outcome(text), expected);
    }
    CHECK_EQ(status_of("GET / HTTP/1.2\r\n\r\n"), 400); /* Host is owed */
    CHECK_EQ(status_of("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), 400);
    CHECK_EQ(status_of("GE(T / HTTP/1.2\r\nHost: a\r\n\r\n"), 400);
    CHECK_EQ(status_of("BREW / HTTP/1.2\r\nHost: a\r\n\r\n"), 501);
}

/* LLHTTP.md 11, and RFC 9110 §9.1, §15.6.6. */
static void a_bad_request_line_gets_the_status_it_deserves(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int status;
    } rows[] = {
        {"BREW / HTTP/1.1", 501},
        {"get / HTTP/1.1", 501},
        {"GETS / HTTP/1.1", 501},
        {"GE / HTTP/1.1", 501},
        {"G!#$%&'*+-.^_`|~ / HTTP/1.1", 501},
        {"A / HTTP/1.0", 501},
        {"GE(T / HTTP/1.1", 400},
        {"G\x80T / HTTP/1.1", 400},
        {"GET\t/ HTTP/1.1", 400},
        {" / HTTP/1.1", 400},
        {"GET", 400},
        {"GET /", 400},
        {"GET / HTTP/2.0", 505},
        {"GET / HTTP/0.9", 505},
        {"GET / HTTP/9.9", 505},
        {"GET / HTTP/3.1", 505},
        {"POST /x HTTP/2.1", 505},
        {"GET / HTTP/1", 400},
        {"GET / HTTP/1.", 400},
        {"GET / HTTP/1.11", 400},
        {"GET / HTTP/11.1", 400},
        {"GET / HTTP/x.1", 400},
        {"GET / HTTP/1.x", 400},
        {"GET / HTTP/1,1", 400},
        {"GET / http/1.1", 400},
        {"GET / Http/1.1", 400},
        {"GET / HTTPS/1.1", 400},
        {"GET / RTSP/1.0", 400},
        {"SOURCE / ICE/1.0", 400},
        {"GET  / HTTP/1.1", 400},
        {"GET /  HTTP/1.1", 400},
        {"GET / HTTP/1.1 ", 400},
        {"GET /a b HTTP/1.1", 400},
        {"GET /\x01 HTTP/1.1", 400},
        {"GET /\x7f HTTP/1.1", 400},
        {"GET /\xc3\xa9 HTTP/1.1", 400},
        {"GET /\x01 HTTP/2.0", 400},
        {"GET HTTP/1.1", 400},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "%s\r\nHost: a\r\n\r\n", rows[i].line);
        const char *seen = outcome(text);
        CHECK_SAYING(atoi(seen) == rows[i].status, "%s: %s, expected %d", rows[i].line, seen,
                     rows[i].status);
    }
    CHECK_EQ(atoi(outcome_of("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 29)), 400);
    CHECK_EQ(status_of("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400);
    CHECK_EQ(status_of("GET / HTTP/1.1\rHost: a\r\n\r\n"), 400);
    CHECK_EQ(status_of("BREW / HTTP/1.1\nHost: a\r\n\r\n"), 400);
}

static void bad_fields_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "Host : a\r\n",
        ": x\r\n",
        ":\r\n",
        "Nonsense\r\n",
        "X(Y): z\r\n",
        "X: a\x01\r\n",
        "X: a\rb\r\n",
        "X: a\n",
        "X: a\x7f\r\n",
        "\xc3\xa9: x\r\n",
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X:\r\n b\r\n",
        " X: a\r\n",
        "X:\r\rY: z\r\n",
        "Content-Length: 1\r\n 2\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", rows[i]);
        CHECK_SAYING(status_of(text) == 400, "%s: %s", rows[i], outcome(text));
        (void)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%sHost: a\r\n\r\n", rows[i]);
        CHECK_SAYING(status_of(text) == 400, "%s: %s", rows[i], outcome(text));
    }
    CHECK_EQ(atoi(outcome_of("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 34)), 400);
}

/* LLHTTP.md 12; RFC 9110 §5.5: OWS is no part of a value. */
static void tabs_around_framing_values_are_blanks(void **state)
{
    (void)state;
    CHECK_TEXT(outcome("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t5\t\r\n\r\n"),
               "ok bytes=48 POST|/|1.1|length=5|Host=a|Content-Length=5");
    CHECK_TEXT(outcome("POST / HTTP/1.1\r\nContent-Length: 5 \t\t \t\r\nHost: a\r\n\r\n"),
               "ok bytes=52 POST|/|1.1|length=5|Content-Length=5|Host=a");
    CHECK_TEXT(
        outcome("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\t \t\r\nX: y\t\r\n\r\n"),
        "ok bytes=66 POST|/|1.1|chunked|Host=a|Transfer-Encoding=chunked|X=y");
    char text[200] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5";
    memset(text + strlen(text), '\t', 40);
    memcpy(text + strlen(text), "\r\n\r\n", 5);
    CHECK_TEXT(outcome(text), "ok bytes=87 POST|/|1.1|length=5|Host=a|Content-Length=5");
    CHECK_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\t6\r\n\r\n"), 400);
    CHECK_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t\r\n\r\n"), 400);
    CHECK_TEXT(outcome("POST / HTTP/1.7\r\nHost: a\r\nContent-Length: 5\t\r\n\r\n"),
               "ok bytes=48 POST|/|1.7|length=5|Host=a|Content-Length=5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_linked_llhttp_is_the_strict_one, setup),
        cmocka_unit_test_setup(the_linked_llhttp_is_of_the_version_that_its_header_says, setup),
        cmocka_unit_test_setup(heads_come_out_whole_however_they_are_cut, setup),
        cmocka_unit_test_setup(octets_behind_a_head_are_left_alone, setup),
        cmocka_unit_test_setup(an_unfinished_head_wants_more, setup),
        cmocka_unit_test_setup(later_minor_versions_are_processed, setup),
        cmocka_unit_test_setup(a_bad_request_line_gets_the_status_it_deserves, setup),
        cmocka_unit_test_setup(bad_fields_are_refused, setup),
        cmocka_unit_test_setup(tabs_around_framing_values_are_blanks, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
