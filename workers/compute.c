/* ROOM: a compute worker.
 *
 * What it does: takes a task off its pool's queue, runs the handler, answers into the inbox of the
 * web worker that asked, and so on, one task at a time.
 * Who starts it: the master, by the loader of its generation.
 * Inherits: the app as the loader has initialised it, standard streams, logs, its channel.
 * Gets over the channel: the shared table, the segment, the end of its pool's queue to read from.
 * May never: listen, accept, see another's connection; use more memory, CPU time, descriptors or
 * processes than its pool may (workers/confine.h).
 * When it dies the master tells who waits for its task, and has another forked. */
#include "workers/compute.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/title.h"
#include "config/settings.h"
#include "ipc/msg.h"
#include "ipc/signals.h"
#include "workers/boot.h"
#include "workers/channel.h"
#include "workers/compute_task.h"
#include "workers/confine.h"
#include "workers/recycle.h"
#include "workers/report.h"

#define TICK_MS 250                     /* of an idle worker: its heartbeat */
#define PERIOD_US (4 * CLOCK_US_PER_S)  /* segment_turn(): a guess */
#define SHED_BYTES (4U * 1024U * 1024U) /* given back in one idle turn */
#define EVENTS_MAX 4
#define SPARE_FDS 3 /* that a task needs: inbox, a body in a file, a file to answer by */
#define FEW_FDS 8   /* this part of nofile, and less, is few */

static struct {
    const struct heritage *heritage;
    struct compute compute;
    struct recycle recycle;
    int queue_fd;  /* to read tasks from */
    int signal_fd; /* readable when signals came */
    int epoll_fd;
    uint64_t period_us; /* when the next one begins */
    uint64_t looked_us; /* into the queue */
    int fds_max;        /* descriptors, for what is left open of them */
    int fds_few;        /* more than that in use: another should take over. INT_MAX: never */
    const char *why;    /* it ends; NULL: it goes on */
    bool is_worn_out;   /* for want of what earlier tasks have left behind */
    bool is_unasked;    /* not on the master's word */
    bool is_drained;    /* on its word, and there is time */
} room = {.queue_fd = -1};

static void boot(const struct heritage *heritage, const struct app *app);
static void run_loop(void);
static void tear_down(void);

/* ---- main ---- */

void compute_main(const struct heritage *heritage, const struct app *app)
{
    boot(heritage, app);
    run_loop();
    tear_down();
    exit(EXIT_SUCCESS);
}

static void show_state(const char *state)
{
    const struct settings *settings = room.heritage->settings;
    title_set(settings->proc_name, settings->proc_title == PROC_TITLE_NAME ? NULL : state,
              "compute worker %d gen %d [%s]", room.heritage->slot, room.heritage->generation,
              room.compute.pool->name);
}

/* ---- wear ---- */

static void wear_out(const char *why)
{
    room.why = why;
    room.is_worn_out = room.is_unasked = true;
    room.is_drained = false; /* another task would be one too many */
}

/* A task for which there is no descriptor left would be lost, and it may be anybody's.
 * lowest  that is free */
static void judge_descriptors(int lowest)
{
    if (lowest > room.fds_max - SPARE_FDS)
        wear_out("its descriptors are used up, by what earlier tasks have left open");
    else if (lowest > room.fds_few)
        recycle_wear(&room.recycle, "its tasks leave descriptors open, of nofile few are left");
}

static void init_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
        limit.rlim_cur = INT_MAX;
    int lowest = fd_lowest_free(room.queue_fd);
    room.fds_max = (int)limit.rlim_cur;
    room.fds_few = room.fds_max - room.fds_max / FEW_FDS;
    if (lowest > room.fds_max - SPARE_FDS)
        boot_fail(room.heritage, "of nofile of its pool no descriptors are left for tasks");
    if (lowest > room.fds_few)
        room.fds_few = INT_MAX; /* another would have no more */
}

/* rss_bytes  0: not looked at */
static void judge_wear(uint64_t rss_bytes)
{
    char why[MSG_TEXT_MAX];
    uint64_t tasks = atomic_load_explicit(&room.compute.part.head->tasks, memory_order_relaxed);
    if (recycle_judge(&room.recycle, tasks, rss_bytes, clock_now_us(), why))
        channel_tell(room.heritage, MSG_WORN, NULL, getpid(), 0, why);
}

/* ---- the loop ---- */

static void on_tick(uint64_t now_us)
{
    struct segment_slice *slice = &room.compute.segment.slice;
    compute_reply_reap(&room.compute.reply);
    if (now_us >= room.period_us) {
        room.period_us = now_us + PERIOD_US;
        segment_turn(slice);
    }
    (void)segment_shed(slice, SHED_BYTES);
    judge_descriptors(fd_lowest_free(room.queue_fd));
    judge_wear(room.recycle.rss_bytes != UINT64_MAX ? recycle_read_rss() : 0);
}

