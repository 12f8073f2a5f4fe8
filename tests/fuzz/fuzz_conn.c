/* Fuzz target: the connection machine, with two connections that share one loop's buffers.
 *
 * An input is a line of script, then octets. Both connections are sent these octets; the script
 * says how they are cut into reads, what the sockets take, when memory is refused, time passes,
 * answers come that were put off, clients leave and a drain begins (THE tables are in set_up() and
 * run_step()). When it is over the rest is sent, and everything is let go on to its end.
 *
 * Whatever happens: all that the application is owed (bodies, consumers, tickets, the end of a
 * request) is paid exactly once, requests stay where the application saw them as long as their
 * answer is under way, there is one answer for each request that was finished, in order, with the
 * octets that were given, none behind one that closes, buffers stay within bounds, descriptors and
 * mappings are given back. And where the script only cuts and delays, each client gets the same
 * octets as one whose request came in one piece, and as one whose bodies were stored before the
 * application got them: so the rest of a body that nobody wanted never eats into a request. */
#include "tests/fuzz/conn_app.h"
#include "tests/fuzz/conn_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TURN_ROUNDS 16     /* as workers/client.c */
#define TURNS_MAX 200000   /* without a step of the script: something spins */
#define IN_BYTES 4096U     /* small, so that requests are cut without a script's help */
#define OUT_MAX (1U << 20) /* more than any step of the application writes */
#define HOUR_US UINT64_C(3600000000)

/* ---- driving, as workers/client.c does ---- */

