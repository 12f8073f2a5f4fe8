/* workers/web_compute.c, desk.c, desk_reply.c, handover.c, blocks.c: a web worker's side of the
 * compute pool. Segment, queue, inbox and channel are real; the compute worker on their other end
 * is this test, from another seat, with another mapping, and does what it is told: also what no
 * worker should. */
#include "workers/web_compute.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "http/conn_request.h"
#include "http/image.h"
#include "ipc/breaker.h"
#include "tests/harness/check.h"
#include "workers/commands.h"
#include "workers/desk.h"
#include "workers/transfer.h"

#define SEATS 4U
#define ME 0U
#define WORKER 2U
#define SLICE_BYTES (UINT64_C(4) << 20)
#define INFLIGHT 8U
#define QUEUE 4U
#define S CLOCK_US_PER_S
#define CLIENTS 128U
#define ROUTES 16U /* at most */
#define N_WORDS 8U /* of breakers, at least */

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct {
    struct settings *settings;
    struct setting_pool pool;
    struct app app;
    struct scoreboard board;
    int board_fd, segment_fd;
    struct scoreboard_part part, other;
    struct heritage heritage;
    int master_fd; /* the master's end of the channel */
    struct web web;
    int client_fd[CLIENTS]; /* -1: not there */
    struct transfer transfer[CLIENTS];
    /* the compute worker */
    struct segment segment;
    int queue_fd;
    struct task task; /* in hand */
    int fds[2];       /* that came with it */
    struct segment_run run;
    struct conn_env env;
    char *answer; /* what a client got */
    size_t answer_len;
    int log_fd;
    _Atomic uint64_t *words; /* of breakers; NULL: there are none */
} room;

static void never(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    CHECK_FAIL("a handler of the compute lane runs here");
}

static void inline_one(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "here\n");
}

static void instead(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "instead\n");
}

static int never_here(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    CHECK_FAIL("a task runs here");
    return 0;
}

static void on_mapped(rmd_request *req, rmd_response *res, const rmd_outcome *outcomes, size_t n,
                      void *arg)
{
    (void)arg;
    unsigned failed = 0;
    for (size_t i = 0; i < n; i++)
        failed += outcomes[i].error != 0;
    if (req)
        rmd_text(res, 200, "%u of %zu failed\n", failed, n);
}

static void map_ten(rmd_request *req, rmd_response *res)
{
    static const rmd_slice payloads[10];
    (void)res;
    CHECK_EQ(rmd_offload_map(req, "task", payloads, 10, 0, on_mapped, NULL), 0);
}

static void on_result(rmd_request *req, rmd_response *res, int error, rmd_slice result, void *arg)
{
    (void)req, (void)arg;
    if (error < 0)
        rmd_offload_error(res, error);
    else
        rmd_text(res, 200, "%zu octets\n", result.len);
}

static void hand_one(rmd_request *req, rmd_response *res)
{
    (void)res;
    CHECK_EQ(rmd_offload(req, "task", "a", 1, 0, on_result, NULL), 0);
}

static const rmd_task tasks[] = {{.name = "task", .run = never_here}, {0}};

static const rmd_route routes[] = {
    {.method = "GET", .pattern = "/map", .handler = map_ten},
    {.method = "GET", .pattern = "/one", .handler = hand_one},
    {.method = "GET", .pattern = "/", .handler = inline_one},
    {.method = "POST", .pattern = "/here", .handler = inline_one},
    {.method = "GET", .pattern = "/f", .handler = never, .lane = RMD_COMPUTE, .fallback = instead},
    {.method = "*", .pattern = "/again", .handler = never, .lane = RMD_COMPUTE, .idempotent = true},
    {.method = "*", .pattern = "/c", .handler = never, .lane = RMD_COMPUTE},
    {.method = "GET",
     .pattern = "/brief",
     .handler = never,
     .lane = RMD_COMPUTE,
     .timeout_ms = 100},
    {.method = "POST", .pattern = "/s", .handler = never, .lane = RMD_COMPUTE, .stream_body = true},
    {0}};

/* ---- set-up ---- */

static void open_pool(void)
{
    struct task_queue queue;
    struct err err;
    CHECK(task_open_queue(QUEUE, &room.queue_fd, &queue, &err) == 0);
    web_compute_add_pool(&room.web, 0, 0, queue);
}

static void open_web(void)
{
    struct err err;
    struct task_queue no_queue = {.fd = -1};
    int channel[2];
    (void)no_queue;
    CHECK(scoreboard_create(SEATS, INFLIGHT, ROUTES, &room.board_fd, &room.board, &err) == 0);
    CHECK(scoreboard_tell_used(room.board_fd, SEATS) == 0);
    CHECK(scoreboard_map_part(&room.board, room.board_fd, ME, &room.part, &err) == 0);
    CHECK(scoreboard_map_part(&room.board, room.board_fd, WORKER, &room.other, &err) == 0);
    room.other.head->pid = getpid();
    room.other.head->role = ROLE_COMPUTE;
    room.part.head->epoch = 1;
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == 0);
    room.master_fd = channel[0];
    room.heritage = (struct heritage){.role = ROLE_WEB,
                                      .seat = ME,
                                      .epoch = 1,
                                      .slot = 0,
                                      .channel_fd = channel[1],
                                      .board = room.board,
                                      .settings = room.settings};
    CHECK(web_init(&room.web, room.settings, &room.app, &room.part, INFLIGHT, ROUTES, -1, &err) ==
          0);
    CHECK(segment_create(SEATS, SLICE_BYTES, &room.segment_fd, &err) == 0);
    CHECK(web_compute_open(&room.web, &room.heritage, room.segment_fd, SEATS, SLICE_BYTES, &err) ==
          0);
    CHECK(segment_map(room.segment_fd, SEATS, SLICE_BYTES, WORKER, &room.segment, &err) == 0);
}

static int setup(void **state)
{
    static const rmd_app decl = {.abi = RMD_ABI_VERSION,
                                 .app_size = sizeof(rmd_app),
                                 .route_size = sizeof(rmd_route),
                                 .group_size = sizeof(rmd_group),
                                 .task_size = sizeof(rmd_task),
                                 .routes = routes,
                                 .tasks = tasks};
    static const struct conn_hooks none;
    struct err err;
    (void)state;
    memset(&room, 0, sizeof room);
    room.log_fd = memfd_create("log", MFD_CLOEXEC);
    log_init(room.log_fd, LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    room.settings = settings_new();
    CHECK(room.settings && chain_open(&room.app, &decl, ROUTES, "the test's app", &err) == 0);
    room.pool = (struct setting_pool){.name = "default",
                                      .timeout_us = 30 * S,
                                      .memory_limit_bytes = UINT64_C(64) << 20,
                                      .cpu_limit_us = 3 * S};
    room.settings->compute_pools = (struct setting_pools){.items = &room.pool, .n = 1};
    room.settings->inflight = INFLIGHT;
    room.settings->body_buffer_size_bytes = 65536;
    chain_set_process(&(struct chain_process){.role = "web", .app = &room.app});
    open_web();
    open_pool();
    CHECK(conn_env_init(&room.env, &room.web.env.limits, room.app.router, &none, NULL, 4096) == 0);
    room.fds[0] = room.fds[1] = -1;
    for (unsigned i = 0; i < CLIENTS; i++)
        room.client_fd[i] = -1;
    return 0;
}

static void close_client(unsigned i)
{
    transfer_close(&room.transfer[i]);
    fd_close(&room.client_fd[i]);
}

/* What the master is told, whatever became of them. */
static void check_held(void)
{
    const struct desk *d = room.web.compute;
    uint64_t n = d ? d->n_out : 0;
    for (uint32_t i = 0; d && i < d->segment.n_seats; i++)
        n += d->seats[i].n_held;
    CHECK_EQ(atomic_load(&room.part.head->held), n);
}

static int teardown(void **state)
{
    (void)state;
    check_held();
    for (unsigned i = 0; i < CLIENTS; i++)
        if (room.client_fd[i] >= 0)
            close_client(i);
    web_fini(&room.web);
    segment_unmap(&room.segment);
    if (room.words)
        breaker_unmap(room.words, N_WORDS);
    conn_env_fini(&room.env);
    chain_close(&room.app);
    room.settings->compute_pools = (struct setting_pools){0};
    settings_free(room.settings);
    for (int i = 0; i < 2; i++)
        fd_close(&room.fds[i]);
    fd_close(&room.queue_fd);
    fd_close(&room.segment_fd);
    fd_close(&room.board_fd);
    fd_close(&room.master_fd);
    fd_close(&room.heritage.channel_fd);
    (void)munmap(room.part.head, room.board.part_bytes);
    (void)munmap(room.other.head, room.board.part_bytes);
    (void)munmap((void *)(uintptr_t)room.board.base, room.board.bytes);
    free(room.answer);
    log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    fd_close(&room.log_fd);
    return 0;
}

static const char *logged(void)
{
    static char text[8192];
    ssize_t n = pread(room.log_fd, text, sizeof text - 1, 0);
    CHECK(n >= 0);
    text[n] = '\0';
    return text;
}

/* ---- clients ---- */

static void turn_clock(uint64_t us)
{
    web_on_turn(&room.web, room.web.env.now_us + us);
}

/* Sends, and lets the worker receive, until all is sent. */
static void push(unsigned i, const char *octets, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(room.client_fd[i], octets + done, len - done);
        CHECK(n > 0 || errno == EAGAIN);
        done += n > 0 ? (size_t)n : 0;
        (void)transfer_read(&room.transfer[i]);
        transfer_turn(&room.transfer[i]);
    }
}

