/* workers/compute*.c and confine.c: a compute worker with a real queue, segment and channel, and
 * the test in the parts of the master and of the web worker that asks. */
#include "workers/compute.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "http/conn.h"
#include "http/image.h"
#include "ipc/msg.h"
#include "ipc/remains.h"
#include "ipc/segment.h"
#include "ipc/task.h"
#include "tests/unit/workers/calls.h"
#include "workers/confine.h"
#include "workers/crash.h"

#undef fork

#define MIB (1024U * 1024U)
#define SEATS 2U
#define SLICE (8ULL * MIB)
#define MEMORY_LIMIT (64ULL * MIB)
#define PATIENCE_MS 20000

/* ---- the app, in the worker ---- */

static int inits; /* of worker_init and compute_init, in order */

static int on_worker_init(void)
{
    inits = 1;
    return 0;
}

static int on_compute_init(const char *pool)
{
    inits = inits == 1 && strcmp(pool, "default") == 0 ? 2 : -1;
    return 0;
}

static void hello(rmd_request *req, rmd_response *res)
{
    rmd_set_header(res, "X-Role", rmd_role());
    rmd_text(res, 200, "hello, %s, %d\n", rmd_param(req, "name"), inits);
}

static void fill(char *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        data[i] = (char)('a' + i % 23);
}

static long long number(rmd_request *req)
{
    long long n = 0;
    (void)rmd_query_int(req, "n", 0, 1LL << 40, &n);
    return n;
}

static void made(rmd_request *req, rmd_response *res)
{
    size_t n = (size_t)number(req);
    char *data = rmd_alloc(req, n);
    if (!data) {
        rmd_error(res, 503);
        return;
    }
    fill(data, n);
    rmd_send_ref(res, 200, NULL, data, n, NULL, NULL);
}

static void heap(rmd_request *req, rmd_response *res)
{
    size_t n = (size_t)number(req);
    char *data = malloc(n);
    if (!data) {
        rmd_error(res, 503);
        return;
    }
    fill(data, n);
    rmd_send_ref(res, 200, NULL, data, n, free, data);
}

static void echo(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    rmd_send_ref(res, 200, "text/x-echo", body.data, body.len, NULL, NULL);
}

static void pieces(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    (void)req;
    size_t *n = state;
    *n += piece.len;
    if (piece.len == 0)
        rmd_text(res, 200, "%zu", *n);
}

static void consume(rmd_request *req, rmd_response *res)
{
    (void)res;
    size_t *n = rmd_alloc(req, sizeof *n);
    *n = 0;
    (void)rmd_receive(req, pieces, n, NULL);
}

static void say_later(rmd_request *req, rmd_response *res, void *arg)
{
    (void)arg;
    if (req)
        rmd_text(res, 200, "later");
}

static void *complete(void *ticket)
{
    rmd_complete(ticket, say_later, NULL);
    return NULL;
}

static void later(rmd_request *req, rmd_response *res)
{
    pthread_t thread;
    rmd_deferred *ticket = rmd_defer(req);
    if (pthread_create(&thread, NULL, complete, ticket) != 0)
        rmd_error(res, 503);
    else
        (void)pthread_detach(thread);
}

static int count_down(rmd_writer *out, void *state)
{
    long long *left = state;
    char chunk[10000];
    size_t n = *left < (long long)sizeof chunk ? (size_t)*left : sizeof chunk;
    fill(chunk, n);
    (void)rmd_write(out, chunk, n);
    *left -= (long long)n;
    return *left > 0 ? 0 : RMD_END;
}

static void stream(rmd_request *req, rmd_response *res)
{
    long long *left = rmd_alloc(req, sizeof *left);
    *left = number(req);
    rmd_stream(res, 200, "text/plain", count_down, left, NULL);
}

static void file(rmd_request *req, rmd_response *res)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    (void)!write(fd, "from a file", 11);
    rmd_send_fd(req, res, "text/plain", fd);
}

static void until_cancelled(rmd_request *req, rmd_response *res)
{
    while (!rmd_cancelled(req))
        (void)poll(NULL, 0, 1);
    rmd_text(res, 200, "cancelled");
}

static void deadline(rmd_request *req, rmd_response *res)
{
    long long ms = rmd_deadline_ms(req);
    rmd_text(res, 200, ms > 50000 && ms <= 60000 ? "soon" : "%lld", ms);
}

static void leak(rmd_request *req, rmd_response *res)
{
    (void)req;
    for (size_t n = MIB; n > 64;)
        if (!malloc(n))
            n /= 2;
    rmd_set_status(res, 204);
}

