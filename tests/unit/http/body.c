/* http/body.c: a body in memory, or in a spool file; what either holds, and that nothing stays. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

static bool has_no_nameless; /* the file system */
static unsigned n_refused;

static int try_open(const char *path, int flags, unsigned mode)
{
    if (!has_no_nameless || (flags & O_TMPFILE) != O_TMPFILE)
        return open(path, flags, mode);
    n_refused++;
    errno = EOPNOTSUPP;
    return -1;
}

/* With another open(2); the linker takes it instead of the library's. */
#define open try_open
#include "http/body.c"
#undef open

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/check.h"

#define N 300000U

static char octets[N];
static char folder[64];
static struct http_limits limits;
static struct body body;

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N; i++)
        octets[i] = (char)((i * 2654435761U) >> 13);
    (void)snprintf(folder, sizeof folder, "/tmp/remuda-body-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    limits = (struct http_limits)LIMITS_DEFAULT;
    limits.body_buffer = 1000;
    body_init(&body);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    body_fini(&body);
    CHECK(rmdir(folder) == 0); /* and so it is empty */
    return 0;
}

static unsigned count_fds(void)
{
    DIR *fds = opendir("/proc/self/fd");
    unsigned n = 0;
    CHECK(fds != NULL);
    while (readdir(fds))
        n++;
    (void)closedir(fds);
    return n;
}

static void append(size_t from, size_t len)
{
    CHECK_EQ(body_append(&body, &limits, octets + from, len), 0);
}

static void check_body(size_t len)
{
    struct str view;
    CHECK_EQ(body.len, len);
    CHECK_EQ(body_view(&body, &view), 0);
    CHECK_BYTES(view.p, view.len, octets, len);
    const char *first = view.p;
    CHECK_EQ(body_view(&body, &view), 0); /* the same place each time */
    CHECK(view.p == first);
}

static void a_body_is_one_piece_wherever_it_lies(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 999, 1000, 1001, 4096, N};
    static const size_t pieces[] = {1, 333, 1000, 1001, N};
    unsigned fds = count_fds();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t k = lengths[i] > 5000; k < sizeof pieces / sizeof pieces[0]; k++)
            for (int is_named = 0; is_named <= 1; is_named++) {
                check_context("%zu octets in pieces of %zu", lengths[i], pieces[k]);
                limits.spool_dir = is_named ? folder : NULL;
                for (size_t at = 0, n; at < lengths[i]; at += n) {
                    n = pieces[k] < lengths[i] - at ? pieces[k] : lengths[i] - at;
                    append(at, n);
                    CHECK_EQ(body.len, at + n);
                    CHECK_EQ(body.fd >= 0, at + n > 1000);
                }
                check_body(lengths[i]);
                CHECK_EQ(count_fds(), fds + (lengths[i] > 1000));
                body_reset(&body);
                CHECK_EQ(body.fd, -1);
                CHECK_EQ(body.len, 0);
                CHECK(body.map == NULL);
                CHECK_EQ(count_fds(), fds);
            }
}

static void nothing_of_one_body_is_in_the_next(void **state)
{
    (void)state;
    struct str view;
    append(0, 5000);
    check_body(5000);
    body_reset(&body);
    append(7, 10);
    CHECK_EQ(body_view(&body, &view), 0);
    CHECK_BYTES(view.p, view.len, octets + 7, 10);
    body_reset(&body);
    CHECK_EQ(body_view(&body, &view), 0);
    CHECK_EQ(view.len, 0);
    append(9, 2000);
    CHECK_EQ(body_view(&body, &view), 0);
    CHECK_BYTES(view.p, view.len, octets + 9, 2000);
}

static void a_spool_file_has_no_name_and_is_for_nobody_else(void **state)
{
    (void)state;
    for (int is_named = 0; is_named <= 1; is_named++) {
        struct stat st, folder_st;
        limits.spool_dir = is_named ? folder : "";
        append(0, 2000);
        CHECK(fstat(body.fd, &st) == 0 && stat(folder, &folder_st) == 0);
        CHECK_EQ(st.st_nlink, 0);
        CHECK_EQ(st.st_size, 2000);
        CHECK_EQ(st.st_dev == folder_st.st_dev, is_named);
        CHECK(!is_named || (st.st_mode & 077) == 0);
        CHECK(fcntl(body.fd, F_GETFD) & FD_CLOEXEC);
        body_reset(&body);
    }
}

static void a_body_may_be_read_straight_to_its_place(void **state)
{
    (void)state;
    for (size_t at = 0; at < 900; at += 90) {
        char *space;
        size_t room;
        CHECK_EQ(body_reserve(&body, 100, &space, &room), 0);
        CHECK(room >= 100);
        memcpy(space, octets + at, 90);
        body_commit(&body, 90);
    }
    check_body(900);
    append(900, 100); /* and goes on otherwise */
    check_body(1000);
    CHECK_EQ(body.fd, -1);
    append(1000, 1);
    check_body(1001);
    CHECK(body.fd >= 0);
}

