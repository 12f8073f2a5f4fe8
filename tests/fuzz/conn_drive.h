/* For fuzz_conn.c: drives the two connections, as workers/client.c does. */
#ifndef REMUDA_TESTS_FUZZ_CONN_DRIVE_H
#define REMUDA_TESTS_FUZZ_CONN_DRIVE_H

#include "tests/fuzz/conn_pool.h"

#define TURN_ROUNDS 16     /* as workers/client.c */
#define IN_BYTES 4096U     /* small, so that requests are cut without a script's help */
#define OUT_MAX (1U << 20) /* more than any step of the application writes */

static void check_bounds(const struct client *client)
{
    const struct conn *c = &client->conn;
    const struct conn_env *env = &world.env;
    RMD_ASSERT(env->in.cap >= IN_BYTES && env->in.cap <= 64U * IN_BYTES);
    RMD_ASSERT(!env->view && env->view_len == 0 && env->out.len == 0 && env->out_sent == 0);
    RMD_ASSERT(c->pending.len <= env->in.cap || c->state == CONN_PROXY);
    RMD_ASSERT(c->pending.len <= PROXY_HEADER_MAX || c->state != CONN_PROXY);
    RMD_ASSERT(c->out.len <= OUT_MAX && c->out_sent <= c->out.len);
    RMD_ASSERT((c->ex != NULL) == (c->state >= CONN_HEAD && c->state <= CONN_AWAY));
    RMD_ASSERT(c->state != CONN_LINGER || !c->is_broken);
    if (!c->ex || c->ex->is_away)
        return;
    RMD_ASSERT(c->ex->store.cap <= 1U << 19 && c->ex->body.len <= env->limits.body);
    RMD_ASSERT(c->ex->body.fd < 0 || c->ex->body.len > env->limits.body_buffer);
    RMD_ASSERT(!c->ex->is_over || c->ex->sink == SINK_DISCARD);
    if (c->state == CONN_AWAY)
        RMD_ASSERT(c->ex->is_away || c->ex->is_back);
    else
        RMD_ASSERT((c->state == CONN_DEFERRED) == (c->ex->req.deferred != NULL));
}

/* As writev(2). Returns how many the socket takes; -1 it is broken */
static ssize_t write_memory(struct client *client, const struct iovec *parts, int n,
                            size_t *out_total)
{
    size_t taken = 0;
    *out_total = 0;
    for (int i = 0; i < n; i++) {
        RMD_ASSERT(parts[i].iov_len > 0);
        size_t fits = client->room - taken;
        size_t len = parts[i].iov_len < fits ? parts[i].iov_len : fits;
        RMD_ASSERT(client->is_unplugged || buf_append(&client->sent, parts[i].iov_base, len) == 0);
        taken += len;
        *out_total += parts[i].iov_len;
    }
    return client->is_unplugged ? -1 : (ssize_t)taken;
}

/* As sendfile(2); -1 also when the file has become shorter. */
static ssize_t write_file(struct client *client, const struct conn_file *file, size_t *out_total)
{
    *out_total = file->len;
    size_t len = file->len < client->room ? file->len : client->room;
    RMD_ASSERT(file->len > 0 && buf_reserve(&client->sent, len + 1) == 0);
    if (len == 0 || client->is_unplugged)
        return client->is_unplugged ? -1 : 0;
    ssize_t n = pread(file->fd, client->sent.data + client->sent.len, len, file->offset);
    RMD_ASSERT(n >= 0 && (n > 0 || world.is_changed));
    client->sent.len += (size_t)n;
    return n == 0 ? -1 : n;
}

/* Returns false when the socket takes no more, or is broken. */
static bool send_some(struct client *client)
{
    struct conn *c = &client->conn;
    struct iovec parts[2];
    for (;;) {
        struct conn_file file;
        size_t total;
        ssize_t sent;
        int n = conn_output(c, parts);
        RMD_ASSERT(n > 0 || !conn_output_has_file(c) || conn_output_file(c, &file));
        if (n > 0)
            sent = write_memory(client, parts, n, &total);
        else if (conn_output_file(c, &file))
            sent = write_file(client, &file, &total);
        else
            return true;
        if (sent < 0) {
            world.is_cut = true;
            conn_fini(c);
            return false;
        }
        if (client->room != ENDLESS)
            client->room -= (size_t)sent;
        if (sent > 0)
            conn_output_sent(c, (size_t)sent);
        if ((size_t)sent < total)
            return false;
    }
}