static void crash(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
    (void)raise(SIGSEGV);
}

static void leave(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
    exit(0);
}

static void hog(rmd_request *req, rmd_response *res)
{
    size_t n = (size_t)number(req);
    char *volatile data = malloc(n);
    if (!data)
        exit(3);
    data[n / 2] = 1;
    rmd_text(res, 200, "had");
    free(data);
}

static void spin(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
    for (volatile unsigned i = 0;; i++)
        continue;
}

static void fork_here(rmd_request *req, rmd_response *res)
{
    (void)req;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    rmd_text(res, 200, "%s", pid < 0 ? strerror(errno) : "forked");
}

static void limits(rmd_request *req, rmd_response *res)
{
    (void)req;
    struct rlimit core, files, memory;
    (void)getrlimit(RLIMIT_CORE, &core);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    (void)getrlimit(RLIMIT_AS, &memory);
    char adj[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    (void)!read(fd, adj, sizeof adj - 1);
    (void)close(fd);
    rmd_text(res, 200, "core %d files %d memory %d nice %d group %d oom %d", (int)core.rlim_cur,
             (int)files.rlim_cur, memory.rlim_cur != RLIM_INFINITY, getpriority(PRIO_PROCESS, 0),
             getpgrp() == getpid(), atoi(adj) >= 500);
}

#define ROW(method, pattern, handler)                                                              \
    {                                                                                              \
        method, pattern, handler, .lane = RMD_COMPUTE                                              \
    }
static const rmd_route routes[] = {ROW("GET", "/hello/:name", hello),
                                   ROW("GET", "/made", made),
                                   ROW("GET", "/heap", heap),
                                   ROW("POST", "/echo", echo),
                                   ROW("POST", "/consume", consume),
                                   ROW("GET", "/later", later),
                                   ROW("GET", "/stream", stream),
                                   ROW("GET", "/file", file),
                                   ROW("GET", "/until-cancelled", until_cancelled),
                                   ROW("GET", "/deadline", deadline),
                                   ROW("GET", "/leak", leak),
                                   ROW("GET", "/crash", crash),
                                   ROW("GET", "/leave", leave),
                                   ROW("GET", "/hog", hog),
                                   ROW("GET", "/spin", spin),
                                   ROW("GET", "/fork", fork_here),
                                   ROW("GET", "/limits", limits),
                                   {0}};
/* The payload backwards, from memory of the call. */
static int reverse(rmd_call *call, rmd_slice payload)
{
    char *data = rmd_call_alloc(call, payload.len);
    if (!data || rmd_call_cancelled(call) || rmd_call_deadline_ms(call) <= 0)
        return ENOMEM;
    for (size_t i = 0; i < payload.len; i++)
        data[i] = payload.data[payload.len - 1 - i];
    rmd_call_result(call, data, payload.len);
    return 0;
}

static int give_back(rmd_call *call, rmd_slice payload)
{
    rmd_call_result(call, payload.data, payload.len);
    return 0;
}

static int fail_with_42(rmd_call *call, rmd_slice payload)
{
    rmd_call_result(call, payload.data, payload.len);
    return 42;
}

static int crash_in_task(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    (void)raise(SIGSEGV);
    return 0;
}

enum { CALL_REVERSE, CALL_GIVE_BACK, CALL_FAIL_WITH_42, CALL_CRASH, CALLS };
static const rmd_task tasks[] = {[CALL_REVERSE] = {"reverse", reverse},
                                 [CALL_GIVE_BACK] = {"give_back", give_back},
                                 [CALL_FAIL_WITH_42] = {"fail_with_42", fail_with_42},
                                 [CALL_CRASH] = {"crash", crash_in_task},
                                 [CALLS] = {0}};
static const rmd_app decl =
    CALLS_APP(.name = "compute", .routes = routes, .tasks = tasks, .worker_init = on_worker_init,
              .compute_init = on_compute_init);

/* ---- the master and the web worker ---- */

static struct setting_pool pool;
static bool is_in_valgrind; /* which takes memory and time itself, and lowers no limit of files */
static struct settings settings;
static struct {
    struct scoreboard board;
    int board_fd, segment_fd, queue_read_fd, channel_fd;
    struct task_queue queue;
    int inbox[2];
    struct segment segment; /* seat 0: this process */
    struct task_record *records;
    struct conn_env env;
    pid_t pid;       /* of the worker; 0: none */
    uint32_t record; /* for the next task */
    uint64_t count;  /* of tasks */
    struct arena arena;
} world;

/* What came for a request. */
static struct {
    uint64_t id;
    struct task_reply reply; /* the last one */
    struct rmd_response res;
    struct rmd_request req;
    struct buf body;
    bool has_begun;
    int fd;
} got;

static void send_frame(enum msg_type type, int fd, int64_t value, int about)
{
    struct msg msg = msg_make(type);
    msg.value = value;
    msg.about = about;
    CHECK_EQ(msg_send(world.channel_fd, &msg, &fd, fd >= 0), 0);
}

/* The next frame of the worker, which must be of this type. */
static struct msg await_frame(enum msg_type type)
{
    struct msg msg = {0};
    int fds[FD_PASS_MAX];
    size_t n_fds;
    struct pollfd readable = {.fd = world.channel_fd, .events = POLLIN};
    CHECK_EQ(poll(&readable, 1, PATIENCE_MS), 1);
    CHECK_EQ(msg_receive(world.channel_fd, 1, &msg, fds, &n_fds), 1);
    CHECK_SAYING(msg.type == type, "%s instead of %s: %s", msg_names[msg.type], msg_names[type],
                 msg.text);
    return msg;
}

static void start_worker(void)
{
    int ends[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    world.channel_fd = ends[0];
    const struct heritage heritage = {.role = ROLE_COMPUTE,
                                      .seat = 1,
                                      .epoch = 1,
                                      .slot = 4,
                                      .pool = 0,
                                      .generation = 2,
                                      .master_pid = getpid(),
                                      .channel_fd = ends[1],
                                      .log_fd = calls_log_fd,
                                      .access_fd = -1,
                                      .board = world.board,
                                      .settings = &settings};
    world.pid = fork();
    CHECK(world.pid >= 0);
    if (world.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(ends[0]);
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka's goes on with the next test */
        crash_arm();
        compute_main(&heritage, &calls_app);
    }
    fd_close(&ends[1]);
    (void)await_frame(MSG_HELLO);
    send_frame(MSG_BOARD, world.board_fd, 0, 0);
    send_frame(MSG_SEGMENT, world.segment_fd, SLICE, SEATS);
    send_frame(MSG_POOL, world.queue_read_fd, 0, 0);
    CHECK_EQ(await_frame(MSG_READY).pid, world.pid);
}

/* Returns the status of waitpid(2). */
static int await_end(void)
{
    int status = 0;
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (waitpid(world.pid, &status, WNOHANG) == world.pid) {
            world.pid = 0;
            return status;
        }
        (void)poll(NULL, 0, 1);
    }
    CHECK_FAIL("worker %d has not ended", (int)world.pid);
}

static char *slice_room(uint64_t bytes, struct segment_run *out_run)
{
    CHECK_EQ(segment_take(&world.segment.slice, bytes, 0, out_run), 0);
    CHECK_EQ(segment_ready(&world.segment.slice, out_run, 0, bytes), 0);
    return segment_own(&world.segment.slice, out_run);
}

static struct task_record *record_of(uint64_t id)
{
    return &world.records[task_record_of(id)];
}

/* The hook: sends what it was called for to the worker, and answers something itself. */
static void send_away(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    (void)owner;
    struct segment_run run;
    struct segment_run body_run = {0};
    int spool_fd = -1;
    bool is_small = req->body.len <= TASK_INLINE_MAX;
    struct str inside = is_small ? req->body : STR("");
    size_t bytes = image_request_bytes(req, inside.len);
    image_put_request(req, inside, slice_room(bytes, &run));
    uint64_t id = task_make_id(0, world.record, ++world.count);
    struct task task = task_make(TASK_REQUEST, id);
    task.image_at = run.at;
    task.image_len = (uint32_t)bytes;
    task.queued_us = clock_now_us();
    task.deadline_us = task.queued_us + 60 * CLOCK_US_PER_S;
    CHECK(req->match.route != NULL);
    task.route = req->match.route->index;
    if (req->body.len > MIB) {
        spool_fd = memfd_create("spool", MFD_CLOEXEC);
        CHECK_EQ(fd_write_all(spool_fd, req->body.p, req->body.len), 0);
        task.body = TASK_BODY_SPOOL;
        task.body_len = req->body.len;
    } else if (!is_small) {
        memcpy(slice_room(req->body.len, &body_run), req->body.p, req->body.len);
        task.body = TASK_BODY_SLICE;
        task.body_at = body_run.at;
        task.body_len = req->body.len;
    }
    task_begin(record_of(id), id);
    CHECK_EQ(task_send(&world.queue, &task, world.inbox[1], spool_fd), 0);
    fd_close(&spool_fd);
    got.id = id;
    rmd_set_status(res, 204);
}

static void post(const char *head, struct str body)
{
    struct conn c;
    struct peer peer = {
        .address.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)}};
    struct buf octets = {0};
    CHECK_EQ(buf_printf(&octets, "%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", head,
                        body.len),
             0);
    CHECK_EQ(buf_append(&octets, body.p, body.len), 0);
    got.id = 0;
    conn_init(&c, &world.env, &peer);
    for (size_t at = 0; at < octets.len;) {
        char *space;
        size_t room;
        conn_input_space(&c, &space, &room);
        size_t n = octets.len - at < room ? octets.len - at : room;
        memcpy(space, octets.data + at, n);
        at += n;
        conn_on_input(&c, n);
        conn_process(&c);
        conn_settle(&c);
    }
    conn_fini(&c);
    world.env.out.len = world.env.out_sent = 0;
    buf_fini(&octets);
    CHECK_SAYING(got.id != 0, "%s did not lead to a task", head);
}

