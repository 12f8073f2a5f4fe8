/* A service manager, as far as sd_notify(3) goes: a socket to which servers speak. */
#ifndef REMUDA_TESTS_HARNESS_MANAGER_H
#define REMUDA_TESTS_HARNESS_MANAGER_H

#include <sys/types.h>

#include "tests/harness/server.h"

struct manager {
    int fd;
    char variable[128]; /* "NOTIFY_SOCKET=…", for the server's environment */
    char text[4096];    /* the latest message */
    pid_t from;         /* its sender */
    unsigned n;         /* messages until now */
};

/* Listens in the server's folder, which must exist already (server_new()). */
void manager_open(struct manager *m, const struct server *s);
void manager_close(struct manager *m);

/* Reads messages until one has this line; fails the test at the deadline.
 * Returns  that message, valid until the next */
const char *manager_wait(struct manager *m, const char *line);

/* Reads all that has come and counts the messages with this line. */
unsigned manager_count(struct manager *m, const char *line);

#endif
