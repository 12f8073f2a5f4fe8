/* http/conn_answer.c, conn_output.c: answers that lie in files. Gathered when they are small, else
 * handed to sendfile(2) stretch by stretch; files that have become shorter; and the descriptor,
 * which is closed exactly once whatever happens. */
#include "http/conn.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/unit/http/bodies.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define FILE_BYTES 300000U
#define PARTS_MAX 8U

static struct wire wire;
static int file_fd; /* the test's own; answers get duplicates */
static struct {
    struct response_part parts[PARTS_MAX];
    uint32_t n_parts;
    int status;
    int given_fd; /* of the last answer */
    bool has_no_fd;
    bool gives_twice;
} app;

static void give_file(rmd_request *req, rmd_response *res)
{
    for (int i = 0; i <= app.gives_twice; i++) {
        app.given_fd = app.has_no_fd ? -1 : fcntl(file_fd, F_DUPFD_CLOEXEC, 0);
        CHECK(app.has_no_fd || app.given_fd >= 0);
        res->type = STR("text/x-file");
        CHECK(response_give_file(res, req->arena, app.status, app.given_fd, app.parts,
                                 app.n_parts) == 0);
    }
}

static const rmd_route routes[] = {
    {.method = "*", .pattern = "/file", .handler = give_file},
    {.method = "GET", .pattern = "/hello/:name", .handler = wire_hello},
    {0}};

