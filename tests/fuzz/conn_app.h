/* For fuzz_conn.c: the application. What most of its routes do is written in the last segment of
 * the path, a letter for each call (THE table is in act()); so a script, a request and an answer
 * belong together whatever the fuzzer makes of them.
 *
 * All that it is called back for is counted, and what it was given is looked at again each time. */
#ifndef REMUDA_TESTS_FUZZ_CONN_APP_H
#define REMUDA_TESTS_FUZZ_CONN_APP_H

#include "base/err.h"
#include "http/stream.h"
#include "tests/fuzz/conn_world.h"

#define TASK_MAGIC 0x51a7eU

/* What the application remembers of a request that goes on for longer; copies, to compare. */
struct task {
    unsigned magic;
    unsigned n_owed; /* callbacks; behind the last it is freed */
    struct rmd_request *req;
    struct rmd_response *res;
    struct str body;
    char *body_copy;
    struct str target;
    char *target_copy;
    struct str script;
    size_t at;
    uint64_t n_pieces; /* octets of them */
    uint64_t hash;
    bool is_ended;
    bool is_answered;
    bool is_given_up; /* its ticket is not turned in while it lives */
    bool is_recalled; /* so was the errand that asked for its answer */
    bool has_all;     /* of its body, piece by piece */
    bool is_echoed;   /* its stream begins with its body */
    bool is_paced;
};

static char *copy_of(struct str s)
{
    char *copy = malloc(s.len + 1);
    RMD_ASSERT(copy);
    if (s.len > 0)
        memcpy(copy, s.p, s.len);
    return copy;
}

static struct task *task_new(struct rmd_request *req)
{
    struct task *task = malloc(sizeof *task);
    RMD_ASSERT(task);
    struct str target = request_target(req);
    *task = (struct task){.magic = TASK_MAGIC,
                          .n_owed = 1, /* finished */
                          .req = req,
                          .res = req->res,
                          .body = req->body,
                          .body_copy = copy_of(req->body),
                          .target = target,
                          .target_copy = copy_of(target),
                          .hash = HASH_START};
    if (req->match.n_params > 0)
        task->script = req->match.params[0].value;
    req->user_data = task;
    world.n_owed++;
    return task;
}

static void check_unmoved(const struct task *task)
{
    RMD_ASSERT(task->magic == TASK_MAGIC && task->n_owed > 0);
    if (task->is_ended)
        return;
    const struct rmd_request *req = task->req;
    RMD_ASSERT(req->magic == REQUEST_MAGIC && req->user_data == task && req->res == task->res);
    RMD_ASSERT(exchange_of(req)->is_away || task->res->req == req); /* conn_pool.h poisons it */
    RMD_ASSERT(req->body.p == task->body.p && req->body.len == task->body.len);
    RMD_ASSERT(str_is_equal(task->body, str_make(task->body_copy, task->body.len)));
    struct str target = request_target(req);
    RMD_ASSERT(target.p == task->target.p && target.len == task->target.len);
    RMD_ASSERT(str_is_equal(target, str_make(task->target_copy, target.len)));
}

static void task_owe(struct task *task)
{
    task->n_owed++;
    world.n_owed++;
}

static void task_pay(struct task *task)
{
    check_unmoved(task);
    RMD_ASSERT(world.n_owed > 0);
    world.n_owed--;
    if (--task->n_owed > 0)
        return;
    RMD_ASSERT(task->is_ended);
    task->magic = 0;
    free(task->body_copy);
    free(task->target_copy);
    free(task);
}

/* Its request has ended. */
static void task_end(struct task *task)
{
    RMD_ASSERT(!task->is_ended && world.n_handled > 0);
    check_unmoved(task);
    world.n_handled--;
    task->is_ended = true;
    task->req->user_data = NULL;
    task_pay(task);
}

/* The done of answers and of consumers. */
static void on_done(void *arg)
{
    task_pay(arg);
}

/* ---- answers ---- */

