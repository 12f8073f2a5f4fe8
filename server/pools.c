/* Compute pools. Process: master. It keeps both ends of every queue: the end to read from for
 * workers that come later, so that tasks wait in it while there is nobody, and no web worker ever
 * finds a queue that nobody reads. It never reads or writes there itself, but when it moves what
 * waits from a queue that was shut to its successor, unread. */
#include "server/pools.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/check.h"
#include "ipc/breaker.h"
#include "ipc/msg.h"
#include "ipc/segment.h"
#include "server/generation.h"

int pools_init(struct pools *pools, const struct settings *s, uint64_t now_us)
{
    *pools = (struct pools){.n = (uint32_t)s->compute_pools.n, .segment_fd = -1, .breaker_fd = -1};
    for (uint32_t i = 0; i < pools->n; i++) {
        const struct setting_pool *settings = &s->compute_pools.items[i];
        pools->items[i] = (struct pool){.settings = settings,
                                        .n_workers = (uint32_t)settings->workers_min,
                                        .n_min = (uint32_t)settings->workers_min,
                                        .n_max = (uint32_t)settings->workers_max,
                                        .read_fd = -1,
                                        .queue = {.fd = -1}};
        if (settings->segment_bytes > pools->wanted_bytes)
            pools->wanted_bytes = settings->segment_bytes;
    }
    pools->slice_bytes = pools->wanted_bytes;
    for (uint32_t i = 0; i < pools->n; i++) {
        struct pool *pool = &pools->items[i];
        pool->workers = calloc(POOLS_WORKERS_MAX, sizeof *pool->workers);
        if (!pool->workers)
            return -ENOMEM;
        for (uint32_t k = 0; k < POOLS_WORKERS_MAX; k++)
            pool->workers[k] = (struct post){
                .role = ROLE_COMPUTE, .pool = (int)i, .slot = (int)k, .due_us = now_us};
    }
    return 0;
}

static void close_queue(struct pool *pool)
{
    fd_close(&pool->read_fd);
    fd_close(&pool->queue.fd);
}

static void close_shared(struct pools *pools)
{
    fd_close(&pools->segment_fd);
    fd_close(&pools->breaker_fd);
}

void pools_fini(struct pools *pools)
{
    for (uint32_t i = 0; i < pools->n; i++) {
        close_queue(&pools->items[i]);
        free(pools->items[i].workers);
    }
    if (pools->n > 0)
        close_shared(pools);
    *pools = (struct pools){.segment_fd = -1, .breaker_fd = -1};
}

/* ---- in use ---- */

bool pools_is_used(const struct pools *pools, int pool)
{
    return pool >= 0 && (uint32_t)pool < pools->n && pools->items[pool].read_fd >= 0;
}

bool pools_are_used(const struct pools *pools)
{
    return pools->n > 0 && pools->segment_fd >= 0;
}

static int check_workers(const struct pools *pools, uint32_t used, struct err *err)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < pools->n; i++)
        if (used >> i & 1U)
            n += pools->items[i].n_max;
    if (n <= POOLS_WORKERS_MAX)
        return 0;
    return err_set(err, EINVAL,
                   "the compute pools that the app uses have up to %" PRIu64
                   " workers together; allowed: %u. Lower `workers` of some",
                   n, POOLS_WORKERS_MAX);
}

#define CARRIED 2          /* descriptors of a task, at most: inbox and spool file */
#define FOR_MASTER_MAX 256 /* on their way to children that were just made, a guess */

uint64_t pools_count_in_flight(const struct settings *s)
{
    uint64_t n = FOR_MASTER_MAX;
    for (size_t i = 0; i < s->compute_pools.n; i++)
        n += CARRIED * s->compute_pools.items[i].queue;
    return n;
}

