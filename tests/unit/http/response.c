/* http/response.c: fields that could split an answer or that the server owns are refused; heads are
 * rendered octet for octet; error pages; done is paid once. */
#include "http/response.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "tests/harness/check.h"

static struct arena arena;
static struct rmd_response res;
static unsigned n_done;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1024);
    response_begin(&res, NULL);
    n_done = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static int set(const char *name, const char *value)
{
    return response_set(&res, &arena, str_of(name), str_of(value), true);
}

static int add(const char *name, const char *value)
{
    return response_set(&res, &arena, str_of(name), str_of(value), false);
}

/* The head as text; valid until the next call. */
static const char *render(const struct response_frame *frame)
{
    static char text[4096];
    struct buf out = {0};
    CHECK(buf_append(&out, "before|", 7) == 0);
    CHECK_EQ(response_render_head(&res, frame, &out), 0);
    CHECK(out.len < sizeof text);
    CHECK(memcmp(out.data, "before|", 7) == 0);
    memcpy(text, out.data + 7, out.len - 7);
    text[out.len - 7] = '\0';
    buf_fini(&out);
    return text;
}

/* ---- fields ---- */

static void a_field_can_not_split_an_answer(void **state)
{
    (void)state;
    static const char *const values[] = {"a\r\nSet-Cookie: b",
                                         "a\nb",
                                         "a\rb",
                                         "\na",
                                         "a\n",
                                         "a\r\n",
                                         "a\x01",
                                         "a\x7f",
                                         "\x1b[0m",
                                         ("a\x0b"
                                          "b")};
    static const char *const names[] = {"",   "A B", "A:",  ":",     "A\r\nB",   "A\n", "A\t",
                                        "A(", "A,B", "A/",  "A\x7f", "\xc3\xa9", "A=",  "A\"",
                                        "A{", "A@",  "A\\", "A[",    "A;"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        check_context("value %zu", i);
        CHECK_EQ(set("X", values[i]), -EINVAL);
        CHECK_EQ(add("X", values[i]), -EINVAL);
        CHECK_EQ(set("Content-Type", values[i]), -EINVAL);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        check_context("name %zu", i);
        CHECK_EQ(set(names[i], "x"), -EINVAL);
    }
    CHECK_EQ(response_set(&res, &arena, STR("X"), str_make("a\0b", 3), true), -EINVAL);
    CHECK_EQ(response_set(&res, &arena, str_make("A\0B", 3), STR("x"), true), -EINVAL);
    CHECK(res.fields == NULL && res.type.len == 0); /* nothing changed */
}

/* Every octet at every place of a long value, since it is looked at in words. */
static void every_octet_of_a_value_is_looked_at(void **state)
{
    (void)state;
    char value[40];
    for (size_t len = 1; len <= sizeof value; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                memset(value, 'v', sizeof value);
                value[at] = (char)c;
                bool is_bad = (c < 0x20 && c != '\t') || c == 0x7f;
                /* blanks at the ends are no part of the value, so a HTAB there is fine too */
                int rc = response_set(&res, &arena, STR("X"), str_make(value, len), true);
                CHECK_SAYING(rc == (is_bad ? -EINVAL : 0), "octet %d at %zu of %zu: %d", c, at, len,
                             rc);
            }
        }
        arena_reset(&arena);
        response_begin(&res, NULL);
    }
}

static void fields_that_the_server_owns_are_refused(void **state)
{
    (void)state;
    static const char *const owned[] = {"Content-Length",    "content-length", "Transfer-Encoding",
                                        "TRANSFER-ENCODING", "Connection",     "connection",
                                        "Keep-Alive",        "Upgrade",        "Trailer"};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        check_context("%s", owned[i]);
        CHECK_EQ(set(owned[i], "x"), -EPERM);
        CHECK_EQ(add(owned[i], "x"), -EPERM);
    }
    CHECK(res.fields == NULL);
    CHECK_EQ(set("Content-Lengths", "x"), 0);
    CHECK_EQ(set("X-Connection", "x"), 0);
}