static void on_finished(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    (void)owner;
    (void)req;
    (void)res;
}

static struct str octets_of(uint32_t seat, uint64_t at, uint64_t len)
{
    const char *data = segment_at(&world.segment, (struct segment_ref){at, len, seat});
    CHECK(data != NULL);
    return str_make(data, (size_t)len);
}

static void take_answer(const struct task_frame *frame, struct str data, int fd)
{
    const char *why = NULL;
    const struct task_reply *reply = &frame->reply;
    struct str image = reply->image_len > 0
                           ? octets_of(reply->seat, reply->image_at, reply->image_len)
                           : str_make(frame->octets, reply->inline_len);
    got.req.arena = &world.arena;
    response_begin(&got.res, &got.req);
    if (image_read_answer(image, data, fd, &got.res, &world.arena, &why) < 0)
        CHECK_FAIL("answer refused: %s", why ? why : "no memory");
    if (got.res.kind == RESPONSE_BYTES)
        CHECK_EQ(buf_append(&got.body, got.res.body, got.res.body_len), 0);
}

/* Takes one reply. Returns whether it was the last. */
static bool take_reply(void)
{
    static struct task_frame frame;
    pid_t pid = 0;
    int fd = -1;
    struct pollfd readable = {.fd = world.inbox[0], .events = POLLIN};
    CHECK_EQ(poll(&readable, 1, PATIENCE_MS), 1);
    CHECK_EQ(task_receive_reply(world.inbox[0], &frame, &fd, &pid), 1);
    CHECK_EQ(pid, world.pid);
    CHECK_EQ(frame.reply.seat, 1);
    CHECK(frame.reply.id == got.id);
    got.reply = frame.reply;
    struct str data = octets_of(1, frame.reply.data_at, frame.reply.data_len);
    if (frame.reply.kind == TASK_ANSWER || frame.reply.kind == TASK_BEGIN)
        take_answer(&frame, data, fd);
    if (frame.reply.kind == TASK_RESULT)
        CHECK_EQ(buf_append(&got.body, data.len > 0 ? data.p : frame.octets,
                            data.len > 0 ? data.len : frame.reply.inline_len),
                 0);
    if (frame.reply.kind == TASK_PART) {
        size_t n = data.len > 0 ? data.len : frame.reply.inline_len;
        CHECK_EQ(buf_append(&got.body, data.len > 0 ? data.p : frame.octets, n), 0);
        task_consume(record_of(got.id), n);
    }
    return task_is_final(&frame.reply);
}

