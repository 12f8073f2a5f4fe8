/* Datagrams with the credentials of their senders (unix(7), SO_PASSCRED), as systemd takes them. */
#include "tests/harness/manager.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/harness/patience.h"

void manager_open(struct manager *m, const struct server *s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int one = 1;
    *m = (struct manager){.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", server_path(s, "notify"));
    (void)snprintf(m->variable, sizeof m->variable, "NOTIFY_SOCKET=%s", address.sun_path);
    CHECK(m->fd >= 0);
    CHECK(bind(m->fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0);
    CHECK(setsockopt(m->fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
}

void manager_close(struct manager *m)
{
    (void)close(m->fd);
    m->fd = -1;
}

static void take(struct manager *m)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec data = {m->text, sizeof m->text - 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(m->fd, &message, 0);
    CHECK(n >= 0);
    m->text[n] = '\0';
    m->n++;
    m->from = 0;
    const struct cmsghdr *at = CMSG_FIRSTHDR(&message);
    if (at && at->cmsg_type == SCM_CREDENTIALS) {
        struct ucred who;
        memcpy(&who, CMSG_DATA(at), sizeof who);
        m->from = who.pid;
    }
}

static bool has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        if (strncmp(at, line, len) == 0 && (at[len] == '\n' || at[len] == '\0'))
            return true;
    return false;
}

const char *manager_wait(struct manager *m, const char *line)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    do {
        CHECK_SAYING(patience_poll(m->fd, POLLIN, deadline),
                     "the service manager was not told \"%s\"; the last of %u messages:\n%s", line,
                     m->n, m->text);
        take(m);
    } while (!has_line(m->text, line));
    return m->text;
}

unsigned manager_count(struct manager *m, const char *line)
{
    unsigned n = 0;
    while (patience_poll(m->fd, POLLIN, 0)) {
        take(m);
        n += has_line(m->text, line);
    }
    return n;
}
