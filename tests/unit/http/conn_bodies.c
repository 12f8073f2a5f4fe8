/* http/conn.c, conn_request.c: bodies that are kept until they are whole. In memory up to a limit,
 * above it in a spool file; too large ones, ones that can't be kept, 100-continue, and the rate
 * that a body must have. Bodies that are handed on as they come are in conn_receive.c. */
#include "http/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/http/bodies.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define BUFFER_BYTES 10000U /* body_buffer of these tests; more than the input buffer has */
#define IN_BYTES 4096U

static struct wire wire;
static char spool_folder[64];
static struct {
    bool is_spooled; /* the last body */
    bool is_anonymous, is_close_on_exec;
    dev_t device;
} seen;

static void look_at_spool(int fd)
{
    struct stat st;
    seen.is_spooled = fd >= 0;
    if (fd < 0)
        return;
    CHECK(fstat(fd, &st) == 0);
    seen.is_anonymous = st.st_nlink == 0;
    seen.is_close_on_exec = fcntl(fd, F_GETFD) & FD_CLOEXEC;
    seen.device = st.st_dev;
}

/* Answers the body as it came, and checks that descriptor and view are the same octets. */
static void keep(rmd_request *req, rmd_response *res)
{
    int fd = exchange_of(req)->body.fd;
    look_at_spool(fd);
    CHECK(req->is_body_complete);
    for (size_t at = 0; fd >= 0 && at < req->body.len;) {
        char piece[4096];
        ssize_t n = pread(fd, piece, sizeof piece, (off_t)at);
        CHECK(n > 0 && (size_t)n <= req->body.len - at);
        CHECK_BYTES(piece, (size_t)n, req->body.p + at, (size_t)n);
        at += (size_t)n;
    }
    wire_give(res, 200, req->body.p, req->body.len);
}

static const rmd_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = wire_root},
    {.method = "POST", .pattern = "/keep", .handler = keep},
    {.method = "POST", .pattern = "/small", .handler = keep, .body_limit = 10},
    {.method = "POST", .pattern = "/large", .handler = keep, .body_limit = 1000000},
    {.method = "GET", .pattern = "/hello/:name", .handler = wire_hello},
    {0}};

static struct http_limits limits;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(spool_folder, sizeof spool_folder, "/tmp/remuda-spool-XXXXXX");
    CHECK(mkdtemp(spool_folder) != NULL);
    limits = (struct http_limits)LIMITS_DEFAULT;
    limits.body_buffer = BUFFER_BYTES;
    limits.body = 500000;
    wire_open_app(&wire, routes, &limits, IN_BYTES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_close(&wire);
    CHECK(rmdir(spool_folder) == 0); /* and so it is empty */
    return 0;
}

/* ---- where a body is kept ---- */

static void expect_kept(size_t len, size_t chunk, size_t piece, const char *folder)
{
    struct buf request = {0};
    struct wire_answer answer;
    check_context("%zu octets in chunks of %zu, read in pieces of %zu, spool_dir %s", len, chunk,
                  piece, folder ? folder : "none");
    wire.env.limits.spool_dir = folder;
    wire_reopen(&wire);
    seen.is_spooled = false;
    bodies_write(&request, "POST /keep", "", bodies_octets(len), len, chunk);
    CHECK(buf_append(&request, GET("/"), strlen(GET("/"))) == 0);
    CHECK_EQ(wire_feed_pieces(&wire, request.data, request.len, piece), request.len);
    struct wire_answer answers[2];
    CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
    answer = answers[0];
    CHECK_EQ(answer.status, 200);
    CHECK_BYTES(answer.body.p, answer.body.len, bodies_octets(len), len);
    CHECK_EQ(seen.is_spooled, len > BUFFER_BYTES);
    if (seen.is_spooled) {
        struct stat st;
        CHECK(seen.is_anonymous && seen.is_close_on_exec);
        CHECK(stat(spool_folder, &st) == 0);
        CHECK_EQ(folder && folder[0] != '\0', seen.device == st.st_dev);
    }
    CHECK_EQ(answers[1].status, 200);
    buf_fini(&request);
}

