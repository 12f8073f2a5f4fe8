/* The master process. */
#ifndef REMUDA_SERVER_MASTER_H
#define REMUDA_SERVER_MASTER_H

struct inherit;
struct settings;

/* Binds, forks, watches, and comes back when everything has ended. The log is initialised.
 * settings   complete; worker_connections may be lowered to what the limit on files allows
 * inherit    sockets that were passed to this process; those that are used leave it
 * log_fd     where the log goes, for the children
 * access_fd  access log; -1: none. Both stay the caller's
 * Returns    an exit code, enum cli_exit */
int master_run(struct settings *settings, struct inherit *inherit, int log_fd, int access_fd);

#endif
