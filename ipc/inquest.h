/* What the master hands a coroner: one death. By fork, so it is plain memory. */
#ifndef REMUDA_IPC_INQUEST_H
#define REMUDA_IPC_INQUEST_H

#include <stdint.h>
#include <sys/types.h>

#include "ipc/remains.h"
#include "ipc/role.h"
#include "ipc/scoreboard.h"

struct inquest {
    struct remains *remains; /* a private copy, checked; kind NONE: it left nothing but log lines */
    struct log_ring *log;    /* the master's own last lines */
    struct seat_head head;   /* the dead process's counters, as it left them */
    char route[sizeof((struct route_stats *)0)->name]; /* of its request; "": none */
    struct request_entry request;                      /* that it died in; phase FREE: none */
    enum role role;
    pid_t pid;
    int status;          /* of waitpid(2) */
    uint64_t elapsed_us; /* of the request */
    uint64_t uptime_us;  /* of the process, since it was asked for */
    const char *event;   /* "crashed", "hung", "exited": static text */
    char why[96];
};

#endif
