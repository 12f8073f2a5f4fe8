/* Makes and closes the listening sockets. Process: master, before the first fork.
 *
 * The first socket of a TCP address is bound and listening before it gets SO_REUSEPORT: with the
 * option from the start, another server of the same user would share the port unnoticed. The
 * siblings follow with the option set (socket(7)). None of the group is closed before the stop:
 * closing one under load resets the connections that wait in its queue.
 *
 * TCP_DEFER_ACCEPT (tcp(7)): a connection is handed over when its first bytes are there, or after
 * about a second, so connects without a request cost no worker anything. */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/endpoint.h"

#define DEFER_SECONDS 1
#define TCP_FLAG_SYN_BIT 0x02
#define TCP_FLAG_ACK_BIT 0x10

/* One address that is to be listened on: a row of `bind`, or one of the addresses its name has. */
struct target {
    const struct setting_bind *bind;
    struct sockaddr_storage address;
    socklen_t address_len;
    bool is_one_of_many; /* a name with several addresses: this one may be missing here */
};

struct plan {
    struct target *items;
    size_t n;
    size_t cap;
    const struct settings *settings;
    uint32_t n_slots;
};

/* ---- What to listen on */

/* A name may have the same address twice (hosts(5)); the second would find its port in use. */
static bool is_planned(const struct plan *plan, const struct target *target)
{
    for (size_t i = 0; i < plan->n; i++)
        if (plan->items[i].bind == target->bind &&
            memcmp(&plan->items[i].address, &target->address, sizeof target->address) == 0)
            return true;
    return false;
}

static int plan_add(struct plan *plan, const struct target *target)
{
    if (is_planned(plan, target))
        return 0;
    if (plan->n == plan->cap) {
        size_t cap = plan->cap ? plan->cap * 2 : 8;
        struct target *grown = realloc(plan->items, cap * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        plan->items = grown;
        plan->cap = cap;
    }
    plan->items[plan->n++] = *target;
    return 0;
}

static int resolve_tcp(struct plan *plan, const struct setting_bind *bind, struct err *err)
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
        rc = plan_add(plan, &target);
        if (rc < 0)
            break;
    }
    freeaddrinfo(list);
    return rc < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

static int resolve_unix(struct plan *plan, const struct setting_bind *bind, struct err *err)
{
    struct target target = {.bind = bind, .address_len = sizeof(struct sockaddr_un)};
    struct sockaddr_un *address = (struct sockaddr_un *)(void *)&target.address;
    address->sun_family = AF_UNIX;
    size_t len = strlen(bind->path);
    if (len >= sizeof address->sun_path)
        return err_set(err, ENAMETOOLONG, "cannot listen on %s: a path has at most %zu bytes",
                       bind->text, sizeof address->sun_path - 1);
    memcpy(address->sun_path, bind->path, len + 1);
    if (plan_add(plan, &target) < 0)
        return err_set(err, ENOMEM, "out of memory");
    return 0;
}

static in_port_t port_of(const struct sockaddr_storage *address)
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

/* [::] serves IPv4 as well, unless that port of IPv4 has a row of its own. */
static bool is_v6_only(const struct plan *plan, const struct target *target)
{
    in_port_t port = port_of(&target->address);
    for (size_t i = 0; port != 0 && i < plan->n; i++)
        if (plan->items[i].address.ss_family == AF_INET && port_of(&plan->items[i].address) == port)
            return true;
    return false;
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

static const char *explain(int code, const struct target *target)
{
    if (code == EMFILE || code == ENFILE)
        return "too many open files (raise `ulimit -n`, or have fewer workers or binds)";
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

static int refuse(struct err *err, int code, const struct target *target)
{
    char holder[256];
    print_holder(holder, sizeof holder, code, target);
    return err_set(err, code, "cannot listen on %s: %s%s", target->bind->text,
                   explain(code, target), holder);
}

/* ---- TCP */

static int set_flag(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

static int open_tcp(const struct plan *plan, const struct target *target,
                    const struct sockaddr_storage *address, bool is_sibling)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int rc = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && is_sibling)
        rc = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0 && address->ss_family == AF_INET6)
        rc = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, is_v6_only(plan, target));
    if (rc == 0 &&
        bind(fd, (const struct sockaddr *)(const void *)address, target->address_len) < 0)
        rc = -errno;
    if (rc == 0)
        rc = set_flag(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_SECONDS);
    if (rc == 0) /* accepted sockets inherit it; without, a small second chunk waits 40 ms */
        rc = set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0 && listen(fd, (int)plan->settings->backlog) < 0)
        rc = -errno;
    if (rc == 0 && !is_sibling)
        rc = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc < 0)
        fd_close(&fd);
    return rc < 0 ? rc : fd;
}

static void add_listener(struct listen_set *set, int fd, int slot)
{
    set->items[set->n++] = (struct listener){fd, slot, set->n_addresses};
}

/* bound: where the first socket really is, when port 0 let the kernel choose. */
static int open_group(const struct plan *plan, const struct target *target, struct listen_set *set,
                      struct sockaddr_storage *bound)
{
    *bound = target->address;
    for (uint32_t slot = 0; slot < plan->n_slots; slot++) {
        int fd = open_tcp(plan, target, bound, slot > 0);
        if (fd < 0)
            return fd;
        add_listener(set, fd, (int)slot);
        socklen_t len = sizeof *bound;
        if (slot == 0 && getsockname(fd, (struct sockaddr *)(void *)bound, &len) < 0)
            return -errno;
    }
    return 0;
}

/* ---- Unix */

