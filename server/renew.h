/* Replacing workers that are worn (MSG_WORN: max_requests, a thread left behind …): the replacement
 * first, then the worn one drains. One at a time, and only when memory has room for both. Where it
 * has not, a compute worker goes first: no socket is without a reader meanwhile, and it may be what
 * fills the memory. */
#ifndef REMUDA_SERVER_RENEW_H
#define REMUDA_SERVER_RENEW_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/msg.h"
#include "server/herd.h"

struct renew {
    uint64_t due_us;           /* the loader was busy: the next is not begun before */
    bool is_short_told;        /* it was logged that memory has no room */
    uint32_t seat, epoch;      /* of the replacement that boots, while is_busy, */
    uint32_t worn, worn_epoch; /* and of whom it is to replace */
    bool is_busy;
};

/* What is known when the next worn worker could be replaced. */
struct renew_case {
    uint64_t needs_bytes; /* what the worn one has for itself; a new one hardly has more */
    uint64_t room_bytes;  /* what memory has room for; UINT64_MAX: not known */
    uint32_t n_workers;   /* web workers, or those of its compute pool */
    uint32_t n_ready;     /* of these */
    uint32_t n_draining;  /* of these in this generation, that are on their way out */
    bool may_go_first;    /* a compute worker */
};

enum renew_answer {
    RENEW_GO,      /* the replacement first */
    RENEW_DOWN,    /* the worn one first */
    RENEW_NO_ROOM, /* not now */
    RENEW_TOO_MANY /* not now, so many are on their way out already */
};

/* Whether it may be begun. Pure. */
enum renew_answer renew_decide(const struct renew_case *c);

/* A worker says that it is worn. Returns false: it may not say that */
bool renew_hear(struct herd *herd, struct seat *seat, const struct msg *msg);

/* Begins, notices how it went. To be called before herd_fill(). */
void renew_turn(struct renew *renew, struct herd *herd);

/* When renew_turn() has something to do though nothing was heard; SEAT_NEVER: no need. */
uint64_t renew_next_us(const struct renew *renew, const struct herd *herd);

#endif
