/* Folders to serve: the forms in which they are given, their defaults, and the way round through
 * `remuda config`. What is refused in files is in tests/cases/config/invalid/static*.yaml. */
#include "config/mount.h"

#include "base/err.h"
#include "config/check.h"
#include "config/render.h"
#include "tests/unit/config/tool.h"

static const struct setting_mounts *mounts_of(const struct merge_result *r)
{
    assert_non_null(r->settings);
    return &r->settings->static_mounts;
}

static void expect_defaults(const struct setting_mount *mount, const char *path, const char *folder)
{
    assert_string_equal(mount->path, path);
    assert_string_equal(mount->folder, folder);
    assert_int_equal(mount->n_index, 1);
    assert_string_equal(mount->index[0], "index.html");
    assert_false(mount->listing);
    assert_false(mount->dotfiles);
    assert_true(mount->follow);
    assert_true(mount->br);
    assert_true(mount->gzip);
    assert_string_equal(mount->cache_control, "");
}

static void nothing_is_mounted_by_default(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(mounts_of(&r)->n, 0);
    merge_fini(&r);
}

static void a_list_of_maps_says_everything(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml", "static:\n"
                              "  - {path: /, folder: ./public}\n"
                              "  - path: /files/\n"
                              "    folder: /srv/files\n"
                              "    index: [a.html, b.html]\n"
                              "    listing: yes\n"
                              "    dotfiles: yes\n"
                              "    follow: no\n"
                              "    precompressed: gzip\n"
                              "    cache_control: no-cache\n"
                              "  - {path: /one/, folder: x, index: start.html, listing: no}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    const struct setting_mounts *mounts = mounts_of(&r);
    assert_int_equal(mounts->n, 3);
    expect_defaults(&mounts->items[0], "/", "./public");
    const struct setting_mount *files = &mounts->items[1];
    assert_string_equal(files->path, "/files/");
    assert_string_equal(files->folder, "/srv/files");
    assert_int_equal(files->n_index, 2);
    assert_string_equal(files->index[1], "b.html");
    assert_true(files->listing && files->dotfiles && !files->follow);
    assert_true(files->gzip && !files->br);
    assert_string_equal(files->cache_control, "no-cache");
    assert_int_equal(files->line, 3);
    assert_int_equal(files->column, 5);
    assert_int_equal(mounts->items[2].n_index, 1); /* the key behind it is no second name */
    assert_string_equal(mounts->items[2].index[0], "start.html");
    merge_fini(&r);
}

static void a_map_is_the_short_form(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml", "static: {/assets/: ./public, /a/b/: /srv}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(mounts_of(&r)->n, 2);
    expect_defaults(&mounts_of(&r)->items[0], "/assets/", "./public");
    expect_defaults(&mounts_of(&r)->items[1], "/a/b/", "/srv");
    merge_fini(&r);
}

static void flags_and_variables_replace_the_list(void **state)
{
    (void)state;
    struct merge_result r;
    static char *variable[] = {"REMUDA_STATIC=/v/=one,/w/=two", NULL};
    static char *none[] = {"REMUDA_STATIC=", NULL};
    tool_write("remuda.yaml", "static: {/assets/: ./public}\n");
    assert_int_equal(tool_merge_nothing(&r, variable), 0);
    assert_int_equal(mounts_of(&r)->n, 2);
    expect_defaults(&mounts_of(&r)->items[1], "/w/", "two");
    merge_fini(&r);
    assert_int_equal(tool_merge(&r, variable, "--static", "/a/=b=c", "--static=/d/=e"), 0);
    assert_int_equal(mounts_of(&r)->n, 2);
    expect_defaults(&mounts_of(&r)->items[0], "/a/", "b=c");
    expect_defaults(&mounts_of(&r)->items[1], "/d/", "e");
    merge_fini(&r);
    assert_int_equal(tool_merge_nothing(&r, none), 0);
    assert_int_equal(mounts_of(&r)->n, 0);
    merge_fini(&r);
    assert_int_equal(tool_merge(&r, NULL, "--set", "static=/s/=t"), 0);
    expect_defaults(&mounts_of(&r)->items[0], "/s/", "t");
    merge_fini(&r);
}

