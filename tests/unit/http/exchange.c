/* http/exchange.c: a pool that keeps a few exchanges, and of these only small buffers; and what an
 * application is owed when its request ends. */
#include "http/exchange.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "http/deferred.h"
#include "tests/harness/check.h"

static void an_exchange_that_is_given_back_is_taken_again(void **state)
{
    (void)state;
    struct exchange_pool pool;
    exchange_init_pool(&pool, 7);
    struct exchange *a = exchange_take(&pool);
    struct exchange *b = exchange_take(&pool);
    CHECK(a != NULL && b != NULL && a != b);
    CHECK_EQ(a->req.head.max_fields, 7);
    CHECK(a->req.head.fields == a->fields);
    memset(a->fields, 0xa5, 7 * sizeof a->fields[0]); /* all of the room is there */
    exchange_give_back(&pool, a);
    CHECK_EQ(pool.n, 1);
    CHECK(exchange_take(&pool) == a);
    CHECK_EQ(pool.n, 0);
    exchange_give_back(&pool, a);
    exchange_give_back(&pool, b);
    CHECK_EQ(pool.n, 2);
    exchange_fini_pool(&pool);
    CHECK_EQ(pool.n, 0);
    CHECK(pool.first == NULL);
    exchange_fini_pool(&pool);
}

static void buffers_come_back_empty_and_large_ones_not_at_all(void **state)
{
    (void)state;
    struct exchange_pool pool;
    exchange_init_pool(&pool, 1);
    struct exchange *ex = exchange_take(&pool);
    CHECK(buf_append(&ex->store, "some octets", 11) == 0);
    char *space;
    size_t room;
    CHECK(body_reserve(&ex->body, 1 << 20, &space, &room) == 0);
    body_commit(&ex->body, 1 << 20);
    CHECK(arena_alloc(&ex->arena, 100) != NULL);
    exchange_give_back(&pool, ex);
    CHECK(exchange_take(&pool) == ex);
    CHECK_EQ(ex->store.len, 0);
    CHECK(ex->store.cap > 0);
    CHECK_EQ(ex->body.len, 0);
    CHECK_EQ(ex->body.memory.cap, 0);
    exchange_give_back(&pool, ex);
    exchange_fini_pool(&pool);
}

static struct exchange *take_with_body(struct exchange_pool *pool, size_t n, char filler)
{
    char *space;
    size_t room;
    struct exchange *ex = exchange_take(pool);
    CHECK(ex != NULL);
    CHECK_EQ(body_reserve(&ex->body, n, &space, &room), 0);
    memset(space, filler, n);
    body_commit(&ex->body, n);
    return ex;
}

static void the_memory_of_a_large_body_is_the_next_ones(void **state)
{
    (void)state;
    enum { LARGE = 1 << 20, BEGUN = 1000 };
    struct exchange_pool pool;
    exchange_init_pool(&pool, 1);
    struct exchange *ex = take_with_body(&pool, LARGE, 'a');
    const char *memory = ex->body.memory.data;
    exchange_give_back(&pool, ex);
    CHECK(pool.spare.data == memory);

    ex = take_with_body(&pool, BEGUN, 'b');
    exchange_use_spare(&pool, ex, LARGE); /* more than there is, with what has come */
    CHECK(pool.spare.data == memory);
    exchange_use_spare(&pool, ex, LARGE / 4 - BEGUN - 1); /* so little has no need of so much */
    CHECK(pool.spare.data == memory);
    exchange_use_spare(&pool, ex, LARGE - BEGUN);
    CHECK(ex->body.memory.data == memory);
    CHECK(pool.spare.data == NULL);
    struct str view;
    CHECK_EQ(body_view(&ex->body, &view), 0);
    CHECK_EQ(view.len, BEGUN);
    for (size_t i = 0; i < BEGUN; i++)
        CHECK_EQ(view.p[i], 'b');
    exchange_use_spare(&pool, ex, LARGE - BEGUN); /* it has the room */
    CHECK(ex->body.memory.data == memory);

    struct exchange *empty = exchange_take(&pool); /* none to be had */
    exchange_use_spare(&pool, empty, LARGE);
    CHECK_EQ(empty->body.memory.cap, 0);
    exchange_give_back(&pool, ex);
    exchange_use_spare(&pool, empty, LARGE);
    CHECK(empty->body.memory.data == memory);
    CHECK_EQ(empty->body.memory.len, 0);
    exchange_give_back(&pool, empty);
    exchange_fini_pool(&pool);
}

static void the_larger_of_two_pieces_is_kept_and_goes_when_nobody_wants_it(void **state)
{
    (void)state;
    struct exchange_pool pool;
    exchange_init_pool(&pool, 1);
    struct exchange *small = take_with_body(&pool, 1 << 17, 'a');
    struct exchange *large = take_with_body(&pool, 1 << 20, 'b');
    struct exchange *late = take_with_body(&pool, 1 << 18, 'c');
    const char *memory = large->body.memory.data;
    exchange_give_back(&pool, small);
    exchange_give_back(&pool, large);
    exchange_give_back(&pool, late);
    CHECK(pool.spare.data == memory);
    CHECK_EQ(pool.spare.cap, 1 << 20);
    exchange_shed(&pool);
    CHECK(pool.spare.data == memory);
    exchange_shed(&pool);
    CHECK_EQ(pool.spare.cap, 0);
    exchange_fini_pool(&pool);
}

