/* Deaths that are looked into: for each a process of its own (workers/coroner.h), which the master
 * forks, waits for in its loop, and kills when it takes too long. */
#ifndef REMUDA_SERVER_CORONERS_H
#define REMUDA_SERVER_CORONERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/heritage.h"
#include "ipc/inquest.h"
#include "server/slots.h"

struct scoreboard_part;

#define CORONERS_MAX 4 /* at the same time; of further deaths the frames are told without names */

struct coroners {
    struct remains *remains; /* a copy of those of the latest death, checked */
    struct inquest inquest;  /* of the latest one, which its coroner inherits */
    struct log_ring log;     /* the master's own last lines */
    struct {
        pid_t pid; /* 0: free */
        pid_t subject;
        uint64_t deadline_us;
    } open[CORONERS_MAX];
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

bool coroners_is_one(const struct coroners *coroners, pid_t pid);

/* A child was reaped. Returns false: it was no coroner */
bool coroners_reap(struct coroners *coroners, pid_t pid, int status);

/* Kills those that take too long. */
void coroners_on_time(struct coroners *coroners, uint64_t now_us);
uint64_t coroners_next_us(const struct coroners *coroners);

/* How many are at work. */
unsigned coroners_count(const struct coroners *coroners);

#endif
