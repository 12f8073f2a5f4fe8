/* What the environment says about sockets that were passed to this process. Process: master, before
 * it opens anything.
 *
 * Nothing is believed that the descriptor itself does not confirm: each must be open, a stream
 * socket, and listening. A descriptor that is something else is a mistake in somebody's unit file,
 * so the error says what it is and what would be right. */
#include "server/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "server/endpoint.h"
#include "server/listen.h"

#define SYSTEMD_FIRST_FD 3 /* SD_LISTEN_FDS_START */

/* ---- Descriptors */

static const char *kind_of_file(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return "not open";
    return S_ISFIFO(st.st_mode)   ? "a FIFO"
           : S_ISREG(st.st_mode)  ? "a file"
           : S_ISDIR(st.st_mode)  ? "a folder"
           : S_ISSOCK(st.st_mode) ? NULL
                                  : "no socket";
}

static int option_of(int fd, int option)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

/* What is wrong with it, and what would be right. NULL: it is a socket that listens */
static const char *find_fault(int fd)
{
    const char *kind = kind_of_file(fd);
    if (kind)
        return kind;
    if (option_of(fd, SO_TYPE) != SOCK_STREAM)
        return "a datagram socket";
    if (option_of(fd, SO_ACCEPTCONN) != 1)
        return "a socket that does not listen (a connection, as Accept=yes passes them)";
    int family = option_of(fd, SO_DOMAIN);
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX
               ? NULL
               : "a socket of another family than IPv4, IPv6 and unix";
}

/* Makes sure that it is what it should be, and learns its address. */
static int inspect(struct inherited *item, const char *from, struct err *err)
{
    const char *fault = find_fault(item->fd);
    if (fault)
        return err_set(err, ENOTSOCK,
                       "%s passed descriptor %d%s%s%s, which is %s; allowed: stream sockets that "
                       "listen (ListenStream= and Accept=no)",
                       from, item->fd, item->name[0] ? " (" : "", item->name,
                       item->name[0] ? ")" : "", fault);
    item->address_len = sizeof item->address;
    int rc = fcntl(item->fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : fd_set_nonblock(item->fd, true);
    if (rc == 0 &&
        getsockname(item->fd, (struct sockaddr *)(void *)&item->address, &item->address_len) < 0)
        rc = -errno;
    return rc < 0 ? err_set(err, -rc, "%s passed descriptor %d: %s", from, item->fd, strerror(-rc))
                  : 0;
}

/* ---- systemd */

/* The n-th name between colons, cut out of out->text. */
static const char *take_name(char **rest)
{
    char *name = *rest ? strsep(rest, ":") : NULL;
    return name ? name : "";
}

static int list_systemd(struct inherit *out, const char *names, uint32_t n, struct err *err)
{
    out->items = calloc(n, sizeof *out->items);
    out->text = strdup(names ? names : "");
    if (!out->items || !out->text)
        return err_set(err, ENOMEM, "out of memory");
    char *rest = out->text;
    out->from = INHERIT_SYSTEMD;
    for (out->n = 0; out->n < n; out->n++) {
        struct inherited *item = &out->items[out->n];
        *item = (struct inherited){
            .fd = SYSTEMD_FIRST_FD + (int)out->n, .slot = -1, .name = take_name(&rest)};
        int rc = inspect(item, "the service manager (LISTEN_FDS)", err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* sd_listen_fds(3): the variables are meant for the process whose pid is in LISTEN_PID. */
static int take_systemd(struct inherit *out, struct err *err)
{
    const char *whose = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    uint64_t pid = 0;
    uint64_t n = 0;
    int rc = 0;
    if (count && whose && str_parse_u64(str_of(whose), INT32_MAX, &pid) == 0 &&
        (pid_t)pid == getpid()) {
        if (str_parse_u64(str_of(count), INHERIT_MAX, &n) < 0)
            rc = err_set(err, EINVAL, "LISTEN_FDS=%.32s: allowed: 0 to %d", count, INHERIT_MAX);
        else if (n > 0)
            rc = list_systemd(out, getenv("LISTEN_FDNAMES"), (uint32_t)n, err);
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_PIDFDID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return rc;
}

int inherit_take(struct inherit *out, struct err *err)
{
    *out = (struct inherit){.from = INHERIT_NONE};
    int rc = take_systemd(out, err);
    if (rc < 0)
        inherit_fini(out);
    return rc;
}

void inherit_fini(struct inherit *in)
{
    for (uint32_t i = 0; i < in->n; i++)
        fd_close(&in->items[i].fd);
    free(in->items);
    free(in->text);
    *in = (struct inherit){.from = INHERIT_NONE};
}

/* ---- Adopted */

static int adopt_all(struct inherit *in, struct listen_set *out, struct err *err)
{
    struct listen_set set = {.items = calloc(in->n, sizeof *set.items),
                             .cap = in->n,
                             .addresses = calloc(in->n, sizeof *set.addresses),
                             .cap_addresses = in->n};
    if (!set.items || !set.addresses) {
        free(set.items);
        free(set.addresses);
        return err_set(err, ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < in->n; i++) {
        struct inherited *item = &in->items[i];
        char text[ENDPOINT_TEXT_MAX];
        int one = 1;
        if (item->address.ss_family != AF_UNIX) /* accepted sockets inherit it; see listen.c */
            (void)setsockopt(item->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        set.items[set.n++] = (struct listener){item->fd, -1, set.n_addresses};
        struct listen_address *about = &set.addresses[set.n_addresses++];
        (void)snprintf(about->text, sizeof about->text, "%s",
                       endpoint_print(text, &item->address, item->address_len));
        about->where = item->address;
        about->where_len = item->address_len;
        about->is_new = true;
        item->fd = -1;
    }
    *out = set;
    return 0;
}

int inherit_listen(struct inherit *in, const struct settings *settings, uint32_t n_slots,
                   struct listen_set *out, struct err *err)
{
    if (in->from != INHERIT_SYSTEMD)
        return listen_open(settings, n_slots, out, err);
    if (settings->sources[SETTING_ID_bind].where)
        log_notice(
            "bind not used",
            "why=\"the service manager passed sockets, which take its place\" sockets=%" PRIu32,
            in->n);
    return adopt_all(in, out, err);
}
