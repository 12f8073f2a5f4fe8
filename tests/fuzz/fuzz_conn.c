/* Fuzz target: the connection machine, with two connections that share one loop's buffers.
 *
 * An input is a line of script, then octets. Both connections are sent these octets; the script
 * says how they are cut into reads, what the sockets take, when memory is refused, time passes,
 * clients leave and a drain begins (THE table is in run_step()). When it is over the rest is sent,
 * and everything is let go on to its end.
 *
 * Whatever happens: every body is paid for exactly once, requests stay where the application saw
 * them as long as their answer is under way, there is one answer for each request that was
 * finished, in order, none behind one that closes, buffers stay within bounds. And where the script
 * only cuts and delays, each client gets the same octets as one whose request came in one piece. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "http/exchange.h"

/* ---- memory that can be refused: the three sources that allocate, with another malloc ---- */

static unsigned refuse_in; /* the allocation of that number, from now, is refused; 0: none */

static int is_refused(void)
{
    return refuse_in > 0 && --refuse_in == 0;
}

static void *try_malloc(size_t bytes)
{
    return is_refused() ? NULL : malloc(bytes);
}

static void *try_calloc(size_t n, size_t bytes)
{
    return is_refused() ? NULL : calloc(n, bytes);
}

static void *try_realloc(void *data, size_t bytes)
{
    return is_refused() ? NULL : realloc(data, bytes);
}

#define malloc try_malloc
#define calloc try_calloc
#define realloc try_realloc
#include "base/arena.c"
#include "base/buf.c"
#include "http/exchange.c"
#undef malloc
#undef calloc
#undef realloc

#include "base/err.h"
#include "base/panic.h"
#include "http/conn.h"
#include "http/router.h"
#include "http/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_CLIENTS 2
#define TURN_ROUNDS 16      /* as workers/client.c */
#define TURNS_MAX 200000    /* without a step of the script: something spins */
#define IN_BYTES 4096U      /* small, so that requests are cut without a script's help */
#define OUT_MAX (1U << 20)  /* more than any step of the application writes */
#define FINISHED_MAX 16384U /* requests of one connection; the shortest has 18 octets */
#define BIG_BYTES 70000U    /* more than is copied, and than is sent in one go */
#define ENDLESS SIZE_MAX
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

/* One answer that is over: what its request was, and how it ended. */
struct outcome {
    int status; /* 0: cut off */
    bool is_head;
};

struct client {
    struct conn conn;
    const char *octets; /* that it has still to send */
    size_t len;
    size_t room;     /* that its socket takes */
    struct buf sent; /* what it got */
    struct outcome *outcomes;
    size_t n_outcomes;
};

static struct {
    struct conn_env env;
    struct client clients[N_CLIENTS];
    struct client *now; /* whose turn it is */
    struct router *router;
    long n_owed;     /* done callbacks */
    bool is_cut;     /* something was done to a connection that may cut its answers */
    bool is_changed; /* something was done that may change answers */
} world;

static char big[BIG_BYTES];

/* ---- the application ---- */

#define STATE_MAGIC 0x51a7eU

/* What an answer that goes on for longer remembers: copies of the request, to compare. */
struct state {
    unsigned magic;
    struct rmd_request *req;
    struct str body;
    char *body_copy;
    struct str target;
    char *target_copy;
    struct str script; /* of a stream: the last segment of its path */
    size_t at;
};

static char *copy_of(struct str s)
{
    char *copy = malloc(s.len + 1);
    RMD_ASSERT(copy);
    if (s.len > 0)
        memcpy(copy, s.p, s.len);
    return copy;
}

static struct state *remember(struct rmd_request *req)
{
    struct state *state = malloc(sizeof *state);
    RMD_ASSERT(state);
    struct str target = request_target(req);
    *state = (struct state){.magic = STATE_MAGIC,
                            .req = req,
                            .body = req->body,
                            .body_copy = copy_of(req->body),
                            .target = target,
                            .target_copy = copy_of(target)};
    world.n_owed++;
    return state;
}

