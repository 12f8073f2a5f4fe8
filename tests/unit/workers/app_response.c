/* workers/app.c, the response's half of remuda.h: answers of every kind, the later one replaces the
 * earlier, done is paid once, and nothing that an app passes can split an answer. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "tests/harness/patience.h"
#include "tests/unit/workers/calls.h"

#undef fork /* for processes that know no types yet; the ban is for the server's code */

static void (*fill)(rmd_request *req, rmd_response *res);
static unsigned n_done;

static void handler(rmd_request *req, rmd_response *res)
{
    fill(req, res);
}

static const rmd_route routes[] = {{.method = "*", .pattern = "/*all", .handler = handler}, {0}};
static const rmd_app app = CALLS_APP(.routes = routes);

static int setup(void **state)
{
    (void)state;
    n_done = 0;
    calls_open(&app);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    calls_close();
    return 0;
}

/* The status that a handler's answer gets. */
static int answer(void (*with)(rmd_request *req, rmd_response *res))
{
    fill = with;
    return calls_get("/");
}

static void on_done(void *arg)
{
    CHECK(arg == &n_done);
    n_done++;
}

static int give_nothing_but_a_reset(rmd_writer *out, void *state)
{
    (void)state;
    (void)rmd_write(out, "never", 5);
    return RMD_END;
}

static void give_reset_content(rmd_request *req, rmd_response *res)
{
    if (strcmp(rmd_path(req), "/") == 0)
        rmd_send_ref(res, 205, "text/plain", "never", 5, on_done, &n_done);
    else
        rmd_stream(res, 205, "text/plain", give_nothing_but_a_reset, &n_done, on_done);
}

/* RFC 9110 §15.3.6: no content, and a length that says so, since 205 isn't bodiless by itself. */
static void reset_content_has_no_content(void **state)
{
    (void)state;
    fill = give_reset_content;
    const char *targets[] = {"/", "/stream"};
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(calls_get(targets[i]), 205);
        CHECK_EQ(calls_body.len, 0);
        CHECK(strstr(calls_head.data, "\r\nContent-Length: 0\r\n") != NULL);
        CHECK_EQ(n_done, i + 1);
    }
}

/* ---- text and bytes ---- */

static void give_text(rmd_request *req, rmd_response *res)
{
    (void)req;
    CHECK_EQ(rmd_status(res), 0);
    rmd_text(res, 201, "%s %d%%", "text", 5);
    CHECK_EQ(rmd_status(res), 201);
    CHECK_TEXT(rmd_response_header(res, "content-type"), "text/plain; charset=utf-8");
}

static void give_json(rmd_request *req, rmd_response *res)
{
    rmd_json(res, 200, "{\"a\":%s}", rmd_json_quote(req, "b\"", 2));
}

static void give_bytes(rmd_request *req, rmd_response *res)
{
    (void)req;
    char type[] = "image/png";
    char data[] = "a\0b";
    rmd_send(res, 200, type, data, 3);
    memset(type, 'x', sizeof type - 1); /* both copied */
    memset(data, 'x', sizeof data);
}

static void give_nothing(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_send(res, 200, NULL, NULL, 0);
}

static void give_large(rmd_request *req, rmd_response *res)
{
    (void)req;
    static char large[1 << 20];
    memset(large, 'l', sizeof large);
    rmd_send(res, 200, "a/b", large, sizeof large);
    memset(large, 'x', sizeof large);
}

static void answers_of_text_json_and_bytes_say_what_they_are(void **state)
{
    (void)state;
    CHECK_EQ(answer(give_text), 201);
    CHECK_TEXT(calls_text(), "text 5%");
    CHECK_TEXT(calls_field("Content-Type"), "text/plain; charset=utf-8");
    CHECK_TEXT(calls_field("Content-Length"), "7");
    CHECK_EQ(answer(give_json), 200);
    CHECK_TEXT(calls_text(), "{\"a\":\"b\\\"\"}");
    CHECK_TEXT(calls_field("Content-Type"), "application/json");
    CHECK_EQ(answer(give_bytes), 200);
    CHECK_BYTES(calls_body.data, calls_body.len, "a\0b", 3);
    CHECK_TEXT(calls_field("Content-Type"), "image/png");
    CHECK_EQ(answer(give_nothing), 200);
    CHECK_EQ(calls_body.len, 0);
    CHECK_TEXT(calls_field("Content-Length"), "0");
    CHECK(calls_field("Content-Type") == NULL);
    CHECK_EQ(answer(give_large), 200);
    CHECK_EQ(calls_body.len, 1 << 20);
    CHECK_EQ(strspn(calls_text(), "l"), 1 << 20);
}

