/* Every case of tests/cases, over real sockets: in one piece, octet by octet, and cut in two. The
 * outcome must be the same. */
#include "tests/harness/cases.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

enum delivery { WHOLE, IN_PIECES, IN_TWO, DELIVERIES };
static const char *const delivery_names[DELIVERIES] = {"whole", "in pieces", "in two"};

static struct server *server;

static void deliver(struct client *c, const struct cases_case *one, enum delivery how)
{
    size_t piece = one->len;
    if (how == IN_PIECES)
        piece = one->len <= 600 ? 1 : one->len <= 20000 ? 61 : 8191;
    if (how == IN_TWO)
        piece = one->len / 2 + 1;
    /* A refusal may come, and the connection be closed, before all of it is sent. */
    bool is_taken = client_send_pieces(c, one->octets, one->len, piece);
    CHECK(is_taken || one->closes);
}

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

static void run_case(const struct cases_case *one, enum delivery how)
{
    int statuses[CASES_ANSWERS_MAX];
    struct buf bodies = {0};
    struct reply r;
    check_context("%s, %s", one->name, delivery_names[how]);
    struct client *c = client_to(server);
    deliver(c, one, how);
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

static void case_comes_out_as_expected(void **state)
{
    const struct cases_case *one = *state;
    for (enum delivery how = WHOLE; how < DELIVERIES; how++)
        run_case(one, how);
}

static int start(void **state)
{
    (void)server_setup_group(state);
    server = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    return 0;
}

/* One test for each case, all of them against one server. */
int main(void)
{
    static const char *const folders[] = {"valid", "invalid"};
    struct cases_list lists[2];
    struct CMUnitTest *tests = NULL;
    size_t n = 0;
    for (size_t i = 0; i < 2; i++) {
        char path[4096];
        struct err err;
        (void)snprintf(path, sizeof path, "%s/tests/cases/%s", REMUDA_SOURCE_DIR, folders[i]);
        if (cases_load(path, &lists[i], &err) < 0) {
            print_error("%s\n", err.text);
            return 1;
        }
        tests = realloc(tests, (n + lists[i].n) * sizeof *tests);
        if (!tests)
            return 1;
        for (size_t k = 0; k < lists[i].n; k++)
            tests[n++] = (struct CMUnitTest){.name = lists[i].items[k].name,
                                             .test_func = case_comes_out_as_expected,
                                             .teardown_func = server_teardown_clients,
                                             .initial_state = &lists[i].items[k]};
    }
    server_choose_tests();
    int failed = _cmocka_run_group_tests("cases", tests, n, start, server_teardown);
    for (size_t i = 0; i < 2; i++)
        cases_free(&lists[i]);
    free(tests);
    return failed;
}
