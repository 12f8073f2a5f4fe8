/* workers/app_body.c: what remuda.h says about bodies and later answers. Forms and their parts,
 * bodies that are received in pieces, tickets. What a connection makes of them is in
 * tests/unit/http. */
#include <fcntl.h>
#include <pthread.h>

#include "tests/unit/workers/calls.h"

#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"
#define MULTIPART "Content-Type: multipart/form-data; boundary=XX\r\n"
#define PART(name, more, value)                                                                    \
    "--XX\r\nContent-Disposition: form-data; name=\"" name "\"" more "\r\n\r\n" value "\r\n"
#define END "--XX--\r\n"

static void (*look)(rmd_request *req);

static void look_at(rmd_request *req, rmd_response *res)
{
    look(req);
    rmd_text(res, 200, "seen");
}

static rmd_handler act; /* of /act and /stream */

static void run(rmd_request *req, rmd_response *res)
{
    act(req, res);
}

static const rmd_route routes[] = {
    {.method = "*", .pattern = "/look", .handler = look_at},
    {.method = "*", .pattern = "/act", .handler = run},
    {.method = "*", .pattern = "/stream", .handler = run, .stream_body = true},
    {.method = "*", .pattern = "/look-early", .handler = look_at, .stream_body = true},
    {0}};
static const rmd_app app = CALLS_APP(.routes = routes);

static int setup(void **state)
{
    (void)state;
    calls_open(&app);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    calls_close();
    return 0;
}

/* A request with a body of any octets, whole or in chunks. Returns the status */
static int send_body(const char *target, const char *fields, const char *body, size_t len,
                     size_t chunk)
{
    struct buf octets = {0};
    CHECK(buf_printf(&octets, "POST %s HTTP/1.1\r\nHost: a\r\n%s", target, fields) == 0);
    if (chunk == 0) {
        CHECK(buf_printf(&octets, "Content-Length: %zu\r\n\r\n", len) == 0);
        CHECK(buf_append(&octets, body, len) == 0);
    } else {
        CHECK(buf_printf(&octets, "Transfer-Encoding: chunked\r\n\r\n") == 0);
        for (size_t at = 0, n; at < len; at += n) {
            n = chunk < len - at ? chunk : len - at;
            CHECK(buf_printf(&octets, "%zx\r\n", n) == 0);
            CHECK(buf_append(&octets, body + at, n) == 0 && buf_append(&octets, "\r\n", 2) == 0);
        }
        CHECK(buf_append(&octets, "0\r\n\r\n", 5) == 0);
    }
    int status = calls_send(octets.data, octets.len);
    buf_fini(&octets);
    return status;
}

/* ---- forms ---- */

