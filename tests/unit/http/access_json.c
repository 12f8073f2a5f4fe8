/* http/access_json.c: the whole line as it is documented, hostile octets in every member, and lines
 * that do not fit. */
#include "http/access_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/json.h"

struct fields {
    struct str referer, user_agent, authorization;
};

static struct str find_request(void *context, struct str name)
{
    const struct fields *fields = context;
    if (str_is_equal_nocase(name, STR("referer")))
        return fields->referer;
    if (str_is_equal_nocase(name, STR("user-agent")))
        return fields->user_agent;
    if (str_is_equal_nocase(name, STR("authorization")))
        return fields->authorization;
    return (struct str){NULL, 0};
}

static struct access_entry usual_entry(struct fields *fields)
{
    return (struct access_entry){
        .peer_address = STR("192.0.2.1"),
        .method = STR("GET"),
        .target = STR("/a%20b?x=1&y=2"),
        .protocol = STR("HTTP/1.1"),
        .path = STR("/a b"),
        .query = STR("x=1&y=2"),
        .status = 200,
        .body_bytes = 1234,
        .elapsed_us = 2034567,
        .wall_us = INT64_C(1795262400123999), /* 2026-11-21 12:00:00 UTC */
        .pid = 4711,
        .trace_id = STR("0123abcd"),
        .request_header = find_request,
        .context = fields,
    };
}

/* The line without its end, which is checked; valid JSON without doubt. */
static const char *render(const struct access_entry *entry, size_t cap)
{
    static char line[65536 + 1];
    char *out = malloc(cap); /* so that the sanitizer sees every octet too many */
    assert_non_null(out);
    assert_in_range(cap, ACCESS_LINE_MIN, sizeof line - 1);
    size_t n = access_json_render(entry, out, cap);
    assert_in_range(n, 2, cap);
    memcpy(line, out, n);
    free(out);
    assert_int_equal(line[n - 1], '\n');
    line[n - 1] = '\0';
    assert_null(strchr(line, '\n'));
    json_must(line, n - 1);
    return line;
}

static void json_line_has_the_documented_members(void **state)
{
    (void)state;
    struct fields fields = {STR("http://example.com/"), STR("curl/7.88"),
                            STR("Basic YW5uOnNlY3JldA==")}; /* ann:secret */
    struct access_entry entry = usual_entry(&fields);
    assert_string_equal(
        render(&entry, 4096),
        "{\"time\":\"2026-11-21T12:00:00.123Z\",\"peer\":\"192.0.2.1\",\"user\":\"ann\","
        "\"method\":\"GET\",\"target\":\"/a%20b?x=1&y=2\",\"path\":\"/a b\","
        "\"query\":\"x=1&y=2\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes\":1234,"
        "\"duration_us\":2034567,\"referer\":\"http://example.com/\","
        "\"user_agent\":\"curl/7.88\",\"trace_id\":\"0123abcd\",\"pid\":4711}");
}

static void json_line_says_null_of_what_is_not_there(void **state)
{
    (void)state;
    struct access_entry entry = {.peer_address = STR("-"), .pid = 1};
    assert_string_equal(render(&entry, ACCESS_LINE_MIN),
                        "{\"time\":\"1970-01-01T00:00:00.000Z\",\"peer\":null,\"user\":null,"
                        "\"method\":null,\"target\":null,\"path\":null,\"query\":null,"
                        "\"protocol\":null,\"status\":null,\"bytes\":0,\"duration_us\":0,"
                        "\"referer\":null,\"user_agent\":null,\"trace_id\":null,\"pid\":1}");
    entry.note = STR("killed: \"silent\"");
    const char *line = render(&entry, ACCESS_LINE_MIN);
    assert_non_null(strstr(line, ",\"pid\":1,\"note\":\"killed: \\\"silent\\\"\"}"));
    struct access_task task = {"memory", true, 1, 2, 3, 4, 5};
    entry.task = &task;
    assert_non_null(strstr(render(&entry, ACCESS_LINE_MIN),
                           ",\"pid\":1,\"task_end\":\"memory\",\"task_wait_us\":1,"
                           "\"task_wall_us\":2,\"task_cpu_us\":3,\"task_faults\":4,"
                           "\"task_peak_bytes\":5,\"note\""));
    task.is_measured = false;
    assert_non_null(strstr(render(&entry, ACCESS_LINE_MIN), "\"task_peak_bytes\":null,\"note\""));
}

/* The format word leads here. */
static void json_is_a_format_of_the_access_log(void **state)
{
    (void)state;
    struct fields fields = {0};
    struct access_entry entry = usual_entry(&fields);
    struct access_format *format;
    char line[2][1024];
    assert_int_equal(access_format_new("json", &format, NULL), 0);
    size_t n = access_render(format, &entry, line[0], sizeof line[0]);
    access_format_free(format);
    assert_int_equal(n, access_json_render(&entry, line[1], sizeof line[1]));
    assert_memory_equal(line[0], line[1], n);
}

