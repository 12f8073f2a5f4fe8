/* What a master passes to its successor (server/upgrade.h): listening sockets by number and slot,
 * and how to talk to it, as the text of one environment variable. */
#ifndef REMUDA_SERVER_HANDOVER_H
#define REMUDA_SERVER_HANDOVER_H

#include <stdbool.h>
#include <sys/types.h>

struct err;
struct listen_set;

#define HANDOVER_VARIABLE "REMUDA_UPGRADE"

struct handover {
    pid_t from;     /* the master that passes them */
    int talk_fd;    /* SOCK_SEQPACKET to it, see server/successor.h */
    int generation; /* the last number that it gave out; the successor goes on with the next */
};

/* Writes "NAME=value" for the environment. Addresses that leave, and free entries, are not in it.
 * admin    sockets of the admin process; may be empty
 * Returns  own heap; NULL, *err */
char *handover_print(const struct handover *about, const struct listen_set *set,
                     const struct listen_set *admin, struct err *err)
    __attribute__((warn_unused_result));

/* Reads it. Every descriptor must be a stream socket that listens, and on the address that is
 * stated; they are close-on-exec afterwards.
 * Returns  0, both sets to be given to listen_close(); -errno, *err; then nothing is owned */
int handover_parse(const char *text, struct handover *out, struct listen_set *out_set,
                   struct listen_set *out_admin, struct err *err)
    __attribute__((warn_unused_result));

#endif
