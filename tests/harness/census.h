/* What a server holds: its processes and seats, the sockets at its addresses, and what the master
 * has open and has in memory. Taken before and after something that must leave nothing behind. */
#ifndef REMUDA_TESTS_HARNESS_CENSUS_H
#define REMUDA_TESTS_HARNESS_CENSUS_H

#include <stddef.h>

#include "tests/harness/server.h"

struct census {
    size_t processes;              /* below the master */
    size_t zombies;                /* children of the master that nobody has reaped */
    size_t seats;                  /* that are taken, as the master says */
    size_t parts;                  /* of the shared table, that are in use */
    size_t fds;                    /* that the master holds, of whatever kind */
    size_t sockets, memfds, pipes; /* of these */
    size_t listening;              /* sockets at the server's addresses, whoever holds them */
    size_t connected;              /* the server's ends of connections, likewise */
    size_t below_fds;              /* that the processes below the master hold, together */
    unsigned long anon_kib;        /* memory that only the master has (RssAnon) */
    unsigned long data_kib;        /* and what it has asked for (VmData) */
    size_t segment_kib;            /* that the payload segment takes, of all processes together */
};

/* Counts now. The figures are of one moment only while nothing happens. */
struct census census_take(const struct server *s);

/* Waits until all is as it was before, at most twice as long as the usual deadline, since who fails
 * to start comes again up to 30 s later; fails the test, with both, when that does not come. Memory
 * is never compared; connections and what the processes below have open only by the second one, for
 * a server without a load. */
void census_wait_same(const struct server *s, const struct census *before);
void census_wait_same_at_rest(const struct server *s, const struct census *before);

/* Waits until the server is what it is when nothing happens: there are so many processes below the
 * master, each in a seat, and nobody who looks into a death or waits to be reaped. Returns that. */
struct census census_wait_calm(const struct server *s, size_t processes);

/* Whether the master's memory has stopped to grow, between two moments before both of which much
 * had happened. Fails the test when it has not. Pages of the heap are touched one by one until all
 * that is ever used at the same time has been, and it grows in steps of 132 KiB (mallopt(3),
 * M_TOP_PAD); what counts is that this ends. Not judged under sanitizers and valgrind, which keep
 * what was freed for a while, to see who uses it. */
void census_check_memory(const struct census *half, const struct census *after,
                         unsigned long anon_kib);

/* Prints a table with a row for each figure and a column for each census, "> " before each line. */
void census_print(const char *const *names, const struct census *columns, size_t n);

#endif