static int setup(void **state)
{
    (void)state;
    memset(&app, 0, sizeof app);
    app.status = 200;
    wire_open_app(&wire, routes, &wire_limits, 4096);
    file_fd = memfd_create("answer", MFD_CLOEXEC);
    CHECK(file_fd >= 0);
    CHECK(fd_write_all(file_fd, bodies_octets(FILE_BYTES), FILE_BYTES) == 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_close(&wire);
    fd_close(&file_fd);
    return 0;
}

/* ---- what is sent ---- */

#define FILE_PART(at, n)                                                                           \
    {                                                                                              \
        .offset = (at), .len = (n)                                                                 \
    }
#define TEXT_PART(text)                                                                            \
    {                                                                                              \
        .data = (text), .len = sizeof(text) - 1                                                    \
    }

static const struct shape {
    struct response_part parts[PARTS_MAX];
    uint32_t n_parts;
    bool is_gathered;
} shapes[] = {
    {{FILE_PART(0, 1)}, 1, true},
    {{FILE_PART(299999, 1)}, 1, true},
    {{FILE_PART(5, 16384)}, 1, true},
    {{FILE_PART(5, 16385)}, 1, false},
    {{FILE_PART(0, FILE_BYTES)}, 1, false},
    {{FILE_PART(200000, 100000)}, 1, false},
    {{TEXT_PART("--one\r\n"), FILE_PART(10, 20), TEXT_PART("--two\r\n"), FILE_PART(5, 9)}, 4, true},
    {{FILE_PART(10, 20), FILE_PART(10, 20), TEXT_PART("."), TEXT_PART(",")}, 4, true},
    {{TEXT_PART("--one\r\n"), FILE_PART(10, 90000), TEXT_PART("--two\r\n"), FILE_PART(5, 50000),
      TEXT_PART("--end--")},
     5,
     false},
    {{FILE_PART(1000, 20000), FILE_PART(0, 1), TEXT_PART("a"), TEXT_PART("b"), FILE_PART(7, 7)},
     5,
     false},
};
#define N_SHAPES (sizeof shapes / sizeof shapes[0])

static void set_shape(const struct shape *shape)
{
    memcpy(app.parts, shape->parts, sizeof app.parts);
    app.n_parts = shape->n_parts;
}

static void write_expected(struct buf *out)
{
    out->len = 0;
    for (uint32_t i = 0; i < app.n_parts; i++) {
        const struct response_part *part = &app.parts[i];
        const char *data = part->data ? part->data : bodies_octets(FILE_BYTES) + part->offset;
        CHECK(buf_append(out, data, part->len) == 0);
    }
}

static void check_file_answer(const struct wire_answer *answer, const struct buf *expected)
{
    struct str type;
    CHECK_EQ(answer->status, app.status);
    CHECK_BYTES(answer->body.p, answer->body.len, expected->data, expected->len);
    CHECK(wire_field(answer, "Content-Type", &type) && str_is_equal(type, STR("text/x-file")));
}

static void a_file_is_sent_part_by_part(void **state)
{
    (void)state;
    struct buf expected = {0};
    unsigned fds = wire_count_fds();
    for (size_t i = 0; i < N_SHAPES; i++) {
        check_context("shape %zu", i);
        wire_reopen(&wire);
        app.status = i % 2 ? 206 : 200;
        set_shape(&shapes[i]);
        write_expected(&expected);
        wire_feed_text(&wire, GET("/file") GET("/hello/next"));
        struct wire_answer answers[2];
        CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
        check_file_answer(&answers[0], &expected);
        CHECK_BYTES(answers[1].body.p, answers[1].body.len, "hello, next\n", 12);
        CHECK_EQ(wire.writes == 1, shapes[i].is_gathered); /* head, body and what follows in one */
        CHECK_EQ(wire_count_fds(), fds);
        CHECK_EQ(wire.n_finished, 2);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    }
    buf_fini(&expected);
}

static void a_large_file_goes_out_by_its_descriptor(void **state)
{
    (void)state;
    struct iovec parts[2];
    struct conn_file file;
    set_shape(&shapes[8]);
    wire.room = 0;
    wire_feed_text(&wire, GET("/file"));
    CHECK_EQ(wire.conn.state, CONN_SENDING);
    CHECK_EQ(conn_output(&wire.conn, parts), 2); /* head, and the first part's octets */
    CHECK_BYTES(parts[1].iov_base, parts[1].iov_len, "--one\r\n", 7);
    CHECK(!conn_output_file(&wire.conn, &file)); /* not before what is in front of it */
    CHECK(!conn_output_has_file(&wire.conn));
    conn_output_sent(&wire.conn, parts[0].iov_len + 7);
    CHECK_EQ(conn_output(&wire.conn, parts), 0);
    CHECK(conn_output_has_file(&wire.conn));
    CHECK(conn_output_file(&wire.conn, &file));
    CHECK_EQ(file.fd, app.given_fd);
    CHECK_EQ(file.offset, 10);
    CHECK_EQ(file.len, 90000);
    conn_output_sent(&wire.conn, 89999);
    CHECK(conn_output_file(&wire.conn, &file));
    CHECK_EQ(file.offset, 90009);
    CHECK_EQ(file.len, 1);
    conn_output_sent(&wire.conn, 1);
    CHECK(!conn_output_file(&wire.conn, &file));
    CHECK_EQ(conn_output(&wire.conn, parts), 1);
    CHECK_BYTES(parts[0].iov_base, parts[0].iov_len, "--two\r\n", 7);
    conn_output_sent(&wire.conn, 7);
    conn_output_sent(&wire.conn, 50000);
    CHECK_EQ(wire.n_finished, 0);
    CHECK_EQ(conn_output(&wire.conn, parts), 1);
    conn_output_sent(&wire.conn, 7);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_REQUEST);
}

/* Is a head followed by a file? The driver then lets the kernel wait for what follows. */
static void the_driver_is_told_that_a_file_follows(void **state)
{
    (void)state;
    struct iovec parts[2];
    set_shape(&shapes[4]);
    wire.room = 0;
    wire_feed_text(&wire, GET("/file"));
    CHECK_EQ(conn_output(&wire.conn, parts), 1);
    CHECK(conn_output_has_file(&wire.conn));
    struct conn_file file;
    CHECK(!conn_output_file(&wire.conn, &file));
    wire_reopen(&wire); /* and within a turn too */
    char *space;
    size_t room;
    conn_input_space(&wire.conn, &space, &room);
    memcpy(space, GET("/file"), strlen(GET("/file")));
    conn_on_input(&wire.conn, strlen(GET("/file")));
    conn_process(&wire.conn);
    CHECK_EQ(conn_output(&wire.conn, parts), 1);
    CHECK(conn_output_has_file(&wire.conn));
    CHECK(!conn_output_file(&wire.conn, &file));
    conn_output_sent(&wire.conn, parts[0].iov_len);
    CHECK(conn_output_file(&wire.conn, &file));
    conn_settle(&wire.conn);
}

