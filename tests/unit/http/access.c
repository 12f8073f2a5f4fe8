/* http/access.c: every atom, what a peer may try in each of them, lines that do not fit, formats
 * that are refused. */
#include "http/access.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"

struct field {
    const char *name;
    const char *value;
};

struct fields {
    const struct field *request;
    const struct field *response;
};

static struct str find(const struct field *fields, struct str name)
{
    for (; fields && fields->name; fields++) {
        if (str_is_equal_nocase(str_of(fields->name), name))
            return str_of(fields->value);
    }
    return (struct str){NULL, 0};
}

static struct str find_request(void *context, struct str name)
{
    return find(((const struct fields *)context)->request, name);
}

static struct str find_response(void *context, struct str name)
{
    return find(((const struct fields *)context)->response, name);
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
        .wall_us = 1795262400123456, /* 2026-11-21 12:00:00 UTC */
        .pid = 4711,
        .trace_id = STR("0123abcd"),
        .request_header = find_request,
        .response_header = find_response,
        .context = fields,
    };
}

static const char *render(const char *format, const struct access_entry *entry)
{
    static char line[4096];
    struct access_format *compiled;
    struct err err;
    if (access_format_new(format, &compiled, &err) < 0)
        fail_msg("%s", err.text);
    size_t n = access_render(compiled, entry, line, sizeof line);
    access_format_free(compiled);
    assert_in_range(n, 1, sizeof line - 1);
    assert_int_equal(line[n - 1], '\n');
    line[n - 1] = '\0';
    assert_null(strchr(line, '\n'));
    return line;
}

static void set_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

static int setup(void **state)
{
    (void)state;
    set_zone("UTC0");
    return 0;
}

/* ---- atoms ---- */

static void access_renders_every_atom(void **state)
{
    (void)state;
    static const struct field request[] = {{"Referer", "http://example.com/"},
                                           {"User-Agent", "curl/7.88"},
                                           {"X-One", "1"},
                                           {"Content-Length", "7"},
                                           {0}};
    static const struct field response[] = {{"Content-Type", "text/plain"}, {0}};
    struct fields fields = {request, response};
    struct access_entry entry = usual_entry(&fields);
    assert_int_equal(setenv("REMUDA_ACCESS_TEST", "from outside", 1), 0);
    static const struct field atoms[] = {
        {"%(h)s", "192.0.2.1"},
        {"%(l)s", "-"},
        {"%(u)s", "-"},
        {"%(t)s", "[21/Nov/2026:12:00:00 +0000]"},
        {"%(r)s", "GET /a%20b?x=1&y=2 HTTP/1.1"},
        {"%(m)s", "GET"},
        {"%(U)s", "/a\\x20b"},
        {"%(q)s", "x=1&y=2"},
        {"%(H)s", "HTTP/1.1"},
        {"%(s)s", "200"},
        {"%(B)s", "1234"},
        {"%(b)s", "1234"},
        {"%(f)s", "http://example.com/"},
        {"%(a)s", "curl/7.88"},
        {"%(T)s", "2"},
        {"%(D)s", "2034567"},
        {"%(M)s", "2034"},
        {"%(L)s", "2.034567"},
        {"%(p)s", "<4711>"},
        {"%({x-one}i)s", "1"},
        {"%({X-Two}i)s", "-"},
        {"%({content-type}o)s", "text/plain"},
        {"%({X-One}o)s", "-"},
        {"%({REMUDA_ACCESS_TEST}e)s", "from outside"},
        {"%({REMUDA_ACCESS_NONE}e)s", "-"},
        {"%({REQUEST_METHOD}e)s", "GET"},
        {"%({raw_uri}e)s", "/a%20b?x=1&y=2"},
        {"%({PATH_INFO}e)s", "/a\\x20b"},
        {"%({query_string}e)s", "x=1&y=2"},
        {"%({SERVER_PROTOCOL}e)s", "HTTP/1.1"},
        {"%({remote_addr}e)s", "192.0.2.1"},
        {"%({HTTP_X_ONE}e)s", "1"},
        {"%({http_user_agent}e)s", "curl/7.88"},
        {"%({HTTP_X_TWO}e)s", "-"},
        {"%({CONTENT_LENGTH}e)s", "7"},
        {"%({HTTP_}e)s", "-"},
        {"%({trace_id}x)s", "0123abcd"},
        {"%%", "%"},
        {"", ""},
        {"a%%(h)sb", "a%(h)sb"},
        {"<%(s)s%(s)s\t%(b)s>", "<200200\t1234>"},
    };
    for (size_t i = 0; i < sizeof atoms / sizeof atoms[0]; i++)
        assert_string_equal(render(atoms[i].name, &entry), atoms[i].value);
    assert_string_equal(
        render(ACCESS_FORMAT_DEFAULT, &entry),
        "192.0.2.1 - - [21/Nov/2026:12:00:00 +0000] \"GET /a%20b?x=1&y=2 HTTP/1.1\" "
        "200 1234 \"http://example.com/\" \"curl/7.88\"");
}

