/* Tests of server/threads.c: what is made of what workers say of their io lane, and what they are
 * told. */
#include "server/threads.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/herd.h"
#include "tests/unit/server/crew.h"

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

#define MIN 4U
#define BEGINS_WITH 16U
#define MAX 256U

static int open_range(void **state)
{
    int rc = crew_open(state);
    struct crew *crew = *state;
    if (rc < 0)
        return rc;
    crew->settings->cpus = 2;
    crew->settings->inflight = 1024;
    crew->settings->threads.min = MIN;
    crew->settings->threads.n = BEGINS_WITH;
    crew->settings->threads.max = MAX;
    return 0;
}

static void name_routes(struct crew *crew, const struct seat *web)
{
    struct scoreboard_part part = crew_map(crew, web);
    (void)snprintf(part.routes[0].name, sizeof part.routes[0].name, "GET /io");
    atomic_store(&part.routes[0].lane, PROFILE_IO);
    crew_unmap(crew, &part);
}

/* So many requests are in the lane, and so many threads there are. */
static void show(struct crew *crew, const struct seat *web, uint64_t present, uint32_t threads)
{
    struct scoreboard_part part = crew_map(crew, web);
    atomic_store(&part.head->io_sent, atomic_load(&part.head->io_done) + present);
    atomic_store(&part.head->io_threads, threads);
    crew_unmap(crew, &part);
}

static void turn(struct crew *crew)
{
    crew->herd.now_us += S / 2;
    threads_turn(&crew->herd);
}

/* The last number that it was told; 0: none */
static int64_t hear(const struct crew *crew, const struct seat *web)
{
    struct msg msg;
    int64_t n = 0;
    for (int type = crew_hear(crew, web, &msg); type != 0; type = crew_hear(crew, web, &msg))
        n = type == MSG_THREADS ? msg.value : n;
    return n;
}

static void who_names_no_routes_is_not_believed(void **state)
{
    struct crew *crew = *state;
    turn(crew);
    assert_false(crew->herd.current->threads.is_read);
    assert_true(threads_next_us(&crew->herd) != SEAT_NEVER);
    name_routes(crew, crew->web[1]);
    turn(crew);
    assert_int_equal(crew->herd.current->threads.n_routes, 1);
    assert_int_equal(hear(crew, crew->web[1]), BEGINS_WITH);
}

static void who_comes_later_begins_with_as_many(void **state)
{
    struct crew *crew = *state;
    struct generation *g = crew->herd.current;
    name_routes(crew, crew->web[0]);
    turn(crew);
    assert_int_equal(hear(crew, crew->web[0]), BEGINS_WITH);
    g->threads.slots[0].limit = 29;
    crew_kill(crew, crew->web[0]);
    struct seat *other = crew_add(crew, ROLE_WEB, 0);
    turn(crew);
    assert_int_equal(hear(crew, other), 29);
}

static void a_new_generation_begins_with_as_many_within_its_bounds(void **state)
{
    struct crew *crew = *state;
    struct generation *g = crew->herd.current;
    struct generation old = {.threads.slots =
                                 calloc(GENERATION_WORKERS_MAX, sizeof *old.threads.slots)};
    assert_non_null(old.threads.slots);
    old.threads.slots[0] = (struct threads_slot){.epoch = 1, .limit = 29};
    old.threads.slots[1] = (struct threads_slot){.epoch = 1, .limit = MAX + 1};
    crew->herd.leaving = &old;
    for (int i = 0; i < 2; i++)
        name_routes(crew, crew->web[i]);
    turn(crew);
    crew->herd.leaving = NULL;
    assert_int_equal(hear(crew, crew->web[0]), 29);
    assert_int_equal(hear(crew, crew->web[1]), MAX);
    assert_int_equal(g->threads.slots[0].limit, 29);
    free(old.threads.slots);
}

static void threads_that_were_refused_are_not_there(void **state)
{
    struct crew *crew = *state;
    name_routes(crew, crew->web[0]);
    show(crew, crew->web[0], 100, BEGINS_WITH - 1);
    for (int i = 0; i < 20; i++)
        turn(crew);
    assert_int_equal(hear(crew, crew->web[0]), BEGINS_WITH);
    show(crew, crew->web[0], 100, BEGINS_WITH);
    for (int i = 0; i < 20; i++)
        turn(crew);
    assert_true(hear(crew, crew->web[0]) > BEGINS_WITH);
    assert_non_null(strstr(stage_log(), "io threads grow slot=0 from=16 to="));
}

static void nothing_is_decided_before_the_first_job(void **state)
{
    struct crew *crew = *state;
    name_routes(crew, crew->web[0]);
    for (int i = 0; i < 60; i++)
        turn(crew);
    assert_int_equal(hear(crew, crew->web[0]), BEGINS_WITH);
    assert_null(strstr(stage_log(), "io threads shrink"));
    struct scoreboard_part part = crew_map(crew, crew->web[0]);
    atomic_store(&part.head->io_sent, 1);
    atomic_store(&part.head->io_done, 1);
    crew_unmap(crew, &part);
    for (int i = 0; i < 60; i++)
        turn(crew);
    assert_true(hear(crew, crew->web[0]) < BEGINS_WITH);
}

/* From before there was anything to do: what the CPUs did since says nothing. */
static void an_old_read_of_the_cpus_is_none(void **state)
{
    struct crew *crew = *state;
    name_routes(crew, crew->web[0]);
    turn(crew);
    crew->herd.gauge.read_us = crew->herd.now_us;
    crew->herd.now_us += 600 * S;
    show(crew, crew->web[0], 1, 1);
    turn(crew);
    assert_true(crew->herd.gauge.read_us == crew->herd.now_us);
    assert_true(crew->herd.gauge.cpu_share < 0);
    turn(crew), turn(crew);
    assert_true(crew->herd.gauge.cpu_share >= 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_range, crew_close)
    const struct CMUnitTest tests[] = {
        TEST(who_names_no_routes_is_not_believed),
        TEST(who_comes_later_begins_with_as_many),
        TEST(a_new_generation_begins_with_as_many_within_its_bounds),
        TEST(threads_that_were_refused_are_not_there),
        TEST(nothing_is_decided_before_the_first_job),
        TEST(an_old_read_of_the_cpus_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