static const struct form {
    const char *fields;
    const char *body;
    size_t len;
    const char *a; /* what rmd_form() says of field a; NULL: nothing */
    int n_parts;
} forms[] = {
#define ROW(fields, body, a, n_parts)                                                              \
    {                                                                                              \
        (fields), (body), sizeof(body) - 1, (a), (n_parts)                                         \
    }
    ROW(FORM, "a=1&b=2", "1", -EINVAL),
    ROW(FORM, "b=2&a=x+y%26&a=2", "x y&", -EINVAL),
    ROW(FORM, "a", "", -EINVAL),
    ROW(FORM, "a=", "", -EINVAL),
    ROW(FORM, "%61=1", "1", -EINVAL),
    ROW(FORM, "A=1", NULL, -EINVAL),
    ROW(FORM, "a=%0", NULL, -EINVAL),
    ROW(FORM, "a=%zz", NULL, -EINVAL),
    ROW(FORM, "a=x%00y", NULL, -EINVAL),
    ROW(FORM, "", NULL, -EINVAL),
    ROW("", "a=1", NULL, -EINVAL),
    ROW("Content-Type: text/plain\r\n", "a=1", NULL, -EINVAL),
    ROW("Content-Type: text/plain\r\n", PART("a", "", "1") END, NULL, -EINVAL),
    ROW(FORM, PART("a", "", "1") END, NULL, -EINVAL),
    ROW(MULTIPART, "a=1", NULL, -EINVAL),
    ROW(MULTIPART, PART("a", "", "1") END, "1", 1),
    ROW(MULTIPART, PART("b", "", "2") PART("a", "", "x+y%26") PART("a", "", "3") END, "x+y%26", 3),
    ROW(MULTIPART, PART("a", "", "") END, "", 1),
    ROW(MULTIPART, PART("a", "", "line\r\n--X\r\nline") END, "line\r\n--X\r\nline", 1),
    ROW(MULTIPART, PART("A", "", "1") END, NULL, 1),
    ROW(MULTIPART, PART("a", "; filename=\"f\"", "file") END, NULL, 1), /* a file is no text */
    ROW(MULTIPART, PART("a", "; filename=\"\"", "") PART("a", "", "text") END, "text", 2),
    ROW(MULTIPART, PART("a", "", "x\0y") END, NULL, 1),
    ROW(MULTIPART, PART("a", "", "x\0y") PART("a", "", "z") END, NULL, 2), /* the first one */
    ROW(MULTIPART, PART("b", "", "x\0y") PART("a", "", "1") END, "1", 2),
    ROW(MULTIPART, END, NULL, 0),
    ROW(MULTIPART, "", NULL, -EINVAL),
    ROW(MULTIPART, PART("a", "", "1"), NULL, -EINVAL), /* cut: not even what is there */
    ROW(MULTIPART, PART("a", "", "1") "--XX", NULL, -EINVAL),
    ROW(MULTIPART, PART("a", "", "1") "--XX\r\nX: y\r\n\r\nz\r\n" END, NULL, -EINVAL),
    ROW(MULTIPART, "--XX\nContent-Disposition: form-data; name=\"a\"\n\n1\n--XX--\n", NULL,
        -EINVAL),
    ROW("Content-Type: multipart/form-data\r\n", PART("a", "", "1") END, NULL, -EINVAL),
    ROW("Content-Type: multipart/form-data; boundary=\"XX\"\r\n", PART("a", "", "1") END, "1", 1),
    ROW("content-type: Multipart/Form-Data; Boundary=XX\r\n", PART("a", "", "1") END, "1", 1),
    ROW("Content-Type: multipart/form-data; boundary=YY\r\n", PART("a", "", "1") END, NULL,
        -EINVAL),
#undef ROW
};

static const struct form *form;

static void look_at_form(rmd_request *req)
{
    const char *a = rmd_form(req, "a");
    if (form->a)
        CHECK_TEXT(a, form->a);
    else
        CHECK(a == NULL);
    CHECK(rmd_form(req, "no such field") == NULL);
    CHECK_EQ(rmd_part_count(req), form->n_parts);
    CHECK_EQ(rmd_part_count(req), form->n_parts); /* and so each time */
    size_t n = form->n_parts > 0 ? (size_t)form->n_parts : 0;
    for (size_t i = 0; i < n; i++)
        CHECK(rmd_part_at(req, i) != NULL && rmd_part_at(req, i) == rmd_part_at(req, i));
    CHECK(rmd_part_at(req, n) == NULL);
    CHECK(rmd_part_at(req, SIZE_MAX) == NULL);
    CHECK(rmd_part_find(req, "no such part") == NULL);
    CHECK(form->n_parts > 0 || rmd_part_find(req, "a") == NULL);
}

static void a_form_is_read_by_its_type(void **state)
{
    (void)state;
    look = look_at_form;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        for (size_t chunk = 0; chunk <= 5; chunk += 5) {
            form = &forms[i];
            check_context("row %zu: %s%.*s, chunks of %zu", i, form->fields, (int)form->len,
                          form->body, chunk);
            CHECK_EQ(send_body("/look", form->fields, form->body, form->len, chunk), 200);
        }
}

static void look_at_parts(rmd_request *req)
{
    CHECK_EQ(rmd_part_count(req), 4);
    const rmd_part *text = rmd_part_at(req, 0);
    CHECK_TEXT(text->name, "text");
    CHECK(text->filename == NULL && text->type == NULL);
    CHECK_BYTES(text->data.data, text->data.len, "words", 5);
    const rmd_part *file = rmd_part_at(req, 1);
    CHECK_TEXT(file->name, "file");
    CHECK_TEXT(file->filename, "../../etc/x");
    CHECK_TEXT(file->type, "image/png; a=b");
    CHECK_BYTES(file->data.data, file->data.len, "\x89PNG\r\n\0", 7);
    const rmd_part *quoted = rmd_part_at(req, 2);
    CHECK_TEXT(quoted->name, "a\"b\r\nc%20");
    CHECK_TEXT(quoted->filename, "");
    CHECK(rmd_part_find(req, "file") == file);
    CHECK(rmd_part_find(req, "text") == text); /* the first of that name */
    for (size_t i = 0; i < 4; i++) {
        const rmd_part *part = rmd_part_at(req, i);
        CHECK(part->data.data == rmd_body(req).data + part->data_at);
    }
}

