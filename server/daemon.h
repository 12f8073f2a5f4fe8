/* `daemon`: the server in the background. Whoever started it waits until it is ready, and gets the
 * exit code and the reason when it never is. */
#ifndef REMUDA_SERVER_DAEMON_H
#define REMUDA_SERVER_DAEMON_H

struct err;

/* Goes on in a new process without a terminal, in a session of its own, with standard streams that
 * lead nowhere; working directory and umask stay. The process that called waits for what the new
 * one has to tell.
 * out_code  in the one that called: what to exit with; the reason has been printed
 * Returns   0 in the new process; 1 in the one that called; -errno, *err: there is no new one
 * Safe      single-threaded, before logs and sockets are opened (locks are not inherited) */
int daemon_start(int *out_code, struct err *err) __attribute__((warn_unused_result));

/* What the one that waits is told; once, what comes later is not. Nothing where nobody waits. */
void daemon_ready(void);

/* code  an exit code, enum cli_exit
 * why   a line for people */
void daemon_fail(int code, const char *why);

#endif
