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
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "server/endpoint.h"
#include "server/listen.h"

#define SYSTEMD_FIRST_FD 3 /* SD_LISTEN_FDS_START */

/* ---- systemd */

/* Makes sure that it is what it should be, and puts it into the set, which has room.
 * name  FileDescriptorName= of its unit; "": none */
static int add_passed(struct listen_set *set, int fd, const char *name, struct err *err)
{
    struct listen_address about = {.is_new = true, .is_shared = true};
    const char *fault = endpoint_find_fault(fd);
    if (fault)
        return err_set(err, ENOTSOCK,
                       "the service manager (LISTEN_FDS) passed descriptor %d%s%s%s, which is %s; "
                       "allowed: stream sockets that listen (ListenStream= and Accept=no)",
                       fd, name[0] ? " (" : "", name, name[0] ? ")" : "", fault);
    about.where_len = sizeof about.where;
    int rc = fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : fd_set_nonblock(fd, true);
    if (rc == 0 && getsockname(fd, (struct sockaddr *)(void *)&about.where, &about.where_len) < 0)
        rc = -errno;
    if (rc < 0)
        return err_set(err, -rc, "descriptor %d, passed by the service manager: %s", fd,
                       strerror(-rc));
    int one = 1;
    if (about.where.ss_family != AF_UNIX) /* accepted sockets inherit it; see listen.c */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)endpoint_print(about.text, &about.where, about.where_len);
    set->addresses[set->n_addresses] = about;
    set->items[set->n++] = (struct listener){fd, -1, set->n_addresses++};
    return 0;
}

static int list_systemd(struct inherit *out, const char *names, uint32_t n, struct err *err)
{
    out->from = INHERIT_SYSTEMD;
    out->set.items = calloc(n, sizeof *out->set.items);
    out->set.addresses = calloc(n, sizeof *out->set.addresses);
    out->set.cap = out->set.cap_addresses = n;
    char *copy = strdup(names ? names : "");
    int rc =
        out->set.items && out->set.addresses && copy ? 0 : err_set(err, ENOMEM, "out of memory");
    char *rest = copy;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        const char *name = rest ? strsep(&rest, ":") : NULL;
        rc = add_passed(&out->set, SYSTEMD_FIRST_FD + (int)i, name ? name : "", err);
    }
    free(copy);
    return rc;
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

/* ---- A master */

static int take_master(struct inherit *out, struct err *err)
{
    const char *text = getenv(HANDOVER_VARIABLE);
    int rc = text ? handover_parse(text, &out->handover, &out->set, &out->admin, err) : 0;
    if (text && rc == 0)
        out->from = INHERIT_MASTER;
    (void)unsetenv(HANDOVER_VARIABLE);
    return rc;
}

int inherit_take(struct inherit *out, struct err *err)
{
    *out = (struct inherit){.from = INHERIT_NONE, .handover = {.talk_fd = -1}};
    int rc = take_master(out, err);
    if (rc == 0 && out->from == INHERIT_NONE)
        rc = take_systemd(out, err);
    if (rc < 0)
        inherit_fini(out);
    return rc;
}

void inherit_fini(struct inherit *in)
{
    listen_close(&in->set);
    listen_close(&in->admin);
    in->from = INHERIT_NONE;
}

/* ---- Used */

/* What a bind of the settings is called is what it was called in the old master's. */
static int adopt(struct inherit *in, const struct settings *settings, uint32_t n_slots,
                 struct err *err)
{
    struct listen_change change;
    int rc = listen_prepare(&in->set, settings, &change, err);
    if (rc == 0)
        rc = listen_commit(&in->set, &change, in->set.n_slots > 0 ? in->set.n_slots : n_slots, err);
    return rc;
}

int inherit_listen(struct inherit *in, const struct settings *settings, uint32_t n_slots,
                   struct listen_set *out, struct err *err)
{
    int rc = 0;
    if (in->from == INHERIT_NONE)
        return listen_open(settings, n_slots, out, err);
    in->set.backlog = settings->backlog;
    bool is_passed = listen_is_passed(&in->set);
    if (is_passed && settings->sources[SETTING_ID_bind].where)
        log_notice("bind not used",
                   "why=\"the service manager passed sockets, which take its place\" "
                   "sockets=%" PRIu32,
                   in->set.n);
    if (!is_passed)
        rc = adopt(in, settings, n_slots, err);
    if (rc < 0)
        return rc;
    *out = in->set;
    in->set = (struct listen_set){0};
    return 0;
}