static void check_unmoved(const struct state *state)
{
    RMD_ASSERT(state->magic == STATE_MAGIC);
    RMD_ASSERT(str_is_equal(state->body, str_make(state->body_copy, state->body.len)));
    RMD_ASSERT(str_is_equal(state->target, str_make(state->target_copy, state->target.len)));
    struct str target = request_target(state->req);
    RMD_ASSERT(target.p == state->target.p && target.len == state->target.len);
}

static void on_done(void *arg)
{
    struct state *state = arg;
    check_unmoved(state);
    state->magic = 0;
    free(state->body_copy);
    free(state->target_copy);
    free(state);
    RMD_ASSERT(world.n_owed > 0);
    world.n_owed--;
}

static void give(rmd_response *res, const char *body, size_t len)
{
    res->status = 200;
    res->kind = RESPONSE_BYTES;
    res->body = body;
    res->body_len = len;
}

static void on_root(rmd_request *req, rmd_response *res)
{
    (void)req;
    give(res, "hello\n", 6);
}

static void on_echo(rmd_request *req, rmd_response *res)
{
    give(res, req->body.p, req->body.len);
    res->done = on_done;
    res->done_arg = remember(req);
}

static void on_big(rmd_request *req, rmd_response *res)
{
    give(res, big, sizeof big);
    res->done = on_done;
    res->done_arg = remember(req);
}

static void on_status(rmd_request *req, rmd_response *res)
{
    uint64_t status;
    if (str_parse_u64(req->match.params[0].value, 999, &status))
        status = 200;
    give(res, "body\n", 5);
    res->status = status < 200 || status > 599 ? 599 : (int)status;
}

/* Digits: so many octets, and now and then a wait; x: cut off; other letters: nothing. In front of
 * the script goes the request's body, a bit a call. */
static int produce(rmd_writer *out, void *arg)
{
    struct state *state = arg;
    check_unmoved(state);
    if (state->body.len > 0) {
        size_t n = state->body.len < 1000 ? state->body.len : 1000;
        out->is_failed = buf_append(out->out, state->body.p, n) < 0;
        return RMD_END;
    }
    if (state->at == state->script.len)
        return RMD_END;
    char c = state->script.p[state->at++];
    if (c == 'x')
        return RMD_ABORT;
    if (c < '0' || c > '9')
        return c == 'w' ? 1 : 0;
    size_t n = (size_t)(c - '0') * (size_t)(c - '0') * 400U;
    if (buf_append(out->out, big, n) < 0)
        out->is_failed = true;
    return c % 3;
}

static void on_stream(rmd_request *req, rmd_response *res)
{
    struct state *state = remember(req);
    state->script = req->match.params[0].value;
    res->status = 200;
    res->kind = RESPONSE_STREAM;
    res->produce = produce;
    res->done = on_done;
    res->done_arg = state;
}

/* ---- the hooks ---- */

static void on_handle(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    (void)owner;
    RMD_ASSERT(req->magic == REQUEST_MAGIC && req->base);
    if (req->match.route)
        req->match.route->decl->handler(req, res);
    else
        response_error_page(res, req->arena, req->outcome == ROUTER_NOT_ALLOWED ? 405 : 404);
}

static void on_error(void *owner, struct rmd_request *req, struct rmd_response *res, int status)
{
    (void)owner;
    response_error_page(res, req->arena, status);
}

/* As a worker's log does, everything that a request has is read once more. */
static void on_finished(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    (void)owner;
    if (req->head.bytes > 0)
        free(copy_of(request_target(req)));
    if (req->base)
        (void)request_find(req, STR("x-request-id"), NULL);
    struct client *client = world.now;
    RMD_ASSERT(client->n_outcomes < FINISHED_MAX);
    client->outcomes[client->n_outcomes++] =
        (struct outcome){.status = res->status, .is_head = strcmp(req->method, "HEAD") == 0};
}

static void on_given_up(void *owner, const struct peer *peer)
{
    (void)owner;
    (void)peer;
}

static void on_parked(void *owner, struct rmd_request *req)
{
    (void)owner;
    RMD_ASSERT(req->board_entry == UINT32_MAX && req->base);
    req->board_entry = 1;
}

