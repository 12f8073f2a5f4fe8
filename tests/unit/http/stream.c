/* http/stream.c: one call of a producer becomes one chunk, or plain octets; a stream that fails is
 * cut, never shortened in silence. */
#include "http/stream.h"

#include <stdio.h>

#include "tests/harness/check.h"

static const char *text; /* what the producer writes */
static size_t text_len;
static int returns;
static bool fails;
static unsigned n_calls;
static struct buf out;

static int produce(rmd_writer *writer, void *state)
{
    CHECK(state == &n_calls);
    n_calls++;
    CHECK(buf_append(writer->out, text, text_len) == 0);
    writer->is_failed |= fails;
    return returns;
}

static int setup(void **state)
{
    (void)state;
    out = (struct buf){0};
    fails = false;
    n_calls = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&out);
    return 0;
}

/* One call, appended to "old" in the buffer. Returns what stream_produce() did. */
static int run(bool is_chunked, const char *writes, int then)
{
    struct rmd_response res = {.kind = RESPONSE_STREAM, .produce = produce, .done_arg = &n_calls};
    text = writes;
    text_len = strlen(writes);
    returns = then;
    out.len = 0;
    CHECK(buf_append(&out, "old", 3) == 0);
    int rc = stream_produce(&res, is_chunked, &out);
    CHECK(rc == RMD_ABORT || res.body_sent == text_len); /* data alone, for the log */
    return rc;
}

#define OUT_IS(expected) CHECK_BYTES(out.data, out.len, expected, sizeof(expected) - 1)

static void what_is_written_becomes_one_chunk(void **state)
{
    (void)state;
    CHECK_EQ(run(true, "hello", 0), 0);
    OUT_IS("old5\r\nhello\r\n");
    CHECK_EQ(run(true, "hello world, hello", 250), 250);
    OUT_IS("old12\r\nhello world, hello\r\n");
    CHECK_EQ(run(true, "bye", RMD_END), RMD_END);
    OUT_IS("old3\r\nbye\r\n0\r\n\r\n");
    CHECK_EQ(n_calls, 3);
}

/* A chunk of size 0 would end the body. */
static void nothing_written_is_no_chunk(void **state)
{
    (void)state;
    CHECK_EQ(run(true, "", 10), 10);
    OUT_IS("old");
    CHECK_EQ(run(true, "", RMD_END), RMD_END);
    OUT_IS("old0\r\n\r\n");
    CHECK_EQ(run(false, "", RMD_END), RMD_END);
    OUT_IS("old");
}

static void without_chunks_octets_go_out_as_they_are(void **state)
{
    (void)state;
    CHECK_EQ(run(false, "hello", 0), 0);
    OUT_IS("oldhello");
    CHECK_EQ(run(false, "bye", RMD_END), RMD_END);
    OUT_IS("oldbye");
}

static void a_broken_stream_leaves_nothing_behind(void **state)
{
    (void)state;
    CHECK_EQ(run(true, "half", RMD_ABORT), RMD_ABORT);
    OUT_IS("old");
    CHECK_EQ(run(false, "half", RMD_ABORT), RMD_ABORT);
    OUT_IS("old");
    CHECK_EQ(run(true, "half", -17), RMD_ABORT); /* no value that means anything */
    OUT_IS("old");
    fails = true; /* a write was refused memory, and the producer did not notice */
    CHECK_EQ(run(true, "half", 5), RMD_ABORT);
    OUT_IS("old");
    CHECK_EQ(run(true, "half", RMD_END), RMD_ABORT);
    OUT_IS("old");
}

static void waits_are_at_most_an_hour(void **state)
{
    (void)state;
    CHECK_EQ(run(true, "x", 3600000), 3600000);
    CHECK_EQ(run(true, "x", 3600001), 3600000);
    CHECK_EQ(run(true, "x", 2147483647), 3600000);
}

static void chunks_of_every_size_carry_their_size(void **state)
{
    (void)state;
    static char data[70000];
    memset(data, 'd', sizeof data - 1);
    for (size_t n = 1; n < sizeof data; n = n * 2 + 1) {
        char size[24];
        int size_len = snprintf(size, sizeof size, "old%zx\r\n", n);
        data[n] = '\0';
        CHECK_EQ(run(true, data, 0), 0);
        data[n] = 'd';
        CHECK_EQ(out.len, (size_t)size_len + n + 2);
        CHECK_BYTES(out.data, (size_t)size_len, size, (size_t)size_len);
        CHECK_BYTES(out.data + size_len, n, data, n);
        CHECK_BYTES(out.data + size_len + n, 2, "\r\n", 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_becomes_one_chunk, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_written_is_no_chunk, setup, teardown),
        cmocka_unit_test_setup_teardown(without_chunks_octets_go_out_as_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_stream_leaves_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_are_at_most_an_hour, setup, teardown),
        cmocka_unit_test_setup_teardown(chunks_of_every_size_carry_their_size, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
