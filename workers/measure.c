/* See measure.h. Process: compute workers. */
#include "workers/measure.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/schedstat.h"

static uint64_t us_of(struct timeval t)
{
    return (uint64_t)t.tv_sec * CLOCK_US_PER_S + (uint64_t)t.tv_usec;
}

/* proc(5): 5 sets the peak to what is resident now. Opened for each task: a descriptor that is kept
 * the app may close, and have another file under its number. Refused to a process that has changed
 * its user, and where there is no /proc: then the peak is of the worker's life. */
static void begin_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, "5", 1);
    (void)close(fd);
}

void measure_begin(struct measure *m, const struct scoreboard_part *part, const struct task *task,
                   int schedstat_fd, struct route_stats *stats)
{
    struct rusage now = {0};
    *m = (struct measure){.taken_us = clock_now_us(), .schedstat_fd = schedstat_fd, .stats = stats};
    m->delay_ns = schedstat_delay_ns(schedstat_fd);
    if (getrusage(RUSAGE_SELF, &now) == 0) {
        m->before.cpu_us = us_of(now.ru_utime) + us_of(now.ru_stime);
        m->before.faults = (uint64_t)now.ru_minflt + (uint64_t)now.ru_majflt;
    }
    account_begin(&part->task->mark, task->id, m->taken_us, &m->before,
                  stats ? (uint64_t)(stats - part->routes) + 1 : 0);
    begin_peak();
}

void measure_end(const struct measure *m, const struct task *task, struct task_reply *reply)
{
    struct rusage now;
    uint64_t delay_ns = schedstat_delay_ns(m->schedstat_fd);
    bool is_known = getrusage(RUSAGE_SELF, &now) == 0;
    uint64_t now_us = clock_now_us(); /* behind it, so that no task takes more CPU time than time */
    reply->wait_us = m->taken_us > task->queued_us ? m->taken_us - task->queued_us : 0;
    reply->wall_us = now_us > m->taken_us ? now_us - m->taken_us : 0;
    reply->delay_us =
        m->delay_ns > 0 && delay_ns > m->delay_ns ? (delay_ns - m->delay_ns) / CLOCK_NS_PER_US : 0;
    if (!is_known)
        return;
    reply->cpu_us = us_of(now.ru_utime) + us_of(now.ru_stime) - m->before.cpu_us;
    reply->peak_bytes = (uint64_t)now.ru_maxrss * 1024U;
    reply->faults = (uint64_t)now.ru_minflt + (uint64_t)now.ru_majflt - m->before.faults;
}

void measure_note(const struct measure *m, const struct scoreboard_part *part,
                  const struct task_reply *reply)
{
    const struct account_used used = task_used(reply);
    enum account_number end = task_end_of(reply);
    account_note(&part->head->account, end, &used);
    if (m->stats)
        account_note(&m->stats->account, end, &used);
}
