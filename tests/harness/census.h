/* What a server holds: its processes, and what the master has open and has in memory. Taken before
 * and after something that must leave nothing behind. */
#ifndef REMUDA_TESTS_HARNESS_CENSUS_H
#define REMUDA_TESTS_HARNESS_CENSUS_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct census {
    size_t processes;              /* below the master */
    size_t zombies;                /* children of the master that nobody has reaped */
    size_t fds;                    /* that the master holds, of whatever kind */
    size_t sockets, memfds, pipes; /* of these */
    size_t below_fds;              /* that the processes below it hold, together */
    unsigned long anon_kib;        /* memory that only the master has (RssAnon) */
    unsigned long data_kib;        /* and what it has asked for (VmData) */
};

/* Counts now. The figures are of one moment only while nothing happens. */
struct census census_take(pid_t master);

/* Waits until processes, zombies and descriptors are as they were before, at most for the usual
 * deadline; fails the test, with both, when they don't become so. Memory is not compared. */
void census_wait_same(pid_t master, const struct census *before);

/* One line. Returns out */
const char *census_text(const struct census *c, char *out, size_t cap);

#endif