static void more_than_a_few_are_freed(void **state)
{
    (void)state;
    enum { N = 500 };
    static struct exchange *taken[N];
    struct exchange_pool pool;
    exchange_init_pool(&pool, 3);
    for (int i = 0; i < N; i++)
        CHECK((taken[i] = exchange_take(&pool)) != NULL);
    for (int i = 0; i < N; i++)
        exchange_give_back(&pool, taken[i]);
    uint32_t n = 0;
    for (const struct exchange *ex = pool.first; ex; ex = ex->next)
        n++;
    CHECK_EQ(pool.n, n);
    CHECK(n >= 16 && n <= 100);
    exchange_fini_pool(&pool);
}

/* ---- what is owed ---- */

static char paid[16]; /* who was called, in order */

static void note(char who)
{
    size_t len = strlen(paid);
    CHECK(len < sizeof paid - 1);
    paid[len] = who;
    paid[len + 1] = '\0';
}

static void on_body_done(void *arg)
{
    CHECK(arg == paid);
    note('b');
}

static void on_consume_done(void *arg)
{
    CHECK(arg == &paid[1]);
    note('c');
}

static void on_answer(rmd_request *req, rmd_response *res, void *arg)
{
    CHECK(req == NULL && res == NULL && arg == &paid[2]);
    note('t');
}

static void consume(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    (void)req, (void)res, (void)piece, (void)state;
}

static void a_request_that_is_owed_nothing_is_settled_without_a_call(void **state)
{
    (void)state;
    struct exchange_pool pool;
    exchange_init_pool(&pool, 1);
    struct exchange *ex = exchange_take(&pool);
    paid[0] = '\0';
    exchange_settle(ex);
    ex->res = (struct rmd_response){.kind = RESPONSE_BYTES, .body = "x", .body_len = 1};
    exchange_settle(ex);
    CHECK_TEXT(paid, "");
    exchange_give_back(&pool, ex);
    exchange_fini_pool(&pool);
}

static void each_debt_is_paid_once(void **state)
{
    (void)state;
    struct exchange_pool pool;
    struct deferred_box box;
    exchange_init_pool(&pool, 1);
    CHECK_EQ(deferred_open(&box), 0);
    for (unsigned debts = 0; debts < 32; debts++) {
        check_context("debts %x", debts);
        struct exchange *ex = exchange_take(&pool);
        struct rmd_deferred *out = NULL;
        int fd = -1;
        char expected[8] = {0};
        paid[0] = '\0';
        if (debts & 1) {
            ex->res = (struct rmd_response){
                .kind = RESPONSE_BYTES, .done = on_body_done, .done_arg = paid};
            expected[strlen(expected)] = 'b';
        } else if (debts & 2) {
            CHECK((fd = dup(STDERR_FILENO)) >= 0);
            ex->res = (struct rmd_response){.kind = RESPONSE_FILE, .fd = fd};
        }
        if (debts & 4) {
            ex->req.consume = consume;
            ex->req.consume_state = &paid[1];
            ex->req.consume_done = on_consume_done;
            expected[strlen(expected)] = 'c';
        }
        if (debts & 8) {
            out = deferred_new(&box, ex);
            CHECK(out != NULL);
            ex->req.deferred = out;
            if (debts & 16) { /* it has come in */
                deferred_turn_in(out, on_answer, &paid[2]);
                CHECK(deferred_take(&box) == out);
                ex->ticket = out;
                expected[strlen(expected)] = 't';
            }
        }
        exchange_settle(ex);
        CHECK_TEXT(paid, expected);
        CHECK(ex->req.consume == NULL && ex->req.deferred == NULL && ex->ticket == NULL);
        CHECK(fd < 0 || fcntl(fd, F_GETFD) < 0);
        exchange_settle(ex);
        CHECK_TEXT(paid, expected);
        if (out && !(debts & 16)) {
            CHECK(!atomic_load(&out->is_wanted) && out->ex == NULL);
            deferred_give_back(out, false); /* never turned in: nobody to tell */
            CHECK_TEXT(paid, expected);
        }
        exchange_give_back(&pool, ex);
    }
    fd_close(&box.wake_fd);
    exchange_fini_pool(&pool);
}

static void a_spool_file_goes_with_its_request(void **state)
{
    (void)state;
    struct exchange_pool pool;
    struct http_limits limits = LIMITS_DEFAULT;
    limits.body_buffer = 3;
    exchange_init_pool(&pool, 1);
    struct exchange *ex = exchange_take(&pool);
    struct str view;
    CHECK_EQ(body_append(&ex->body, &limits, "octets", 6), 0);
    CHECK_EQ(body_view(&ex->body, &view), 0);
    int fd = ex->body.fd;
    CHECK(fcntl(fd, F_GETFD) >= 0);
    exchange_give_back(&pool, ex);
    CHECK(fcntl(fd, F_GETFD) < 0);
    CHECK(exchange_take(&pool) == ex);
    CHECK_EQ(ex->body.fd, -1);
    CHECK(ex->body.map == NULL);
    exchange_give_back(&pool, ex);
    exchange_fini_pool(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchange_that_is_given_back_is_taken_again),
        cmocka_unit_test(buffers_come_back_empty_and_large_ones_not_at_all),
        cmocka_unit_test(the_memory_of_a_large_body_is_the_next_ones),
        cmocka_unit_test(the_larger_of_two_pieces_is_kept_and_goes_when_nobody_wants_it),
        cmocka_unit_test(more_than_a_few_are_freed),
        cmocka_unit_test(a_request_that_is_owed_nothing_is_settled_without_a_call),
        cmocka_unit_test(each_debt_is_paid_once),
        cmocka_unit_test(a_spool_file_goes_with_its_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
