/* http/range.c, the answers: put together as a client would get them, from a file and from memory;
 * with memory refused; what is owed for a body is paid once. */
#include "http/range.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"

static unsigned n_allocations;
static unsigned refused; /* 0: none; else the one that is */

static void *try_malloc(size_t bytes)
{
    return ++n_allocations == refused ? NULL : malloc(bytes);
}

/* The arena with another malloc; the linker takes this one instead of the library's. */
#define malloc try_malloc
#include "base/arena.c"
#undef malloc

#include "base/fd.h"
#include "http/response.h"
#include "tests/harness/check.h"

static struct arena arena;
static struct rmd_response res;
static unsigned n_done;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1); /* so that every allocation asks for memory */
    n_allocations = refused = 0;
    response_begin(&res, NULL);
    n_done = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    response_drop_body(&res);
    arena_fini(&arena);
    return 0;
}

static const char content[] = "abcdefghijklmnopqrstuvwxyz";
#define CONTENT_LEN (sizeof content - 1)

static int open_content(void)
{
    int fd = memfd_create("content", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(fd_write_all(fd, content, CONTENT_LEN), 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static struct range_set parse_set(const char *value)
{
    struct range_set set;
    CHECK_EQ(range_parse(str_of(value), CONTENT_LEN, &set), RANGE_OK);
    return set;
}

/* The body as a client gets it. */
static const char *body(void)
{
    static char text[16384];
    size_t n = 0;
    if (res.kind == RESPONSE_BYTES) {
        memcpy(text, res.body, res.body_len);
        n = res.body_len;
    }
    for (uint32_t i = 0; i < res.n_parts; i++) {
        const struct response_part *part = &res.parts[i];
        CHECK(part->len > 0 && n + part->len < sizeof text);
        if (part->data)
            memcpy(text + n, part->data, part->len);
        else
            CHECK_EQ(pread(res.fd, text + n, part->len, (off_t)part->offset), part->len);
        n += part->len;
    }
    CHECK_EQ(n, res.body_len); /* what Content-Length will say */
    text[n] = '\0';
    return text;
}

static const char *field(const char *name)
{
    const struct response_field *found = response_find(&res, str_of(name));
    return found ? found->value.p : "(none)";
}

static void done(void *arg)
{
    (void)arg;
    n_done++;
}

/* The answer of a handler: octets on the heap that are gone once done was called. */
static void free_octets(void *octets)
{
    CHECK(octets != NULL);
    free(octets);
    n_done++;
}

static void give_octets(void)
{
    char *octets = malloc(CONTENT_LEN);
    CHECK(octets != NULL);
    memcpy(octets, content, CONTENT_LEN);
    response_begin(&res, NULL);
    res.kind = RESPONSE_BYTES;
    res.status = 200;
    res.body = octets;
    res.body_len = CONTENT_LEN;
    res.type = STR("text/plain");
    res.done = free_octets;
    res.done_arg = octets;
}

static void range_answers_one_range_of_a_file(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=3-5");
    int fd = open_content();
    res.type = STR("text/plain");
    CHECK_EQ(response_set(&res, &arena, STR("ETag"), STR("\"x\""), true), 0);
    CHECK_EQ(range_answer_file(&res, &arena, fd, CONTENT_LEN, &set, NULL), 0);
    CHECK_EQ(res.status, 206);
    CHECK_EQ(res.kind, RESPONSE_FILE);
    CHECK_TEXT(body(), "def");
    CHECK_TEXT(field("Content-Range"), "bytes 3-5/26");
    CHECK_TEXT(field("ETag"), "\"x\"");
    CHECK_BYTES(res.type.p, res.type.len, "text/plain", 10);
    CHECK(is_open(fd));
    response_drop_body(&res);
    CHECK(!is_open(fd));
}

static const char three_parts[] = "--THIS_STRING-1\r\n"
                                  "Content-Type: text/plain\r\n"
                                  "Content-Range: bytes 24-25/26\r\n"
                                  "\r\n"
                                  "yz\r\n"
                                  "--THIS_STRING-1\r\n"
                                  "Content-Type: text/plain\r\n"
                                  "Content-Range: bytes 0-0/26\r\n"
                                  "\r\n"
                                  "a\r\n"
                                  "--THIS_STRING-1\r\n"
                                  "Content-Type: text/plain\r\n"
                                  "Content-Range: bytes 9-11/26\r\n"
                                  "\r\n"
                                  "jkl\r\n"
                                  "--THIS_STRING-1--\r\n";

static void check_three_parts(void)
{
    static const char type[] = "multipart/byteranges; boundary=THIS_STRING-1";
    CHECK_EQ(res.status, 206);
    CHECK_EQ(res.kind, RESPONSE_FILE);
    CHECK_EQ(res.body_len, sizeof three_parts - 1);
    CHECK_TEXT(body(), three_parts);
    CHECK_TEXT(field("Content-Range"), "(none)"); /* MUST NOT, RFC 9110 §15.3.7.2 */
    CHECK_BYTES(res.type.p, res.type.len, type, sizeof type - 1);
}

static void range_answers_several_ranges_of_a_file_in_their_order(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=-2,0-0,9-11");
    char boundary[] = "THIS_STRING-1";
    int fd = open_content();
    res.type = STR("text/plain");
    CHECK_EQ(range_answer_file(&res, &arena, fd, CONTENT_LEN, &set, boundary), 0);
    memset(boundary, 'x', sizeof boundary); /* it was copied */
    set.n = 0;
    check_three_parts();
    response_drop_body(&res);
    CHECK(!is_open(fd));
}

static void range_answers_parts_without_type_when_there_was_none(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=0-0,2-2");
    CHECK_EQ(range_answer_file(&res, &arena, open_content(), CONTENT_LEN, &set, "b"), 0);
    CHECK_TEXT(body(), "--b\r\nContent-Range: bytes 0-0/26\r\n\r\na\r\n"
                       "--b\r\nContent-Range: bytes 2-2/26\r\n\r\nc\r\n"
                       "--b--\r\n");
    CHECK_BYTES(res.type.p, res.type.len, "multipart/byteranges; boundary=b", 32);
}

static void range_answer_of_a_file_replaces_an_earlier_body(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=0-0");
    give_octets();
    CHECK_EQ(range_answer_file(&res, &arena, open_content(), CONTENT_LEN, &set, NULL), 0);
    CHECK_EQ(n_done, 1);
    CHECK_TEXT(body(), "a");
    response_drop_body(&res);
    CHECK_EQ(n_done, 1);
}

static void range_answers_one_range_of_memory_without_a_copy(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=20-");
    give_octets();
    const char *octets = res.body;
    CHECK_EQ(range_answer_bytes(&res, &arena, &set, NULL), 0);
    CHECK_EQ(res.status, 206);
    CHECK_EQ(res.kind, RESPONSE_BYTES);
    CHECK(res.body == octets + 20);
    CHECK_TEXT(body(), "uvwxyz");
    CHECK_TEXT(field("Content-Range"), "bytes 20-25/26");
    CHECK_BYTES(res.type.p, res.type.len, "text/plain", 10);
    CHECK_EQ(n_done, 0);
    response_drop_body(&res);
    CHECK_EQ(n_done, 1);
}

static void range_answers_several_ranges_of_memory_and_owes_done(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=-2,0-0,9-11");
    give_octets();
    const char *octets = res.body;
    CHECK_EQ(range_answer_bytes(&res, &arena, &set, "THIS_STRING-1"), 0);
    CHECK_EQ(n_done, 0); /* the octets are still needed */
    CHECK_EQ(res.fd, -1);
    CHECK(res.parts[1].data == octets + 24 && res.parts[5].data == octets + 9);
    check_three_parts();
    response_drop_body(&res);
    CHECK_EQ(n_done, 1);
    CHECK_EQ(res.n_parts, 0);
}

static void range_answers_as_many_parts_as_the_limit_allows(void **state)
{
    (void)state;
    enum { LEN = 3 * RANGE_MAX };
    static char octets[LEN];
    struct range_set set;
    char value[16 * RANGE_MAX] = "bytes=";
    char boundary[RANGE_BOUNDARY_MAX + 1];
    for (int i = 0; i < RANGE_MAX; i++)
        (void)snprintf(value + strlen(value), 16, "%d-%d,", 2 * i, 2 * i);
    memset(boundary, 'B', RANGE_BOUNDARY_MAX);
    boundary[RANGE_BOUNDARY_MAX] = '\0';
    memset(octets, 'o', sizeof octets);
    CHECK_EQ(range_parse(str_of(value), LEN, &set), RANGE_OK);
    res.kind = RESPONSE_BYTES;
    res.body = octets;
    res.body_len = LEN;
    res.done = done;
    CHECK_EQ(range_answer_bytes(&res, &arena, &set, boundary), 0);
    CHECK_EQ(res.n_parts, 2 * RANGE_MAX + 1);
    const char *text = body();
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, boundary)) != NULL; at += RANGE_BOUNDARY_MAX)
        n++;
    CHECK_EQ(n, RANGE_MAX + 1);
}