static void json_line_is_valid_whatever_a_peer_sends(void **state)
{
    (void)state;
    static const struct {
        struct str sent;
        const char *written;
    } rows[] = {
        {STR("a\r\nb"), "a\\u000d\\u000ab"},
        {STR("\",\"status\":500,\"x\":\""), "\\\",\\\"status\\\":500,\\\"x\\\":\\\""},
        {STR("back\\"), "back\\\\"},
        {STR("\0"), "\\u0000"},
        {STR("\x1b[2J\x7f"), "\\u001b[2J\\u007f"},
        {STR("\xff\xfe"), "\\ufffd\\ufffd"},
        {STR("J\xc3\xbcrgen"), "J\xc3\xbcrgen"},
        {STR("\xe2\x80\xa8\xe2\x80\xae"), "\\u2028\\u202e"},
    };
    static const char *const names[] = {"peer",    "method",     "target",   "path", "query",
                                        "referer", "user_agent", "trace_id", "note", "protocol"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fields fields = {rows[i].sent, rows[i].sent, rows[i].sent};
        struct access_entry entry = usual_entry(&fields);
        entry.peer_address = entry.method = entry.target = entry.protocol = rows[i].sent;
        entry.path = entry.query = entry.trace_id = entry.note = rows[i].sent;
        const char *line = render(&entry, 4096);
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            char value[128];
            assert_true(json_member(line, names[k], value, sizeof value));
            assert_string_equal(value, rows[i].written);
        }
        assert_int_equal(json_number(line, "status"), 200);
    }
}

static void json_line_takes_the_largest_numbers(void **state)
{
    (void)state;
    struct access_entry entry = {.status = 599,
                                 .body_bytes = UINT64_MAX,
                                 .elapsed_us = UINT64_MAX,
                                 .wall_us = INT64_MAX,
                                 .pid = INT32_MAX};
    char text[ACCESS_LINE_MIN];
    memset(text, '\x01', sizeof text);
    entry.peer_address = entry.method = entry.target = entry.protocol = str_make(text, sizeof text);
    entry.path = entry.query = entry.trace_id = entry.note = str_make(text, sizeof text);
    struct fields fields = {entry.target, entry.target, STR("Basic OnNlY3JldA==")};
    entry.request_header = find_request;
    entry.context = &fields;
    const struct access_task task = {"cpu_limit", true,       UINT64_MAX, UINT64_MAX,
                                     UINT64_MAX,  UINT64_MAX, UINT64_MAX};
    entry.task = &task;
    const char *line = render(&entry, ACCESS_LINE_MIN);
    assert_non_null(strstr(line, "\"time\":\"9999-12-31T23:59:59.999Z\""));
    assert_non_null(strstr(line, "\"bytes\":18446744073709551615,"));
}

/* Only what is long is cut, and at a whole character. */
static void json_line_that_does_not_fit_is_cut_in_its_longest_strings(void **state)
{
    (void)state;
    static char target[8190];
    memset(target, 'a', sizeof target);
    struct fields fields = {STR("http://example.com/"), STR("curl/7.88"), {NULL, 0}};
    struct access_entry entry = usual_entry(&fields);
    entry.target = entry.path = str_make(target, sizeof target);
    static char value[sizeof target + 1];
    static const size_t caps[] = {ACCESS_LINE_MIN, 2048, 4096, 16384, 65536};
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        bool has_room = caps[i] > 2 * sizeof target + 1000;
        const char *line = render(&entry, caps[i]);
        assert_true(json_member(line, "target", value, sizeof value));
        size_t len = strlen(value);
        assert_int_equal(len == sizeof target, has_room);
        if (!has_room)
            assert_string_equal(value + len - 3, "\xe2\x80\xa6");
        assert_true(json_member(line, "path", value, sizeof value));
        assert_int_equal(strlen(value), len);
        assert_true(json_member(line, "query", value, sizeof value));
        assert_string_equal(value, "x=1&y=2");
        assert_true(json_member(line, "user_agent", value, sizeof value));
        assert_string_equal(value, "curl/7.88");
        if (caps[i] >= 4096) /* at least about a half of the room is used */
            assert_true(strlen(line) > caps[i] / 4 || has_room);
    }
}

static void json_line_is_valid_at_every_length_and_room(void **state)
{
    (void)state;
    static const char pieces[] = "a\xff\"\xe2\x82\xac\n\\b\xc3\xa9";
    char text[400];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = pieces[i % (sizeof pieces - 1)];
    for (size_t cap = ACCESS_LINE_MIN; cap < ACCESS_LINE_MIN + 40; cap++) {
        for (size_t len = 0; len < sizeof text; len += 3) {
            struct fields fields = {str_make(text, len), str_make(text, len / 2), {NULL, 0}};
            struct access_entry entry = usual_entry(&fields);
            entry.target = str_make(text, len);
            entry.note = str_make(text, len / 3);
            (void)render(&entry, cap);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_line_has_the_documented_members),
        cmocka_unit_test(json_line_says_null_of_what_is_not_there),
        cmocka_unit_test(json_is_a_format_of_the_access_log),
        cmocka_unit_test(json_line_is_valid_whatever_a_peer_sends),
        cmocka_unit_test(json_line_takes_the_largest_numbers),
        cmocka_unit_test(json_line_that_does_not_fit_is_cut_in_its_longest_strings),
        cmocka_unit_test(json_line_is_valid_at_every_length_and_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