/* ---- driving, as workers/client.c does ---- */

static void check_bounds(const struct client *client)
{
    const struct conn *c = &client->conn;
    const struct conn_env *env = &world.env;
    RMD_ASSERT(env->in.cap >= IN_BYTES && env->in.cap <= 64U * IN_BYTES);
    RMD_ASSERT(c->pending.len <= env->in.cap && c->out.len <= OUT_MAX);
    if (c->ex)
        RMD_ASSERT(c->ex->store.cap <= 1U << 19 && c->ex->body.len <= env->limits.body);
    RMD_ASSERT((c->ex != NULL) == (c->state >= CONN_HEAD && c->state <= CONN_STREAM));
}

/* Returns false when the socket takes no more. */
static bool send_some(struct client *client)
{
    struct iovec parts[2];
    for (int n; (n = conn_output(&client->conn, parts)) > 0;) {
        size_t taken = 0;
        size_t total = 0;
        for (int i = 0; i < n; i++) {
            RMD_ASSERT(parts[i].iov_len > 0);
            size_t fits = client->room - taken;
            size_t len = parts[i].iov_len < fits ? parts[i].iov_len : fits;
            RMD_ASSERT(buf_append(&client->sent, parts[i].iov_base, len) == 0);
            taken += len;
            total += parts[i].iov_len;
        }
        if (client->room != ENDLESS)
            client->room -= taken;
        if (taken > 0)
            conn_output_sent(&client->conn, taken);
        if (taken < total)
            return false;
    }
    return true;
}

/* The client's own memory is not the question. */
static bool send_all(struct client *client)
{
    unsigned kept = refuse_in;
    refuse_in = 0;
    bool is_sent = send_some(client);
    refuse_in = kept;
    return is_sent;
}

static void turn(struct client *client)
{
    world.now = client;
    for (int round = 0; round < TURN_ROUNDS; round++) {
        conn_process(&client->conn);
        if (!send_all(client) || !conn_can_go_on(&client->conn))
            break;
    }
    conn_settle(&client->conn);
    check_bounds(client);
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

/* Lets one go on without its client's help. Returns false when it waits for that */
static bool go_on(struct client *client)
{
    enum conn_wait wait = conn_wait(&client->conn);
    if (wait == CONN_WAIT_TIMER && client->conn.resume_us > world.env.now_us)
        world.env.now_us = client->conn.resume_us;
    else if (wait != CONN_WAIT_WRITE || client->room == 0)
        return false;
    turn(client);
    return true;
}

static void end(struct client *client)
{
    world.now = client;
    conn_fini(&client->conn);
    turn(client);
}

/* THE table of steps. */
static void run_step(struct client *client, char c)
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
    } else if (c == '+') {
        world.env.now_us += 1000;
        (void)go_on(client);
    } else if (c == '.') {
        turn(client); /* woken for nothing */
    } else if (c == '#' && conn_wait(&client->conn) != CONN_WAIT_TIMER) {
        world.is_cut = true;
        world.now = client;
        conn_on_timeout(&client->conn);
        turn(client);
    } else if (c == '$') {
        world.is_cut = true;
        end(client); /* the client leaves */
    } else if (c == '%') {
        world.is_changed = true;
        world.env.is_draining = true;
    } else if (c >= '(' && c <= '/') {
        world.is_cut = true;
        refuse_in = (unsigned)(c - '(') + 1; /* ()*,-/ */
    }
}

static void open_world(const char *octets, size_t len, bool is_small)
{
    static const struct conn_hooks hooks = {.handle = on_handle,
                                            .error = on_error,
                                            .given_up = on_given_up,
                                            .finished = on_finished,
                                            .parked = on_parked};
    struct http_limits limits = LIMITS_DEFAULT;
    if (is_small)
        limits = (struct http_limits){.request_line = 100,
                                      .fields = 4,
                                      .field_size = 64,
                                      .head = 256,
                                      .body = 64,
                                      .body_buffer = 16,
                                      .pipelined = 3};
    struct peer peer = {.address.v4 = {.sin_family = AF_INET}};
    RMD_ASSERT(conn_env_init(&world.env, &limits, world.router, &hooks, NULL, IN_BYTES) == 0);
    world.env.now_us = 1000000;
    conn_env_set_time(&world.env, 1700000000, STR("remuda"));
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        *client = (struct client){.octets = octets, .len = len, .room = ENDLESS};
        client->outcomes = malloc(FINISHED_MAX * sizeof client->outcomes[0]);
        RMD_ASSERT(client->outcomes);
        conn_init(&client->conn, &world.env, &peer);
    }
}