/* ---- types: the first ones are kept for all answers ---- */

#define TYPES 80U /* more than are kept; as many are too long for that */
#define TYPE_MAX 96U
#define THREADS 4
#define PROCESSES 200

/* Each is of another length, so that one in another's place is seen. */
static void print_type(char out[TYPE_MAX], unsigned i)
{
    (void)snprintf(out, TYPE_MAX, "a/%0*u", (int)i + 1, i);
}

static void give_type(rmd_request *req, rmd_response *res)
{
    char type[TYPE_MAX];
    print_type(type, (unsigned)atoi(rmd_path(req) + 1));
    if (strcmp(rmd_method(req), "POST") == 0)
        rmd_send(res, 200, type, "x", 1);
    else
        rmd_send_ref(res, 200, type, "x", 1, NULL, NULL);
    memset(type, '-', sizeof type - 1); /* copied in any case */
}

static void each_of_many_types_is_its_answers(void **state)
{
    (void)state;
    char type[TYPE_MAX], target[16];
    fill = give_type;
    for (unsigned i = 0; i < 3 * TYPES; i++) {
        print_type(type, i * 3 % TYPES);
        (void)snprintf(target, sizeof target, "/%u", i * 3 % TYPES);
        CHECK_EQ(calls_send_request(i % 2 ? "GET" : "POST", target, "", NULL), 200);
        CHECK_TEXT(calls_field("Content-Type"), type);
    }
}

static atomic_uint n_ready, n_wrong;

static void *give_all_types(void *arg)
{
    const unsigned self = (unsigned)(uintptr_t)arg;
    char type[TYPE_MAX];
    struct arena arena;
    struct rmd_request req = {.arena = &arena};
    arena_init(&arena, 4096);
    for (atomic_fetch_add(&n_ready, 1); atomic_load(&n_ready) < THREADS;) /* begin together */
        (void)sched_yield();
    for (unsigned i = 0; i < 3 * TYPES; i++) {
        rmd_response res;
        response_begin(&res, &req);
        print_type(type, (self > 0 ? i + self : 6 * TYPES - 1 - i) % TYPES);
        rmd_send(&res, 200, type, "x", 1);
        if (!str_is_equal(res.type, str_of(type)))
            (void)atomic_fetch_add(&n_wrong, 1);
    }
    arena_fini(&arena);
    return NULL;
}

static void give_all_types_from_threads(void)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, give_all_types, (void *)i) != 0)
            abort();
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
}