static void check_bounds(const struct client *client)
{
    const struct conn *c = &client->conn;
    const struct conn_env *env = &world.env;
    RMD_ASSERT(env->in.cap >= IN_BYTES && env->in.cap <= 64U * IN_BYTES);
    RMD_ASSERT(!env->view && env->view_len == 0 && env->out.len == 0 && env->out_sent == 0);
    RMD_ASSERT(c->pending.len <= env->in.cap || c->state == CONN_PROXY);
    RMD_ASSERT(c->pending.len <= PROXY_HEADER_MAX || c->state != CONN_PROXY);
    RMD_ASSERT(c->out.len <= OUT_MAX && c->out_sent <= c->out.len);
    RMD_ASSERT((c->ex != NULL) == (c->state >= CONN_HEAD && c->state <= CONN_DEFERRED));
    RMD_ASSERT(c->state != CONN_LINGER || !c->is_broken);
    if (!c->ex)
        return;
    RMD_ASSERT(c->ex->store.cap <= 1U << 19 && c->ex->body.len <= env->limits.body);
    RMD_ASSERT(c->ex->body.fd < 0 || c->ex->body.len > env->limits.body_buffer);
    RMD_ASSERT(!c->ex->is_over || c->ex->sink == SINK_DISCARD);
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

static void turn(struct client *client)
{
    struct conn *c = &client->conn;
    world.now = client;
    if (world.n_held > N_TICKETS / 2) /* those of requests that are over pile up */
        (void)turn_in_first();
    for (int round = 0; round < TURN_ROUNDS; round++) {
        conn_process(c);
        if (!send_all(client) || !conn_can_go_on(c))
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
    char *space = NULL;
    size_t room = 0;
    world.now = client;
    conn_input_space(&client->conn, &space, &room);
    if (room == 0) { /* memory was refused */
        RMD_ASSERT(world.is_cut);
        conn_fini(&client->conn);
        turn(client);
        return;
    }
    if (n > room)
        n = room;
    if (n > client->len)
        n = client->len;
    memcpy(space, client->octets, n);
    client->octets += n;
    client->len -= n;
    conn_on_input(&client->conn, n);
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

/* ---- the script ---- */

/* Steps that the client of the moment takes. Returns false for others. */
static bool run_client_step(struct client *client, char c)
{
    if (c >= 'a' && c <= 'z') {
        feed(client, (size_t)(c - 'a') + 1); /* a few octets */
    } else if (c >= 'A' && c <= 'Z') {
        feed(client, (size_t)(c - 'A' + 1) * 331U); /* more of them */
    } else if (c >= '0' && c <= '9') {
        client->room = (size_t)(c - '0') * (size_t)(c - '0') * 977U; /* the socket takes so many */
        (void)go_on(client);
    } else if (c == '!') {
        client->room = ENDLESS;
        (void)go_on(client);
    } else if (c == '.') {
        turn(client); /* woken for nothing */
    } else {
        return false;
    }
    return true;
}

/* Time has passed in which a body should have come. */
static void note_slow_clients(void)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        uint8_t state = client->conn.state;
        client->is_slow |= state == CONN_LENGTH || state == CONN_CHUNKED;
    }
}

/* THE table of the other steps. */
static void run_step(struct client *client, char c)
{
    switch (c) {
    case '+':
        world.env.now_us += 1000;
        (void)go_on(client);
        break;
    case '>':
        world.is_cut = world.is_changed = true;
        world.env.now_us += HOUR_US;
        note_slow_clients();
        (void)go_on(client);
        break;
    case '@': /* the oldest ticket */
        (void)turn_in_first();
        (void)deliver();
        break;
    case '~': /* the newest, but the loop does not look yet */
        turn_in_last();
        break;
    case '#':
        if (conn_wait(&client->conn) == CONN_WAIT_TIMER)
            break;
        world.is_cut = client->is_slow = true;
        end(client, conn_on_timeout);
        break;
    case '$':
        world.is_cut = true;
        end(client, conn_fini);
        break;
    case '<':
        if (!is_read_from(client) && conn_wait(&client->conn) != CONN_WAIT_TIMER)
            break;
        world.is_cut = true;
        end(client, conn_on_eof);
        break;
    case '&':
        client->is_unplugged = true;
        break;
    case '%':
        world.is_changed = true;
        world.env.is_draining = true;
        break;
    case ';':
        world.is_changed = true;
        RMD_ASSERT(ftruncate(world.file_fd, 700) == 0);
        break;
    default:
        break;
    }
}

/* THE table of refusals. Returns whether it is one */
static bool refuse_step(char c)
{
    if (c == '"')
        refuse.memfd = true;
    else if (c == '\'')
        refuse.map = true;
    else if (c == '?')
        refuse.write = true;
    else if (c == '\\')
        refuse.memory_in += 8;
    else if (c >= '(' && c <= '/' && c != '+' && c != '.')
        refuse.memory_in = (unsigned)(c - '(') + 1; /* ()*,-/ */
    else
        return false;
    world.is_cut = true;
    return true;
}

static void run_script(const char *at, const char *script_end)
{
    struct client *client = &world.clients[0];
    for (; at < script_end; at++) {
        if (*at == '^')
            client = client == world.clients ? client + 1 : client - 1;
        else if (!refuse_step(*at) && !run_client_step(client, *at))
            run_step(client, *at);
    }
}

/* ---- an input ---- */

/* THE table of what a script sets for all of its run, wherever it says so. */
static void set_up(const char *at, const char *script_end, struct http_limits *limits)
{
    static const struct network any = {.kind = NETWORK_ANY};
    static const struct network near = {
        .kind = NETWORK_V4, .low = 0x0a000000, .low_mask = 0xff000000, .bits = 8};
    static const struct network_list all = {.items = &any, .n = 1};
    static const struct network_list trusted = {.items = &near, .n = 1};
    static struct forwarded_rules rules;
    struct conn_env *env = &world.env;
    limits->answer_us = 20000;
    for (; at < script_end; at++) {
        switch (*at) {
        case '=':
            *limits = (struct http_limits){.request_line = 100,
                                           .fields = 4,
                                           .field_size = 64,
                                           .head = 256,
                                           .body = 64,
                                           .body_buffer = 16,
                                           .pipelined = 3,
                                           .answer_us = limits->answer_us};
            break;
        case '}':
            limits->body_buffer = 16;
            break;
        case '_':
            limits->pipelined = 1;
            break;
        case '[':
        case ']':
        case '|':
            env->proxies = &all;
            env->proxy_version = *at == '['   ? PROXY_VERSION_1
                                 : *at == ']' ? PROXY_VERSION_2
                                              : PROXY_VERSION_ANY;
            break;
        case '{':
            forwarded_rules_init(&rules, &trusted, NULL, 0, FORWARDED_LOOK_ANY);
            env->forwarded = &rules;
            break;
        case ':':
            env->box = NULL;
            break;
        case '`': /* the application may take its time */
            limits->answer_us = 0;
            break;
        default:
            break;
        }
    }
    limits->body_grace_us = HOUR_US / 2; /* so that only a step of the script is so slow */
    limits->body_min_rate = 1;
}

static void open_file(void)
{
    static bool is_open;
    if (!is_open) {
        is_open = true;
        for (size_t i = 0; i < sizeof big; i++)
            big[i] = (char)('a' + i % 23);
        world.file_fd = memfd_create("fuzz-conn", MFD_CLOEXEC);
        RMD_ASSERT(world.file_fd >= 0 && deferred_open(&world.box) == 0);
    }
    struct stat st;
    RMD_ASSERT(fstat(world.file_fd, &st) == 0);
    if (st.st_size != FILE_BYTES)
        RMD_ASSERT(pwrite(world.file_fd, big, FILE_BYTES, 0) == FILE_BYTES);
}

/* is_streamed: whether the application gets bodies as they come */
static void open_world(struct str script, struct str octets, bool is_streamed)
{
    static const struct http_limits usual = LIMITS_DEFAULT;
    struct http_limits limits = usual;
    struct peer peer = {
        .address.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)}};
    open_file();
    refuse.n_fds = refuse.n_maps = 0;                 /* whoever runs this may have used them too */
    set_up(script.p, script.p + script.len, &limits); /* for the limits, which come first */
    RMD_ASSERT(conn_env_init(&world.env, &limits, app_router(is_streamed), &app_hooks, NULL,
                             IN_BYTES) == 0);
    world.env.box = &world.box;
    set_up(script.p, script.p + script.len, &limits);
    world.env.id_header = STR(ID_HEADER);
    world.env.now_us = 1000000;
    conn_env_set_time(&world.env, 1700000000, STR("remuda"));
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        *client = (struct client){.octets = octets.p, .len = octets.len, .room = ENDLESS};
        conn_init(&client->conn, &world.env, &peer);
    }
}

