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
#include "server/pools.h"

#define RESERVE 64U /* of each process: log, channel, epoll, event descriptors, the app's own */
#define HOW_TO_RAISE                                                                               \
    "raise it (`ulimit -n`; LimitNOFILE= of a systemd unit; --ulimit nofile= of a container)"

/* Descriptors, for each use. */
struct need {
    rlim_t listeners; /* of a worker that covers all others */
    rlim_t worker;    /* connections, listeners, reserve */
    rlim_t master;
    rlim_t wanted; /* room for files and threads beside all connections, or for what tasks carry */
};

/* Those that there may come to be. */
static rlim_t most_workers(const struct settings *s)
{
    return s->adaptive && s->workers.max > s->workers.n ? s->workers.max : s->workers.n;
}

/* Each of the io lane may keep one open, to measure by; a worker whose threads get none goes on. */
static rlim_t most_threads(const struct settings *s)
{
    if (s->worker_class == WORKER_CLASS_SYNC)
        return 0;
    return s->adaptive && s->threads.max > s->threads.n ? s->threads.max : s->threads.n;
}

static struct need need_of(const struct settings *s, uint32_t n_master)
{
    struct need need = {.listeners = (rlim_t)s->bind.n * most_workers(s),
                        .master = (rlim_t)n_master + RESERVE};
    need.worker = s->worker_connections + need.listeners + RESERVE;
    need.wanted = need.worker + s->worker_connections + most_threads(s);
    if (need.wanted < need.master)
        need.wanted = need.master;
    if (need.wanted < pools_count_in_flight(s))
        need.wanted = pools_count_in_flight(s);
    return need;
}

void nofile_count(const struct settings *settings, uint64_t *out_needed, uint64_t *out_wanted)
{
    struct need need = need_of(settings, 0);
    *out_needed = need.worker;
    *out_wanted = need.wanted;
}

/* Raises the limit as far as it goes, `wanted` at most. Returns what it is then */
static rlim_t raise_to(rlim_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return wanted; /* nothing to raise, or nothing known about it */
    struct rlimit higher = {.rlim_cur = wanted, .rlim_max = limit.rlim_max};
    if (higher.rlim_max < wanted)
        higher.rlim_max = wanted; /* takes CAP_SYS_RESOURCE */
    if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
        return wanted;
    higher = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
        return limit.rlim_max;
    return limit.rlim_cur;
}

static int refuse_master(rlim_t have, const struct need *need, struct err *err)
{
    return err_set(err, EMFILE,
                   "the limit on open files is %" PRIu64 ", but so many workers and binds take "
                   "%" PRIu64 " in the master: " HOW_TO_RAISE,
                   (uint64_t)have, (uint64_t)need->master);
}

static int refuse_worker(const struct settings *s, rlim_t have, const struct need *need,
                         struct err *err)
{
    return err_set(err, EMFILE,
                   "the limit on open files is %" PRIu64 ", but a worker takes %" PRIu64
                   " (worker_connections: %" PRIu32 ", listening sockets: %" PRIu64
                   ", reserve: %u): " HOW_TO_RAISE ", or lower worker_connections",
                   (uint64_t)have, (uint64_t)need->worker, s->worker_connections,
                   (uint64_t)need->listeners, RESERVE);
}

int nofile_raise(struct settings *settings, uint32_t n_master, struct err *err)
{
    struct need need = need_of(settings, n_master);
    rlim_t have = raise_to(need.wanted);
    if (have < need.master)
        return refuse_master(have, &need, err);
    if (have < need.worker && (settings->strict || have < need.listeners + 2 * (rlim_t)RESERVE))
        return refuse_worker(settings, have, &need, err);
    if (have < need.worker) {
        uint32_t before = settings->worker_connections;
        settings->worker_connections = (uint32_t)(have - need.listeners - RESERVE);
        log_warn("worker_connections lowered",
                 "limit_nofile=%" PRIu64 " needed=%" PRIu64 " configured=%" PRIu32 " now=%" PRIu32
                 " does=\"" HOW_TO_RAISE "\"",
                 (uint64_t)have, (uint64_t)need.worker, before, settings->worker_connections);
    } else if (have < need.wanted) {
        log_info("few open files left for spool files and files that are sent",
                 "limit_nofile=%" PRIu64 " connections=%" PRIu32 " left=%" PRIu64, (uint64_t)have,
                 settings->worker_connections, (uint64_t)(have - need.worker));
    }
    return 0;
}
