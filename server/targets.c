/* Names become addresses, and errno becomes a sentence. Process: master, before the first fork and
 * while a reload is prepared. */
#include "server/targets.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "ipc/signals.h"
#include "server/endpoint.h"

#define NAP_US (20 * CLOCK_US_PER_MS) /* between two tries */

/* A name may have the same address twice (hosts(5)); the second would find its port in use. */
static bool is_there(const struct targets *targets, const struct target *target)
{
    for (size_t i = 0; i < targets->n; i++)
        if (targets->items[i].bind == target->bind &&
            memcmp(&targets->items[i].address, &target->address, sizeof target->address) == 0)
            return true;
    return false;
}

static int add(struct targets *targets, const struct target *target)
{
    if (is_there(targets, target))
        return 0;
    if (targets->n == targets->cap) {
        size_t cap = targets->cap ? targets->cap * 2 : 8;
        struct target *grown = realloc(targets->items, cap * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        targets->items = grown;
        targets->cap = cap;
    }
    targets->items[targets->n++] = *target;
    return 0;
}

static int resolve_tcp(struct targets *targets, const struct setting_bind *bind, struct err *err)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", bind->port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(bind->host, port, &hints, &list);
    if (rc != 0)
        return err_set(err, EADDRNOTAVAIL,
                       "cannot listen on %s: the name \"%s\" has no address: %s", bind->text,
                       bind->host, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
    for (const struct addrinfo *one = list; one; one = one->ai_next) {
        struct target target = {
            .bind = bind, .address_len = one->ai_addrlen, .is_one_of_many = list->ai_next != NULL};
        memcpy(&target.address, one->ai_addr, one->ai_addrlen);
        rc = add(targets, &target);
        if (rc < 0)
            break;
    }
    freeaddrinfo(list);
    return rc < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

static int resolve_unix(struct targets *targets, const struct setting_bind *bind, struct err *err)
{
    struct target target = {.bind = bind, .address_len = sizeof(struct sockaddr_un)};
    struct sockaddr_un *address = (struct sockaddr_un *)(void *)&target.address;
    address->sun_family = AF_UNIX;
    size_t len = strlen(bind->path);
    if (len >= sizeof address->sun_path)
        return err_set(err, ENAMETOOLONG, "cannot listen on %s: a path has at most %zu bytes",
                       bind->text, sizeof address->sun_path - 1);
    memcpy(address->sun_path, bind->path, len + 1);
    if (add(targets, &target) < 0)
        return err_set(err, ENOMEM, "out of memory");
    return 0;
}

in_port_t targets_port(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return 0;
}

static void set_port(struct sockaddr_storage *address, in_port_t port)
{
    if (address->ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
}

bool targets_is_v6_only(const struct targets *targets, const struct target *target)
{
    in_port_t port = targets_port(&target->address);
    for (size_t i = 0; port != 0 && i < targets->n; i++)
        if (targets->items[i].address.ss_family == AF_INET &&
            targets_port(&targets->items[i].address) == port)
            return true;
    return false;
}

int targets_add(struct targets *targets, const struct setting_bind *bind, struct err *err)
{
    return bind->kind == SETTING_BIND_UNIX ? resolve_unix(targets, bind, err)
                                           : resolve_tcp(targets, bind, err);
}

void targets_fini(struct targets *targets)
{
    free(targets->items);
    *targets = (struct targets){0};
}

void targets_share_port(struct targets *targets, const struct target *target,
                        const struct sockaddr_storage *bound)
{
    for (size_t i = (size_t)(target - targets->items) + 1; i < targets->n; i++)
        if (targets->items[i].bind == target->bind && targets_port(&targets->items[i].address) == 0)
            set_port(&targets->items[i].address, targets_port(bound));
}

/* ---- Sentences */

static const char *explain_unix(int code, const char *path)
{
    struct stat st;
    switch (code) {
    case EADDRINUSE:
        return lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)
                   ? "there is a file that is not a socket"
                   : "another server listens there";
    case EACCES:
        return "no permission to make a socket there";
    case ENOENT:
        return "the folder does not exist";
    default:
        return strerror(code);
    }
}

const char *targets_explain(int code, const struct target *target)
{
    if (code == EMFILE || code == ENFILE)
        return TARGETS_TOO_MANY_FILES;
    if (target->bind->kind == SETTING_BIND_UNIX)
        return explain_unix(code, target->bind->path);
    switch (code) {
    case EADDRINUSE:
        return "the port is in use";
    case EACCES:
        return "no permission (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
    case EADDRNOTAVAIL:
        return "this machine has no such address";
    case EAFNOSUPPORT:
        return "this machine has no IPv6";
    default:
        return strerror(code);
    }
}

/* Who has the address, where /proc tells: most often a server that was started twice. */
static void print_holder(char *out, size_t cap, int code, const struct target *target)
{
    struct endpoint_holder holder;
    out[0] = '\0';
    if (code != EADDRINUSE || !endpoint_find_holder(&target->address, &holder))
        return;
    if (holder.is_remuda)
        (void)snprintf(out, cap,
                       ", by the remuda with pid %d, which is running already: reload it (`remuda "
                       "reload`), upgrade it (`remuda upgrade`) or stop it (`remuda stop`), or "
                       "choose another address",
                       (int)holder.pid);
    else
        (void)snprintf(out, cap, ", by pid %d (%s)", (int)holder.pid, holder.name);
}

int targets_refuse(struct err *err, int code, const struct target *target)
{
    char holder[256];
    print_holder(holder, sizeof holder, code, target);
    return err_set(err, code, "cannot listen on %s: %s%s", target->bind->text,
                   targets_explain(code, target), holder);
}

/* ---- Waiting */

static void tell_wait(const struct targets_wait *wait, const struct target *target,
                      const struct endpoint_holder *holder)
{
    char who[LOG_QUOTE_MAX + 8];
    const char *name = holder->pid ? holder->name : "unknown";
    log_warn("address in use", "bind=%s pid=%d program=%s does=\"try again for %d s\"",
             target->bind->text, (int)holder->pid, log_quote(who, name, strlen(name)),
             (int)(wait->for_us / CLOCK_US_PER_S));
}

bool targets_wait(struct targets_wait *wait, const struct target *target)
{
    static const struct timespec nap = {.tv_nsec = NAP_US * 1000};
    struct endpoint_holder holder = {.pid = 0};
    uint64_t now_us = clock_now_us();
    if (wait->for_us == 0 || (wait->until_us != 0 && now_us >= wait->until_us))
        return false;
    if (wait->until_us == 0) {
        bool is_known = endpoint_find_holder(&target->address, &holder);
        if (is_known && (!holder.is_remuda || holder.pid == getpid()))
            return false;
        wait->until_us = now_us + wait->for_us;
        signals_hold(); /* there may be a pid file by now, which nobody would remove */
        tell_wait(wait, target, &holder);
    }
    (void)nanosleep(&nap, NULL);
    return !signals_is_stop_held();
}
