/* The frames that workers send, and those that all of them obey alike, in one place. */
#include "workers/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"

static void wait_until(int fd, short events)
{
    struct pollfd ready = {.fd = fd, .events = events};
    (void)poll(&ready, 1, -1); /* EINTR: the caller tries again anyway */
}

int channel_wait(int channel_fd, struct msg *out_msg, int *fds, size_t *out_n_fds)
{
    for (;;) {
        int rc = msg_receive(channel_fd, 0, out_msg, fds, out_n_fds);
        if (rc != -EAGAIN)
            return rc;
        wait_until(channel_fd, POLLIN);
    }
}

static struct msg make(const struct heritage *heritage, enum msg_type type, const struct msg *about)
{
    struct msg msg = msg_make(type);
    msg.seat = about ? about->seat : heritage->seat;
    msg.epoch = about ? about->epoch : heritage->epoch;
    msg.role = about ? about->role : (int32_t)heritage->role;
    msg.slot = about ? about->slot : heritage->slot;
    return msg;
}

static void send_frame(const struct heritage *heritage, const struct msg *msg)
{
    int rc;
    while ((rc = msg_send(heritage->channel_fd, msg, NULL, 0)) == -EAGAIN)
        wait_until(heritage->channel_fd, POLLOUT);
    if (rc < 0 && rc != -EPIPE) /* EPIPE: the master is gone, and so are we in a moment */
        log_error("can't tell the master", "what=%s reason=\"%s\"", msg_names[msg->type],
                  strerror(-rc));
}

void channel_tell(const struct heritage *heritage, enum msg_type type, const struct msg *about,
                  pid_t pid, int64_t value, const char *text)
{
    if (!heritage || heritage->channel_fd < 0)
        return;
    struct msg msg = make(heritage, type, about);
    msg.pid = pid;
    msg.value = value;
    size_t n = text ? strnlen(text, MSG_TEXT_MAX - 1) : 0;
    if (n > 0)
        memcpy(msg.text, text, n);
    send_frame(heritage, &msg);
}

void channel_tell_ready(const struct heritage *heritage, int64_t n_routes, uint32_t pools)
{
    struct msg msg = make(heritage, MSG_READY, NULL);
    msg.pid = getpid();
    msg.value = n_routes;
    msg.about = (int32_t)pools;
    send_frame(heritage, &msg);
}

void channel_tell_overdue(const struct heritage *heritage, uint64_t task_id, enum task_loss loss)
{
    if (!heritage || heritage->channel_fd < 0)
        return;
    struct msg msg = make(heritage, MSG_OVERDUE, NULL);
    msg.value = (int64_t)task_id;
    msg.about = (int32_t)loss;
    send_frame(heritage, &msg);
}

void channel_tell_deadly(const struct heritage *heritage, uint64_t print, enum task_loss loss,
                         struct str trace)
{
    if (!heritage || heritage->channel_fd < 0)
        return;
    struct msg msg = make(heritage, MSG_DEADLY, NULL);
    msg.value = (int64_t)print;
    msg.about = (int32_t)loss;
    if (trace.len > 0)
        memcpy(msg.text, trace.p, trace.len < MSG_TEXT_MAX ? trace.len : MSG_TEXT_MAX - 1);
    send_frame(heritage, &msg);
}

void channel_take_logs(const struct heritage *heritage, const struct msg *msg, const int *fds,
                       size_t n_fds)
{
    int files[HERITAGE_LOGS_MAX];
    size_t n_files = heritage_log_files(heritage, files);
    for (size_t i = 0; i < n_files && i < n_fds; i++)
        if (dup3(fds[i], files[i], O_CLOEXEC) < 0)
            log_error("log not reopened", "reason=\"%s\" does=\"go on with the old one\"",
                      strerror(errno));
    channel_tell(heritage, MSG_REOPENED, NULL, getpid(), msg->value, NULL);
}

/* Asked for again and again, a log file that can't be taken is worth one line. */
static void log_lost_once(int64_t number)
{
    static int64_t told;
    struct rlimit limit = {0};
    if (told == number)
        return;
    told = number;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    log_error("log not reopened yet: this process may open no more descriptors",
              "limit_nofile=%llu does=\"go on with the old one, ask again\" try=\"close what the "
              "app leaves open (ls -l /proc/%d/fd), or raise the limit\"",
              (unsigned long long)limit.rlim_cur, (int)getpid());
}

void channel_tell_lost(const struct heritage *heritage, const struct msg *msg)
{
    if (msg->type == MSG_LOGS)
        log_lost_once(msg->value);
    struct msg lost = make(heritage, MSG_LOST, NULL);
    lost.about = msg->type;
    lost.value = msg->value;
    send_frame(heritage, &lost);
}
