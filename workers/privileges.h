/* Giving up what a worker must not have, once, before any application code runs. */
#ifndef REMUDA_WORKERS_PRIVILEGES_H
#define REMUDA_WORKERS_PRIVILEGES_H

struct err;
struct settings;

/* Becomes settings->user and group (names or ids) for good: supplementary groups, group, user;
 * gives up all capabilities and what no_new_privs forbids, as the settings say. Checks that there
 * is no way back, and says in the debug log what the kernel now says.
 * Returns  0; -errno, *err */
int privileges_drop(const struct settings *settings, struct err *err)
    __attribute__((warn_unused_result));

#endif