/* What its settings say, or its share of what fits below the limit. */
static uint32_t queue_of(const struct pools *pools, const struct pool *pool, uint32_t used)
{
    struct rlimit limit;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < pools->n; i++)
        sum += used >> i & 1U ? CARRIED * pools->items[i].settings->queue : 0;
    uint64_t queue = pool->settings->queue;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= sum + FOR_MASTER_MAX)
        return (uint32_t)queue;
    uint64_t room =
        limit.rlim_cur > 2 * FOR_MASTER_MAX ? limit.rlim_cur - FOR_MASTER_MAX : limit.rlim_cur / 2;
    uint64_t share = queue * room / sum;
    share = share > 0 ? share : 1;
    log_warn("queue shorter than configured",
             "pool=%s queue=%" PRIu64 " configured=%" PRIu64 " limit_nofile=%" PRIu64
             " needed=%" PRIu64 " why=\"tasks that wait carry descriptors (unix(7))\" "
             "does=\"raise the limit on open files, or lower queue\"",
             pool->settings->name, share, queue, (uint64_t)limit.rlim_cur, sum + FOR_MASTER_MAX);
    return (uint32_t)share;
}

static int open_queue(struct pool *pool, uint32_t limit, struct err *err)
{
    int rc = task_open_queue(limit, &pool->read_fd, &pool->queue, err);
    return rc < 0 ? err_wrap(err, "compute pool %s", pool->settings->name) : 0;
}

/* Returns 0; -errno, *err: then nothing of it is there */
static int open_shared(struct pools *pools, uint32_t n_seats, struct err *err)
{
    int rc = segment_fit(n_seats, pools->wanted_bytes, &pools->slice_bytes, err);
    if (rc == 0)
        rc = segment_create(n_seats, pools->slice_bytes, &pools->segment_fd, err);
    if (rc == 0)
        rc = breaker_create(&pools->breaker_fd, err);
    if (rc < 0)
        close_shared(pools);
    return rc;
}

int pools_open(struct pools *pools, uint32_t used, uint32_t n_seats, struct err *err)
{
    uint32_t opened = 0;
    bool is_first = !pools_are_used(pools);
    used &= (UINT32_C(1) << pools->n) - 1;
    for (uint32_t i = 0; i < pools->n; i++)
        used |= (uint32_t)pools_is_used(pools, (int)i) << i;
    int rc = check_workers(pools, used, err);
    if (rc == 0 && used != 0 && pools->segment_fd < 0)
        rc = open_shared(pools, n_seats, err);
    for (uint32_t i = 0; rc == 0 && i < pools->n; i++) {
        if (!(used >> i & 1U) || pools_is_used(pools, (int)i))
            continue;
        rc = open_queue(&pools->items[i], queue_of(pools, &pools->items[i], used), err);
        opened |= UINT32_C(1) << i;
    }
    for (uint32_t i = 0; rc < 0 && i < pools->n; i++)
        if (opened >> i & 1U)
            close_queue(&pools->items[i]);
    if (rc < 0 && is_first)
        close_shared(pools);
    if (rc == 0)
        pools->n_seats = n_seats;
    return rc;
}

/* ---- who gets what ---- */

static int send_queue(const struct pool *pool, int channel_fd, enum role role, int number)
{
    struct msg msg = msg_make(MSG_POOL);
    msg.slot = number;
    msg.about = (int32_t)pool->n_workers;
    msg.value = (int64_t)((uint64_t)pool->queue.charge << 32 | pool->queue.limit);
    const int *fd = role == ROLE_COMPUTE ? &pool->read_fd : &pool->queue.fd;
    return msg_send(channel_fd, &msg, fd, 1);
}

static int send_segment(const struct pools *pools, int channel_fd, enum role role)
{
    const int fds[] = {pools->segment_fd, pools->breaker_fd};
    struct msg segment = msg_make(MSG_SEGMENT);
    segment.value = (int64_t)pools->slice_bytes;
    segment.about = (int32_t)pools->n_seats;
    return msg_send(channel_fd, &segment, fds, role == ROLE_WEB ? 2 : 1);
}

static int send_queues(const struct pools *pools, int channel_fd, enum role role, int pool)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < pools->n; i++)
        if (pools_is_used(pools, (int)i) && (role == ROLE_WEB || pool == (int)i))
            rc = send_queue(&pools->items[i], channel_fd, role, (int)i);
    return rc;
}

int pools_send(const struct pools *pools, int channel_fd, enum role role, int pool)
{
    if (!pools_are_used(pools))
        return 0;
    int rc = send_segment(pools, channel_fd, role);
    return rc < 0 ? rc : send_queues(pools, channel_fd, role, pool);
}

int pools_send_again(const struct pools *pools, int channel_fd, bool is_all)
{
    if (is_all)
        return pools_send(pools, channel_fd, ROLE_WEB, -1);
    return send_queues(pools, channel_fd, ROLE_WEB, -1);
}