static void a_body_is_in_memory_up_to_a_limit_and_above_it_in_a_spool_file(void **state)
{
    (void)state;
    static const size_t lengths[] = {
        1, 10, 4000, 5000, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 20000, 70000};
    static const size_t chunks[] = {0, 7, 1000, 100000};
    static const size_t pieces[] = {211, 4096, 100000};
    unsigned fds = wire_count_fds();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t k = 0; k < sizeof chunks / sizeof chunks[0]; k++)
            for (size_t m = 0; m < sizeof pieces / sizeof pieces[0]; m++) {
                expect_kept(lengths[i], chunks[k], pieces[m], NULL);
                expect_kept(lengths[i], chunks[k], pieces[m], spool_folder);
            }
    expect_kept(20000, 0, 1000, "");
    CHECK_EQ(wire_count_fds(), fds); /* and none stays open */
}

/* Where a body lies does not depend on how it was cut, also when the limit is less than one read
 * may bring. */
static void what_is_spooled_does_not_depend_on_how_it_is_read(void **state)
{
    (void)state;
    wire.env.limits.body_buffer = 100;
    for (size_t len = 99; len <= 101; len++)
        for (size_t chunk = 0; chunk <= 40; chunk += 20) {
            struct buf request = {0};
            bodies_write(&request, "POST /keep", "", bodies_octets(len), len, chunk);
            for (size_t cut = 0; cut < request.len; cut++) {
                check_context("%zu octets in chunks of %zu, cut at %zu", len, chunk, cut);
                wire_reopen(&wire);
                CHECK_EQ(wire_feed(&wire, request.data, cut), cut);
                (void)wire_feed(&wire, request.data + cut, request.len - cut);
                WIRE_ANSWERED(&wire, 200);
                CHECK_EQ(seen.is_spooled, len > 100);
            }
            buf_fini(&request);
        }
    wire.env.limits.body_buffer = 0; /* nothing in memory */
    for (size_t chunk = 0; chunk <= 1; chunk++) {
        struct buf request = {0};
        bodies_write(&request, "POST /keep", "", "x", 1, chunk);
        wire_reopen(&wire);
        (void)wire_feed(&wire, request.data, request.len);
        WIRE_ANSWERED(&wire, 200);
        CHECK(seen.is_spooled);
        buf_fini(&request);
    }
}

/* The answer points into the mapping while other connections have the loop. */
static void a_spooled_body_is_there_until_the_answer_has_been_sent(void **state)
{
    (void)state;
    unsigned fds = wire_count_fds();
    struct buf request = {0};
    const size_t len = 60000;
    bodies_write(&request, "POST /keep", "", bodies_octets(len), len, 0);
    wire.room = 10;
    CHECK_EQ(wire_feed(&wire, request.data, request.len), request.len);
    CHECK_EQ(wire.conn.state, CONN_SENDING);
    CHECK_EQ(wire_count_fds(), fds + 1);
    struct conn parked = wire.conn;
    struct buf first = wire.sent;
    wire.sent = (struct buf){0};
    struct peer peer = {.address.any = {.sa_family = AF_UNIX}};
    conn_init(&wire.conn, &wire.env, &peer);
    wire.room = WIRE_ENDLESS;
    struct buf other = {0};
    bodies_write(&other, "POST /keep", "", wire_big, 30000, 1000);
    CHECK_EQ(wire_feed(&wire, other.data, other.len), other.len);
    WIRE_ANSWERED(&wire, 200);
    conn_fini(&wire.conn);
    buf_fini(&wire.sent);
    wire.conn = parked;
    wire.sent = first;
    while (wire_rest(&wire) == CONN_WAIT_WRITE)
        wire.room = 5000;
    struct wire_answer answer;
    CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
    CHECK_BYTES(answer.body.p, answer.body.len, bodies_octets(len), len);
    CHECK_EQ(wire_count_fds(), fds);
    buf_fini(&request);
    buf_fini(&other);
}

