/* Posts: what the loss of one's process means, and filling it again. Process: master. How long to
 * wait, and whether to go on at all, decide.c says; here it is carried out. */
#include "server/posts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "server/cli.h"
#include "server/daemon.h"

#define RETRY_US (10 * CLOCK_US_PER_MS)   /* a loader that is busy takes orders again by then */
#define CROWDED_US (20 * CLOCK_US_PER_MS) /* then it is looked again who has let go of the dead */

/* Who was to come next has the post to itself; else nobody has it. */
void posts_succeed(struct post *post)
{
    post->seat = post->next;
    post->next = NULL;
    post->due_us = SEAT_NEVER;
}

/* Where a generation leaves, its compute workers are replaced as long as somebody may ask them. */
static bool may_be_filled(const struct herd *herd, const struct generation *g, enum role role)
{
    if (g->leaves_us == 0 && herd->stage == DECIDE_RUNNING)
        return true;
    return role == ROLE_COMPUTE && herd->stage <= DECIDE_GRACEFUL && g->loader.seat &&
           g->loader.seat->phase == SEAT_READY && herd_count_web(herd, g) > 0;
}

/* Does anybody do what its process should? Without a loader there are still web workers. */
static bool is_anyone_like(const struct generation *g, const struct post *post)
{
    if (post->role == ROLE_COMPUTE)
        return pools_count_ready_of(&g->pools.items[post->pool]) > 0;
    return generation_count_ready(g) > 0;
}

/* A compute worker that ends for want of what its tasks have left behind: it is they that set the
 * pace. */
static bool is_used_up(const struct seat *seat)
{
    return seat->role == ROLE_COMPUTE && seat->worn_us != 0;
}

static bool has_done(const struct herd *herd, const struct seat *seat)
{
    const struct seat_head *head = scoreboard_peek(&herd->board, seat->number).head;
    return atomic_load_explicit(&head->tasks, memory_order_relaxed) > 0;
}

/* Takes the loss of a post's process in. *out_ms gets the delay, for the log; what it means for the
 * whole comes back, to be acted on when the log has been written. */
enum decide_fate posts_vacate(struct herd *herd, const struct generation *g, struct post *post,
                              const struct seat *seat, bool was_refused, uint64_t *out_ms)
{
    *out_ms = 0;
    if (!post)
        return DECIDE_REPLACE;
    if (seat && post->next == seat) {
        post->next = NULL; /* the worn one goes on: server/renew.c tries again */
        return DECIDE_REPLACE;
    }
    posts_succeed(post);
    post->was_missed = !seat || seat->ready_us == 0;
    if (post->seat || !may_be_filled(herd, g, post->role))
        return DECIDE_REPLACE;
    if (seat && seat->role == ROLE_COMPUTE && seat->worn_us != 0 && seat->drains_us != 0) {
        post->due_us = herd->now_us; /* as planned: server/renew.c sent it ahead */
        return DECIDE_REPLACE;
    }
    struct decide_loss loss = {.role = post->role,
                               .failures = post->failures,
                               .was_ready = seat && seat->ready_us != 0,
                               .had_task = seat && (seat->has_task || is_used_up(seat)),
                               .has_done = seat && has_done(herd, seat),
                               .task_deaths = post->task_deaths,
                               .ready_us = seat ? herd->now_us - seat->ready_us : 0,
                               .was_refused = was_refused,
                               .is_first_start = !g->has_been_ready,
                               .is_anyone_serving = is_anyone_like(g, post),
                               .is_candidate = g == herd->candidate};
    struct decide_replacement next = decide_replace(&loss);
    post->failures = next.failures;
    post->task_deaths = next.task_deaths;
    post->due_us = next.fate == DECIDE_REFUSED ? SEAT_NEVER : herd->now_us + next.delay_us;
    *out_ms = next.delay_us / CLOCK_US_PER_MS;
    return next.fate;
}

uint32_t posts_count_missing(const struct post *posts, uint32_t n)
{
    uint32_t missing = 0;
    for (uint32_t i = n; i > 0; i--, missing++) {
        const struct post *post = &posts[i - 1];
        if (!post->was_missed || (post->seat && post->seat->phase == SEAT_READY))
            break;
    }
    return missing;
}

/* Is it one of those that only work that comes has called for, and that are given up? */
static bool is_extra(const struct generation *g, const struct post *post)
{
    bool is_compute = post->role == ROLE_COMPUTE;
    const struct pool *pool = is_compute ? &g->pools.items[post->pool] : NULL;
    uint32_t n = pool ? pool->n_workers : g->n_workers;
    uint32_t n_there = n - posts_count_missing(pool ? pool->workers : g->workers, n);
    uint32_t n_min = pool ? pool->n_min : g->web.n_min;
    return g->has_been_ready && post->slot >= 0 && (uint32_t)post->slot >= n_min &&
           (uint32_t)post->slot >= n_there;
}

