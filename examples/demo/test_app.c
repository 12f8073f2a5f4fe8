/* Unit tests of every endpoint of the demo, without a server: see remuda_test.h. */
#define _DEFAULT_SOURCE /* setrlimit, also under -std=c11 */

#include <remuda_test.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((size_t)1024 * 1024)

static const rmd_reply *get(void **state, const char *target)
{
    return rmd_test_request(*state, "GET", target, NULL, NULL, 0);
}

static void assert_answer(const rmd_reply *reply, int status, const char *type, const char *body)
{
    assert_int_equal(reply->status, status);
    const char *sent = rmd_reply_header(reply, "Content-Type");
    assert_non_null(sent);
    assert_string_equal(sent, type);
    assert_int_equal(reply->body_len, strlen(body));
    assert_string_equal(reply->body, body);
}

#define TEXT "text/plain; charset=utf-8"

/* ---- answers from memory ------------------------------------------------------------------ */

static void root_answers_six_bytes(void **state)
{
    const rmd_reply *reply = get(state, "/");
    assert_answer(reply, 200, TEXT, "hello\n");
    assert_string_equal(rmd_reply_header(reply, "Content-Length"), "6");
}

static void root_answers_head_without_a_body(void **state)
{
    const rmd_reply *reply = rmd_test_request(*state, "HEAD", "/", NULL, NULL, 0);
    assert_int_equal(reply->status, 200);
    assert_int_equal(reply->body_len, 0);
    assert_string_equal(rmd_reply_header(reply, "Content-Length"), "6");
}

static void json_answers_a_message(void **state)
{
    assert_answer(get(state, "/json"), 200, "application/json", "{\"message\":\"hello\"}");
}

static void hello_greets_by_name(void **state)
{
    assert_answer(get(state, "/hello/ann"), 200, TEXT, "hello, ann\n");
}

static void hello_takes_its_greeting_from_app_config(void **state)
{
    assert_int_equal(rmd_test_set_config(*state, "greeting", "good day"), 0);
    assert_answer(get(state, "/hello/ann"), 200, TEXT, "good day, ann\n");
    assert_int_equal(rmd_test_set_config(*state, "greeting", "hello"), 0);
}

static void echo_returns_body_and_type(void **state)
{
    const rmd_reply *reply =
        rmd_test_request(*state, "POST", "/echo", "Content-Type: text/x-odd\r\n", "a\0b", 3);
    assert_int_equal(reply->status, 200);
    assert_string_equal(rmd_reply_header(reply, "Content-Type"), "text/x-odd");
    assert_int_equal(reply->body_len, 3);
    assert_memory_equal(reply->body, "a\0b", 3);
}

static void echo_takes_any_method(void **state)
{
    const rmd_reply *reply = rmd_test_request(*state, "DELETE", "/echo", NULL, "x", 1);
    assert_int_equal(reply->status, 200);
    assert_string_equal(reply->body, "x");
}

static void echo_of_nothing_is_empty_and_has_no_type(void **state)
{
    const rmd_reply *reply = get(state, "/echo");
    assert_int_equal(reply->status, 200);
    assert_int_equal(reply->body_len, 0);
    assert_null(rmd_reply_header(reply, "Content-Type"));
}

static void echo_decodes_chunks(void **state)
{
    static const char octets[] =
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    const rmd_reply *reply = rmd_test_raw(*state, octets, sizeof(octets) - 1);
    assert_int_equal(reply->status, 200);
    assert_string_equal(reply->body, "abcde");
}

static void bytes_answers_as_many_as_asked(void **state)
{
    static const size_t sizes[] = {0, 1, 65536, 64 * MIB};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char target[64];
        snprintf(target, sizeof(target), "/bytes?n=%zu", sizes[i]);
        const rmd_reply *reply = get(state, target);
        assert_int_equal(reply->status, 200);
        assert_int_equal(reply->body_len, sizes[i]);
        assert_string_equal(rmd_reply_header(reply, "Content-Length"),
                            target + strlen("/bytes?n="));
    }
}

/* ---- what the request looked like --------------------------------------------------------- */

static void headers_lists_fields_as_received(void **state)
{
    const rmd_reply *reply = rmd_test_request(
        *state, "PUT", "/headers", "X-One: 1\r\nx-two:  2 \r\nX-One: again\r\n", NULL, 0);
    assert_int_equal(reply->status, 200);
    assert_string_equal(rmd_reply_header(reply, "Content-Type"), TEXT);
    assert_non_null(strstr(reply->body, "X-One: 1\nx-two: 2\nX-One: again\n"));
    assert_non_null(strstr(reply->body, "Host: "));
}