static void parts_are_what_the_client_sent(void **state)
{
    (void)state;
    static const char body[] = "preamble\r\n" PART("text", "", "words")
        PART("file", "; filename=\"../../etc/x\"\r\nContent-Type: image/png; a=b", "\x89PNG\r\n\0")
            PART("a%22b%0D%0Ac%20", "; filename=\"\"", "") PART("text", "", "more") END "epilogue";
    look = look_at_parts;
    CHECK_EQ(send_body("/look", MULTIPART, body, sizeof body - 1, 0), 200);
    CHECK_EQ(send_body("/look", MULTIPART, body, sizeof body - 1, 7), 200);
}

static int wanted_count;

static void look_at_count(rmd_request *req)
{
    CHECK_EQ(rmd_part_count(req), wanted_count);
    CHECK_EQ(rmd_part_at(req, 999) != NULL, wanted_count == 1000);
}

static void parts_have_a_limit(void **state)
{
    (void)state;
    struct buf body = {0};
    look = look_at_count;
    for (int i = 1; i <= 1001; i++) {
        CHECK(buf_printf(&body, PART("n%d", "", "v"), i) == 0);
        if (i < 1000)
            continue;
        size_t len = body.len;
        CHECK(buf_append(&body, END, sizeof END - 1) == 0);
        wanted_count = i == 1000 ? 1000 : -E2BIG;
        CHECK_EQ(send_body("/look", MULTIPART, body.data, body.len, 0), 200);
        body.len = len;
    }
    buf_fini(&body);
}

/* ---- large bodies ---- */

static size_t large_len;

static void look_at_large(rmd_request *req)
{
    rmd_slice body = rmd_body(req);
    int fd = rmd_body_fd(req);
    CHECK_EQ(body.len, large_len);
    CHECK_EQ(fd >= 0, large_len > calls_limits.body_buffer);
    const rmd_part *part = rmd_part_find(req, "file");
    CHECK(part != NULL && part->data.len > large_len - 200);
    for (size_t i = 0; i < part->data.len; i += 997)
        CHECK_EQ(part->data.data[i], 'a' + (int)(i % 23));
    char octets[64];
    CHECK(fd < 0 || (pread(fd, octets, sizeof octets, (off_t)part->data_at) == sizeof octets &&
                     memcmp(octets, part->data.data, sizeof octets) == 0));
}

static void a_large_upload_is_a_file_of_which_the_parts_are_views(void **state)
{
    (void)state;
    look = look_at_large;
    for (int is_large = 0; is_large <= 1; is_large++)
        for (size_t chunk = 0; chunk <= 10000; chunk += 10000) {
            struct buf body = {0};
            CHECK(buf_printf(&body,
                             PART("text", "",
                                  "words") "--XX\r\nContent-Disposition: "
                                           "form-data; name=\"file\"; filename=\"f\"\r\n\r\n") ==
                  0);
            size_t n = is_large ? 1500000 : 500000;
            CHECK(buf_reserve(&body, n) == 0);
            for (size_t i = 0; i < n; i++)
                body.data[body.len++] = (char)('a' + i % 23);
            CHECK(buf_printf(&body, "\r\n" END) == 0);
            large_len = body.len;
            CHECK_EQ(send_body("/look", MULTIPART, body.data, body.len, chunk), 200);
            buf_fini(&body);
        }
}

static void look_early(rmd_request *req)
{
    CHECK_EQ(rmd_body(req).len, 0);
    CHECK_EQ(rmd_body_fd(req), -1);
    CHECK_EQ(rmd_part_count(req), -EINVAL);
    CHECK(rmd_form(req, "a") == NULL);
}

static void a_handler_that_is_called_early_has_no_body(void **state)
{
    (void)state;
    look = look_early;
    CHECK_EQ(send_body("/look-early", MULTIPART, PART("a", "", "1") END,
                       sizeof(PART("a", "", "1") END) - 1, 0),
             200);
}

/* ---- bodies in pieces ---- */

static struct {
    char got[64];
    unsigned n_pieces, n_ends, n_done, n_answers;
    unsigned answer_at; /* piece; 0: at the end */
    bool says_nothing;
    bool has_returned; /* the handler */
    int second;        /* what a second rmd_receive() returned */
    rmd_deferred *ticket;
    unsigned defer_at;
} taken;