static void give(rmd_response *res, const char *body, size_t len)
{
    res->status = 200;
    res->kind = RESPONSE_BYTES;
    res->body = body;
    res->body_len = len;
}

/* Of a body that lies somewhere, which is to be let go of. */
static void give_owed(struct task *task, const char *body, size_t len)
{
    give(task->res, body, len);
    task->res->done = on_done;
    task->res->done_arg = task;
    task_owe(task);
}

static void give_digest(struct task *task)
{
    struct rmd_response *res = task->res;
    size_t len = 0;
    const char *text =
        arena_printf(task->req->arena, &len, "%llu octets, %016llx\n",
                     (unsigned long long)task->n_pieces, (unsigned long long)task->hash);
    if (text)
        give(res, text, len);
    else
        response_error_page(res, task->req->arena, 503);
}

/* Letters: so much of memory; digits: so much of the file. */
static void give_parts(struct rmd_request *req, struct rmd_response *res, struct str script)
{
    struct response_part parts[64];
    uint32_t n = 0;
    uint64_t offset = 0;
    int fd = -1;
    for (size_t i = 0; i < script.len && n < 64; i++) {
        char c = script.p[i];
        if (c >= '0' && c <= '9') {
            uint64_t len = (uint64_t)(c - '0') * (uint64_t)(c - '0') * 400U + 1;
            if (offset + len > FILE_BYTES)
                break;
            parts[n++] = (struct response_part){.offset = offset, .len = len};
            offset += len;
            if (fd < 0)
                fd = dup(world.file_fd);
        } else if (c >= 'a' && c <= 'z') {
            parts[n++] = (struct response_part){.data = big, .len = (uint64_t)(c - 'a') * 400U + 1};
        }
    }
    refuse.n_fds += fd >= 0;
    if (response_give_file(res, req->arena, 200, fd, parts, n) < 0)
        response_error_page(res, req->arena, 503);
}

/* Digits: so many octets, and now and then a wait; x: cut off; other letters: nothing. In front of
 * the script goes the request's body, a bit a call. */
static int produce(rmd_writer *out, void *arg)
{
    struct task *task = arg;
    check_unmoved(task);
    RMD_ASSERT(!task->is_ended);
    if (task->is_echoed && task->body.len > 0) {
        size_t n = task->body.len < 1000 ? task->body.len : 1000;
        out->is_failed = buf_append(out->out, task->body.p, n) < 0;
        return RMD_END;
    }
    if (task->at == task->script.len)
        return RMD_END;
    char c = task->script.p[task->at++];
    if (c == 'x')
        return RMD_ABORT;
    if (c < '0' || c > '9')
        return c == 'w' ? 1 : 0;
    size_t n = (size_t)(c - '0') * (size_t)(c - '0') * 400U;
    if (buf_append(out->out, big, n) < 0)
        out->is_failed = true;
    return c % 3;
}

static void give_stream(struct task *task)
{
    struct rmd_response *res = task->res;
    res->status = 200;
    res->kind = RESPONSE_STREAM;
    res->produce = produce;
    res->done = on_done;
    res->done_arg = task;
    task_owe(task);
}

/* ---- answers that come later, bodies that come in pieces ---- */

static void on_answer_due(rmd_request *req, rmd_response *res, void *arg);

/* As rmd_defer(), rmd_complete() and rmd_receive(). */
static void put_off(struct task *task, char c)
{
    struct rmd_request *req = task->req;
    if (req->deferred || !world.env.box || world.n_held == N_TICKETS)
        return;
    req->deferred = deferred_new(world.env.box, exchange_of(req));
    if (!req->deferred)
        return;
    task_owe(task);
    task->is_given_up = c == 'x';
    if (c == 'i')
        deferred_turn_in(req->deferred, on_answer_due, task);
    else
        world.held[world.n_held++] = (struct held){.ticket = req->deferred, .task = task};
}

