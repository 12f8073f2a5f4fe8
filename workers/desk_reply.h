/* Replies of compute workers: answers and streams become those of the exchanges that wait. */
#ifndef REMUDA_WORKERS_DESK_REPLY_H
#define REMUDA_WORKERS_DESK_REPLY_H

#include "workers/desk.h"

/* Takes what is in the inbox, as much of it as others can wait for: who watches it hears again. */
void desk_reply_take(struct desk *d);

/* All of it. */
void desk_reply_take_all(struct desk *d);

#endif
