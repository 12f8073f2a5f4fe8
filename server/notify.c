/* The service manager's protocol: datagrams of VARIABLE=value lines to a unix socket. Process:
 * master.
 *
 * Written here and not taken from libsystemd: it is one sendto(2), the protocol is promised to stay
 * (sd_notify(3), "Standalone Implementations"), and so it works in every build, also under managers
 * that are not systemd. Only the difference between what was told and what is goes out, so a
 * datagram that was not taken is simply told again. */
#include "server/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"

#define DATAGRAM_MAX 1024
#define RETRY_US (100 * CLOCK_US_PER_MS)      /* its socket is full */
#define LOST_US (5 * CLOCK_US_PER_S)          /* nobody is there: the manager is being replaced */
#define PATIENCE_STEP_US (5 * CLOCK_US_PER_S) /* how often a start or a stop asks for more time … */
#define PATIENCE_US (30 * CLOCK_US_PER_S) /* … and how much, so that a hung master gets none */

/* ---- Set-up */

static int parse_address(struct notify *n, const char *text, struct err *err)
{
    size_t len = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || len < 2)
        return err_set(err, EAFNOSUPPORT,
                       "NOTIFY_SOCKET=%s: allowed: an absolute path, or @ and a name", text);
    if (len >= sizeof n->address.sun_path)
        return err_set(err, ENAMETOOLONG, "NOTIFY_SOCKET=%s: allowed: at most %zu bytes", text,
                       sizeof n->address.sun_path - 1);
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, text, len + 1);
    n->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (text[0] == '@')
        n->address.sun_path[0] = '\0'; /* unix(7): the abstract namespace; its names have no NUL */
    else
        n->address_len++;
    return 0;
}

/* Half of what it allows, as sd_watchdog_enabled(3) says. 0: no watchdog, or not ours */
static uint64_t read_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *whose = getenv("WATCHDOG_PID");
    uint64_t us = 0;
    uint64_t pid = 0;
    if (!usec || str_parse_u64(str_of(usec), UINT64_MAX / 2, &us) < 0)
        return 0;
    if (whose && (str_parse_u64(str_of(whose), INT32_MAX, &pid) < 0 || (pid_t)pid != getpid()))
        return 0;
    return us / 2;
}

int notify_open(struct notify *n, struct err *err)
{
    *n = (struct notify){.fd = -1, .retry_us = UINT64_MAX};
    const char *address = getenv("NOTIFY_SOCKET");
    int rc = 0;
    if (address && address[0]) {
        rc = parse_address(n, address, err);
        if (rc == 0)
            n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (rc == 0 && n->fd < 0)
            rc = err_set(err, errno, "NOTIFY_SOCKET: %s", strerror(errno));
        n->watchdog_us = read_watchdog();
    }
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    return rc;
}

void notify_close(struct notify *n)
{
    fd_close(&n->fd);
}

/* ---- Telling */

static int send_text(const struct notify *n, const char *text, size_t len)
{
    const struct sockaddr *to = (const struct sockaddr *)(const void *)&n->address;
    ssize_t sent;
    do
        sent = sendto(n->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL, to, n->address_len);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static size_t append(char *out, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static size_t append(char *out, size_t at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out + at, DATAGRAM_MAX - at, format, args);
    va_end(args);
    return n < 0 || at + (size_t)n >= DATAGRAM_MAX ? at : at + (size_t)n;
}

/* A phase that has an end of its own (boot_timeout, graceful_timeout), which the manager need not
 * know: it is asked for time as long as the loop turns. */
static bool is_passing(enum notify_phase phase)
{
    return phase == NOTIFY_BOOTING || phase == NOTIFY_RELOADING || phase == NOTIFY_STOPPING;
}

static size_t print_phase(char *out, size_t at, const struct notify *n, enum notify_phase phase,
                          uint64_t now_us)
{
    if (phase == n->told)
        return at;
    if (phase == NOTIFY_READY)
        return append(out, at, "READY=1\n");
    if (phase == NOTIFY_STOPPING)
        return append(out, at, "STOPPING=1\n");
    if (phase == NOTIFY_RELOADING) /* systemd.service(5), Type=notify-reload */
        return append(out, at, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n", now_us);
    return at;
}

void notify_turn(struct notify *n, enum notify_phase phase, const char *status, uint64_t now_us)
{
    char text[DATAGRAM_MAX];
    char line[NOTIFY_STATUS_MAX];
    if (n->fd < 0 || n->is_silent || (n->retry_us != UINT64_MAX && now_us < n->retry_us))
        return;
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(status, "\n"), status);
    bool is_alive_due = n->watchdog_us > 0 && now_us >= n->watchdog_due_us;
    bool is_patience_due = is_passing(phase) && (phase != n->told || now_us >= n->patience_due_us);
    size_t len = print_phase(text, 0, n, phase, now_us);
    if (strcmp(line, n->status) != 0)
        len = append(text, len, "STATUS=%s\n", line);
    if (is_alive_due)
        len = append(text, len, "WATCHDOG=1\n");
    if (is_patience_due)
        len = append(text, len, "EXTEND_TIMEOUT_USEC=%" PRIu64 "\n", PATIENCE_US);
    n->retry_us = UINT64_MAX;
    if (len == 0)
        return;
    int rc = send_text(n, text, len);
    if (rc < 0) {
        n->retry_us = now_us + (rc == -EAGAIN ? RETRY_US : LOST_US);
        return;
    }
    n->told = phase;
    memcpy(n->status, line, sizeof line);
    if (is_alive_due)
        n->watchdog_due_us = now_us + n->watchdog_us;
    if (is_patience_due)
        n->patience_due_us = now_us + PATIENCE_STEP_US;
}

uint64_t notify_next_us(const struct notify *n, enum notify_phase phase)
{
    if (n->fd < 0 || n->is_silent)
        return UINT64_MAX;
    if (n->retry_us != UINT64_MAX)
        return n->retry_us;
    uint64_t next = n->watchdog_us > 0 ? n->watchdog_due_us : UINT64_MAX;
    if (is_passing(phase) && n->patience_due_us < next)
        next = n->patience_due_us;
    return next;
}

/* ---- A change of the main process */

int notify_hand_over(struct notify *n, pid_t pid, uint64_t now_us)
{
    char text[64];
    if (n->fd < 0 || n->is_silent)
        return 0;
    if (n->retry_us != UINT64_MAX && now_us < n->retry_us)
        return -EAGAIN;
    size_t len = append(text, 0, "MAINPID=%d\n", (int)pid);
    int rc = send_text(n, text, len);
    n->is_silent = rc == 0;
    n->retry_us = rc == 0 ? UINT64_MAX : now_us + RETRY_US;
    return rc;
}

void notify_take_over(struct notify *n)
{
    n->is_silent = false;
    n->watchdog_due_us = 0;
}
