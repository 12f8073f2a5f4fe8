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
static long
    n_until_refusal; /* counts down; the call that makes it 0 is refused, and all after it */
static long n_living;

#if HAS_OWN_MALLOC

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void __libc_free(void *p);

static bool is_refused(void)
{
    if (!is_counting)
        return false;
    if (n_until_refusal > 0)
        n_until_refusal--;
    return n_until_refusal == 0;
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

#endif

static const char yaml[] =
    "app: ./a.so\nbind: [\":1\", \"unix:/x\", \"[::1]:2\"]\nworkers: auto\nuser: ${NAME}\n"
    "app_config:\n  a: {b: [1, 2, {c: d}]}\n  e_file: secret\n  f: ${NAME:-x}\n";
static const char wrong_yaml[] = "app: no\nbind: [x]\ncolour: ${NOPE}\nworkers: 0\nworkers: 1\n"
                                 "app_config: {a_file: nope, b: *c}\n\xff\n";

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
    } else if (rc == -EINVAL && is_good) {
        rc = r.mistakes.is_memory_out ? -ENOMEM : -ENOTRECOVERABLE; /* told wrongly */
    }
    merge_fini(&r);
    return rc;
}

static void refuse_each(char **argv, int expected)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    int rc = -ENOMEM;
    long at = 1;
    assert_int_equal(use(argv, argc, expected == 0), expected); /* warms up what libc keeps */
    for (; at < 100000; at++) {
        n_until_refusal = at;
        n_living = 0;
        is_counting = true;
        rc = use(argv, argc, expected == 0);
        is_counting = false;
        if (n_living != 0)
            fail_msg("allocation %ld refused: %ld not given back", at, n_living);
        if (n_until_refusal > 0)
            break; /* there were fewer */
        if (rc != -ENOMEM && !(expected == -EINVAL && rc == -EINVAL))
            fail_msg("allocation %ld refused: %s", at, strerror(-rc));
    }
    assert_int_equal(rc, expected);
    assert_true(at > 5); /* that refusals really happened */
}

/* Valgrind puts its malloc(3) in front of ours. */
static bool is_ours(void)
{
    n_until_refusal = 1;
    is_counting = HAS_OWN_MALLOC;
    void *p = malloc(16);
    is_counting = false;
    free(p);
    return !p;
}

static void every_refusal_is_told_and_nothing_is_lost(void **state)
{
    (void)state;
    if (!is_ours())
        skip();
    tool_write("good.yaml", yaml);
    tool_write("wrong.yaml", wrong_yaml);
    tool_write("secret", "s\n");
    refuse_each((char *[]){"check", "-c", "good.yaml", "--set", "app_config.g.h=1", "-b", ":3,:4",
                           "--no-strict", "x", NULL},
                0);
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