static void leave(bool is_drained)
{
    room.why = "the master says so";
    room.is_drained = is_drained; /* else it is killed when it is not gone soon */
}

static void on_channel(void)
{
    for (;;) {
        struct msg msg;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        int rc = msg_receive(room.heritage->channel_fd, 0, &msg, fds, &n_fds);
        if (rc == -EAGAIN)
            return;
        if (rc == -EMFILE) {
            channel_tell_lost(room.heritage, &msg);
            continue;
        }
        if (rc <= 0) {
            room.why = "the master is gone";
            return;
        }
        if (msg.type == MSG_STOP || msg.type == MSG_DRAIN)
            leave(msg.type == MSG_DRAIN);
        else if (msg.type == MSG_DUMP)
            report_answer(&msg, fds[0], NULL, NULL);
        else if (msg.type == MSG_LOGS)
            channel_take_logs(room.heritage, &msg, fds, n_fds);
        else
            log_warn("frame that a compute worker does not expect", "type=%s", msg_names[msg.type]);
        for (size_t i = 0; i < n_fds; i++)
            fd_close(&fds[i]);
    }
}

/* Returns whether there was a task. */
static bool on_queue(void)
{
    struct task task;
    int fds[2];
    compute_reply_reap(&room.compute.reply);
    int rc = task_receive(room.queue_fd, room.compute.part.task, &task, fds);
    if (rc == -EAGAIN)
        return false; /* another was faster */
    if (rc == 1) {
        if (compute_task_run(&room.compute, &task, fds) < 0)
            wear_out("its memory is used up, by what earlier tasks have left");
        judge_descriptors(room.compute.lowest_free_fd);
        judge_wear(0);
        return true;
    }
    if (rc == 0) {
        room.why = "nobody can send tasks any more";
        return false;
    }
    log_error("task can't be taken, ending", "reason=\"%s\"", strerror(-rc));
    exit(EXIT_FAILURE); /* it may be on record: the master tells who asked */
}

/* Level-triggered, and exclusive where others watch, too: one task wakes one worker, of those that
 * wait. If that one dies or leaves before it has taken the task, nobody else is woken for it, ever:
 * epoll looks at what it was called for, not at all that it watches. So whoever is told to leave
 * just when it was woken takes that one task, if there is time, and each worker looks into the
 * queue now and then. */
