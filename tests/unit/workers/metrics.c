/* Tests of workers/metrics.c: what is made of a table and a ledger in which all kinds of things
 * stand. */
#include "workers/metrics.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "ipc/breaker.h"
#include "tests/harness/check.h"

#define N_SEATS 4U /* the last is the admin process's */
#define N_ROUTES 4U
#define NOW_US (100 * CLOCK_US_PER_S)

static struct scoreboard board;
static struct scoreboard_part parts[N_SEATS];
static struct ledger *ledger;
static const struct ledger *seen;
static int board_fd = -1;
static int ledger_fd = -1;
static struct metrics m;
static struct buf text;

static int set_up(void **state)
{
    (void)state;
    struct err err;
    CHECK_EQ(scoreboard_create(N_SEATS, 4, N_ROUTES, &board_fd, &board, &err), 0);
    for (uint32_t i = 0; i < N_SEATS; i++)
        CHECK_EQ(scoreboard_map_part(&board, board_fd, i, &parts[i], &err), 0);
    CHECK_EQ(ledger_create(N_SEATS - 1, N_ROUTES + 1, &ledger_fd, &ledger, &err), 0);
    CHECK_EQ(ledger_map(ledger_fd, &seen, &err), 0);
    CHECK_EQ(metrics_open(&m, &board, seen, N_SEATS - 1), 0);
    ledger->page.n_seats = N_SEATS - 1;
    ledger->page.generation = 2;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    metrics_close(&m);
    buf_fini(&text);
    for (uint32_t i = 0; i < N_SEATS; i++)
        CHECK_EQ(munmap(parts[i].head, board.part_bytes), 0);
    CHECK_EQ(munmap((void *)(uintptr_t)seen, (size_t)lseek(ledger_fd, 0, SEEK_END)), 0);
    CHECK_EQ(munmap((void *)(uintptr_t)board.base, board.bytes), 0);
    ledger_close(ledger, &ledger_fd);
    fd_close(&board_fd);
    return 0;
}

static void seat(uint32_t i, enum role role, int generation, const char *pool)
{
    struct ledger_seat *told = &ledger_seats(ledger)[i];
    *told = (struct ledger_seat){
        .role = (uint8_t)role, .state = LEDGER_READY, .generation = generation};
    (void)snprintf(told->pool, sizeof told->pool, "%s", pool);
}

static void name(uint32_t i, uint32_t route, const char *as)
{
    char *to = parts[i].routes[route].name;
    (void)snprintf(to, sizeof parts[i].routes[route].name, "%s", as);
}

static const char *tell(void)
{
    ledger_begin(ledger);
    ledger_end(ledger, NOW_US);
    metrics_gather(&m, NOW_US);
    text.len = 0;
    CHECK_EQ(metrics_render(&m, false, &text), 0);
    CHECK_EQ(buf_append(&text, "", 1), 0);
    return text.data;
}

/* Two generations may have their pools in another order. */
static void tasks_are_those_of_the_pool_of_their_own_generation(void **state)
{
    (void)state;
    static const struct account_used used = {.cpu_us = 1};
    seat(0, ROLE_COMPUTE, 1, "beta");
    ledger->page.n_pools = 2;
    (void)snprintf(ledger->page.pools[0].name, sizeof ledger->page.pools[0].name, "zeta");
    (void)snprintf(ledger->page.pools[1].name, sizeof ledger->page.pools[1].name, "beta");
    account_note(&parts[0].head->account, ACCOUNT_ANSWERED, &used);
    CHECK_HAS(tell(), "remuda_tasks_total{pool=\"beta\",outcome=\"answered\"} 1\n");
    CHECK_HAS_NOT(tell(), "remuda_tasks_total{pool=\"zeta\"");
}

