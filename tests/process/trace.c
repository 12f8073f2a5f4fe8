/* The identity of a request: what the client gave, where that is valid, or one made here; and the
 * same one in the answer, in the app and in the access log, whatever becomes of the request. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

static struct reply r;

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "traceparent: 00-" TRACE "-00f067aa0ba902b7-01\r\n"
#define ID64 "0123456789012345678901234567890123456789012345678901234567890123"

static struct server *start(const char *setting)
{
    return server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "accesslog=-", "--set",
                            "access_log_format=<%(s)s %({trace_id}x)s>", "--set", setting, NULL);
}

static bool is_made_here(const char *id)
{
    return strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32 && strspn(id, "0") < 32;
}

/* The next line of the access log must have the answer's status and this identity. */
static void check_logged(struct server *s, const char *id)
{
    char expected[256];
    const char *line = lines_wait_text(&s->out, "<", patience_until(PATIENCE_MS));
    (void)snprintf(expected, sizeof expected, "<%d %s>", r.status, id);
    CHECK(line != NULL);
    CHECK_TEXT(line, expected);
}

/* Of the answer in r: its identity, which must be there once and logged as such. */
static const char *identity_of(struct server *s, const char *field)
{
    static char id[256];
    const char *value = reply_field(&r, field);
    CHECK_SAYING(value, "no %s in:\n%s", field, r.head.data);
    (void)snprintf(id, sizeof id, "%s", value);
    check_logged(s, id);
    return id;
}

static const struct {
    const char *fields;
    const char *id; /* NULL: one made here */
} rows[] = {
    {"", NULL},
    {"X-Request-ID: abc\r\n", "abc"},
    {"x-request-id: A.b_c-d=9\r\n", "A.b_c-d=9"},
    {"X-Request-ID:  padded \t\r\n", "padded"},
    {"X-Request-ID: " ID64 ID64 "\r\n", ID64 ID64},
    {"X-Request-ID: " ID64 ID64 "9\r\n", NULL},
    {"X-Request-ID:\r\n", NULL},
    {"X-Request-ID: two words\r\n", NULL},
    {"X-Request-ID: a\"b\r\n", NULL},
    {"X-Request-ID: a\xc3\xa4\r\n", NULL},
    {"X-Request-ID: a,b\r\n", NULL},
    {"X-Request-ID: abc\r\nX-Request-ID: abd\r\n", NULL},
    {"X-Request-ID: abc\r\nX-Request-ID: abc\r\n", NULL},
    {PARENT, TRACE},
    {PARENT "X-Request-ID: abc\r\n", TRACE},
    {"X-Request-ID: abc\r\n" PARENT, TRACE},
    {PARENT PARENT, NULL},
    {PARENT PARENT "X-Request-ID: abc\r\n", "abc"},
    {"traceparent: 00-" TRACE "-00f067aa0ba902b7-01-more\r\n", NULL},
    {"traceparent: 01-" TRACE "-00f067aa0ba902b7-01-more\r\n", TRACE},
    {"traceparent: ff-" TRACE "-00f067aa0ba902b7-01\r\n", NULL},
    {"traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n", NULL},
    {"traceparent: 00-" TRACE "-0000000000000000-01\r\n", NULL},
    {"traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n", NULL},
    {"traceparent: 00-" TRACE "-00f067aa0ba902b7\r\n", NULL},
    {"traceparent: nonsense\r\nX-Request-ID: abc\r\n", "abc"},
};

static void identity_is_the_same_in_answer_app_and_log(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    struct client *c = client_to(s);
    char before[64] = "";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char request[1024], seen[256];
        check_context("%s", rows[i].fields);
        (void)snprintf(request, sizeof request, "GET /info HTTP/1.1\r\nHost: a\r\n%s\r\n",
                       rows[i].fields);
        client_exchange(c, &r, request);
        CHECK_EQ(r.status, 200);
        CHECK(json_member(r.body.data, "trace_id", seen, sizeof seen));
        CHECK_TEXT(identity_of(s, "X-Request-ID"), seen);
        if (rows[i].id) {
            CHECK_TEXT(seen, rows[i].id);
        } else {
            CHECK_SAYING(is_made_here(seen), "%s", seen);
            CHECK(strcmp(seen, before) != 0);
            (void)snprintf(before, sizeof before, "%.63s", seen);
        }
    }
}

