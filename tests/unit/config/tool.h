/* What several tests of config/ need: cmocka, a folder of their own, settings from pieces. */
#ifndef REMUDA_TESTS_UNIT_CONFIG_TOOL_H
#define REMUDA_TESTS_UNIT_CONFIG_TOOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "config/machine.h"
#include "config/merge.h"

/* A machine that is the same everywhere: 6 CPUs, 8 GiB. */
static const struct machine tool_machine
    __attribute__((unused)) = {.affinity_cpus = 6,
                               .ram_bytes = UINT64_C(8) << 30,
                               .cpus = 6,
                               .memory_bytes = UINT64_C(8) << 30};

/* Makes a folder and goes there; *state gets its path. For cmocka's set-up. */
__attribute__((unused)) static int tool_enter_folder(void **state)
{
    char *path = strdup("/tmp/remuda-unit-"
                        "XX"
                        "XX"
                        "XX");
    if (!path || !mkdtemp(path) || chdir(path) < 0)
        return -1;
    *state = path;
    return 0;
}

/* Removes the folder with all that is in it. For cmocka's tear-down. */
__attribute__((unused)) static int tool_leave_folder(void **state)
{
    char command[PATH_MAX + 16];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
    int rc = chdir("/") < 0 || system(command) != 0 ? -1 : 0;
    free(*state);
    return rc;
}

__attribute__((unused)) static void tool_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

/* Writes a file and makes the folders in front of it. */
__attribute__((unused)) static void tool_write_deep(const char *path, const char *text)
{
    char folder[PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s", path);
    for (char *p = folder + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(folder, 0755) < 0)
            assert_int_equal(errno, EEXIST);
        *p = '/';
    }
    tool_write(path, text);
}

/* Runs merge_settings() on the words of a command line, ended by NULL. */
#define tool_merge(result, environment, ...)                                                       \
    tool_merge_words(result, environment, (char *[]){"check", __VA_ARGS__, NULL})
#define tool_merge_nothing(result, environment)                                                    \
    tool_merge_words(result, environment, (char *[]){"check", NULL})

__attribute__((unused)) static int tool_merge_words(struct merge_result *result, char **environment,
                                                    char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return merge_settings(
        &(struct merge_input){
            .argc = argc, .argv = argv, .environment = environment, .machine = &tool_machine},
        result);
}

/* All lines of a list, each with a newline, to be freed. */
__attribute__((unused)) static char *tool_lines(const struct mistakes *m)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    mistakes_print(m, "", file);
    assert_int_equal(fclose(file), 0);
    return text;
}

/* That a list has exactly these lines. */
__attribute__((unused)) static void tool_expect_lines(const struct mistakes *m,
                                                      const char *expected)
{
    char *lines = tool_lines(m);
    assert_string_equal(lines, expected);
    free(lines);
}

#endif
