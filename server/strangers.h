/* Children of the master that sit in no seat: what app code forked and left behind. */
#ifndef REMUDA_SERVER_STRANGERS_H
#define REMUDA_SERVER_STRANGERS_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether pid is a child of this process, alive or not yet reaped. Safe to ask about any number. */
bool strangers_is_child(pid_t pid);

/* A child that is neither killed nor taken for one that could sit in a seat: the new master of an
 * upgrade. 0: none */
void strangers_spare(pid_t pid);

/* Kills every child that is not one of ours. Whom those leave behind comes to us when they die, and
 * is for the next call. However many there are, nothing is allocated.
 * Returns  how many; -errno: they can't be listed now */
int strangers_kill(bool (*is_ours)(const void *context, pid_t pid), const void *context);

/* Reads numbers with anything between them, as many as there are, from a descriptor.
 * Returns  0; -errno of read(2) */
int strangers_read(int fd, void (*on_pid)(void *context, pid_t pid), void *context);

/* Kills and reaps every child there is. Only when no seat is taken any more.
 * Returns  how many there were, the spared one not counted */
unsigned strangers_kill_all(void);

#endif
