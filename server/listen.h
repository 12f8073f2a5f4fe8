/* Listening sockets: made here, owned by the master, lent to workers. TCP addresses get one
 * SO_REUSEPORT socket for each slot; a unix socket is one that all slots share. */
#ifndef REMUDA_SERVER_LISTEN_H
#define REMUDA_SERVER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/settings.h"
#include "server/endpoint.h"

struct err;

/* One socket. Its index in the set is its id in MSG_LISTEN. */
struct listener {
    int fd;
    int slot;        /* whose it is; -1: shared by all */
    uint32_t origin; /* index of the address in listen_set.addresses */
};

/* One address that is listened on, for the log and for cleaning up. */
struct listen_address {
    char text[ENDPOINT_TEXT_MAX]; /* "http://127.0.0.1:8000", "unix:/run/a" */
    const char *path; /* unix: in the file system, borrowed from the settings; else NULL */
    dev_t device;     /* unix: of the socket's file as it was made */
    ino_t inode;
};

struct listen_set {
    struct listener *items; /* n */
    uint32_t n;
    struct listen_address *addresses; /* n_addresses */
    uint32_t n_addresses;
};

/* Binds everything that the settings name. What fails closes all again.
 * n_slots  sockets for each TCP address, ≥ 1
 * Returns  0; -errno, *err is a sentence for the user. Logs addresses that were skipped */
int listen_open(const struct settings *settings, uint32_t n_slots, struct listen_set *out,
                struct err *err) __attribute__((warn_unused_result));

/* Before a graceful stop: has the kernel drop the first packet of each new connection, while those
 * that are under way still arrive. A client that was dropped tries again after a second and finds
 * the port closed, which it can tell from a request that got lost. A unix socket is shut: connects
 * are refused at once, those in its queue can still be accepted (seen; unix(7) is silent). */
void listen_refuse_new(const struct listen_set *set);

/* Closes all sockets and unlinks the files of unix sockets that are still ours. Twice is fine. */
void listen_close(struct listen_set *set);

#endif
