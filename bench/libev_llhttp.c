/* The least that a server on remuda's own two libraries can do: libev watches, llhttp parses.
 *
 * What it costs over raw_epoll.c is the price of a real parser and a portable loop; what remuda
 * costs over this one is remuda's own. The answer is always the same bytes; all requests of a read
 * are answered by one write. llhttp has one callback here, so header fields and bodies are parsed
 * and thrown away. No limits, no timeouts: the guards of http/guard.c are what it lacks on
 * purpose. */
#include "bench/reference.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ev.h>
#include <llhttp.h>

#define IN_BYTES 65536

struct conn {
    ev_io io; /* io.data is the conn */
    llhttp_t parser;
    struct reference_out out;
    bool closing; /* write what is owed, then close */
};

/* One is enough: nothing is kept between two reads but the parser's state. */
static char in[IN_BYTES];
static llhttp_settings_t settings;

static void conn_free(struct ev_loop *loop, struct conn *c)
{
    ev_io_stop(loop, &c->io);
    reference_end(&c->out);
    free(c);
}

static void conn_watch(struct ev_loop *loop, struct conn *c, int events)
{
    ev_io_stop(loop, &c->io);
    ev_io_modify(&c->io, events);
    ev_io_start(loop, &c->io);
}

static int on_message_complete(llhttp_t *parser)
{
    struct conn *c = parser->data;

    if (c->closing)
        return HPE_OK;
    c->closing = !llhttp_should_keep_alive(parser);
    return reference_put(&c->out, c->closing) ? HPE_OK : HPE_USER;
}

/* False when the connection is of no more use. */
static bool conn_on_readable(struct ev_loop *loop, struct conn *c)
{
    ssize_t n = read(c->io.fd, in, sizeof(in));

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    if (llhttp_execute(&c->parser, in, (size_t)n) != HPE_OK)
        c->closing = true;
    if (!reference_flush(&c->out))
        return false;
    if (c->out.owed)
        conn_watch(loop, c, EV_WRITE);
    return !c->closing || c->out.owed;
}

static bool conn_on_writable(struct ev_loop *loop, struct conn *c)
{
    if (!reference_resume(&c->out))
        return false;
    if (c->out.owed)
        return true;
    conn_watch(loop, c, EV_READ);
    return !c->closing;
}

static void on_conn(struct ev_loop *loop, ev_io *io, int events)
{
    struct conn *c = io->data;

    reference_tick((time_t)ev_now(loop));
    if (!(events & EV_WRITE ? conn_on_writable(loop, c) : conn_on_readable(loop, c)))
        conn_free(loop, c);
}

static void on_listener(struct ev_loop *loop, ev_io *io, int events)
{
    int fd;

    (void)events;
    reference_tick((time_t)ev_now(loop));
    while ((fd = reference_accept(io->fd)) >= 0) {
        struct conn *c = calloc(1, sizeof(*c));

        if (!c) {
            close(fd);
            continue;
        }
        llhttp_init(&c->parser, HTTP_REQUEST, &settings);
        c->parser.data = c;
        c->out.fd = fd;
        ev_io_init(&c->io, on_conn, fd, EV_READ);
        c->io.data = c;
        ev_io_start(loop, &c->io);
        if (!conn_on_readable(loop, c))
            conn_free(loop, c);
    }
}

int main(int argc, char **argv)
{
    int listen_fd = reference_init(argc, argv);
    struct ev_loop *loop = ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV);
    ev_io listener;

    if (!loop) {
        fprintf(stderr, "%s: libev has no epoll here\n", argv[0]);
        return 2;
    }
    llhttp_settings_init(&settings);
    settings.on_message_complete = on_message_complete;
    ev_io_init(&listener, on_listener, listen_fd, EV_READ);
    ev_io_start(loop, &listener);
    ev_run(loop, 0);
    return 0;
}
