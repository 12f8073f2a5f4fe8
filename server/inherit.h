/* Listening sockets that this process was started with, instead of making them: by systemd (socket
 * activation, sd_listen_fds(3)), or by the master whose successor it is (server/upgrade.h). What
 * stands in the environment about them is read once, checked against the descriptors themselves,
 * and taken out. */
#ifndef REMUDA_SERVER_INHERIT_H
#define REMUDA_SERVER_INHERIT_H

#include <stdint.h>

#include "server/handover.h"
#include "server/listen.h"

struct err;
struct settings;

#define INHERIT_MAX 4096 /* sockets of systemd's */

enum inherit_from { INHERIT_NONE, INHERIT_SYSTEMD, INHERIT_MASTER };

struct inherit {
    enum inherit_from from;
    struct listen_set set;    /* what was passed; empty once it is used */
    struct listen_set admin;  /* the same of the admin process (server/admins.h) */
    struct handover handover; /* from a master; its talk_fd is the caller's to close */
};

/* Reads the environment.
 * Returns  0, also when nothing was passed; -errno, *err: what was passed is no good
 * Safe     once, before anything opens descriptors */
int inherit_take(struct inherit *out, struct err *err) __attribute__((warn_unused_result));

/* Closes what was not used. */
void inherit_fini(struct inherit *in);

/* What to listen on. Systemd's sockets where there are any, in place of `bind`: they are shared by
 * all workers, belong to systemd and are never unlinked. Else what the settings name: with the old
 * master's sockets for it, where this is a successor, and new ones for the rest; addresses of the
 * old master that the settings do not name are marked as leaving. See listen_open().
 * n_slots  sockets for each TCP address; as many as were passed, where some were
 * Returns  0; -errno, *err */
int inherit_listen(struct inherit *in, const struct settings *settings, uint32_t n_slots,
                   struct listen_set *out, struct err *err) __attribute__((warn_unused_result));

#endif