static void a_spooled_body_goes_with_its_client(void **state)
{
    (void)state;
    unsigned fds = wire_count_fds();
    for (size_t chunk = 0; chunk <= 5000; chunk += 5000) {
        struct buf request = {0};
        bodies_write(&request, "POST /keep", "", bodies_octets(50000), 50000, chunk);
        wire_reopen(&wire);
        CHECK_EQ(wire_feed(&wire, request.data, 40000), 40000);
        CHECK_EQ(wire_count_fds(), fds + 1);
        conn_on_eof(&wire.conn);
        CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
        CHECK_EQ(wire_count_fds(), fds);
        CHECK_EQ(wire.n_handled, 0);
        CHECK_EQ(wire.sent.len, 0);
        buf_fini(&request);
    }
}

/* Whoever only says that much will come has little memory kept ready for it. */
static void a_body_gets_room_as_it_comes(void **state)
{
    (void)state;
    enum { LEN = 400000, FEW = 100, MANY = 20000 };
    struct buf request = {0};
    char *space;
    size_t room;
    wire.env.limits.body_buffer = LEN;
    wire_reopen(&wire);
    bodies_write(&request, "POST /keep", "", bodies_octets(LEN), LEN, 0);
    size_t head = request.len - LEN;
    CHECK_EQ(wire_feed(&wire, request.data, head + FEW), head + FEW);
    conn_input_space(&wire.conn, &space, &room);
    CHECK(room >= 1000 && room <= 200000);
    CHECK_EQ(wire_feed(&wire, request.data + head + FEW, MANY - FEW), MANY - FEW);
    CHECK(conn_has_room_for_body(&wire.conn));
    conn_input_space(&wire.conn, &space, &room);
    CHECK_EQ(room, LEN - MANY);
    CHECK_EQ(wire_feed(&wire, request.data + head + MANY, room), room);
    struct wire_answer answer;
    CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
    CHECK_BYTES(answer.body.p, answer.body.len, bodies_octets(LEN), LEN);
    CHECK(!conn_has_room_for_body(&wire.conn));

    wire.env.limits.body_buffer = BUFFER_BYTES; /* a spooled one is read into the loop's buffer */
    wire_reopen(&wire);
    CHECK_EQ(wire_feed(&wire, request.data, head + MANY), head + MANY);
    CHECK(!conn_has_room_for_body(&wire.conn));
    conn_on_eof(&wire.conn);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
    buf_fini(&request);
}

/* ---- bodies that can't be kept ---- */

static void expect_spool_failure(size_t chunk, int error, int status)
{
    unsigned fds = wire_count_fds();
    struct buf request = {0};
    struct wire_answer answer;
    struct str value;
    wire_reopen(&wire);
    bodies_write(&request, "POST /keep", "", bodies_octets(50000), 50000, chunk);
    CHECK(buf_append(&request, GET("/"), strlen(GET("/"))) == 0);
    (void)wire_feed(&wire, request.data, request.len);
    CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
    CHECK_EQ(answer.status, status);
    CHECK(wire_field(&answer, "Connection", &value) && str_is_equal(value, STR("close")));
    CHECK_EQ(wire.n_spool_failed, 1);
    CHECK_EQ(wire.spool_error, error);
    CHECK_EQ(wire.n_handled, 0);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire.finished[0], status);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER); /* the client is still sending */
    CHECK_EQ(wire_count_fds(), fds);
    wire_reopen(&wire); /* nothing else is disturbed */
    wire_feed_text(&wire, "POST /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    WIRE_ANSWERED(&wire, 200);
    buf_fini(&request);
}

static void a_body_that_has_no_place_is_refused(void **state)
{
    (void)state;
    char file[] = "/tmp/remuda-file-XXXXXX";
    int fd = mkstemp(file);
    CHECK(fd >= 0);
    static char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    const struct {
        const char *folder;
        int error;
    } rows[] = {{"/nonexistent/folder", -ENOENT}, {file, -ENOTDIR}, {longest, -ENAMETOOLONG}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t chunk = 0; chunk <= 3000; chunk += 3000) {
            check_context("%.40s, chunks of %zu", rows[i].folder, chunk);
            wire.env.limits.spool_dir = rows[i].folder;
            expect_spool_failure(chunk, rows[i].error, 503);
        }
    CHECK(close(fd) == 0 && unlink(file) == 0);
}