static void fields_are_replaced_added_and_found(void **state)
{
    (void)state;
    char name[] = "X-One";
    char value[] = " first\t";
    CHECK_EQ(set(name, value), 0);
    memset(name, '!', sizeof name - 1); /* copied */
    memset(value, '!', sizeof value - 1);
    CHECK_EQ(add("x-one", "second"), 0);
    CHECK_EQ(add("X-Two", ""), 0);
    CHECK_TEXT(response_find(&res, STR("X-ONE"))->value.p, "first");
    CHECK(response_find(&res, STR("X-On")) == NULL);
    res.status = 200;
    struct response_frame frame = {0};
    CHECK_TEXT(render(&frame),
               "HTTP/1.1 200 OK\r\nX-One: first\r\nx-one: second\r\nX-Two: \r\n\r\n");
    CHECK_EQ(set("X-oNe", "third"), 0); /* in place of both */
    CHECK_EQ(add("X-Two", "fourth"), 0);
    CHECK_TEXT(render(&frame),
               "HTTP/1.1 200 OK\r\nX-Two: \r\nX-oNe: third\r\nX-Two: fourth\r\n\r\n");
    CHECK_EQ(set("X-Two", "fifth"), 0);
    CHECK_EQ(set("X-One", "sixth"), 0);
    CHECK_EQ(add("X-Three", "seventh"), 0);
    CHECK_TEXT(render(&frame),
               "HTTP/1.1 200 OK\r\nX-Two: fifth\r\nX-One: sixth\r\nX-Three: seventh\r\n\r\n");
}

static void content_type_has_one_place(void **state)
{
    (void)state;
    struct response_frame frame = {0};
    res.status = 200;
    CHECK_EQ(set("content-type", "text/html"), 0);
    CHECK_EQ(add("Content-Type", " image/png "), 0);
    CHECK_TEXT(render(&frame), "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n");
}

/* ---- heads ---- */

static void heads_are_rendered_octet_for_octet(void **state)
{
    (void)state;
    struct response_frame frame = {.common = STR("Date: d\r\n"), .has_length = true, .length = 0};
    res.status = 404;
    CHECK_TEXT(render(&frame), "HTTP/1.1 404 Not Found\r\nDate: d\r\nContent-Length: 0\r\n\r\n");
    frame.length = UINT64_MAX;
    frame.is_keep_alive_1_0 = true;
    CHECK_TEXT(render(&frame),
               "HTTP/1.1 404 Not Found\r\nDate: d\r\n"
               "Content-Length: 18446744073709551615\r\nConnection: keep-alive\r\n\r\n");
    frame.is_closing = true; /* stronger */
    CHECK_HAS(render(&frame), "Connection: close\r\n");
    CHECK_HAS_NOT(render(&frame), "keep-alive");
    frame = (struct response_frame){.is_chunked = true};
    CHECK_EQ(set("Content-Type", "a/b"), 0);
    CHECK_EQ(set("X", "y"), 0);
    CHECK_TEXT(render(&frame), "HTTP/1.1 404 Not Found\r\nContent-Type: a/b\r\n"
                               "Transfer-Encoding: chunked\r\nX: y\r\n\r\n");
}

static void check_reason(int status, const char *expected)
{
    struct str reason = response_reason(status);
    CHECK_BYTES(reason.p, reason.len, expected, strlen(expected));
}

static void every_status_has_a_line(void **state)
{
    (void)state;
    struct response_frame frame = {0};
    for (int status = 100; status <= 599; status++) {
        res.status = status;
        const char *head = render(&frame);
        CHECK(strncmp(head, "HTTP/1.1 ", 9) == 0);
        CHECK_EQ(atoi(head + 9), status);
        CHECK(head[12] == ' ' && head[13] > ' ');
        CHECK_TEXT(head + strlen(head) - 4, "\r\n\r\n");
        CHECK(response_reason(status).len > 1);
    }
    res.status = 299;
    CHECK_TEXT(render(&frame), "HTTP/1.1 299 Unknown\r\n\r\n");
    check_reason(299, "Unknown");
    check_reason(99, "Unknown");
    check_reason(600, "Unknown");
    check_reason(-1, "Unknown");
    check_reason(404, "Not Found");
    check_reason(505, "HTTP Version Not Supported");
}

