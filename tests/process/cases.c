/* Every case of tests/cases through a running worker of each class: over TCP in one piece and octet
 * by octet; over a unix socket in one piece, and cut in two at every position, where the second
 * part is sent when the worker has read the first. The outcome is as the file says, and the octets
 * of the answers are those to the whole.
 *
 * Long cases are cut at every position near both ends and at some between. Where everything is slow
 * (patience_factor()), and for a class that differs little from another, so many times fewer
 * positions are tried, other ones for each case. */
#include "tests/harness/cases.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/classes.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"

#define EVERY_POSITION_UP_TO 600U
#define NEAR_THE_BEGIN 100U
#define NEAR_THE_END 20U
#define POSITIONS_BETWEEN 10U

/* Behind a case that leaves its connection open: the answer shows that, and the end is known. */
static const char last_request[] =
    "GET /hello/after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

static const struct classes_class *class_now;
static struct server *server;

/* ---- whole, and octet by octet: answers are taken apart ---- */

/* Reads as many final answers as are expected; 1xx come on top. */
static size_t read_answers(struct client *c, const struct cases_case *one, int *statuses,
                           struct buf *bodies)
{
    size_t n = 0, final = 0, n_final = 0;
    struct reply r;
    reply_init(&r);
    for (size_t i = 0; i < one->n_answers; i++)
        n_final += one->answers[i].statuses[0] >= 200;
    while (final < n_final && n < CASES_ANSWERS_MAX) {
        client_read(c, &r, strncmp(one->octets, "HEAD ", 5) == 0);
        const char *complaint = cases_complaint(r.head.data);
        CHECK_SAYING(!complaint, "%s:\n%s", complaint, r.head.data);
        CHECK_SAYING(r.status != 405 || reply_field(&r, "Allow"), "405 without Allow:\n%s",
                     r.head.data); /* RFC 9110 §15.5.6 */
        statuses[n++] = r.status;
        final += r.status >= 200;
        CHECK(buf_append(bodies, r.body.data, r.body.len) == 0);
        CHECK_SAYING(!r.is_closing || final == n_final, "closes behind answer %zu of %zu", final,
                     n_final);
        CHECK_SAYING(r.status < 200 || final < n_final || r.is_closing == one->closes,
                     "the last answer should say that the connection %s:\n%s",
                     one->closes ? "closes" : "stays", r.head.data);
    }
    reply_fini(&r);
    return n;
}

static void check_outcome(size_t address, const struct cases_case *one, size_t piece)
{
    int statuses[CASES_ANSWERS_MAX];
    struct buf bodies = {0};
    struct reply r;
    struct client *c = client_open(server_address(server, address));
    /* A refusal may come, and the connection be closed, before all of it is sent. */
    bool is_taken = client_send_pieces(c, one->octets, one->len, piece);
    CHECK(is_taken || one->closes);
    size_t n = read_answers(c, one, statuses, &bodies);
    CHECK_SAYING(cases_fits(one, statuses, n), "answered %d%s, which is not expected",
                 n > 0 ? statuses[0] : 0, n > 1 ? " …" : "");
    if (one->body)
        CHECK_BYTES(bodies.data ? bodies.data : "", bodies.len, one->body, one->body_len);
    if (one->closes) {
        client_expect_close(c);
    } else {
        reply_init(&r);
        client_exchange(c, &r, "GET /hello/after HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_TEXT(r.body.data, "hello, after\n");
        reply_fini(&r);
    }
    client_close(c);
    buf_fini(&bodies);
}

/* ---- cut in two: octets are compared ---- */

/* Sends the case, cut at `at`, and takes all that comes until the server closes. */
static void exchange(const struct cases_case *one, size_t at, struct buf *out_answers)
{
    struct client *c = client_open(server_address(server, 1));
    bool is_open = client_send(c, one->octets, at);
    if (is_open && at < one->len) {
        client_wait_taken(c);
        is_open = client_send(c, one->octets + at, one->len - at);
    }
    if (is_open && !one->closes)
        is_open = client_send(c, last_request, sizeof last_request - 1);
    CHECK(is_open || one->closes);
    client_read_all(c);
    out_answers->len = 0;
    CHECK(buf_append(out_answers, c->in.data, c->in.len) == 0);
    cases_mask(out_answers);
    client_close(c);
}

static bool is_tried(const struct cases_case *one, size_t at)
{
    unsigned factor = patience_factor() * class_now->thinned;
    size_t between = one->len / POSITIONS_BETWEEN;
    bool is_near = one->len <= EVERY_POSITION_UP_TO || at < NEAR_THE_BEGIN ||
                   at + NEAR_THE_END > one->len || at % between == 0;
    return is_near && (at + one->len + (unsigned char)one->name[0]) % factor == 0;
}

static void check_cuts(const struct cases_case *one)
{
    struct buf expected = {0}, seen = {0};
    exchange(one, one->len, &expected);
    for (size_t at = 1; at < one->len; at++) {
        if (!is_tried(one, at))
            continue;
        check_context("%s: %s, cut at %zu of %zu", class_now->name, one->name, at, one->len);
        exchange(one, at, &seen);
        CHECK_BYTES(seen.data, seen.len, expected.data, expected.len);
    }
    buf_fini(&expected);
    buf_fini(&seen);
}

static void case_comes_out_as_expected(void **state)
{
    const struct cases_case *one = *state;
    check_context("%s: %s, whole", class_now->name, one->name);
    check_outcome(0, one, one->len);
    check_outcome(1, one, one->len);
    check_context("%s: %s, in pieces", class_now->name, one->name);
    check_outcome(0, one, one->len <= 600 ? 1 : one->len <= 20000 ? 61 : 8191);
    check_cuts(one);
}

static int start(void **state)
{
    (void)server_setup_group(state);
    server = classes_start(class_now, REMUDA_DEMO_SO);
    return 0;
}

/* One test for each case, all of them against one server of each class. */
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
                                       .teardown_func = server_teardown_clients,
                                       .initial_state = &list.items[i]};
    int failed = 0;
    server_choose_tests();
    for (size_t i = 0; i < classes_n; i++) {
        class_now = &classes[i];
        failed += _cmocka_run_group_tests(class_now->name, tests, list.n, start, server_teardown);
    }
    free(tests);
    cases_free(&list);
    return failed;
}
