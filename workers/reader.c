/* Process: the reader, a child of a coroner or a tracer. */
#include "workers/reader.h"

#include <sys/resource.h>

#include "base/err.h"
#include "ipc/spawn.h"
#include "workers/privileges.h"
#include "workers/symbols.h"

#define CPU_S 5                      /* as READER_US, should whoever waits be gone or patient */
#define BYTES (512U * 1024U * 1024U) /* debug information of a large app, unpacked */
#define NICE 10 /* as a compute worker: a crash loop must not take the CPU of who serves */

int reader_begin(const struct heritage *heritage)
{
    struct err err;
    struct rlimit cpu = {CPU_S, CPU_S};
    struct rlimit data = {BYTES, BYTES};
    struct rlimit core = {0, 0};
    (void)setpriority(PRIO_PROCESS, 0, NICE);
    (void)setrlimit(RLIMIT_CPU, &cpu);
    (void)setrlimit(RLIMIT_CORE, &core);
    if (sizeof REMUDA_SANITIZE == 1) /* they map terabytes */
        (void)setrlimit(RLIMIT_DATA, &data);
    int rc = privileges_drop(heritage->settings, &err);
    if (rc == 0)
        rc = symbols_open();
    if (rc == 0)
        spawn_bind_life(heritage->master_pid);
    return rc;
}