/* All of it has been sent. */
static void receive_body(unsigned i)
{
    while (conn_wait(&room.transfer[i].conn) == CONN_WAIT_BODY) {
        (void)transfer_read(&room.transfer[i]);
        transfer_turn(&room.transfer[i]);
    }
}

/* How a request is cut into what comes at once. */
enum { HEAD_ALONE, WITH_BODY, HALF_A_HEAD, WAYS };

static void ask_with(unsigned i, int way, const char *head, const void *text, size_t body_len)
{
    static const struct sockaddr_storage address = {.ss_family = AF_UNIX};
    struct buf octets = {0};
    int ends[2];
    CHECK(buf_append(&octets, head, strlen(head)) == 0);
    CHECK(buf_append(&octets, text, body_len) == 0);
    size_t first = way == HEAD_ALONE  ? strlen(head)
                   : way == WITH_BODY ? strlen(head) + body_len
                                      : strlen(head) / 2;
    first = first < 50000 ? first : 50000;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    room.client_fd[i] = ends[0];
    CHECK(write(ends[0], octets.data, first) == (ssize_t)first);
    room.transfer[i] = (struct transfer){0};
    transfer_open(&room.transfer[i], &room.web, ends[1], &address);
    transfer_turn(&room.transfer[i]);
    push(i, octets.data + first, octets.len - first);
    if (body_len > 0)
        receive_body(i);
    buf_fini(&octets);
}

static void ask(unsigned i, const char *octets)
{
    ask_with(i, HEAD_ALONE, octets, NULL, 0);
}

/* Exchanges that came back. */
static void take_box(void)
{
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(&room.web.box); d; d = next) {
        next = d->next;
        struct conn *conn = conn_on_ticket(&room.web.env, d);
        if (conn)
            transfer_turn((struct transfer *)(void *)conn);
    }
}
_Static_assert(offsetof(struct transfer, conn) == 0, "take_box()");

static void hear(void)
{
    web_compute_on_inbox(&room.web);
    take_box();
}

static bool is_inbox_readable(void)
{
    struct pollfd end = {.fd = web_compute_inbox(&room.web), .events = POLLIN};
    return poll(&end, 1, 0) == 1;
}

/* Until the time that its machine waits for. */
static void expire(unsigned i)
{
    uint64_t resume_us = room.transfer[i].conn.resume_us;
    CHECK(resume_us != CONN_NEVER_US);
    if (resume_us > room.web.env.now_us)
        turn_clock(resume_us - room.web.env.now_us);
    transfer_turn(&room.transfer[i]);
}

/* All that has come for a client; with more it goes on sending. */
static const char *got(unsigned i)
{
    room.answer_len = 0;
    for (;;) {
        room.answer = realloc(room.answer, room.answer_len + 65537);
        CHECK(room.answer);
        ssize_t n = read(room.client_fd[i], room.answer + room.answer_len, 65536);
        if (n > 0)
            room.answer_len += (size_t)n;
        else if (conn_wait(&room.transfer[i].conn) == CONN_WAIT_WRITE)
            transfer_turn(&room.transfer[i]);
        else
            break;
    }
    room.answer[room.answer_len] = '\0';
    return room.answer;
}

/* ---- the compute worker ---- */

static int take(void)
{
    for (int i = 0; i < 2; i++)
        fd_close(&room.fds[i]);
    return task_receive(room.queue_fd, room.other.task, &room.task, room.fds);
}

static void must_take(void)
{
    CHECK_EQ(take(), 1);
    CHECK_EQ(room.task.kind, TASK_REQUEST);
    CHECK_EQ(task_seat_of(room.task.id), ME);
}

static const struct task_record *record(void)
{
    return task_record(&room.segment, room.task.id);
}

/* What its handler would see. */
static struct exchange *read_task(void)
{
    struct exchange *ex = exchange_take(&room.env.pool);
    const char *reason = NULL;
    struct segment_ref image = {room.task.image_at, room.task.image_len, ME};
    struct segment_ref body = {room.task.body_at, room.task.body_len, ME};
    struct str octets = {0};
    CHECK(ex && segment_at(&room.segment, image));
    if (room.task.body == TASK_BODY_SLICE)
        octets = str_make(segment_at(&room.segment, body), room.task.body_len);
    if (room.task.body == TASK_BODY_SPOOL) {
        ex->body.fd = dup(room.fds[1]);
        ex->body.len = room.task.body_len;
        CHECK(body_view(&ex->body, &octets) == 0);
    }
    if (image_read_request(str_make(segment_at(&room.segment, image), image.len), octets, &room.env,
                           ex, &reason) < 0)
        CHECK_FAIL("%s", reason ? reason : "no memory");
    CHECK_EQ(ex->req.match.route->index, room.task.route);
    return ex;
}

static void drop_task(struct exchange *ex)
{
    exchange_settle(ex);
    exchange_give_back(&room.env.pool, ex);
}

static struct task_frame make_frame(enum task_reply_kind kind)
{
    struct task_frame frame;
    frame.reply = task_make_reply(kind, room.task.id, WORKER);
    return frame;
}

static void put_image(struct task_frame *frame, const struct rmd_response *res, bool with_body)
{
    frame->reply.inline_len = (uint32_t)image_answer_bytes(res, with_body);
    CHECK(frame->reply.inline_len <= TASK_INLINE_MAX);
    image_put_answer(res, with_body, frame->octets);
}

static void reply(struct task_frame *frame, int fd)
{
    CHECK_EQ(task_reply(room.fds[0], frame, fd), 0);
}

static void reply_text(const char *text)
{
    struct rmd_response res = {
        .kind = RESPONSE_BYTES, .status = 200, .body = text, .body_len = strlen(text)};
    struct task_frame frame = make_frame(TASK_ANSWER);
    put_image(&frame, &res, true);
    reply(&frame, -1);
}

/* A body of n octets that lies in the worker's slice. */
static void reply_large(size_t n)
{
    CHECK(segment_take(&room.segment.slice, n, 0, &room.run) == 0);
    CHECK(segment_ready(&room.segment.slice, &room.run, 0, n) == 0);
    char *body = segment_own(&room.segment.slice, &room.run);
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 26);
    struct rmd_response res = {.kind = RESPONSE_BYTES, .status = 200, .body = body, .body_len = n};
    struct task_frame frame = make_frame(TASK_ANSWER);
    put_image(&frame, &res, false);
    frame.reply.data_at = room.run.at;
    frame.reply.data_len = n;
    reply(&frame, -1);
}

static void begin_stream(void)
{
    struct rmd_response res = {.kind = RESPONSE_STREAM, .status = 200};
    struct task_frame frame = make_frame(TASK_BEGIN);
    put_image(&frame, &res, false);
    reply(&frame, -1);
}

static void send_part(const char *text)
{
    struct task_frame frame = make_frame(TASK_PART);
    frame.reply.inline_len = (uint32_t)strlen(text);
    memcpy(frame.octets, text, strlen(text));
    reply(&frame, -1);
}

static void end_stream(int error)
{
    struct task_frame frame = make_frame(TASK_END);
    frame.reply.error = error;
    reply(&frame, -1);
}

static void reply_word(enum task_reply_kind kind, int error)
{
    struct task_frame frame = make_frame(kind);
    frame.reply.error = error;
    reply(&frame, -1);
}

/* ---- the master ---- */

/* The next frame of a type; others are skipped. Returns false when there is none */
static bool hear_master(enum msg_type type, struct msg *out)
{
    int fds[FD_PASS_MAX];
    size_t n;
    while (msg_receive(room.master_fd, 1, out, fds, &n) == 1)
        if (out->type == type)
            return true;
    return false;
}

static void tell_lost(enum task_loss loss)
{
    struct msg msg = msg_make(MSG_TASK_LOST);
    msg.value = (int64_t)room.task.id;
    msg.about = (int32_t)loss;
    web_compute_on_lost(&room.web, &msg);
    take_box();
}

static void tell_gone(uint32_t epoch)
{
    struct msg msg = msg_make(MSG_GONE);
    msg.seat = WORKER;
    msg.epoch = epoch;
    web_compute_on_gone(&room.web, &room.heritage, &msg);
}

/* ---- a request and its answer ---- */

static void request_arrives_whole_and_its_answer_comes_back(void **state)
{
    (void)state;
    ask(0, "GET /c?a=b HTTP/1.1\r\nHost: a\r\nX-Own: 1\r\n\r\n");
    must_take();
    CHECK(task_is_wanted(record(), room.task.id));
    CHECK_EQ(room.part.inflight[0].phase, ENTRY_COMPUTE);
    struct exchange *ex = read_task();
    CHECK_TEXT(ex->req.method, "GET");
    CHECK(str_is_equal(ex->req.query, STR("a=b")));
    CHECK(request_find(&ex->req, STR("x-own"), NULL) != NULL);
    drop_task(ex);
    reply_text("from afar\n");
    hear();
    CHECK_HAS(got(0), "HTTP/1.1 200 OK\r\n");
    CHECK_HAS(room.answer, "\r\n\r\nfrom afar\n");
    CHECK(!task_is_held(record(), room.task.id));
    CHECK_EQ(room.part.inflight[0].phase, ENTRY_FREE);
    CHECK_EQ(web_compute_count(&room.web), 0);
}

