/* What a compute worker lives with, for its tests: a real queue, segment and channel, and the test
 * in the parts of the master and of the web worker that asks. */
#ifndef REMUDA_TESTS_UNIT_WORKERS_COMPUTE_WORLD_H
#define REMUDA_TESTS_UNIT_WORKERS_COMPUTE_WORLD_H

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "http/conn.h"
#include "http/image.h"
#include "ipc/msg.h"
#include "ipc/remains.h"
#include "ipc/segment.h"
#include "ipc/task.h"
#include "tests/harness/procs.h"
#include "tests/unit/workers/compute_app.h"
#include "workers/compute.h"
#include "workers/confine.h"
#include "workers/crash.h"

#define SEATS 2U
#define SLICE (8ULL * MIB)
#define MEMORY_LIMIT (64ULL * MIB)
#define PATIENCE_MS 20000

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
    pid_t pid;         /* of the worker; 0: none */
    uint32_t record;   /* for the next task */
    bool by_file;      /* asked for with calls */
    uint64_t count;    /* of tasks */
    uint64_t usual_us; /* told with requests */
    bool is_common;    /* the next worker has no capabilities */
    struct arena arena;
} world;

/* What came for a request. */
static struct {
    uint64_t id;
    struct task_reply reply; /* the last one */
    struct rmd_response res;
    struct rmd_request req;
    struct buf body;
    bool has_file; /* of a result */
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

/* In a child: a user without capabilities, who is nobody else, so that what is counted for a user
 * is counted for this test alone, also when it runs twice at a time. Only root can be another. */
static void become_common(void)
{
    uid_t uid = 200000U + (uid_t)getppid();
    if (getuid() == 0) {
        if (setresuid(uid, uid, uid) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
            _exit(99);
        return;
    }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &header, none) < 0)
        _exit(99);
}

/* Descriptors on their way, of the worker's user: more than nofile. */
__attribute__((unused)) static void flood(int ends[2])
{
    const int fds[FD_PASS_MAX] = {0, 0, 0, 0};
    const size_t n = pool.nofile / FD_PASS_MAX + 1;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        become_common();
        for (size_t i = 0; i < n; i++) {
            if (fd_send(ends[0], "x", 1, fds, FD_PASS_MAX) < 0)
                _exit(1);
        }
        _exit(0);
    }
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* Until it is ready. */
static void begin_worker(void)
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
        if (world.is_common)
            become_common();
        compute_main(&heritage, &calls_app);
    }
    fd_close(&ends[1]);
    (void)await_frame(MSG_HELLO);
    send_frame(MSG_BOARD, world.board_fd, 0, 0);
    send_frame(MSG_SEGMENT, world.segment_fd, SLICE, SEATS);
    send_frame(MSG_POOL, world.queue_read_fd, 0, 0);
}

static void start_worker(void)
{
    begin_worker();
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
    task.usual_us = world.usual_us;
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

static void take_file(int fd, uint64_t len)
{
    CHECK_EQ(buf_reserve(&got.body, len), 0);
    CHECK_EQ(pread(fd, got.body.data, len, 0), len);
    got.body.len = len;
    got.has_file = true;
    (void)close(fd);
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
    struct str data =
        octets_of(1, fd < 0 ? frame.reply.data_at : 0, fd < 0 ? frame.reply.data_len : 0);
    if (frame.reply.kind == TASK_ANSWER || frame.reply.kind == TASK_BEGIN)
        take_answer(&frame, data, fd);
    if (frame.reply.kind == TASK_RESULT && fd >= 0)
        take_file(fd, frame.reply.data_len);
    else if (frame.reply.kind == TASK_RESULT)
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
    got.has_file = false;
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
__attribute__((unused)) static void call(unsigned number, struct str payload)
{
    struct segment_run run = {0};
    uint64_t id = task_make_id(0, world.record, ++world.count);
    struct task task = task_make(TASK_CALL, id);
    task.route = (uint16_t)number;
    task.by_file = world.by_file;
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

__attribute__((unused)) static void check_filled(size_t n)
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
    settings.limit_routes = 62;
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

/* Until the worker has, or no longer has, an answer open that lies in a file. */
__attribute__((unused)) static void await_answer_file(bool is_open)
{
    while ((procs_fd_count_like(world.pid, "/memfd:remuda-answer") > 0) != is_open)
        (void)poll(NULL, 0, 1);
}

static int start(void **state)
{
    (void)state;
    pool.fork = 0;
    pool.max_tasks = 0;
    world.record = 0;
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

#endif
