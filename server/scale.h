/* How many web workers the current generation has: as its settings say, until somebody asks for
 * another number. */
#ifndef REMUDA_SERVER_SCALE_H
#define REMUDA_SERVER_SCALE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/herd.h"
#include "server/listen.h"

struct err;

#define SCALE_LEAST 1
#define SCALE_MOST GENERATION_WORKERS_MAX

/* A wish: so many workers, or so many more or fewer. */
struct scale_wish {
    bool is_relative;
    int n;
};

/* What has been asked for since the last reload was asked for: the next generation gets it, too. */
struct scale {
    bool is_set;
    struct scale_wish since;
    struct {
        char name[32];
        uint32_t n;              /* workers */
    } pools[SETTINGS_POOLS_MAX]; /* server/scale_pool.h */
    size_t n_pools;
};

/* Reads "4", "+1", "-2".
 * Returns  0; -EINVAL, *err says what is allowed */
int scale_parse(const char *text, struct scale_wish *out, struct err *err)
    __attribute__((warn_unused_result));

/* How many there are after a wish, within SCALE_LEAST … SCALE_MOST. Pure. */
uint32_t scale_target(struct scale_wish wish, uint32_t present);

/* What two wishes, one after the other, come to. Pure. */
struct scale_wish scale_join(struct scale_wish first, struct scale_wish second);

/* Has it done: new ones start, those with the highest slots are drained as soon as another worker
 * accepts from their sockets. From then on there are just so many, also where the settings
 * leave a range. Asked during a reload, the generation that comes gets as many more or fewer, too;
 * a reload that is asked for later goes back to what the settings say.
 * who      for the log: a signal's name, "control"
 * Returns  how many workers there are to be */
uint32_t scale_workers(struct scale *scale, struct herd *herd, struct scale_wish wish,
                       const char *who);

/* Gives the current generation so many posts, and says nothing about it: for who decides by what is
 * measured (server/growth_web.h).
 * why  of those that leave, for the log, static text */
void scale_resize(struct herd *herd, uint32_t n, const char *why);

/* Drains all workers and starts none, until a reload or a wish brings them back. */
void scale_to_nothing(struct scale *scale, struct herd *herd, const char *who);

/* Sends all home while a new master takes over, 0, or has them back. That is nobody's wish: what
 * the settings leave, or somebody asked for, stays as it is, also for a generation that comes. */
void scale_for_upgrade(struct herd *herd, uint32_t n);

/* A reload was asked for: what was wished before does not count for it. */
void scale_on_reload_asked(struct scale *scale);

/* A generation has begun to serve: gets what was wished since its reload was asked for. */
void scale_on_commit(struct scale *scale, struct herd *herd);

/* Opens sockets for slots whose workers are ready and have none; not before, so that no connection
 * waits in the queue of a socket without a reader; and not while another master has the same
 * sockets. Where that fails, those workers go again. */
void scale_open_slots(struct herd *herd, struct listen_set *listeners);

#endif