static void connection_goes_on_behind_it(void **state)
{
    (void)state;
    ask(0, GET("/c") GET("/"));
    must_take();
    reply_text("far\n");
    hear();
    CHECK_HAS(got(0), "\r\n\r\nfar\nHTTP/1.1 200 OK\r\n");
    CHECK_HAS(room.answer, "here\n");
}

static char body[6000000];

static void fill_body(void)
{
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 7 + i / 251);
}

static const char *post(size_t len)
{
    static char head[100];
    (void)snprintf(head, sizeof head, "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                   len);
    return head;
}

/* The task in hand has the first octets of the body. */
static void check_body(size_t len)
{
    struct exchange *ex = read_task();
    CHECK_EQ(ex->req.body.len, len);
    CHECK(memcmp(ex->req.body.p, body, len) == 0);
    drop_task(ex);
}

static void bodies_arrive_and_nobody_copies_them(void **state)
{
    static const size_t sizes[] = {1, 4096, 4097, 30000, 40000, 65536, 65537, 1000000, 6000000};
    (void)state;
    fill_body();
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0] * WAYS; k++) {
        size_t len = sizes[k / WAYS];
        uint64_t before = room.part.head->copied;
        check_context("%zu octets, way %zu", len, k % WAYS);
        ask_with(0, (int)(k % WAYS), post(len), body, len);
        must_take();
        CHECK_EQ(room.task.body, len <= 4096      ? TASK_BODY_NONE
                                 : len <= 1000000 ? TASK_BODY_SLICE
                                                  : TASK_BODY_SPOOL); /* over half of it */
        check_body(len);
        reply_text("ok\n");
        hear();
        CHECK_HAS(got(0), "ok\n");
        /* The beginning, where it can't stay; on its way to a file as much as memory may have. */
        CHECK(room.part.head->copied - before <= (len <= 1000000 ? 32768 : 65536));
        close_client(0);
    }
}

static void bodies_of_many_clients_do_not_mix(void **state)
{
    (void)state;
    fill_body();
    room.settings->compute_pools.items[0].queue = 100;
    for (unsigned i = 0; i < QUEUE; i++)
        ask_with(i, WITH_BODY, post(50000), NULL, 0);
    for (size_t at = 0; at < 50000; at += 1250) /* by turns */
        for (unsigned i = 0; i < QUEUE; i++)
            push(i, body + at, 1250);
    for (unsigned i = 0; i < QUEUE; i++) {
        must_take();
        CHECK_EQ(room.task.body, TASK_BODY_SLICE);
        check_body(50000);
    }
}

static void beginning_moves_where_there_is_no_room_behind_it(void **state)
{
    (void)state;
    fill_body();
    /* Each keeps the loop's block, of which there are stations for a few only. */
    for (unsigned i = 0; i < 20; i++)
        ask_with(i, HALF_A_HEAD, post(100), NULL, 0);
    ask_with(20, WITH_BODY, post(200000), body, 200000);
    must_take();
    CHECK_EQ(room.task.body, TASK_BODY_SLICE);
    check_body(200000);
}

static void uploads_stay_where_they_begin(void **state)
{
    static const char begun[] = "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\nx";
    const uint64_t spacing = SLICE_BYTES / SEGMENT_STATIONS;
    (void)state;
    fill_body();
    for (unsigned i = 0; i < SEGMENT_STATIONS - 2; i++) /* one is the loop's, one is not for them */
        ask(i, begun);
    for (unsigned i = 2; i <= 5; i += 3) { /* each takes the loop's, which is put where it was */
        close_client(i);
        ask(i, begun);
    }
    body[0] = 'x';
    for (unsigned i = 0; i < SEGMENT_STATIONS - 2; i++) {
        check_context("client %u", i);
        push(i, body + 1, 199999);
        receive_body(i);
        must_take();
        CHECK_EQ(room.task.body_at / spacing, i == 2 ? SEGMENT_STATIONS - 1 : i == 5 ? 3 : i + 1);
        CHECK(room.task.body_at % spacing < 200); /* behind its head */
        check_body(200000);
        reply_text("ok\n");
        hear();
    }
}

static void body_outlives_the_client_that_sent_it(void **state)
{
    (void)state;
    fill_body();
    room.pool.on_disconnect = SETTING_ON_DISCONNECT_FINISH;
    ask_with(0, WITH_BODY, post(30000), body, 30000);
    must_take();
    close_client(0);
    ask_with(0, WITH_BODY, post(30000), body + 100, 30000); /* into the memory of the first? */
    check_body(30000);
    reply_text("ok\n");
    hear();
    close_client(0);
}

static void body_without_room_in_the_slice_goes_by_a_file(void **state)
{
    struct segment_run most;
    (void)state;
    fill_body();
    struct segment_slice *slice = web_compute_slice(&room.web);
    CHECK(segment_take(slice, SLICE_BYTES / 2, 0, &most) == 0);
    for (int way = 0; way < WAYS; way++) {
        ask_with(0, way, post(60000), body, 60000);
        must_take();
        check_body(60000);
        reply_text("ok\n");
        hear();
        CHECK_HAS(got(0), "ok\n");
        close_client(0);
    }
    /* And with none at all for bodies, but for what is small. */
    struct segment_run rest[1024];
    size_t n = 0;
    while (n < 1024 && segment_take(slice, 4 * SEGMENT_PAGE, 0, &rest[n]) == 0)
        n++;
    ask_with(0, HEAD_ALONE, post(60000), body, 60000);
    must_take();
    CHECK_EQ(room.task.body, TASK_BODY_SPOOL);
    check_body(60000);
    reply_text("ok\n");
    hear();
    close_client(0);
    for (size_t i = 0; i < n; i++)
        segment_give(slice, &rest[i]);
    segment_give(slice, &most);
}

/* Of the slice, in pages. */
#define HALF (SLICE_BYTES / SEGMENT_PAGE / 2)

static void get_goes_through(unsigned i)
{
    ask(i, GET("/c"));
    must_take();
    reply_text("ok\n");
    hear();
    CHECK_HAS(got(i), "ok\n");
}

static void requests_that_wait_leave_room_for_others(void **state)
{
    (void)state;
    /* Each keeps the input that its head came in, and no other process will ever read it. */
    for (unsigned i = 0; i < CLIENTS - 1; i++)
        ask(i, "POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    CHECK(web_compute_slice(&room.web)->n_used <= HALF);
    get_goes_through(CLIENTS - 1);
    for (unsigned i = 0; i < CLIENTS; i++)
        close_client(i);
    web_compute_on_tick(&room.web); /* there is room again */
    ask_with(0, WITH_BODY, post(60000), body, 60000);
    must_take();
    CHECK_EQ(room.task.body, TASK_BODY_SLICE);
    CHECK_EQ(room.part.head->copied, 0);
}

static void uploads_that_begin_together_leave_room_for_others(void **state)
{
    (void)state;
    fill_body();
    for (unsigned i = 0; i < QUEUE; i++) /* half of the slice is enough for two of them */
        ask(i, post(800000));
    for (size_t at = 0; at < 100000; at += 50000)
        for (unsigned i = 0; i < QUEUE; i++)
            push(i, body + at, 50000);
    CHECK(web_compute_slice(&room.web)->n_used <= HALF);
    get_goes_through(QUEUE);
    for (unsigned i = 0; i < QUEUE; i++) {
        push(i, body + 100000, 700000);
        receive_body(i);
        must_take();
        CHECK_EQ(room.task.body, i < 2 ? TASK_BODY_SLICE : TASK_BODY_SPOOL);
        check_body(800000);
    }
}

static void copied_bodies_leave_room_for_images(void **state)
{
    static const char head[] =
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n";
    struct segment_run most;
    (void)state;
    fill_body();
    for (int is_full = 0; is_full < 2; is_full++) {
        if (is_full)
            CHECK(segment_take(web_compute_slice(&room.web), SLICE_BYTES / 4 * 3, 0, &most) == 0);
        ask(0, head);
        push(0, body, 60000);
        push(0, "\r\n0\r\n\r\n", 7);
        receive_body(0);
        must_take();
        CHECK_EQ(room.task.body, is_full ? TASK_BODY_SPOOL : TASK_BODY_SLICE);
        check_body(60000);
        close_client(0);
    }
}

static void body_that_would_be_streamed_comes_whole(void **state)
{
    (void)state;
    ask(0, "POST /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
           "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    must_take();
    struct exchange *ex = read_task();
    CHECK(str_is_equal(ex->req.body, STR("abcde")));
    drop_task(ex);
}

/* ---- large answers ---- */

static void large_answer_is_sent_from_where_it_lies(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    reply_large(1000000);
    hear();
    CHECK(task_is_held(record(), room.task.id));
    CHECK_HAS(got(0), "Content-Length: 1000000\r\n");
    const char *octets = strstr(room.answer, "\r\n\r\n") + 4;
    CHECK_EQ(room.answer_len - (size_t)(octets - room.answer), 1000000);
    for (size_t i = 0; i < 1000000; i++)
        if (octets[i] != (char)('a' + i % 26))
            CHECK_FAIL("octet %zu is another", i);
    CHECK(!task_is_held(record(), room.task.id));
}

static void dead_workers_answer_is_held_until_it_is_sent(void **state)
{
    struct msg msg;
    (void)state;
    ask(0, GET("/c"));
    must_take();
    reply_large(1000000);
    tell_gone(7); /* which looks into the inbox first */
    take_box();
    CHECK(!hear_master(MSG_LET_GO, &msg));
    CHECK_HAS(got(0), "Content-Length: 1000000\r\n");
    CHECK(hear_master(MSG_LET_GO, &msg));
    CHECK_EQ(msg.seat, WORKER);
    CHECK_EQ(msg.epoch, 7);
    tell_gone(8);
    CHECK(hear_master(MSG_LET_GO, &msg)); /* at once: nothing is held */
}

static void client_that_leaves_in_the_middle_lets_go_of_it(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    reply_large(2000000);
    hear();
    CHECK(task_is_held(record(), room.task.id));
    close_client(0);
    CHECK(!task_is_held(record(), room.task.id));
}

static void file_is_sent_by_its_descriptor(void **state)
{
    (void)state;
    struct response_part part = {.offset = 2, .len = 3};
    struct rmd_response res = {
        .kind = RESPONSE_FILE, .status = 200, .parts = &part, .n_parts = 1, .body_len = 3};
    int fd = memfd_create("file", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, "abcdefg", 7) == 7);
    ask(0, GET("/c"));
    must_take();
    struct task_frame frame = make_frame(TASK_ANSWER);
    put_image(&frame, &res, false);
    reply(&frame, fd);
    fd_close(&fd);
    hear();
    CHECK_HAS(got(0), "\r\n\r\ncde");
}

/* ---- streams ---- */

static void stream_goes_to_the_client_as_it_comes(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    begin_stream();
    hear();
    take_box();
    CHECK_HAS(got(0), "Transfer-Encoding: chunked\r\n");
    send_part("one");
    hear();
    CHECK_TEXT(got(0), "3\r\none\r\n");
    CHECK_EQ(task_consumed(record()), 3);
    send_part("two");
    send_part("three");
    hear();
    take_box();
    CHECK_HAS(got(0), "two");
    CHECK_EQ(task_consumed(record()), 11);
    CHECK_EQ(room.part.head->copied, 22); /* to the answer, and to the output */
    end_stream(0);
    hear();
    take_box();
    CHECK_HAS(got(0), "0\r\n\r\n");
    CHECK_EQ(room.transfer[0].conn.state, CONN_IDLE);
    CHECK(!task_is_held(record(), room.task.id));
}

static void stream_that_is_broken_off_does_not_look_whole(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        ask(0, GET("/c"));
        must_take();
        begin_stream();
        send_part("one");
        hear();
        take_box();
        if (how == 0)
            end_stream(EIO);
        else if (how == 1)
            tell_lost(TASK_LOSS_CRASH);
        else
            reply_word(TASK_DROPPED, 0);
        hear();
        take_box();
        (void)got(0);
        CHECK_HAS_NOT(room.answer, "\r\n0\r\n\r\n");
        CHECK(room.transfer[0].conn.is_broken);
        close_client(0);
        CHECK_EQ(web_compute_count(&room.web), 0);
    }
}

