/* server/control_path.c: the same path for the server and the commands, in folders that can be
 * trusted. */
#include "server/control_path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "config/settings.h"

static struct control_path find(const char *socket, const char *file)
{
    struct control_path path;
    struct err err;
    struct settings *settings = settings_new();
    assert_non_null(settings);
    settings->control_socket = socket;
    settings->file = file;
    if (control_path_find(settings, &path, &err) < 0)
        fail_msg("%s: %s", socket, err.text);
    settings_free(settings);
    return path;
}

static void a_setting_that_names_a_path_is_the_only_place(void **state)
{
    (void)state;
    struct control_path path = find("run/a.ctl", NULL);
    assert_true(path.is_explicit);
    assert_int_equal(path.n, 1);
    assert_string_equal(path.places[0], "run/a.ctl");
    assert_string_equal(control_path_prepare(&path, NULL), path.places[0]);
    assert_true(find("off", NULL).is_off);
    assert_int_equal(find("off", NULL).n, 0);
}

static void a_path_that_no_socket_can_have_is_refused(void **state)
{
    (void)state;
    char longest[CONTROL_PATH_MAX + 1];
    struct control_path path;
    struct err err;
    struct settings *settings = settings_new();
    assert_non_null(settings);
    memset(longest, 'x', sizeof longest);
    longest[CONTROL_PATH_MAX - 1] = '\0';
    assert_int_equal(find(longest, NULL).n, 1);
    longest[CONTROL_PATH_MAX - 1] = 'x';
    longest[CONTROL_PATH_MAX] = '\0';
    settings->control_socket = longest;
    assert_int_equal(control_path_find(settings, &path, &err), -ENAMETOOLONG);
    assert_non_null(strstr(err.text, "at most 107 bytes"));
    settings_free(settings);
}

/* Names differ by the file, and by the folder where there is none; other ways to the same file lead
 * to the same name. */
static void auto_is_named_after_the_file_or_the_folder(void **state)
{
    (void)state;
    char folder[] = "/tmp/remuda-path.XXXXXX";
    char file[64], roundabout[96];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(file, sizeof file, "%s/remuda.yaml", folder);
    (void)snprintf(roundabout, sizeof roundabout, "%s/../%s/remuda.yaml", folder, folder + 5);
    FILE *made = fopen(file, "we");
    assert_non_null(made);
    (void)fclose(made);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", folder, 1), 0);
    assert_int_equal(chdir(folder), 0);
    struct control_path by_file = find("auto", "remuda.yaml");
    struct control_path by_folder = find("auto", NULL);
    assert_int_equal(by_file.n, CONTROL_PATH_PLACES);
    assert_memory_equal(by_file.places[0], "/run/remuda/", 12);
    assert_memory_equal(by_file.places[1], folder, strlen(folder));
    assert_memory_equal(by_file.places[2], "/tmp/remuda-", 12);
    assert_non_null(strstr(by_file.places[0], "/remuda_path_"));
    assert_string_equal(find("auto", file).places[0], by_file.places[0]);
    assert_string_equal(find("auto", roundabout).places[0], by_file.places[0]);
    assert_string_not_equal(by_folder.places[0], by_file.places[0]);
    assert_int_equal(chdir("/"), 0);
    assert_string_equal(find("auto", file).places[0], by_file.places[0]);
    assert_string_not_equal(find("auto", NULL).places[0], by_folder.places[0]);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void folders_of_others_are_not_trusted(void **state)
{
    (void)state;
    char folder[] = "/tmp/remuda-path.XXXXXX";
    char link[64];
    assert_non_null(mkdtemp(folder));
    assert_null(control_path_distrust(folder));
    assert_int_equal(chmod(folder, 0770), 0);
    assert_string_equal(control_path_distrust(folder), "others may write to it");
    assert_int_equal(chmod(folder, 0702), 0);
    assert_string_equal(control_path_distrust(folder), "others may write to it");
    assert_int_equal(chmod(folder, 0700), 0);
    (void)snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink("/", link), 0); /* /tmp is everybody's: a name there may be a trap */
    assert_string_equal(control_path_distrust(link), "it is no folder");
    assert_non_null(control_path_distrust("/no/such/folder"));
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_setting_that_names_a_path_is_the_only_place),
        cmocka_unit_test(a_path_that_no_socket_can_have_is_refused),
        cmocka_unit_test(auto_is_named_after_the_file_or_the_folder),
        cmocka_unit_test(folders_of_others_are_not_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
