/* Limits of a worker's life. Process: web workers. The decision is pure; its caller asks with the
 * count of requests at each turn of the loop, and with memory and time at each tick. */
#include "workers/recycle.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "config/settings.h"

#define TASKS_JITTER 10    /* up to a tenth more */
#define LIFETIME_JITTER 10 /* the last tenth: workers that began together end apart */

void recycle_init(struct recycle *r, const struct settings *settings, uint64_t now_us,
                  uint64_t random)
{
    uint64_t requests = settings->max_requests;
    uint64_t lifetime_us = settings->worker_lifetime_us;
    *r = (struct recycle){.requests = UINT64_MAX, .rss_bytes = UINT64_MAX, .ends_us = UINT64_MAX};
    if (requests > 0)
        r->requests = requests + random % ((uint64_t)settings->max_requests_jitter + 1);
    if (settings->max_rss_bytes > 0)
        r->rss_bytes = settings->max_rss_bytes;
    if (lifetime_us > 0)
        r->ends_us = now_us + lifetime_us - random % (lifetime_us / LIFETIME_JITTER + 1);
}

void recycle_init_tasks(struct recycle *r, const struct setting_pool *pool, uint64_t random)
{
    *r = (struct recycle){.requests = UINT64_MAX,
                          .rss_bytes = UINT64_MAX,
                          .ends_us = UINT64_MAX,
                          .counts_tasks = true};
    if (pool->max_tasks > 0)
        r->requests = pool->max_tasks + random % (pool->max_tasks / TASKS_JITTER + 1);
    if (pool->max_rss_bytes > 0)
        r->rss_bytes = pool->max_rss_bytes;
}

void recycle_wear(struct recycle *r, const char *why)
{
    r->reason = why;
}

bool recycle_judge(struct recycle *r, uint64_t requests, uint64_t rss_bytes, uint64_t now_us,
                   char out_why[MSG_TEXT_MAX])
{
    if (r->is_worn)
        return false;
    if (r->reason)
        (void)snprintf(out_why, MSG_TEXT_MAX, "%s", r->reason);
    else if (requests >= r->requests)
        (void)snprintf(out_why, MSG_TEXT_MAX, "%" PRIu64 " %s with its jitter is %" PRIu64,
                       requests,
                       r->counts_tasks ? "tasks run, max_tasks" : "requests answered, max_requests",
                       r->requests);
    else if (rss_bytes >= r->rss_bytes)
        (void)snprintf(out_why, MSG_TEXT_MAX,
                       "%" PRIu64 " KiB of memory resident, max_rss is %" PRIu64 " KiB",
                       rss_bytes / 1024, r->rss_bytes / 1024);
    else if (now_us >= r->ends_us)
        (void)snprintf(out_why, MSG_TEXT_MAX, "worker_lifetime, less its jitter, is over");
    else
        return false;
    r->is_worn = true;
    r->requests = UINT64_MAX; /* who asks at each turn needs not ask any more */
    return true;
}

bool recycle_give_up_rss(struct recycle *r, uint64_t rss_bytes)
{
    if (rss_bytes < r->rss_bytes)
        return false;
    r->rss_bytes = UINT64_MAX;
    return true;
}

uint64_t recycle_read_rss(void)
{
    char text[128];
    unsigned long long pages = 0, shared = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    if (sscanf(text, "%*u %llu %llu", &pages, &shared) != 2 || shared > pages)
        return 0;
    return (pages - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}