static void access_renders_what_is_absent(void **state)
{
    (void)state;
    struct access_entry entry = {0};
    assert_string_equal(
        render("%(h)s %(u)s \"%(r)s\" %(m)s %(U)s [%(q)s] %(H)s %(s)s %(B)s %(b)s %(f)s %(a)s",
               &entry),
        "- - \"-\" - - [] - - 0 - - -");
    assert_string_equal(render("%({a}i)s %({a}o)s %({trace_id}x)s %(L)s", &entry),
                        "- - - 0.000000");
    entry.elapsed_us = 7;
    assert_string_equal(render("%(T)s %(M)s %(D)s %(L)s", &entry), "0 0 7 0.000007");
    entry.elapsed_us = UINT64_MAX;
    entry.body_bytes = UINT64_MAX;
    assert_string_equal(render("%(L)s %(b)s", &entry),
                        "18446744073709.551615 18446744073709551615");
}

static void access_renders_what_a_task_has_used(void **state)
{
    (void)state;
    static const char format[] = "%({task_end}x)s %({task_wait_us}x)s %({task_wall_us}x)s "
                                 "%({task_cpu_us}x)s %({task_faults}x)s %({task_peak_bytes}x)s";
    struct access_task task = {"crash", true, 1, 2, 3, 4, 5};
    struct access_entry entry = {0};
    assert_string_equal(render(format, &entry), "- - - - - -");
    entry.task = &task;
    assert_string_equal(render(format, &entry), "crash 1 2 3 4 5");
    task.is_measured = false;
    assert_string_equal(render(format, &entry), "crash - - - - -");
}

static void access_renders_time_in_the_local_zone(void **state)
{
    (void)state;
    struct access_entry entry = {.wall_us = INT64_C(1795262400000000)};
    static const struct field zones[] = {
        {"UTC0", "[21/Nov/2026:12:00:00 +0000]"},    {"ABC-5:30", "[21/Nov/2026:17:30:00 +0530]"},
        {"ABC3:30", "[21/Nov/2026:08:30:00 -0330]"}, {"ABC-14", "[22/Nov/2026:02:00:00 +1400]"},
        {"ABC0:30", "[21/Nov/2026:11:30:00 -0030]"},
    };
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
        set_zone(zones[i].name);
        assert_string_equal(render("%(t)s", &entry), zones[i].value);
    }
    set_zone("UTC0");
    entry.wall_us = 0;
    assert_string_equal(render("%(t)s", &entry), "[01/Jan/1970:00:00:00 +0000]");
    entry.wall_us = INT64_MAX;
    assert_string_equal(render("%(t)s", &entry), "[10/Jan/294247:04:00:54 +0000]");
}

