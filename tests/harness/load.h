/* Load from a thread beside the test: keep-alive connections that ask again as soon as they have an
 * answer, check every octet of it, and come back when they are cut. Small on purpose: it proves
 * that nobody else is disturbed by a fault, it does not measure. */
#ifndef REMUDA_TESTS_HARNESS_LOAD_H
#define REMUDA_TESTS_HARNESS_LOAD_H

#include <stdbool.h>
#include <sys/types.h>

#define LOAD_BREAKS_MAX 256

struct load;

/* A connection that ended without an orderly answer. */
struct load_break {
    pid_t pid;           /* of the worker that gave its last answer; 0: it never had one */
    unsigned long after; /* answers that all connections together had by then */
};

struct load_result {
    unsigned long answered; /* whole, right answers */
    unsigned long wrong;    /* whole answers that were not as expected */
    unsigned long refused;  /* connects that failed */
    unsigned long broken;   /* connections cut in the middle; the first of them: */
    struct load_break breaks[LOAD_BREAKS_MAX];
    char first_wrong[512]; /* what it was */
};

/* Starts.
 * address   as for client_open(); numeric, TCP or unix
 * count     connections, 1 … 256
 * target    for GET; "/info" also tells which worker answers
 * body      that each answer must have; NULL: not compared, only that it is a 200
 * Returns   handle, never NULL */
struct load *load_start(const char *address, unsigned count, const char *target, const char *body);

/* Waits until that many more answers have come. Fails the test at the deadline. */
void load_wait_answers(struct load *l, unsigned long more);

/* Waits until every connection has had an answer since it was last opened. */
void load_wait_settled(struct load *l);

/* What was counted until now. */
struct load_result load_peek(struct load *l);

/* Ends it and gives the result; the handle is gone. */
struct load_result load_stop(struct load *l);

/* Fails the test unless all was answered, rightly, but connections that a certain worker held:
 * victim 0: none may be broken. */
void load_check(const struct load_result *result, pid_t victim);

/* Ends those that a failed test left running. */
void load_stop_all(void);

#endif
