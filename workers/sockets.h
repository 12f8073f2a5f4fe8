/* What a sync worker waits for while it has no client: listening sockets, channel, signals, and the
 * inbox of its compute lane, in an epoll of its own. Only that lets the kernel wake one of many
 * idle workers for a connection, and pass over those that are busy (EPOLLEXCLUSIVE, epoll_ctl(2)).
 */
#ifndef REMUDA_WORKERS_SOCKETS_H
#define REMUDA_WORKERS_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct sockets_listener {
    int64_t id; /* the master's name for it */
    int fd;
    bool is_retired; /* its address is given up: to be closed once it is empty */
};

struct sockets {
    int epoll_fd;
    int channel_fd; /* -1: none */
    int signal_fd;
    int inbox_fd; /* -1: not yet */
    struct sockets_listener *items;
    size_t n;
    bool is_open; /* they are watched */
};

#define SOCKETS_EVENTS_MAX 16

/* channel_fd, signal_fd  borrowed; channel_fd -1: none
 * Returns                0, for sockets_close(); -errno */
int sockets_init(struct sockets *s, int channel_fd, int signal_fd)
    __attribute__((warn_unused_result));
void sockets_close(struct sockets *s);

/* One more; owned from now on. */
void sockets_add(struct sockets *s, int fd, int64_t id);
void sockets_remove_at(struct sockets *s, size_t i);

/* From now on they are watched. */
void sockets_open(struct sockets *s);

/* The inbox of the compute lane, once there is one; -1: not yet. Borrowed, and always the same */
void sockets_watch_inbox(struct sockets *s, int fd);

/* Waits. What came is in events, and told apart by sockets_is_listener(); the descriptor that it
 * came from is events[i].data.fd.
 * Returns  how many, 0 … */
int sockets_wait(struct sockets *s, int wait_ms, struct epoll_event events[SOCKETS_EVENTS_MAX]);
bool sockets_is_listener(const struct sockets *s, const struct epoll_event *event);

/* Is anybody in a queue who would be served by this worker? One system call. */
bool sockets_has_waiting(struct sockets *s);

/* Looks at every queue itself, whatever the kernel has told: it wakes one worker for a connection,
 * and that one may have taken another meanwhile.
 * from     where to begin, any number
 * Returns  the descriptor of a socket that somebody waits at; -1: nobody, or they are not open */
int sockets_find_waiting(const struct sockets *s, size_t from);

#endif
