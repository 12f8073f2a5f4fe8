/* Deaths that are looked into: for each a process of its own (workers/coroner.h), which the master
 * forks, waits for in its loop, and kills when it takes too long. Who looks into the living (a
 * request that takes long: workers/tracer.h) is kept among them. */
#ifndef REMUDA_SERVER_CORONERS_H
#define REMUDA_SERVER_CORONERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/heritage.h"
#include "ipc/inquest.h"
#include "ipc/spawn.h"
#include "server/slots.h"

struct err;
struct scoreboard_part;

struct inquiry;

/* Behind them in `open`: at most one of each. */
enum { CORONERS_TRACER = 4, CORONERS_DUMPER, CORONERS_ALL };

#define CORONERS_MAX 4 /* at the same time; of further deaths the frames are told without names */

struct coroners {
    struct remains *remains; /* a copy of those of the latest death, checked */
    struct inquest inquest;  /* of the latest one, which its coroner inherits */
    struct log_ring log;     /* the master's own last lines */
    struct {
        pid_t pid; /* 0: free */
        pid_t subject;
        uint64_t deadline_us;
    } open[CORONERS_ALL];
    int tracer_end; /* enum inquiry_end of the last one; -1: it was killed, or there was none */
};

/* Returns 0; -ENOMEM */
int coroners_init(struct coroners *coroners) __attribute__((warn_unused_result));
void coroners_fini(struct coroners *coroners);

/* Copies what a dead process left. Its status must tell the same end.
 * Returns  false: it left nothing that is of it; then remains->kind is NONE */
bool coroners_take(struct coroners *coroners, const struct scoreboard_part *part, pid_t pid,
                   int status);

/* Sends a coroner to the death that was taken last and that coroners->inquest tells of (but for
 * remains and log). Without one (fork refused, too many) the frames are logged here, without names.
 * heritage  what every child inherits alike, of the seat's generation
 * app_fd    sealed copy of the app; -1: none */
void coroners_send(struct coroners *coroners, const struct heritage *heritage, int app_fd,
                   const struct seat *seat, uint64_t now_us);

/* Sends a tracer after a request that takes long; only when none is on its way.
 * inquiry  copied by the fork
 * Returns  0; -errno, *err */
int coroners_trace(struct coroners *coroners, const struct heritage *heritage, int app_fd,
                   const struct inquiry *inquiry, uint64_t now_us, struct err *err)
    __attribute__((warn_unused_result));

/* Starts who writes a dump; only when none is on its way.
 * child   all that it inherits
 * Returns 0; -EBUSY; -errno, *err */
int coroners_dump(struct coroners *coroners, const struct heritage *child, spawn_main main,
                  uint64_t now_us, struct err *err) __attribute__((warn_unused_result));

bool coroners_is_one(const struct coroners *coroners, pid_t pid);

/* A child was reaped. Returns false: it was no coroner */
bool coroners_reap(struct coroners *coroners, pid_t pid, int status);

/* Kills those that take too long. */
void coroners_on_time(struct coroners *coroners, uint64_t now_us);
uint64_t coroners_next_us(const struct coroners *coroners);

/* How many are at work. */
unsigned coroners_count(const struct coroners *coroners);

#endif