static void access_takes_the_user_but_nothing_of_the_password(void **state)
{
    (void)state;
    static const struct field users[] = {
        {"Basic YW5uOnNlY3JldA==", "ann"},    /* ann:secret */
        {"basic  YW5uOnNlY3JldA==  ", "ann"}, /* scheme without case, blanks */
        {"Basic YW5uOg==", "ann"},            /* ann: */
        {"Basic YTpiOmM=", "a"},              /* a:b:c */
        {"Basic OnNlY3JldA==", "-"},          /* :secret */
        {"Basic c2VjcmV0", "-"},              /* secret, no colon: maybe only a password */
        {"Basic YW5u!!!!Og==", "-"},          /* no base64 */
        {"Basic ", "-"},
        {"Basic", "-"},
        {"Bearer YW5uOnNlY3JldA==", "-"},
        {"BasicYW5uOnNlY3JldA==", "-"},
        {"Basic YSBbeCJdCjp4", "a\\x20[x\\\"]\\x0a"}, /* a [x"]LF:x */
        {"Basic w7w6eA==", "\\xc3\\xbc"},
    };
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        struct field request[] = {{"Authorization", users[i].name}, {0}};
        struct fields fields = {request, NULL};
        struct access_entry entry = usual_entry(&fields);
        assert_string_equal(render("%(u)s", &entry), users[i].value);
    }
    char longest[512] = "Basic "; /* 375 octets "i" before any colon */
    for (size_t i = 6; i < sizeof longest - 6; i += 4)
        memcpy(longest + i, "aWlp", 5);
    struct field request[] = {{"Authorization", longest}, {0}};
    struct fields fields = {request, NULL};
    struct access_entry entry = usual_entry(&fields);
    assert_string_equal(render("%(u)s", &entry), "-");
}

/* ---- forged lines ---- */

static void access_escapes_whatever_a_peer_can_choose(void **state)
{
    (void)state;
#define EVIL "a\r\nb\"c\\d\x1b[2Je\x7f\xff\xe2\x80\xa8\tf"
#define SAFE "a\\x0d\\x0ab\\\"c\\\\d\\x1b[2Je\\x7f\\xff\\xe2\\x80\\xa8\\x09f"
    static const struct field fields_both[] = {
        {"Referer", EVIL}, {"User-Agent", EVIL}, {"X-One", EVIL}, {0}};
    struct fields fields = {fields_both, fields_both};
    struct access_entry entry = usual_entry(&fields);
    entry.peer_address = entry.method = entry.target = entry.protocol = STR(EVIL);
    entry.path = entry.query = entry.trace_id = STR(EVIL);
    static const char *const atoms[] = {
        "%(h)s", "%(m)s", "%(U)s",        "%(q)s",        "%(H)s",
        "%(f)s", "%(a)s", "%({X-One}i)s", "%({X-One}o)s", "%({trace_id}x)s",
    };
    for (size_t i = 0; i < sizeof atoms / sizeof atoms[0]; i++)
        assert_string_equal(render(atoms[i], &entry), SAFE);
    assert_string_equal(render("%(r)s", &entry), SAFE " " SAFE " " SAFE);
    assert_int_equal(setenv("REMUDA_ACCESS_TEST", EVIL, 1), 0);
    assert_string_equal(render("%({REMUDA_ACCESS_TEST}e)s", &entry), SAFE);
    entry.trace_id = STR("t");
    entry.note = STR(EVIL);
    assert_string_equal(render("%(s)s", &entry), "200 trace=t note=\"" SAFE "\"");
}

static void access_escapes_every_octet_but_printable_ascii(void **state)
{
    (void)state;
    for (int octet = 0; octet < 256; octet++) {
        char c = (char)octet;
        struct access_entry entry = {.target = str_make(&c, 1), .query = str_make(&c, 1)};
        char want[8];
        if (c == '"' || c == '\\')
            (void)snprintf(want, sizeof want, "\\%c", c);
        else if (octet < 0x20 || octet > 0x7e)
            (void)snprintf(want, sizeof want, "\\x%02x", (unsigned)octet);
        else
            (void)snprintf(want, sizeof want, "%c", c);
        char line[16];
        (void)snprintf(line, sizeof line, " %s", want);
        assert_string_equal(render("%(r)s", &entry), line);
        assert_string_equal(render("%(q)s", &entry), c == ' ' ? "\\x20" : want);
    }
}

