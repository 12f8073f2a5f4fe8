/* The inbox of a desk: where compute workers reply. It has two places. The first goes with each
 * task; the second is one that was left for another, because somebody writes there who should not,
 * and is read until all who were given it have had their last word. */
#ifndef REMUDA_WORKERS_DESK_INBOX_H
#define REMUDA_WORKERS_DESK_INBOX_H

#include "workers/desk.h"

struct err;

/* Returns 0; -errno, *err. desk_inbox_close() in either case */
int desk_inbox_open(struct desk *d, struct err *err) __attribute__((warn_unused_result));
void desk_inbox_close(struct desk *d);

/* Another one, where there is none: d->inbox_fd is -1. Returns 0; -errno: there still is none */
int desk_inbox_renew(struct desk *d);

/* Tasks that go out from now on reply to another one. Nothing is lost, and nothing happens while
 * there is one that was left already. */
void desk_inbox_leave(struct desk *d);

/* The one that was left is closed, when no reply is awaited there. */
void desk_inbox_settle(struct desk *d);

/* Somebody has shut it: tasks that were to reply there can't, and are given up. The first is
 * renewed, if one can be had; else it is tried again later. is_left: it is the second */
void desk_inbox_fail(struct desk *d, bool is_left);

#endif