static void forget(void)
{
    if (got.res.req)
        response_drop_body(&got.res);
    got.res.req = NULL;
    got.body.len = 0;
    got.reply.kind = 0;
    arena_reset(&world.arena);
}

static void await_answer(void)
{
    forget();
    while (!take_reply())
        continue;
    task_end(record_of(got.id));
}

static void get(const char *target)
{
    char head[200];
    (void)snprintf(head, sizeof head, "GET %s", target);
    post(head, STR(""));
    await_answer();
}

/* Has a task called. */
static void call(unsigned number, struct str payload)
{
    struct segment_run run = {0};
    uint64_t id = task_make_id(0, world.record, ++world.count);
    struct task task = task_make(TASK_CALL, id);
    task.route = (uint16_t)number;
    task.deadline_us = clock_now_us() + 60 * CLOCK_US_PER_S;
    if (payload.len > 0) {
        memcpy(slice_room(payload.len, &run), payload.p, payload.len);
        task.body = TASK_BODY_SLICE;
        task.body_at = run.at;
        task.body_len = payload.len;
    }
    task_begin(record_of(id), id);
    CHECK_EQ(task_send(&world.queue, &task, world.inbox[1], -1), 0);
    got.id = id;
}

static void check_text_answer(int status, const char *text)
{
    CHECK_EQ(got.reply.kind, TASK_ANSWER);
    CHECK_EQ(got.res.status, status);
    CHECK_BYTES(got.body.data, got.body.len, text, strlen(text));
}