static void count_done(void *arg)
{
    CHECK(arg == &taken);
    taken.n_done++;
}

static void never_done(void *arg)
{
    (void)arg;
    CHECK_FAIL("done of a receive that was refused");
}

static void go_on(rmd_request *req, rmd_response *res, void *arg)
{
    (void)arg;
    CHECK(req != NULL && res != NULL);
    taken.n_answers++;
}

static void take(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    CHECK(state == &taken);
    CHECK(taken.has_returned);
    CHECK_EQ(rmd_status(res), 0);
    CHECK_EQ(taken.n_ends, 0);
    taken.second = rmd_receive(req, take, NULL, never_done);
    if (piece.len == 0)
        taken.n_ends++;
    else
        taken.n_pieces++;
    CHECK(strlen(taken.got) + piece.len < sizeof taken.got);
    memcpy(taken.got + strlen(taken.got), piece.data ? piece.data : "", piece.len);
    bool is_due = piece.len == 0 ? taken.answer_at == 0 : taken.answer_at == taken.n_pieces;
    if (is_due && !taken.says_nothing)
        rmd_text(res, 200, "got %s", taken.got);
    if (piece.len > 0 && taken.n_pieces == taken.defer_at) {
        rmd_deferred *ticket = rmd_defer(req);
        CHECK(ticket != NULL);
        CHECK(rmd_defer(req) == NULL);
        CHECK(rmd_is_wanted(ticket));
        rmd_complete(ticket, go_on, NULL);
        CHECK(rmd_defer(req) == NULL); /* until it is back */
    }
}

static void receive(rmd_request *req, rmd_response *res)
{
    CHECK_EQ(rmd_receive(req, take, &taken, count_done), 0);
    CHECK_EQ(rmd_receive(req, take, NULL, never_done), -EBUSY);
    CHECK_EQ(rmd_status(res), 0);
    taken.has_returned = true;
}

static void receive_and_answer(rmd_request *req, rmd_response *res)
{
    receive(req, res);
    rmd_text(res, 403, "no");
}

static const char *const targets[] = {"/act", "/stream"};

static void start_again(void)
{
    memset(&taken, 0, sizeof taken);
}

static void a_body_is_received_in_pieces_by_any_route(void **state)
{
    (void)state;
    act = receive;
    for (size_t i = 0; i < 2; i++)
        for (size_t chunk = 0; chunk <= 4; chunk++)
            for (unsigned defer_at = 0; defer_at <= 2; defer_at++) {
                check_context("%s, chunks of %zu, put off at %u", targets[i], chunk, defer_at);
                start_again();
                taken.defer_at = defer_at;
                CHECK_EQ(send_body(targets[i], "", "some octets", 11, chunk), 200);
                CHECK_TEXT(calls_text(), "got some octets");
                CHECK_EQ(taken.n_ends, 1);
                CHECK_EQ(taken.n_done, 1);
                CHECK_EQ(taken.second, -EBUSY);
                CHECK_EQ(taken.n_answers, taken.n_pieces >= defer_at && defer_at > 0);
                CHECK(i == 0 || chunk == 0 || taken.n_pieces > 1);
            }
    for (size_t i = 0; i < 2; i++) {
        start_again();
        CHECK_EQ(send_body(targets[i], "", "", 0, 0), 200);
        CHECK_TEXT(calls_text(), "got ");
        CHECK_EQ(taken.n_pieces, 0);
        CHECK_EQ(taken.n_done, 1);
    }
}

static void a_consumer_that_has_answered_gets_no_more(void **state)
{
    (void)state;
    act = receive;
    for (size_t i = 0; i < 2; i++)
        for (size_t chunk = 0; chunk <= 4; chunk += 4) {
            check_context("%s, chunks of %zu", targets[i], chunk);
            start_again();
            taken.answer_at = 1;
            CHECK_EQ(send_body(targets[i], "", "some octets", 11, chunk), 200);
            CHECK_TEXT(calls_text(), i == 1 && chunk ? "got some" : "got some octets");
            CHECK_EQ(taken.n_pieces, 1);
            CHECK_EQ(taken.n_ends, 0);
            CHECK_EQ(taken.n_done, 1);
        }
}