/* Whether the file at that address is a socket that nobody listens on any more. */
static bool is_stale(const struct target *target)
{
    struct stat st;
    if (lstat(target->bind->path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    int rc =
        connect(fd, (const struct sockaddr *)(const void *)&target->address, target->address_len);
    bool is_refused = rc < 0 && errno == ECONNREFUSED;
    fd_close(&fd);
    return is_refused;
}

static int open_unix(const struct plan *plan, const struct target *target, struct listen_set *set)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    const struct sockaddr *address = (const struct sockaddr *)(const void *)&target->address;
    mode_t inherited =
        umask((mode_t)plan->settings->umask); /* unix(7): the mode of the socket file */
    int rc = bind(fd, address, target->address_len) < 0 ? -errno : 0;
    if (rc == -EADDRINUSE && is_stale(target)) {
        (void)unlink(target->bind->path); /* a refusal shows in the bind that follows */
        rc = bind(fd, address, target->address_len) < 0 ? -errno : 0;
    }
    (void)umask(inherited);
    struct stat st;
    if (rc == 0 &&
        (listen(fd, (int)plan->settings->backlog) < 0 || lstat(target->bind->path, &st) < 0))
        rc = -errno;
    if (rc < 0) {
        fd_close(&fd);
        return rc;
    }
    struct listen_address *about = &set->addresses[set->n_addresses];
    about->path = target->bind->path;
    about->device = st.st_dev;
    about->inode = st.st_ino;
    add_listener(set, fd, -1);
    return 0;
}

/* ---- All of them */

static bool is_skippable(const struct target *target, int code)
{
    return target->is_one_of_many && (code == EADDRNOTAVAIL || code == EAFNOSUPPORT);
}

static int open_target(const struct plan *plan, struct target *target, struct listen_set *set)
{
    struct sockaddr_storage bound = target->address;
    int rc = target->bind->kind == SETTING_BIND_UNIX ? open_unix(plan, target, set)
                                                     : open_group(plan, target, set, &bound);
    if (rc < 0)
        return rc;
    struct listen_address *about = &set->addresses[set->n_addresses++];
    (void)endpoint_print(about->text, &bound, target->address_len);
    /* A name with several addresses and port 0 gets one port for all of them. */
    for (struct target *next = target + 1; next < plan->items + plan->n; next++)
        if (next->bind == target->bind && port_of(&next->address) == 0)
            set_port(&next->address, port_of(&bound));
    return 0;
}

static int open_all(struct plan *plan, struct listen_set *set, struct err *err)
{
    for (size_t i = 0; i < plan->n; i++) {
        struct target *target = &plan->items[i];
        int rc = open_target(plan, target, set);
        if (rc < 0 && is_skippable(target, -rc)) {
            log_warn("address skipped", "bind=%s why=\"%s\"", target->bind->text,
                     explain(-rc, target));
            continue;
        }
        if (rc < 0)
            return refuse(err, -rc, target);
    }
    if (set->n == 0)
        return refuse(err, EADDRNOTAVAIL, &plan->items[0]);
    return 0;
}

int listen_open(const struct settings *settings, uint32_t n_slots, struct listen_set *out,
                struct err *err)
{
    struct plan plan = {.settings = settings, .n_slots = n_slots};
    struct listen_set set = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < settings->bind.n; i++) {
        const struct setting_bind *bind = &settings->bind.items[i];
        rc = bind->kind == SETTING_BIND_UNIX ? resolve_unix(&plan, bind, err)
                                             : resolve_tcp(&plan, bind, err);
    }
    if (rc == 0) {
        set.items = calloc(plan.n * n_slots, sizeof *set.items);
        set.addresses = calloc(plan.n, sizeof *set.addresses);
        rc = set.items && set.addresses ? 0 : err_set(err, ENOMEM, "out of memory");
    }
    if (rc == 0)
        rc = open_all(&plan, &set, err);
    free(plan.items);
    if (rc < 0)
        listen_close(&set);
    else
        *out = set; /* commit */
    return rc;
}

void listen_refuse_new(const struct listen_set *set)
{
    /* At a listening socket the packet begins with the TCP header (tcp_filter() in the kernel's
     * net/ipv4/tcp_ipv4.c): byte 13 holds the flags, RFC 9293 §3.1. */
    static struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TCP_FLAG_SYN_BIT | TCP_FLAG_ACK_BIT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_FLAG_SYN_BIT, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    for (uint32_t i = 0; i < set->n; i++) {
        const struct listener *listener = &set->items[i];
        int rc = listener->slot >= 0 ? setsockopt(listener->fd, SOL_SOCKET, SO_ATTACH_FILTER,
                                                  &program, sizeof program)
                                     : shutdown(listener->fd, SHUT_RD);
        if (rc < 0)
            log_debug("new connections not refused", "why=\"%s\"", strerror(errno));
    }
}

/* The file may be another server's by now: who restarts without waiting replaces it. */
static void unlink_own(const struct listen_address *about)
{
    struct stat st;
    if (about->path && lstat(about->path, &st) == 0 && st.st_dev == about->device &&
        st.st_ino == about->inode)
        (void)unlink(about->path); /* a file that stays is recognised as stale by the next start */
}

void listen_close(struct listen_set *set)
{
    for (uint32_t i = 0; i < set->n_addresses; i++)
        unlink_own(&set->addresses[i]);
    for (uint32_t i = 0; i < set->n; i++)
        fd_close(&set->items[i].fd);
    free(set->items);
    free(set->addresses);
    *set = (struct listen_set){0};
}
