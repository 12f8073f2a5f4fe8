/* Load from a thread beside the test: connections that ask, check every octet of the answers, and
 * come back when they were closed. It proves that nobody else is disturbed by what a test does; it
 * does not measure. The plain load asks for one target without a pause; the mixed load behaves as
 * many kinds of clients at once do (enum load_manner), and asks for what tests/apps/churn.c has.
 *
 * What counts as what, for a connection that ends:
 *   an answer said `Connection: close`  as it should be; requests that were pipelined behind that
 *                                       one are put back, as RFC 9112 §9.6 has it
 *   no request under way                parted: a client with eyes notices, and opens another
 *   the end came before the request     raced: nobody can answer a request that meets the end of
 *                                       its connection on the way (RFC 9110 §9.2.2)
 *   anything else                       broken: a request was lost, or a part of its answer */
#ifndef REMUDA_TESTS_HARNESS_LOAD_H
#define REMUDA_TESTS_HARNESS_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/harness/ask.h"

#define LOAD_BREAKS_MAX 4096

struct load;

/* Connection i of a mixed load has manner i % LOAD_MANNERS. */
enum load_manner {
    LOAD_STEADY,   /* keep-alive */
    LOAD_CLOSING,  /* a connection for each request */
    LOAD_RESTING,  /* keep-alive, with long pauses */
    LOAD_BURSTING, /* several requests at once */
    LOAD_CRAWLING, /* a request in two pieces, with a pause in between */
    LOAD_MANNERS
};

/* A connection that ended without an orderly answer. */
struct load_break {
    pid_t pid;           /* of the worker that gave its last answer; 0: it never had one */
    unsigned long after; /* answers that all connections together had by then */
    uint64_t opened_us, broken_us; /* monotonic; before the connect, and after the end was seen */
    enum load_manner manner;
    enum ask_kind kind; /* of the request that was lost */
    unsigned answers;   /* that the connection had had */
    bool is_truncated;  /* a part of the answer had come */
    int code;           /* errno of the end; 0: an orderly one; ETIMEDOUT: none at all came */
};

struct load_result {
    unsigned long answered;  /* whole, right answers */
    unsigned long wrong;     /* answers that were not as they must be */
    unsigned long refused;   /* connects that failed */
    unsigned long broken;    /* connections cut in the middle; the first of them in `breaks` */
    unsigned long truncated; /* of these: within an answer */
    unsigned long unasked;   /* octets that came when nothing was asked: answers given twice */
    unsigned long raced, parted, put_back, opened;
    int generation; /* the newest that has answered */
    struct load_break breaks[LOAD_BREAKS_MAX];
    char first_wrong[1024]; /* what it was */
};

/* A process that a test has killed: who may have been hurt by it. */
struct load_victim {
    pid_t pid;
    uint64_t from_us, until_us; /* monotonic: before the kill; when it was known to be dead */
};

/* Starts.
 * address   as for client_open(); numeric, TCP or unix
 * count     connections, 1 … 256
 * target    for GET; "/info" also tells which worker answers
 * body      that each answer must have; NULL: not compared, only that it is a 200
 * Returns   handle, never NULL */
struct load *load_start(const char *address, unsigned count, const char *target, const char *body);

/* The same with connections that ask once and are closed by the server. They never settle. */
struct load *load_start_closing(const char *address, unsigned count, const char *target,
                                const char *body);

/* Starts a mixed load on tests/apps/churn.c.
 * seed      what is asked and when follows from it
 * pace_us   how long a connection waits after an answer, on average; a resting one 50 times that */
struct load *load_start_mixed(const char *address, unsigned count, uint64_t seed, unsigned pace_us);

/* Waits until that many more answers have come. Fails the test at the deadline. */
void load_wait_answers(struct load *l, unsigned long more);

/* Waits until every connection has had an answer since it was last opened. */
void load_wait_settled(struct load *l);

/* Waits until answers of that generation, or of a later one, have come. */
void load_wait_generation(struct load *l, int generation);

/* What was counted until now. */
struct load_result load_peek(struct load *l);

/* Ends it, in the middle of whatever is under way, and gives the result; the handle is gone. */
struct load_result load_stop(struct load *l);

/* The same, but waits for the answers that are owed: every request was answered, or is broken. */
struct load_result load_finish(struct load *l);

/* Adds up what several loads have counted, but for their breaks. */
void load_add(struct load_result *sum, const struct load_result *more);

/* Fails the test unless all was answered, rightly, but connections that a certain worker held:
 * victim 0: none may be broken. */
void load_check(const struct load_result *result, pid_t victim);

/* The same for many who were killed: a connection may break that one of them answered last, or that
 * nobody had answered, when it was open while one of them died. */
void load_check_victims(const struct load_result *result, const struct load_victim *victims,
                        size_t n);

/* Ends those that a failed test left running. */
void load_stop_all(void);

#endif