static void a_socket_that_takes_little_gets_it_all(void **state)
{
    (void)state;
    struct buf expected = {0};
    unsigned fds = wire_count_fds();
    static const size_t steps[] = {1, 7, 4096, 30011};
    for (size_t i = 0; i < N_SHAPES; i++)
        for (size_t k = shapes[i].is_gathered ? 0 : 1; k < 4; k++) {
            check_context("shape %zu, %zu octets at a time", i, steps[k]);
            wire_reopen(&wire);
            set_shape(&shapes[i]);
            app.status = 200;
            write_expected(&expected);
            wire.room = steps[k];
            CHECK(wire_feed(&wire, GET("/file") GET("/hello/next"),
                            strlen(GET("/file") GET("/hello/next"))) > 0);
            while (wire_rest(&wire) == CONN_WAIT_WRITE)
                wire.room = steps[k];
            struct wire_answer answers[2];
            CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
            check_file_answer(&answers[0], &expected);
            CHECK_EQ(wire_count_fds(), fds);
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
        }
    buf_fini(&expected);
}

static void parts_of_memory_alone_need_no_descriptor(void **state)
{
    (void)state;
    struct buf expected = {0};
    app.has_no_fd = true;
    for (size_t first = 1; first <= 20000; first += 19999) {
        wire_reopen(&wire);
        app.parts[0] = (struct response_part){.data = bodies_octets(20000), .len = first};
        app.parts[1] = (struct response_part){.data = "--two--", .len = 7};
        app.n_parts = 2;
        write_expected(&expected);
        wire_feed_text(&wire, GET("/file") GET("/hello/next"));
        struct wire_answer answers[2];
        CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
        check_file_answer(&answers[0], &expected);
    }
    buf_fini(&expected);
}

/* ---- what is not sent ---- */

static void an_answer_without_a_body_closes_its_file(void **state)
{
    (void)state;
    unsigned fds = wire_count_fds();
    static const struct {
        const char *method;
        int status;
    } rows[] = {{"HEAD", 200}, {"HEAD", 206}, {"GET", 204}, {"GET", 304}, {"GET", 205}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t k = 0; k < N_SHAPES; k++) {
            check_context("%s %d, shape %zu", rows[i].method, rows[i].status, k);
            char request[64];
            (void)snprintf(request, sizeof request, "%s /file HTTP/1.1\r\nHost: a\r\n\r\n",
                           rows[i].method);
            wire_reopen(&wire);
            app.status = rows[i].status;
            set_shape(&shapes[k]);
            struct buf expected = {0};
            write_expected(&expected);
            wire_feed_text(&wire, request);
            struct wire_answer answer;
            struct str value;
            CHECK_EQ(wire_answers(&wire, rows[i].method[0] == 'H', &answer, 1), 1);
            CHECK_EQ(answer.status, rows[i].status);
            CHECK_EQ(answer.body.len, 0);
            bool has_length = wire_field(&answer, "Content-Length", &value);
            CHECK_EQ(has_length, rows[i].status != 204 && rows[i].status != 304);
            if (rows[i].method[0] == 'H') { /* as GET would have (RFC 9110 §9.3.2) */
                char length[24];
                (void)snprintf(length, sizeof length, "%zu", expected.len);
                CHECK(str_is_equal(value, str_of(length)));
            }
            CHECK_EQ(wire_count_fds(), fds);
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
            buf_fini(&expected);
        }
}

static void an_answer_that_is_replaced_closes_its_file(void **state)
{
    (void)state;
    unsigned fds = wire_count_fds();
    app.gives_twice = true;
    for (size_t k = 0; k < N_SHAPES; k++) {
        wire_reopen(&wire);
        set_shape(&shapes[k]);
        wire_feed_text(&wire, GET("/file"));
        WIRE_ANSWERED(&wire, 200);
        CHECK_EQ(wire_count_fds(), fds);
    }
}

