/* When a web worker has done enough and wants to be replaced. It only wishes: the master, told once
 * (MSG_WORN), brings the replacement first and then drains the worn one; until then it serves. */
#ifndef REMUDA_WORKERS_RECYCLE_H
#define REMUDA_WORKERS_RECYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/msg.h"

struct setting_pool;
struct settings;

/* The limits of one worker, jitter included; UINT64_MAX: none. */
struct recycle {
    uint64_t requests;  /* answered; max_requests */
    uint64_t rss_bytes; /* max_rss */
    uint64_t ends_us;   /* worker_lifetime */
    const char *reason; /* recycle_wear(); NULL: none was given */
    bool counts_tasks;  /* else requests */
    bool is_worn;       /* it was said: never again */
};

/* now_us   when the worker began
 * random   chooses its share of the jitter */
void recycle_init(struct recycle *r, const struct settings *settings, uint64_t now_us,
                  uint64_t random);

/* Likewise, of a compute worker: max_tasks, up to a tenth of it as jitter, and max_rss. */
void recycle_init_tasks(struct recycle *r, const struct setting_pool *pool, uint64_t random);

/* Something else has worn it out. why: static text, for the log */
void recycle_wear(struct recycle *r, const char *why);

/* Is a limit reached?
 * requests   answered so far
 * rss_bytes  recycle_read_rss(); 0: not looked at
 * out_why    which limit, for log and master; untouched unless true is returned
 * Returns    true once: from then on it is worn */
bool recycle_judge(struct recycle *r, uint64_t requests, uint64_t rss_bytes, uint64_t now_us,
                   char out_why[MSG_TEXT_MAX]);

/* A worker that has more than max_rss when it begins would be replaced for ever by others like it:
 * the limit is given up.
 * Returns  whether it was */
bool recycle_give_up_rss(struct recycle *r, uint64_t rss_bytes);

/* Resident memory of this process but for files and what processes have in common, payloads of
 * compute pools above all; pages of the loader count in full (proc(5), statm). 0: not known */
uint64_t recycle_read_rss(void);

#endif