static void info_tells_process_and_request(void **state)
{
    const rmd_reply *reply =
        rmd_test_request(*state, "GET", "/info?a=1&b=%22", "X-Request-ID: abc-1\r\n", NULL, 0);
    assert_int_equal(reply->status, 200);
    assert_string_equal(rmd_reply_header(reply, "Content-Type"), "application/json");
    char start[64];
    snprintf(start, sizeof(start), "{\"pid\":%d,\"role\":\"test\",\"slot\":", (int)getpid());
    assert_memory_equal(reply->body, start, strlen(start));
    assert_non_null(strstr(reply->body, ",\"generation\":"));
    assert_non_null(strstr(reply->body, ",\"trace_id\":\"abc-1\",\"peer\":\""));
    assert_non_null(strstr(reply->body, "\",\"scheme\":\"http\",\"host\":\"localhost\","
                                        "\"method\":\"GET\",\"path\":\"/info\","
                                        "\"query\":\"a=1&b=%22\",\"headers\":{"));
    assert_non_null(strstr(reply->body, "\"X-Request-ID\":\"abc-1\""));
    assert_string_equal(reply->body + reply->body_len - 3, "}}\n");
}

static void info_joins_fields_of_one_name_and_quotes_them(void **state)
{
    const rmd_reply *reply = rmd_test_request(
        *state, "GET", "/info", "X-Odd: \"a\"\r\nx-other: 1\r\nx-odd: \\b\r\n", NULL, 0);
    assert_int_equal(reply->status, 200);
    assert_non_null(strstr(reply->body, "\"X-Odd\":\"\\\"a\\\", \\\\b\",\"x-other\":\"1\""));
    assert_null(strstr(reply->body, "\"x-odd\""));
}

/* A client may write what it likes; only proxies that are trusted are believed. */
static void info_says_what_the_client_asked_for(void **state)
{
    static const char octets[] = "GET http://shop.example:81/info HTTP/1.1\r\n"
                                 "Host: shop.example:81\r\nX-Forwarded-Proto: https\r\n"
                                 "X-Forwarded-For: 192.0.2.7\r\n\r\n";
    const rmd_reply *reply = rmd_test_raw(*state, octets, sizeof(octets) - 1);
    assert_int_equal(reply->status, 200);
    assert_non_null(
        strstr(reply->body, "\"scheme\":\"http\",\"host\":\"shop.example:81\",\"method\""));
    assert_null(strstr(reply->body, "\"peer\":\"192.0.2.7"));
}

/* ---- bodies ------------------------------------------------------------------------------- */

#define MULTIPART "Content-Type: multipart/form-data; boundary=XX\r\n"

static void upload_tells_what_the_parts_are(void **state)
{
    static const char form[] =
        "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n"
        "--XX\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a%22b.png\"\r\n"
        "Content-Type: image/png\r\n\r\n\x89PNG\0\r\n--XX--\r\n";
    const rmd_reply *reply =
        rmd_test_request(*state, "POST", "/upload", MULTIPART, form, sizeof(form) - 1);
    assert_answer(reply, 200, "application/json",
                  "[{\"bytes\":5,\"name\":\"note\",\"type\":\"text/plain\"},"
                  "{\"bytes\":5,\"name\":\"photo\",\"filename\":\"a\\\"b.png\","
                  "\"type\":\"image/png\"}]\n");
    reply = rmd_test_request(*state, "POST", "/upload", MULTIPART, "--XX--\r\n", 8);
    assert_answer(reply, 200, "application/json", "[]\n");
}

static void upload_takes_files_that_memory_would_not(void **state)
{
    static const char head[] = "--XX\r\nContent-Disposition: form-data; name=\"f\"; "
                               "filename=\"big\"\r\n\r\n";
    static const char end[] = "\r\n--XX--\r\n";
    size_t len = sizeof(head) - 1 + 3 * MIB + sizeof(end) - 1;
    char *form = malloc(len);
    assert_non_null(form);
    memset(form, 'x', len);
    memcpy(form, head, sizeof(head) - 1);
    memcpy(form + len - (sizeof(end) - 1), end, sizeof(end) - 1);
    const rmd_reply *reply = rmd_test_request(*state, "POST", "/upload", MULTIPART, form, len);
    free(form);
    assert_answer(reply, 200, "application/json",
                  "[{\"bytes\":3145728,\"name\":\"f\",\"filename\":\"big\","
                  "\"type\":\"text/plain\"}]\n");
}

