/* A server under constant load, to which things are done again and again: the tests of what
 * operators do all day. It serves tests/apps/churn.c on a TCP and a unix socket; two loads that
 * check every octet go on from churn_begin() to churn_end(), which fails the test when one request
 * failed, or came twice, or when the access log tells another number of requests than the clients.
 *
 * REMUDA_TEST_LONG=1 makes these tests as long as the promises (tests/soak), with wrk beside. */
#ifndef REMUDA_TESTS_HARNESS_CHURN_H
#define REMUDA_TESTS_HARNESS_CHURN_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/harness/load.h"
#include "tests/harness/server.h"
#include "tests/harness/wrk.h"

#define CHURN_LOADS 2 /* on TCP, on a unix socket */

struct churn {
    struct server *s;
    const char *what; /* for messages and the table of tests/soak */
    const char *worker_class;
    unsigned times; /* done so far, of what is counted */
    uint64_t begun_us;
    struct load *loads[CHURN_LOADS];
    struct wrk wrk;
};

/* Starts the server and the loads, and waits until they are answered.
 * yaml  further lines of its configuration, which may be rewritten with churn_configure() */
void churn_begin(struct churn *c, const char *what, const char *worker_class, const char *yaml);

/* Writes the configuration anew, for the next reload. */
void churn_configure(struct churn *c, const char *yaml);

/* Waits until both loads had so many more answers. */
void churn_wait_answers(struct churn *c, unsigned long more);

/* Waits until the server has that many web workers, and nobody who leaves. */
void churn_wait_workers(struct churn *c, unsigned n);

/* Ends the loads, stops the server, judges, and prints a row of the table. */
void churn_end(struct churn *c);

#endif
