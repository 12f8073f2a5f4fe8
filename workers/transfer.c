/* See transfer.h. */
#include "workers/transfer.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#define TURN_ROUNDS 16          /* writes a turn for one connection, so that others get theirs */
#define TURN_BODY_BYTES 1048576 /* of a body, likewise: when so many have come it is enough */

static struct web *web_of(const struct transfer *t)
{
    return t->conn.env->owner;
}

/* ---- its life ---- */

/* Keeps what is known of the address; a mapped one of a dual-stack socket as the IPv4 address it
 * is. */
static struct peer peer_from(const struct sockaddr_storage *address)
{
    struct peer peer = {0};
    memcpy(&peer.address, address, sizeof peer.address);
    if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.address.v6.sin6_addr)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = peer.address.v6.sin6_port};
        memcpy(&v4.sin_addr, &peer.address.v6.sin6_addr.s6_addr[12], 4);
        peer.address.v4 = v4;
    }
    return peer;
}

void transfer_open(struct transfer *t, struct web *web, int fd,
                   const struct sockaddr_storage *address)
{
    struct peer peer = peer_from(address);
    conn_init(&t->conn, &web->env, &peer);
    t->fd = fd;
    t->is_tcp = address->ss_family != AF_UNIX;
    web_count(&web->part.head->accepted, 1);
    (void)transfer_read(t);
}

void transfer_close(struct transfer *t)
{
    conn_fini(&t->conn);
    if (t->conn.is_broken) { /* an end without reset would look like that of the answer */
        struct linger reset = {.l_onoff = 1};
        (void)setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    (void)close(t->fd);
}

/* ---- reading ---- */

/* While it waits nothing is read, but a client that leaves must be noticed before the next write,
 * which may be an hour away. One that only ends its side is taken as gone, as others do. */
static bool peek(struct transfer *t)
{
    char octet;
    ssize_t n = recv(t->fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        conn_on_eof(&t->conn);
    return n > 0;
}

/* Returns octets; 0: there is nothing to be had now, or ever. */
static size_t read_some(struct transfer *t)
{
    char *space;
    size_t room;
    conn_input_space(&t->conn, &space, &room);
    ssize_t n = room > 0 ? read(t->fd, space, room) : -1;
    t->is_filled = n > 0 && (size_t)n == room;
    if (n > 0) {
        web_count(&web_of(t)->part.head->bytes_in, (uint64_t)n);
        conn_on_input(&t->conn, (size_t)n);
    } else if (n == 0) {
        conn_on_eof(&t->conn);
    } else if (room == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn_fini(&t->conn); /* no memory, or a reset */
    }
    return n > 0 ? (size_t)n : 0;
}

bool transfer_read(struct transfer *t)
{
    /* Not conn_wait(): the stream's time may have come a moment before its timer. */
    uint8_t state = t->conn.state;
    if (__builtin_expect(state == CONN_STREAM || state == CONN_DEFERRED || state == CONN_AWAY, 0))
        return peek(t);
    (void)read_some(t);
    return false;
}

/* ---- writing ---- */

/* One system call's worth out of memory. *out_total: octets there were */
static ssize_t send_memory(const struct transfer *t, struct iovec *parts, int n, size_t *out_total)
{
    *out_total = parts[0].iov_len + (n > 1 ? parts[1].iov_len : 0);
    if (__builtin_expect(conn_output_has_file(&t->conn), 0)) { /* shares its last segment */
        struct msghdr head = {.msg_iov = parts, .msg_iovlen = (size_t)n};
        return sendmsg(t->fd, &head, MSG_MORE | MSG_NOSIGNAL);
    }
    return n == 1 ? write(t->fd, parts[0].iov_base, parts[0].iov_len) : writev(t->fd, parts, n);
}

/* And out of a file; one that has become shorter ends the connection. */
static ssize_t send_file(const struct transfer *t, struct conn_file *file, size_t *out_total)
{
    *out_total = file->len;
    ssize_t sent = sendfile(t->fd, file->fd, &file->offset, file->len);
    if (sent == 0)
        errno = EIO;
    return sent == 0 ? -1 : sent;
}

/* Writes what there is. Returns false when the socket takes no more or is broken */
static bool send_all(struct transfer *t)
{
    struct iovec parts[2];
    for (;;) {
        size_t total;
        ssize_t sent;
        struct conn_file file;
        int n = conn_output(&t->conn, parts);
        if (n > 0)
            sent = send_memory(t, parts, n, &total);
        else if (conn_output_file(&t->conn, &file))
            sent = send_file(t, &file, &total);
        else
            return true;
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno != EAGAIN)
                conn_fini(&t->conn);
            return false;
        }
        web_count(&web_of(t)->part.head->bytes_out, (uint64_t)sent);
        t->given += (uint64_t)sent;
        conn_output_sent(&t->conn, (size_t)sent);
        if ((size_t)sent < total)
            return false; /* the socket's buffer is full: no need to be told with EAGAIN */
        if (__builtin_expect(conn_is_sent(&t->conn), 1))
            return true;
    }
}