/* Refused before there is a request, while it comes, and by the app: each answer has one. */
static void errors_have_an_identity_too(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int status;
        const char *id; /* NULL: of a head that was refused one made here will do */
    } errors[] = {
        {"NONSENSE\r\n\r\n", 400, NULL},
        {"GET / HTTP/1.1\r\nX-Request-ID: abc\r\n\r\n", 400, NULL}, /* no Host */
        {"GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-ID: abc\r\n\r\n", 404, "abc"},
        {"DELETE / HTTP/1.1\r\nHost: a\r\n" PARENT "\r\n", 405, TRACE},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\nX-Request-ID: abc\r\n\r\n", 413,
         "abc"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Request-ID: abc\r\n\r\n"
         "fff\r\n",
         413, "abc"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\nX-Request-ID: abc\r\n\r\nx", 408,
         "abc"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX-Slow", 408, NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: x\r\nX-Request-ID: abc\r\n\r\n", 417, NULL},
        {"GET / HTTP/2.0\r\n\r\n", 505, NULL},
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, NULL},
    };
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "accesslog=-",
                                        "--set", "access_log_format=<%(s)s %({trace_id}x)s>",
                                        "--set", "limit_request_body=1000", "--set",
                                        "body_timeout=1s", "--set", "header_timeout=1s", NULL);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        check_context("%s", errors[i].request);
        struct client *c = client_to(s);
        client_exchange(c, &r, errors[i].request);
        CHECK_EQ(r.status, errors[i].status);
        const char *id = identity_of(s, "X-Request-ID");
        if (errors[i].id)
            CHECK_TEXT(id, errors[i].id);
        else
            CHECK_SAYING(is_made_here(id) || strcmp(id, "abc") == 0, "%s", id);
        client_close(c);
    }
}

static void streams_and_heads_have_an_identity_too(void **state)
{
    (void)state;
    static const char *const lines[] = {"GET /stream?n=1&ms=0", "HEAD /", "GET /later?ms=1",
                                        "POST /count", "GET /sleep?ms=1"};
    struct server *s = start("strict=no");
    struct client *c = client_to(s);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char request[256];
        check_context("%s", lines[i]);
        (void)snprintf(request, sizeof request,
                       "%s HTTP/1.1\r\nHost: a\r\nX-Request-ID: number-%zu\r\n\r\n", lines[i], i);
        client_exchange(c, &r, request);
        CHECK_EQ(r.status, 200);
        (void)snprintf(request, sizeof request, "number-%zu", i);
        CHECK_TEXT(identity_of(s, "X-Request-ID"), request);
    }
}

#define GIVEN "GET /info HTTP/1.1\r\nHost: a\r\nX-Request-ID: abc\r\n\r\n"

/* The longer one is too long to lie ready with the date. */
static void field_of_the_answer_has_the_name_that_was_set(void **state)
{
    (void)state;
    static const char *const names[] = {"X-Trace", "X-" ID64 ID64 ID64 ID64 ID64};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char setting[512];
        check_context("%s", names[i]);
        (void)snprintf(setting, sizeof setting, "request_id_header=%s", names[i]);
        struct server *s = start(setting);
        struct client *c = client_to(s);
        client_exchange(c, &r, GIVEN);
        CHECK_TEXT(identity_of(s, names[i]), "abc");
        CHECK(reply_field(&r, "X-Request-ID") == NULL);
        client_exchange(c, &r, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK(is_made_here(identity_of(s, names[i])));
        client_exchange(c, &r, "NONSENSE\r\n\r\n");
        CHECK(is_made_here(identity_of(s, names[i])));
    }
}

static void no_field_is_sent_when_it_has_no_name(void **state)
{
    (void)state;
    struct server *s = start("request_id_header=");
    struct client *c = client_to(s);
    client_exchange(c, &r, GIVEN);
    CHECK_EQ(r.status, 200);
    CHECK_HAS_NOT(r.head.data, "abc");
    check_logged(s, "abc");
    client_exchange(c, &r, "NONSENSE\r\n\r\n");
    CHECK_EQ(r.status, 400);
    CHECK(reply_field(&r, "X-Request-ID") == NULL);
}

/* As "Trace Context in non-OTLP Log Formats" of OpenTelemetry has it: one name in both logs, so
 * that a collector finds all lines of a trace. */
static void json_logs_name_the_trace_alike(void **state)
{
    (void)state;
    struct server *s = server_start_args(
        "run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--workers", "1", "--log-format", "json",
        "--accesslog", "-", "--set", "access_log_format=json", "--slow-callback", "5ms", NULL);
    /* With JSON the harness can't read addresses from events. */
    const char *line = server_wait_log_text(s, "\"event\":\"listening\"");
    CHECK(json_member(line, "address", s->addresses[0], sizeof s->addresses[0]));
    s->n_addresses = 1;
    (void)server_wait_log_text(s, "\"event\":\"ready\"");
    struct client *c = client_to(s);
    client_exchange(c, &r, "GET /block?ms=30 HTTP/1.1\r\nHost: a\r\n" PARENT "\r\n");
    CHECK_EQ(r.status, 200);
    char seen[64];
    line = lines_wait_text(&s->log, "handler held the loop", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    CHECK(json_member(line, "trace_id", seen, sizeof seen));
    CHECK_TEXT(seen, TRACE);
    line = lines_wait_text(&s->out, "/block", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    CHECK(json_member(line, "trace_id", seen, sizeof seen));
    CHECK_TEXT(seen, TRACE);
}

SERVER_MAIN(SERVER_TEST(identity_is_the_same_in_answer_app_and_log),
            SERVER_TEST(errors_have_an_identity_too),
            SERVER_TEST(streams_and_heads_have_an_identity_too),
            SERVER_TEST(field_of_the_answer_has_the_name_that_was_set),
            SERVER_TEST(no_field_is_sent_when_it_has_no_name),
            SERVER_TEST(json_logs_name_the_trace_alike))
