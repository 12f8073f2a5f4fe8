/* Mending queues. Process: master. It watches its own ends for nothing but their hanging up, which
 * costs no turn until it happens. A queue that is shut again and again is mended once a second: who
 * does that harms its own pool only, and does not keep the master busy. */
#include "server/mend.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "server/herd.h"

#define AGAIN_US CLOCK_US_PER_S

#define GENERATIONS 3

static void list_generations(const struct herd *herd, struct generation *out[GENERATIONS])
{
    out[0] = herd->current;
    out[1] = herd->candidate;
    out[2] = herd->leaving;
}

size_t mend_watch(const struct herd *herd, struct pollfd *polls)
{
    struct generation *all[GENERATIONS];
    size_t n = 0;
    list_generations(herd, all);
    for (size_t i = 0; i < GENERATIONS; i++)
        for (uint32_t k = 0; all[i] && k < all[i]->pools.n; k++)
            if (pools_is_used(&all[i]->pools, (int)k) && all[i]->pools.items[k].mend_us == 0)
                polls[n++] = (struct pollfd){.fd = all[i]->pools.items[k].queue.fd};
    return n;
}

/* Workers that wait at the old queue are told its end by the kernel, one that is busy is not. */
static void replace_workers(struct herd *herd, struct pool *pool)
{
    for (uint32_t i = 0; i < pool->n_workers; i++) {
        struct post *post = &pool->workers[i];
        if (!post->seat && !post->next)
            continue;
        if (post->next)
            herd_dismiss(herd, post->next, "its queue was shut");
        if (post->seat)
            herd_dismiss(herd, post->seat, "its queue was shut");
        post->due_us = herd->now_us;
    }
}

static void mend(struct herd *herd, struct generation *g, uint32_t number)
{
    struct err err;
    struct pools_mended mended;
    struct pool *pool = &g->pools.items[number];
    int rc = pools_mend(&g->pools, (int)number, &mended, &err);
    if (rc == 0)
        return;
    pool->mend_us = herd->now_us + AGAIN_US;
    if (rc < 0) {
        char quoted[LOG_QUOTE_MAX + 8];
        log_error("queue shut", "pool=%s generation=%d why=%s does=\"try again\"",
                  pool->settings->name, g->number, log_quote(quoted, err.text, strlen(err.text)));
        return;
    }
    log_warn("queue shut",
             "pool=%s generation=%d why=\"somebody who had an end of it called shutdown(2)\" "
             "moved=%" PRIu32 " lost=%" PRIu32 " does=\"another queue, other workers\"",
             pool->settings->name, g->number, mended.moved, mended.lost);
    herd_owe_queues(herd, g);
    replace_workers(herd, pool);
}

void mend_turn(struct herd *herd, const struct pollfd *polls, size_t n)
{
    struct generation *all[GENERATIONS];
    bool is_any_shut = false;
    for (size_t i = 0; i < n; i++)
        is_any_shut |= polls[i].revents != 0;
    list_generations(herd, all);
    for (size_t i = 0; i < GENERATIONS; i++)
        for (uint32_t k = 0; all[i] && k < all[i]->pools.n; k++) {
            struct pool *pool = &all[i]->pools.items[k];
            bool is_due = pool->mend_us != 0 && pool->mend_us <= herd->now_us;
            if (is_due)
                pool->mend_us = 0;
            if (is_due || (is_any_shut && pool->mend_us == 0))
                mend(herd, all[i], k);
        }
}

uint64_t mend_next_us(const struct herd *herd)
{
    struct generation *all[GENERATIONS];
    uint64_t next = SEAT_NEVER;
    list_generations(herd, all);
    for (size_t i = 0; i < GENERATIONS; i++)
        for (uint32_t k = 0; all[i] && k < all[i]->pools.n; k++) {
            uint64_t at = all[i]->pools.items[k].mend_us;
            next = at != 0 && at < next ? at : next;
        }
    return next;
}
