/* See desk_inbox.h. All of them are in an epoll, whose descriptor is what the room watches: it
 * stays the same, whatever comes and goes here. */
#include "workers/desk_inbox.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "workers/web_compute.h"

/* First the watch ends: a process that the app has forked may have a copy of the descriptor. */
static void close_pair(const struct desk *d, int *read_fd, int *write_fd)
{
    if (*read_fd >= 0)
        (void)epoll_ctl(d->watch_fd, EPOLL_CTL_DEL, *read_fd, NULL);
    fd_close(read_fd);
    fd_close(write_fd);
}

int desk_inbox_renew(struct desk *d)
{
    int read_fd, write_fd;
    int rc = task_open_inbox(&read_fd, &write_fd);
    if (rc < 0)
        return rc;
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(d->watch_fd, EPOLL_CTL_ADD, read_fd, &event) < 0) {
        rc = -errno;
        close_pair(d, &read_fd, &write_fd);
        return rc;
    }
    d->inbox_fd = read_fd;
    d->reply_fd = write_fd;
    return 0;
}

int desk_inbox_open(struct desk *d, struct err *err)
{
    d->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = d->watch_fd < 0 ? -errno : desk_inbox_renew(d);
    return rc < 0 ? err_set(err, -rc, "inbox: %s", strerror(-rc)) : 0;
}

void desk_inbox_close(struct desk *d)
{
    close_pair(d, &d->inbox_fd, &d->reply_fd);
    close_pair(d, &d->left_fd, &d->left_reply_fd);
    fd_close(&d->watch_fd);
}

void desk_inbox_leave(struct desk *d)
{
    int read_fd = d->inbox_fd, write_fd = d->reply_fd;
    if (d->left_fd >= 0 || desk_inbox_renew(d) < 0)
        return;
    d->left_fd = read_fd;
    d->left_reply_fd = write_fd;
    d->n_left = d->n_out;
    for (uint32_t i = 0; i < d->n_slots; i++)
        d->slots[i].is_left = d->slots[i].is_out;
}

void desk_inbox_settle(struct desk *d)
{
    if (d->n_left == 0)
        close_pair(d, &d->left_fd, &d->left_reply_fd);
}

/* Marked first: what is given up here may make room for tasks that go out at once, with the new
 * one, and use the same slots. */
void desk_inbox_fail(struct desk *d, bool is_left)
{
    log_error("inbox was shut by a compute worker", "tasks=%u does=\"fail them, open another\"",
              is_left ? d->n_left : d->n_out - d->n_left);
    for (uint32_t i = 0; i < d->n_slots; i++)
        d->slots[i].is_cut = d->slots[i].is_out && d->slots[i].is_left == is_left;
    if (is_left) {
        close_pair(d, &d->left_fd, &d->left_reply_fd);
    } else {
        close_pair(d, &d->inbox_fd, &d->reply_fd);
        int rc = desk_inbox_renew(d);
        if (rc < 0)
            log_error("no other inbox", "reason=\"%s\" does=\"answer 503, try again\"",
                      strerror(-rc));
    }
    for (uint32_t i = 0; i < d->n_slots; i++) {
        struct desk_slot *slot = &d->slots[i];
        if (!slot->is_cut || !slot->is_out)
            continue;
        task_cancel(desk_record(slot)); /* its payload may be read all the same, */
        desk_tell_overdue(slot, TASK_LOSS_KILLED);
        if (!web_compute_go_again(slot, TASK_LOSS_KILLED))
            desk_give_up(slot, 500, NULL); /* which spoils what nobody gets */
    }
}
