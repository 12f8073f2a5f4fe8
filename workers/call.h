/* One call of a task of the app, as the app holds it: inside a compute worker. */
#ifndef REMUDA_WORKERS_CALL_H
#define REMUDA_WORKERS_CALL_H

#include "base/arena.h"
#include "base/str.h"
#include "include/remuda.h"
#include "ipc/task.h"

struct rmd_call {
    struct arena *arena;
    const struct task_record *record;
    const struct task *task;
    struct str result;
};

#endif
