/* base/log.c: lines as text and as JSON, what callers and peers may put into them, full pipes. */
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"

static int ends[2]; /* the log is written to ends[1] */

static int setup(void **state)
{
    (void)state;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    log_identify("test", -1, -1);
    log_init(ends[1], LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    return setenv("TZ", "UTC0", 1);
}

static int teardown(void **state)
{
    (void)state;
    log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
    return 0;
}

/* What was logged since the last call, "" for nothing. */
static const char *logged(void)
{
    static char text[1U << 17];
    ssize_t n = read(ends[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* Behind "12:00:00.123 " or what stands there instead; NULL: no time. */
static const char *behind_time(const char *line)
{
    static const char shape[] = "00:00:00.000 ";
    for (size_t i = 0; shape[i]; i++) {
        if (shape[i] == '0' ? !isdigit((unsigned char)line[i]) : line[i] != shape[i])
            return NULL;
    }
    return line + sizeof shape - 1;
}

/* ---- JSON, as far as these lines use it ---- */

/* Behind a string; NULL: none here. */
static const char *behind_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    while (*at != '"') {
        unsigned char c = (unsigned char)*at;
        size_t n = c ? str_utf8_length(at, strnlen(at, 4)) : 0;
        if (n == 0 || c < 0x20)
            return NULL;
        if (c == '\\') {
            if (at[1] == 'u' && strspn(at + 2, "0123456789abcdef") >= 4)
                n = 6;
            else if (at[1] == '"' || at[1] == '\\')
                n = 2;
            else
                return NULL;
        }
        at += n;
    }
    return at + 1;
}

/* Is this one flat object and a newline? has_unique_names: and each name there once? */
static bool is_json_object(const char *line, bool has_unique_names)
{
    const char *names[2048];
    size_t n_names = 0;
    const char *at = line;
    if (*at != '{')
        return false;
    do {
        names[n_names] = at + 1;
        at = behind_string(at + 1);
        if (!at || *at != ':')
            return false;
        for (size_t i = 0; i < n_names && has_unique_names; i++) {
            size_t len = (size_t)(at - names[n_names]);
            if (strncmp(names[i], names[n_names], len) == 0)
                return false;
        }
        n_names++;
        if (at[1] == '"') {
            at = behind_string(at + 1);
        } else {
            char *end;
            (void)strtod(at + 1, &end);
            at = end == at + 1 || isspace((unsigned char)at[1]) ? NULL : end;
        }
    } while (at && *at == ',' && n_names < 2048);
    return at && strcmp(at, "}\n") == 0;
}

static bool is_json_line(const char *line)
{
    return is_json_object(line, true);
}

/* ---- lines ---- */

static void log_writes_text_lines(void **state)
{
    (void)state;
    char expected[128];
    log_warn("worker died", "pid=%d signal=%s", 812, "SEGV");
    (void)snprintf(expected, sizeof expected, "warn   test[%d]: worker died pid=812 signal=SEGV\n",
                   (int)getpid());
    assert_string_equal(behind_time(logged()), expected);
    log_identify("web", 3, 7);
    log_error("no pairs", "%s", "");
    (void)snprintf(expected, sizeof expected, "error  web[%d] slot=3 gen=7: no pairs\n",
                   (int)getpid());
    assert_string_equal(behind_time(logged()), expected);
}

static void log_writes_json_lines(void **state)
{
    (void)state;
    log_identify("web", 0, 1);
    log_init(ends[1], LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_notice("it \"works\"", "pid=%d name=%s path=\"a b\\\"c\\\\d\" ratio=0.5 word id=007 big=%s",
               812, "x", "12345678901234567890");
    const char *line = logged();
    char expected[256];
    (void)snprintf(
        expected, sizeof expected,
        "Z\",\"level\":\"notice\",\"pid\":%d,\"role\":\"web\",\"slot\":0,\"generation\":1,"
        "\"event\":\"it \\\"works\\\"\",\"child_pid\":812,\"name\":\"x\","
        "\"path\":\"a b\\\"c\\\\d\",\"ratio\":0.5,\"word\":\"\",\"id\":\"007\","
        "\"big\":\"12345678901234567890\"}\n",
        (int)getpid());
    assert_true(is_json_line(line));
    assert_int_equal(strncmp(line, "{\"time\":\"20", 11), 0);
    assert_string_equal(line + strlen("{\"time\":\"2026-11-21T12:00:00.123"), expected);
}

static void log_names_the_trace_as_collectors_do(void **state)
{
    (void)state;
    log_init(ends[1], LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_notice("x", "trace=4bf92f3577b34da6a3ce929d0e0e4736 traces=1 tracer=2 trac=3");
    assert_non_null(strstr(logged(), ",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
                                     "\"traces\":1,\"tracer\":2,\"trac\":3}"));
    log_init(ends[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_notice("x", "trace=4bf92f3577b34da6a3ce929d0e0e4736");
    assert_non_null(strstr(logged(), " trace=4bf92f3577b34da6a3ce929d0e0e4736\n"));
}

static void log_leaves_out_what_is_below_its_level(void **state)
{
    (void)state;
    log_init(ends[1], LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    assert_true(log_is_on(LOG_LEVEL_ERROR));
    assert_true(log_is_on(LOG_LEVEL_WARN));
    assert_false(log_is_on(LOG_LEVEL_NOTICE));
    log_notice("unheard", "%s", "");
    log_info("unheard", "%s", "");
    int n_evaluated = 0;
    log_debug("unheard", "n=%d", ++n_evaluated);
    assert_int_equal(n_evaluated, 0);
    assert_string_equal(logged(), "");
    errno = ENOENT; /* callers report errno after they logged */
    log_warn("heard", "%s", "");
    assert_int_equal(errno, ENOENT);
    assert_non_null(strstr(logged(), "heard"));
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
        assert_non_null(log_level_names[level]);
}

static void log_lines_cannot_be_forged(void **state)
{
    (void)state;
    log_warn("one", "text=a\n12:00:00.000 error test: forged\x1b[2J\r");
    const char *line = logged();
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_null(strpbrk(line, "\x1b\r"));
    log_init(ends[1], LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_warn("one\ntwo", "text=a\"\n,\"x\":1\xff\x7f more=\"\x01 \xc3\xbc\"");
    line = logged();
    assert_true(is_json_line(line));
    assert_non_null(strstr(line, "\\ufffd"));
    assert_non_null(strstr(line, "\xc3\xbc"));
}

static void log_quote_escapes_and_cuts(void **state)
{
    (void)state;
    char out[LOG_QUOTE_MAX + 8];
    assert_string_equal(log_quote(out, "GET /a\r\n\"\\\x1b\x7f\xff", 13),
                        "\"GET /a\\x0d\\x0a\\\"\\\\\\x1b\\x7f\\xff\"");
    assert_string_equal(log_quote(out, "", 0), "\"\"");
    char data[LOG_QUOTE_MAX * 2];
    for (size_t shift = 0; shift < 8; shift++) { /* the cut may fall on any octet of an escape */
        memset(data, '\n', sizeof data);
        memset(data, 'a', shift);
        char *heap =
            malloc(LOG_QUOTE_MAX + 8); /* so that the sanitizer sees every octet too many */
        assert_non_null(heap);
        assert_ptr_equal(log_quote(heap, data, sizeof data), heap);
        size_t len = strlen(heap);
        assert_true(len < LOG_QUOTE_MAX + 8 && len > LOG_QUOTE_MAX - 16);
        assert_string_equal(heap + len - 8, "\\x0a\xe2\x80\xa6\"");
        free(heap);
    }
}

/* Whatever an event and its pairs hold, a line stays one line, and JSON stays JSON. */
static void log_lines_stay_whole_whatever_they_hold(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "a",    "=",         "\"",           " ",    "\\", "\n", "\xff",    "\xc3", "1", ".", "-",
        "key=", "k=\"v w\"", "\xe2\x80\xa6", "\x7f", ",",  "}",  "slot=1 ", "0"};
    uint32_t seed = 5;
    static char pairs[8192];
    for (int round = 0; round < 3000; round++) {
        size_t n = 0;
        seed = seed * 1664525U + 1013904223U;
        size_t want = round % 25 == 0 ? 6000 : seed >> 26;
        for (unsigned key = 0; n < want; key++) {
            seed = seed * 1664525U + 1013904223U;
            if (key % 4 == 0) /* names differ, as callers' names do */
                n += (size_t)snprintf(pairs + n, 16, " k%u=", key);
            const char *piece = pieces[(seed >> 16) % (sizeof pieces / sizeof pieces[0])];
            if (key % 4 != 0 && strpbrk(piece, "= "))
                continue;
            n += (size_t)snprintf(pairs + n, 16, "%s", piece);
        }
        pairs[n] = '\0';
        log_init(ends[1], LOG_LEVEL_INFO, round % 2 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
        log_info(round % 3 ? "event" : pairs, "%s", pairs);
        const char *line = logged();
        size_t len = strlen(line);
        assert_in_range(len, 1, PIPE_BUF);
        if (strchr(line, '\n') != line + len - 1)
            fail_msg("%s", line);
        if (round % 2 && !is_json_object(line, false))
            fail_msg("%s", line);
    }
}

/* ---- descriptors that take no more ---- */

static void log_counts_lines_that_a_full_pipe_does_not_take(void **state)
{
    (void)state;
    int flags = fcntl(ends[1], F_GETFL);
    assert_int_equal(fcntl(ends[1], F_SETFL, flags & ~O_NONBLOCK), 0); /* as a terminal would be */
    char filler[PIPE_BUF];
    memset(filler, 'x', sizeof filler);
    filler[sizeof filler - 1] = '\n';
    while (log_write(ends[1], filler, sizeof filler) == sizeof filler)
        continue;
    (void)alarm(20); /* ends the test where a write waits */
    for (int i = 0; i < 3; i++)
        log_info("lost", "%s", "");
    (void)alarm(0);
    while (*logged())
        continue;
    log_info("back again", "%s", "");
    const char *lines = logged();
    assert_null(strstr(lines, "lost\n"));
    const char *count = strstr(lines, "log lines lost, the log was full lines=3\n");
    assert_non_null(count);
    assert_non_null(strstr(count, "back again"));
    log_info("once", "%s", "");
    assert_null(strstr(logged(), "lines="));
}

static void log_write_gives_pipes_whole_lines(void **state)
{
    (void)state;
    char lines[5000];
    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % 100 == 99 ? '\n' : 'a';
    assert_int_equal(log_write(ends[1], lines, sizeof lines), sizeof lines);
    assert_int_equal(strlen(logged()), sizeof lines);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BUF), PIPE_BUF); /* room for one write */
    assert_int_equal(log_write(ends[1], lines, sizeof lines), 4000);
    assert_int_equal(strlen(logged()), 4000);
}

/* A pipe of packets keeps each write apart: all are short enough to be whole, and end with a
 * line. */
static void log_write_splits_a_batch_between_lines_only(void **state)
{
    (void)state;
    int packets[2];
    static char batch[64 * 1024];
    static char taken[sizeof batch];
    if (pipe2(packets, O_CLOEXEC | O_DIRECT | O_NONBLOCK) < 0)
        skip(); /* a kernel without them */
    assert_true(fcntl(packets[1], F_SETPIPE_SZ, 1 << 20) > 0);
    for (size_t i = 0, line = 1; i < sizeof batch; i += line, line = line * 31 % 4097) {
        size_t len = line < sizeof batch - i ? line : sizeof batch - i;
        memset(batch + i, 'a', len);
        batch[i + len - 1] = '\n';
    }
    assert_int_equal(log_write(packets[1], batch, sizeof batch), sizeof batch);
    size_t len = 0;
    for (ssize_t n; (n = read(packets[0], taken + len, PIPE_BUF)) > 0;) {
        len += (size_t)n;
        assert_int_equal(taken[len - 1], '\n');
    }
    assert_int_equal(len, sizeof batch);
    assert_memory_equal(taken, batch, len);
    fd_close(&packets[0]);
    fd_close(&packets[1]);
}

static void log_write_survives_a_reader_that_is_gone(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(log_write(fd, "x\n", 2), 0);
    fd_close(&fd);
    assert_int_equal(log_write(-1, "x\n", 2), 0);
    assert_int_equal(log_write(ends[1], "", 0), 0);
}

/* What is kept is the end of all that was logged, in whole lines. */
static void log_ring_keeps_the_last_lines(void **state)
{
    (void)state;
    static struct log_ring ring;
    static char out[LOG_RING_BYTES];
    ring = (struct log_ring){.at = 0};
    assert_int_equal(log_read_ring(&ring, out), 0);
    log_set_ring(&ring);
    log_notice("only line", "%s", "");
    size_t len = log_read_ring(&ring, out);
    assert_non_null(memmem(out, len, "only line\n", 10));
    for (int i = 0; i < 1000; i++)
        log_notice("line", "n=%d", i);
    log_set_ring(NULL);
    log_notice("not kept", "%s", "");
    len = log_read_ring(&ring, out);
    assert_true(len > LOG_RING_BYTES - 200 && len <= LOG_RING_BYTES);
    assert_non_null(memmem(out, len, "line n=999\n", 11));
    assert_null(memmem(out, len, "only line", 9));
    assert_null(memmem(out, len, "not kept", 8));
    int lines = 0;
    for (size_t at = 0; at < len; lines++) {
        const char *end = memchr(out + at, '\n', len - at);
        assert_non_null(end);
        assert_non_null(memmem(out + at, (size_t)(end - out) - at, ": line n=", 9)); /* whole */
        at = (size_t)(end - out) + 1;
    }
    assert_true(lines > 50);
}

static void log_ring_is_not_believed(void **state)
{
    (void)state;
    static struct log_ring ring;
    static char out[LOG_RING_BYTES];
    memset(&ring, 0x1b, sizeof ring);
    assert_int_equal(log_read_ring(&ring, out), 0); /* no line has an end */
    ring.text[100] = '\n';
    size_t len = log_read_ring(&ring, out);
    assert_true(len < LOG_RING_BYTES);
    for (size_t i = 0; i < len; i++)
        assert_true(out[i] == '?');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(log_writes_text_lines),
        TEST(log_writes_json_lines),
        TEST(log_names_the_trace_as_collectors_do),
        TEST(log_leaves_out_what_is_below_its_level),
        TEST(log_lines_cannot_be_forged),
        TEST(log_quote_escapes_and_cuts),
        TEST(log_lines_stay_whole_whatever_they_hold),
        TEST(log_counts_lines_that_a_full_pipe_does_not_take),
        TEST(log_write_gives_pipes_whole_lines),
        TEST(log_write_splits_a_batch_between_lines_only),
        TEST(log_write_survives_a_reader_that_is_gone),
        TEST(log_ring_keeps_the_last_lines),
        TEST(log_ring_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