static void wrong_flags_are_told(void **state)
{
    (void)state;
    static const struct {
        char *value;
        const char *line;
    } rows[] = {
        {"public", "command line: --static: \"public\": no = between path and folder; allowed: "
                   "/path/=folder\n"},
        {"/a/=", "command line: --static: \"/a/=\": the folder is empty; allowed: path of a "
                 "folder\n"},
        {"a/=b", "command line: --static: \"a/=b\": the path does not begin and end with a slash; "
                 "allowed: a path such as /assets/, or / for everything\n"},
        {"/=a,/=b", "command line: --static: \"/\" is there twice; allowed: each path once\n"},
        {"/a/=b,", "command line: --static: \"\": no = between path and folder; allowed: "
                   "/path/=folder\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct merge_result r;
        assert_int_equal(tool_merge(&r, NULL, "--static", rows[i].value), -EINVAL);
        tool_expect_lines(&r.mistakes, rows[i].line);
        merge_fini(&r);
    }
}

static void more_mounts_than_allowed_are_refused(void **state)
{
    (void)state;
    struct merge_result r;
    struct buf flag = {0};
    struct buf file = {0};
    assert_int_equal(buf_printf(&file, "static:\n"), 0);
    for (int i = 0; i <= SETTINGS_MOUNTS_MAX; i++) {
        assert_int_equal(buf_printf(&flag, "%s/%d/=x", i > 0 ? "," : "", i), 0);
        assert_int_equal(buf_printf(&file, "  /%d/: x\n", i), 0);
    }
    assert_int_equal(tool_merge(&r, NULL, "--static", flag.data), -EINVAL);
    tool_expect_lines(&r.mistakes,
                      "command line: --static: too many mounts; allowed: at most 64\n");
    merge_fini(&r);
    tool_write("remuda.yaml", file.data);
    assert_int_equal(tool_merge_nothing(&r, NULL), -EINVAL);
    tool_expect_lines(&r.mistakes,
                      "remuda.yaml:2:3: static: too many mounts; allowed: at most 64\n");
    merge_fini(&r);
    buf_fini(&flag);
    buf_fini(&file);
}

static void what_is_printed_loads_again_and_prints_the_same(void **state)
{
    (void)state;
    struct merge_result r;
    struct buf first = {0};
    struct buf again = {0};
    tool_write("remuda.yaml",
               "static:\n"
               "  - {path: \"/a b/\", folder: \"./x: $${y} #\", index: [\"a: b\", \"no\", \"[\"],\n"
               "     listing: on, precompressed: [gzip, br], cache_control: 'a \"b\", c=$$d'}\n"
               "  - {path: /größe/, folder: \"~\", index: [], dotfiles: true, follow: off,\n"
               "     precompressed: []}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(render_settings(&first, r.settings, false), 0);
    merge_fini(&r);
    assert_int_equal(buf_append(&first, "", 1), 0);
    tool_write("again.yaml", first.data);
    assert_int_equal(tool_merge(&r, NULL, "-c", "again.yaml"), 0);
    const struct setting_mounts *mounts = mounts_of(&r);
    assert_int_equal(mounts->n, 2);
    assert_string_equal(mounts->items[0].folder, "./x: ${y} #");
    assert_string_equal(mounts->items[0].index[0], "a: b");
    assert_string_equal(mounts->items[0].index[2], "[");
    assert_string_equal(mounts->items[0].cache_control, "a \"b\", c=$d");
    assert_true(mounts->items[0].listing && !mounts->items[0].dotfiles && mounts->items[0].follow);
    assert_true(mounts->items[0].br && mounts->items[0].gzip);
    assert_string_equal(mounts->items[1].path, "/größe/");
    assert_string_equal(mounts->items[1].folder, "~");
    assert_int_equal(mounts->items[1].n_index, 0);
    assert_true(!mounts->items[1].listing && mounts->items[1].dotfiles && !mounts->items[1].follow);
    assert_false(mounts->items[1].br || mounts->items[1].gzip);
    assert_int_equal(render_settings(&again, r.settings, false), 0);
    assert_int_equal(again.len + 1, first.len);
    assert_memory_equal(again.data, first.data, again.len);
    merge_fini(&r);
    buf_fini(&first);
    buf_fini(&again);
}

static void folders_must_exist(void **state)
{
    (void)state;
    struct merge_result r;
    struct mistakes found = {0};
    char expected[PATH_MAX + 256];
    assert_int_equal(mkdir("base", 0755), 0);
    assert_int_equal(mkdir("base/there", 0755), 0);
    tool_write("base/file", "");
    tool_write("remuda.yaml", "chdir: base\nstatic:\n  - {path: /a/, folder: there}\n"
                              "  - {path: /b/, folder: missing}\n  - {path: /c/, folder: file}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    check_files(r.settings, &found);
    (void)snprintf(expected, sizeof expected, "%s%s",
                   "remuda.yaml:4:5: static: \"base/missing\": No such file or directory; allowed: "
                   "a folder that exists\n",
                   "remuda.yaml:5:5: static: \"base/file\": not a folder; allowed: a folder that "
                   "exists\n");
    tool_expect_lines(&found, expected);
    mistakes_fini(&found);
    merge_fini(&r);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tool_enter_folder, tool_leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(nothing_is_mounted_by_default),
        IN_FOLDER(a_list_of_maps_says_everything),
        IN_FOLDER(a_map_is_the_short_form),
        IN_FOLDER(flags_and_variables_replace_the_list),
        IN_FOLDER(wrong_flags_are_told),
        IN_FOLDER(more_mounts_than_allowed_are_refused),
        IN_FOLDER(what_is_printed_loads_again_and_prints_the_same),
        IN_FOLDER(folders_must_exist),
    };
    return cmocka_run_group_tests_name("config/mount", tests, NULL, NULL);
}