static void turn_in(size_t i)
{
    struct held held = world.held[i];
    world.n_held--;
    memmove(world.held + i, world.held + i + 1, (world.n_held - i) * sizeof held);
    check_unmoved(held.task);
    RMD_ASSERT(atomic_load(&held.ticket->is_wanted) == !held.task->is_ended);
    deferred_turn_in(held.ticket, on_answer_due, held.task);
}

static void on_piece(rmd_request *req, rmd_response *res, rmd_slice piece, void *arg);

static void receive(struct task *task)
{
    struct rmd_request *req = task->req;
    if (req->consume || req->is_consumed)
        return;
    req->consume = on_piece;
    req->consume_state = task;
    req->consume_done = on_done;
    task_owe(task);
}

/* THE table: what a letter of a task's script does. Behind the last, and where it says nothing,
 * there is no answer unless the whole body is there: then its digest. */
static void act(struct task *task)
{
    char c = task->at < task->script.len ? task->script.p[task->at++] : '\0';
    struct rmd_request *req = task->req;
    switch (c) {
    case 'r': /* receives the body */
        receive(task);
        break;
    case 'd': /* defers; turned in by the script */
    case 'i': /* defers; turned in at once */
    case 'x': /* defers; turned in when the request is over */
        put_off(task, c);
        break;
    case 'e': /* answers */
        give(task->res, "early\n", 6);
        break;
    case 'o':
        give_owed(task, "owed\n", 5);
        break;
    case 'B':
        give_owed(task, big, sizeof big);
        break;
    case 'F':
        give_parts(req, task->res, STR("a6b6"));
        break;
    case 'G':
        give_parts(req, task->res, STR("1b"));
        break;
    case 'S': /* a stream of what follows in the script */
        give_stream(task);
        break;
    case 'E': /* no content */
        task->res->status = 204;
        task->res->kind = RESPONSE_EMPTY;
        break;
    case 'n': /* nothing */
        break;
    default:
        if (task->has_all || !req->consume)
            give_digest(task);
        break;
    }
}

/* What the server checks when the application returns: as workers/chain.c. */
static void complete(struct task *task)
{
    struct rmd_request *req = task->req;
    check_unmoved(task);
    if (request_is_put_off(req))
        return;
    if (task->res->kind == RESPONSE_NONE && task->res->status == 0)
        response_error_page(task->res, req->arena, 500);
    task->is_answered = true;
}

static bool has_digit(const struct task *task)
{
    return task->at < task->script.len && task->script.p[task->at] >= '0' &&
           task->script.p[task->at] <= '9';
}

/* Digits in the script wait for so much of the body: then it goes on. However the body is cut, the
 * same letters follow each other. */
static void advance(struct task *task)
{
    while (has_digit(task) && task->res->kind == RESPONSE_NONE && !task->req->deferred) {
        unsigned digit = (unsigned char)task->script.p[task->at] - (unsigned)'0';
        if (task->n_pieces < (uint64_t)digit * digit * digit + 1)
            return;
        task->at++;
        act(task);
    }
}

static void on_piece(rmd_request *req, rmd_response *res, rmd_slice piece, void *arg)
{
    struct task *task = arg;
    check_unmoved(task);
    RMD_ASSERT(req == task->req && res == task->res && !task->is_ended);
    RMD_ASSERT(!task->is_answered && !task->has_all && !req->deferred);
    task->n_pieces += piece.len;
    task->hash = hash_more(task->hash, piece.data, piece.len);
    const struct head *head = &req->head;
    if (head->has_length)
        RMD_ASSERT(task->n_pieces <= head->content_length);
    if (piece.len == 0) {
        task->has_all = true;
        RMD_ASSERT(req->is_body_complete);
        RMD_ASSERT(!head->has_length || task->n_pieces == head->content_length);
        while (has_digit(task))
            task->at++;
        act(task);
    } else {
        advance(task);
    }
}