static void slow_client_holds_up_its_own_stream_only(void **state)
{
    char text[4001];
    unsigned sent = 0;
    (void)state;
    memset(text, 'x', 4000);
    text[4000] = '\0';
    ask(0, GET("/c"));
    must_take();
    begin_stream();
    hear();
    /* Until the socket is full, and then some: what is not taken gets no credit. */
    while (sent - task_consumed(record()) < 100000) {
        send_part(text);
        sent += 4000;
        hear();
        take_box();
        CHECK(sent < 10000000);
    }
    for (int i = 0; i < 100 && task_consumed(record()) < sent; i++) {
        (void)got(0);
        take_box();
    }
    CHECK_EQ(task_consumed(record()), sent);
}

static void stream_without_credit_is_cut_off(void **state)
{
    static char text[4097];
    struct msg msg;
    (void)state;
    memset(text, 'x', 4096);
    ask(0, GET("/c"));
    must_take();
    begin_stream();
    hear();
    for (unsigned i = 0; i < 10000 && !strstr(logged(), "more than it has credit for"); i++) {
        send_part(text);
        hear();
    }
    for (int i = 0; i < 100 && !room.transfer[0].conn.is_broken; i++) {
        (void)got(0); /* what was taken before goes out first */
        take_box();
    }
    CHECK(room.transfer[0].conn.is_broken);
    CHECK(hear_master(MSG_OVERDUE, &msg) && (uint64_t)msg.value == room.task.id);
    CHECK_HAS(logged(), "more than it has credit for");
}

/* ---- no answer ---- */

static void full_queue_is_answered_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < QUEUE; i++)
        ask(i, GET("/c"));
    ask(QUEUE, GET("/c"));
    CHECK_HAS(got(QUEUE), "HTTP/1.1 503 ");
    CHECK_HAS(room.answer, "Retry-After: 1\r\n");
    CHECK_HAS(logged(), "compute pool takes no more");
    CHECK_EQ(room.part.head->refused, 1);
    must_take();
    close_client(QUEUE);
    ask(QUEUE, GET("/c")); /* one waits less */
    CHECK_TEXT(got(QUEUE), "");
}

/* So many tasks, each of which took that long. Some answers say that it was much longer. */
static void measure(unsigned n, uint64_t wall_us)
{
    for (unsigned i = 0; i < n; i++) {
        ask(0, GET("/c"));
        must_take();
        struct rmd_response res = {.kind = RESPONSE_EMPTY, .status = 204};
        struct task_frame frame = make_frame(TASK_ANSWER);
        put_image(&frame, &res, false);
        frame.reply.wall_us = i % 2 ? 3600 * S : wall_us;
        reply(&frame, -1);
        turn_clock(wall_us);
        hear();
        CHECK_HAS(got(0), " 204 ");
        close_client(0);
    }
}

static void who_would_wait_past_its_time_is_refused_at_once(void **state)
{
    (void)state;
    room.pool.workers_max = 1;
    measure(19, 2 * S);
    ask(0, GET("/c"));
    ask(1, GET("/c"));
    ask(2, GET("/brief")); /* nothing is concluded from so few */
    CHECK_TEXT(got(2), "");
    for (unsigned i = 0; i < 3; i++) {
        must_take();
        close_client(i);
        reply_word(TASK_DROPPED, 0);
        hear();
    }
    measure(1, 2 * S);
    ask(2, GET("/brief")); /* the queue is empty */
    CHECK_TEXT(got(2), "");
    ask(0, GET("/c"));
    ask(1, GET("/brief"));
    CHECK_HAS(got(1), "HTTP/1.1 503 ");
    CHECK_HAS(room.answer, "Retry-After: 4\r\n");
    ask(3, GET("/c")); /* which has the time */
    CHECK_TEXT(got(3), "");
    must_take();
    CHECK_EQ(room.task.usual_us, 0); /* of a route of which nothing is known */
    must_take();
    CHECK_EQ(room.task.usual_us, 2 * S);
    reply_word(TASK_DROPPED, 0); /* it has waited for too long */
    hear();
    CHECK_HAS(got(0), "HTTP/1.1 503 ");
    CHECK_HAS(room.answer, "Retry-After: 2\r\n"); /* one waits */
    CHECK_HAS(logged(), "it would wait past its time");
}

static void queue_that_nobody_reads_is_a_503(void **state)
{
    (void)state;
    fd_close(&room.queue_fd);
    ask(0, GET("/c"));
    take_box();
    CHECK_HAS(got(0), "HTTP/1.1 503 ");
    CHECK_EQ(web_compute_count(&room.web), 0);
}

