/* Answers that are given later, by whatever thread of the application has them. The application
 * holds a ticket; when it turns it in, the ticket goes into the loop's box, from any thread, and
 * the loop calls the application back on its own thread. So nobody but the loop ever touches a
 * request, and there is no lock.
 *
 * A ticket belongs to the application until it is turned in, also when its request ended before:
 * it then only lets go of it (deferred_drop()), and is freed when it comes in.
 *
 * Exchanges that were sent away come back by the same box: each has a token of its own in it
 * (http/away.h). */
#ifndef REMUDA_HTTP_DEFERRED_H
#define REMUDA_HTTP_DEFERRED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "include/remuda.h"

struct exchange;

/* One loop's box of tickets that came in. */
struct deferred_box {
    _Atomic(struct rmd_deferred *) first; /* last in, first out; any thread pushes */
    int wake_fd; /* eventfd(2), readable when there is something in it; open until the end */
};

struct rmd_deferred {
    struct rmd_deferred *next; /* in the box */
    struct deferred_box *box;
    struct exchange *ex;    /* whose answer it is; only the loop reads it. NULL: it has ended */
    _Atomic bool is_wanted; /* for the application: has it not ended? */
    rmd_answer answer;      /* set when it is turned in */
    void *arg;
};

/* Returns 0; -errno of eventfd(2) */
int deferred_open(struct deferred_box *box) __attribute__((warn_unused_result));

/* The loop's end, behind that of all its connections: whoever turned something in is called back
 * without a request. The box and its
 * descriptor stay, for threads that come later; nothing looks into it again. */
void deferred_close(struct deferred_box *box);

/* A ticket for the answer of an exchange. NULL when memory is refused.
 * Safe     threads: whoever has the exchange */
struct rmd_deferred *deferred_new(struct deferred_box *box, struct exchange *ex);

/* Turns a ticket in.
 * Safe     threads: any · signal handlers: no */
void deferred_turn_in(struct rmd_deferred *d, rmd_answer answer, void *arg);

/* All that came in, oldest first, linked by next; NULL: none. Only the loop calls it. */
struct rmd_deferred *deferred_take(struct deferred_box *box);

/* Its request has ended without it. */
void deferred_drop(struct rmd_deferred *d);

/* Gives back a ticket that came in: calls the application without a request, so that it can free
 * what arg holds, unless its request has been answered by it. */
void deferred_give_back(struct rmd_deferred *d, bool is_answered);

#endif
