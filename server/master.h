/* The master process. */
#ifndef REMUDA_SERVER_MASTER_H
#define REMUDA_SERVER_MASTER_H

struct control_path;
struct inherit;
struct origin;
struct settings;

struct master_start {
    struct inherit *inherit; /* sockets that were passed to this process; those in use leave it */
    const struct origin *origin;        /* what a reload reads again */
    const struct control_path *control; /* where the control socket may be made */
    int log_fd;                         /* where the log goes, for the children */
    int access_fd; /* access log; -1: none. A reload may put others in place of both and close
                      these; what stands here at the end is the caller's to close */
};

/* Binds, forks, watches, and comes back when everything has ended. The log is initialised.
 * settings   complete, the caller's; worker_connections may be lowered to what the limit on files
 *            allows
 * Returns    an exit code, enum cli_exit */
int master_run(struct settings *settings, struct master_start *start);

#endif
