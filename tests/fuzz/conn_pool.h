/* For fuzz_conn.c: the pool of the io lane, without threads. An errand begins, runs and comes in
 * when the script says so, in any order; as long as it is somebody else's, the loop may not look at
 * its answer (poisoned where the address sanitizer is there). */
#ifndef REMUDA_TESTS_FUZZ_CONN_POOL_H
#define REMUDA_TESTS_FUZZ_CONN_POOL_H

#include "http/away.h"
#include "tests/fuzz/conn_hooks.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

static void hide(struct exchange *ex)
{
    ASAN_POISON_MEMORY_REGION(&ex->res, sizeof ex->res);
    ASAN_POISON_MEMORY_REGION(&ex->made, sizeof ex->made);
}

static void show(struct exchange *ex)
{
    ASAN_UNPOISON_MEMORY_REGION(&ex->res, sizeof ex->res);
    ASAN_UNPOISON_MEMORY_REGION(&ex->made, sizeof ex->made);
}

/* NULL: it is in the box. */
static struct errand_away *find_away(const struct exchange *ex)
{
    for (size_t i = 0; i < world.n_away; i++)
        if (world.away[i].ex == ex)
            return &world.away[i];
    return NULL;
}

static void take_out(struct errand_away *errand)
{
    size_t i = (size_t)(errand - world.away);
    world.n_away--;
    memmove(errand, errand + 1, (world.n_away - i) * sizeof *errand);
}

/* ---- what the machine calls ---- */

static enum conn_lane on_choose(void *owner, struct rmd_request *req)
{
    (void)owner;
    RMD_ASSERT(req->match.route->lane != RMD_INLINE && !exchange_of(req)->is_io);
    if (world.is_at_home || !world.env.box)
        return CONN_LANE_LOOP;
    if (world.n_away < N_AWAY)
        return CONN_LANE_AWAY;
    world.is_changed = true;
    return CONN_LANE_FULL;
}

static void on_send(void *owner, struct exchange *ex)
{
    (void)owner;
    RMD_ASSERT(world.n_away < N_AWAY + N_CLIENTS && ex->is_io && ex->is_away && ex->conn);
    RMD_ASSERT(!ex->is_in_env && !ex->is_body_in_env);
    world.away[world.n_away++] = (struct errand_away){.ex = ex};
    hide(ex);
}

static bool on_recall(void *owner, struct exchange *ex)
{
    (void)owner;
    struct errand_away *errand = find_away(ex);
    if (!errand || errand->has_begun)
        return false;
    struct task *task = ex->req.user_data;
    if (ex->errand == ERRAND_ANSWER)
        task->is_recalled = true;
    world.is_cut = world.is_changed = true; /* the client has left, or the script was slow */
    show(ex);
    take_out(errand);
    return true;
}

static void on_overdue(void *owner, struct exchange *ex)
{
    (void)owner;
    struct errand_away *errand = find_away(ex);
    if (errand) {
        RMD_ASSERT(errand->has_begun && !errand->is_overdue);
        errand->is_overdue = true;
    }
    world.is_cut = world.is_changed = true;
}

/* The process ends. */
static void on_abandoned(void *owner, struct rmd_request *req)
{
    (void)owner;
    const struct exchange *ex = exchange_of(req);
    const struct errand_away *errand = find_away(ex);
    RMD_ASSERT(ex->is_away && !ex->conn && (!errand || errand->has_begun));
    free(copy_of(request_target(req)));
    free(copy_of(request_trace_id(req)));
}

/* ---- what its threads do ---- */

static void run_errand(struct errand_away *errand)
{
    struct exchange *ex = errand->ex;
    errand->has_begun = errand->has_run = true;
    show(ex);
    RMD_ASSERT(ex->is_away && atomic_load(&ex->is_cancelled) == !ex->conn);
    switch ((enum errand)ex->errand) {
    case ERRAND_HANDLE:
        on_handle(NULL, &ex->req, &ex->res);
        break;
    case ERRAND_CONSUME:
        on_consume(NULL, &ex->req, &ex->res, ex->piece);
        break;
    case ERRAND_ANSWER:
        on_answer(NULL, &ex->req, &ex->res, ex->answering);
        break;
    case ERRAND_PRODUCE:
        away_produce(ex);
        break;
    }
    hide(ex);
}

static void turn_in_errand(struct errand_away *errand)
{
    struct exchange *ex = errand->ex;
    if (!errand->has_run)
        run_errand(errand);
    take_out(errand);
    away_turn_in(ex);
}

/* The loop is about to take it out of the box. */
static void on_errand_in(struct exchange *ex)
{
    show(ex);
    if (ex->req.user_data && !ex->conn && !ex->is_handled) /* whose end was told with the 504 */
        task_end(ex->req.user_data);
}

/* Of those that have begun, or have not: that which was sent first, or last. NULL: there is none */
static struct errand_away *choose_errand(bool has_begun, bool is_last)
{
    struct errand_away *found = NULL;
    for (size_t i = 0; i < world.n_away; i++)
        if (world.away[i].has_begun == has_begun && (is_last || !found))
            found = &world.away[i];
    return found;
}

/* THE table of steps that threads take. Returns false for others. */
static bool run_thread_step(char c)
{
    struct errand_away *errand = NULL;
    switch (c) {
    case ' ': /* the first begins, and has run */
        errand = choose_errand(false, false);
        if (errand)
            run_errand(errand);
        return true;
    case '\t': /* the last begins, and runs when it comes in */
        errand = choose_errand(false, true);
        if (errand)
            errand->has_begun = true;
        return true;
    case '\r': /* the first comes in */
    case '\v': /* the last */
        errand = choose_errand(true, c == '\v');
        if (errand)
            turn_in_errand(errand);
        return true;
    default:
        return false;
    }
}

/* Returns whether there was anything to do; NULL: nothing. */
static bool finish_errand(struct errand_away *errand)
{
    if (errand)
        turn_in_errand(errand);
    return errand != NULL;
}

static const struct conn_hooks app_hooks = {.handle = on_handle,
                                            .consume = on_consume,
                                            .answer = on_answer,
                                            .error = on_error,
                                            .spool_failed = on_spool_failed,
                                            .given_up = on_given_up,
                                            .proxy_refused = on_proxy_refused,
                                            .finished = on_finished,
                                            .parked = on_parked,
                                            .paced = on_paced,
                                            .choose = on_choose,
                                            .send = on_send,
                                            .recall = on_recall,
                                            .overdue = on_overdue};

#endif
