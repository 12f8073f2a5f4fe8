/* What the network stack lets us have. */
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/mistakes.h"
#include "config/settings.h"
#include "server/doctor.h"
#include "server/pools.h"

static void look_backlog(const struct doctor *d, struct doctor_row *row)
{
    uint64_t most;
    uint32_t backlog = d->settings->backlog;
    if (!doctor_number(d->proc, "sys/net/core/somaxconn", &most)) {
        doctor_found(row, "net.core.somaxconn can't be read; backlog is %" PRIu32, backlog);
        return;
    }
    doctor_found(row, "backlog %" PRIu32 ", net.core.somaxconn %" PRIu64, backlog, most);
    if (most >= backlog)
        return;
    doctor_advise(row, DOCTOR_WARN,
                  "the kernel cuts the queue of connections that wait to be accepted to %" PRIu64
                  " a socket: in a burst clients are not answered at once",
                  most);
    doctor_command(row, "sysctl -w net.core.somaxconn=%" PRIu32, backlog);
}

static void look_syn_backlog(const struct doctor *d, struct doctor_row *row)
{
    uint64_t most, cookies = 1;
    if (!doctor_number(d->proc, "sys/net/ipv4/tcp_max_syn_backlog", &most)) {
        doctor_found(row, "net.ipv4.tcp_max_syn_backlog can't be read");
        return;
    }
    (void)doctor_number(d->proc, "sys/net/ipv4/tcp_syncookies", &cookies);
    doctor_found(row, "net.ipv4.tcp_max_syn_backlog %" PRIu64 ", tcp_syncookies %" PRIu64, most,
                 cookies);
    if (most < d->settings->backlog && cookies == 0) {
        doctor_advise(row, DOCTOR_WARN,
                      "without cookies, half-open connections beyond it are dropped");
        doctor_command(row, "sysctl -w net.ipv4.tcp_syncookies=1");
    }
}

static int open_tcp(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* Connections are spread over the workers by the kernel, and steered away in a drain. */
static void look_reuseport(const struct doctor *d, struct doctor_row *row)
{
    (void)d;
    static struct sock_filter all[] = {{.code = BPF_RET | BPF_K, .k = 0}};
    static const struct sock_fprog program = {.len = 1, .filter = all}; /* its gap is 0, too */
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    int fd = open_tcp();
    const char *failed = NULL;
    if (fd < 0)
        failed = "socket";
    else if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
        failed = "SO_REUSEPORT";
    else if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0)
        failed = "bind";
    else if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) < 0)
        failed = "SO_ATTACH_REUSEPORT_CBPF";
    int error = errno;
    fd_close(&fd);
    if (!failed) {
        doctor_found(row, "SO_REUSEPORT and its filters work");
        return;
    }
    doctor_found(row, "%s: %s", failed, strerror(error));
    doctor_advise(row, DOCTOR_BAD,
                  "connections can't be spread over workers, nor steered away in a drain: another "
                  "kernel, or sandbox (gVisor and the like lack it)");
}

static void look_defer_accept(const struct doctor *d, struct doctor_row *row)
{
    (void)d;
    int seconds = 1;
    int fd = open_tcp();
    int rc = fd < 0 ? -1 : setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
    int error = errno;
    fd_close(&fd);
    if (rc == 0) {
        doctor_found(row, "works");
        return;
    }
    doctor_found(row, "TCP_DEFER_ACCEPT: %s", strerror(error));
    doctor_advise(row, DOCTOR_WARN,
                  "workers are woken for connections on which nothing was said yet");
}

/* As the pools will try it. */
static void look_queues(const struct doctor *d, struct doctor_row *row)
{
    struct mistakes found = {0};
    pools_check_queues(d->settings, &found);
    uint64_t longest = 0;
    for (size_t i = 0; i < d->settings->compute_pools.n; i++)
        if (d->settings->compute_pools.items[i].queue > longest)
            longest = d->settings->compute_pools.items[i].queue;
    if (mistakes_is_empty(&found)) {
        doctor_found(row, "the kernel holds queues of %" PRIu64 " tasks", longest);
    } else {
        doctor_found(row, "%s", found.items[0].text);
        doctor_advise(row, DOCTOR_BAD, "a socket's buffer is too small for such a queue");
        doctor_command(row, "sysctl -w net.core.wmem_max=%" PRIu64, longest * 4096);
    }
    mistakes_fini(&found);
}

/* Whoever reaches it reads route patterns and settings (docs/metrics.md). */
static void look_admin(const struct doctor *d, struct doctor_row *row)
{
    const struct setting_bind *bind = d->settings->admin_bind;
    if (!bind) {
        doctor_found(row, "off: no metrics, no /readyz; admin: {bind: 127.0.0.1:9190} has them");
        return;
    }
    doctor_found(row, "%s; whether it is free was not tried", bind->text);
    if (bind->host && (strcmp(bind->host, "0.0.0.0") == 0 || strcmp(bind->host, "::") == 0))
        doctor_advise(row, DOCTOR_WARN,
                      "on every address of this machine, and whoever reaches it reads settings and "
                      "routes: an address that only your monitoring reaches, or a firewall");
}

const struct doctor_check doctor_sockets_checks[] = {
    {"backlog", look_backlog, false},      {"syn_backlog", look_syn_backlog, false},
    {"reuseport", look_reuseport, true},   {"defer_accept", look_defer_accept, true},
    {"compute_queues", look_queues, true}, {"admin", look_admin, false},
};
const size_t doctor_sockets_n = sizeof doctor_sockets_checks / sizeof doctor_sockets_checks[0];
