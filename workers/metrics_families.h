/* The families of metrics, one after the other: THE list of what there is, with its help. */
#ifndef REMUDA_WORKERS_METRICS_FAMILIES_H
#define REMUDA_WORKERS_METRICS_FAMILIES_H

#include "workers/exposition.h"
#include "workers/metrics.h"

void metrics_families_write(const struct metrics *m, struct exposition *e);

#endif
