/* What ps(1) and top(1) show of this process: "remuda: web worker 2 gen 7 [shop] (busy)". The title
 * lies where the kernel keeps the command line, so that changing it is a store to memory and no
 * system call, and showing busy or idle costs a request two of them. */
#ifndef REMUDA_BASE_TITLE_H
#define REMUDA_BASE_TITLE_H

#include <string.h>

#include "base/str.h"

/* Takes the memory of the command line and of the environment behind it for titles, and moves both
 * to the heap, environ included. Once, at the top of main(); nothing is shown yet.
 * Returns  the arguments, to be used from now on; argv itself when memory is refused or the two do
 *          not lie as the kernel puts them: then titles are set in vain */
char **title_take(int argc, char **argv) __attribute__((warn_unused_result));

#define TITLE_IDLE "idle" /* the state that title_mark() changes to "busy" and back */

/* "remuda: FORMAT [NAME] (STATE)", cut where the room ends.
 * name   "" for none
 * state  in parentheses; NULL: none */
void title_set(const char *name, const char *state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The short name of this process, threads that it starts later inherit it: "remuda-web".
 * comm  at most 15 bytes (prctl(2), PR_SET_NAME) */
void title_set_comm(const char *comm);

extern char *title_state_at; /* where "idle" stands in the title; else somewhere harmless */

/* Shows that this process is busy, or idle. Nothing when its title has no such state. */
static inline void title_mark(bool is_busy)
{
    memcpy(title_state_at, is_busy ? "busy" : TITLE_IDLE, 4);
}

/* Puts text behind the state, "(busy GET /path)", or takes it away again. Bytes that are not
 * printable ASCII become "?".
 * a, b  two words; both empty: none */
void title_set_detail(struct str a, struct str b);

#endif
