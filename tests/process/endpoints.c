/* Every endpoint of examples/demo, as its table promises. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/server.h"

static struct server *server;
static struct reply r;

static void ask(const char *request)
{
    struct client *c = client_to(server);
    client_exchange(c, &r, request);
    client_close(c);
}

static void get(const char *target)
{
    char request[512];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", target);
    ask(request);
}

static void root_is_six_bytes_of_text(void **state)
{
    (void)state;
    get("/");
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "hello\n");
    CHECK_HAS(reply_field(&r, "Content-Type"), "text/plain");
    CHECK_TEXT(reply_field(&r, "Content-Length"), "6");
}

static void json_is_one_object(void **state)
{
    (void)state;
    get("/json");
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "{\"message\":\"hello\"}");
    CHECK_HAS(reply_field(&r, "Content-Type"), "application/json");
}

static void hello_greets_by_name(void **state)
{
    (void)state;
    get("/hello/ann");
    CHECK_TEXT(r.body.data, "hello, ann\n");
    get("/hello/J%C3%BCrgen%20B");
    CHECK_TEXT(r.body.data, "hello, J\xc3\xbcrgen B\n");
}

static void echo_gives_body_and_type_back_for_any_method(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE", "GET"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        char request[256];
        (void)snprintf(request, sizeof request,
                       "%s /echo HTTP/1.1\r\nHost: test\r\nContent-Type: x/y; z=1\r\n"
                       "Content-Length: 4\r\n\r\na\nb\n",
                       methods[i]);
        check_context("%s /echo", methods[i]);
        ask(request);
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, "a\nb\n");
        CHECK_TEXT(reply_field(&r, "Content-Type"), "x/y; z=1");
    }
}

static void headers_are_given_as_received(void **state)
{
    (void)state;
    ask("GET /headers HTTP/1.1\r\nHost: test\r\nX-One: 1\r\nx-two:  two words \r\nX-One: "
        "3\r\n\r\n");
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "Host: test\nX-One: 1\nx-two: two words\nX-One: 3\n");
}

static void info_tells_about_process_and_request(void **state)
{
    (void)state;
    char value[256];
    ask("GET /info?a=b%20c&d HTTP/1.1\r\nHost: test\r\nX-Request-ID: my-trace.1\r\n\r\n");
    CHECK_EQ(r.status, 200);
    json_must(r.body.data, r.body.len);
    long slot = json_number(r.body.data, "slot");
    CHECK(slot == 0 || slot == 1);
    CHECK_EQ(json_number(r.body.data, "pid"), server_worker_pid(server, (int)slot));
    CHECK_EQ(json_number(r.body.data, "generation"), 1);
    static const char *const expected[][2] = {
        {"role", "web"},   {"trace_id", "my-trace.1"}, {"method", "GET"},
        {"path", "/info"}, {"query", "a=b%20c&d"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        CHECK(json_member(r.body.data, expected[i][0], value, sizeof value));
        CHECK_TEXT(value, expected[i][1]);
    }
    CHECK(json_member(r.body.data, "peer", value, sizeof value));
    CHECK_HAS(value, "127.0.0.1:");
    CHECK(json_member(r.body.data, "headers", value, sizeof value));
    CHECK_HAS(value, "\"Host\":\"test\"");
}

static void trace_ids_are_made_where_the_client_gives_none_or_a_bad_one(void **state)
{
    (void)state;
    char first[256], second[256];
    get("/info");
    CHECK(json_member(r.body.data, "trace_id", first, sizeof first));
    CHECK_EQ(strlen(first), 32);
    CHECK_EQ(strspn(first, "0123456789abcdef"), 32);
    ask("GET /info HTTP/1.1\r\nHost: test\r\nX-Request-ID: not \"allowed\"\r\n\r\n");
    CHECK(json_member(r.body.data, "trace_id", second, sizeof second));
    CHECK_EQ(strspn(second, "0123456789abcdef"), 32);
    CHECK(strcmp(first, second) != 0);
}

static void bytes_gives_as_many_as_asked_for(void **state)
{
    (void)state;
    static const unsigned counts[] = {0, 1, 65536, 3000001};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        char target[64];
        (void)snprintf(target, sizeof target, "/bytes?n=%u", counts[i]);
        get(target);
        CHECK_EQ(r.status, 200);
        CHECK_EQ(r.body.len, counts[i]);
        CHECK(!r.is_chunked);
    }
}

static void numbers_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "/bytes?n=-1",  "/bytes?n=x",    "/bytes?n=99999999999999999",
        "/stream?n=-5", "/sleep?ms=abc", "/block?ms=-1"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        check_context("%s", targets[i]);
        get(targets[i]);
        CHECK_EQ(r.status, 400);
    }
}

static void stream_gives_its_chunks(void **state)
{
    (void)state;
    get("/stream?n=5&ms=2");
    CHECK_EQ(r.status, 200);
    CHECK(r.is_chunked);
    CHECK(r.chunks >= 1 && r.chunks <= 5);
    unsigned lines = 0;
    for (const char *at = strchr(r.body.data, '\n'); at; at = strchr(at + 1, '\n'))
        lines++;
    CHECK_EQ(lines, 5);
}

static void sleep_and_block_answer_when_they_are_done(void **state)
{
    (void)state;
    get("/sleep?ms=20");
    CHECK_TEXT(r.body.data, "slept 20\n");
    get("/block?ms=20");
    CHECK_EQ(r.status, 200);
}

static void unknown_paths_get_the_error_page_of_the_app(void **state)
{
    (void)state;
    get("/nowhere?x");
    CHECK_EQ(r.status, 404);
    CHECK(reply_field(&r, "Content-Type") != NULL);
    CHECK(r.body.len > 0);
}

static void every_answer_has_a_date(void **state)
{
    (void)state;
    static const char *const targets[] = {"/", "/json", "/nowhere", "/stream?n=1&ms=0"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        get(targets[i]);
        const char *date =
            reply_field(&r, "Date"); /* RFC 9110 §5.6.7: Sun, 06 Nov 1994 08:49:37 GMT */
        CHECK(date != NULL);
        CHECK_EQ(strlen(date), 29);
        CHECK_TEXT(date + 25, " GMT");
        CHECK(date[3] == ',' && date[16] == ' ' && date[19] == ':');
        CHECK_TEXT(reply_field(&r, "Server"), "remuda");
    }
}

