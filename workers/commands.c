/* See commands.h. Process: web workers. Who calls it has seen that channel or signals are readable;
 * what is done with sockets and connections is the room's own. */
#include "workers/commands.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/msg.h"
#include "ipc/signals.h"
#include "workers/boot.h"
#include "workers/channel.h"
#include "workers/lanes.h"
#include "workers/report.h"
#include "workers/web_compute.h"
#include "workers/web_io.h"

/* ---- the master's word ---- */

/* Between two batches: what was gathered goes where it was meant to go. */
static void take_logs(struct commands *c, const struct msg *msg, const int *fds, size_t n_fds)
{
    web_flush_access(c->web);
    channel_take_logs(c->heritage, msg, fds, n_fds);
    web_on_access_opened(c->web);
}

/* Without it routes of the compute lane have no process to run in, and here they would run without
 * limits. Who has not served yet ends for that. Who serves has missed it when it was sent before,
 * for want of descriptors: it goes on without, and asks for it again. */
static void miss_segment(struct commands *c, const struct msg *msg, const char *why)
{
    char quoted[LOG_QUOTE_MAX + 8];
    const struct seat_head *head = c->web->part.head;
    if (atomic_load_explicit(&head->state, memory_order_relaxed) == SEAT_STATE_BOOTING)
        boot_fail(c->heritage, why);
    if (!c->is_without_lane)
        log_error("no compute lane in this worker",
                  "reason=%s does=\"answer 503 there, try again\"",
                  log_quote(quoted, why, strlen(why)));
    c->is_without_lane = true;
    channel_tell_lost(c->heritage, msg);
}

static void take_segment(struct commands *c, const struct msg *msg, const int *fds, size_t n_fds)
{
    struct err err = {0};
    uint32_t n_slices = msg->about > 0 ? (uint32_t)msg->about : 0;
    if (c->web->compute)
        return; /* it was sent again, and this one serves */
    if (web_compute_open(c->web, c->heritage, fds[0], n_slices, (uint64_t)msg->value, &err) < 0)
        miss_segment(c, msg, err.text);
    else if (n_fds > 1 && web_compute_add_breakers(c->web, fds[1], &err) < 0)
        log_error("no circuit breakers in this worker", "reason=\"%s\" does=\"go on without\"",
                  err.text);
}

static void take_pool(struct commands *c, const struct msg *msg, int fd)
{
    if (!c->web->compute) { /* it comes again, behind the segment */
        fd_close(&fd);
        return;
    }
    struct task_queue queue = {
        .fd = fd, .charge = (uint32_t)((uint64_t)msg->value >> 32), .limit = (uint32_t)msg->value};
    web_compute_add_pool(c->web, (uint32_t)msg->slot, msg->about > 0 ? (uint32_t)msg->about : 0,
                         queue);
}

static void obey(struct commands *c, const struct msg *msg, int *fds, size_t n_fds)
{
    switch ((enum msg_type)msg->type) {
    case MSG_LISTEN:
        c->listen(fds[0], msg->value);
        fds[0] = -1;
        break;
    case MSG_UNLISTEN:
        c->unlisten(msg->value);
        break;
    case MSG_RETIRE:
        c->retire(msg->value);
        break;
    case MSG_START:
        c->start();
        break;
    case MSG_DRAIN:
        c->drain(msg->value == MSG_DRAIN_LEAVE);
        break;
    case MSG_STOP:
        c->stop("stop");
        break;
    case MSG_LOGS:
        take_logs(c, msg, fds, n_fds);
        break;
    case MSG_DUMP:
        report_answer(msg, fds[0], c->tell_connections, c->connections);
        break;
    case MSG_SEGMENT:
        take_segment(c, msg, fds, n_fds);
        break;
    case MSG_POOL:
        take_pool(c, msg, fds[0]);
        fds[0] = -1;
        break;
    case MSG_LANES:
        lanes_obey(c->web, msg);
        break;
    case MSG_THREADS:
        web_io_obey(c->web, msg->value > 0 && msg->value < UINT32_MAX ? (uint32_t)msg->value : 1);
        break;
    case MSG_TASK_LOST:
        web_compute_on_lost(c->web, msg);
        break;
    case MSG_GONE:
        web_compute_on_gone(c->web, c->heritage, msg);
        break;
    default:
        log_warn("frame that a web worker does not expect", "type=%s", msg_names[msg->type]);
        break;
    }
    for (size_t i = 0; i < n_fds; i++)
        fd_close(&fds[i]);
}

/* First what the master needs to know in order not to send it again at once. */
static void lose(struct commands *c, const struct msg *msg)
{
    if (msg->type == MSG_LISTEN)
        c->on_short();
    channel_tell_lost(c->heritage, msg);
}

void commands_on_channel(struct commands *c)
{
    for (;;) {
        struct msg msg;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        int rc = msg_receive(c->heritage->channel_fd, 0, &msg, fds, &n_fds);
        if (rc == -EAGAIN)
            return;
        if (rc == -EMFILE) {
            lose(c, &msg);
            continue;
        }
        if (rc <= 0) { /* without a master nobody would restart or stop us */
            log_error("the master is gone, ending", "reason=\"%s\"",
                      rc < 0 ? strerror(-rc) : "channel closed");
            c->stop("the master is gone");
            return;
        }
        obey(c, &msg, fds, n_fds);
    }
}

/* ---- signals ---- */

static void reopen_logs(struct commands *c)
{
    web_flush_access(c->web);
    c->reopen_logs();
    web_on_access_opened(c->web);
}

void commands_on_signal(struct commands *c, bool is_draining)
{
    uint64_t taken = signals_take();
    if (signals_has(taken, SIGUSR1))
        reopen_logs(c);
    if (signals_has(taken, SIGINT) || signals_has(taken, SIGQUIT) ||
        (signals_has(taken, SIGTERM) && is_draining && !c->heritage))
        c->stop("stop");
    else if (signals_has(taken, SIGTERM))
        c->drain(false); /* TERM may go to the whole group, and then nobody goes on */
}
