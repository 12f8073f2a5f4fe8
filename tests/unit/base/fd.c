/* base/fd.c */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/remuda-fd-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path_of("file"));
    (void)unlink(path_of("fifo"));
    return rmdir(folder);
}

static void write_file(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, data, len), 0);
    fd_close(&fd);
}

static size_t count_open(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static bool is_closed_on_exec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static void fd_close_closes_once_and_forgets(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int number = fd;
    assert_true(fd >= 0);
    fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    fd_close(&fd);
    assert_int_equal(fd, -1);
}

static void fd_set_nonblock_goes_both_ways(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fd_set_nonblock(ends[0], true), 0);
    assert_true(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(fd_set_nonblock(ends[0], true), 0);
    assert_int_equal(fd_set_nonblock(ends[0], false), 0);
    assert_false(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
    assert_int_equal(fd_set_nonblock(-1, true), -EBADF);
    assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
    assert_int_equal(fd_write_all(-1, "", 0), 0);
}

static void fd_read_file_reads_whole_files_up_to_the_limit(void **state)
{
    (void)state;
    static char data[20000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31);
    static const size_t sizes[] = {0, 1, 4094, 4095, 4096, 4097, 8191, 20000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_file(path_of("file"), data, sizes[i]);
        char *text = NULL;
        size_t len = 999;
        assert_int_equal(fd_read_file(path_of("file"), sizes[i], &text, &len), 0);
        assert_int_equal(len, sizes[i]);
        assert_memory_equal(text, data, len);
        assert_int_equal(text[len], '\0');
        free(text);
        if (sizes[i] == 0)
            continue;
        text = NULL;
        assert_int_equal(fd_read_file(path_of("file"), sizes[i] - 1, &text, &len), -EFBIG);
        assert_null(text);
    }
    char *text = NULL;
    size_t len;
    size_t n_open = count_open();
    assert_int_equal(fd_read_file(path_of("none"), 10, &text, &len), -ENOENT);
    assert_int_equal(fd_read_file(folder, 10, &text, &len), -EISDIR);
    assert_int_equal(count_open(), n_open);
}

static void fd_read_regular_waits_for_nobody(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    write_file(path_of("file"), "some", 4);
    assert_int_equal(fd_read_regular(path_of("file"), 4, &text, &len), 0);
    assert_string_equal(text, "some");
    free(text);
    size_t n_open = count_open();
    assert_int_equal(fd_read_regular(path_of("file"), 3, &text, &len), -EFBIG);
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_int_equal(fd_read_regular(path_of("fifo"), 10, &text, &len), -ESPIPE);
    assert_int_equal(unlink(path_of("fifo")), 0);
    assert_int_equal(fd_read_regular("/dev/zero", 10, &text, &len), -ESPIPE);
    assert_int_equal(fd_read_regular(folder, 10, &text, &len), -EISDIR);
    assert_int_equal(fd_read_regular(path_of("none"), 10, &text, &len), -ENOENT);
    assert_int_equal(count_open(), n_open);
}

static void fd_copy_sealed_makes_a_copy_that_nobody_can_change(void **state)
{
    (void)state;
    static char data[300000];
    memset(data, 'x', sizeof data);
    write_file(path_of("file"), data, sizeof data);
    int fd = -1;
    struct err err;
    size_t n_open = count_open();
    assert_int_equal(fd_copy_sealed(path_of("file"), "remuda-test", &fd, &err), 0);
    assert_int_equal(count_open(), n_open + 1);
    assert_true(is_closed_on_exec(fd));
    write_file(path_of("file"), "changed", 7); /* in place, the worst way */

    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, sizeof data);
    assert_true(st.st_mode & S_IXUSR);
    char *map = mmap(NULL, sizeof data, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    assert_true(map != MAP_FAILED);
    assert_memory_equal(map, data, sizeof data);
    assert_int_equal(munmap(map, sizeof data), 0);
    assert_int_equal(pwrite(fd, "y", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, (off_t)sizeof data + 1), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_true(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    char link[64];
    char target[128] = "";
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    assert_true(readlink(link, target, sizeof target - 1) > 0);
    assert_non_null(strstr(target, "memfd:remuda-test"));
    fd_close(&fd);
}

static void fd_copy_sealed_says_what_it_cannot_copy(void **state)
{
    (void)state;
    int fd = 4711;
    struct err err;
    size_t n_open = count_open();
    assert_int_equal(fd_copy_sealed(path_of("none"), "x", &fd, &err), -ENOENT);
    assert_non_null(strstr(err.text, "none"));
    assert_int_equal(fd_copy_sealed(folder, "x", &fd, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(fd, 4711);
    assert_int_equal(count_open(), n_open);
}

/* Nobody may have to wait for a pipe that happens to lie where the app should be. */
static void fd_copy_sealed_does_not_wait_for_a_fifo(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    (void)alarm(20); /* ends the test where open(2) waits for a writer */
    int fd = -1;
    struct err err;
    assert_int_equal(fd_copy_sealed(path_of("fifo"), "x", &fd, &err), -EINVAL);
    (void)alarm(0);
}

/* ---- messages ---- */

static void make_pair(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void fd_messages_carry_descriptors(void **state)
{
    (void)state;
    int ends[2];
    make_pair(ends);
    for (size_t n = 0; n <= FD_PASS_MAX; n++) {
        int passed[FD_PASS_MAX];
        for (size_t i = 0; i < n; i++) {
            passed[i] = memfd_create("passed", MFD_CLOEXEC);
            char digit = (char)('0' + i);
            assert_int_equal(pwrite(passed[i], &digit, 1, 0), 1);
        }
        assert_int_equal(fd_send(ends[0], "hello", 5, passed, n), 0);
        for (size_t i = 0; i < n; i++)
            fd_close(&passed[i]); /* in flight, they live on */
        int fds[FD_PASS_MAX];
        size_t n_fds = 999;
        char data[16];
        assert_int_equal(fd_receive(ends[1], data, sizeof data, fds, &n_fds), 5);
        assert_memory_equal(data, "hello", 5);
        assert_int_equal(n_fds, n);
        for (size_t i = 0; i < n; i++) {
            char digit = 0;
            assert_true(is_closed_on_exec(fds[i]));
            assert_int_equal(pread(fds[i], &digit, 1, 0), 1);
            assert_int_equal(digit, '0' + i);
            fd_close(&fds[i]);
        }
    }
    assert_int_equal(fd_send(ends[0], "x", 1, ends, FD_PASS_MAX + 1), -EINVAL);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
}

static void fd_messages_never_wait(void **state)
{
    (void)state;
    int ends[2];
    make_pair(ends);
    int fds[FD_PASS_MAX];
    size_t n_fds;
    char data[1024] = {0};
    assert_int_equal(fd_receive(ends[1], data, sizeof data, fds, &n_fds), -EAGAIN);
    int rc = 0;
    for (int i = 0; i < 100000 && rc == 0; i++)
        rc = fd_send(ends[0], data, sizeof data, NULL, 0);
    assert_int_equal(rc, -EAGAIN);
    fd_close(&ends[0]);
    while (fd_receive(ends[1], data, sizeof data, fds, &n_fds) > 0)
        continue;
    assert_int_equal(fd_receive(ends[1], data, sizeof data, fds, &n_fds), 0); /* the peer is gone */
    assert_int_equal(fd_send(ends[1], "x", 1, NULL, 0), -EPIPE);              /* and no SIGPIPE */
    fd_close(&ends[1]);
}

/* What a faulty or hostile child may send: its descriptors must not pile up here. */
/* Room for one descriptor, and two come. */
static void fd_receive_keeps_a_message_without_the_descriptors_that_have_no_room(void **state)
{
    (void)state;
    enum { LIMIT = 64 };
    int ends[2], fds[FD_PASS_MAX], fill[LIMIT], n_fill = 0;
    char data[8];
    size_t n_fds = 7;
    struct rlimit before;
    if (getenv("REMUDA_UNDER_VALGRIND"))
        skip(); /* it keeps limits of its own */
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit limit = {.rlim_cur = LIMIT, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (fd_has_room())
        fill[n_fill++] = dup(ends[0]);
    close(fill[--n_fill]);
    assert_int_equal(fd_send(ends[0], "12345678", 8, ends, 2), 0);
    assert_int_equal(fd_receive(ends[1], data, sizeof data, fds, &n_fds), -EMFILE);
    assert_memory_equal(data, "12345678", 8);
    assert_int_equal(n_fds, 7);
    assert_true(fd_has_room()); /* the one that had come was closed */
    assert_int_equal(fd_send(ends[0], "1234", 4, ends, 2), 0);
    assert_int_equal(fd_receive(ends[1], data, sizeof data, fds, &n_fds), -EMSGSIZE);
    pid_t pid;
    bool is_bereft = false;
    assert_int_equal(fd_send(ends[0], "1234", 4, ends, 2), 0);
    assert_int_equal(fd_receive_from(ends[1], data, sizeof data, fds, &n_fds, &pid, &is_bereft), 4);
    assert_true(is_bereft && n_fds == 0);
    assert_true(fd_has_room());
    assert_int_equal(fd_send(ends[0], "1234", 4, ends, 1), 0);
    assert_int_equal(fd_receive(ends[1], data, sizeof data, fds, &n_fds), 4);
    assert_int_equal(n_fds, 1);
    assert_false(fd_has_room());
    assert_int_equal(fd_lowest_free(0), INT_MAX);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (n_fill > 0)
        close(fill[--n_fill]);
    close(fds[0]);
    close(ends[0]);
    close(ends[1]);
}

static void fd_receive_refuses_messages_that_are_cut_and_closes_what_came(void **state)
{
    (void)state;
    int ends[2];
    make_pair(ends);
    int passed = open("/dev/null", O_RDONLY | O_CLOEXEC);
    size_t n_open = count_open();
    int fds[FD_PASS_MAX];
    size_t n_fds;
    char data[4];
    assert_int_equal(fd_send(ends[0], "too long", 8, &passed, 1), 0);
    assert_int_equal(fd_receive(ends[1], data, sizeof data, fds, &n_fds), -EMSGSIZE);
    assert_int_equal(count_open(), n_open);

    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE((FD_PASS_MAX + 1) * sizeof(int))];
    } control = {0};
    char text[] = "many";
    struct iovec part = {text, 4};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((FD_PASS_MAX + 1) * sizeof(int));
    for (size_t i = 0; i < FD_PASS_MAX + 1; i++)
        memcpy(CMSG_DATA(header) + i * sizeof(int), &passed, sizeof passed);
    assert_int_equal(sendmsg(ends[0], &message, 0), 4);
    assert_int_equal(fd_receive(ends[1], data, sizeof data, fds, &n_fds), -EMSGSIZE);
    assert_int_equal(count_open(), n_open);
    pid_t pid = -1;
    bool is_bereft = true;
    assert_int_equal(sendmsg(ends[0], &message, 0), 4);
    assert_int_equal(fd_receive_from(ends[1], data, sizeof data, fds, &n_fds, &pid, &is_bereft),
                     -EMSGSIZE);
    assert_int_equal(count_open(), n_open);
    /* without octets it looks like the end, at which nobody expects descriptors */
    assert_int_equal(fd_send(ends[0], "", 0, &passed, 1), 0);
    assert_int_equal(fd_receive(ends[1], data, sizeof data, fds, &n_fds), 0);
    assert_int_equal(count_open(), n_open);
    fd_close(&passed);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
}

static void fd_receive_from_says_whose_a_message_is(void **state)
{
    (void)state;
    const int on = 1;
    int ends[2];
    make_pair(ends);
    int fds[FD_PASS_MAX];
    int passed[FD_PASS_MAX] = {ends[0], ends[0], ends[0], ends[0]};
    size_t n_fds = 99;
    pid_t pid = -1;
    bool is_bereft = true;
    char data[4];
    assert_int_equal(fd_send(ends[0], "one", 3, NULL, 0), 0);
    assert_int_equal(fd_receive_from(ends[1], data, sizeof data, fds, &n_fds, &pid, &is_bereft), 3);
    assert_int_equal(pid, 0); /* nobody asked the kernel */
    assert_int_equal(n_fds, 0);
    assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    assert_int_equal(fd_send(ends[0], "two", 3, passed, FD_PASS_MAX), 0);
    assert_int_equal(fd_receive_from(ends[1], data, sizeof data, fds, &n_fds, &pid, &is_bereft), 3);
    assert_int_equal(pid, getpid());
    assert_int_equal(n_fds, FD_PASS_MAX);
    assert_false(is_bereft);
    for (size_t i = 0; i < n_fds; i++)
        fd_close(&fds[i]);
    assert_int_equal(fd_send(ends[0], "too long", 8, NULL, 0), 0);
    assert_int_equal(fd_receive_from(ends[1], data, sizeof data, fds, &n_fds, &pid, &is_bereft),
                     -EMSGSIZE);
    assert_int_equal(pid, getpid());
    fd_close(&ends[0]);
    fd_close(&ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fd_close_closes_once_and_forgets),
        cmocka_unit_test(fd_set_nonblock_goes_both_ways),
        cmocka_unit_test(fd_read_file_reads_whole_files_up_to_the_limit),
        cmocka_unit_test(fd_read_regular_waits_for_nobody),
        cmocka_unit_test(fd_copy_sealed_makes_a_copy_that_nobody_can_change),
        cmocka_unit_test(fd_copy_sealed_says_what_it_cannot_copy),
        cmocka_unit_test(fd_copy_sealed_does_not_wait_for_a_fifo),
        cmocka_unit_test(fd_messages_carry_descriptors),
        cmocka_unit_test(fd_messages_never_wait),
        cmocka_unit_test(fd_receive_keeps_a_message_without_the_descriptors_that_have_no_room),
        cmocka_unit_test(fd_receive_refuses_messages_that_are_cut_and_closes_what_came),
        cmocka_unit_test(fd_receive_from_says_whose_a_message_is),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
