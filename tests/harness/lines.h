/* What a server writes: bytes read from a pipe as they come, searched line by line for events of
 * the log ("worker died") and their key=value pairs. */
#ifndef REMUDA_TESTS_HARNESS_LINES_H
#define REMUDA_TESTS_HARNESS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define LINES_LINE_MAX 4200 /* longer than the log's longest line (base/log.h: PIPE_BUF) */

struct lines {
    int fd;          /* -1: end of file was seen */
    struct buf text; /* everything so far; a NUL follows */
    size_t seen;     /* lines before this offset were found by a wait already */
    char line[LINES_LINE_MAX];
};

void lines_init(struct lines *l, int fd);
void lines_fini(struct lines *l);

/* Reads what is there now, without waiting. Returns true when anything came */
bool lines_take(struct lines *l);

/* Waits for the next log line, behind those found before, whose event is `event`: the text behind
 * the line's "…: ", up to a blank or the end. It may go on with pairs: "worker ready slot=1".
 * Returns  the line from its event on, valid until the next search; NULL at the deadline or when
 *          the writers have all closed the pipe */
const char *lines_wait(struct lines *l, const char *event, uint64_t deadline_us);

/* As lines_wait(), for any text within a line; gives the whole line. */
const char *lines_wait_text(struct lines *l, const char *text, uint64_t deadline_us);

/* Among all lines read so far, found before or not: how many have this event; the last of them
 * (NULL: none), valid until the next search. */
unsigned lines_count(struct lines *l, const char *event);
const char *lines_find_last(struct lines *l, const char *event);

/* Reads to the end of file. Returns false when the deadline has passed */
bool lines_finish(struct lines *l, uint64_t deadline_us);

/* Everything so far as a string. */
const char *lines_text(struct lines *l);

/* Value of a pair of a line: "pid" in "worker died slot=3 pid=812" is "812"; quotes are taken off.
 * Returns  false when there is no such pair */
bool lines_pair(const char *line, const char *key, char *out, size_t cap);

/* The same as a number; fails the test when there is none. */
long lines_number(const char *line, const char *key);

#endif