static void check_filled(size_t n)
{
    CHECK_EQ(got.body.len, n);
    for (size_t i = 0; i < n; i++)
        if (got.body.data[i] != (char)('a' + i % 23))
            CHECK_FAIL("octet %zu is wrong", i);
}

/* ---- set-up ---- */

static int open_world(void **state)
{
    (void)state;
    is_in_valgrind = getenv("REMUDA_UNDER_VALGRIND") != NULL;
    static const struct conn_hooks hooks = {
        .handle = send_away, .finished = on_finished, .parked = NULL};
    struct err err;
    struct segment_run records;
    calls_open(&decl);
    pool = (struct setting_pool){.name = "default",
                                 .memory_limit_bytes = MEMORY_LIMIT,
                                 .nofile = 200,
                                 .nice = 10,
                                 .cpu_limit_us = 1 * CLOCK_US_PER_S};
    if (is_in_valgrind) {
        struct rlimit files;
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
        pool.nofile = files.rlim_max;
        pool.memory_limit_bytes = pool.cpu_limit_us = 0;
    }
    settings = (struct settings){.proc_name = "", .request_id_header = "X-Request-ID"};
    settings.limit_request_line_bytes = calls_limits.request_line;
    settings.limit_request_fields = calls_limits.fields;
    settings.limit_request_field_size_bytes = calls_limits.field_size;
    settings.limit_request_head_bytes = calls_limits.head;
    settings.limit_request_body_bytes = 2 * MEMORY_LIMIT;
    settings.body_buffer_size_bytes = MIB;
    settings.limit_pipelined = 1;
    settings.compute_pools = (struct setting_pools){&pool, 1};
    struct http_limits limits = calls_limits;
    limits.body = 2 * MEMORY_LIMIT;
    CHECK_EQ(scoreboard_create(SEATS, 4, 64, &world.board_fd, &world.board, &err), 0);
    CHECK_EQ(segment_create(SEATS, SLICE, &world.segment_fd, &err), 0);
    CHECK_EQ(segment_map(world.segment_fd, SEATS, SLICE, 0, &world.segment, &err), 0);
    world.records = (void *)slice_room(4096, &records);
    CHECK_EQ(records.at, 0);
    CHECK_EQ(task_open_queue(10, &world.queue_read_fd, &world.queue, &err), 0);
    CHECK_EQ(task_open_inbox(&world.inbox[0], &world.inbox[1]), 0);
    CHECK_EQ(conn_env_init(&world.env, &limits, calls_app.router, &hooks, NULL, 32768), 0);
    conn_env_set_seed(&world.env, 7);
    arena_init(&world.arena, 4096);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    forget();
    buf_fini(&got.body);
    arena_fini(&world.arena);
    conn_env_fini(&world.env);
    segment_unmap(&world.segment);
    int *fds[] = {&world.board_fd, &world.segment_fd, &world.queue_read_fd,
                  &world.queue.fd, &world.inbox[0],   &world.inbox[1]};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        fd_close(fds[i]);
    calls_close();
    return 0;
}

static int start(void **state)
{
    (void)state;
    pool.fork = 0;
    pool.max_tasks = 0;
    start_worker();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (world.pid > 0) {
        (void)kill(world.pid, SIGKILL);
        (void)waitpid(world.pid, NULL, 0);
        world.pid = 0;
    }
    fd_close(&world.channel_fd);
    struct err err; /* what a worker has left unread goes with its queue */
    fd_close(&world.queue.fd);
    fd_close(&world.queue_read_fd);
    CHECK_EQ(scoreboard_clear(&world.board, world.board_fd, 1), 0);
    return task_open_queue(10, &world.queue_read_fd, &world.queue, &err);
}

/* ---- tests ---- */