/* A file system that has no room for more, as near as an unprivileged test gets to one: a limit of
 * the size of files, for the octets that are in memory, and for those that come later. */
static void a_body_that_has_no_room_is_refused_with_507(void **state)
{
    (void)state;
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    static const size_t room[] = {100, BUFFER_BYTES, 30000};
    for (size_t i = 0; i < sizeof room / sizeof room[0]; i++)
        for (size_t k = 0; k < 4; k++) {
            wire.env.limits.spool_dir = k & 1 ? spool_folder : NULL;
            struct rlimit now = {.rlim_cur = room[i], .rlim_max = before.rlim_max};
            CHECK(setrlimit(RLIMIT_FSIZE, &now) == 0);
            expect_spool_failure(k & 2 ? 3000 : 0, -EFBIG, 507);
            CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
        }
    (void)signal(SIGXFSZ, handler);
}

/* No descriptor left: nobody but this request has a trouble. */
static void a_body_without_a_descriptor_is_refused(void **state)
{
    (void)state;
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit now = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    struct buf request = {0};
    bodies_write(&request, "POST /keep", "", bodies_octets(50000), 50000, 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
    (void)wire_feed(&wire, request.data, request.len);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    WIRE_ANSWERED(&wire, 503);
    CHECK_EQ(wire.spool_error, -EMFILE);
    CHECK_EQ(wire.n_spool_failed, 1);
    buf_fini(&request);
}

/* ---- too large ---- */

static void a_body_over_its_limit_is_refused_as_soon_as_that_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        size_t len, chunk;
        int status;
        size_t fed; /* octets of the body that are sent before the answer is due */
    } rows[] = {
        {"POST /small", 10, 0, 200, 10},
        {"POST /small", 11, 0, 413, 0},
        {"POST /small", 10, 4, 200, 10},
        {"POST /small", 11, 4, 413, 11},
        {"POST /small", 11, 100, 413, 0},
        {"POST /keep", 500000, 0, 200, 500000},
        {"POST /keep", 500001, 0, 413, 0},
        {"POST /keep", 500000, 5000, 200, 500000},
        {"POST /keep", 500001, 5000, 413, 500001},
        {"POST /large", 600000, 0, 200, 600000},
        {"POST /large", 600000, 5000, 200, 600000},
    };
    unsigned fds = wire_count_fds();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s, %zu octets in chunks of %zu", rows[i].line, rows[i].len, rows[i].chunk);
        struct buf request = {0};
        struct wire_answer answers[2];
        struct str value;
        wire_reopen(&wire);
        bodies_write(&request, rows[i].line, "", bodies_octets(rows[i].len), rows[i].len,
                     rows[i].chunk);
        size_t head =
            (size_t)((char *)memmem(request.data, request.len, "\r\n\r\n", 4) + 4 - request.data);
        size_t fed = rows[i].fed == 0 && rows[i].chunk == 0 ? head
                     : rows[i].fed == 0                     ? head + 4 /* with the chunk's size */
                                                            : request.len;
        (void)wire_feed(&wire, request.data, fed);
        CHECK_EQ(wire_answers(&wire, false, answers, 2), 1);
        CHECK_EQ(answers[0].status, rows[i].status);
        CHECK_EQ(wire.n_handled, rows[i].status == 200);
        if (rows[i].status == 413) {
            CHECK(wire_field(&answers[0], "Connection", &value));
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
            CHECK_EQ(wire.n_errors, 1);
            CHECK_EQ(wire.n_finished, 1);
        }
        buf_fini(&request);
    }
    CHECK_EQ(wire_count_fds(), fds);
}

/* ---- Expect: 100-continue (RFC 9110 §10.1.1) ---- */

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define EXPECT "Expect: 100-continue\r\n"

static unsigned count_continues(void)
{
    unsigned n = 0;
    for (const char *at = wire_text(&wire); (at = strstr(at, CONTINUE)); at++)
        n++;
    return n;
}

