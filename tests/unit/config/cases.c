/* Whole configuration files: tests/cases/config, with the exact lines beside each. What they are
 * about is in that folder's README. */
#include "config/merge.h"

#include <glob.h>

#include "tests/unit/config/tool.h"

#define CASES REMUDA_SOURCE_DIR "/tests/cases/config/"
#define EXPECTED_MAX 65536

/* What `remuda check` would print about a file, to be freed. */
static char *run(const char *path, int *out_rc)
{
    static char *environment[] = {"NAME=demo", NULL};
    struct merge_result r;
    char *text = NULL;
    size_t len = 0;
    char argument[PATH_MAX];
    (void)snprintf(argument, sizeof argument, "%s", path);
    *out_rc = tool_merge(&r, environment, "-c", argument);
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    merge_print(&r, file);
    assert_int_equal(fclose(file), 0);
    merge_fini(&r);
    return text;
}

/* The file beside `path`; the empty text when there is none. To be freed. */
static char *read_expected(const char *path)
{
    char name[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    const char *dot = strrchr(path, '.');
    assert_non_null(dot);
    (void)snprintf(name, sizeof name, "%.*s.expected", (int)(dot - path), path);
    if (fd_read_file(name, EXPECTED_MAX, &text, &len) < 0)
        text = strdup("");
    assert_non_null(text);
    return text;
}

/* Runs every file of a folder. Returns how many there were */
static size_t run_folder(const char *folder, int expected_rc)
{
    glob_t found;
    size_t n_failed = 0;
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(glob("*.yaml", 0, NULL, &found), 0);
    size_t n = found.gl_pathc;
    for (size_t i = 0; i < n; i++) {
        int rc;
        char *expected = read_expected(found.gl_pathv[i]);
        char *printed = run(found.gl_pathv[i], &rc);
        if (rc != expected_rc || strcmp(printed, expected) != 0) {
            print_message("%s%s: rc %d, expected\n%sbut printed\n%s\n", folder, found.gl_pathv[i],
                          rc, expected, printed);
            n_failed++;
        }
        free(expected);
        free(printed);
    }
    globfree(&found);
    assert_int_equal(n_failed, 0);
    return n;
}

static void every_mistake_of_invalid_files_is_named_with_its_place(void **state)
{
    (void)state;
    assert_true(run_folder(CASES "invalid/", -EINVAL) >= 10);
}

static void valid_files_are_accepted(void **state)
{
    (void)state;
    assert_true(run_folder(CASES "valid/", 0) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mistake_of_invalid_files_is_named_with_its_place),
        cmocka_unit_test(valid_files_are_accepted),
    };
    return cmocka_run_group_tests_name("config/cases", tests, NULL, NULL);
}