static void each_loss_has_its_status(void **state)
{
    static const struct {
        enum task_loss loss;
        const char *status;
        const char *says;
    } rows[] = {
        {TASK_LOSS_CRASH, " 500 ", "500 Internal Server Error\n"},
        {TASK_LOSS_MEMORY, " 503 ", "memory_limit (64 MiB)"},
        {TASK_LOSS_TIMEOUT, " 504 ", "504 Gateway Timeout\n"},
        {TASK_LOSS_CPU, " 503 ", "cpu_limit (3 s)"},
        {TASK_LOSS_KILLED, " 500 ", "500 Internal Server Error\n"},
        {TASK_LOSS_STARVED, " 503 ", "there was no memory left for the handler"},
        {TASK_LOSS_STOPPED, " 503 ", "503 Service Unavailable\n"},
        {TASK_LOSSES, " 500 ", "500 Internal Server Error\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(0, GET("/c"));
        must_take();
        tell_lost(rows[i].loss);
        CHECK_HAS(got(0), rows[i].status);
        CHECK_HAS(room.answer, rows[i].says);
        CHECK_EQ(room.transfer[0].conn.state, CONN_IDLE);
        CHECK(!task_is_held(record(), room.task.id));
        close_client(0);
    }
}

/* Nobody knows which task it had in hand, so each asker looks for its own. */
static void task_of_a_worker_that_wrote_over_it_is_missed(void **state)
{
    struct msg msg = msg_make(MSG_GONE);
    (void)state;
    ask(0, GET("/c"));
    must_take();
    ask(1, GET("/c"));
    memset(room.other.task, 0xff, sizeof *room.other.task);
    CHECK_EQ(scoreboard_tell_used(room.board_fd, WORKER), 0); /* nobody is hired in its place yet */
    msg.seat = WORKER - 1;
    msg.epoch = 3;
    msg.about = 1;
    web_compute_on_gone(&room.web, &room.heritage, &msg);
    take_box();
    CHECK_TEXT(got(0), ""); /* it may be the one that waits */
    CHECK_EQ(scoreboard_tell_used(room.board_fd, SEATS), 0);
    must_take();
    web_compute_on_tick(&room.web);
    take_box();
    CHECK_HAS(got(0), " 500 ");
    CHECK_TEXT(got(1), "");
    reply_text("fine\n");
    hear();
    CHECK_HAS(got(1), "fine\n");
    CHECK_EQ(web_compute_count(&room.web), 0);
}

/* ---- the segment comes late ---- */

static void send_segment(int fd)
{
    struct msg msg = msg_make(MSG_SEGMENT);
    msg.value = SLICE_BYTES;
    msg.about = SEATS;
    CHECK_EQ(msg_send(room.master_fd, &msg, &fd, 1), 0);
}

static void who_serves_goes_on_without_a_segment_and_asks_again(void **state)
{
    struct commands commands = {.web = &room.web, .heritage = &room.heritage};
    struct msg msg;
    int bad_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;
    web_compute_close(&room.web);
    CHECK_EQ(fcntl(room.heritage.channel_fd, F_SETFL, O_NONBLOCK), 0);
    atomic_store(&room.part.head->state, SEAT_STATE_READY);
    room.web.has_pools = true;
    for (int i = 0; i < 2; i++) {
        send_segment(bad_fd);
        commands_on_channel(&commands);
        CHECK(hear_master(MSG_LOST, &msg));
        CHECK_EQ(msg.about, MSG_SEGMENT);
        ask(0, GET("/c"));
        take_box();
        CHECK_HAS(got(0), "HTTP/1.1 503 ");
        close_client(0);
    }
    CHECK(!strstr(strstr(logged(), "no compute lane") + 1, "no compute lane")); /* once */
    send_segment(room.segment_fd);
    commands_on_channel(&commands);
    CHECK(!hear_master(MSG_LOST, &msg));
    fd_close(&room.queue_fd);
    open_pool();
    ask(0, GET("/c"));
    must_take();
    reply_text("at last\n");
    hear();
    CHECK_HAS(got(0), "at last\n");
    fd_close(&bad_fd);
}

/* ---- once more ---- */

static void idempotent_request_goes_to_another_worker(void **state)
{
    static const enum task_loss losses[] = {TASK_LOSS_CRASH, TASK_LOSS_MEMORY, TASK_LOSS_STARVED,
                                            TASK_LOSS_KILLED};
    (void)state;
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        ask(0, GET("/again"));
        must_take();
        uint64_t first = room.task.id, deadline_us = room.task.deadline_us;
        tell_lost(losses[i]);
        CHECK_TEXT(got(0), "");
        must_take();
        CHECK(room.task.id != first);
        CHECK_EQ(room.task.deadline_us, deadline_us);
        reply_text("fine\n");
        hear();
        CHECK_HAS(got(0), "fine\n");
        CHECK_EQ(room.transfer[0].conn.state, CONN_IDLE);
        close_client(0);
        CHECK_EQ(web_compute_count(&room.web), 0);
    }
    CHECK_HAS(logged(), "task goes to another worker");
}

static void only_once(void **state)
{
    (void)state;
    ask(0, GET("/again"));
    must_take();
    tell_lost(TASK_LOSS_CRASH);
    must_take();
    tell_lost(TASK_LOSS_MEMORY);
    CHECK_HAS(got(0), "HTTP/1.1 503 ");
    CHECK_EQ(take(), -EAGAIN);
    ask(1, GET("/again")); /* another request has two tries of its own */
    must_take();
    tell_lost(TASK_LOSS_CRASH);
    must_take();
}

#define BODY_BYTES 300000U

static void its_body_goes_with_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < BODY_BYTES; i++)
        body[i] = (char)('a' + i % 23);
    for (int way = 0; way < WAYS; way++) {
        ask_with(0, way, "POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n", body,
                 BODY_BYTES);
        must_take();
        tell_lost(TASK_LOSS_CRASH);
        must_take();
        struct exchange *ex = read_task();
        CHECK_EQ(ex->req.body.len, BODY_BYTES);
        CHECK(memcmp(ex->req.body.p, body, BODY_BYTES) == 0);
        drop_task(ex);
        reply_text("fine\n");
        hear();
        CHECK_HAS(got(0), "fine\n");
        close_client(0);
    }
}

static void what_took_too_long_or_has_begun_does_not_go_again(void **state)
{
    (void)state;
    ask(0, GET("/again"));
    must_take();
    tell_lost(TASK_LOSS_TIMEOUT);
    CHECK_HAS(got(0), "HTTP/1.1 504 ");
    ask(1, GET("/again"));
    must_take();
    begin_stream();
    hear();
    CHECK_HAS(got(1), "HTTP/1.1 200 ");
    tell_lost(TASK_LOSS_CRASH);
    CHECK_EQ(take(), -EAGAIN);
    ask(2, GET("/again"));
    must_take();
    close_client(2); /* nobody waits */
    tell_lost(TASK_LOSS_CRASH);
    CHECK_EQ(take(), -EAGAIN);
}

/* ---- poison ---- */

static uint64_t kill_by(const char *request, enum task_loss loss)
{
    struct msg msg;
    ask(0, request);
    must_take();
    tell_lost(loss);
    close_client(0);
    CHECK(hear_master(MSG_DEADLY, &msg));
    CHECK_EQ(msg.about, loss);
    CHECK(msg.value != 0 && msg.text[0] != '\0');
    return (uint64_t)msg.value;
}

#define POST(text) "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n" text

static void request_that_kills_is_told_and_known_again(void **state)
{
    static const char *const requests[] = {GET("/c"), GET("/c?"), GET("/c?a=1"),
                                           GET("/f"), POST("a"),  POST("b")};
    uint64_t prints[6];
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        prints[i] = kill_by(requests[i], TASK_LOSS_CRASH);
        CHECK_EQ(kill_by(requests[i], TASK_LOSS_MEMORY), prints[i]);
        for (size_t k = 0; k < i; k++)
            CHECK(prints[k] != prints[i]);
    }
}

static void poison_is_refused_as_its_victims_were(void **state)
{
    struct scoreboard_poison poison = {.loss = TASK_LOSS_MEMORY};
    (void)state;
    poison.print = kill_by(GET("/c?a=1"), TASK_LOSS_MEMORY);
    poison.until_us = room.web.env.now_us + 10 * S;
    CHECK_EQ(scoreboard_tell_poison(room.board_fd, SCOREBOARD_POISONS - 1, &poison), 0);
    ask(0, GET("/c?a=1"));
    take_box();
    CHECK_HAS(got(0), "HTTP/1.1 503 ");
    CHECK_HAS(room.answer, "memory_limit (64 MiB)");
    CHECK_HAS(logged(), "request refused: it is poison");
    CHECK_EQ(take(), -EAGAIN);
    ask(1, GET("/c?a=2"));
    must_take();
    turn_clock(10 * S);
    ask(2, GET("/c?a=1")); /* its time is over */
    must_take();
}

/* ---- breakers ---- */

static void use_breakers(void)
{
    struct err err;
    int fd;
    room.pool.breaker_failures = 2;
    room.pool.breaker_reset_us = 10 * S;
    CHECK(breaker_create(&fd, &err) == 0);
    CHECK(web_compute_add_breakers(&room.web, fd, &err) == 0);
    CHECK(breaker_map(fd, N_WORDS, &room.words, &err) == 0);
    fd_close(&fd);
}

static uint64_t word_of(const char *pattern)
{
    for (uint32_t i = 0; i < router_count(room.app.router); i++)
        if (strcmp(router_route(room.app.router, i)->pattern, pattern) == 0)
            return atomic_load(&room.words[i]);
    CHECK_FAIL("no route %s", pattern);
    return 0;
}

static enum breaker_state state_of(const char *pattern)
{
    return breaker_unpack(word_of(pattern)).state;
}

static void lose_one(const char *request, enum task_loss loss)
{
    ask(0, request);
    must_take();
    tell_lost(loss);
    CHECK_HAS(got(0), "HTTP/1.1 50");
    close_client(0);
}

/* Asks for what ends at once, without a task. */
static void gets(unsigned i, const char *request, const char *wanted)
{
    ask(i, request);
    take_box();
    CHECK_HAS(got(i), wanted);
    close_client(i);
    CHECK_EQ(take(), -EAGAIN);
}

static void failures_in_a_row_open_the_breaker_of_their_route(void **state)
{
    (void)state;
    use_breakers();
    lose_one(GET("/c"), TASK_LOSS_CRASH);
    ask(0, GET("/c"));
    must_take();
    reply_text("fine\n"); /* so they are not in a row */
    hear();
    close_client(0);
    lose_one(GET("/c"), TASK_LOSS_MEMORY);
    lose_one(GET("/c"), TASK_LOSS_KILLED); /* which is nobody's fault */
    CHECK_EQ(breaker_unpack(word_of("/c")).failures, 1);
    lose_one(GET("/c"), TASK_LOSS_TIMEOUT);
    CHECK_EQ(state_of("/c"), BREAKER_OPEN);
    gets(0, GET("/c"), "HTTP/1.1 503 ");
    CHECK_HAS(room.answer, "Retry-After: 10\r\n");
    CHECK_HAS(logged(), "circuit breaker opened route=\"* /c\" pool=default cause=\"timeout\"");
    CHECK_EQ(word_of("/f"), 0); /* others have theirs */
    ask(0, GET("/f"));
    must_take();
}