static void a_client_is_told_to_go_on_only_when_its_body_will_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        unsigned n; /* of 100 Continue */
        int status; /* before any of the body; 0: it waits for it */
    } rows[] = {
        {"POST /keep HTTP/1.1\r\nHost: a\r\n" EXPECT "Content-Length: 5\r\n\r\n", 1, 0},
        {"POST /keep HTTP/1.1\r\nHost: a\r\nexpect: 100-Continue\r\nContent-Length: 5\r\n\r\n", 1,
         0},
        {"POST /keep HTTP/1.1\r\nHost: a\r\n" EXPECT "Transfer-Encoding: chunked\r\n\r\n", 1, 0},
        {"POST /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 0, 0},
        {"POST /keep HTTP/1.0\r\n" EXPECT "Content-Length: 5\r\n\r\n", 0, 0},
        {"POST /nowhere HTTP/1.1\r\nHost: a\r\n" EXPECT "Content-Length: 5\r\n\r\n", 0, 404},
        {"POST /nowhere HTTP/1.1\r\nHost: a\r\n" EXPECT "Transfer-Encoding: chunked\r\n\r\n", 0,
         404},
        {"POST / HTTP/1.1\r\nHost: a\r\n" EXPECT "Content-Length: 5\r\n\r\n", 0, 405},
        {"POST /small HTTP/1.1\r\nHost: a\r\n" EXPECT "Content-Length: 11\r\n\r\n", 0, 413},
        {"POST /keep HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\nContent-Length: 5\r\n\r\n",
         0, 417},
        {"POST /keep HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\n", 0, 417},
        {"POST /keep HTTP/1.1\r\nHost: a\r\n" EXPECT "Content-Length: 0\r\n\r\n", 0, 200},
        {"POST /keep HTTP/1.1\r\nHost: a\r\n" EXPECT "\r\n", 0, 200},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t piece = 1; piece < 5000; piece += 4998) {
            check_context("%s in pieces of %zu", rows[i].head, piece);
            wire_reopen(&wire);
            (void)wire_feed_pieces(&wire, rows[i].head, strlen(rows[i].head), piece);
            CHECK_EQ(count_continues(), rows[i].n);
            struct wire_answer answer;
            wire.sent.len = rows[i].n ? 0 : wire.sent.len; /* no framing of its own */
            size_t n = wire_answers(&wire, false, &answer, 1);
            CHECK_EQ(n > 0 ? answer.status : 0, rows[i].status);
            if (rows[i].status >= 400) /* it may send its body or not: who knows what comes next */
                CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
            if (rows[i].status != 0)
                continue;
            const char *body =
                strstr(rows[i].head, "chunked") ? "5\r\nhello\r\n0\r\n\r\n" : "hello";
            (void)wire_feed_pieces(&wire, body, strlen(body), piece);
            CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1); /* no second 100 */
            CHECK_EQ(answer.status, 200);
            CHECK_BYTES(answer.body.p, answer.body.len, "hello", 5);
        }
    }
}

/* §10.1.1: may be left out when content is there already, and it is not waited for then. */
static void a_client_that_does_not_wait_is_not_told_to_go_on(void **state)
{
    (void)state;
    wire_feed_text(&wire, "POST /keep HTTP/1.1\r\nHost: a\r\n" EXPECT "Content-Length: 5\r\n\r\nh");
    CHECK_EQ(wire.sent.len, 0);
    wire_feed_text(&wire, "ello");
    WIRE_ANSWERED(&wire, 200);
}

/* 100 stands between the answers, not in front of one that was asked for before. */
static void a_client_is_told_to_go_on_in_its_turn(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/") "POST /keep HTTP/1.1\r\nHost: a\r\n" EXPECT
                                   "Content-Length: 5\r\n\r\n");
    const char *text = wire_text(&wire);
    CHECK_HAS(text, "hello\n" CONTINUE);
    CHECK_EQ(strlen(strstr(text, CONTINUE)), strlen(CONTINUE));
    wire.sent.len = 0;
    wire_feed_text(&wire, "hello" GET("/"));
    WIRE_ANSWERED(&wire, 200, 200);
}

/* ---- bodies that nobody wants ---- */

