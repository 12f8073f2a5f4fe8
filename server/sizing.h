/* What of the machine is granted, and who says so, in the log: at the start, and at a reload that
 * finds it changed. The numbers themselves are made by config/machine.h, and all that follows from
 * them is shown by `remuda config --why`. */
#ifndef REMUDA_SERVER_SIZING_H
#define REMUDA_SERVER_SIZING_H

#include "server/pools.h"

struct err;
struct settings;

/* Logs CPUs and memory with their sources.
 * before  of the generation that serves; then nothing is said when both are as they were. NULL:
 *         there is none */
void sizing_tell(const struct settings *settings, const struct settings *before, int generation);

/* Holds what the pools in use may need against the memory there is, where nobody has chosen any of
 * it: what was chosen, `remuda check` has told already, but it knows of no app whether it computes
 * at all.
 * Returns  0, perhaps with a warning in the log; -ENOMEM under `strict`, *err has both numbers */
int sizing_check_pools(const struct pools *pools, const struct settings *settings, struct err *err)
    __attribute__((warn_unused_result));

#endif
