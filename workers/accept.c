/* See accept.h. Process: web workers. */
#include "workers/accept.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define LOG_EVERY_US (60 * CLOCK_US_PER_S) /* of the same trouble: a guess */

enum accept_outcome accept_take(int fd, int *out_fd, struct sockaddr_storage *out_address)
{
    socklen_t len = sizeof *out_address;
    out_address->ss_family = AF_UNSPEC;
    int client_fd = accept4(fd, (struct sockaddr *)out_address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client_fd >= 0) {
        *out_fd = client_fd;
        return ACCEPT_CLIENT;
    }
    switch (errno) {
    case EAGAIN:
        return ACCEPT_EMPTY;
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* a firewall's word */
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ETIMEDOUT:
        return ACCEPT_GONE; /* as accept(2) has it */
    case EMFILE:
    case ENFILE: /* the kernel says so before it looks whether there is anybody */
        return accept_is_waiting(fd) ? ACCEPT_SHORT : ACCEPT_EMPTY;
    default:
        return ACCEPT_FAILED;
    }
}

static bool has(int fd, short events)
{
    int error = errno;
    struct pollfd look = {.fd = fd, .events = events};
    bool is_so = poll(&look, 1, 0) == 1 && (look.revents & events);
    errno = error;
    return is_so;
}

bool accept_is_waiting(int fd)
{
    return has(fd, POLLIN);
}

bool accept_is_shut(int fd)
{
    return has(fd, POLLRDHUP);
}

void accept_log_short(int error, uint64_t now_us)
{
    static uint64_t told_us;
    struct rlimit limit = {0};
    if (told_us > 0 && now_us < told_us + LOG_EVERY_US)
        return;
    told_us = now_us;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    log_error("worker may open no more descriptors: it accepts again when some are closed",
              "reason=\"%s\" limit_nofile=%llu try=\"close what the app leaves open (ls -l "
              "/proc/%d/fd), or raise the limit\"",
              strerror(error), (unsigned long long)limit.rlim_cur, (int)getpid());
}