void posts_take_fate(struct herd *herd, struct generation *g, struct post *post,
                     enum decide_fate fate)
{
    char quoted[LOG_QUOTE_MAX + 8];
    switch (fate) {
    case DECIDE_REPLACE:
        break;
    case DECIDE_DEGRADED:
        if (is_extra(g, post))
            break; /* nobody asked for it: server/adapt.c gives it up */
        if (!post->is_degraded)
            log_error("generation degraded",
                      "generation=%d missing=%s slot=%d failures=%u does=\"keep trying\"",
                      g->number, role_table[post->role].name, post->slot, post->failures);
        post->is_degraded = true;
        break;
    case DECIDE_REFUSED:
        if (g->failure.code == 0)
            (void)err_set(&g->failure, ECANCELED, "%s", herd->reason);
        break;
    case DECIDE_NO_APP:
        log_error("cannot start", "exit=%d why=%s", CLI_CONFIG,
                  log_quote(quoted, herd->reason, strlen(herd->reason)));
        daemon_fail(CLI_CONFIG, herd->reason);
        herd->exit_code = CLI_CONFIG;
        herd_stop(herd, DECIDE_QUICK, "app");
        break;
    case DECIDE_NO_BOOT:
        log_error("cannot start", "exit=%d tries=%u why=%s", CLI_NO_BOOT, post->failures,
                  log_quote(quoted, herd->reason, strlen(herd->reason)));
        daemon_fail(CLI_NO_BOOT, herd->reason);
        herd->exit_code = CLI_NO_BOOT;
        herd_stop(herd, DECIDE_QUICK, "boot");
        break;
    }
}

void posts_refuse(struct herd *herd, struct generation *g, struct post *post, const char *why)
{
    uint64_t ms;
    char quoted[LOG_QUOTE_MAX + 8];
    (void)snprintf(herd->reason, sizeof herd->reason, "cannot fork: %s", why);
    enum decide_fate fate = posts_vacate(herd, g, post, NULL, true, &ms);
    log_warn("fork refused", "for=%s slot=%d why=%s respawn_ms=%" PRIu64,
             role_table[post->role].name, post->slot, log_quote(quoted, why, strlen(why)), ms);
    posts_take_fate(herd, g, post, fate);
}

/* Returns false: the loader has too much to do, ask it later */
static bool fill_post(struct herd *herd, struct generation *g, struct post *post,
                      const struct generation_means *means)
{
    struct err err;
    if (post->seat || post->due_us > herd->now_us)
        return true;
    if (post->role == ROLE_COMPUTE && graves_are_full(herd, g, post->pool)) {
        post->due_us = herd->now_us + CROWDED_US;
        return true;
    }
    int rc = generation_hire_worker(g, post, means, &err);
    if (rc == -EAGAIN) {
        g->asks_us = herd->now_us + RETRY_US;
        return false;
    }
    if (rc < 0)
        posts_refuse(herd, g, post, err.text);
    herd->is_changed = true;
    return true;
}

/* Web workers first: they are what a client waits for. */
void posts_fill(struct herd *herd, struct generation *g)
{
    struct generation_means means = {&herd->slots, herd->logs, herd->board_fd, herd->now_us};
    struct err err;
    bool is_staying = g->leaves_us == 0 && herd->stage == DECIDE_RUNNING;
    if (is_staying && !g->loader.seat && g->loader.due_us <= herd->now_us &&
        generation_hire_loader(g, &means, &err) < 0)
        posts_refuse(herd, g, &g->loader, err.text);
    bool may_go_on =
        g->loader.seat && g->loader.seat->phase == SEAT_READY && g->asks_us <= herd->now_us;
    for (uint32_t i = 0; is_staying && may_go_on && i < g->n_workers; i++)
        may_go_on = fill_post(herd, g, &g->workers[i], &means) && herd->stage == DECIDE_RUNNING;
    may_go_on = may_go_on && may_be_filled(herd, g, ROLE_COMPUTE);
    for (uint32_t k = 0; k < g->pools.n; k++) {
        struct pool *pool = &g->pools.items[k];
        for (uint32_t i = 0; pools_is_used(&g->pools, (int)k) && i < pool->n_workers; i++) {
            if (!may_go_on || herd->stage > DECIDE_GRACEFUL)
                return;
            may_go_on = fill_post(herd, g, &pool->workers[i], &means);
        }
    }
}

/* When a post of a generation is to be filled. */
uint64_t posts_next_us(const struct herd *herd, const struct generation *g)
{
    uint64_t next = SEAT_NEVER;
    if (!g || g->failure.code != 0)
        return SEAT_NEVER;
    bool is_staying = g->leaves_us == 0 && herd->stage == DECIDE_RUNNING;
    if (!g->loader.seat)
        return is_staying ? g->loader.due_us : SEAT_NEVER;
    if (g->loader.seat->phase != SEAT_READY || (!is_staying && herd_count_web(herd, g) == 0))
        return SEAT_NEVER;
    for (uint32_t i = 0; is_staying && i < g->n_workers; i++)
        if (!g->workers[i].seat && g->workers[i].due_us < next)
            next = g->workers[i].due_us;
    uint64_t pools_us = pools_next_us(&g->pools);
    next = pools_us < next ? pools_us : next;
    return next < g->asks_us ? g->asks_us : next;
}
