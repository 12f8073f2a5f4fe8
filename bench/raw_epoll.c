/* The least that a server can do: the yardstick of bench/run.
 *
 * One process, one level-triggered epoll. A request ends at CRLF CRLF, found by memmem; the answer
 * is always the same bytes, those that remuda sends. All complete requests of a read are answered
 * by one write, which is what makes pipelining cheap. A request body would be taken for the next
 * request's head; no load sends one. What it costs more to serve than this is the price of HTTP. */
#include "bench/reference.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define IN_BYTES 16384  /* a read takes no more; a head over this ends the connection */
#define OUT_BYTES 65536 /* answers of one write; more requests in one read take a second write */

struct conn {
    int fd;
    bool closing;    /* write what is owed, then close */
    char *part;      /* heap: the start of a request whose end has not come; NULL nearly always */
    size_t part_len; /* always < IN_BYTES */
    char *owed; /* heap: bytes that the socket did not take, from owed_at; NULL nearly always */
    size_t owed_len;
    size_t owed_at;
};

/* One of each is enough, and stays in the cache: nothing complete outlives a turn. */
static char in[IN_BYTES];
static char out[OUT_BYTES];
static int epoll_fd;

static void conn_free(struct conn *c)
{
    close(c->fd);
    free(c->part);
    free(c->owed);
    free(c);
}

static bool conn_watch(struct conn *c, int op, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    return epoll_ctl(epoll_fd, op, c->fd, &ev) == 0;
}

/* Keeps what the socket would not take and waits until it does. */
static bool conn_owe(struct conn *c, const char *bytes, size_t len)
{
    char *more = realloc(c->owed, c->owed_len + len);

    if (!more)
        return false;
    memcpy(more + c->owed_len, bytes, len);
    c->owed = more;
    c->owed_len += len;
    return conn_watch(c, EPOLL_CTL_MOD, EPOLLOUT);
}

/* False when the connection is of no more use. */
static bool conn_write(struct conn *c, const char *bytes, size_t len)
{
    ssize_t n = 0;

    if (len == 0)
        return true;
    if (!c->owed) {
        n = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0)
            n = 0;
    }
    return (size_t)n == len || conn_owe(c, bytes + n, len - (size_t)n);
}

/* True when a head asks for the connection to end; the last two bytes of CRLF CRLF excluded.
 * The spelling is the one that our loads use. */
static bool head_is_last(const char *head, size_t len)
{
    static const char field[] = "\r\nConnection: close\r\n";

    return memmem(head, len - 2, field, sizeof(field) - 1) != NULL;
}

/* Keeps the len bytes at p for the next read; 0 forgets what was kept. */
static bool conn_keep(struct conn *c, const char *p, size_t len)
{
    free(c->part);
    c->part = NULL;
    c->part_len = len;
    if (len == 0)
        return true;
    c->part = malloc(len);
    if (!c->part)
        return false;
    memcpy(c->part, p, len);
    return true;
}

/* Answers every complete request of the len bytes in `in` and keeps the rest. */
static bool conn_answer(struct conn *c, size_t len)
{
    size_t at = 0, filled = 0;

    while (!c->closing) {
        char *end = memmem(in + at, len - at, "\r\n\r\n", 4);
        const struct reference_answer *a;

        if (!end)
            break;
        end += 4;
        c->closing = head_is_last(in + at, (size_t)(end - in) - at);
        a = reference_answer(c->closing);
        if (filled + a->len > sizeof(out)) {
            if (!conn_write(c, out, filled))
                return false;
            filled = 0;
        }
        memcpy(out + filled, a->bytes, a->len);
        filled += a->len;
        at = (size_t)(end - in);
    }
    return ((len == at && !c->part) || conn_keep(c, in + at, len - at)) &&
           conn_write(c, out, filled) && !(c->closing && !c->owed);
}

static bool conn_on_readable(struct conn *c)
{
    ssize_t n;

    if (c->part_len > 0)
        memcpy(in, c->part, c->part_len);
    n = read(c->fd, in + c->part_len, sizeof(in) - c->part_len);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    return conn_answer(c, c->part_len + (size_t)n) && c->part_len < sizeof(in);
}

static bool conn_on_writable(struct conn *c)
{
    ssize_t n = send(c->fd, c->owed + c->owed_at, c->owed_len - c->owed_at, MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN;
    c->owed_at += (size_t)n;
    if (c->owed_at < c->owed_len)
        return true;
    free(c->owed);
    c->owed = NULL;
    c->owed_len = c->owed_at = 0;
    return !c->closing && conn_watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void on_connections(int listen_fd)
{
    int fd;

    while ((fd = reference_accept(listen_fd)) >= 0) {
        struct conn *c = calloc(1, sizeof(*c));

        if (!c) {
            close(fd);
            continue;
        }
        c->fd = fd;
        if (!conn_watch(c, EPOLL_CTL_ADD, EPOLLIN) || !conn_on_readable(c))
            conn_free(c);
    }
}

int main(int argc, char **argv)
{
    int listen_fd = reference_init(argc, argv);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}; /* NULL: the listener */
    struct epoll_event events[EVENTS_MAX];

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0) {
        perror("epoll");
        return 2;
    }
    for (;;) {
        struct timespec now;
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        reference_tick(now.tv_sec);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;

            if (!c)
                on_connections(listen_fd);
            else if (!(c->owed ? conn_on_writable(c) : conn_on_readable(c)))
                conn_free(c);
        }
    }
}
