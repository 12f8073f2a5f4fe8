/* What the master hands a tracer: one request that takes long. By fork, so it is plain memory. */
#ifndef REMUDA_IPC_INQUIRY_H
#define REMUDA_IPC_INQUIRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/role.h"
#include "ipc/scoreboard.h"

struct inquiry {
    enum role role; /* of who runs it, with its place */
    int slot;
    pid_t pid;        /* the master's own knowledge, never the shared table's */
    pid_t tid;        /* as the shared table says: not believed */
    const char *lane; /* static text */
    char route[sizeof((struct route_stats *)0)->name]; /* "": none */
    struct request_entry request;                      /* as it was when it was found to be slow */
    const struct request_entry *shared;                /* the same, where it can change */
    uint64_t running_us;                               /* in its handler, */
    uint64_t elapsed_us;                               /* and since its first octet; then */
    uint64_t slow_us;                                  /* the limit that it is over */
    uint64_t n_untold;    /* others since the last one, of which nothing was told */
    bool is_refusal_told; /* why processes can't be looked into was told before */
};

/* What a tracer's exit says. */
enum inquiry_end {
    INQUIRY_DONE,
    INQUIRY_NOT_DONE, /* for reasons of this one process, which it has told */
    INQUIRY_REFUSED   /* by the kernel, as it would be again; told */
};

#endif