/* The queue was at fault, not the handler. */
static void who_had_waited_has_not_failed(void **state)
{
    (void)state;
    use_breakers();
    for (int i = 0; i < 25; i++) {
        ask(0, GET("/c"));
        must_take();
        turn_clock(30 * S);
        struct msg msg = msg_make(MSG_TASK_LOST);
        msg.value = (int64_t)room.task.id;
        msg.about = TASK_LOSS_TIMEOUT;
        msg.used = (struct account_used){.wait_us = 4 * S, .wall_us = 26 * S};
        web_compute_on_lost(&room.web, &msg);
        take_box();
        CHECK_HAS(got(0), "HTTP/1.1 504 ");
        close_client(0);
    }
    CHECK_EQ(word_of("/c"), 0);
    ask(0, GET("/c")); /* but how long tasks take is known from it */
    must_take();
    CHECK_EQ(room.task.usual_us, 30 * S);
}

static void open_fallback(void)
{
    use_breakers();
    lose_one(GET("/f"), TASK_LOSS_CRASH);
    lose_one(GET("/f"), TASK_LOSS_CRASH);
    CHECK_EQ(state_of("/f"), BREAKER_OPEN);
}

static void fallback_answers_while_it_is_open(void **state)
{
    (void)state;
    open_fallback();
    gets(0, GET("/f"), "\r\n\r\ninstead\n");
    gets(0, "HEAD /f HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ");
    CHECK_HAS(logged(), "its fallback answers");
}

static void one_request_tries_and_its_end_decides(void **state)
{
    (void)state;
    open_fallback();
    turn_clock(10 * S);
    ask(0, GET("/f"));
    CHECK_EQ(state_of("/f"), BREAKER_PROBING);
    must_take();
    gets(1, GET("/f"), "instead\n");
    tell_lost(TASK_LOSS_CRASH);
    close_client(0);
    CHECK_EQ(state_of("/f"), BREAKER_OPEN); /* for another round */
    CHECK_HAS(logged(), "circuit breaker opened again");
    gets(1, GET("/f"), "instead\n");
    turn_clock(10 * S);
    ask(0, GET("/f"));
    must_take();
    reply_text("fine\n");
    hear();
    CHECK_HAS(got(0), "fine\n");
    CHECK_EQ(word_of("/f"), 0);
    CHECK_HAS(logged(), "circuit breaker closed");
    close_client(0);
    ask(0, GET("/f"));
    must_take();
}

/* Its client has left before it was run, say. */
static void probe_that_was_not_run_leaves_it_to_the_next(void **state)
{
    (void)state;
    open_fallback();
    turn_clock(10 * S);
    ask(0, GET("/f"));
    must_take();
    close_client(0);
    reply_word(TASK_DROPPED, 0);
    hear();
    CHECK_EQ(state_of("/f"), BREAKER_OPEN);
    ask(0, GET("/f"));
    must_take();
    CHECK_EQ(state_of("/f"), BREAKER_PROBING);
}

static void probe_whose_sender_died_has_failed(void **state)
{
    (void)state;
    open_fallback();
    uint64_t word = breaker_begin_probe(0, 1, 7); /* another web worker's */
    struct scoreboard_part part;
    struct err err;
    CHECK_EQ(scoreboard_map_part(&room.board, room.board_fd, 1, &part, &err), 0);
    part.head->epoch = 7;
    for (uint32_t i = 0; i < N_WORDS; i++)
        if (atomic_load(&room.words[i]) != 0)
            atomic_store(&room.words[i], word);
    gets(0, GET("/f"), "instead\n");
    CHECK_EQ(word_of("/f"), word); /* it lives */
    part.head->epoch = 8;
    gets(0, GET("/f"), "instead\n");
    CHECK_EQ(state_of("/f"), BREAKER_OPEN);
    CHECK_HAS(logged(), "is gone");
    (void)munmap(part.head, room.board.part_bytes);
}

static void answer_counts_that_was_given_before_the_death(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    reply_text("last words\n");
    tell_lost(TASK_LOSS_CRASH);
    CHECK_HAS(got(0), "last words\n");
}

static void task_that_was_not_run_is_answered(void **state)
{
    static const struct {
        enum task_reply_kind kind;
        int error;
        const char *status;
    } rows[] = {{TASK_DROPPED, 0, " 503 "},
                {TASK_FAILED, EBADMSG, " 500 "},
                {TASK_FAILED, ENOMEM, " 503 "},
                {TASK_RESULT, 0, " 500 "},
                {TASK_END, 0, " 500 "}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(0, GET("/c"));
        must_take();
        reply_word(rows[i].kind, rows[i].error);
        hear();
        CHECK_HAS(got(0), rows[i].status);
        close_client(0);
    }
}

static void begin_call(void)
{
    ask(0, GET("/one"));
    take_box();
    CHECK_EQ(take(), 1);
    CHECK_EQ(room.task.kind, TASK_CALL);
}

/* A hole in a file has any size and costs nothing; its octets would. */
static void result_that_no_slice_could_hold_is_refused(void **state)
{
    static const struct {
        uint64_t len;
        const char *answer;
    } rows[] = {{SLICE_BYTES, "4194304 octets\n"}, {SLICE_BYTES + 1, " 500 "}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_call();
        struct task_frame frame = make_frame(TASK_RESULT);
        frame.reply.data_at = TASK_AT_FILE;
        frame.reply.data_len = rows[i].len;
        int fd = memfd_create("result", MFD_CLOEXEC);
        CHECK(ftruncate(fd, (off_t)rows[i].len) == 0);
        reply(&frame, fd);
        fd_close(&fd);
        hear();
        take_box();
        CHECK_HAS(got(0), rows[i].answer);
        close_client(0);
    }
}

static void fill_queue(void)
{
    room.pool.workers_max = 1;
    room.pool.queue = 8;
    for (unsigned i = 1; i <= QUEUE; i++)
        ask(i, GET("/c"));
    ask(0, GET("/map"));
    take_box();
}

/* None of them is out, and others have all of the queue: they are not lost for that. */
static void payloads_wait_for_room_in_the_queue(void **state)
{
    (void)state;
    fill_queue();
    CHECK_TEXT(got(0), "");
    must_take(); /* by another worker, say, so that nothing here tells */
    turn_clock(S);
    web_compute_on_due(&room.web);
    for (unsigned i = 1; i < QUEUE; i++)
        must_take();
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(take(), 1);
        CHECK_EQ(room.task.kind, TASK_CALL);
        reply_word(TASK_RESULT, 0);
        hear();
    }
    CHECK_HAS(got(0), "0 of 10 failed\n");
    CHECK(!strstr(logged(), "takes no more"));
    CHECK_EQ(atomic_load(&room.part.head->refused), 0);
}

static void payloads_do_not_wait_past_their_time(void **state)
{
    (void)state;
    fill_queue();
    turn_clock(31 * S);
    web_compute_on_due(&room.web);
    take_box();
    CHECK_HAS(got(0), "10 of 10 failed\n");
}

static void payloads_do_not_wait_for_a_client_that_has_left(void **state)
{
    (void)state;
    fill_queue();
    close_client(0);
    must_take();
    web_compute_on_due(&room.web);
    take_box();
    for (unsigned i = 1; i < QUEUE; i++)
        must_take();
    CHECK_EQ(take(), -EAGAIN);
}

/* As for a route of the lane. */
static void call_that_a_stop_has_ended_may_be_tried_again(void **state)
{
    (void)state;
    begin_call();
    tell_lost(TASK_LOSS_STOPPED);
    take_box();
    CHECK_HAS(got(0), "HTTP/1.1 503 ");
}

/* ---- time ---- */

static void late_task_is_a_504_and_its_worker_is_to_be_killed(void **state)
{
    struct msg msg;
    (void)state;
    ask(0, GET("/brief"));
    must_take();
    CHECK_EQ(room.task.deadline_us, room.web.env.now_us + S / 10);
    expire(0);
    CHECK_HAS(got(0), "HTTP/1.1 504 ");
    CHECK(hear_master(MSG_OVERDUE, &msg));
    CHECK_EQ(msg.value, (int64_t)room.task.id);
    CHECK_EQ(msg.about, TASK_LOSS_TIMEOUT);
    CHECK(!task_is_wanted(record(), room.task.id));
    CHECK(task_is_held(record(), room.task.id)); /* its payload is read, maybe */
    reply_text("too late\n");
    hear();
    CHECK(!task_is_held(record(), room.task.id));
    CHECK_TEXT(got(0), "");
}

static void answer_that_has_come_in_time_is_given(void **state)
{
    (void)state;
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        ask(0, GET("/brief"));
        must_take();
        if (is_stream) {
            begin_stream();
            hear();
            send_part("all of it\n");
            end_stream(0);
        } else {
            reply_text("all of it\n");
        }
        web_compute_on_inbox(&room.web); /* it is in the box, and nobody has looked */
        expire(0);
        take_box();
        take_box(); /* the end of the stream */
        CHECK_HAS(got(0), is_stream ? "0\r\n\r\n" : "HTTP/1.1 200 ");
        CHECK_HAS(room.answer, "all of it\n");
        CHECK(!room.transfer[0].conn.is_broken);
        CHECK_EQ(room.transfer[0].conn.state, CONN_IDLE);
        close_client(0);
    }
}

/* The upload has taken all of it. */
static void what_is_late_when_it_has_come_does_not_go_out(void **state)
{
    (void)state;
    room.pool.timeout_us = S;
    ask(0, post(10));
    turn_clock(2 * S);
    push(0, "0123456789", 10);
    CHECK_HAS(got(0), "HTTP/1.1 504 ");
    CHECK_EQ(take(), -EAGAIN);
    CHECK_EQ(room.transfer[0].conn.state, CONN_IDLE);
}

