/* THE table of roles. A new kind of process starts with a row here. */
#include "ipc/role.h"

const struct role_info role_table[ROLE_COUNT] = {
    [ROLE_MASTER] = {"master", "master", 0, 0,
                     "TERM graceful; INT QUIT quick; USR1 reopens logs; "
                     "HUP reloads; USR2 upgrades"},
    [ROLE_LOADER] = {"loader", "loader", 0, 0, "none but KILL: it ends with its channel"},
    [ROLE_WEB] = {"web", "web worker", 1, 1, "TERM drain; ABRT from the watchdog"},
    [ROLE_COMPUTE] = {"compute", "compute worker", 1, 0,
                      "TERM ends after its task; ABRT from the watchdog"},
    [ROLE_SINGLE] = {"single", "single process", 0, 1,
                     "TERM graceful; INT QUIT quick; USR1 reopens logs"},
    [ROLE_TRACER] = {"tracer", "tracer", 0, 0, "none but KILL: it ends by itself"},
    [ROLE_CORONER] = {"coroner", "coroner", 0, 0, "none but KILL: it ends by itself"},
    [ROLE_ADMIN] = {"admin", "admin process", 1, 0, "TERM ends, to be replaced"},
};
