/* See sockets.h. */
#include "workers/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "workers/accept.h"

static int watch(struct sockets *s, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int sockets_init(struct sockets *s, int channel_fd, int signal_fd)
{
    *s = (struct sockets){.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                          .channel_fd = channel_fd,
                          .signal_fd = signal_fd,
                          .inbox_fd = -1};
    if (s->epoll_fd < 0)
        return -errno;
    int rc = watch(s, signal_fd, EPOLLIN);
    if (rc == 0 && channel_fd >= 0)
        rc = watch(s, channel_fd, EPOLLIN);
    return rc;
}

void sockets_close(struct sockets *s)
{
    while (s->n > 0)
        sockets_remove_at(s, 0);
    free(s->items);
    s->items = NULL;
    fd_close(&s->epoll_fd);
}

static void watch_listener(struct sockets *s, const struct sockets_listener *listener)
{
    int rc = watch(s, listener->fd, EPOLLIN | EPOLLEXCLUSIVE);
    if (rc < 0)
        log_error("can't watch a listening socket", "id=%lld reason=\"%s\"",
                  (long long)listener->id, strerror(-rc));
}

void sockets_add(struct sockets *s, int fd, int64_t id)
{
    struct sockets_listener *more = reallocarray(s->items, s->n + 1, sizeof *s->items);
    if (!more) {
        log_error("no room for a listening socket", "id=%lld", (long long)id);
        (void)close(fd);
        return;
    }
    s->items = more;
    s->items[s->n++] = (struct sockets_listener){.id = id, .fd = fd};
    if (s->is_open)
        watch_listener(s, &s->items[s->n - 1]);
}

void sockets_remove_at(struct sockets *s, size_t i)
{
    if (s->is_open) /* others have the same socket, so closing this copy would not end the watch */
        (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->items[i].fd, NULL);
    (void)close(s->items[i].fd);
    s->items[i] = s->items[--s->n];
}

void sockets_open(struct sockets *s)
{
    for (size_t i = 0; i < s->n && !s->is_open; i++)
        watch_listener(s, &s->items[i]);
    s->is_open = true;
}

void sockets_watch_inbox(struct sockets *s, int fd)
{
    if (s->inbox_fd == fd)
        return;
    int rc = watch(s, fd, EPOLLIN);
    if (rc < 0)
        log_error("can't watch the inbox", "reason=\"%s\" does=\"look now and then\"",
                  strerror(-rc));
    s->inbox_fd = fd;
}

int sockets_wait(struct sockets *s, int wait_ms, struct epoll_event events[SOCKETS_EVENTS_MAX])
{
    int n = epoll_wait(s->epoll_fd, events, SOCKETS_EVENTS_MAX, wait_ms);
    return n < 0 ? 0 : n; /* EINTR */
}

bool sockets_is_listener(const struct sockets *s, const struct epoll_event *event)
{
    int fd = event->data.fd;
    return fd != s->channel_fd && fd != s->signal_fd && fd != s->inbox_fd;
}

bool sockets_has_waiting(struct sockets *s)
{
    struct epoll_event events[SOCKETS_EVENTS_MAX];
    int n = sockets_wait(s, 0, events);
    for (int i = 0; i < n; i++)
        if (sockets_is_listener(s, &events[i]))
            return true;
    return false;
}

int sockets_find_waiting(const struct sockets *s, size_t from)
{
    for (size_t k = 0; k < s->n && s->is_open; k++) {
        int fd = s->items[(from + k) % s->n].fd;
        if (accept_is_waiting(fd))
            return fd;
    }
    return -1;
}