static void upload_refuses_what_is_no_whole_form(void **state)
{
    static const char cut[] = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhello\r\n";
    const rmd_reply *reply =
        rmd_test_request(*state, "POST", "/upload", MULTIPART, cut, sizeof(cut) - 1);
    assert_int_equal(reply->status, 400);
    assert_non_null(strstr(reply->body, "multipart/form-data"));
    reply = rmd_test_request(*state, "POST", "/upload", "Content-Type: text/plain\r\n", "hello", 5);
    assert_int_equal(reply->status, 400);
    assert_int_equal(get(state, "/upload")->status, 405);
}

static void count_counts_bodies_of_every_kind(void **state)
{
    assert_answer(get(state, "/count"), 200, TEXT, "counted 0\n");
    assert_answer(rmd_test_request(*state, "PUT", "/count", NULL, "hello", 5), 200, TEXT,
                  "counted 5\n");
    static const char octets[] =
        "POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_answer(rmd_test_raw(*state, octets, sizeof(octets) - 1), 200, TEXT, "counted 5\n");
    char *large = calloc(1, 5 * MIB);
    assert_non_null(large);
    const rmd_reply *reply = rmd_test_request(*state, "POST", "/count", NULL, large, 5 * MIB);
    free(large);
    assert_answer(reply, 200, TEXT, "counted 5242880\n");
}

/* ---- what the client would like ----------------------------------------------------------- */

#define ENGLISH "A crew keeps its horses ready.\n"
#define GERMAN "Eine Mannschaft hat ihre Pferde bereit.\n"

static const rmd_reply *get_note(void **state, const char *fields)
{
    return rmd_test_request(*state, "GET", "/note", fields, NULL, 0);
}

