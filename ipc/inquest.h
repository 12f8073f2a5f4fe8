/* What the master hands a coroner: one death. By fork, so it is plain memory. */
#ifndef REMUDA_IPC_INQUEST_H
#define REMUDA_IPC_INQUEST_H

#include <stdint.h>
#include <sys/types.h>

#include "ipc/remains.h"
#include "ipc/role.h"

struct inquest {
    struct remains *remains; /* a private copy, checked; kind NONE: it left nothing but log lines */
    enum role role;
    pid_t pid;
};

#endif