static void a_body_for_no_route_is_not_kept_and_its_connection_goes_on(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fields;
        size_t len, chunk;
        int status;
        bool is_kept; /* the connection */
    } rows[] = {
        {"POST /nowhere", "", 5, 0, 404, true},
        {"PUT /keep", "", 5, 2, 405, true},
        {"POST /nowhere", "", 262144, 0, 404, true},
        {"POST /nowhere", "", 262145, 0, 404, false},
        {"POST /nowhere", "", 600000, 0, 404, false}, /* over the limit, but of no route */
        {"POST /nowhere", "", 600000, 9000, 404, false},
        {"POST /nowhere", "", 200000, 5000, 404, true},
        {"POST /nowhere", "", 300000, 5000, 404, false},
        {"POST /nowhere", "Connection: close\r\n", 5, 0, 404, false},
    };
    unsigned fds = wire_count_fds();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t piece = 97; piece < 5000; piece += 4000) {
            check_context("%s, %zu octets in chunks of %zu", rows[i].line, rows[i].len,
                          rows[i].chunk);
            struct buf request = {0};
            wire_reopen(&wire);
            bodies_write(&request, rows[i].line, rows[i].fields, bodies_octets(rows[i].len),
                         rows[i].len, rows[i].chunk);
            CHECK(buf_append(&request, GET("/hello/next"), strlen(GET("/hello/next"))) == 0);
            (void)wire_feed_pieces(&wire, request.data, request.len, piece);
            struct wire_answer answers[3];
            CHECK_EQ(wire_answers(&wire, false, answers, 3), rows[i].is_kept ? 2 : 1);
            CHECK_EQ(answers[0].status, rows[i].status);
            CHECK(wire.conn.state == CONN_LINGER || rows[i].is_kept);
            CHECK_EQ(wire.n_finished, rows[i].is_kept ? 2 : 1);
            CHECK_EQ(wire.n_handled, rows[i].is_kept ? 2 : 1);
            if (rows[i].is_kept)
                CHECK_BYTES(answers[1].body.p, answers[1].body.len, "hello, next\n", 12);
            buf_fini(&request);
        }
    }
    CHECK_EQ(wire_count_fds(), fds);
}

/* RFC 9112 §9.6: what a client still sends when it is to get its last answer is read, or the reset
 * takes the answer with it; also when it is the client that wants the connection to end, and when
 * none of the body has come so far. */
static void a_last_answer_before_the_end_of_a_body_lingers(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 50000\r\n\r\n",
        ("POST /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
         "Transfer-Encoding: chunked\r\n\r\n"),
        "POST /nowhere HTTP/1.0\r\nContent-Length: 50000\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        check_context("%s", heads[i]);
        wire_reopen(&wire);
        wire_feed_text(&wire, heads[i]);
        WIRE_ANSWERED(&wire, 404);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
    }
    wire.env.is_draining = true;
    wire_reopen(&wire);
    wire_feed_text(&wire, "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
    WIRE_ANSWERED(&wire, 404);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
}

