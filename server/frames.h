/* Hearing what processes say over their channels. */
#ifndef REMUDA_SERVER_FRAMES_H
#define REMUDA_SERVER_FRAMES_H

#include "server/herd.h"

/* Reads what a seat's occupant has said, up to a limit, and has follow what follows; a channel that
 * has ended is closed. The seat may be free afterwards. */
void frames_hear(struct herd *herd, struct seat *seat);

#endif
