/* http/exchange.c: a pool that keeps a few exchanges, and of these only small buffers. */
#include "http/exchange.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchange_that_is_given_back_is_taken_again),
        cmocka_unit_test(buffers_come_back_empty_and_large_ones_not_at_all),
        cmocka_unit_test(more_than_a_few_are_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