static void range_refuses_with_the_length_that_there_is(void **state)
{
    (void)state;
    give_octets();
    CHECK_EQ(response_set(&res, &arena, STR("Content-Range"), STR("bytes 0-1/2"), true), 0);
    CHECK_EQ(range_refuse(&res, &arena, CONTENT_LEN), 0);
    CHECK_EQ(n_done, 1);
    CHECK_EQ(res.status, 416);
    CHECK_TEXT(field("Content-Range"), "bytes */26");
    CHECK_TEXT(body(), "416 Range Not Satisfiable\n");
}

/* Each allocation of each kind of answer refused: no body is left, no file open, done is paid. */
static void range_answers_without_memory_leave_no_body(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool is_file;
    } answers[] = {{"bytes=0-0", true},
                   {"bytes=0-0,2-2", true},
                   {"bytes=0-0", false},
                   {"bytes=0-0,2-2", false}};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct range_set set = parse_set(answers[i].value);
        int rc = -ENOMEM;
        for (refused = 1; rc != 0; refused++) {
            check_context("%s, %zu, refused %u", answers[i].value, i, refused);
            int fd = answers[i].is_file ? open_content() : -1;
            if (answers[i].is_file)
                response_begin(&res, NULL);
            else
                give_octets();
            n_allocations = n_done = 0;
            rc = answers[i].is_file ? range_answer_file(&res, &arena, fd, CONTENT_LEN, &set, "b")
                                    : range_answer_bytes(&res, &arena, &set, "b");
            CHECK(rc == 0 || rc == -ENOMEM);
            CHECK_EQ(rc == 0, n_allocations < refused);
            CHECK_EQ(n_done, rc < 0 && !answers[i].is_file);
            if (rc < 0)
                CHECK(res.kind == RESPONSE_NONE && res.body_len == 0 && !is_open(fd));
            else
                response_drop_body(&res);
            CHECK(!is_open(fd));
        }
        CHECK(refused > 2); /* some were refused */
    }
    for (refused = 1; refused <= 3; refused++) {
        n_allocations = 0;
        give_octets();
        int rc = range_refuse(&res, &arena, CONTENT_LEN);
        CHECK_EQ(rc, refused == 1 ? 0 : -ENOMEM); /* without its text the page is empty */
        CHECK_EQ(res.status, 416);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(range_answers_one_range_of_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(range_answers_several_ranges_of_a_file_in_their_order,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(range_answers_parts_without_type_when_there_was_none, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answer_of_a_file_replaces_an_earlier_body, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answers_one_range_of_memory_without_a_copy, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answers_several_ranges_of_memory_and_owes_done, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answers_as_many_parts_as_the_limit_allows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answers_without_memory_leave_no_body, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_refuses_with_the_length_that_there_is, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
