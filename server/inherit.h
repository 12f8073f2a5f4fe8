/* Listening sockets that this process was started with, instead of making them: by systemd (socket
 * activation, sd_listen_fds(3)), or by a master whose successor it is (server/upgrade.h). What
 * stands in the environment about them is read once, checked against the descriptors themselves,
 * and taken out. */
#ifndef REMUDA_SERVER_INHERIT_H
#define REMUDA_SERVER_INHERIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct err;
struct listen_set;
struct settings;

#define INHERIT_MAX 8192 /* sockets; 512 workers and 16 binds */

enum inherit_from { INHERIT_NONE, INHERIT_SYSTEMD, INHERIT_MASTER };

struct inherited {
    int fd;           /* close-on-exec and non-blocking by now; -1: adopted by somebody */
    int slot;         /* whose it was; -1: shared by all */
    const char *name; /* systemd: its FileDescriptorName=, or ""; master: text of its bind */
    struct sockaddr_storage address; /* as getsockname(2) has it */
    socklen_t address_len;
};

struct inherit {
    enum inherit_from from;
    struct inherited *items; /* n */
    uint32_t n;
    char *text; /* memory of the names */
};

/* Reads the environment.
 * Returns  0, also when nothing was passed; -errno, *err: what was passed is no good
 * Safe     once, before anything opens descriptors */
int inherit_take(struct inherit *out, struct err *err) __attribute__((warn_unused_result));

/* Closes what nobody adopted. */
void inherit_fini(struct inherit *in);

/* What to listen on: systemd's sockets where there are any, in place of `bind`; else what the
 * settings name, see listen_open(). Systemd's are shared by all workers, belong to systemd and are
 * never unlinked. What is used leaves `in`.
 * Returns  0; -errno, *err */
int inherit_listen(struct inherit *in, const struct settings *settings, uint32_t n_slots,
                   struct listen_set *out, struct err *err) __attribute__((warn_unused_result));

#endif