static int watch(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(room.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void on_event(int fd)
{
    if (fd == room.heritage->channel_fd)
        on_channel();
    else if (fd == room.signal_fd && signals_has(signals_take(), SIGTERM)) {
        room.why = "TERM";
        room.is_unasked = true;
    } else if (fd == room.compute.box.wake_fd)
        compute_task_drop_late(&room.compute);
}

static void run_loop(void)
{
    bool has_run = false;     /* a task, in the pass before: what came meanwhile has woken others */
    bool is_sweeping = false; /* there are tasks that nobody was woken for */
    while (!room.why) {
        struct epoll_event events[EVENTS_MAX];
        bool has_task = false;
        int n = epoll_wait(room.epoll_fd, events, EVENTS_MAX, has_run ? 0 : TICK_MS);
        uint64_t now_us = clock_now_us();
        if (n < 0 && errno != EINTR) {
            log_error("nothing can be waited for, ending", "reason=\"%s\"", strerror(errno));
            panic_leave("nothing can be waited for: has the app closed what is not its own?");
        }
        atomic_store_explicit(&room.compute.part.head->heartbeat_us, now_us, memory_order_relaxed);
        for (int i = 0; i < n; i++) {
            has_task |= events[i].data.fd == room.queue_fd;
            on_event(events[i].data.fd);
        }
        if ((n <= 0 && !has_run) || now_us >= room.period_us)
            on_tick(now_us);
        bool is_due = is_sweeping || now_us >= room.looked_us + TICK_MS * CLOCK_US_PER_MS;
        bool may_take = room.why ? has_task && room.is_drained && !has_run : has_task || is_due;
        if (may_take)
            room.looked_us = now_us;
        has_run = may_take && on_queue();
        is_sweeping = has_run && !has_task;
    }
}

/* ---- beginning and end ---- */

_Noreturn static void fail(struct err *err)
{
    boot_fail(room.heritage, err->text);
}

/* Segment and queue. They are needed before the app gets to run: what they map does not count as
 * the app's memory. */
static void receive_belongings(struct err *err)
{
    bool has_segment = false;
    while (!has_segment || room.queue_fd < 0) {
        struct msg msg;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        int rc = channel_wait(room.heritage->channel_fd, &msg, fds, &n_fds);
        if (rc == 0 || (rc == 1 && msg.type == MSG_STOP))
            exit(EXIT_SUCCESS);
        if (rc < 0) {
            (void)err_set(err, -rc, "segment and queue can't be taken: %s", strerror(-rc));
            fail(err);
        }
        if (msg.type == MSG_SEGMENT && !has_segment) {
            rc = segment_map(fds[0], (uint32_t)msg.about, (uint64_t)msg.value, room.heritage->seat,
                             &room.compute.segment, err);
            if (rc < 0)
                fail(err);
            has_segment = true;
        } else if (msg.type == MSG_POOL && room.queue_fd < 0) {
            room.queue_fd = room.compute.queue_fd = fds[0];
            fds[0] = -1;
        } else if (msg.type == MSG_LOGS) {
            channel_take_logs(room.heritage, &msg, fds, n_fds);
        } else {
            log_warn("frame that a compute worker does not expect", "type=%s", msg_names[msg.type]);
        }
        for (size_t i = 0; i < n_fds; i++)
            fd_close(&fds[i]);
    }
}

static int open_loop(struct err *err)
{
    room.signal_fd = boot_open_signals(true, err);
    if (room.signal_fd < 0)
        return room.signal_fd;
    room.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (room.epoll_fd < 0)
        return err_set(err, errno, "epoll: %s", strerror(errno));
    int rc = watch(room.heritage->channel_fd, EPOLLIN);
    if (rc == 0)
        rc = watch(room.signal_fd, EPOLLIN);
    if (rc == 0)
        rc = watch(room.compute.box.wake_fd, EPOLLIN);
    return rc < 0 ? err_set(err, -rc, "epoll: %s", strerror(-rc)) : 0;
}

static void init_pool(const struct app *app)
{
    int rc = app->decl->compute_init ? app->decl->compute_init(room.compute.pool->name) : 0;
    if (rc == 0)
        return;
    char reason[80];
    (void)snprintf(reason, sizeof reason, "the app's compute_init returned %d", rc);
    boot_fail(room.heritage, reason);
}

static void init_recycling(void)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = clock_now_us() ^ ((uint64_t)getpid() << 32);
    recycle_init_tasks(&room.recycle, room.compute.pool, random);
    uint64_t rss = room.recycle.rss_bytes != UINT64_MAX ? recycle_read_rss() : 0;
    if (rss > 0 && recycle_give_up_rss(&room.recycle, rss))
        log_warn("max_rss of the pool has no effect, since a new worker has more",
                 "pool=%s max_rss_kib=%llu rss_kib=%llu", room.compute.pool->name,
                 (unsigned long long)(room.compute.pool->max_rss_bytes / 1024),
                 (unsigned long long)(rss / 1024));
}

static void boot(const struct heritage *heritage, const struct app *app)
{
    struct err err = {0};
    const struct settings *settings = heritage->settings;
    room.heritage = heritage;
    if (heritage->pool < 0 || (size_t)heritage->pool >= settings->compute_pools.n)
        boot_fail(heritage, "there is no such pool");
    room.compute.settings = settings;
    room.compute.pool = &settings->compute_pools.items[heritage->pool];
    room.compute.app = app;
    show_state("booting");
    boot_take_seat(heritage, app, &room.compute.part);
    receive_belongings(&err);
    if (compute_task_open(&room.compute, &err) < 0 || open_loop(&err) < 0 ||
        confine_worker(room.compute.pool, &err) < 0)
        fail(&err);
    boot_init_app(heritage, app);
    init_pool(app);
    init_recycling();
    init_descriptors();
    int rc = watch(room.queue_fd, EPOLLIN | EPOLLEXCLUSIVE);
    if (rc < 0) {
        (void)err_set(&err, -rc, "epoll: %s", strerror(-rc));
        fail(&err);
    }
    show_state(TITLE_IDLE);
    boot_ready(heritage, &room.compute.part);
}

static void tear_down(void)
{
    const struct app *app = room.compute.app;
    show_state("ending");
    log_info("compute worker ends", "why=\"%s\" pool=%s", room.why, room.compute.pool->name);
    if (room.is_worn_out) {
        recycle_wear(&room.recycle, room.why);
        judge_wear(0);
    }
    if (room.is_unasked) /* so that it is no crash, nor an exit(3) of the app's */
        channel_tell(room.heritage, MSG_DRAINED, NULL, getpid(), 0, NULL);
    if (app->decl->worker_exit)
        app->decl->worker_exit();
    deferred_close(&room.compute.box);
}