/* As in the io lane: all of them learn types at the same time, in processes that know none yet. */
static void each_of_many_types_is_its_answers_in_all_threads(void **state)
{
    (void)state;
    unsigned n = getenv("REMUDA_UNDER_VALGRIND") ? 4 : PROCESSES / patience_factor();
    for (unsigned i = 0; i < n; i++) {
        int status;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            give_all_types_from_threads();
            _exit(atomic_load(&n_wrong) > 0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
    }
}

static char referred[100000];

static void give_ref(rmd_request *req, rmd_response *res)
{
    (void)req;
    memset(referred, 'r', sizeof referred);
    rmd_send_ref(res, 200, "a/b", referred, sizeof referred, on_done, &n_done);
    CHECK_EQ(n_done, 0);
}

static void give_small_ref(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_send_ref(res, 200, NULL, "static", 6, NULL, NULL);
}

static void give_ref_then_text(rmd_request *req, rmd_response *res)
{
    give_ref(req, res);
    rmd_text(res, 200, "instead");
    CHECK_EQ(n_done, 1); /* no longer wanted */
}

static void give_two_refs(rmd_request *req, rmd_response *res)
{
    give_ref(req, res);
    rmd_send_ref(res, 200, "a/b", referred, 3, on_done, &n_done);
    CHECK_EQ(n_done, 1);
}

static void give_ref_then_bad_status(rmd_request *req, rmd_response *res)
{
    give_ref(req, res);
    rmd_set_status(res, 42);
}

static void borrowed_bytes_are_paid_for_once(void **state)
{
    (void)state;
    static const struct {
        void (*give)(rmd_request *req, rmd_response *res);
        int status;
        size_t len;
        unsigned n_done;
    } rows[] = {
        {give_ref, 200, sizeof referred, 1},    {give_small_ref, 200, 6, 0},
        {give_ref_then_text, 200, 7, 1},        {give_two_refs, 200, 3, 2},
        {give_ref_then_bad_status, 500, 26, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("row %zu", i);
        n_done = 0;
        CHECK_EQ(answer(rows[i].give), rows[i].status);
        CHECK_EQ(calls_body.len, rows[i].len);
        CHECK_EQ(n_done, rows[i].n_done);
    }
    n_done = 0;
    fill = give_ref;
    CHECK_EQ(calls_send_request("HEAD", "/", "", NULL), 200);
    CHECK_EQ(n_done, 1); /* also when nothing is sent */
}

/* ---- fields ---- */

static void set_fields(rmd_request *req, rmd_response *res)
{
    (void)req;
    CHECK(rmd_response_header(res, "X-One") == NULL);
    CHECK(rmd_response_header(res, "Content-Type") == NULL);
    CHECK_EQ(rmd_set_header(res, "X-One", "1"), 0);
    CHECK_EQ(rmd_add_header(res, "Set-Cookie", "a=1"), 0);
    CHECK_EQ(rmd_add_header(res, "Set-Cookie", "b=2"), 0);
    CHECK_EQ(rmd_set_header(res, "x-one", "2"), 0);
    CHECK_TEXT(rmd_response_header(res, "X-ONE"), "2");
    rmd_text(res, 200, "x"); /* fields set before the answer stay */
    CHECK_EQ(rmd_set_header(res, "X-Two", "3"), 0);
    CHECK_EQ(rmd_set_header(res, "Content-Type", "text/csv"), 0);
    CHECK_TEXT(rmd_response_header(res, "content-type"), "text/csv");
}

static void set_bad_fields(rmd_request *req, rmd_response *res)
{
    (void)req;
    CHECK_EQ(rmd_set_header(res, "X-A", "b\r\nSet-Cookie: c=d"), -EINVAL);
    CHECK_EQ(rmd_add_header(res, "X-A\r\nX-B", "c"), -EINVAL);
    CHECK_EQ(rmd_set_header(res, "", "c"), -EINVAL);
    CHECK_EQ(rmd_set_header(res, "Content-Type", "a\nb"), -EINVAL);
    CHECK_EQ(rmd_set_header(res, "Content-Length", "7"), -EPERM);
    CHECK_EQ(rmd_add_header(res, "transfer-encoding", "chunked"), -EPERM);
    CHECK_EQ(rmd_set_header(res, "Connection", "close"), -EPERM);
    rmd_send(res, 200, "text/html\r\nX-Evil: yes", "body", 4);
}

static void fields_are_set_and_added_and_bad_ones_refused(void **state)
{
    (void)state;
    CHECK_EQ(answer(set_fields), 200);
    CHECK_HAS(calls_head.data, "\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n");
    CHECK_TEXT(calls_field("x-one"), "2");
    CHECK(calls_field("X-One") == NULL);
    CHECK_TEXT(calls_field("X-Two"), "3");
    CHECK_TEXT(calls_field("Content-Type"), "text/csv");
    (void)calls_log();
    CHECK_EQ(answer(set_bad_fields), 200);
    CHECK_HAS_NOT(calls_head.data, "X-A");
    CHECK_HAS_NOT(calls_head.data, "Evil");
    CHECK_HAS_NOT(calls_head.data, "Set-Cookie");
    CHECK(calls_field("Content-Type") == NULL);
    CHECK_TEXT(calls_text(), "body");
    CHECK_HAS(calls_log(), "control character in a Content-Type");
}

/* ---- redirects ---- */

static int redirect_status;
static const char *redirect_to;
static int redirect_rc;

static void redirect(rmd_request *req, rmd_response *res)
{
    (void)req;
    redirect_rc = rmd_redirect(res, redirect_status, redirect_to);
}

static void redirects_have_a_location_and_a_status_for_it(void **state)
{
    (void)state;
    static const int good[] = {301, 302, 303, 307, 308};
    static const int bad[] = {200, 300, 304, 305, 306, 309, 400, 0};
    redirect_to = "/elsewhere?a=b";
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        redirect_status = good[i];
        CHECK_EQ(answer(redirect), good[i]);
        CHECK_EQ(redirect_rc, 0);
        CHECK_TEXT(calls_field("Location"), "/elsewhere?a=b");
        CHECK_TEXT(calls_field("Content-Length"), "0");
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        redirect_status = bad[i];
        CHECK_EQ(answer(redirect), 500);
        CHECK_EQ(redirect_rc, -EINVAL);
        CHECK(calls_field("Location") == NULL);
    }
    redirect_status = 302;
    redirect_to = "/a\r\nX-Evil: b";
    CHECK_EQ(answer(redirect), 500);
    CHECK_EQ(redirect_rc, -EINVAL);
    CHECK_HAS_NOT(calls_head.data, "Evil");
}

/* ---- streams ---- */

static int n_pieces;

static int produce(rmd_writer *out, void *state)
{
    CHECK(state == &n_done);
    switch (n_pieces++) {
    case 0:
        CHECK_EQ(rmd_write(out, "raw\0 ", 5), 0);
        CHECK_EQ(rmd_write(out, "", 0), 0);
        return 0;
    case 1:
        CHECK_EQ(rmd_write_format(out, "%s=%d ", "x", 7), 0);
        return 3600000; /* passed over here */
    default:
        CHECK_EQ(rmd_write_format(out, "%9000d", 1), 0);
        return RMD_END;
    }
}

static int produce_events(rmd_writer *out, void *state)
{
    (void)state;
    CHECK_EQ(rmd_write_event(out, NULL, "plain"), 0);
    CHECK_EQ(rmd_write_event(out, "tick", "a\nb\r\nc\rd"), 0);
    CHECK_EQ(rmd_write_event(out, NULL, ""), 0);
    CHECK_EQ(rmd_write_event(out, NULL, "end\n"), 0);
    CHECK_EQ(rmd_write_event(out, "bad\nevent", "x"), -EINVAL);
    CHECK_EQ(rmd_write_event(out, "bad\revent", "x"), -EINVAL);
    return RMD_END;
}

static void give_stream(rmd_request *req, rmd_response *res)
{
    (void)req;
    n_pieces = 0;
    rmd_stream(res, 200, "text/x", produce, &n_done, on_done);
}

static void give_events(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_stream(res, 200, "text/event-stream", produce_events, NULL, NULL);
}

static void give_stream_then_error(rmd_request *req, rmd_response *res)
{
    give_stream(req, res);
    rmd_error(res, 503);
    CHECK_EQ(n_done, 1);
}

static void streams_are_written_piece_by_piece(void **state)
{
    (void)state;
    CHECK_EQ(answer(give_stream), 200);
    CHECK_EQ(calls_body.len, 5 + 4 + 9000);
    CHECK_BYTES(calls_body.data, 9, "raw\0 x=7 ", 9);
    CHECK_TEXT(calls_field("Content-Type"), "text/x");
    CHECK_TEXT(calls_field("Transfer-Encoding"), "chunked");
    CHECK_EQ(n_done, 1);
    n_done = 0;
    CHECK_EQ(answer(give_stream_then_error), 503);
    CHECK_EQ(n_pieces, 0); /* never asked */
}

/* WHATWG HTML §9.2.6: a line each, an empty line behind the event */
static void events_keep_their_lines(void **state)
{
    (void)state;
    CHECK_EQ(answer(give_events), 200);
    CHECK_TEXT(calls_text(), "data: plain\n\n"
                             "event: tick\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
                             "data: \n\n"
                             "data: end\ndata: \n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_of_many_types_is_its_answers_in_all_threads), /* knows none yet */
        cmocka_unit_test_setup_teardown(answers_of_text_json_and_bytes_say_what_they_are, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_of_many_types_is_its_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_content_has_no_content, setup, teardown),
        cmocka_unit_test_setup_teardown(borrowed_bytes_are_paid_for_once, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_are_set_and_added_and_bad_ones_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(redirects_have_a_location_and_a_status_for_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(streams_are_written_piece_by_piece, setup, teardown),
        cmocka_unit_test_setup_teardown(events_keep_their_lines, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