static int start(void **state)
{
    (void)server_setup_group(state);
    server = server_start_app(REMUDA_DEMO_SO, NULL);
    return 0;
}

static int stop(void **state)
{
    reply_fini(&r);
    return server_teardown(state);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SERVER_SHARED_TEST(root_is_six_bytes_of_text),
        SERVER_SHARED_TEST(json_is_one_object),
        SERVER_SHARED_TEST(hello_greets_by_name),
        SERVER_SHARED_TEST(echo_gives_body_and_type_back_for_any_method),
        SERVER_SHARED_TEST(headers_are_given_as_received),
        SERVER_SHARED_TEST(info_tells_about_process_and_request),
        SERVER_SHARED_TEST(trace_ids_are_made_where_the_client_gives_none_or_a_bad_one),
        SERVER_SHARED_TEST(bytes_gives_as_many_as_asked_for),
        SERVER_SHARED_TEST(numbers_that_make_no_sense_are_refused),
        SERVER_SHARED_TEST(stream_gives_its_chunks),
        SERVER_SHARED_TEST(sleep_and_block_answer_when_they_are_done),
        SERVER_SHARED_TEST(unknown_paths_get_the_error_page_of_the_app),
        SERVER_SHARED_TEST(every_answer_has_a_date),
    };
    server_choose_tests();
    return cmocka_run_group_tests(tests, start, stop);
}