static void on_answer_due(rmd_request *req, rmd_response *res, void *arg)
{
    struct task *task = arg;
    check_unmoved(task);
    RMD_ASSERT((req == NULL) == task->is_ended || (!req && task->is_recalled));
    RMD_ASSERT((req == NULL) == (res == NULL));
    if (req) {
        RMD_ASSERT(req == task->req && res == task->res && !task->is_answered && !req->deferred);
        act(task);
        if (req->consume && !task->has_all)
            advance(task);
    }
    task_pay(task);
}

/* ---- routes ---- */

static void on_root(rmd_request *req, rmd_response *res)
{
    (void)req;
    give(res, "hello\n", 6);
}

static void on_echo(rmd_request *req, rmd_response *res)
{
    (void)res;
    give_owed(req->user_data, req->body.p, req->body.len);
}

static void on_big(rmd_request *req, rmd_response *res)
{
    (void)res;
    give_owed(req->user_data, big, sizeof big);
}

static void on_status(rmd_request *req, rmd_response *res)
{
    uint64_t status;
    if (str_parse_u64(req->match.params[0].value, 999, &status))
        status = 200;
    give(res, "body\n", 5);
    res->status = status < 200 || status > 599 ? 599 : (int)status;
}

static void on_stream(rmd_request *req, rmd_response *res)
{
    (void)res;
    struct task *task = req->user_data;
    task->is_echoed = true;
    give_stream(task);
}

static void on_file(rmd_request *req, rmd_response *res)
{
    give_parts(req, res, req->match.params[0].value);
}

/* Who asks: what a PROXY header and trusted fields change. */
static void on_who(rmd_request *req, rmd_response *res)
{
    char peer[PEER_TEXT_MAX];
    size_t len = 0;
    (void)request_format_peer(&req->peer, true, peer);
    const char *text = arena_printf(req->arena, &len, "%s %s %.*s\n", peer,
                                    req->is_https ? "https" : "http", STR_ARG(req->head.host));
    if (text)
        give(res, text, len);
    else
        response_error_page(res, req->arena, 503);
}

static void on_act(rmd_request *req, rmd_response *res)
{
    (void)res;
    act(req->user_data);
}

/* Two of the same routes: one whose /c/ and /ac/ get the body as it comes, one where they get it
 * stored. */
static struct router *app_router(bool is_streamed)
{
    static const rmd_route streamed[] = {
        {.method = "GET", .pattern = "/", .handler = on_root},
        {.method = "*", .pattern = "/echo", .handler = on_echo},
        {.method = "GET", .pattern = "/big", .handler = on_big},
        {.method = "*", .pattern = "/s/:script", .handler = on_stream},
        {.method = "GET", .pattern = "/status/:n", .handler = on_status},
        {.method = "*", .pattern = "/who", .handler = on_who},
        {.method = "*", .pattern = "/f/:script", .handler = on_file},
        {.method = "*", .pattern = "/d/:script", .handler = on_act},
        {.method = "*", .pattern = "/c/:script", .handler = on_act, .stream_body = true},
        {.method = "*", .pattern = "/away", .handler = on_echo, .lane = RMD_COMPUTE},
        {.method = "*", .pattern = "/as/:script", .handler = on_stream, .lane = RMD_IO},
        {.method = "*", .pattern = "/ad/:script", .handler = on_act, .lane = RMD_IO},
        {.method = "*",
         .pattern = "/ac/:script",
         .handler = on_act,
         .lane = RMD_IO,
         .stream_body = true},
        {0}};
    static rmd_route stored[sizeof streamed / sizeof streamed[0]];
    static struct router *routers[2];
    struct router **router = &routers[is_streamed];
    if (!*router) {
        struct err err;
        memcpy(stored, streamed, sizeof stored);
        for (rmd_route *route = stored; route->method; route++)
            route->stream_body = false;
        const rmd_app app = {.routes = is_streamed ? streamed : stored};
        RMD_ASSERT(router_new(&app, 64, router, &err) == 0);
    }
    return *router;
}

#endif
