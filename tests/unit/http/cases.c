/* Every case of tests/cases through the connection machine: in one piece, octet by octet, and cut
 * in two at every position (long ones: at hundreds of positions, all near both ends). The outcome
 * is as the file says, and the octets of the answers are the same however the request was cut, but
 * for interim answers, which depend on whether the body is there already (RFC 9110 §10.1.1). */
#include "tests/harness/cases.h"

#include "tests/unit/http/wire.h"

#define EVERY_POSITION_UP_TO 1500U
#define POSITIONS 300U

static struct wire wire;
static struct buf expected; /* octets of the answers to the whole */

static bool is_closed(void)
{
    return wire.conn.state == CONN_LINGER || wire.conn.state == CONN_CLOSED;
}

/* Feeds in pieces, the first of them `first` octets long. */
static void deliver(const struct cases_case *one, size_t first, size_t piece)
{
    wire_reopen(&wire);
    size_t fed = 0;
    size_t n = first;
    while (fed < one->len && !is_closed()) {
        if (n > one->len - fed)
            n = one->len - fed;
        size_t taken = wire_feed(&wire, one->octets + fed, n);
        CHECK(taken == n || is_closed());
        fed += n;
        n = piece;
    }
}

static void check_outcome(const struct cases_case *one)
{
    struct wire_answer answers[CASES_ANSWERS_MAX];
    int statuses[CASES_ANSWERS_MAX];
    struct buf bodies = {0};
    bool is_head = strncmp(one->octets, "HEAD ", 5) == 0;
    size_t n = wire_answers(&wire, is_head, answers, CASES_ANSWERS_MAX);
    for (size_t i = 0; i < n; i++) {
        char head[1024];
        (void)snprintf(head, sizeof head, "%.*s", STR_ARG(answers[i].head));
        const char *complaint = cases_complaint(head);
        CHECK_SAYING(!complaint, "%s:\n%s", complaint, head);
        statuses[i] = answers[i].status;
        CHECK(buf_append(&bodies, answers[i].body.p, answers[i].body.len) == 0);
    }
    CHECK_SAYING(cases_fits(one, statuses, n),
                 "%zu answers, the last with %d, are not expected:\n%s", n,
                 n > 0 ? statuses[n - 1] : 0, wire_text(&wire));
    if (one->body)
        CHECK_BYTES(bodies.data ? bodies.data : "", bodies.len, one->body, one->body_len);
    buf_fini(&bodies);
    struct str value;
    bool says_close = n > 0 && wire_field(&answers[n - 1], "Connection", &value) &&
                      str_is_equal(value, STR("close"));
    CHECK_EQ(says_close, one->closes);
    CHECK_EQ(is_closed(), one->closes);
    if (one->closes)
        return;
    wire.sent.len = 0;
    wire_feed_text(&wire, "GET /hello/after HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_HAS(wire_text(&wire), "\r\n\r\nhello, after\n");
}

static void check_same(const struct cases_case *one, size_t first, size_t piece)
{
    deliver(one, first, piece);
    cases_mask(&wire.sent);
    CHECK_BYTES(wire.sent.data ? wire.sent.data : "", wire.sent.len,
                expected.data ? expected.data : "", expected.len);
    CHECK_EQ(is_closed(), one->closes);
}

static void case_comes_out_as_expected(void **state)
{
    const struct cases_case *one = *state;
    check_context("%s, whole", one->name);
    deliver(one, one->len, one->len);
    expected.len = 0;
    CHECK(buf_append(&expected, wire.sent.data, wire.sent.len) == 0);
    cases_mask(&expected);
    check_outcome(one);
    check_context("%s, octet by octet", one->name);
    check_same(one, 1, 1);
    deliver(one, 1, 1);
    check_outcome(one);
    bool is_short = one->len <= EVERY_POSITION_UP_TO;
    size_t step = is_short ? 1 : one->len / POSITIONS;
    /* Under valgrind, which takes fifty times as long, one in seven, and each case's are others. */
    size_t near = getenv("REMUDA_UNDER_VALGRIND") ? 7 : 1;
    for (size_t at = 1 + one->len % near; at < one->len;
         at += at < 200 || at + 50 > one->len ? near : step * near) {
        check_context("%s, cut at %zu of %zu", one->name, at, one->len);
        check_same(one, at, one->len);
    }
}

static int open_wire(void **state)
{
    (void)state;
    wire_open(&wire);
    return 0;
}

static int close_wire(void **state)
{
    (void)state;
    wire_close(&wire);
    buf_fini(&expected);
    return 0;
}

/* One test for each case. */
int main(void)
{
    struct cases_list list;
    struct err err;
    if (cases_load_all(&list, &err) < 0) {
        print_error("%s\n", err.text);
        return 1;
    }
    struct CMUnitTest *tests = calloc(list.n, sizeof *tests);
    if (!tests)
        return 1;
    for (size_t i = 0; i < list.n; i++)
        tests[i] = (struct CMUnitTest){.name = list.items[i].name,
                                       .test_func = case_comes_out_as_expected,
                                       .initial_state = &list.items[i]};
    int failed = _cmocka_run_group_tests("cases", tests, list.n, open_wire, close_wire);
    free(tests);
    cases_free(&list);
    return failed;
}