static void a_client_that_leaves_closes_its_file(void **state)
{
    (void)state;
    unsigned fds = wire_count_fds();
    for (size_t room = 0; room <= 100000; room += 20000) {
        wire_reopen(&wire);
        set_shape(&shapes[8]);
        wire.room = room;
        wire_feed_text(&wire, GET("/file"));
        CHECK_EQ(wire_count_fds(), fds + 1);
        if (room % 40000)
            conn_on_eof(&wire.conn);
        else
            conn_on_timeout(&wire.conn);
        CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
        CHECK_EQ(wire_count_fds(), fds);
        CHECK_EQ(wire.n_finished, 1);
        CHECK_EQ(wire.finished[0], 0);
        conn_fini(&wire.conn); /* the number may be somebody else's by now */
        CHECK_EQ(wire_count_fds(), fds);
    }
}

/* ---- files that have become shorter ---- */

/* Its length is not on the way yet: the client gets an error that it can read. */
static void a_small_file_that_has_become_shorter_is_an_error(void **state)
{
    (void)state;
    unsigned fds = wire_count_fds();
    set_shape(&shapes[6]);
    app.parts[3] = (struct response_part)FILE_PART(1000, 100);
    static const off_t lengths[] = {0, 15, 1000, 1099};
    for (size_t i = 0; i < 4; i++) {
        wire_reopen(&wire);
        CHECK(ftruncate(file_fd, lengths[i]) == 0);
        wire_feed_text(&wire, GET("/file") GET("/hello/next"));
        WIRE_ANSWERED(&wire, 500, 200);
        CHECK_HAS_NOT(wire_text(&wire), "x-file");
        CHECK_HAS_NOT(wire_text(&wire), "--one");
        CHECK_EQ(wire.finished[0], 500);
        CHECK_EQ(wire.n_finished, 2);
        CHECK_EQ(wire_count_fds(), fds);
        CHECK(ftruncate(file_fd, FILE_BYTES) == 0);
    }
}

/* Its length was promised: the connection is cut, and nothing is sent in the place of what is
 * missing. */
static void a_large_file_that_becomes_shorter_is_cut(void **state)
{
    (void)state;
    unsigned fds = wire_count_fds();
    static const off_t lengths[] = {0, 1, 100000, FILE_BYTES - 1};
    for (size_t i = 0; i < 4; i++)
        for (int later = 0; later <= 1; later++) {
            check_context("%lld octets, while it is sent: %d", (long long)lengths[i], later);
            wire_reopen(&wire);
            set_shape(&shapes[4]);
            CHECK(fd_write_all(file_fd, "", 0) == 0);
            if (!later)
                CHECK(ftruncate(file_fd, lengths[i]) == 0);
            wire.room = later ? 5000 : WIRE_ENDLESS;
            wire_feed_text(&wire, GET("/file") GET("/hello/next"));
            if (later) {
                CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
                CHECK(ftruncate(file_fd, lengths[i]) == 0);
                wire.room = WIRE_ENDLESS;
                (void)wire_turn(&wire);
            }
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
            CHECK_HAS(wire_text(&wire), "Content-Length: 300000\r\n");
            const char *body = strstr(wire_text(&wire), "\r\n\r\n") + 4;
            size_t body_len = wire.sent.len - (size_t)(body - wire.sent.data);
            CHECK(body_len <= (size_t)lengths[i] || (later && body_len < 5000));
            CHECK(body_len < FILE_BYTES);
            CHECK_BYTES(body, body_len, bodies_octets(FILE_BYTES), body_len);
            CHECK_EQ(wire.n_finished, 1);
            CHECK_EQ(wire.finished[0], 0);
            CHECK_EQ(wire_count_fds(), fds);
            CHECK(ftruncate(file_fd, 0) == 0 && lseek(file_fd, 0, SEEK_SET) == 0);
            CHECK(fd_write_all(file_fd, bodies_octets(FILE_BYTES), FILE_BYTES) == 0);
        }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_sent_part_by_part),
        TEST(a_large_file_goes_out_by_its_descriptor),
        TEST(the_driver_is_told_that_a_file_follows),
        TEST(a_socket_that_takes_little_gets_it_all),
        TEST(parts_of_memory_alone_need_no_descriptor),
        TEST(an_answer_without_a_body_closes_its_file),
        TEST(an_answer_that_is_replaced_closes_its_file),
        TEST(a_client_that_leaves_closes_its_file),
        TEST(a_small_file_that_has_become_shorter_is_an_error),
        TEST(a_large_file_that_becomes_shorter_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
