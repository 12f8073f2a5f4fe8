/* wrk beside a test, where it is installed: a load that this project did not write. */
#ifndef REMUDA_TESTS_HARNESS_WRK_H
#define REMUDA_TESTS_HARNESS_WRK_H

#include <stdbool.h>
#include <sys/types.h>

struct wrk {
    pid_t pid; /* 0: it does not run */
    int out_fd;
};

struct wrk_result {
    bool has_run;
    unsigned long requests;
    unsigned long
        errors;      /* connects, reads, writes and time-outs that failed, and answers that were
                           * neither 2xx nor 3xx */
    char first[256]; /* its own line about them; "" */
};

/* Starts it with 8 connections, until wrk_stop(). Does nothing where it isn't installed. */
void wrk_start(struct wrk *w, const char *address, const char *target);

/* Ends it and reads what it has counted. */
struct wrk_result wrk_stop(struct wrk *w);

#endif