static void buffers_of_ordinary_size_are_kept_and_large_ones_are_not(void **state)
{
    (void)state;
    char *space;
    size_t room;
    append(0, 900);
    body_reset(&body);
    CHECK(body.memory.cap >= 900);
    CHECK_EQ(body_reserve(&body, 1 << 20, &space, &room), 0);
    body_commit(&body, 1 << 20);
    body_reset(&body);
    CHECK_EQ(body.memory.cap, 0);
    append(0, 900);
    append(900, 900); /* moved: the file has it */
    CHECK_EQ(body.memory.cap, 0);
    check_body(1800);
}

/* ---- failures ---- */

static void a_folder_that_takes_no_files_says_why(void **state)
{
    (void)state;
    static char longest[5000];
    unsigned fds = count_fds();
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    const struct {
        const char *folder;
        int error;
    } rows[] = {
        {"/nonexistent/folder", -ENOENT}, {"/dev/null", -ENOTDIR}, {longest, -ENAMETOOLONG}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%.40s", rows[i].folder);
        limits.spool_dir = rows[i].folder;
        append(0, 1000);
        CHECK_EQ(body_append(&body, &limits, octets, 1), rows[i].error);
        CHECK_EQ(body.len, 1000);
        CHECK_EQ(body.fd, -1);
        body_reset(&body);
        CHECK_EQ(count_fds(), fds);
    }
}

/* File systems that know no files without a name (open(2), O_TMPFILE, EOPNOTSUPP). */
static void a_file_system_without_nameless_files_gets_a_name_for_a_moment(void **state)
{
    (void)state;
    struct stat st, folder_st;
    has_no_nameless = true;
    n_refused = 0;
    limits.spool_dir = folder;
    append(0, 1000);
    append(1000, 1000);
    check_body(2000);
    CHECK_EQ(n_refused, 1);
    CHECK(fstat(body.fd, &st) == 0 && stat(folder, &folder_st) == 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(st.st_dev, folder_st.st_dev);
    CHECK_EQ(st.st_mode & 077, 0);
    CHECK(fcntl(body.fd, F_GETFD) & FD_CLOEXEC);
    body_reset(&body);
    static char longest[5000];
    memset(longest, '/', sizeof longest - 1);
    const struct {
        const char *folder;
        int error;
    } rows[] = {{"/nonexistent", -ENOENT}, {longest, -ENAMETOOLONG}};
    for (size_t i = 0; i < 2; i++) {
        limits.spool_dir = rows[i].folder;
        append(0, 1000);
        CHECK_EQ(body_append(&body, &limits, octets, 1), rows[i].error);
        body_reset(&body);
    }
    has_no_nameless = false;
}

static void a_full_file_system_says_so_at_the_octets_that_are_too_many(void **state)
{
    (void)state;
    unsigned fds = count_fds();
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    struct rlimit now = {.rlim_cur = 5000, .rlim_max = before.rlim_max};
    for (int is_named = 0; is_named <= 1; is_named++) {
        limits.spool_dir = is_named ? folder : NULL;
        append(0, 1000);
        CHECK(setrlimit(RLIMIT_FSIZE, &now) == 0);
        append(1000, 4000);
        int rc = body_append(&body, &limits, octets, 1);
        CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
        CHECK_EQ(rc, -EFBIG);
        CHECK_EQ(body_status(rc), 507);
        CHECK_EQ(body.len, 5000);
        body_reset(&body);
        CHECK_EQ(count_fds(), fds);
        now.rlim_cur = 500; /* not even what is in memory */
        append(0, 1000);
        CHECK(setrlimit(RLIMIT_FSIZE, &now) == 0);
        rc = body_append(&body, &limits, octets, 1);
        CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
        CHECK_EQ(rc, -EFBIG);
        body_reset(&body);
        CHECK_EQ(count_fds(), fds);
        now.rlim_cur = 5000;
    }
    (void)signal(SIGXFSZ, handler);
}

static void the_status_tells_a_full_folder_from_other_trouble(void **state)
{
    (void)state;
    static const struct {
        int error, status;
    } rows[] = {{-ENOSPC, 507}, {-EDQUOT, 507}, {-EFBIG, 507},  {-ENOMEM, 503},
                {-EIO, 503},    {-ENOENT, 503}, {-EACCES, 503}, {-EMFILE, 503}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_EQ(body_status(rows[i].error), rows[i].status);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_body_is_one_piece_wherever_it_lies),
        TEST(nothing_of_one_body_is_in_the_next),
        TEST(a_spool_file_has_no_name_and_is_for_nobody_else),
        TEST(a_body_may_be_read_straight_to_its_place),
        TEST(buffers_of_ordinary_size_are_kept_and_large_ones_are_not),
        TEST(a_folder_that_takes_no_files_says_why),
        TEST(a_file_system_without_nameless_files_gets_a_name_for_a_moment),
        TEST(a_full_file_system_says_so_at_the_octets_that_are_too_many),
        TEST(the_status_tells_a_full_folder_from_other_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