static void note_speaks_the_clients_language(void **state)
{
    static const struct {
        const char *fields, *language, *text, *etag;
    } rows[] = {
        {"", "en", ENGLISH, "\"note-en\""},
        {"Accept-Language: de\r\n", "de", GERMAN, "\"note-de\""},
        {"Accept-Language: en;q=0.5, de;q=0.8\r\n", "de", GERMAN, "\"note-de\""},
        {"Accept-Language: fr\r\n", "en", ENGLISH, "\"note-en\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const rmd_reply *reply = get_note(state, rows[i].fields);
        assert_answer(reply, 200, TEXT, rows[i].text);
        assert_string_equal(rmd_reply_header(reply, "Content-Language"), rows[i].language);
        assert_string_equal(rmd_reply_header(reply, "ETag"), rows[i].etag);
        assert_string_equal(rmd_reply_header(reply, "Vary"), "Accept-Language");
    }
}

static void note_is_not_sent_to_who_has_it(void **state)
{
    const rmd_reply *reply = get_note(state, "If-None-Match: \"note-en\"\r\n");
    assert_int_equal(reply->status, 304);
    assert_int_equal(reply->body_len, 0);
    assert_string_equal(rmd_reply_header(reply, "ETag"), "\"note-en\"");
    assert_string_equal(rmd_reply_header(reply, "Vary"), "Accept-Language");
    reply = get_note(state, "If-None-Match: \"note-en\"\r\nAccept-Language: de\r\n");
    assert_answer(reply, 200, TEXT, GERMAN); /* it has the other one */
    assert_int_equal(get_note(state, "If-Match: \"note-fr\"\r\n")->status, 412);
}

static void note_comes_in_parts_if_asked(void **state)
{
    const rmd_reply *reply = get_note(state, "Range: bytes=2-5\r\n");
    assert_answer(reply, 206, TEXT, "crew");
    assert_string_equal(rmd_reply_header(reply, "Content-Range"), "bytes 2-5/31");
    reply = get_note(state, "Range: bytes=2-5\r\nIf-Range: \"note-de\"\r\n");
    assert_answer(reply, 200, TEXT, ENGLISH);
    reply = get_note(state, "Range: bytes=31-\r\n");
    assert_int_equal(reply->status, 416);
    assert_string_equal(rmd_reply_header(reply, "Content-Range"), "bytes */31");
}

/* ---- answers that take their time --------------------------------------------------------- */

static void later_answers_from_another_thread(void **state)
{
    assert_answer(get(state, "/later?ms=1"), 200, TEXT, "later 1\n");
    assert_answer(get(state, "/later?ms=0"), 200, TEXT, "later 0\n");
    const rmd_reply *reply = rmd_test_request(*state, "HEAD", "/later?ms=0", NULL, NULL, 0);
    assert_int_equal(reply->status, 200);
    assert_int_equal(reply->body_len, 0);
}

static void stream_sends_its_chunks_and_ends(void **state)
{
    const rmd_reply *reply = get(state, "/stream?n=3&ms=1000");
    assert_answer(reply, 200, TEXT, "chunk 1 of 3\nchunk 2 of 3\nchunk 3 of 3\n");
    assert_string_equal(rmd_reply_header(reply, "Transfer-Encoding"), "chunked");
    assert_null(rmd_reply_header(reply, "Content-Length"));
}

static void stream_of_no_chunks_is_empty(void **state)
{
    assert_answer(get(state, "/stream?n=0"), 200, TEXT, "");
}

static void stream_can_be_long(void **state)
{
    const rmd_reply *reply = get(state, "/stream?n=10000&ms=0");
    assert_int_equal(reply->status, 200);
    static const char last[] = "chunk 10000 of 10000\n";
    assert_true(reply->body_len > sizeof(last));
    assert_string_equal(reply->body + reply->body_len - strlen(last), last);
}

static void events_come_in_the_format_of_event_streams(void **state)
{
    const rmd_reply *reply = get(state, "/events?n=2");
    assert_answer(reply, 200, "text/event-stream",
                  "event: tick\ndata: 1\n\nevent: tick\ndata: 2\n\n");
    assert_string_equal(rmd_reply_header(reply, "Cache-Control"), "no-store");
}

static void sleep_says_how_long(void **state)
{
    assert_answer(get(state, "/sleep?ms=1"), 200, TEXT, "slept 1\n");
}

static void block_says_how_long(void **state)
{
    assert_answer(get(state, "/block?ms=1"), 200, TEXT, "blocked 1\n");
}

/* The crash is the answer: it must take the process, so it gets one of its own. */
static void inline_crash_takes_the_process(void **state)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer's, or the test library's, would catch it */
        if (!freopen("/dev/null", "w", stderr))
            _exit(0);
        (void)get(state, "/inline-crash");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- mistakes ----------------------------------------------------------------------------- */

static void numbers_out_of_range_are_refused_and_named(void **state)
{
    static const struct {
        const char *target, *body;
    } rows[] = {
        {"/bytes?n=67108865", "n must be a whole number from 0 to 67108864\n"},
        {"/bytes?n=-1", "n must be a whole number from 0 to 67108864\n"},
        {"/bytes?n=", "n must be a whole number from 0 to 67108864\n"},
        {"/bytes?n=99999999999999999999", "n must be a whole number from 0 to 67108864\n"},
        {"/stream?n=x", "n must be a whole number from 0 to 1000000\n"},
        {"/stream?n=1&ms=1.5", "ms must be a whole number from 0 to 300000\n"},
        {"/events?n=1000001", "n must be a whole number from 0 to 1000000\n"},
        {"/later?ms=300001", "ms must be a whole number from 0 to 300000\n"},
        {"/sleep?ms=300001", "ms must be a whole number from 0 to 300000\n"},
        {"/block?ms=0x10", "ms must be a whole number from 0 to 300000\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_answer(get(state, rows[i].target), 400, TEXT, rows[i].body);
}

static void burn_says_how_much(void **state)
{
    assert_answer(get(state, "/burn?ms=2"), 200, TEXT, "burned 2\n");
    assert_answer(get(state, "/auto?wait=1&burn=1"), 200, TEXT, "waited 1, burned 1\n");
}

static void alloc_says_how_much(void **state)
{
    assert_answer(get(state, "/alloc?mb=2"), 200, TEXT, "touched 2\n");
    assert_answer(get(state, "/alloc?mb=0"), 200, TEXT, "touched 0\n");
}

/* Examples of FIPS 180-4, and lengths at which the padding takes a block more. */
static void digest_is_sha_256(void **state)
{
    static const struct {
        const char *body, *answer;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0\n"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3\n"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1 56\n"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318 55\n"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb 64\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const rmd_reply *reply =
            rmd_test_request(*state, "POST", "/digest", NULL, rows[i].body, strlen(rows[i].body));
        assert_answer(reply, 200, TEXT, rows[i].answer);
    }
}

static void compute_info_tells_limits(void **state)
{
    const rmd_reply *reply = get(state, "/compute/info?a=1");
    assert_int_equal(reply->status, 200);
    assert_non_null(strstr(reply->body, "\"query\":\"a=1\""));
    assert_non_null(strstr(reply->body, "\"limits\":{\"address_space\":"));
    assert_non_null(strstr(reply->body, "\"descriptors\":"));
}

static void unknown_paths_get_the_error_page_of_the_app(void **state)
{
    const rmd_reply *reply =
        rmd_test_request(*state, "GET", "/no%22thing", "X-Request-ID: abc-2\r\n", NULL, 0);
    assert_answer(reply, 404, "application/json",
                  "{\"status\":404,\"path\":\"/no\\\"thing\",\"trace_id\":\"abc-2\"}\n");
}

static void wrong_methods_get_it_with_allow(void **state)
{
    const rmd_reply *reply = rmd_test_request(*state, "POST", "/json", NULL, NULL, 0);
    assert_int_equal(reply->status, 405);
    assert_string_equal(rmd_reply_header(reply, "Allow"), "GET, HEAD, OPTIONS");
    assert_non_null(strstr(reply->body, "\"status\":405"));
}

/* ---- filters ------------------------------------------------------------------------------ */

static void filters_time_the_routes_of_their_group_only(void **state)
{
    const char *timing = rmd_reply_header(get(state, "/sleep?ms=2"), "Server-Timing");
    assert_non_null(timing);
    double ms = 0;
    assert_int_equal(sscanf(timing, "handler;dur=%lf", &ms), 1);
    assert_true(ms > 0);
    assert_null(rmd_reply_header(get(state, "/"), "Server-Timing"));
}

static void filters_also_time_refusals_of_the_handler(void **state)
{
    assert_non_null(rmd_reply_header(get(state, "/sleep?ms=x"), "Server-Timing"));
}

static int start(void **state)
{
    *state = rmd_test_new(&rmd_app_entry);
    return *state ? 0 : -1;
}

static int stop(void **state)
{
    rmd_test_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_answers_six_bytes),
        cmocka_unit_test(root_answers_head_without_a_body),
        cmocka_unit_test(json_answers_a_message),
        cmocka_unit_test(hello_greets_by_name),
        cmocka_unit_test(hello_takes_its_greeting_from_app_config),
        cmocka_unit_test(echo_returns_body_and_type),
        cmocka_unit_test(echo_takes_any_method),
        cmocka_unit_test(echo_of_nothing_is_empty_and_has_no_type),
        cmocka_unit_test(echo_decodes_chunks),
        cmocka_unit_test(bytes_answers_as_many_as_asked),
        cmocka_unit_test(headers_lists_fields_as_received),
        cmocka_unit_test(info_tells_process_and_request),
        cmocka_unit_test(info_joins_fields_of_one_name_and_quotes_them),
        cmocka_unit_test(info_says_what_the_client_asked_for),
        cmocka_unit_test(upload_tells_what_the_parts_are),
        cmocka_unit_test(upload_takes_files_that_memory_would_not),
        cmocka_unit_test(upload_refuses_what_is_no_whole_form),
        cmocka_unit_test(count_counts_bodies_of_every_kind),
        cmocka_unit_test(note_speaks_the_clients_language),
        cmocka_unit_test(note_is_not_sent_to_who_has_it),
        cmocka_unit_test(note_comes_in_parts_if_asked),
        cmocka_unit_test(later_answers_from_another_thread),
        cmocka_unit_test(stream_sends_its_chunks_and_ends),
        cmocka_unit_test(stream_of_no_chunks_is_empty),
        cmocka_unit_test(stream_can_be_long),
        cmocka_unit_test(events_come_in_the_format_of_event_streams),
        cmocka_unit_test(sleep_says_how_long),
        cmocka_unit_test(block_says_how_long),
        cmocka_unit_test(burn_says_how_much),
        cmocka_unit_test(alloc_says_how_much),
        cmocka_unit_test(digest_is_sha_256),
        cmocka_unit_test(compute_info_tells_limits),
        cmocka_unit_test(inline_crash_takes_the_process),
        cmocka_unit_test(numbers_out_of_range_are_refused_and_named),
        cmocka_unit_test(unknown_paths_get_the_error_page_of_the_app),
        cmocka_unit_test(wrong_methods_get_it_with_allow),
        cmocka_unit_test(filters_time_the_routes_of_their_group_only),
        cmocka_unit_test(filters_also_time_refusals_of_the_handler),
    };
    return cmocka_run_group_tests_name("demo", tests, start, stop);
}