static void answers_like_a_web_worker(void **state)
{
    (void)state;
    get("/hello/ann");
    check_text_answer(200, "hello, ann, 2\n");
    const struct response_field *role = response_find(&got.res, STR("X-Role"));
    CHECK(role && str_is_equal(role->value, STR("compute")));
    CHECK(got.reply.peak_bytes > 0);
    get("/hello/bob");
    check_text_answer(200, "hello, bob, 2\n");
}

static void is_held_in(void **state)
{
    (void)state;
    char wanted[100];
    int nice_now = getpriority(PRIO_PROCESS, 0); /* nobody may become less nice */
    (void)snprintf(wanted, sizeof wanted, "core 0 files %d memory %d nice %d group 1 oom 1",
                   (int)pool.nofile, confine_has_memory_limit() && !is_in_valgrind,
                   nice_now > 10 ? nice_now : 10);
    get("/limits");
    check_text_answer(200, wanted);
    get("/fork");
    check_text_answer(200, strerror(EPERM));
    get("/later"); /* by a thread, which it may have */
    check_text_answer(200, "later");
}

static void may_fork_where_the_pool_says_so(void **state)
{
    (void)stop(state);
    pool.fork = 1;
    start_worker();
    get("/fork");
    check_text_answer(200, "forked");
}

static void bodies_come_from_where_they_lie(void **state)
{
    (void)state;
    static char body[MIB];
    fill(body, sizeof body);
    post("POST /echo", str_make(body, 1000));
    await_answer();
    check_filled(1000);
    post("POST /echo", str_make(body, sizeof body));
    await_answer();
    check_filled(sizeof body);
    post("POST /consume", str_make(body, 300000));
    await_answer();
    check_text_answer(200, "300000");
}

static void a_body_in_a_file_is_no_memory_of_the_handlers(void **state)
{
    (void)state;
    static char body[MEMORY_LIMIT + MIB];
    fill(body, sizeof body);
    for (int i = 0; i < 3; i++) {
        post("POST /consume", str_make(body, sizeof body));
        await_answer();
        check_text_answer(200, "68157440");
    }
    post("POST /echo", str_make(body, 2000000)); /* copied, though it could stay where it is */
    await_answer();
    check_filled(2000000);
}

static void handlers_know_how_long_they_may_take(void **state)
{
    (void)state;
    get("/deadline");
    check_text_answer(200, "soon");
}

static void whoever_has_no_memory_left_makes_room_for_another(void **state)
{
    (void)state;
    if (!confine_has_memory_limit() || is_in_valgrind)
        skip();
    get("/leak");
    char head[8000] = "GET /hello/ann?";
    memset(head + strlen(head), 'x', sizeof head - strlen(head) - 1);
    post(head, STR("")); /* larger than what it still has from the one before */
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_FAILED);
    CHECK_EQ(got.reply.error, ENOMEM);
    int status = await_end();
    CHECK(WIFEXITED(status));
}

static void answers_go_out_from_where_they_lie(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        size_t n;
        bool is_large;
        size_t copied; /* in all */
    } rows[] = {{"/made?n=100", 100, false, 0},  {"/made?n=3900", 3900, false, 0},
                {"/made?n=4200", 4200, true, 0}, {"/made?n=1048576", MIB, true, 0},
                {"/heap?n=100", 100, false, 0},  {"/heap?n=1048576", MIB, true, MIB}};
    const struct seat_head *head = scoreboard_peek(&world.board, 1).head;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].target);
        get(rows[i].target);
        CHECK_EQ(got.res.status, 200);
        CHECK_EQ(got.reply.data_len, rows[i].is_large ? rows[i].n : 0);
        check_filled(rows[i].n);
        CHECK_EQ(head->copied, rows[i].copied);
    }
    check_context("%s", "");
}

static void an_answer_that_is_read_stays_and_then_goes(void **state)
{
    (void)state;
    post("GET /made?n=3000000", STR(""));
    forget();
    CHECK(take_reply());
    uint64_t first = got.id;
    uint64_t at = got.reply.data_at;
    check_filled(3000000);
    world.record = 1;
    get("/made?n=3000000");
    CHECK(got.reply.data_at != at);
    CHECK_EQ(octets_of(1, at, 3000000).p[2999999], 'a' + 2999999 % 23);
    task_end(record_of(first));
    for (int i = 0; i < 8; i++) {
        get("/made?n=3000000");
        check_filled(3000000);
        CHECK_EQ(got.reply.kind, TASK_ANSWER);
    }
}

