/* Memory that is refused, at every single allocation in turn: each time it is told, nothing is lost
 * and nothing crashes. This program has a malloc(3) of its own in front of the C library's, which
 * sanitizers do not allow (they bring theirs), so there the test is skipped. */
#include "config/render.h"

#include "tests/unit/config/tool.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define HAS_OWN_MALLOC 0
#endif
#endif
#ifndef HAS_OWN_MALLOC
#define HAS_OWN_MALLOC 1
#endif

static bool is_counting;
static bool is_lasting;      /* whether all calls after the refused one are refused too */
static bool is_over;         /* whether the refused one has been */
static long n_until_refusal; /* counts down; the call that makes it 0 is refused */
static long n_living;

#if HAS_OWN_MALLOC

#pragma GCC visibility push(default) /* so that shared libraries get these too */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void __libc_free(void *p);

static bool is_refused(void)
{
    if (!is_counting)
        return false;
    bool is_now = !is_over && --n_until_refusal == 0;
    is_over |= is_now;
    return is_now || (is_over && is_lasting);
}

void *malloc(size_t bytes)
{
    void *p = is_refused() ? NULL : __libc_malloc(bytes);
    n_living += is_counting && p;
    return p;
}

void *calloc(size_t n, size_t bytes)
{
    void *p = is_refused() ? NULL : __libc_calloc(n, bytes);
    n_living += is_counting && p;
    return p;
}

void *realloc(void *old, size_t bytes)
{
    void *p = is_refused() ? NULL : __libc_realloc(old, bytes);
    n_living += is_counting && p && !old;
    return p;
}

void free(void *p)
{
    n_living -= is_counting && p;
    __libc_free(p);
}

#pragma GCC visibility pop

#endif

/* Texts longer than a quarter of an arena's block get a block of their own, so these reach
 * malloc(3) from wherever they are copied. */
static void write_good_file(void)
{
    FILE *file = fopen("good.yaml", "w");
    assert_non_null(file);
    (void)fprintf(file, "app: %02500d.so\nworkers: auto\nuser: ${NAME}\nbind:\n", 1);
    for (int i = 1; i < 100; i++)
        (void)fprintf(file, "  - :%d\n  - unix:/%d\n", i, i);
    (void)fprintf(file,
                  "static:\n  - {path: /a/, folder: %02000d, index: [%0200d, %0200d]}\n"
                  "  - {path: /b/, folder: c, cache_control: %02500d}\n"
                  "app_config:\n  a: {b: [1, 2, {c: d}]}\n  e_file: secret\n"
                  "  f: ${NAME:-x}%09000d\n  g: %09000d\n",
                  1, 2, 3, 4, 1, 2);
    assert_int_equal(fclose(file), 0);
}

static const char wrong_yaml[] = "app: no\nbind: [x]\ncolour: ${NOPE}\nworkers: 0\nworkers: 1\n"
                                 "app_config: {a_file: nope, b: *c}\n\xff\n";

static size_t n_lines;      /* mistakes that are to be told when no memory is refused */
static size_t n_lines_told; /* by the last use() */

/* What every command does with settings. Returns 0; -errno */
static int use(char **argv, int argc, bool is_good)
{
    static char *environment[] = {"NAME=0", "REMUDA_BACKLOG=9", NULL};
    struct merge_result r;
    struct merge_input in = {
        .argc = argc, .argv = argv, .environment = environment, .machine = &tool_machine};
    int rc = merge_settings(&in, &r);
    if (rc == 0) {
        struct buf page = {0};
        rc = render_settings(&page, r.settings, true);
        if (rc == 0) {
            buf_fini(&page);
            rc = render_defaults(&page);
        }
        buf_fini(&page);
    } else if (rc == -ENOMEM && !r.mistakes.is_memory_out) {
        rc = -ENOTRECOVERABLE; /* not told */
    } else if (rc == -EINVAL && !r.mistakes.is_memory_out && r.mistakes.n < n_lines) {
        rc = -ENOTRECOVERABLE; /* a line is missing, and that is not told */
    } else if (rc == -EINVAL && is_good) {
        rc = r.mistakes.is_memory_out ? -ENOMEM : -ENOTRECOVERABLE; /* told wrongly */
    }
    n_lines_told = r.mistakes.n;
    merge_fini(&r);
    return rc;
}

static void refuse_each(char **argv, int expected)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    int rc = -ENOMEM;
    long at = 0;
    n_lines = 0;
    assert_int_equal(use(argv, argc, expected == 0), expected); /* warms up what libc keeps */
    n_lines = n_lines_told;
    for (; at < 100000; at++) {
        n_until_refusal = at / 2 + 1;
        is_lasting = at % 2;
        n_living = 0;
        is_over = false;
        is_counting = true;
        rc = use(argv, argc, expected == 0);
        is_counting = false;
        if (n_living != 0)
            fail_msg("allocation %ld refused: %ld not given back", at / 2, n_living);
        if (!is_over)
            break; /* there were fewer */
        if (rc != -ENOMEM && !(expected == -EINVAL && rc == -EINVAL))
            fail_msg("allocation %ld refused: %s", at / 2, strerror(-rc));
    }
    assert_int_equal(rc, expected);
    assert_true(at > 4); /* that refusals really happened */
}

/* Valgrind puts its malloc(3) in front of ours. */
static bool is_ours(void)
{
    void *(*volatile allocate)(size_t) = malloc; /* or the compiler leaves the call out */
    n_until_refusal = 1;
    is_over = false;
    is_counting = HAS_OWN_MALLOC;
    void *p = allocate(16);
    is_counting = false;
    free(p);
    return !p;
}

static void every_refusal_is_told_and_nothing_is_lost(void **state)
{
    (void)state;
    if (!is_ours())
        skip();
    write_good_file();
    tool_write("wrong.yaml", wrong_yaml);
    char large[9000];
    memset(large, 's', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    tool_write("secret", large);
    char *set = NULL;
    assert_true(asprintf(&set, "app_config.%s=%s", large, large) > 0);
    refuse_each((char *[]){"check", "-c", "good.yaml", "--set", set, "-b", ":3,:4", "--no-strict",
                           "x", NULL},
                0);
    free(set);
    refuse_each((char *[]){"check", "-c", "wrong.yaml", "--workers=x", NULL}, -EINVAL);
    refuse_each((char *[]){"check", "--wrokers", "--set", "--b", "-x", "a", "b", "c", "d", NULL},
                -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_refusal_is_told_and_nothing_is_lost,
                                        tool_enter_folder, tool_leave_folder),
    };
    return cmocka_run_group_tests_name("config/memory", tests, NULL, NULL);
}