static void access_says_whether_a_format_shows_the_trace(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        bool has_trace;
    } rows[] = {
        {ACCESS_FORMAT_DEFAULT, false},
        {"%({trace_id}x)s", true},
        {"%(h)s %({trace_id}x)s!", true},
        {"%({trace_id}i)s", false},
        {"json", true},
        {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct access_format *format;
        assert_int_equal(access_format_new(rows[i].format, &format, NULL), 0);
        assert_int_equal(access_has_trace(format), rows[i].has_trace);
        access_format_free(format);
    }
}

/* One format for many lines: the clock that it keeps must not stand still. */
static void access_tells_each_line_its_own_time(void **state)
{
    (void)state;
    struct access_format *format;
    struct access_entry entry = {0};
    char out[64];
    assert_int_equal(access_format_new("%(t)s", &format, NULL), 0);
    static const struct {
        int64_t wall_us;
        const char *text;
    } rows[] = {
        {0, "[01/Jan/1970:00:00:00 +0000]\n"},
        {999999, "[01/Jan/1970:00:00:00 +0000]\n"},
        {1000000, "[01/Jan/1970:00:00:01 +0000]\n"},
        {INT64_C(1795262400123456), "[21/Nov/2026:12:00:00 +0000]\n"},
        {1000000, "[01/Jan/1970:00:00:01 +0000]\n"}, /* the clock was set back */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        entry.wall_us = rows[i].wall_us;
        size_t n = access_render(format, &entry, out, sizeof out);
        assert_int_equal(n, strlen(rows[i].text));
        assert_memory_equal(out, rows[i].text, n);
    }
    access_format_free(format);
}

/* ---- size ---- */

static size_t render_into(const char *format, const struct access_entry *entry, char *out,
                          size_t cap)
{
    struct access_format *compiled;
    assert_int_equal(access_format_new(format, &compiled, NULL), 0);
    size_t n = access_render(compiled, entry, out, cap);
    access_format_free(compiled);
    assert_in_range(n, 1, cap);
    assert_int_equal(out[n - 1], '\n');
    return n;
}

/* Every length of target around every cap: a line is whole, or cut at a whole escape. */
static void access_cuts_lines_that_do_not_fit(void **state)
{
    (void)state;
    char target[120];
    for (size_t i = 0; i < sizeof target; i++)
        target[i] = i % 3 ? 'a' : '\r';
    for (size_t cap = 64; cap < 90; cap++) {
        for (size_t len = 0; len < sizeof target; len++) {
            struct access_entry entry = {.target = str_make(target, len)};
            char *out = malloc(cap); /* so that the sanitizer sees every octet too many */
            assert_non_null(out);
            size_t n = render_into("[%(r)s]", &entry, out, cap);
            size_t whole = len > 0 ? 3 + len + (len + 2) / 3 * 3 : 3;
            if (whole <= cap - 4) {
                assert_int_equal(n, whole + 1);
            } else {
                char all[512]; /* a cut line is the beginning of the whole one */
                assert_true(n >= cap - 4);
                assert_int_equal(render_into("[%(r)s]", &entry, all, sizeof all), whole + 1);
                assert_memory_equal(out, all, n - 4);
                assert_memory_equal(out + n - 4, "\xe2\x80\xa6\n", 4);
                for (size_t i = 0; i < n - 4; i++) {
                    if (out[i] == '\\')
                        assert_true(i + 4 <= n - 4 && memcmp(out + i, "\\x0d", 4) == 0);
                }
            }
            free(out);
        }
    }
}

