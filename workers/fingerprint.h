/* Requests that have killed two compute workers, as a web worker knows them: by a keyed hash of
 * method, target and body, from the shared table (server/poison.h). */
#ifndef REMUDA_WORKERS_FINGERPRINT_H
#define REMUDA_WORKERS_FINGERPRINT_H

#include <stdint.h>

#include "http/request.h"
#include "ipc/scoreboard.h"
#include "ipc/task.h"

/* Never 0. Reads all of the body */
uint64_t fingerprint_of(const struct scoreboard *board, const struct rmd_request *req);

/* Of what its victims died; 0: it is not poison. Reads the body only where there is any poison. */
enum task_loss fingerprint_look_up(const struct scoreboard *board, const struct rmd_request *req,
                                   uint64_t now_us);

#endif
