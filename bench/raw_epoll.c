/* The least that a server can do: the yardstick of bench/run.
 *
 * One process, one level-triggered epoll. A request ends at CRLF CRLF, found by memmem; the answer
 * is always the same bytes, those that remuda sends. All complete requests of a read are answered
 * by one write, which is what makes pipelining cheap. A body is read and thrown away where the
 * method begins with P, as those do that have one. What it costs more to serve than this is the
 * price of HTTP. */
#include "bench/reference.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define IN_BYTES 65536 /* a read takes no more; a head over this ends the connection */

struct conn {
    struct reference_out out;
    bool closing;     /* write what is owed, then close */
    size_t body_left; /* octets of a body that have not come */
    char *part;       /* heap: the start of a request whose end has not come; NULL nearly always */
    size_t part_len;  /* always < IN_BYTES */
};

/* One is enough, and stays in the cache: nothing complete outlives a turn. */
static char in[IN_BYTES];
static int epoll_fd;

static void conn_free(struct conn *c)
{
    reference_end(&c->out);
    free(c->part);
    free(c);
}

static bool conn_watch(struct conn *c, int op, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    return epoll_ctl(epoll_fd, op, c->out.fd, &ev) == 0;
}

/* True when a head asks for the connection to end; the last two bytes of CRLF CRLF excluded.
 * The spelling is the one that our loads use. */
static bool head_is_last(const char *head, size_t len)
{
    static const char field[] = "\r\nConnection: close\r\n";

    return memmem(head, len - 2, field, sizeof(field) - 1) != NULL;
}

/* How long the body behind a head is. Heads of GET are not searched: our loads send none then. */
static size_t body_length(const char *head, size_t len)
{
    static const char field[] = "\r\nContent-Length: ";
    const char *at = head[0] == 'P' ? memmem(head, len, field, sizeof(field) - 1) : NULL;

    return at ? strtoul(at + sizeof(field) - 1, NULL, 10) : 0;
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

/* Writes what the turn has made; false when the connection is of no more use. */
static bool conn_flush(struct conn *c)
{
    if (!reference_flush(&c->out))
        return false;
    if (c->out.owed)
        return conn_watch(c, EPOLL_CTL_MOD, EPOLLOUT);
    return !c->closing || c->body_left > 0;
}

/* Answers every complete request of the len bytes in `in` and keeps the rest. */
static bool conn_answer(struct conn *c, size_t len)
{
    size_t at = 0;

    for (;;) {
        if (c->body_left == 0) {
            char *end = c->closing ? NULL : memmem(in + at, len - at, "\r\n\r\n", 4);
            size_t head_len;

            if (!end)
                break;
            head_len = (size_t)(end - in) + 4 - at;
            c->closing = head_is_last(in + at, head_len);
            c->body_left = body_length(in + at, head_len);
            at += head_len;
        }
        if (c->body_left > 0) {
            size_t came = len - at < c->body_left ? len - at : c->body_left;

            at += came;
            c->body_left -= came;
            if (c->body_left > 0)
                break;
        }
        if (!reference_put(&c->out, c->closing))
            return false;
    }
    return ((len == at && !c->part) || conn_keep(c, in + at, len - at)) && conn_flush(c);
}

static bool conn_on_readable(struct conn *c)
{
    ssize_t n;

    if (c->part_len > 0)
        memcpy(in, c->part, c->part_len);
    n = read(c->out.fd, in + c->part_len, sizeof(in) - c->part_len);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    return conn_answer(c, c->part_len + (size_t)n) && c->part_len < sizeof(in);
}

static bool conn_on_writable(struct conn *c)
{
    if (!reference_resume(&c->out))
        return false;
    return c->out.owed || (!c->closing && conn_watch(c, EPOLL_CTL_MOD, EPOLLIN));
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
        c->out.fd = fd;
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
            else if (!(c->out.owed ? conn_on_writable(c) : conn_on_readable(c)))
                conn_free(c);
        }
    }
}
