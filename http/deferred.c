/* The box is a stack that any thread pushes to (compare and swap) and the loop takes as a whole
 * (exchange), so there is no ABA to fear: nobody ever pops one. The eventfd is written after the
 * push; the loop reads it before it takes, so no ticket is left lying. */
#include "http/deferred.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int deferred_open(struct deferred_box *box)
{
    atomic_init(&box->first, NULL);
    box->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return box->wake_fd < 0 ? -errno : 0;
}

void deferred_close(struct deferred_box *box)
{
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(box); d; d = next) {
        next = d->next;
        deferred_give_back(d, false);
    }
}

struct rmd_deferred *deferred_new(struct deferred_box *box, struct exchange *ex)
{
    struct rmd_deferred *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->box = box;
    d->ex = ex;
    atomic_init(&d->is_wanted, true);
    return d;
}

void deferred_turn_in(struct rmd_deferred *d, rmd_answer answer, void *arg)
{
    struct deferred_box *box = d->box;
    d->answer = answer;
    d->arg = arg;
    d->next = atomic_load_explicit(&box->first, memory_order_relaxed);
    /* Released, so that the loop sees what the thread wrote before. */
    while (!atomic_compare_exchange_weak_explicit(&box->first, &d->next, d, memory_order_release,
                                                  memory_order_relaxed))
        continue;
    uint64_t one = 1; /* EAGAIN: 2^64 - 2 are waiting, it is readable all the same */
    ssize_t n = write(box->wake_fd, &one, sizeof one);
    (void)n;
}

struct rmd_deferred *deferred_take(struct deferred_box *box)
{
    uint64_t count;
    ssize_t n = read(box->wake_fd, &count, sizeof count); /* EAGAIN: nothing new, look anyway */
    (void)n;
    struct rmd_deferred *d = atomic_exchange_explicit(&box->first, NULL, memory_order_acquire);
    struct rmd_deferred *oldest = NULL;
    while (d) {
        struct rmd_deferred *next = d->next;
        d->next = oldest;
        oldest = d;
        d = next;
    }
    return oldest;
}

void deferred_drop(struct rmd_deferred *d)
{
    d->ex = NULL;
    atomic_store_explicit(&d->is_wanted, false, memory_order_relaxed);
}

void deferred_give_back(struct rmd_deferred *d, bool is_answered)
{
    if (!is_answered && d->answer)
        d->answer(NULL, NULL, d->arg);
    free(d);
}