static void without_a_lane_nothing_heavy_runs_here(void **state)
{
    (void)state;
    web_compute_close(&room.web);
    room.web.has_pools = true; /* it is to come yet */
    ask(0, GET("/c"));
    CHECK_HAS(got(0), "HTTP/1.1 503 ");
    CHECK_HAS(room.answer, "Retry-After: 1\r\n");
}

static void stream_whose_time_is_over_is_cut(void **state)
{
    struct msg msg;
    (void)state;
    ask(0, GET("/brief"));
    must_take();
    begin_stream();
    hear();
    expire(0);
    CHECK(room.transfer[0].conn.is_broken);
    CHECK(hear_master(MSG_OVERDUE, &msg));
    CHECK_EQ(msg.about, TASK_LOSS_TIMEOUT);
}

static void task_without_a_last_word_is_given_up_in_the_end(void **state)
{
    (void)state;
    ask(0, GET("/brief"));
    must_take();
    expire(0);
    turn_clock(11 * S);
    web_compute_on_tick(&room.web);
    CHECK(!task_is_held(record(), room.task.id));
    CHECK_HAS(logged(), "task without a last word");
}

/* ---- clients that leave ---- */

static void client_that_leaves_cancels_its_task(void **state)
{
    struct msg msg;
    (void)state;
    ask(0, GET("/c"));
    must_take();
    close_client(0);
    CHECK(!task_is_wanted(record(), room.task.id));
    CHECK_EQ(web_compute_count(&room.web), 0);
    web_compute_on_tick(&room.web);
    CHECK(!hear_master(MSG_OVERDUE, &msg)); /* it may find out by itself */
    turn_clock(S);
    web_compute_on_tick(&room.web);
    web_compute_on_tick(&room.web);
    CHECK(hear_master(MSG_OVERDUE, &msg));
    CHECK_EQ(msg.about, TASK_LOSS_CANCELLED);
    CHECK(!hear_master(MSG_OVERDUE, &msg)); /* once */
    tell_lost(TASK_LOSS_CANCELLED);
    CHECK(!task_is_held(record(), room.task.id));
}

static void client_that_leaves_is_finished_for_where_the_pool_says_so(void **state)
{
    struct msg msg;
    (void)state;
    room.pool.on_disconnect = SETTING_ON_DISCONNECT_FINISH;
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        ask(0, GET("/c"));
        must_take();
        close_client(0);
        CHECK(task_is_wanted(record(), room.task.id));
        CHECK_EQ(web_compute_count(&room.web), 1);
        turn_clock(2 * S);
        web_compute_on_tick(&room.web);
        CHECK(!hear_master(MSG_OVERDUE, &msg));
        if (is_stream) {
            begin_stream();
            send_part("for nobody");
            hear();
            CHECK_EQ(task_consumed(record()), 10);
            end_stream(0);
        } else {
            reply_large(100000);
        }
        hear();
        CHECK(!task_is_held(record(), room.task.id));
        CHECK_EQ(web_compute_count(&room.web), 0);
    }
}

static void client_leaves_in_the_moment_of_the_answer(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    reply_large(100000);
    web_compute_on_inbox(&room.web); /* it is in the box, and nobody has looked */
    close_client(0);
    CHECK(task_is_held(record(), room.task.id));
    take_box();
    CHECK(!task_is_held(record(), room.task.id));
}

static void slots_are_used_again_and_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5 * INFLIGHT; i++) {
        ask(0, GET("/c"));
        must_take();
        if (i % 3 == 0)
            close_client(0);
        reply_text("x\n");
        hear();
        if (i % 3 != 0) {
            CHECK_HAS(got(0), "x\n");
            close_client(0);
        }
    }
    CHECK_EQ(web_compute_count(&room.web), 0);
}

/* ---- who lies ---- */

static void reply_of_another_process_counts_for_nothing(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    room.other.head->pid = getpid() + 1;
    reply_text("forged\n");
    hear();
    room.other.head->pid = getpid();
    room.other.head->role = ROLE_WEB;
    reply_text("forged\n");
    hear();
    CHECK_TEXT(got(0), "");
    CHECK_HAS(logged(), "it is not from who it says");
    room.other.head->role = ROLE_COMPUTE;
    reply_text("true\n");
    hear();
    CHECK_HAS(got(0), "true\n");
}

static void reply_about_another_task_counts_for_nothing(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    for (int bit = 0; bit < 63; bit++) {
        room.task.id ^= UINT64_C(1) << bit;
        reply_text("forged\n");
        room.task.id ^= UINT64_C(1) << bit;
        hear();
    }
    CHECK_TEXT(got(0), "");
    reply_text("true\n");
    reply_text("twice\n");
    hear();
    CHECK_HAS(got(0), "true\n");
    CHECK_HAS_NOT(room.answer, "twice");
}

static void octets_out_of_bounds_are_a_500(void **state)
{
    (void)state;
    for (int what = 0; what < 5; what++) {
        struct rmd_response res = {.kind = what == 4 ? RESPONSE_STREAM : RESPONSE_BYTES,
                                   .status = 200,
                                   .body = "",
                                   .body_len = what == 4 ? 0 : 10};
        struct task_frame frame = make_frame(TASK_ANSWER);
        ask(0, GET("/c"));
        must_take();
        frame.reply.id = room.task.id;
        put_image(&frame, &res, false);
        frame.reply.data_len = what == 4 ? 0 : 10;
        frame.reply.data_at = what == 0 ? SLICE_BYTES - 9 : what == 1 ? UINT64_MAX - 3 : 0;
        if (what == 2)
            frame.reply.data_len = 11; /* not as long as the image says */
        if (what == 3) {
            frame.reply.inline_len = 0;
            frame.reply.image_at = SLICE_BYTES;
            frame.reply.image_len = 50;
        }
        reply(&frame, -1);
        hear();
        CHECK_HAS(got(0), "HTTP/1.1 500 ");
        CHECK_HAS(logged(), "answer of a compute worker refused");
        CHECK(!task_is_held(record(), room.task.id));
        close_client(0);
    }
}

static void parts_that_nothing_began_are_a_500(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    send_part("what?");
    hear();
    CHECK_HAS(got(0), "HTTP/1.1 500 ");
    end_stream(0);
    hear();
    CHECK_EQ(web_compute_count(&room.web), 0);
}

static void stream_that_begins_twice_is_cut(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    begin_stream();
    hear();
    begin_stream();
    hear();
    take_box();
    CHECK(room.transfer[0].conn.is_broken);
}

static void garbage_in_the_inbox_costs_its_writer_its_life(void **state)
{
    struct msg msg;
    (void)state;
    ask(0, GET("/c"));
    must_take();
    for (int i = 0; i < 100; i++)
        CHECK(send(room.fds[0], "garbage in some length", (size_t)(1 + i % 20), 0) > 0);
    reply_text("true\n");
    for (int i = 0; i <= 100; i++)
        hear();
    CHECK_HAS(got(0), "true\n");
    CHECK_HAS(logged(), "reply refused");
    CHECK(!strstr(strstr(logged(), "reply refused") + 1, "reply refused")); /* once */
    CHECK(hear_master(MSG_OVERDUE, &msg));
    CHECK_EQ(msg.value, (int64_t)room.task.id);
    CHECK_EQ(msg.about, TASK_LOSS_KILLED);
    CHECK(!hear_master(MSG_OVERDUE, &msg));
}

static void inbox_that_is_shut_is_replaced(void **state)
{
    struct msg msg;
    (void)state;
    ask(0, GET("/c"));
    ask(1, GET("/c"));
    must_take();
    CHECK(shutdown(room.fds[0], SHUT_RDWR) == 0);
    CHECK(is_inbox_readable());
    hear();
    CHECK(!is_inbox_readable());
    CHECK_HAS(got(0), "HTTP/1.1 500 ");
    CHECK_HAS(got(1), "HTTP/1.1 500 ");
    CHECK(hear_master(MSG_OVERDUE, &msg));
    must_take(); /* of the second */
    ask(2, GET("/c"));
    must_take();
    reply_text("again\n");
    CHECK(is_inbox_readable()); /* by what was watched before */
    hear();
    CHECK_HAS(got(2), "again\n");
}

static void idempotent_request_outlives_its_inbox(void **state)
{
    struct msg msg;
    (void)state;
    ask(0, GET("/again"));
    must_take();
    uint64_t first = room.task.id;
    CHECK_EQ(shutdown(room.fds[0], SHUT_RDWR), 0);
    hear();
    CHECK(hear_master(MSG_OVERDUE, &msg) && (uint64_t)msg.value == first);
    must_take();
    CHECK(room.task.id != first && task_is_wanted(record(), room.task.id));
    reply_text("after all\n");
    hear();
    CHECK_HAS(got(0), "after all\n");
}

/* What takes the place of those that are lost goes out with the new one. */
static void calls_that_follow_go_out_with_another_inbox(void **state)
{
    (void)state;
    room.pool.workers_max = 1;
    room.pool.queue = 8;
    ask(0, GET("/map"));
    take_box();
    CHECK_EQ(take(), 1); /* two at a time */
    CHECK_EQ(shutdown(room.fds[0], SHUT_RDWR), 0);
    hear();
    CHECK_EQ(take(), 1); /* this one was lost, too */
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(take(), 1);
        reply_word(TASK_RESULT, 0);
        hear();
    }
    take_box();
    CHECK_HAS(got(0), "2 of 10 failed\n");
    CHECK_EQ(web_compute_count(&room.web), 0);
}