static void a_malformed_rest_of_an_unwanted_body_ends_the_connection(void **state)
{
    (void)state;
    wire_feed_text(&wire, "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "5\r\nhello\r\nx\r\n" GET("/"));
    WIRE_ANSWERED(&wire, 404); /* it has its answer: no second one */
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
    CHECK_EQ(wire.n_finished, 1);
}

/* ---- how fast it must come ---- */

#define S UINT64_C(1000000)

/* Sends 100 octets every so often. Returns the seconds after which it was refused; 0: never */
static unsigned send_at_rate(const char *line, unsigned pause_s, bool is_chunked)
{
    struct buf head = {0};
    wire_reopen(&wire);
    bodies_write_head(&head, line,
                      is_chunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: 20000\r\n");
    uint64_t start_us = wire.env.now_us;
    (void)wire_feed(&wire, head.data, head.len);
    buf_fini(&head);
    for (int i = 0; i < 200; i++) {
        wire.env.now_us += pause_s * S;
        char piece[128] = "64\r\n";
        size_t len = is_chunked ? 4 : 0;
        memcpy(piece + len, bodies_octets(100), 100);
        len += 100;
        memcpy(piece + len, "\r\n", 2);
        (void)wire_feed(&wire, piece, is_chunked ? len + 2 : len);
        if (conn_wait(&wire.conn) != CONN_WAIT_BODY)
            return i < 199 ? (unsigned)((wire.env.now_us - start_us) / S) : 0;
    }
    return 0;
}

static void a_body_that_comes_too_slowly_is_refused_after_the_grace(void **state)
{
    (void)state;
    wire.env.limits.body_grace_us = 30 * S;
    wire.env.limits.body_min_rate = 50;
    for (int is_chunked = 0; is_chunked <= 1; is_chunked++) {
        check_context("chunked: %d", is_chunked);
        CHECK_EQ(send_at_rate("POST /keep", 1, is_chunked), 0); /* 100 a second */
        CHECK_EQ(send_at_rate("POST /keep", 2, is_chunked), 0); /* as fast as it must be */
        /* 10 a second: 50 × (t - 30) octets are more than 10 × t from 37.5 s on */
        unsigned refused_s = send_at_rate("POST /keep", 10, is_chunked);
        CHECK_EQ(refused_s, 40);
        WIRE_ANSWERED(&wire, 408);
        CHECK_HAS(wire_text(&wire), "Connection: close\r\n");
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
        CHECK_EQ(wire.n_handled, 0);
        CHECK_EQ(wire.finished[0], 408);
    }
    wire.env.limits.body_min_rate = 0; /* no minimum */
    CHECK_EQ(send_at_rate("POST /keep", 1000, false), 0);
}

/* A rest that is read for the sake of keep-alive has the same pace, counted anew; its request has
 * been answered, so it just ends. */
static void an_unwanted_body_that_comes_too_slowly_ends_its_connection(void **state)
{
    (void)state;
    wire.env.limits.body_grace_us = 30 * S;
    wire.env.limits.body_min_rate = 50;
    CHECK_EQ(send_at_rate("POST /nowhere", 1, false), 0);
    CHECK_EQ(send_at_rate("POST /nowhere", 10, false), 40);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
    WIRE_ANSWERED(&wire, 404);
    CHECK_EQ(wire.n_finished, 1);
}

/* ---- how many at once ---- */

static void pipelined_requests_are_answered_so_many_a_write(void **state)
{
    (void)state;
    struct buf requests = {0};
    for (int i = 0; i < 12; i++)
        bodies_write(&requests, "POST /keep", "", bodies_octets(20), 20, i % 2 ? 7 : 0);
    static const unsigned counts[] = {1, 5, 12, 100};
    static const unsigned writes[] = {12, 3, 1, 1};
    for (size_t i = 0; i < 4; i++) {
        check_context("%u a write", counts[i]);
        wire.env.limits.pipelined = counts[i];
        wire_reopen(&wire);
        CHECK_EQ(wire_feed(&wire, requests.data, requests.len), requests.len);
        CHECK_EQ(wire.writes, writes[i]);
        CHECK_EQ(wire.n_finished, 12);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    }
    buf_fini(&requests);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_body_is_in_memory_up_to_a_limit_and_above_it_in_a_spool_file),
        TEST(what_is_spooled_does_not_depend_on_how_it_is_read),
        TEST(a_spooled_body_is_there_until_the_answer_has_been_sent),
        TEST(a_spooled_body_goes_with_its_client),
        TEST(a_body_gets_room_as_it_comes),
        TEST(a_body_that_has_no_place_is_refused),
        TEST(a_body_that_has_no_room_is_refused_with_507),
        TEST(a_body_without_a_descriptor_is_refused),
        TEST(a_body_over_its_limit_is_refused_as_soon_as_that_is_known),
        TEST(a_client_is_told_to_go_on_only_when_its_body_will_be_read),
        TEST(a_client_that_does_not_wait_is_not_told_to_go_on),
        TEST(a_client_is_told_to_go_on_in_its_turn),
        TEST(a_body_for_no_route_is_not_kept_and_its_connection_goes_on),
        TEST(a_last_answer_before_the_end_of_a_body_lingers),
        TEST(a_malformed_rest_of_an_unwanted_body_ends_the_connection),
        TEST(a_body_that_comes_too_slowly_is_refused_after_the_grace),
        TEST(an_unwanted_body_that_comes_too_slowly_ends_its_connection),
        TEST(pipelined_requests_are_answered_so_many_a_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