static void access_cuts_no_character_of_the_format(void **state)
{
    (void)state;
    struct access_entry entry = {0};
    char out[64];
    char format[64 * 3 + 2];
    for (size_t shift = 0; shift < 3; shift++) {
        size_t n = 0;
        while (n < shift)
            format[n++] = 'x';
        while (n + 3 < sizeof format) {
            memcpy(format + n, "\xe2\x82\xac", 3);
            n += 3;
        }
        format[n] = '\0';
        n = render_into(format, &entry, out, sizeof out);
        assert_int_equal((n - 4 - shift) % 3, 0);
        assert_memory_equal(out + n - 4, "\xe2\x80\xa6\n", 4);
    }
}

static void access_keeps_last_words_when_the_line_is_cut(void **state)
{
    (void)state;
    char target[300];
    memset(target, 'a', sizeof target);
    struct access_entry entry = {.target = str_make(target, sizeof target),
                                 .trace_id = STR("t1"),
                                 .note = STR("killed: timeout")};
    char out[128];
    size_t n = render_into("%(r)s", &entry, out, sizeof out);
    static const char tail[] = "\xe2\x80\xa6 trace=t1 note=\"killed: timeout\"\n";
    assert_true(n > sizeof tail && n >= sizeof out - 4);
    assert_memory_equal(out + n - (sizeof tail - 1), tail, sizeof tail - 1);

    entry.note = str_make(target, sizeof target); /* itself too long: cut, its quote closed */
    n = render_into("%(r)s", &entry, out, 64);
    assert_memory_equal(out + n - 3, "a\"\n", 3);
}

/* ---- formats ---- */

static void access_refuses_bad_formats_and_says_where(void **state)
{
    (void)state;
    static const struct field bad[] = {
        {"%(h)s %(x)s", "\"%(x)s\" at position 7"},
        {"%", "\"%\" at position 1"},
        {"a %h", "\"%h\" at position 3"},
        {"%(h)", "\"%(h)\" at position 1"},
        {"%(h)d", "\"%(h)d\" at position 1"},
        {"%(h", "\"%(h\" at position 1"},
        {"%()s", "\"%()s\" at position 1"},
        {"%({}i)s", "\"%({}i)s\" at position 1"},
        {"%({a}z)s", "\"%({a}z)s\" at position 1"},
        {"%({a})s", "\"%({a})s\" at position 1"},
        {"%({a}x)s", "\"%({a}x)s\" at position 1"},
        {"json %(y)s", "\"%(y)s\" at position 6"},
        {"%(hh)s", "\"%(hh)s\" at position 1"},
        {"%(s)s\n", "control character at position 6"},
        {"\x1b", "control character at position 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct access_format *format = NULL;
        struct err err = {0};
        assert_int_equal(access_format_new(bad[i].name, &format, &err), -EINVAL);
        assert_null(format);
        if (!strstr(err.text, bad[i].value))
            fail_msg("%s: %s", bad[i].name, err.text);
        if (bad[i].name[0] != '\x1b' && !strstr(bad[i].name, "\n"))
            assert_non_null(strstr(err.text, "h l u t r m U q H s B b f a T D M L p"));
    }
    access_format_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access_renders_every_atom),
        cmocka_unit_test(access_renders_what_is_absent),
        cmocka_unit_test(access_renders_what_a_task_has_used),
        cmocka_unit_test(access_renders_time_in_the_local_zone),
        cmocka_unit_test(access_takes_the_user_but_nothing_of_the_password),
        cmocka_unit_test(access_escapes_whatever_a_peer_can_choose),
        cmocka_unit_test(access_escapes_every_octet_but_printable_ascii),
        cmocka_unit_test(access_says_whether_a_format_shows_the_trace),
        cmocka_unit_test(access_tells_each_line_its_own_time),
        cmocka_unit_test(access_cuts_lines_that_do_not_fit),
        cmocka_unit_test(access_cuts_no_character_of_the_format),
        cmocka_unit_test(access_keeps_last_words_when_the_line_is_cut),
        cmocka_unit_test(access_refuses_bad_formats_and_says_where),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