static void breakers_are_told_also_while_nobody_serves(void **state)
{
    (void)state;
    static const char open[] = "remuda_breaker_state{route=\"GET /b\",state=\"open\"} 1\n";
    struct totals_route *dead = ledger_routes(ledger);
    seat(0, ROLE_WEB, 2, "");
    name(0, 0, "GET /a");
    name(0, 1, "GET /b");
    ledger->page.n_breakers = N_ROUTES;
    ledger->breakers[1] = breaker_pack(&(struct breaker){.state = BREAKER_OPEN});
    CHECK_HAS(tell(), open);
    ledger_seats(ledger)[0].state = LEDGER_BURIED;
    (void)snprintf(dead[0].name, sizeof dead[0].name, "none");
    (void)snprintf(dead[1].name, sizeof dead[1].name, "GET /a");
    dead[0].requests = dead[1].requests = 1;
    ledger->page.totals.n_routes = 2;
    CHECK_HAS(tell(), open);
    CHECK_HAS_NOT(tell(), "remuda_breaker_state{route=\"GET /a\"");
    ledger->page.generation = 3; /* whose routes nobody has named yet */
    CHECK_HAS_NOT(tell(), "remuda_breaker_state{");
}

static void a_loop_that_hangs_lags(void **state)
{
    (void)state;
    struct seat_head *head = parts[0].head;
    seat(0, ROLE_WEB, 2, "");
    head->heartbeat_us = NOW_US - 3 * CLOCK_US_PER_S;
    CHECK_HAS(tell(), "remuda_loop_lag_seconds{slot=\"0\"} 0.000000\n"); /* it may have no loop */
    head->drift[3] = 2;
    head->drift_sum_us = 14;
    CHECK_HAS(tell(), "remuda_loop_lag_seconds{slot=\"0\"} 2.500000\n");
    CHECK_HAS(tell(), "remuda_loop_timer_delay_seconds_count 2\n");
    CHECK_HAS(tell(), "remuda_loop_timer_delay_seconds_sum 0.000014000\n");
    head->drift_us = 4 * CLOCK_US_PER_S;
    CHECK_HAS(tell(), "remuda_loop_lag_seconds{slot=\"0\"} 4.000000\n");
}

static void names_without_an_end_are_cut(void **state)
{
    (void)state;
    struct seat_head *head = parts[0].head;
    seat(0, ROLE_WEB, 2, "");
    memset(parts[0].routes[1].name, 'x', sizeof parts[0].routes[1].name);
    head->longest.us = 5;
    head->longest.route = 1;
    const char *at = strstr(tell(), "remuda_loop_longest_call_seconds{slot=\"0\",route=\"");
    CHECK(at && strspn(strstr(at, "\"x") + 1, "x") == sizeof parts[0].routes[1].name - 1);
}

/* A role's share does not fall since one of its processes is new. */
static void those_not_read_yet_count_as_the_others_do(void **state)
{
    (void)state;
    seat(0, ROLE_WEB, 2, "");
    seat(1, ROLE_WEB, 2, "");
    ledger_seats(ledger)[0].pid = ledger_seats(ledger)[1].pid = (int32_t)getpid();
    parts[N_SEATS - 1].head->pid = (int32_t)getpid();
    (void)tell();
    metrics_on_tick(&m, NOW_US); /* the first of them */
    (void)tell();
    CHECK_EQ(m.used[ROLE_WEB].n, 2);
    CHECK_EQ(m.used[ROLE_WEB].n_read, 1);
    CHECK(m.pss[0].bytes > 0);
    CHECK_EQ(m.used[ROLE_WEB].pss_bytes, 2 * m.pss[0].bytes);
    for (uint64_t i = 1; i <= 3; i++)
        metrics_on_tick(&m, m.pss_due_us);
    const char *all = tell();
    CHECK_HAS(all, "remuda_process_proportional_memory_bytes{role=\"master\"}");
    CHECK_HAS(all, "remuda_process_proportional_memory_bytes{role=\"admin\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tasks_are_those_of_the_pool_of_their_own_generation, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(breakers_are_told_also_while_nobody_serves, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_loop_that_hangs_lags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_without_an_end_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_not_read_yet_count_as_the_others_do, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