static void a_full_slice_is_no_failure(void **state)
{
    (void)state;
    get("/heap?n=9000000"); /* more than the slice has */
    CHECK_EQ(got.reply.kind, TASK_ANSWER);
    CHECK_EQ(got.res.kind, RESPONSE_FILE);
    CHECK_EQ(lseek(got.res.fd, 0, SEEK_END), 9000000);
    get("/made?n=9000000");
    CHECK_EQ(got.res.kind, RESPONSE_FILE);
}

static void files_come_along(void **state)
{
    (void)state;
    char text[20] = "";
    get("/file");
    CHECK_EQ(got.res.kind, RESPONSE_FILE);
    CHECK_EQ(pread(got.res.fd, text, sizeof text, 0), 11);
    CHECK_TEXT(text, "from a file");
}

static void streams_are_as_fast_as_they_are_taken(void **state)
{
    (void)state;
    get("/stream?n=5");
    CHECK_EQ(got.reply.kind, TASK_END);
    CHECK_EQ(got.reply.error, 0);
    CHECK_EQ(got.body.len, 5);
    get("/stream?n=2000000");
    CHECK_EQ(got.reply.kind, TASK_END);
    CHECK_EQ(got.reply.error, 0);
    CHECK_EQ(got.body.len, 2000000);
    for (size_t i = 0; i < got.body.len; i++)
        if (got.body.data[i] != (char)('a' + i % 10000 % 23))
            CHECK_FAIL("octet %zu is wrong", i);
}

static void a_stream_that_nobody_takes_ends_when_it_is_cancelled(void **state)
{
    (void)state;
    post("GET /stream?n=1000000000", STR(""));
    forget();
    CHECK(!take_reply());
    CHECK(!take_reply());
    task_cancel(record_of(got.id));
    while (!take_reply())
        continue;
    CHECK_EQ(got.reply.kind, TASK_END);
    CHECK_EQ(got.reply.error, ECANCELED);
    task_end(record_of(got.id));
    get("/hello/ann");
    check_text_answer(200, "hello, ann, 2\n");
}

static void handlers_see_that_they_are_cancelled(void **state)
{
    (void)state;
    post("GET /until-cancelled", STR(""));
    (void)poll(NULL, 0, 20);
    task_cancel(record_of(got.id));
    await_answer();
    check_text_answer(200, "cancelled");
}

static void what_nobody_wants_is_not_run(void **state)
{
    (void)state;
    (void)kill(world.pid, SIGSTOP);
    post("GET /crash", STR(""));
    task_cancel(record_of(got.id));
    (void)kill(world.pid, SIGCONT);
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_DROPPED);
}

static struct task_state_seen {
    enum task_state state;
    uint64_t id;
} look_at_seat(void)
{
    struct task task = {0};
    struct scoreboard_part part = scoreboard_peek(&world.board, 1);
    enum task_state state = task_peek(part.task, &task);
    return (struct task_state_seen){state, task.id};
}

static int32_t error_in_remains(void)
{
    return scoreboard_peek(&world.board, 1).remains->error;
}

static void a_crash_leaves_its_task_on_record(void **state)
{
    (void)state;
    post("GET /crash", STR(""));
    int status = await_end();
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    struct task_state_seen seen = look_at_seat();
    CHECK_EQ(seen.state, TASK_RUNNING);
    CHECK(seen.id == got.id);
    CHECK(error_in_remains() != ENOMEM);
    struct request_entry entry;
    CHECK(scoreboard_read_entry(&scoreboard_peek(&world.board, 1).head->current, &entry));
    CHECK_BYTES(entry.target, entry.target_len, "/crash", 6);
}

static void exit_leaves_its_task_on_record(void **state)
{
    (void)state;
    post("GET /leave", STR(""));
    int status = await_end();
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(look_at_seat().state, TASK_RUNNING);
}

static void memory_is_refused_beyond_the_limit(void **state)
{
    (void)state;
    if (!confine_has_memory_limit() || is_in_valgrind)
        skip();
    get("/hog?n=20000000");
    check_text_answer(200, "had");
    post("GET /hog?n=80000000", STR(""));
    int status = await_end();
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    CHECK_EQ(error_in_remains(), ENOMEM);
    CHECK_EQ(look_at_seat().state, TASK_RUNNING);
}

static void cpu_time_is_limited(void **state)
{
    (void)state;
    if (is_in_valgrind)
        skip();
    get("/hello/ann");
    post("GET /spin", STR(""));
    int status = await_end();
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
}