static void close_world(void)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        end(client, conn_fini);
        RMD_ASSERT(!client->conn.ex && client->conn.state == CONN_CLOSED);
        buf_fini(&client->sent);
        free(client->outcomes);
        *client = (struct client){0};
    }
    while (turn_in_first())
        continue;
    deliver();
    RMD_ASSERT(world.n_held == 0 && world.n_handled == 0 && world.n_owed == 0);
    conn_env_fini(&world.env);
    RMD_ASSERT(refuse.n_fds == 0 && refuse.n_maps == 0);
}

/* Lets a client go on in any way there is. Returns false when there is none */
static bool go_on_anyhow(struct client *client)
{
    if (deliver()) /* an answer may have put its own off once more */
        return true;
    if (client->conn.state == CONN_DEFERRED && turn_in_first())
        return true;
    if (is_read_from(client) && client->len > 0) {
        feed(client, SIZE_MAX);
        return true;
    }
    return go_on(client);
}

/* Sends all the rest, as much at once as is read, until only the clients could do something. */
static void run_to_end(void)
{
    refuse.memory_in = 0;
    refuse.memfd = refuse.map = refuse.write = false;
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        client->room = ENDLESS;
        for (int n = 0; go_on_anyhow(client); n++)
            RMD_ASSERT(n < TURNS_MAX);
    }
}

/* Keeps what the clients got, and ends. */
static void take_clients(struct client *out)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        check_answers(&world.clients[i]);
        end(&world.clients[i], conn_fini);
        hide_ids(&world.clients[i]);
        out[i] = world.clients[i];
        world.clients[i].sent = (struct buf){0};
        world.clients[i].outcomes = NULL;
        world.clients[i].n_outcomes = world.clients[i].outcomes_room = 0;
    }
    close_world();
}

static void free_clients(struct client *clients)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        buf_fini(&clients[i].sent);
        free(clients[i].outcomes);
    }
}

static void compare(struct str script, struct str octets, const struct client *got)
{
    struct client whole[N_CLIENTS];
    open_world(script, octets, true);
    run_to_end();
    take_clients(whole);
    for (int i = 0; i < N_CLIENTS; i++)
        check_same(&got[i], &whole[0]);
    if (!world.is_long) {
        struct client stored[N_CLIENTS];
        open_world(script, octets, false);
        run_to_end();
        take_clients(stored);
        check_same_start(&whole[0], &stored[0]);
        free_clients(stored);
    }
    free_clients(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line_end = size > 0 ? memchr(data, '\n', size) : NULL;
    if (!line_end || line_end - (const char *)data > 2000)
        return 0;
    struct str script = str_make((const char *)data, (size_t)(line_end - (const char *)data));
    struct str octets = str_make(line_end + 1, size - script.len - 1);
    struct client got[N_CLIENTS];
    world.is_cut = world.is_changed = world.is_long = false;
    open_world(script, octets, true);
    run_script(script.p, script.p + script.len);
    run_to_end();
    take_clients(got);
    /* Whether 100 is sent, and what follows, depends on what has come already. */
    if (!world.is_cut && !world.is_changed && !mentions(octets.p, octets.len, "100-continue"))
        compare(script, octets, got);
    free_clients(got);
    return 0;
}
