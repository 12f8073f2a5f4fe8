/* http/grammar.c: each octet in each place of a head, to the place of the refusal; limits to the
 * octet; and that it does not matter how a head is cut. */
#include "http/grammar.h"

#include <stdio.h>

#include "tests/harness/check.h"

#define FIELDS_MAX 3

static const struct http_limits limits = {
    .request_line = 40, .fields = FIELDS_MAX, .field_size = 30, .head = 100, .body = 1};

/* "ok 18", "more 5", or "400 at 7": how far it went. */
static const char *judge(const char *octets, size_t len, size_t piece)
{
    static char text[64];
    struct grammar g;
    grammar_begin(&g);
    bool is_good = true;
    for (size_t fed = 0; is_good && fed < len;) {
        fed = len - fed < piece ? len : fed + piece;
        is_good = grammar_judge(&g, octets, fed, &limits, FIELDS_MAX);
    }
    CHECK_EQ(is_good, g.status == 0);
    CHECK_EQ(is_good, g.reason == NULL);
    if (!is_good)
        (void)snprintf(text, sizeof text, "%d at %u", g.status, g.at);
    else
        (void)snprintf(text, sizeof text, "%s %u", grammar_is_complete(&g) ? "ok" : "more", g.at);
    return text;
}

static const char *outcome_of(const char *octets, size_t len)
{
    static char whole[64];
    (void)snprintf(whole, sizeof whole, "%s", judge(octets, len, len));
    for (size_t piece = 1; piece < len; piece++)
        CHECK_TEXT(judge(octets, len, piece), whole);
    return whole;
}

static const struct row {
    const char *text;
    const char *outcome;
} rows[] = {
    {"GET / HTTP/1.1\r\n\r\n", "ok 18"},
    {"GET / HTTP/1.1\r\n\r\nrest", "ok 18"},
    {"GET / HTTP/1.1\r\nA:\r\nB: c\r\n\r\n", "ok 28"},
    {"A / HTTP/1.1\r\n", "501 at 13"},
    {"GET / HTTP/1.1\r\n\r", "more 17"},
    {"GET", "more 3"},
    {" GET", "400 at 0"},
    {"\r\nGET", "400 at 0"},
    {"G(", "400 at 1"},
    {"GET\t", "400 at 3"},
    {"GET  ", "400 at 4"},
    {"GET / \r", "400 at 6"},
    {"GET /\r\n", "400 at 5"},
    {"GET /\xc3", "400 at 5"},
    {"GET /\x7f", "400 at 5"},
    {"GET / HTTP/1.1 ", "400 at 14"},
    {"GET / HTTP/1.1\n", "400 at 14"},
    {"GET / HTTP/1.1\rX", "400 at 15"},
    {"GET / HTTP/11", "400 at 12"},
    {"GET / HTTP/1.11", "400 at 14"},
    {"GET / http/", "400 at 6"},
    {"GET / HTTP/2.0\r\n", "505 at 15"},
    {"BREW / HTTP/2.0\r\n", "505 at 16"}, /* the version says what a method is */
    {"BREW / HTTP/1.1\r", "more 16"},
    {"BREW / HTTP/1.1\rX", "400 at 16"},
    {"GET / HTTP/1.9\r\n\r\n", "ok 18"},
    {"GET / HTTP/1.1\r\n A: b", "400 at 16"},
    {"GET / HTTP/1.1\r\n: b", "400 at 16"},
    {"GET / HTTP/1.1\r\n\n", "400 at 16"},
    {"GET / HTTP/1.1\r\n\rX", "400 at 17"},
    {"GET / HTTP/1.1\r\nA : b", "400 at 17"},
    {"GET / HTTP/1.1\r\nA\r\n", "400 at 17"},
    {"GET / HTTP/1.1\r\nA: b\n", "400 at 20"},
    {"GET / HTTP/1.1\r\nA: b\rX", "400 at 21"},
    {"GET / HTTP/1.1\r\nA: \x01", "400 at 19"},
    {"GET / HTTP/1.1\r\nA: b\r\n c", "400 at 22"},
    {"GET / HTTP/1.1\r\nA: \x80\xff\t \"\r\n\r\n", "ok 28"},
    /* limits: the octet that is too much */
    {"GET /xxxxxxxxxxxxxxxxxxxxxxxx HTTP/1.1\r\n", "more 40"},
    {"GET /xxxxxxxxxxxxxxxxxxxxxxxxx HTTP/1.1\r\n", "414 at 40"},
    {"GETxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "501 at 40"},
    {"GET / HTTP/1.1\r\nA: xxxxxxxxxxxxxxxxxxxxxxxxx\r\n", "more 46"},
    {"GET / HTTP/1.1\r\nA: xxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", "431 at 46"},
    {"GET / HTTP/1.1\r\nA:b\r\nC:d\r\nE:f\r\nG:h\r\n", "431 at 31"},
    {"GET / HTTP/1.1\r\nA:b\r\nC:d\r\nE:f\r\n\r\n", "ok 33"},
    {"GET / HTTP/1.1\r\nA: xxxxxxxxxxxxxxxxxxxxxxxxx\r\nA: xxxxxxxxxxxxxxxxxxxxxxxxx\r\n"
     "A: xxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
     "431 at 100"},
};

static void what_is_wrong_first_is_told_however_the_head_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].text);
        CHECK_TEXT(outcome_of(rows[i].text, strlen(rows[i].text)), rows[i].outcome);
    }
    check_context("%s", "");
}

/* RFC 9110 §5.6.2, §5.5; RFC 9112 §3.2 without what only guard.c can tell. */
static void every_octet_is_judged_in_every_place(void **state)
{
    (void)state;
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int c = 0; c < 256; c++) {
        char method[] = "Gx", target[] = "GET /x", name[] = "GET / HTTP/1.1\r\nAx";
        char value[] = "GET / HTTP/1.1\r\nA: x";
        bool is_token = c != 0 && strchr(tokens, c);
        bool is_visible = c > ' ' && c < 0x7f;
        method[1] = target[5] = name[17] = value[19] = (char)c;
        check_context("octet 0x%02x", (unsigned)c);
        CHECK_EQ(strcmp(outcome_of(method, 2), "more 2") == 0, is_token || c == ' ');
        CHECK_EQ(strcmp(outcome_of(target, 6), "more 6") == 0, is_visible || c == ' ');
        CHECK_EQ(strcmp(outcome_of(name, 18), "more 18") == 0, is_token || c == ':');
        CHECK_EQ(strcmp(outcome_of(value, 20), "more 20") == 0,
                 is_visible || c == ' ' || c == '\t' || c >= 0x80 || c == '\r');
    }
    check_context("%s", "");
}

static void methods_are_known_by_their_exact_names(void **state)
{
    (void)state;
    static const char *const known[] = {"GET", "POST", "M-SEARCH", "UNSUBSCRIBE", "ACL", "SOURCE"};
    static const char *const unknown[] = {"",      "get", "GE",   "GETS",     "PRI",
                                          "QUERY", "Get", "PLAY", "DESCRIBE", "M_SEARCH"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        CHECK(grammar_knows_method(str_of(known[i])));
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        CHECK(!grammar_knows_method(str_of(unknown[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_first_is_told_however_the_head_is_cut),
        cmocka_unit_test(every_octet_is_judged_in_every_place),
        cmocka_unit_test(methods_are_known_by_their_exact_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
