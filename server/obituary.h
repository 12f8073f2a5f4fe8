/* What the log says of a process that hangs, crashes or is gone. */
#ifndef REMUDA_SERVER_OBITUARY_H
#define REMUDA_SERVER_OBITUARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "server/cause.h"
#include "server/herd.h"
#include "server/slots.h"

struct obituary {
    enum cause cause;
    char why[CAUSE_TEXT_MAX]; /* in words; "" when the master or the process itself has said it */
    bool has_remains;         /* its crash handler ran: herd->coroners has what it wrote */
};

/* "worker" for those that serve, else the role's name. */
const char *obituary_noun(const struct seat *seat);

/* It does not answer (or did not become ready in time) and is about to be sent SIGABRT: an error
 * with the request that its main thread is in. */
void obituary_tell_hang(const struct herd *herd, const struct seat *seat);

/* ` state=T wchan=do_signal_stop`: what the kernel knows of a process that does not end.
 * Returns  out; "" when it can't be read */
#define OBITUARY_STATE_MAX 96
const char *obituary_print_state(pid_t pid, char out[OBITUARY_STATE_MAX]);

/* It was reaped: judges why. A crash gets its line. */
void obituary_open(struct obituary *obituary, struct herd *herd, const struct seat *seat);

/* Why, in a sentence: its own, the master's, or what was judged; "" for one that was ordered. */
const char *obituary_why(const struct obituary *obituary, const struct seat *seat);

/* ` signal=SEGV why="crashed" last_words="…"`. Returns out */
#define OBITUARY_END_MAX (2 * (LOG_QUOTE_MAX + 32) + 384)
const char *obituary_print_end(const struct obituary *obituary, const struct herd *herd,
                               const struct seat *seat, char out[OBITUARY_END_MAX]);

/* Behind the lines about its death: writes its last words, adds its counters to the totals, and has
 * its backtrace told. */
void obituary_close(const struct obituary *obituary, struct herd *herd, const struct seat *seat);

#endif
