/* workers/web_io.c: what it says of its errands, by which the master decides how many threads there
 * are to be, and who finds room. Errands are given to a pool of the test's own, where they wait. */
#include "workers/web_io.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/harness/check.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "workers/iopool.h"

#define THREADS 2U
#define INFLIGHT 3U

static struct {
    struct settings settings;
    struct seat_head head;
    struct route_stats none; /* no route's */
    struct web web;
    struct exchange *errands[INFLIGHT];
    atomic_uint n_begun, n_ended;
    sem_t may_end;
} room;

static void wait_for(const atomic_uint *number, unsigned n)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (atomic_load(number) < n)
        CHECK(patience_turn(deadline));
}

static void let_end(void)
{
    for (unsigned i = 0; i < INFLIGHT; i++)
        CHECK_EQ(sem_post(&room.may_end), 0);
}

static void run(void *owner, struct list *job)
{
    (void)owner, (void)job;
    (void)atomic_fetch_add(&room.n_begun, 1);
    while (sem_wait(&room.may_end) < 0) {
    }
    (void)atomic_fetch_add(&room.n_ended, 1);
}

static int open_room(void **state)
{
    const struct iopool_rules rules = {.threads_min = THREADS,
                                       .threads_max = THREADS,
                                       .cpus = 1,
                                       .workers = 1,
                                       .idle_us = CLOCK_US_PER_S,
                                       .run = run,
                                       .owner = &room};
    (void)state;
    log_init(-1, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    room.head = (struct seat_head){0};
    room.n_begun = room.n_ended = 0;
    CHECK_EQ(sem_init(&room.may_end, 0, 0), 0);
    room.settings = (struct settings){.inflight = INFLIGHT};
    room.web = (struct web){.settings = &room.settings,
                            .part.head = &room.head,
                            .profiling = {.none = &room.none},
                            .health_path = STR("/health"),
                            .env.now_us = clock_now_us()};
    CHECK_EQ(iopool_open(&rules, &room.web.pool), 0);
    for (unsigned i = 0; i < INFLIGHT; i++) {
        struct exchange *ex = room.errands[i] = calloc(1, sizeof *ex);
        CHECK(ex);
        ex->req.board_entry = WEB_NO_ENTRY;
        ex->req.base = "/";
        ex->req.trace_id = STR("0");
        ex->errand = ERRAND_CONSUME;
    }
    return 0;
}

static int close_room(void **state)
{
    (void)state;
    let_end();
    wait_for(&room.n_ended, INFLIGHT);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (iopool_close(room.web.pool) > 0) /* a thread goes on for a moment behind run() */
        CHECK(patience_turn(deadline));
#ifndef __SANITIZE_THREAD__                  /* which has a thread of its own */
    while (procs_thread_count(getpid()) > 1) /* those left behind have nobody who joins them */
        CHECK(patience_turn(deadline));
#endif
    for (unsigned i = 0; i < INFLIGHT; i++)
        free(room.errands[i]);
    return 0;
}

static enum conn_lane choose(const char *path)
{
    struct rmd_request req = {.match.path = str_of(path)};
    return web_io_choose(&room.web, &req);
}

/* As many as may be in the lane: all threads have one, the others wait. */
static void fill(void)
{
    for (unsigned i = 0; i < INFLIGHT; i++)
        web_io_send(&room.web, room.errands[i]);
    wait_for(&room.n_begun, THREADS);
}

static void health_checks_find_room_where_all_others_do_not(void **state)
{
    (void)state;
    fill();
    CHECK_EQ(choose("/any"), CONN_LANE_FULL);
    CHECK_EQ(choose("/health"), CONN_LANE_AWAY);
}

static void threads_are_told_of_when_they_are_made(void **state)
{
    (void)state;
    fill();
    CHECK_EQ(room.head.io_sent, INFLIGHT);
    CHECK_EQ(room.head.io_threads, THREADS);
}

static void threads_left_behind_are_not_busy(void **state)
{
    (void)state;
    fill();
    web_io_overdue(&room.web, room.errands[0]);
    web_io_obey(&room.web, THREADS);
    CHECK_EQ(room.head.io_threads, THREADS); /* another has taken its place */
    CHECK_EQ(room.head.overdue, 1);
    CHECK_EQ(room.head.io_done, 1); /* its thread does not count against the limit either */
    let_end();
    wait_for(&room.n_ended, INFLIGHT);
    for (unsigned i = 0; i < INFLIGHT; i++)
        web_io_on_back(&room.web, room.errands[i]);
    CHECK_EQ(room.head.io_done, INFLIGHT); /* and not once more when it is back */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_room, close_room)
    const struct CMUnitTest tests[] = {
        TEST(health_checks_find_room_where_all_others_do_not),
        TEST(threads_are_told_of_when_they_are_made),
        TEST(threads_left_behind_are_not_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