static void a_consumer_that_never_answers_is_a_mistake(void **state)
{
    (void)state;
    act = receive;
    for (size_t i = 0; i < 2; i++) {
        start_again();
        taken.says_nothing = true;
        (void)calls_log();
        CHECK_EQ(send_body(targets[i], "", "some octets", 11, 4), 500);
        CHECK_HAS(calls_log(), "without an answer");
        CHECK_EQ(taken.n_ends, 1);
        CHECK_EQ(taken.n_done, 1);
    }
}

static void a_handler_that_answers_and_asks_has_answered(void **state)
{
    (void)state;
    act = receive_and_answer;
    for (size_t i = 0; i < 2; i++) {
        start_again();
        CHECK_EQ(send_body(targets[i], "", "some octets", 11, 4), 403);
        CHECK_TEXT(calls_text(), "no");
        CHECK_EQ(taken.n_pieces + taken.n_ends, 0);
        CHECK_EQ(taken.n_done, 1);
    }
}

/* ---- later answers ---- */

static struct {
    pthread_t thread;
    rmd_deferred *ticket;
    bool was_wanted;
} later;

static void give_later(rmd_request *req, rmd_response *res, void *arg)
{
    CHECK(arg == &later);
    CHECK(req != NULL && pthread_equal(pthread_self(), *(pthread_t *)rmd_user_data(req)));
    rmd_slice body = rmd_body(req);
    rmd_text(res, 200, "%s %.*s", rmd_query(req, "q"), (int)body.len, body.data);
}

static void *turn_in(void *arg)
{
    later.was_wanted = rmd_is_wanted(later.ticket);
    rmd_complete(later.ticket, give_later, arg);
    return NULL;
}

static void defer(rmd_request *req, rmd_response *res)
{
    static pthread_t mine;
    (void)res;
    mine = pthread_self();
    rmd_set_user_data(req, &mine);
    later.ticket = rmd_defer(req);
    CHECK(later.ticket != NULL);
    CHECK(rmd_defer(req) == NULL);
    CHECK(pthread_create(&later.thread, NULL, turn_in, &later) == 0);
}

static void an_answer_comes_from_another_thread(void **state)
{
    (void)state;
    act = defer;
    CHECK_EQ(send_body("/act?q=asked", "", "with a body", 11, 0), 200);
    CHECK_TEXT(calls_text(), "asked with a body");
    CHECK(pthread_join(later.thread, NULL) == 0);
    CHECK(later.was_wanted);
}

static void say_nothing(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)res, (void)arg;
}

static void defer_for_nothing(rmd_request *req, rmd_response *res)
{
    (void)res;
    rmd_complete(rmd_defer(req), say_nothing, NULL);
}

static void a_later_answer_that_is_none_is_a_mistake(void **state)
{
    (void)state;
    act = defer_for_nothing;
    CHECK_EQ(calls_get("/act"), 500);
    CHECK_HAS(calls_log(), "without an answer");
}

static void receive_late(rmd_request *req, rmd_response *res, void *arg)
{
    (void)arg;
    receive(req, res);
}

static void defer_and_receive(rmd_request *req, rmd_response *res)
{
    (void)res;
    rmd_complete(rmd_defer(req), receive_late, NULL);
}

static void a_body_may_be_asked_for_later(void **state)
{
    (void)state;
    act = defer_and_receive;
    for (size_t i = 0; i < 2; i++)
        for (size_t chunk = 0; chunk <= 4; chunk += 4) {
            check_context("%s, chunks of %zu", targets[i], chunk);
            start_again();
            CHECK_EQ(send_body(targets[i], "", "some octets", 11, chunk), 200);
            CHECK_TEXT(calls_text(), "got some octets");
            CHECK_EQ(taken.n_done, 1);
        }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_form_is_read_by_its_type),
        TEST(parts_are_what_the_client_sent),
        TEST(parts_have_a_limit),
        TEST(a_large_upload_is_a_file_of_which_the_parts_are_views),
        TEST(a_handler_that_is_called_early_has_no_body),
        TEST(a_body_is_received_in_pieces_by_any_route),
        TEST(a_consumer_that_has_answered_gets_no_more),
        TEST(a_consumer_that_never_answers_is_a_mistake),
        TEST(a_handler_that_answers_and_asks_has_answered),
        TEST(an_answer_comes_from_another_thread),
        TEST(a_later_answer_that_is_none_is_a_mistake),
        TEST(a_body_may_be_asked_for_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