static void close_world(void)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        end(client);
        RMD_ASSERT(!client->conn.ex && client->conn.state == CONN_CLOSED);
        buf_fini(&client->sent);
        free(client->outcomes);
    }
    RMD_ASSERT(world.n_owed == 0);
    conn_env_fini(&world.env);
}

/* Sends all the rest, as much at once as is read, until only the clients could do something. */
static void run_to_end(void)
{
    refuse_in = 0;
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        client->room = ENDLESS;
        for (int n = 0; go_on(client) || (is_read_from(client) && client->len > 0); n++) {
            RMD_ASSERT(n < TURNS_MAX);
            if (is_read_from(client))
                feed(client, SIZE_MAX);
        }
    }
}

/* ---- what the clients got ---- */

static struct str find_field(struct str head, const char *name)
{
    const char *at = memmem(head.p, head.len, name, strlen(name));
    if (!at)
        return (struct str){0};
    at += strlen(name);
    return str_make(at, (size_t)((const char *)memchr(at, '\r', SIZE_MAX / 2) - at));
}

/* Where a chunked body ends; NULL: it is cut. */
static const char *skip_chunks(const char *at, const char *end_of_all)
{
    for (;;) {
        const char *line_end = memmem(at, (size_t)(end_of_all - at), "\r\n", 2);
        if (!line_end)
            return NULL;
        size_t size = 0;
        RMD_ASSERT(line_end > at);
        for (; at < line_end; at++) {
            const char *digit = strchr("0123456789abcdef", *at);
            RMD_ASSERT(digit && *at);
            size = size * 16 + (size_t)(digit - "0123456789abcdef");
        }
        at += 2;
        if (size + 2 > (size_t)(end_of_all - at))
            return NULL;
        RMD_ASSERT(at[size] == '\r' && at[size + 1] == '\n');
        at += size + 2;
        if (size == 0)
            return at;
    }
}

/* One answer for each outcome, in order; only the last may be cut, and only for a reason. */
static void check_answers(const struct client *client)
{
    const char *at = client->sent.len > 0 ? client->sent.data : "";
    const char *const end_of_all = at + client->sent.len;
    bool is_over = false;
    for (size_t i = 0; i < client->n_outcomes; i++) {
        const struct outcome *outcome = &client->outcomes[i];
        while ((size_t)(end_of_all - at) >= sizeof CONTINUE - 1 &&
               memcmp(at, CONTINUE, sizeof CONTINUE - 1) == 0)
            at += sizeof CONTINUE - 1;
        if (at == end_of_all && world.is_cut)
            return;
        RMD_ASSERT(!is_over);
        const char *head_end = memmem(at, (size_t)(end_of_all - at), "\r\n\r\n", 4);
        RMD_ASSERT(head_end || world.is_cut);
        if (!head_end)
            return;
        struct str head = str_make(at, (size_t)(head_end + 4 - at));
        RMD_ASSERT(memcmp(at, "HTTP/1.1 ", 9) == 0);
        int status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + at[11] - '0';
        RMD_ASSERT(outcome->status == 0 || outcome->status == status);
        is_over = str_is_equal(find_field(head, "\r\nConnection: "), STR("close"));
        at += head.len;
        struct str length = find_field(head, "\r\nContent-Length: ");
        bool is_chunked = find_field(head, "\r\nTransfer-Encoding: ").len > 0;
        uint64_t n = 0;
        if (outcome->is_head || response_is_bodiless(status))
            continue;
        if (is_chunked) {
            at = skip_chunks(at, end_of_all);
            RMD_ASSERT((at != NULL) == (outcome->status != 0) || world.is_cut);
            if (!at)
                return;
        } else if (length.len > 0) {
            RMD_ASSERT(str_parse_u64(length, SIZE_MAX, &n) == 0);
            RMD_ASSERT(n <= (size_t)(end_of_all - at) || world.is_cut);
            if (n > (size_t)(end_of_all - at))
                return;
            at += n;
        } else {
            RMD_ASSERT(is_over);
            at = end_of_all;
        }
    }
    /* What is left belongs to a request that is not over, or has been cut with its connection. */
    RMD_ASSERT(at == end_of_all || world.is_cut || world.clients[0].conn.state != CONN_CLOSED ||
               memmem(at, (size_t)(end_of_all - at), CONTINUE, 10));
}