/* A head with long fields grows the buffer as far as it must. */
static void long_fields_fit(void **state)
{
    (void)state;
    struct response_frame frame = {0};
    struct buf out = {0};
    char value[2000];
    memset(value, 'v', sizeof value);
    res.status = 200;
    for (int i = 0; i < 50; i++)
        CHECK_EQ(response_set(&res, &arena, STR("X-Long"), str_make(value, sizeof value), false),
                 0);
    CHECK_EQ(response_render_head(&res, &frame, &out), 0);
    CHECK_EQ(out.len, 17 + 50 * (8 + sizeof value + 2) + 2);
    buf_fini(&out);
}

/* RFC 9110 §6.4.1 */
static void some_answers_have_no_body(void **state)
{
    (void)state;
    static const int bodiless[] = {100, 101, 103, 199, 204, 304};
    static const int others[] = {200, 201, 206, 301, 303, 400, 404, 500, 599};
    for (size_t i = 0; i < sizeof bodiless / sizeof bodiless[0]; i++)
        CHECK(response_is_bodiless(bodiless[i]));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK(!response_is_bodiless(others[i]));
}

/* ---- bodies ---- */

static void on_done(void *arg)
{
    struct rmd_response *seen = arg;
    CHECK(seen->done == NULL); /* forgotten before it is called: it may give a new answer */
    n_done++;
}

static void done_is_paid_once_when_a_body_is_dropped(void **state)
{
    (void)state;
    res.status = 201;
    res.kind = RESPONSE_BYTES;
    res.body = "x";
    res.body_len = 1;
    res.type = STR("a/b");
    res.done = on_done;
    res.done_arg = &res;
    CHECK_EQ(set("X", "y"), 0);
    response_drop_body(&res);
    CHECK_EQ(n_done, 1);
    CHECK_EQ(res.kind, RESPONSE_NONE);
    CHECK(res.body == NULL && res.body_len == 0 && res.type.len == 0);
    CHECK_EQ(res.status, 201); /* status and fields stay */
    CHECK(response_find(&res, STR("X")) != NULL);
    response_drop_body(&res);
    CHECK_EQ(n_done, 1);
}

static void an_error_page_replaces_a_body_and_names_the_status(void **state)
{
    (void)state;
    res.kind = RESPONSE_BYTES;
    res.body = "secret";
    res.body_len = 6;
    res.done = on_done;
    res.done_arg = &res;
    CHECK_EQ(set("X", "y"), 0);
    response_error_page(&res, &arena, 503);
    CHECK_EQ(n_done, 1);
    CHECK_EQ(res.status, 503);
    CHECK_EQ(res.kind, RESPONSE_BYTES);
    CHECK_BYTES(res.body, res.body_len, "503 Service Unavailable\n", 24);
    CHECK_BYTES(res.type.p, res.type.len, "text/plain; charset=utf-8", 25);
    CHECK(response_find(&res, STR("X")) != NULL);
    response_error_page(&res, &arena, 599);
    CHECK_BYTES(res.body, res.body_len, "599 Unknown\n", 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_field_can_not_split_an_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(every_octet_of_a_value_is_looked_at, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_that_the_server_owns_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_are_replaced_added_and_found, setup, teardown),
        cmocka_unit_test_setup_teardown(content_type_has_one_place, setup, teardown),
        cmocka_unit_test_setup_teardown(heads_are_rendered_octet_for_octet, setup, teardown),
        cmocka_unit_test_setup_teardown(every_status_has_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(long_fields_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(some_answers_have_no_body, setup, teardown),
        cmocka_unit_test_setup_teardown(done_is_paid_once_when_a_body_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_page_replaces_a_body_and_names_the_status, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
