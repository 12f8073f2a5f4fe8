/* Tests of workers/replay.c: what is fed to the handler again, and what is said about it. */
#include "workers/replay.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

static const struct {
    const char *kept;
    const char *octets;
    const char *said;
} rows[] = {
    {"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
     "replaying \"GET /a?b=c HTTP/1.1\"\n"},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\nab",
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab",
     "replaying \"POST / HTTP/1.1\"\n"},
    {"PUT / HTTP/1.0\r\ncontent-length:  9\r\nA: b\r\n\r\nabc",
     "PUT / HTTP/1.0\r\nA: b\r\nContent-Length: 3\r\n\r\nabc",
     "replaying \"PUT / HTTP/1.0\"\nbody cut: 3 of 9 bytes were kept\n"},
    {"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
     "replaying \"POST / HTTP/1.1\"\n"},
    {"GET / HTTP/1.1\r\nCookie: [redacted]\r\nB: [redacted]\r\n\r\n",
     "GET / HTTP/1.1\r\nCookie: [redacted]\r\nB: [redacted]\r\n\r\n",
     "replaying \"GET / HTTP/1.1\"\nredacted, so not as they were: Cookie, B\n"},
    {"no colon\r\n\x1b[2J\r\n\r\n\r\n\r\n",
     "no colon\r\n\x1b[2J\r\nContent-Length: 4\r\n\r\n\r\n\r\n", "replaying \"no colon\"\n"},
};

static int replay(const char *kept, size_t len, struct buf *octets, char **said, struct err *err)
{
    char path[] = "/tmp/replay-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, kept, len), len);
    (void)close(fd);
    size_t n = 0;
    FILE *say = open_memstream(said, &n);
    assert_non_null(say);
    int rc = replay_read(path, octets, say, err);
    assert_int_equal(fclose(say), 0);
    assert_int_equal(unlink(path), 0);
    return rc;
}

static void requests_are_as_they_were_but_for_their_framing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf octets = {0};
        struct err err;
        char *said = NULL;
        assert_int_equal(replay(rows[i].kept, strlen(rows[i].kept), &octets, &said, &err), 0);
        assert_int_equal(octets.len, strlen(rows[i].octets));
        assert_memory_equal(octets.data, rows[i].octets, octets.len);
        assert_string_equal(said, rows[i].said);
        buf_fini(&octets);
        free(said);
    }
}

static void what_holds_no_request_is_refused(void **state)
{
    (void)state;
    struct buf octets = {0};
    struct err err;
    char *said = NULL;
    assert_int_equal(replay("GET / HTTP/1.1\r\nHost: a\r\n", 25, &octets, &said, &err), -EINVAL);
    assert_non_null(strstr(err.text, "holds no request"));
    free(said);
    assert_int_equal(replay_read("/nonexistent", &octets, stderr, &err), -ENOENT);
    assert_int_equal(replay_read("/", &octets, stderr, &err), -ENOENT);
    assert_non_null(strstr(err.text, "request.http"));
    assert_int_equal(octets.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_as_they_were_but_for_their_framing),
        cmocka_unit_test(what_holds_no_request_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