static bool mentions(const char *data, size_t len, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= len; i++)
        if (strncasecmp(data + i, word, n) == 0)
            return true;
    return false;
}

/* What a client got, without its last answer when that is a refusal: of two things wrong with one
 * request, where it was cut may decide which is told. */
static struct str without_refusal(const struct client *client)
{
    static const char start[] = "HTTP/1.1 4";
    struct str sent = str_make(client->sent.data, client->sent.len);
    size_t n = client->n_outcomes;
    if (n == 0 || client->outcomes[n - 1].status / 100 != 4)
        return sent;
    for (size_t len = sent.len; len > 0; len--)
        if (sent.len - len >= sizeof start - 1 &&
            memcmp(sent.p + len, start, sizeof start - 1) == 0)
            return str_make(sent.p, len);
    return (struct str){0};
}

static void check_same(const struct client *a, const struct client *b)
{
    RMD_ASSERT(a->n_outcomes == b->n_outcomes);
    RMD_ASSERT(str_is_equal(without_refusal(a), without_refusal(b)));
}

static void make_router(void)
{
    static const rmd_route routes[] = {
        {.method = "GET", .pattern = "/", .handler = on_root},
        {.method = "*", .pattern = "/echo", .handler = on_echo},
        {.method = "GET", .pattern = "/big", .handler = on_big},
        {.method = "*", .pattern = "/s/:script", .handler = on_stream},
        {.method = "GET", .pattern = "/status/:n", .handler = on_status},
        {0}};
    struct err err;
    RMD_ASSERT(router_new(&(rmd_app){.routes = routes}, 64, &world.router, &err) == 0);
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + i % 23);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *script = (const char *)data;
    const char *line_end = size > 0 ? memchr(script, '\n', size) : NULL;
    if (!line_end || line_end - script > 2000)
        return 0;
    if (!world.router)
        make_router();
    const char *octets = line_end + 1;
    size_t len = size - (size_t)(octets - script);
    bool is_small = script[0] == '=';
    world.is_cut = world.is_changed = false;
    open_world(octets, len, is_small);
    struct client *client = &world.clients[0];
    for (const char *at = script; at < line_end; at++) {
        if (*at == '^')
            client = client == world.clients ? client + 1 : client - 1;
        else
            run_step(client, *at);
    }
    run_to_end();
    for (int i = 0; i < N_CLIENTS; i++)
        check_answers(&world.clients[i]);
    /* Whether 100 is sent, and what follows, depends on what has come already. */
    bool is_comparable =
        !world.is_cut && !world.is_changed && !mentions(octets, len, "100-continue");
    struct client got[N_CLIENTS];
    for (int i = 0; i < N_CLIENTS; i++) {
        end(&world.clients[i]);
        got[i] = world.clients[i];
        world.clients[i].sent = (struct buf){0};
        world.clients[i].outcomes = NULL;
    }
    close_world();
    if (is_comparable) {
        open_world(octets, len, is_small);
        run_to_end();
        end(&world.clients[0]);
        for (int i = 0; i < N_CLIENTS; i++)
            check_same(&got[i], &world.clients[0]);
        close_world();
    }
    for (int i = 0; i < N_CLIENTS; i++) {
        buf_fini(&got[i].sent);
        free(got[i].outcomes);
    }
    return 0;
}
