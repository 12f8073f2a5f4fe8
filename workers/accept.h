/* Taking a connection out of a listening socket's queue, and what there may be instead: web workers
 * of every class ask alike, and differ in what they do then. */
#ifndef REMUDA_WORKERS_ACCEPT_H
#define REMUDA_WORKERS_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum accept_outcome {
    ACCEPT_CLIENT, /* one */
    ACCEPT_GONE,   /* one that is gone already: the next may be well */
    ACCEPT_EMPTY,  /* nobody waits, or another worker was faster */
    ACCEPT_SHORT,  /* somebody waits, and this process may open no more descriptors; errno */
    ACCEPT_FAILED  /* nothing can be accepted now: memory ran out, or the like; errno */
};

/* Takes one, never waiting. *out_fd, with ACCEPT_CLIENT: its descriptor, non-blocking. */
enum accept_outcome accept_take(int fd, int *out_fd, struct sockaddr_storage *out_address)
    __attribute__((warn_unused_result));

/* Does somebody wait there? One system call, no descriptor. Always true of one that is shut. */
bool accept_is_waiting(int fd);

/* The master has shut the socket, as it does with unix sockets in a stop (server/listen.h): no use
 * in waiting for more, and no way to do so without spinning, since they count as readable. */
bool accept_is_shut(int fd);

/* A line for the log, at most once in a minute: this worker may open no more descriptors.
 * error  of what was tried; now_us: the clock */
void accept_log_short(int error, uint64_t now_us);

#endif