static bool has_unread(const struct transfer *t)
{
    char octet;
    return recv(t->fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The last read had no room for all that there was, and a body goes on: to where it stays, and
 * while it is this client's turn. What is read in one go is still in the CPU's cache when the
 * handler comes to it; bodies of many clients, each a piece at a time, are not.
 * left      octets that may be read this turn; what came is taken off
 * Returns   whether something came */
__attribute__((cold, noinline)) static bool read_on(struct transfer *t, size_t *left)
{
    if (*left == 0 || !conn_has_room_for_body(&t->conn))
        return false;
    size_t n = read_some(t);
    *left -= n < *left ? n : *left;
    return n > 0 || t->conn.state == CONN_CLOSED;
}

void transfer_turn(struct transfer *t)
{
    size_t left = TURN_BODY_BYTES;
    for (int round = 0; round < TURN_ROUNDS; round++) {
        conn_process(&t->conn);
        if (!send_all(t))
            break;
        bool may_read = t->is_filled && round + 1 < TURN_ROUNDS; /* what comes is processed, too */
        if (!conn_can_go_on(&t->conn) && !(may_read && read_on(t, &left)))
            break;
    }
    bool is_cut = t->conn.state == CONN_CLOSED;
    conn_settle(&t->conn);
    if (!is_cut && !t->conn.is_broken && t->conn.state == CONN_CLOSED && has_unread(t))
        conn_linger(&t->conn);
}

void transfer_look_last(struct transfer *t)
{
    if (t->conn.state == CONN_IDLE || t->conn.state == CONN_PROXY)
        (void)read_some(t);
    transfer_turn(t);
}

/* ---- what the client has taken ---- */

/* Octets in the socket that the client has not taken. */
static int count_queued(const struct transfer *t)
{
    int n = 0;
    return ioctl(t->fd, SIOCOUTQ, &n) < 0 ? 0 : n;
}

void transfer_begin_waiting(struct transfer *t)
{
    t->blocked_us = t->looked_us = t->moved_us = t->conn.env->now_us;
    t->queued = count_queued(t);
    t->given = t->taken = 0;
}

/* What the kernel takes from us says little: it makes its buffer larger on its own account, up to
 * megabytes, and calls a socket writable only when a third of it is free. So this counts what has
 * left the buffer: for TCP what was acknowledged. A unix socket counts its overhead too, but its
 * buffer never grows, so there what it took is what the client took. */
bool transfer_is_taking(struct transfer *t)
{
    const struct settings *settings = web_of(t)->settings;
    uint64_t now_us = t->conn.env->now_us;
    int queued = count_queued(t);
    uint64_t taken = t->given;
    if (t->is_tcp || queued < t->queued)
        taken = (uint64_t)((int64_t)taken + t->queued - queued);
    t->looked_us = now_us;
    if (taken > t->taken) {
        t->taken = taken;
        t->moved_us = now_us;
    }
    uint64_t limit_us = settings->write_timeout_us;
    return now_us < t->moved_us + limit_us &&
           !limits_is_too_slow(now_us - t->blocked_us, taken, limit_us,
                               (uint32_t)settings->write_min_rate_bytes);
}

void transfer_give_up(struct transfer *t)
{
    t->conn.is_broken = true;
    conn_on_timeout(&t->conn);
}
