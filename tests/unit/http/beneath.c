/* http/beneath.c: what is opened beneath a folder, and what is not, by openat2(2) and by the way
 * that is taken where there is none. */
#include "http/beneath.h"

#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "tests/unit/http/asked.h"

static int root_fd = -1;

static int setup(void **state)
{
    if (asked_enter_folder(state) < 0 || mkdir("root", 0755) < 0 || mkdir("root/a", 0755) < 0 ||
        mkdir("root/a/b", 0755) < 0)
        return -1;
    asked_write("secret", "outside");
    asked_write("root/top", "top");
    asked_write("root/a/b/deep", "deep");
    static const char *const links[][2] = {
        {"top", "root/to_file"},        {"a/b", "root/to_folder"},
        {"../../top", "root/a/b/up"},   {"../secret", "root/to_out"},
        {"/etc/passwd", "root/to_abs"}, {"..", "root/to_parent"},
        {"nowhere", "root/to_nothing"}, {"loop", "root/loop"},
        {"..", "root/a/to_root"},
    };
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            return -1;
    root_fd = asked_open_folder("root");
    return 0;
}

static int teardown(void **state)
{
    fd_close(&root_fd);
    return asked_leave_folder(state);
}

static const struct row {
    const char *path;
    int following; /* the outcome: 0 or an errno */
    int plain;     /* the same where links are not followed */
    int walked;    /* the same without openat2 */
} rows[] = {
    {"top", 0, 0, 0},
    {"a/b/deep", 0, 0, 0},
    {"a", 0, 0, 0},
    {".", 0, 0, 0},
    {"missing", ENOENT, ENOENT, ENOENT},
    {"a/missing/x", ENOENT, ENOENT, ENOENT},
    {"top/x", ENOTDIR, ENOTDIR, ENOTDIR},
    {"to_file", 0, ELOOP, ELOOP},
    {"to_folder/deep", 0, ELOOP, ENOTDIR},
    {"a/b/up", 0, ELOOP, ELOOP}, /* ".." that stays inside */
    {"a/to_root/top", 0, ELOOP, ENOTDIR},
    {"to_out", EXDEV, ELOOP, ELOOP},
    {"to_abs", EXDEV, ELOOP, ELOOP},
    {"to_parent/secret", EXDEV, ELOOP, ENOTDIR},
    {"to_nothing", ENOENT, ELOOP, ELOOP},
    {"loop", ELOOP, ELOOP, ELOOP},
};

static void expect(int rc, int fd, int expected)
{
    CHECK_EQ(rc, -expected);
    CHECK_EQ(fd >= 0, expected == 0);
    if (fd < 0)
        return;
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    fd_close(&fd);
}

static void nothing_leads_out_of_the_folder(void **state)
{
    (void)state;
    bool is_there = asked_has_openat2();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].path);
        int fd = -1;
        int rc = beneath_open(root_fd, rows[i].path, true, &fd);
        expect(rc, fd, is_there ? rows[i].following : rows[i].walked);
        fd = -1;
        rc = beneath_open(root_fd, rows[i].path, false, &fd);
        expect(rc, fd, is_there ? rows[i].plain : rows[i].walked);
    }
}

static void the_other_way_follows_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].path);
        int fd = -1;
        int rc = beneath_walk(root_fd, rows[i].path, &fd);
        expect(rc, fd, rows[i].walked);
    }
}

static void dots_and_roots_are_refused_even_if_they_come(void **state)
{
    (void)state;
    int fd = -1;
    CHECK_EQ(beneath_open(root_fd, "../secret", true, &fd), -EXDEV);
    CHECK_EQ(beneath_open(root_fd, "/etc/passwd", true, &fd),
             asked_has_openat2() ? -EXDEV : -ENOENT);
    CHECK_EQ(beneath_open(root_fd, "a/../../secret", false, &fd), -EXDEV);
    CHECK_EQ(beneath_walk(root_fd, "../secret", &fd), -EXDEV);
    CHECK_EQ(beneath_walk(root_fd, "a/../../secret", &fd), -EXDEV);
    CHECK_EQ(beneath_walk(root_fd, "/etc/passwd", &fd), -ENOENT);
    CHECK_EQ(beneath_walk(root_fd, "", &fd), -ENOENT);
    CHECK_EQ(fd, -1);
}

static void a_fifo_does_not_wait_and_a_socket_does_not_open(void **state)
{
    (void)state;
    int fd = -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "root/socket"};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK_EQ(mkfifo("root/fifo", 0644), 0);
    CHECK_EQ(beneath_open(root_fd, "fifo", true, &fd), 0);
    fd_close(&fd);
    CHECK_EQ(beneath_walk(root_fd, "fifo", &fd), 0);
    fd_close(&fd);
    CHECK_EQ(beneath_open(root_fd, "socket", true, &fd), -ENXIO);
    CHECK_EQ(beneath_walk(root_fd, "socket", &fd), -ENXIO);
    fd_close(&listener);
}

static void a_name_that_is_too_long_is_said_to_be(void **state)
{
    (void)state;
    char name[NAME_MAX + 2];
    int fd = -1;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_EQ(beneath_open(root_fd, name, true, &fd), -ENAMETOOLONG);
    CHECK_EQ(beneath_walk(root_fd, name, &fd), -ENAMETOOLONG);
}

/* A thread of its own, since a filter can't be taken back. Checks belong to the main thread. */
struct forbidden {
    int code;
    int outcomes[sizeof rows / sizeof rows[0]];
};

static void *open_without_openat2(void *arg)
{
    struct forbidden *f = arg;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)f->code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return "no filter";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = -1;
        f->outcomes[i] = beneath_open(root_fd, rows[i].path, true, &fd);
        fd_close(&fd);
    }
    return NULL;
}

static void without_openat2_links_are_not_followed(void **state)
{
    (void)state;
    static const int codes[] = {ENOSYS, EPERM};
    for (size_t c = 0; c < sizeof codes / sizeof codes[0]; c++) {
        struct forbidden f = {.code = codes[c]};
        pthread_t thread;
        void *wrong = NULL;
        CHECK_EQ(pthread_create(&thread, NULL, open_without_openat2, &f), 0);
        CHECK_EQ(pthread_join(thread, &wrong), 0);
        if (wrong)
            skip(); /* a kernel without seccomp filters, or one that forbids them */
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            check_context("%s after %s", rows[i].path, strerror(codes[c]));
            CHECK_EQ(f.outcomes[i], -rows[i].walked);
        }
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(nothing_leads_out_of_the_folder),
        IN_FOLDER(the_other_way_follows_nothing),
        IN_FOLDER(dots_and_roots_are_refused_even_if_they_come),
        IN_FOLDER(a_fifo_does_not_wait_and_a_socket_does_not_open),
        IN_FOLDER(a_name_that_is_too_long_is_said_to_be),
        IN_FOLDER(without_openat2_links_are_not_followed),
    };
    return cmocka_run_group_tests_name("http/beneath", tests, NULL, NULL);
}
