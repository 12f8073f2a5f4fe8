/* The frames that workers send, and those that all of them obey alike, in one place. */
#include "workers/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
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

void channel_tell(const struct heritage *heritage, enum msg_type type, const struct msg *about,
                  pid_t pid, int64_t value, const char *text)
{
    if (!heritage || heritage->channel_fd < 0)
        return;
    struct msg msg = msg_make(type);
    msg.seat = about ? about->seat : heritage->seat;
    msg.epoch = about ? about->epoch : heritage->epoch;
    msg.role = about ? about->role : (int32_t)heritage->role;
    msg.slot = about ? about->slot : heritage->slot;
    msg.pid = pid;
    msg.value = value;
    size_t n = text ? strnlen(text, MSG_TEXT_MAX - 1) : 0;
    if (n > 0)
        memcpy(msg.text, text, n);
    int rc;
    while ((rc = msg_send(heritage->channel_fd, &msg, NULL, 0)) == -EAGAIN)
        wait_until(heritage->channel_fd, POLLOUT);
    if (rc < 0 && rc != -EPIPE) /* EPIPE: the master is gone, and so are we in a moment */
        log_error("can't tell the master", "what=%s reason=\"%s\"", msg_names[type], strerror(-rc));
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
