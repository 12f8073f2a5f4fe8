/* The master process. */
#ifndef REMUDA_SERVER_MASTER_H
#define REMUDA_SERVER_MASTER_H

struct control_path;
struct inherit;
struct settings;

struct master_start {
    struct inherit *inherit; /* sockets that were passed to this process; those in use leave it */
    const struct control_path *control; /* where the control socket may be made */
    int log_fd;                         /* where the log goes, for the children */
    int access_fd;                      /* access log; -1: none. Both stay the caller's */
};

/* Binds, forks, watches, and comes back when everything has ended. The log is initialised.
 * settings   complete; worker_connections may be lowered to what the limit on files allows
 * Returns    an exit code, enum cli_exit */
int master_run(struct settings *settings, const struct master_start *start);

#endif