/* Our end to write to was never for reading, so with the other direction gone it is hung up. */
static bool is_shut(const struct pool *pool)
{
    struct pollfd end = {.fd = pool->queue.fd, .events = POLLOUT};
    return poll(&end, 1, 0) == 1 && (end.revents & (POLLHUP | POLLERR)) != 0;
}

int pools_mend(struct pools *pools, int number, struct pools_mended *out, struct err *err)
{
    if (!pools_is_used(pools, number) || !is_shut(&pools->items[number]))
        return 0;
    struct pool *pool = &pools->items[number];
    struct pool fresh = *pool;
    int rc = open_queue(&fresh, pool->queue.limit, err);
    if (rc < 0)
        return rc;
    out->moved = task_move_all(pool->read_fd, &fresh.queue, &out->lost);
    close_queue(pool);
    *pool = fresh; /* commit */
    return 1;
}

struct post *pools_find_post(const struct pools *pools, const struct seat *seat)
{
    if (seat->role != ROLE_COMPUTE || seat->pool < 0 || (uint32_t)seat->pool >= pools->n)
        return NULL;
    const struct pool *pool = &pools->items[seat->pool];
    if (seat->slot < 0 || (uint32_t)seat->slot >= pool->n_workers)
        return NULL;
    struct post *post = &pool->workers[seat->slot];
    return post->seat == seat || post->next == seat ? post : NULL;
}

uint32_t pools_count_ready_of(const struct pool *pool)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < pool->n_workers; i++)
        n += pool->workers[i].seat && pool->workers[i].seat->phase == SEAT_READY;
    return n;
}

uint32_t pools_count_ready(const struct pools *pools)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < pools->n; i++)
        n += pools_is_used(pools, (int)i) ? pools_count_ready_of(&pools->items[i]) : 0;
    return n;
}

uint32_t pools_count_wanted(const struct pools *pools)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < pools->n; i++)
        n += pools_is_used(pools, (int)i) ? pools->items[i].n_workers : 0;
    return n;
}

static bool has_worker(const struct pool *pool)
{
    for (uint32_t i = 0; i < pool->n_workers; i++)
        if (pool->workers[i].seat)
            return true;
    return false;
}

bool pools_has_work(const struct pools *pools)
{
    for (uint32_t i = 0; i < pools->n; i++)
        if (pools_is_used(pools, (int)i) && has_worker(&pools->items[i]) &&
            task_count_queued(&pools->items[i].queue) > 0)
            return true;
    return false;
}

uint64_t pools_next_us(const struct pools *pools)
{
    uint64_t next = SEAT_NEVER;
    for (uint32_t i = 0; i < pools->n; i++) {
        const struct pool *pool = &pools->items[i];
        for (uint32_t k = 0; pools_is_used(pools, (int)i) && k < pool->n_workers; k++)
            if (!pool->workers[k].seat && pool->workers[k].due_us < next)
                next = pool->workers[k].due_us;
    }
    return next;
}

uint32_t pools_count_files(const struct settings *s)
{
    uint64_t n_workers = 0;
    for (size_t i = 0; i < s->compute_pools.n; i++)
        n_workers += s->compute_pools.items[i].workers_max;
    if (n_workers > POOLS_WORKERS_MAX)
        n_workers = POOLS_WORKERS_MAX;
    return (uint32_t)(2 * n_workers + 2 * s->compute_pools.n + 2);
}

void pools_check_queues(const struct settings *s, struct mistakes *warnings)
{
    for (size_t i = 0; i < s->compute_pools.n; i++) {
        const struct setting_pool *settings = &s->compute_pools.items[i];
        struct pool pool = {.settings = settings};
        struct err err;
        int rc = open_queue(&pool, (uint32_t)settings->queue, &err);
        if (rc == 0)
            close_queue(&pool);
        else if (rc == -ENOBUFS)
            check_complain(s, i == 0 ? SETTING_ID_compute : SETTING_ID_pools, warnings, "%s",
                           err.text);
    }
}

const char *pools_name(const struct pools *pools, int pool)
{
    return pool >= 0 && (uint32_t)pool < pools->n ? pools->items[pool].settings->name : NULL;
}
