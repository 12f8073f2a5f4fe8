/* http/files.c and http/opened.c when memory is refused: each allocation of each kind of answer is
 * refused once. The outcome is 503 with a reason (or what the path means without that memory), no
 * field of a file is left on it, no descriptor stays open, nothing leaks (the sanitizers look). */
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"

static unsigned n_until_refusal; /* 0: none */
static unsigned n_refused;

static int is_refused(void)
{
    int is_now = n_until_refusal > 0 && --n_until_refusal == 0;
    n_refused += (unsigned)is_now;
    return is_now;
}

static void *try_realloc(void *data, size_t bytes)
{
    return is_refused() ? NULL : realloc(data, bytes);
}

#define realloc try_realloc
#include "base/buf.c"
#undef realloc

/* An arena each of whose allocations can be refused: a real one's first block would hold them all.
 * The linker takes these instead of the library's. */
struct arena_block {
    struct arena_block *next;
    _Alignas(16) char data[];
};

void arena_init(struct arena *a, size_t first_bytes)
{
    *a = (struct arena){.first_bytes = first_bytes};
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    struct arena_block *block = is_refused() ? NULL : malloc(sizeof *block + bytes);
    if (!block)
        return NULL;
    block->next = a->block;
    a->block = block;
    return block->data;
}

char *arena_alloc_text(struct arena *a, size_t bytes)
{
    return arena_alloc(a, bytes);
}

char *arena_strndup(struct arena *a, const char *text, size_t len)
{
    char *copy = arena_alloc(a, len + 1);
    if (copy) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}

char *arena_vprintf(struct arena *a, size_t *out_len, const char *format, va_list args)
{
    char text[4096];
    int n = vsnprintf(text, sizeof text, format, args);
    if (out_len)
        *out_len = (size_t)n;
    return arena_strndup(a, text, (size_t)n);
}

char *arena_printf(struct arena *a, size_t *out_len, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(a, out_len, format, args);
    va_end(args);
    return text;
}

void arena_reset_blocks(struct arena *a)
{
    arena_fini(a);
}

void arena_fini(struct arena *a)
{
    while (a->block) {
        struct arena_block *block = a->block;
        a->block = block->next;
        free(block);
    }
}

#include "http/files.h"
#include "tests/unit/http/asked.h"

static const char *const index_names[] = {"index.html"};
static struct files files;

static int setup(void **state)
{
    if (asked_enter_folder(state) < 0 || mkdir("sub", 0755) < 0 || mkdir("bare", 0755) < 0)
        return -1;
    asked_write("a.txt", "0123456789");
    asked_write("a.txt.gz", "packed");
    asked_write("empty", "");
    asked_write("sub/index.html", "index");
    asked_write("bare/some", "");
    files = (struct files){.root_fd = asked_open_folder("."),
                           .prefix = STR("/f/"),
                           .index = index_names,
                           .n_index = 1,
                           .is_gzip = true,
                           .is_br = true,
                           .is_following = true,
                           .is_listed = true,
                           .cache_control = STR("no-cache")};
    return 0;
}

static int teardown(void **state)
{
    fd_close(&files.root_fd);
    return asked_leave_folder(state);
}

static const struct {
    const char *method;
    const char *rest;
    const char *fields;
    int status;
} rows[] = {
    {"GET", "a.txt", "", 200},
    {"GET", "a.txt", "Accept-Encoding: gzip\r\nAccept-Encoding: br\r\n", 200},
    {"GET", "a.txt", "If-None-Match: \"a\"\r\nIf-None-Match: *\r\n", 200},
    {"GET", "a.txt", "If-None-Match: *\r\n", 304},
    {"GET", "a.txt", "Range: bytes=2-3\r\n", 206},
    {"GET", "a.txt", "Range: bytes=2-3,7-8\r\nAccept-Encoding: x\r\n", 206},
    {"GET", "a.txt", "Range: bytes=99-\r\n", 416},
    {"GET", "empty", "", 200},
    {"GET", "sub", "", 301},
    {"GET", "sub/", "", 200},
    {"GET", "bare/", "", 200},
    {"POST", "a.txt", "", 405},
    {"OPTIONS", "a.txt", "", 204},
};

static int next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fd_close(&(int){fd});
    return fd;
}

/* Answers row i with refusal number n. Returns whether something was refused */
static bool answer_refusing(size_t i, unsigned n)
{
    struct asked a;
    int before = next_fd();
    check_context("%s %s %s, allocation %u", rows[i].method, rows[i].rest, rows[i].fields, n);
    asked_init(&a, rows[i].method, rows[i].fields);
    CHECK_EQ(response_set(&a.res, &a.arena, STR("X-Filter"), STR("before"), false), 0);
    n_refused = 0;
    n_until_refusal = n;
    int rc = files_answer(&files, str_of(rows[i].rest), 1, &a.req, &a.res, &a.err);
    n_until_refusal = 0;
    int status = rc == 0 ? a.res.status : rc;
    bool is_refused_path = status == 404 && n == 1;            /* path_decode() tells no reason */
    bool is_without_sibling = status == 200 && n_refused == 1; /* a file is better than none */
    if (n_refused == 0)
        CHECK_EQ(status, rows[i].status);
    else
        CHECK_SAYING(status == 503 || is_refused_path || is_without_sibling, "status %d", status);
    if (rc >= 500) {
        CHECK_EQ(a.err.code, ENOMEM);
        CHECK_EQ(asked_count_fields(&a), 1);
        CHECK(a.res.last == a.res.fields && !a.res.last->next);
        CHECK(a.res.kind == RESPONSE_NONE && a.res.type.len == 0);
    }
    CHECK_TEXT(asked_field(&a, "X-Filter"), "before");
    asked_fini(&a);
    CHECK_EQ(next_fd(), before);
    return n_refused > 0;
}

static void memory_that_is_refused_is_told_and_nothing_is_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned n = 0;
        CHECK(!answer_refusing(i, 0));
        while (answer_refusing(i, ++n))
            CHECK(n < 1000);
        CHECK_SAYING(n > 2, "%s: nothing could be refused", rows[i].rest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_that_is_refused_is_told_and_nothing_is_left, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("http/files_memory", tests, NULL, NULL);
}
