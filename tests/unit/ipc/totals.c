/* Tests of ipc/totals.c: what the dead have counted. */
#include "ipc/totals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define N_ROUTES 3

/* A dead worker's part, in private memory. */
struct corpse {
    struct seat_head head;
    struct route_stats routes[N_ROUTES];
    struct scoreboard_part part;
};

static void corpse_make(struct corpse *corpse)
{
    memset(corpse, 0, sizeof *corpse);
    corpse->part = (struct scoreboard_part){.head = &corpse->head, .routes = corpse->routes};
}

static void corpse_count(struct corpse *corpse, int route, const char *name, uint64_t requests,
                         uint64_t errors)
{
    (void)snprintf(corpse->routes[route].name, sizeof corpse->routes[route].name, "%s", name);
    corpse->routes[route].requests = requests;
    corpse->routes[route].errors = errors;
}

static void counters_add_up_over_deaths(void **state)
{
    (void)state;
    struct totals totals;
    struct corpse corpse;
    assert_int_equal(totals_init(&totals, 10), 0);
    corpse_make(&corpse);
    corpse.head.accepted = 1;
    corpse.head.requests = 2;
    corpse.head.responses[0] = 3;
    corpse.head.responses[5] = 4;
    corpse.head.bytes_in = 5;
    corpse.head.bytes_out = 6;
    corpse.head.log_dropped = 7;
    corpse.head.refused = 8;
    corpse.head.overdue = 9;
    corpse.head.slow = 10;
    totals_add(&totals, &corpse.part, N_ROUTES);
    totals_add(&totals, &corpse.part, N_ROUTES);
    assert_int_equal(totals.accepted, 2);
    assert_int_equal(totals.requests, 4);
    assert_int_equal(totals.responses[0], 6);
    assert_int_equal(totals.responses[5], 8);
    assert_int_equal(totals.bytes_in, 10);
    assert_int_equal(totals.bytes_out, 12);
    assert_int_equal(totals.log_dropped, 14);
    assert_int_equal(totals.refused, 16);
    assert_int_equal(totals.overdue, 18);
    assert_int_equal(totals.slow, 20);
    totals_fini(&totals);
}

static void routes_are_known_by_name_not_by_index(void **state)
{
    (void)state;
    struct totals totals;
    struct corpse corpse;
    assert_int_equal(totals_init(&totals, 10), 0);
    corpse_make(&corpse);
    corpse_count(&corpse, 0, "GET /a", 1, 0);
    corpse_count(&corpse, 1, "GET /b", 10, 2);
    corpse_count(&corpse, 2, "GET /unused", 0, 0);
    totals_add(&totals, &corpse.part, N_ROUTES);
    corpse_make(&corpse);
    corpse_count(&corpse, 0, "GET /b", 5, 1);
    totals_add(&totals, &corpse.part, N_ROUTES);
    assert_int_equal(totals_find(&totals, "GET /a")->requests, 1);
    assert_int_equal(totals_find(&totals, "GET /b")->requests, 15);
    assert_int_equal(totals_find(&totals, "GET /b")->errors, 3);
    assert_null(totals_find(&totals, "GET /unused"));
    totals_fini(&totals);
}

static void names_without_room_are_counted_together(void **state)
{
    (void)state;
    struct totals totals;
    assert_int_equal(totals_init(&totals, 4), 0);
    for (int i = 0; i < 100; i++) {
        struct corpse corpse;
        char name[16];
        (void)snprintf(name, sizeof name, "GET /%d", i);
        corpse_make(&corpse);
        corpse_count(&corpse, 0, name, 1, 0);
        totals_add(&totals, &corpse.part, N_ROUTES);
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < totals.n_routes; i++)
        sum += totals.routes[i].requests;
    assert_int_equal(sum, 100);
    assert_int_equal(totals_find(&totals, "GET /0")->requests, 1);
    assert_int_equal(totals_find(&totals, "other")->requests, 96);
    totals_fini(&totals);
}

static void a_name_without_an_end_is_cut(void **state)
{
    (void)state;
    struct totals totals;
    struct corpse corpse;
    assert_int_equal(totals_init(&totals, 4), 0);
    corpse_make(&corpse);
    memset(corpse.routes[0].name, 'x', sizeof corpse.routes[0].name);
    corpse.routes[0].requests = UINT64_MAX;
    totals_add(&totals, &corpse.part, N_ROUTES);
    assert_int_equal(strlen(totals.routes[0].name), sizeof totals.routes[0].name - 1);
    totals_fini(&totals);
}

