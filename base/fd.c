/* Descriptors and the messages that carry them. Everything here is born close-on-exec. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* since Linux 6.3; older kernels refuse it with EINVAL */
#endif

void fd_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* Linux frees the number even on EINTR, close(2) */
    *fd = -1;
}

int fd_set_nonblock(int fd, bool is_on)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    int wanted = is_on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0)
        return -errno;
    return 0;
}

int fd_write_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int fd_reopen_to_read(int fd)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int read_fd = open(path, O_RDONLY | O_CLOEXEC);
    return read_fd >= 0 ? read_fd : -errno;
}

static int read_open_file(int fd, size_t max_bytes, char **out_text, size_t *out_len)
{
    size_t cap = 4096;
    size_t len = 0;
    char *text = malloc(cap);
    if (!text)
        return -ENOMEM;
    for (;;) {
        if (len + 1 == cap) {
            char *grown = realloc(text, cap * 2);
            if (!grown) {
                free(text);
                return -ENOMEM;
            }
            text = grown;
            cap *= 2;
        }
        ssize_t n = read(fd, text + len, cap - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        int failed = n < 0 ? errno : 0;
        if (n > 0)
            len += (size_t)n;
        if (failed || len > max_bytes) {
            free(text);
            return failed ? -failed : -EFBIG;
        }
        if (n == 0)
            break;
    }
    text[len] = '\0';
    *out_text = text;
    *out_len = len;
    return 0;
}

int fd_read_file(const char *path, size_t max_bytes, char **out_text, size_t *out_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int rc = read_open_file(fd, max_bytes, out_text, out_len);
    fd_close(&fd);
    return rc;
}

int fd_read_regular(const char *path, size_t max_bytes, char **out_text, size_t *out_len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* fifo(7) */
    if (fd < 0)
        return errno == ENXIO ? -ESPIPE : -errno; /* ENXIO: a unix socket's file */
    int rc = fstat(fd, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? -EISDIR : 0;
    if (rc == 0)
        rc = S_ISREG(st.st_mode) ? read_open_file(fd, max_bytes, out_text, out_len) : -ESPIPE;
    fd_close(&fd);
    return rc;
}

static int copy_bytes(int to, int from)
{
    for (;;) {
        ssize_t n = sendfile(to, from, NULL, 1U << 24);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
    }
}

int fd_copy_sealed(const char *path, const char *name, int *out_fd, struct err *err)
{
    int rc = 0;
    int copy = -1;
    /* Without waiting: a fifo without a writer would hold up the master for ever. */
    int source = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (source < 0)
        return err_set(err, errno, "can't open %s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(source, &st) < 0) {
        rc = err_set(err, errno, "can't stat %s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = err_set(err, EINVAL, "%s is not a regular file", path);
        goto out;
    }
    copy = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (copy < 0 && errno == EINVAL)
        copy = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0) {
        rc = err_set(err, errno, "memfd_create: %s", strerror(errno));
        goto out;
    }
    rc = copy_bytes(copy, source);
    if (rc < 0) {
        (void)err_set(err, -rc, "can't copy %s into memory: %s", path, strerror(-rc));
        goto out;
    }
    if (fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        rc = err_set(err, errno, "can't seal the copy of %s: %s", path, strerror(errno));
        goto out;
    }
    *out_fd = copy;
    copy = -1;
out:
    fd_close(&copy);
    fd_close(&source);
    return rc;
}

union control_space {
    struct cmsghdr header; /* for its alignment, cmsg(3) */
    char bytes[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
};

int fd_send(int socket_fd, const void *data, size_t len, const int *fds, size_t n_fds)
{
    if (n_fds > FD_PASS_MAX)
        return -EINVAL;
    union control_space control = {0};
    struct iovec part = {(void *)(uintptr_t)data, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (n_fds > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return 0;
}

/* Those beyond FD_PASS_MAX are closed, and tell that the message is to be refused. */
static size_t take_descriptors(const struct cmsghdr *header, int fds[FD_PASS_MAX], bool *is_over)
{
    size_t n_fds = 0;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
        if (n_fds < FD_PASS_MAX) {
            fds[n_fds++] = fd;
        } else {
            *is_over = true;
            fd_close(&fd);
        }
    }
    return n_fds;
}

static pid_t take_sender(const struct cmsghdr *header)
{
    struct ucred sender;
    if (header->cmsg_len < CMSG_LEN(sizeof sender))
        return 0;
    memcpy(&sender, CMSG_DATA(header), sizeof sender);
    return sender.pid;
}

static ssize_t receive_one(int socket_fd, struct msghdr *message, int fds[FD_PASS_MAX],
                           size_t *out_n_fds, pid_t *out_pid, bool *out_is_bereft)
{
    ssize_t n;
    do
        n = recvmsg(socket_fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    size_t n_fds = 0;
    bool is_cut = (message->msg_flags & MSG_CTRUNC) != 0;
    bool is_over = (message->msg_flags & MSG_TRUNC) != 0;
    *out_pid = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
            n_fds = take_descriptors(header, fds, &is_over);
        else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
            *out_pid = take_sender(header);
    }
    /* Room for FD_PASS_MAX was given: if fewer came, the kernel could not install the next. */
    bool is_bereft = is_cut && !is_over && n_fds < FD_PASS_MAX;
    is_over = is_over || (is_cut && !is_bereft);
    bool is_empty = n == 0; /* which is taken for the end: nobody would close what came with it */
    for (size_t i = 0; (is_over || is_bereft || is_empty) && i < n_fds; i++)
        fd_close(&fds[i]);
    if (is_over)
        return -EMSGSIZE;
    *out_is_bereft = is_bereft;
    if (!is_bereft)
        *out_n_fds = is_empty ? 0 : n_fds;
    return n;
}

ssize_t fd_receive(int socket_fd, void *data, size_t cap, int fds[FD_PASS_MAX], size_t *out_n_fds)
{
    union control_space control = {0};
    struct iovec part = {data, cap};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    pid_t unknown;
    bool is_bereft = false;
    ssize_t n = receive_one(socket_fd, &message, fds, out_n_fds, &unknown, &is_bereft);
    if (n >= 0 && is_bereft)
        return (size_t)n == cap ? -EMFILE : -EMSGSIZE;
    return n;
}

ssize_t fd_receive_from(int socket_fd, void *data, size_t cap, int fds[FD_PASS_MAX],
                        size_t *out_n_fds, pid_t *out_pid, bool *out_is_bereft)
{
    union {
        struct cmsghdr header; /* for its alignment, cmsg(3) */
        char bytes[CMSG_SPACE(FD_PASS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control = {0};
    struct iovec part = {data, cap};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    *out_n_fds = 0;
    return receive_one(socket_fd, &message, fds, out_n_fds, out_pid, out_is_bereft);
}

int fd_lowest_free(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return errno == EMFILE ? INT_MAX : 0;
    (void)close(copy);
    return copy;
}

bool fd_has_room(void)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}
