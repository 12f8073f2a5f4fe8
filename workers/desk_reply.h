/* Replies of compute workers: answers and streams become those of the exchanges that wait. */
#ifndef REMUDA_WORKERS_DESK_REPLY_H
#define REMUDA_WORKERS_DESK_REPLY_H

#include "workers/desk.h"

/* Takes all that are in the inbox. */
void desk_reply_take(struct desk *d);

/* Opens another inbox; what is out can't reply any more, and is given up. d->inbox_fd -1: none
 * could be had, try again later. */
void desk_reply_renew(struct desk *d);

#endif
