/* May this server be sent requests, and is its process well? As a pure function of what is seen. */
#ifndef REMUDA_WORKERS_READINESS_H
#define REMUDA_WORKERS_READINESS_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/scoreboard.h"

#define READINESS_HUNG_US UINT64_C(1000000) /* a heartbeat is so old: twice what is usual */

struct readiness_view {
    enum board_stage stage;
    uint32_t wanted;           /* web workers that there should be */
    uint32_t ready;            /* that are, and whose hearts beat */
    uint32_t hung;             /* that were, and whose don't */
    uint64_t master_silent_us; /* since the master's last turn */
};

/* Returns  why it may not, static text; NULL: it may */
const char *readiness_judge(const struct readiness_view *view);

/* A heartbeat, which may be nonsense, or of a moment ago and so of the future. */
bool readiness_is_hung(uint64_t heartbeat_us, uint64_t now_us);

#endif
