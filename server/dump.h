/* `remuda dump`: all that can be seen of the server at one moment, as text. */
#ifndef REMUDA_SERVER_DUMP_H
#define REMUDA_SERVER_DUMP_H

struct err;
struct herd;
struct status_about;

/* Asks workers for what only they know, and starts a process that gathers everything and writes it
 * to a client of the control socket: one line of JSON as an answer, then text, whose last line is
 * DUMP_END. Serving goes on; each thread stands still for the moment in which it is looked at.
 * client_fd  borrowed
 * Returns    0: that process has the client's ear; -EBUSY one is under way; -errno, *err */
int dump_send(struct herd *herd, const struct status_about *about, int client_fd, struct err *err)
    __attribute__((warn_unused_result));

#define DUMP_END "== end"

#endif
