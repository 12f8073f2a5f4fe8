/* USR1: log files are opened anew, after somebody (logrotate) has moved the old ones away. */
#ifndef REMUDA_SERVER_REOPEN_H
#define REMUDA_SERVER_REOPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/msg.h"
#include "server/herd.h"

struct settings;

struct reopen {
    uint64_t since_us; /* when the latest began that somebody has not obeyed yet; 0: all have */
    uint64_t retry_us; /* a channel was full: try again then; SEAT_NEVER: none was */
};

/* Opens the log files of this process anew, under the numbers that they have. A file that can't be
 * opened is logged, and the old one stays.
 * Returns  how many were reopened; 0 also when no log is a file */
unsigned reopen_files(const struct settings *settings, int log_fd, int access_fd);

/* The same for the whole herd: this process first; the others get the descriptors from
 * reopen_tell(). */
void reopen_logs(struct reopen *reopen, struct herd *herd);

/* Sends the log files to each process that does not have the latest ones. At most one such frame is
 * under way to each: a storm of USR1 fills no channel, and leaves everyone with the latest files.
 * When all have obeyed, that is logged: from then on nobody writes to the old files. */
void reopen_tell(struct reopen *reopen, struct herd *herd);

/* A process says that it writes to new files.
 * Returns  false: nobody has sent it any, it broke the protocol */
bool reopen_hear(struct seat *seat, const struct msg *msg);

/* A MSG_LOST of a MSG_LOGS: it is sent again after a while. Returns as reopen_hear() */
bool reopen_hear_lost(struct seat *seat, const struct msg *msg, uint64_t now_us);

/* When reopen_tell() must be called though nothing was heard. SEAT_NEVER: no need. */
uint64_t reopen_next_us(const struct reopen *reopen);

#endif
