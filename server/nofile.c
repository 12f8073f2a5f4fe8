/* RLIMIT_NOFILE. Process: master, before the first fork; children inherit it. Login shells usually
 * give 1,024 softly and far more hard, so most of the time this is one quiet call. */
#include "server/nofile.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "base/err.h"
#include "base/log.h"
#include "config/settings.h"

#define RESERVE 64U /* of each process: log, channel, epoll, listeners it covers, the app's own */

static rlim_t raise_to(rlim_t need)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= need)
        return need; /* nothing to raise, or nothing known about it */
    struct rlimit wanted = {.rlim_cur = need, .rlim_max = limit.rlim_max};
    if (wanted.rlim_max < need)
        wanted.rlim_max = need; /* takes CAP_SYS_RESOURCE */
    if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
        return need;
    wanted = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
        return limit.rlim_max;
    return limit.rlim_cur;
}

int nofile_raise(struct settings *settings, uint32_t n_master, struct err *err)
{
    rlim_t need_worker = (rlim_t)settings->worker_connections + RESERVE;
    rlim_t need_master = (rlim_t)n_master + RESERVE;
    rlim_t need = need_worker > need_master ? need_worker : need_master;
    rlim_t have = raise_to(need);
    if (have >= need)
        return 0;
    if (have < need_master)
        return err_set(err, EMFILE,
                       "the limit on open files is %" PRIu64 ", but this many workers and binds "
                       "need %" PRIu64 " in the master: raise `ulimit -n`",
                       (uint64_t)have, (uint64_t)need_master);
    if (settings->strict || have < 2 * (rlim_t)RESERVE)
        return err_set(err, EMFILE,
                       "the limit on open files is %" PRIu64 ", but worker_connections: %" PRIu32
                       " needs %" PRIu64 ": raise `ulimit -n` or lower worker_connections",
                       (uint64_t)have, settings->worker_connections, (uint64_t)need_worker);
    uint32_t before = settings->worker_connections;
    settings->worker_connections = (uint32_t)(have - RESERVE);
    log_warn("worker_connections lowered",
             "limit_nofile=%" PRIu64 " needed=%" PRIu64 " configured=%" PRIu32 " now=%" PRIu32,
             (uint64_t)have, (uint64_t)need_worker, before, settings->worker_connections);
    return 0;
}