static void tasks_add_up_by_route_and_pool(void **state)
{
    (void)state;
    static const struct account_used used = {.cpu_us = 5, .peak_bytes = 70};
    struct totals totals, sums;
    struct corpse corpse;
    assert_int_equal(totals_init(&totals, 4), 0);
    assert_int_equal(totals_init(&sums, 4), 0);
    corpse_make(&corpse);
    corpse_count(&corpse, 1, "GET /heavy", 0, 0);
    corpse.head.tasks = 3;
    corpse.head.n_account_routes = UINT32_MAX; /* which is not believed */
    account_note(&corpse.head.account, ACCOUNT_ANSWERED, &used);
    account_note(&corpse.routes[1].account, ACCOUNT_ANSWERED, &used);
    totals_add_tasks(&totals, &corpse.part, NULL, N_ROUTES, "default");
    totals_count_lost(&totals, "GET /heavy", "default", ACCOUNT_CRASH, &used);
    totals_count_lost(&totals, "", "other", ACCOUNT_MEMORY, &used);
    for (int round = 0; round < 2; round++) { /* room for status is used again and again */
        totals_clear(&sums, round == 0 ? NULL : &corpse.part, N_ROUTES);
        totals_add_tasks(&sums, &corpse.part, corpse.routes, N_ROUTES, "default");
        totals_add_totals(&sums, &totals);
    }
    assert_int_equal(sums.tasks, 6);
    const struct account_sums *route = &totals_find(&sums, "GET /heavy")->account;
    assert_int_equal(route->numbers[ACCOUNT_ANSWERED], 2);
    assert_int_equal(route->numbers[ACCOUNT_CRASH], 1);
    assert_int_equal(route->numbers[ACCOUNT_CPU_US], 15);
    assert_int_equal(route->numbers[ACCOUNT_PEAK_BYTES], 70);
    assert_int_equal(totals_find_pool(&sums, "default")->account.numbers[ACCOUNT_CPU_US], 15);
    assert_int_equal(totals_find_pool(&sums, "other")->account.numbers[ACCOUNT_MEMORY], 1);
    assert_null(totals_find_pool(&sums, "none"));
    for (int i = 0; i < 2 * TOTALS_POOLS; i++) { /* of ever new names the last are together */
        char name[16];
        (void)snprintf(name, sizeof name, "p%d", i);
        totals_count_lost(&sums, "", name, ACCOUNT_MEMORY, &used);
    }
    assert_int_equal(sums.n_pools, TOTALS_POOLS);
    assert_int_equal(totals_find_pool(&sums, "other")->account.numbers[ACCOUNT_MEMORY], 1);
    assert_int_equal(sums.pools[TOTALS_POOLS - 1].account.numbers[ACCOUNT_MEMORY],
                     2 * TOTALS_POOLS - (TOTALS_POOLS - 3));
    totals_fini(&totals);
    totals_fini(&sums);
}

/* A handler may have written there. */
static void what_can_not_be_is_not_added(void **state)
{
    (void)state;
    static const struct account_used used = {.cpu_us = 5}, nonsense = {.cpu_us = UINT64_MAX - 3};
    struct totals totals;
    struct corpse corpse, web;
    assert_int_equal(totals_init(&totals, 4), 0);
    corpse_make(&corpse);
    corpse_make(&web);
    for (int i = 0; i < N_ROUTES; i++) {
        corpse_count(&web, i, i == 0 ? "GET /a" : i == 1 ? "GET /b" : "GET /c", 0, 0);
        memcpy(corpse.routes[i].name, web.routes[i].name, sizeof web.routes[i].name);
        account_note(&corpse.routes[i].account, ACCOUNT_ANSWERED, i == 1 ? &nonsense : &used);
    }
    memcpy(corpse.routes[2].name, "GET /d", 7);
    corpse.head.n_account_routes = N_ROUTES;
    corpse.head.tasks = corpse.head.copied = UINT64_MAX;
    account_note(&corpse.head.account, ACCOUNT_ANSWERED, &nonsense);
    totals_add_tasks(&totals, &corpse.part, web.routes, N_ROUTES, "default");
    assert_int_equal(totals.tasks, 0);
    assert_int_equal(totals.copied, 0);
    assert_int_equal(account_tasks(&totals_find_pool(&totals, "default")->account), 0);
    assert_int_equal(account_tasks(&totals_find(&totals, "GET /a")->account), 1);
    assert_int_equal(account_tasks(&totals_find(&totals, "GET /b")->account), 0);
    assert_null(totals_find(&totals, "GET /c"));
    assert_null(totals_find(&totals, "GET /d"));
    memcpy(corpse.routes[2].name, "\xff\xfe", 3);
    totals_add_tasks(&totals, &corpse.part, NULL, N_ROUTES, "default");
    assert_int_equal(account_tasks(&totals_find(&totals, "GET /a")->account), 2);
    assert_int_equal(totals.n_routes, 2);
    totals_fini(&totals);
}

/* Of a web worker, too: a series of that name would be there for good. */
static void what_is_no_name_is_not_kept(void **state)
{
    (void)state;
    struct totals totals;
    struct corpse corpse;
    assert_int_equal(totals_init(&totals, 4), 0);
    corpse_make(&corpse);
    corpse_count(&corpse, 0, "GET /\xff", 1, 0);
    corpse_count(&corpse, 1, "GET /\r\n", 1, 0);
    corpse_count(&corpse, 2, "GET /\u00e4", 1, 0);
    totals_add(&totals, &corpse.part, N_ROUTES);
    assert_int_equal(totals.n_routes, 1);
    assert_int_equal(totals_find(&totals, "GET /\u00e4")->requests, 1);
    totals_fini(&totals);
}

/* Breakers are told by index. */
static void each_route_has_its_place_whatever_its_name(void **state)
{
    (void)state;
    struct totals totals;
    struct corpse corpse;
    assert_int_equal(totals_init(&totals, 4), 0);
    corpse_make(&corpse);
    corpse_count(&corpse, 0, "GET /a", 1, 0);
    corpse_count(&corpse, 1, "GET /a", 1, 0);
    corpse_count(&corpse, 2, "GET /b", 1, 0);
    totals_clear(&totals, &corpse.part, N_ROUTES);
    assert_int_equal(totals.n_routes, N_ROUTES);
    assert_string_equal(totals.routes[1].name, "route~1");
    assert_string_equal(totals.routes[2].name, "GET /b");
    totals_fini(&totals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_add_up_over_deaths),
        cmocka_unit_test(routes_are_known_by_name_not_by_index),
        cmocka_unit_test(names_without_room_are_counted_together),
        cmocka_unit_test(a_name_without_an_end_is_cut),
        cmocka_unit_test(tasks_add_up_by_route_and_pool),
        cmocka_unit_test(what_can_not_be_is_not_added),
        cmocka_unit_test(what_is_no_name_is_not_kept),
        cmocka_unit_test(each_route_has_its_place_whatever_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