/* The client's own memory is not the question. */
static bool send_all(struct client *client)
{
    unsigned kept = refuse.memory_in;
    refuse.memory_in = 0;
    bool is_sent = send_some(client);
    refuse.memory_in = kept;
    return is_sent;
}

static bool turn_in_first(void);

/* One read(2) of at most n octets. Returns false when memory was refused, and the end is near */
static bool read_some(struct client *client, size_t n)
{
    char *space = NULL;
    size_t room = 0;
    conn_input_space(&client->conn, &space, &room);
    client->is_filled = n >= room && client->len >= room;
    if (room == 0) {
        RMD_ASSERT(world.is_cut);
        conn_fini(&client->conn);
        return false;
    }
    if (n > room)
        n = room;
    if (n > client->len)
        n = client->len;
    memcpy(space, client->octets, n);
    client->octets += n;
    client->len -= n;
    conn_on_input(&client->conn, n);
    return true;
}

/* As a driver may. Returns whether there is more to do */
static bool read_on(struct client *client)
{
    if (!client->is_filled || client->len == 0 || !conn_has_room_for_body(&client->conn))
        return false;
    (void)read_some(client, client->len);
    return true;
}

static void turn(struct client *client)
{
    struct conn *c = &client->conn;
    world.now = client;
    if (world.n_held > N_TICKETS / 2) /* those of requests that are over pile up */
        (void)turn_in_first();
    for (int round = 0; round < TURN_ROUNDS; round++) {
        conn_process(c);
        if (!send_all(client))
            break;
        if (!conn_can_go_on(c) && (round + 1 == TURN_ROUNDS || !read_on(client)))
            break;
    }
    bool is_cut = c->state == CONN_CLOSED;
    if (c->state == CONN_CLOSING && c->out.len == 0 && world.env.out.len == 0)
        client->has_all = true;
    conn_settle(c);
    if (!is_cut && c->state == CONN_CLOSED) { /* octets that may still come would reset it */
        RMD_ASSERT(!client->is_early || c->is_broken || world.is_cut);
        if (client->len > 0)
            conn_linger(c);
    }
    if (c->is_open_ended &&
        c->state >= CONN_LINGER) /* a quiet end would be taken for the answer's */
        RMD_ASSERT(client->has_all || c->is_broken);
    check_bounds(client);
}

/* Tickets that came in. Returns whether there were any */
static bool deliver(void)
{
    struct rmd_deferred *first = deferred_take(&world.box);
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = first; d; d = next) {
        next = d->next;
        if (d->ex && d == &d->ex->token)
            on_errand_in(d->ex);
        struct conn *c = conn_on_ticket(&world.env, d);
        if (c)
            turn(c == &world.clients[0].conn ? &world.clients[0] : &world.clients[1]);
    }
    return first != NULL;
}

static bool can_turn_in(const struct held *held)
{
    return !held->task->is_given_up || held->task->is_ended;
}

static bool turn_in_first(void)
{
    for (size_t i = 0; i < world.n_held; i++) {
        if (!can_turn_in(&world.held[i]))
            continue;
        turn_in(i);
        return true;
    }
    return false;
}

static void turn_in_last(void)
{
    for (size_t i = world.n_held; i-- > 0;) {
        if (!can_turn_in(&world.held[i]))
            continue;
        turn_in(i);
        return;
    }
}

static bool is_read_from(const struct client *client)
{
    enum conn_wait wait = conn_wait(&client->conn);
    return wait == CONN_WAIT_REQUEST || wait == CONN_WAIT_HEAD || wait == CONN_WAIT_BODY ||
           wait == CONN_WAIT_LINGER;
}

static void feed(struct client *client, size_t n)
{
    if (!is_read_from(client) || client->len == 0)
        return;
    world.now = client;
    (void)read_some(client, n);
    turn(client);
}

/* Lets one go on without its client's help. Returns false when it waits for that, or for the
 * application */
static bool go_on(struct client *client)
{
    enum conn_wait wait = conn_wait(&client->conn);
    if (wait == CONN_WAIT_TIMER && client->conn.resume_us == CONN_NEVER_US)
        return false;
    if (wait == CONN_WAIT_TIMER && client->conn.resume_us > world.env.now_us)
        world.env.now_us = client->conn.resume_us;
    else if (wait != CONN_WAIT_WRITE || client->room == 0)
        return false;
    turn(client);
    return true;
}

/* The client leaves, or is left. */
static void end(struct client *client, void (*how)(struct conn *))
{
    world.now = client;
    how(&client->conn);
    turn(client);
}

#endif