static void tasks_are_called_with_their_payload(void **state)
{
    (void)state;
    static char payload[300000];
    const struct seat_head *head = scoreboard_peek(&world.board, 1).head;
    fill(payload, sizeof payload);
    call(CALL_REVERSE, STR("abc"));
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_RESULT);
    CHECK_BYTES(got.body.data, got.body.len, "cba", 3);
    call(CALL_REVERSE, STR(""));
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_RESULT);
    CHECK_EQ(got.body.len, 0);
    call(CALL_REVERSE, str_make(payload, sizeof payload));
    await_answer();
    CHECK_EQ(got.reply.data_len, sizeof payload);
    CHECK_EQ(got.body.len, sizeof payload);
    for (size_t i = 0; i < sizeof payload; i++)
        if (got.body.data[i] != payload[sizeof payload - 1 - i])
            CHECK_FAIL("octet %zu is wrong", i);
    CHECK_EQ(head->copied, 0);
    call(CALL_GIVE_BACK, str_make(payload, sizeof payload));
    await_answer();
    check_filled(sizeof payload);
    CHECK_EQ(head->copied, sizeof payload);
}

static void tasks_fail_in_their_own_words(void **state)
{
    (void)state;
    call(CALL_FAIL_WITH_42, STR("abc"));
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_RESULT);
    CHECK_EQ(got.reply.error, 42);
    CHECK_EQ(got.body.len, 0);
    call(CALLS, STR("abc")); /* of which there is none */
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_FAILED);
    CHECK_EQ(got.reply.error, EBADMSG);
    call(CALL_CRASH, STR("abc"));
    int status = await_end();
    CHECK(WIFSIGNALED(status));
    CHECK(look_at_seat().id == got.id);
    struct request_entry entry;
    CHECK(scoreboard_read_entry(&scoreboard_peek(&world.board, 1).head->current, &entry));
    CHECK_BYTES(entry.target, entry.target_len, "crash", 5);
}

static void whoever_is_condemned_does_not_answer(void **state)
{
    (void)state;
    struct err err;
    struct task_seat *seat;
    post("GET /until-cancelled", STR(""));
    while (look_at_seat().state != TASK_RUNNING)
        (void)poll(NULL, 0, 1);
    CHECK_EQ(scoreboard_map_task(&world.board, world.board_fd, 1, &seat, &err), 0);
    CHECK(task_condemn(seat, got.id));
    task_cancel(record_of(got.id));
    struct pollfd readable = {.fd = world.inbox[0], .events = POLLIN};
    CHECK_EQ(poll(&readable, 1, 100), 0);
    (void)munmap(seat, SCOREBOARD_TASK_BYTES);
}

static void is_worn_by_tasks(void **state)
{
    (void)stop(state);
    pool.max_tasks = 2;
    start_worker();
    get("/hello/ann");
    get("/hello/ann");
    CHECK_HAS(await_frame(MSG_WORN).text, "2 tasks run, max_tasks");
    get("/hello/ann"); /* it goes on until it is told */
    send_frame(MSG_DRAIN, -1, 0, 0);
    int status = await_end();
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void ends_when_it_is_told(void **state)
{
    (void)state;
    (void)kill(world.pid, SIGTERM);
    int status = await_end();
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_like_a_web_worker),
        TEST(is_held_in),
        TEST(may_fork_where_the_pool_says_so),
        TEST(bodies_come_from_where_they_lie),
        TEST(a_body_in_a_file_is_no_memory_of_the_handlers),
        TEST(handlers_know_how_long_they_may_take),
        TEST(whoever_has_no_memory_left_makes_room_for_another),
        TEST(answers_go_out_from_where_they_lie),
        TEST(an_answer_that_is_read_stays_and_then_goes),
        TEST(a_full_slice_is_no_failure),
        TEST(files_come_along),
        TEST(streams_are_as_fast_as_they_are_taken),
        TEST(a_stream_that_nobody_takes_ends_when_it_is_cancelled),
        TEST(handlers_see_that_they_are_cancelled),
        TEST(what_nobody_wants_is_not_run),
        TEST(a_crash_leaves_its_task_on_record),
        TEST(exit_leaves_its_task_on_record),
        TEST(memory_is_refused_beyond_the_limit),
        TEST(cpu_time_is_limited),
        TEST(tasks_are_called_with_their_payload),
        TEST(tasks_fail_in_their_own_words),
        TEST(whoever_is_condemned_does_not_answer),
        TEST(is_worn_by_tasks),
        TEST(ends_when_it_is_told),
    };
    return cmocka_run_group_tests_name("compute", tests, open_world, close_world);
}
