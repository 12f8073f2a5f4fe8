/* Tests of server/generation.c: what a generation is made from, and who fills its posts. */
#include "server/generation.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "workers/loader.h"

#define NOW 1000

static int format_errno; /* what loader_open_format() fails with; 0: nothing */

int loader_open_format(const struct settings *settings, struct access_format **out_format,
                       struct err *err)
{
    (void)settings;
    *out_format = NULL;
    return format_errno ? err_set(err, format_errno, "no such format") : 0;
}

void loader_close_format(struct access_format *format)
{
    (void)format;
}

size_t loader_render_lost(struct access_format *format, const struct loader_lost *lost, char *out,
                          size_t cap)
{
    (void)format, (void)lost, (void)out, (void)cap;
    return 0;
}

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

static struct scoreboard board = {.n_routes = 8};

/* Settings that go with the generation, or with the attempt: a sanitizer would miss them. */
static int make(struct generation **out, const char *app, int access_fd, struct err *err)
{
    struct settings *s = settings_new();
    assert_non_null(s);
    s->app = app;
    s->app_copy = false;
    s->workers.n = 3;
    s->graceful_timeout_us = 7;
    s->timeout_us = 8;
    struct generation_plan plan = {.number = 4,
                                   .settings = s,
                                   .owned = s,
                                   .log_fd = STDERR_FILENO,
                                   .access_fd = access_fd,
                                   .board = &board,
                                   .now_us = NOW};
    return generation_new(&plan, out, err);
}

static int set_up(void **state)
{
    (void)state;
    format_errno = 0;
    log_init(STDERR_FILENO, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    return 0;
}

static void all_posts_are_due_at_once(void **state)
{
    (void)state;
    struct generation *g;
    struct err err;
    assert_int_equal(make(&g, "/dev/null", -1, &err), 0);
    assert_int_equal(g->number, 4);
    assert_int_equal(g->heritage.generation, 4);
    assert_int_equal(g->rules.graceful_us, 7);
    assert_int_equal(g->rules.timeout_us, 8);
    assert_int_equal(g->n_workers, 3);
    assert_int_equal(g->loader.due_us, NOW);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(g->workers[i].due_us, NOW);
        assert_int_equal(g->workers[i].slot, i);
        assert_null(generation_worker(g, (uint32_t)i));
    }
    assert_int_equal(generation_count_ready(g), 0);
    generation_free(g);
    generation_free(NULL);
}

static void what_can_not_be_made_leaves_nothing(void **state)
{
    (void)state;
    struct generation *g = NULL;
    struct err err;
    assert_int_equal(make(&g, "/nowhere/app.so", -1, &err), -ENOENT);
    assert_non_null(strstr(err.text, "cannot read the app /nowhere/app.so"));
    format_errno = EINVAL;
    assert_int_equal(make(&g, "/dev/null", STDOUT_FILENO, &err), -EINVAL);
    assert_string_equal(err.text, "no such format");
    assert_null(g);
}

static void a_post_is_found_by_who_fills_it_or_will_next(void **state)
{
    (void)state;
    struct generation *g;
    struct err err;
    struct seat loader = {.role = ROLE_LOADER, .slot = -1};
    struct seat first = {.role = ROLE_WEB, .slot = 1};
    struct seat next = {.role = ROLE_WEB, .slot = 1};
    struct seat other = {.role = ROLE_WEB, .slot = 1};
    struct seat beyond = {.role = ROLE_WEB, .slot = 3};
    assert_int_equal(make(&g, "/dev/null", -1, &err), 0);
    g->loader.seat = &loader;
    g->workers[1].seat = &first;
    g->workers[1].next = &next;
    g->workers[3].seat = &beyond;
    assert_ptr_equal(generation_find_post(g, &loader), &g->loader);
    assert_ptr_equal(generation_find_post(g, &first), &g->workers[1]);
    assert_ptr_equal(generation_find_post(g, &next), &g->workers[1]);
    assert_null(generation_find_post(g, &other));
    assert_null(generation_find_post(g, &beyond)); /* there are to be three */
    assert_null(generation_worker(g, 3));
    assert_ptr_equal(generation_worker(g, 1), &first);
    first.phase = SEAT_READY;
    next.phase = SEAT_READY;
    assert_int_equal(generation_count_ready(g), 1);
    generation_free(g);
}

static void its_processes_are_born_where_it_was_made(void **state)
{
    (void)state;
    struct generation *g;
    struct err err;
    char before[PATH_MAX];
    char after[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(make(&g, "/dev/null", -1, &err), 0);
    assert_int_equal(chdir("/"), 0);
    generation_enter_folder(g);
    assert_non_null(getcwd(after, sizeof after));
    assert_string_equal(before, after);
    generation_free(g);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_posts_are_due_at_once),
        TEST(what_can_not_be_made_leaves_nothing),
        TEST(a_post_is_found_by_who_fills_it_or_will_next),
        TEST(its_processes_are_born_where_it_was_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
