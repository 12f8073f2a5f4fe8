/* Tests of base/safedir.c, in a folder of its own: complete or not there, bounded, no links
 * followed. */
#include "base/safedir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"

static char folder[64];
static int fd = -1;
static struct err err;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/safedir-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 && safedir_open(folder, &fd, &err) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    fd_close(&fd);
    return chdir("/") == 0 ? nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

static int write_one(const char *name, size_t max)
{
    const struct safedir_file files[] = {{"one", "1\n", 2}, {"two", "22\n", 3}, {"none", "", 0}};
    return safedir_write(fd, "crash-", name, files, 3, max, &err);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777U;
}

static unsigned count(const char *prefix)
{
    unsigned n = 0;
    DIR *list = opendir(".");
    assert_non_null(list);
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list))
        n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(list);
    return n;
}

static void files_are_there_for_nobody_else(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    (void)umask(0);
    assert_int_equal(write_one("crash-1", 5), 0);
    assert_int_equal(mode_of("crash-1"), 0700);
    assert_int_equal(mode_of("crash-1/one"), 0600);
    assert_int_equal(fd_read_file("crash-1/two", 10, &text, &len), 0);
    assert_string_equal(text, "22\n");
    free(text);
    assert_int_equal(mode_of("crash-1/none"), 0600);
    assert_int_equal(count("."), 2); /* nothing half-done */
}

static void the_oldest_make_room(void **state)
{
    (void)state;
    char name[32];
    for (int i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "crash-%d", i);
        assert_int_equal(write_one(name, 3), 0);
        assert_true(count("crash-") <= 3);
    }
    assert_int_equal(access("crash-7/one", F_OK), 0);
    assert_int_equal(access("crash-6", F_OK), -1);
    assert_int_equal(write_one("crash-a", 1), 0); /* the bound was lowered */
    assert_int_equal(count("crash-"), 1);
}

/* What is not ours is left alone: other names, files, folders with folders in them, and what links
 * lead to. */
static void what_is_not_ours_stays(void **state)
{
    (void)state;
    assert_int_equal(mkdir("notes", 0700), 0);
    assert_int_equal(mkdir("crash-0", 0700), 0);
    assert_int_equal(mkdir("crash-0/mine", 0700), 0);
    assert_int_equal(mkdir("elsewhere", 0700), 0);
    int file = open("elsewhere/precious", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fd_close(&file);
    assert_int_equal(symlink("elsewhere", "crash-00"), 0);
    for (int i = 1; i < 6; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "crash-%d", i);
        assert_int_equal(write_one(name, 2), 0);
    }
    assert_int_equal(access("crash-0/mine", F_OK), 0);
    assert_int_equal(access("elsewhere/precious", F_OK), 0);
    assert_int_equal(access("crash-5/one", F_OK), 0);
    assert_int_equal(access("crash-2", F_OK), -1);
}

static void a_name_that_is_taken_by_a_link_is_not_followed(void **state)
{
    (void)state;
    assert_int_equal(mkdir("elsewhere", 0700), 0);
    assert_int_equal(symlink("elsewhere", ".half-done-crash-1"), 0);
    (void)write_one("crash-1", 5);
    assert_int_equal(access("elsewhere/one", F_OK), -1);
}

static void half_done_ones_of_the_dead_go(void **state)
{
    (void)state;
    assert_int_equal(mkdir(".half-done-crash-0", 0700), 0);
    int file = open(".half-done-crash-0/one", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fd_close(&file);
    assert_int_equal(write_one("crash-1", 5), 0);
    assert_int_equal(count(".half-done"), 0);
}

/* As a full disk: nothing half-done stays, and what was there is kept. */
static void what_can_not_be_written_leaves_nothing(void **state)
{
    (void)state;
    static char large[100000];
    const struct safedir_file files[] = {{"one", "1\n", 2}, {"large", large, sizeof large}};
    assert_int_equal(write_one("crash-1", 1), 0);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit small = {10, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = safedir_write(fd, "crash-", "crash-2", files, 2, 1, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(rc, -EFBIG);
    assert_non_null(strstr(err.text, "large"));
    assert_int_equal(count("crash-2"), 0);
    assert_int_equal(count(".half-done"), 0);
    assert_int_equal(access("crash-1/one", F_OK), 0);
}

static void a_folder_that_others_can_write_to_is_refused(void **state)
{
    (void)state;
    int other = -1;
    assert_int_equal(mkdir("open", 0700), 0);
    assert_int_equal(chmod("open", 0720), 0);
    assert_int_equal(safedir_open("open", &other, &err), -EPERM);
    assert_non_null(strstr(err.text, "others"));
    assert_int_equal(chmod("open", 0755), 0);
    assert_int_equal(safedir_open("open", &other, &err), 0);
    fd_close(&other);
    assert_int_equal(safedir_open("not-there", &other, &err), -ENOENT);
    assert_int_equal(safedir_open("/dev/null", &other, &err), -ENOTDIR);
    if (geteuid() != 0) {
        assert_int_equal(chmod("open", 0555), 0);
        assert_int_equal(safedir_open("open", &other, &err), -EACCES);
    } else {
        assert_int_equal(chown("open", 4711, 4711), 0);
        assert_int_equal(safedir_open("open", &other, &err), -EPERM);
        assert_non_null(strstr(err.text, "4711"));
    }
    assert_int_equal(other, -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(files_are_there_for_nobody_else),
        TEST(the_oldest_make_room),
        TEST(what_is_not_ours_stays),
        TEST(a_name_that_is_taken_by_a_link_is_not_followed),
        TEST(half_done_ones_of_the_dead_go),
        TEST(what_can_not_be_written_leaves_nothing),
        TEST(a_folder_that_others_can_write_to_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