/* No descriptor is to be had for a moment. */
static void inbox_that_could_not_be_replaced_is_later(void **state)
{
    struct rlimit limit, low;
    (void)state;
    ask(0, GET("/c"));
    must_take();
    CHECK(shutdown(room.fds[0], SHUT_RDWR) == 0);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    low = (struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    hear();
    web_compute_on_tick(&room.web);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_HAS(logged(), "no other inbox");
    CHECK_HAS(got(0), "HTTP/1.1 500 ");
    gets(2, GET("/c"), "HTTP/1.1 503 ");
    web_compute_on_tick(&room.web);
    ask(2, GET("/c"));
    must_take();
    reply_text("again\n");
    CHECK(is_inbox_readable());
    hear();
    CHECK_HAS(got(2), "again\n");
}

/* It was given the inbox with an earlier task, and has none of ours now. */
static void garbage_by_who_has_nothing_to_say_ends_with_another_inbox(void **state)
{
    (void)state;
    ask(1, GET("/c")); /* which another worker has, say */
    must_take();
    const struct task other = room.task;
    int other_fd = dup(room.fds[0]), kept_fd = dup(room.fds[0]);
    task_rest(room.other.task);
    for (int i = 0; i < 100; i++)
        CHECK(send(kept_fd, "garbage", 7, MSG_DONTWAIT) > 0);
    hear();
    CHECK_HAS(logged(), "take replies elsewhere");
    CHECK(is_inbox_readable());
    ask(0, GET("/c"));
    must_take();
    reply_text("at once\n");
    hear();
    CHECK_HAS(got(0), "at once\n"); /* not behind all the garbage */
    room.task = other;
    fd_close(&room.fds[0]);
    room.fds[0] = other_fd;
    reply_text("also\n");
    for (int i = 0; i < 100; i++)
        hear();
    CHECK_HAS(got(1), "also\n");
    CHECK(!is_inbox_readable());
    CHECK(send(kept_fd, "garbage", 7, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE);
    fd_close(&kept_fd);
}

/* What nobody has looked at in the shared table has no memory yet. */
static void who_sits_nowhere_is_looked_for_in_seats_in_use(void **state)
{
    struct stat before, after;
    (void)state;
    ask(0, GET("/c"));
    must_take();
    room.other.head->pid = 0;
    CHECK_EQ(scoreboard_tell_used(room.board_fd, WORKER + 1), 0);
    CHECK_EQ(scoreboard_peek(&room.board, WORKER - 1).head->pid, 0);
    CHECK_EQ(fstat(room.board_fd, &before), 0);
    for (int i = 0; i < 10; i++)
        CHECK(send(room.fds[0], "garbage", 7, MSG_DONTWAIT) > 0);
    for (int i = 0; i < 10; i++)
        hear();
    CHECK_HAS(logged(), "take replies elsewhere");
    CHECK_EQ(fstat(room.board_fd, &after), 0);
    CHECK_EQ(after.st_blocks, before.st_blocks);
}

static void garbage_does_not_hold_the_loop(void **state)
{
    (void)state;
    ask(0, GET("/c"));
    must_take();
    for (int i = 0; i < 100; i++)
        CHECK(send(room.fds[0], "garbage", 7, MSG_DONTWAIT) > 0);
    for (int i = 0; i < 100; i++) { /* a turn for each */
        CHECK(is_inbox_readable());
        hear();
    }
    CHECK(!is_inbox_readable());
    CHECK_HAS(logged(), "have it killed");
}

static void stream_that_was_refused_is_not_looked_at(void **state)
{
    static char text[4097];
    struct msg msg;
    (void)state;
    memset(text, 'x', 4096);
    for (int has_begun = 0; has_begun < 2; has_begun++) {
        ask(0, GET("/c"));
        must_take();
        if (has_begun) {
            begin_stream();
            begin_stream(); /* which is refused */
        }
        for (unsigned sent = 0; sent < 4 * TASK_WINDOW_BYTES; sent += 4096) {
            send_part(text);
            hear();
        }
        CHECK_EQ(task_consumed(record()), 0);
        CHECK(hear_master(MSG_OVERDUE, &msg));
        CHECK(!hear_master(MSG_OVERDUE, &msg));
        end_stream(0);
        hear();
        close_client(0);
        take_box();
        CHECK(!task_is_held(record(), room.task.id));
    }
    const char *first = strstr(logged(), "stream of a compute worker refused");
    CHECK(first);
    const char *second = strstr(first + 1, "stream of a compute worker refused");
    CHECK(second && !strstr(second + 1, "stream of a compute worker refused"));
}

/* ---- the master ---- */

static void frames_without_a_lane_harm_nothing(void **state)
{
    struct msg msg;
    struct task_queue queue = {.fd = dup(room.master_fd), .charge = 1, .limit = 1};
    (void)state;
    web_compute_add_pool(&room.web, 5, 0, queue); /* no such pool */
    web_compute_close(&room.web);
    tell_lost(TASK_LOSS_CRASH);
    tell_gone(3);
    web_compute_on_tick(&room.web);
    CHECK(hear_master(MSG_LET_GO, &msg)); /* nothing was ever held */
    CHECK_EQ(msg.seat, WORKER);
    CHECK_EQ(msg.epoch, 3);
    CHECK_EQ(web_compute_inbox(&room.web), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(request_arrives_whole_and_its_answer_comes_back),
        TEST(connection_goes_on_behind_it),
        TEST(bodies_arrive_and_nobody_copies_them),
        TEST(bodies_of_many_clients_do_not_mix),
        TEST(beginning_moves_where_there_is_no_room_behind_it),
        TEST(uploads_stay_where_they_begin),
        TEST(body_outlives_the_client_that_sent_it),
        TEST(body_without_room_in_the_slice_goes_by_a_file),
        TEST(requests_that_wait_leave_room_for_others),
        TEST(uploads_that_begin_together_leave_room_for_others),
        TEST(copied_bodies_leave_room_for_images),
        TEST(body_that_would_be_streamed_comes_whole),
        TEST(large_answer_is_sent_from_where_it_lies),
        TEST(dead_workers_answer_is_held_until_it_is_sent),
        TEST(client_that_leaves_in_the_middle_lets_go_of_it),
        TEST(file_is_sent_by_its_descriptor),
        TEST(stream_goes_to_the_client_as_it_comes),
        TEST(stream_that_is_broken_off_does_not_look_whole),
        TEST(slow_client_holds_up_its_own_stream_only),
        TEST(stream_without_credit_is_cut_off),
        TEST(full_queue_is_answered_at_once),
        TEST(who_would_wait_past_its_time_is_refused_at_once),
        TEST(queue_that_nobody_reads_is_a_503),
        TEST(each_loss_has_its_status),
        TEST(task_of_a_worker_that_wrote_over_it_is_missed),
        TEST(who_serves_goes_on_without_a_segment_and_asks_again),
        TEST(idempotent_request_goes_to_another_worker),
        TEST(only_once),
        TEST(its_body_goes_with_it),
        TEST(what_took_too_long_or_has_begun_does_not_go_again),
        TEST(request_that_kills_is_told_and_known_again),
        TEST(poison_is_refused_as_its_victims_were),
        TEST(failures_in_a_row_open_the_breaker_of_their_route),
        TEST(who_had_waited_has_not_failed),
        TEST(fallback_answers_while_it_is_open),
        TEST(one_request_tries_and_its_end_decides),
        TEST(probe_that_was_not_run_leaves_it_to_the_next),
        TEST(probe_whose_sender_died_has_failed),
        TEST(answer_counts_that_was_given_before_the_death),
        TEST(result_that_no_slice_could_hold_is_refused),
        TEST(payloads_wait_for_room_in_the_queue),
        TEST(payloads_do_not_wait_past_their_time),
        TEST(payloads_do_not_wait_for_a_client_that_has_left),
        TEST(call_that_a_stop_has_ended_may_be_tried_again),
        TEST(task_that_was_not_run_is_answered),
        TEST(late_task_is_a_504_and_its_worker_is_to_be_killed),
        TEST(answer_that_has_come_in_time_is_given),
        TEST(what_is_late_when_it_has_come_does_not_go_out),
        TEST(without_a_lane_nothing_heavy_runs_here),
        TEST(stream_whose_time_is_over_is_cut),
        TEST(task_without_a_last_word_is_given_up_in_the_end),
        TEST(client_that_leaves_cancels_its_task),
        TEST(client_that_leaves_is_finished_for_where_the_pool_says_so),
        TEST(client_leaves_in_the_moment_of_the_answer),
        TEST(slots_are_used_again_and_again),
        TEST(reply_of_another_process_counts_for_nothing),
        TEST(reply_about_another_task_counts_for_nothing),
        TEST(octets_out_of_bounds_are_a_500),
        TEST(parts_that_nothing_began_are_a_500),
        TEST(stream_that_begins_twice_is_cut),
        TEST(garbage_in_the_inbox_costs_its_writer_its_life),
        TEST(inbox_that_is_shut_is_replaced),
        TEST(idempotent_request_outlives_its_inbox),
        TEST(calls_that_follow_go_out_with_another_inbox),
        TEST(inbox_that_could_not_be_replaced_is_later),
        TEST(garbage_by_who_has_nothing_to_say_ends_with_another_inbox),
        TEST(who_sits_nowhere_is_looked_for_in_seats_in_use),
        TEST(garbage_does_not_hold_the_loop),
        TEST(stream_that_was_refused_is_not_looked_at),
        TEST(frames_without_a_lane_harm_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
