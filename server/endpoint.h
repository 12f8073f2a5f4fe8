/* An address that can be listened on: how it is written, and who has it already. */
#ifndef REMUDA_SERVER_ENDPOINT_H
#define REMUDA_SERVER_ENDPOINT_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#define ENDPOINT_TEXT_MAX 160
#define ENDPOINT_NAME_MAX 32

/* As the log has it: "http://127.0.0.1:8000", "http://[::1]:80", "unix:/run/a", "unix:@abstract".
 * Returns  out */
const char *endpoint_print(char out[ENDPOINT_TEXT_MAX], const struct sockaddr_storage *address,
                           socklen_t len);

/* A process that listens somewhere. */
struct endpoint_holder {
    pid_t pid;
    char name[ENDPOINT_NAME_MAX]; /* of its program, made printable */
    bool is_remuda;
};

/* Looks in /proc for the process that listens at an address, or at one that contains it: its
 * topmost one, where parent and children share the socket.
 * Returns  false: nobody, or none that we may know of (another user's)
 * Safe     may take tens of milliseconds on a crowded machine */
bool endpoint_find_holder(const struct sockaddr_storage *address, struct endpoint_holder *out);

/* What a descriptor is instead of a stream socket of ours that listens: "a FIFO", "not open".
 * Returns  static text; NULL: it is one */
const char *endpoint_find_fault(int fd);

#endif
