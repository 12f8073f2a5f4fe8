/* Makes and closes the listening sockets. Process: master.
 *
 * The first socket of a TCP address is bound and listening before it gets SO_REUSEPORT: with the
 * option from the start, another server of the same user would share the port unnoticed. The
 * siblings follow with the option set (socket(7)). None of the group is closed while its address is
 * in use: closing one under load resets the connections that wait in its queue.
 *
 * A reload may move a bind from one address of this machine to another with the same port (from
 * 127.0.0.1 to all). Both exist for a moment then, so the new one gets SO_REUSEPORT from the start:
 * who else could have the port is known, it is ours.
 *
 * TCP_DEFER_ACCEPT (tcp(7)): a connection is handed over when its first bytes are there, or after
 * about a second, so connects without a request cost no worker anything. */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/sieve.h"
#include "server/targets.h"

#define DEFER_SECONDS 1
#define WAIT_US (3 * CLOCK_US_PER_S) /* workers of a master that was killed are gone in less */

/* What is being opened, and beside what. */
struct build {
    struct targets targets;
    const struct settings *settings;
    const struct listen_set *present; /* what is listened on already */
    struct targets_wait wait;         /* for what others have; zeroed: for nothing */
};

/* ---- The set */

static const struct sockaddr *as_sockaddr(const struct sockaddr_storage *address)
{
    return (const struct sockaddr *)(const void *)address;
}

static int reserve(struct listen_set *set, uint32_t n_items, uint32_t n_addresses)
{
    if (set->n + n_items > set->cap) {
        uint32_t cap = set->n + n_items;
        struct listener *grown = realloc(set->items, cap * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        set->items = grown;
        set->cap = cap;
    }
    if (set->n_addresses + n_addresses > set->cap_addresses) {
        uint32_t cap = set->n_addresses + n_addresses;
        struct listen_address *grown = realloc(set->addresses, cap * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        set->addresses = grown;
        set->cap_addresses = cap;
    }
    return 0;
}

/* Under the lowest free id: ids that were given up are used again. */
static void add_listener(struct listen_set *set, int fd, int slot, uint32_t origin)
{
    uint32_t id = 0;
    while (id < set->n && set->items[id].fd >= 0)
        id++;
    set->n += id == set->n;
    set->items[id] = (struct listener){fd, slot, origin};
}

static void free_address(struct listen_address *about)
{
    free(about->bind);
    free(about->path);
    *about = (struct listen_address){0};
}

/* ---- TCP */

static int set_flag(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

static int bind_tcp(const struct sockaddr_storage *address, socklen_t len, bool is_v6_only,
                    bool is_sharing)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int rc = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && is_sharing)
        rc = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0 && address->ss_family == AF_INET6)
        rc = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, is_v6_only);
    if (rc == 0 && bind(fd, as_sockaddr(address), len) < 0)
        rc = -errno;
    if (rc == 0)
        rc = set_flag(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_SECONDS);
    if (rc == 0) /* accepted sockets inherit it; without, a small second chunk waits 40 ms */
        rc = set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc < 0)
        fd_close(&fd);
    return rc < 0 ? rc : fd;
}

/* Whether a present address has that port; of IPv4, where only these count. */
static bool has_port(const struct listen_set *set, in_port_t port, bool is_v4_only)
{
    for (uint32_t i = 0; port != 0 && i < set->n_addresses; i++) {
        const struct listen_address *about = &set->addresses[i];
        if (about->text[0] && targets_port(&about->where) == port &&
            (!is_v4_only || about->where.ss_family == AF_INET))
            return true;
    }
    return false;
}

static int bind_first(const struct build *build, const struct target *target,
                      struct listen_address *about)
{
    in_port_t port = targets_port(&target->address);
    bool is_v6_only =
        targets_is_v6_only(&build->targets, target) || has_port(build->present, port, true);
    int fd = bind_tcp(&target->address, target->address_len, is_v6_only, false);
    if (fd == -EADDRINUSE && has_port(build->present, port, false))
        fd = bind_tcp(&target->address, target->address_len, is_v6_only, true);
    socklen_t len = sizeof about->where;
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)(void *)&about->where, &len) < 0) {
        int code = errno;
        fd_close(&fd);
        return -code;
    }
    return fd;
}

/* A further socket of an address, like its first one; it does not listen yet. */
static int open_sibling(const struct listen_address *about, int first_fd)
{
    int v6_only = 0;
    socklen_t len = sizeof v6_only;
    if (about->where.ss_family == AF_INET6 &&
        getsockopt(first_fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &len) < 0)
        return -errno;
    return bind_tcp(&about->where, about->where_len, v6_only != 0, true);
}

static bool is_listening(int fd)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value == 1;
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
    int rc = connect(fd, as_sockaddr(&target->address), target->address_len);
    bool is_refused = rc < 0 && errno == ECONNREFUSED;
    fd_close(&fd);
    return is_refused;
}

/* Another reload may change to another folder: what is unlinked later is this very file. */
static char *make_absolute(const char *path)
{
    char *absolute = NULL;
    if (path[0] == '/')
        return strdup(path);
    char *folder = getcwd(NULL, 0);
    if (!folder || asprintf(&absolute, "%s/%s", folder, path) < 0)
        absolute = NULL;
    free(folder);
    return absolute;
}

static int bind_unix(const struct build *build, const struct target *target,
                     struct listen_address *about)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    const struct sockaddr *address = as_sockaddr(&target->address);
    mode_t inherited =
        umask((mode_t)build->settings->umask); /* unix(7): the mode of the socket file */
    int rc = bind(fd, address, target->address_len) < 0 ? -errno : 0;
    if (rc == -EADDRINUSE && is_stale(target)) {
        (void)unlink(target->bind->path); /* a refusal shows in the bind that follows */
        rc = bind(fd, address, target->address_len) < 0 ? -errno : 0;
    }
    (void)umask(inherited);
    struct stat st;
    if (rc == 0 && lstat(target->bind->path, &st) < 0)
        rc = -errno;
    about->where = target->address;
    about->path = rc == 0 ? make_absolute(target->bind->path) : NULL;
    if (rc == 0 && !about->path) {
        (void)unlink(target->bind->path); /* just made, and nobody will remember it */
        rc = -ENOMEM;
    }
    if (rc < 0) {
        fd_close(&fd);
        return rc;
    }
    about->device = st.st_dev;
    about->inode = st.st_ino;
    return fd;
}

/* The file may be another server's by now: who restarts without waiting replaces it. */
static bool is_own_file(const struct listen_address *about)
{
    struct stat st;
    return about->path && lstat(about->path, &st) == 0 && st.st_dev == about->device &&
           st.st_ino == about->inode;
}

static void unlink_own(const struct listen_address *about)
{
    if (!about->is_shared && is_own_file(about))
        (void)unlink(about->path); /* a file that stays is recognised as stale by the next start */
}

/* ---- What a reload adds */

static bool is_skippable(const struct target *target, int code)
{
    return target->is_one_of_many && (code == EADDRNOTAVAIL || code == EAFNOSUPPORT);
}

/* Binds one address and puts it into the set. */
static int add_target(struct build *build, struct target *target, struct listen_set *added)
{
    struct listen_address about = {.where_len = target->address_len, .is_new = true};
    int rc = reserve(added, 1, 1);
    about.bind = rc == 0 ? strdup(target->bind->text) : NULL;
    if (!about.bind)
        return -ENOMEM;
    bool is_unix = target->bind->kind == SETTING_BIND_UNIX;
    int fd = is_unix ? bind_unix(build, target, &about) : bind_first(build, target, &about);
    if (fd < 0) {
        free_address(&about);
        return fd;
    }
    (void)endpoint_print(about.text, &about.where, about.where_len);
    added->addresses[added->n_addresses] = about;
    add_listener(added, fd, is_unix ? -1 : 0, added->n_addresses++);
    targets_share_port(&build->targets, target, &about.where);
    return 0;
}

/* The address of the present set that a target is; -1: none. */
static int find_present(const struct listen_set *set, const struct target *target)
{
    for (uint32_t i = 0; i < set->n_addresses; i++) {
        const struct listen_address *about = &set->addresses[i];
        if (about->text[0] && about->where_len == target->address_len &&
            memcmp(&about->where, &target->address, about->where_len) == 0 &&
            (!about->path || is_own_file(about)))
            return (int)i;
    }
    return -1;
}

static int add_targets(struct build *build, struct listen_change *change, struct err *err)
{
    for (size_t i = 0; i < build->targets.n; i++) {
        struct target *target = &build->targets.items[i];
        int present = find_present(build->present, target);
        if (present >= 0) {
            change->is_kept[present] = true;
            continue;
        }
        int rc = add_target(build, target, &change->added);
        while (rc == -EADDRINUSE && targets_wait(&build->wait, target))
            rc = add_target(build, target, &change->added);
        if (rc < 0 && is_skippable(target, -rc)) {
            log_warn("address skipped", "bind=%s why=\"%s\"", target->bind->text,
                     targets_explain(-rc, target));
            continue;
        }
        if (rc < 0)
            return targets_refuse(err, -rc, target);
    }
    bool is_any = change->added.n > 0;
    for (uint32_t i = 0; i < change->n_kept; i++)
        is_any |= change->is_kept[i];
    return is_any ? 0 : targets_refuse(err, EADDRNOTAVAIL, &build->targets.items[0]);
}

/* Keeps the addresses of a bind whose text is as before. Returns whether there are any */
static bool keep_bind(const struct listen_set *set, const struct setting_bind *bind,
                      struct listen_change *change)
{
    bool is_kept = false;
    for (uint32_t i = 0; i < set->n_addresses; i++) {
        const struct listen_address *about = &set->addresses[i];
        if (!about->bind || strcmp(about->bind, bind->text) != 0)
            continue;
        if (about->path && !is_own_file(about))
            continue; /* somebody removed the file: nobody can connect, so it is made anew */
        change->is_kept[i] = true;
        is_kept = true;
    }
    return is_kept;
}

/* Keeps all of a set that somebody passed to us. Returns whether it is one */
static bool keep_passed(const struct listen_set *set, struct listen_change *change)
{
    bool is_passed = false;
    for (uint32_t i = 0; i < set->n_addresses; i++) {
        change->is_kept[i] = set->addresses[i].text[0] && !set->addresses[i].bind;
        is_passed |= change->is_kept[i];
    }
    return is_passed;
}

static int prepare(const struct listen_set *set, const struct settings *settings, uint64_t wait_us,
                   struct listen_change *out, struct err *err)
{
    struct build build = {.settings = settings, .present = set, .wait = {.for_us = wait_us}};
    struct listen_change change = {.n_kept = set->n_addresses};
    change.is_kept = calloc(set->n_addresses + 1, sizeof *change.is_kept);
    int rc = change.is_kept ? 0 : err_set(err, ENOMEM, "out of memory");
    if (rc == 0 && keep_passed(set, &change)) {
        *out = change;
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < settings->bind.n; i++) {
        const struct setting_bind *bind = &settings->bind.items[i];
        if (keep_bind(set, bind, &change))
            continue;
        rc = targets_add(&build.targets, bind, err);
    }
    if (rc == 0)
        rc = add_targets(&build, &change, err);
    targets_fini(&build.targets);
    if (rc < 0)
        listen_discard(&change);
    else
        *out = change;
    return rc;
}

int listen_prepare(const struct listen_set *set, const struct settings *settings,
                   struct listen_change *out, struct err *err)
{
    return prepare(set, settings, 0, out, err);
}

void listen_discard(struct listen_change *change)
{
    listen_close(&change->added);
    free(change->is_kept);
    *change = (struct listen_change){0};
}

/* ---- What a reload changes */

/* The descriptor of an address that siblings are made like; -1: it has none of a slot. */
static int first_of(const struct listen_set *set, uint32_t origin)
{
    for (uint32_t id = 0; id < set->n; id++)
        if (set->items[id].fd >= 0 && set->items[id].slot >= 0 && set->items[id].origin == origin)
            return set->items[id].fd;
    return -1;
}

static bool has_listener(const struct listen_set *set, uint32_t origin, uint32_t slot)
{
    for (uint32_t id = 0; id < set->n; id++)
        if (set->items[id].fd >= 0 && set->items[id].origin == origin &&
            set->items[id].slot == (int)slot)
            return true;
    return false;
}

/* What is missing of a slot, for all TCP addresses; to be raised. */
static int fill_slot(struct listen_set *set, uint32_t slot, struct err *err)
{
    for (uint32_t origin = 0; origin < set->n_addresses; origin++) {
        const struct listen_address *about = &set->addresses[origin];
        int first_fd = about->text[0] && !about->is_leaving ? first_of(set, origin) : -1;
        if (first_fd < 0 || has_listener(set, origin, slot))
            continue;
        int fd = reserve(set, 1, 0);
        if (fd == 0)
            fd = open_sibling(about, first_fd);
        if (fd < 0)
            return err_set(err, -fd, "cannot listen on %s for slot %u: %s", about->text, slot,
                           fd == -EMFILE || fd == -ENFILE ? TARGETS_TOO_MANY_FILES : strerror(-fd));
        add_listener(set, fd, (int)slot, origin);
    }
    return 0;
}

static void note_slot(struct listen_set *set, uint32_t slot)
{
    set->has_slot[slot] = true;
    if (slot >= set->n_slots)
        set->n_slots = slot + 1;
}

/* Listens on what does not yet. Last of all, since it hardly ever fails: a socket of a group that
 * has listened for a moment has connections in its queue, and closing it resets them. */
static int raise_filled(const struct listen_set *set, uint32_t backlog, struct err *err)
{
    for (uint32_t id = 0; id < set->n; id++) {
        int fd = set->items[id].fd;
        if (fd < 0 || is_listening(fd) || listen(fd, (int)backlog) == 0)
            continue;
        return err_set(err, errno, "cannot listen on %s: %s",
                       set->addresses[set->items[id].origin].text, strerror(errno));
    }
    return 0;
}

/* Closes what was made since a copy of the list was taken, but for what listens by now: that is
 * served like any slot without a worker. */
static void shrink_to(struct listen_set *set, const struct listener *before, uint32_t n_before)
{
    uint32_t n = n_before;
    for (uint32_t id = 0; id < set->n; id++) {
        struct listener *item = &set->items[id];
        if (item->fd < 0 || (id < n_before && before[id].fd >= 0))
            continue;
        if (!is_listening(item->fd)) {
            fd_close(&item->fd);
            continue;
        }
        n = id >= n ? id + 1 : n;
        if (item->slot >= (int)set->n_slots)
            set->n_slots = (uint32_t)item->slot + 1;
    }
    set->n = n;
}

static struct listener *copy_items(const struct listen_set *set)
{
    struct listener *copy = calloc(set->n + 1, sizeof *copy);
    if (copy && set->n > 0)
        memcpy(copy, set->items, set->n * sizeof *copy);
    return copy;
}

int listen_open_slot(struct listen_set *set, uint32_t slot, struct err *err)
{
    if (set->has_slot[slot])
        return 0;
    struct listener *before = copy_items(set);
    if (!before)
        return err_set(err, ENOMEM, "out of memory");
    uint32_t n_before = set->n;
    int rc = fill_slot(set, slot, err);
    if (rc == 0)
        rc = raise_filled(set, set->backlog, err);
    if (rc < 0)
        shrink_to(set, before, n_before);
    else
        note_slot(set, slot);
    free(before);
    return rc;
}

/* All of what was prepared listens; their siblings, for each slot that there is or will be, do not
 * yet. */
static int raise_added(const struct listen_set *set, struct listen_set *added, uint32_t n_slots,
                       struct err *err)
{
    for (uint32_t id = 0; id < added->n; id++) {
        const struct listener *first = &added->items[id];
        int rc = listen(first->fd, (int)set->backlog) < 0 ? -errno : 0;
        if (rc == 0 && first->slot >= 0)
            rc = set_flag(first->fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (rc < 0)
            return err_set(err, -rc, "cannot listen on %s: %s",
                           added->addresses[first->origin].text, strerror(-rc));
    }
    for (uint32_t slot = 0; slot < LISTEN_SLOTS_MAX; slot++) {
        bool is_there = slot < n_slots || set->has_slot[slot];
        int rc = is_there ? fill_slot(added, slot, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

static uint32_t place_address(struct listen_set *set, const struct listen_address *about)
{
    uint32_t i = 0;
    while (i < set->n_addresses && set->addresses[i].text[0])
        i++;
    set->n_addresses += i == set->n_addresses;
    set->addresses[i] = *about;
    return i;
}

/* Moves everything over; there is room. */
static void take_added(struct listen_set *set, struct listen_set *added)
{
    for (uint32_t i = 0; i < added->n_addresses; i++) {
        uint32_t origin = place_address(set, &added->addresses[i]);
        for (uint32_t id = 0; id < added->n; id++)
            if (added->items[id].origin == i)
                add_listener(set, added->items[id].fd, added->items[id].slot, origin);
    }
    free(added->items);
    free(added->addresses);
    *added = (struct listen_set){0};
}

/* change NULL: nothing leaves. */
static void mark_leaving(struct listen_set *set, const struct listen_change *change)
{
    for (uint32_t i = 0; i < set->n_addresses; i++)
        set->addresses[i].is_leaving = change && set->addresses[i].text[0] && !change->is_kept[i];
}

int listen_commit(struct listen_set *set, struct listen_change *change, uint32_t n_slots,
                  struct err *err)
{
    uint32_t n_before = set->n;
    struct listener *before = copy_items(set);
    int rc = before ? 0 : err_set(err, ENOMEM, "out of memory");
    mark_leaving(set, change);
    for (uint32_t slot = 0; rc == 0 && slot < n_slots; slot++)
        rc = fill_slot(set, slot, err);
    if (rc == 0)
        rc = raise_added(set, &change->added, n_slots, err);
    if (rc == 0 && reserve(set, change->added.n, change->added.n_addresses) < 0)
        rc = err_set(err, ENOMEM, "out of memory");
    if (rc == 0)
        rc = raise_filled(&change->added, set->backlog, err);
    if (rc == 0)
        rc = raise_filled(set, set->backlog, err);
    if (rc < 0) {
        mark_leaving(set, NULL);
        if (before)
            shrink_to(set, before, n_before);
    } else {
        /* commit */
        for (uint32_t slot = 0; slot < n_slots; slot++)
            note_slot(set, slot);
        take_added(set, &change->added);
    }
    free(before);
    listen_discard(change);
    return rc;
}

int listen_open(const struct settings *settings, uint32_t n_slots, struct listen_set *out,
                struct err *err)
{
    struct listen_set set = {.backlog = settings->backlog};
    struct listen_change change;
    int rc = prepare(&set, settings, WAIT_US, &change, err);
    if (rc == 0)
        rc = listen_commit(&set, &change, n_slots, err);
    if (rc < 0)
        listen_close(&set);
    else
        *out = set; /* commit */
    return rc;
}

void listen_announce(struct listen_set *set)
{
    for (uint32_t i = 0; i < set->n_addresses; i++) {
        struct listen_address *about = &set->addresses[i];
        if (about->text[0] && about->is_leaving)
            log_notice("no longer listening", "address=%s", about->text);
        else if (about->text[0] && about->is_new)
            log_notice("listening", "address=%s", about->text);
        about->is_new = false;
    }
}

/* ---- The end */

/* Not where others listen as well: what is done to a socket is done to all copies of it. */
static void refuse_new(const struct listen_set *set, const struct listener *listener)
{
    if (listener->fd < 0 || set->addresses[listener->origin].is_shared)
        return;
    int rc = sieve_refuse_new(listener->fd, listener->slot >= 0);
    if (rc < 0)
        log_debug("new connections not refused", "why=\"%s\"", strerror(-rc));
}

void listen_hand_over_all(const struct listen_set *set)
{
    for (uint32_t id = 0; id < set->n; id++)
        if (set->items[id].fd >= 0 && set->items[id].slot >= 0 &&
            !set->addresses[set->items[id].origin].is_shared)
            (void)set_flag(set->items[id].fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
}

void listen_refuse_new(const struct listen_set *set)
{
    listen_hand_over_all(set);
    for (uint32_t id = 0; id < set->n; id++)
        refuse_new(set, &set->items[id]);
}

bool listen_is_passed(const struct listen_set *set)
{
    for (uint32_t i = 0; i < set->n_addresses; i++)
        if (set->addresses[i].text[0] && !set->addresses[i].bind)
            return true;
    return false;
}

bool listen_is_shared(const struct listen_set *set)
{
    for (uint32_t i = 0; i < set->n_addresses; i++)
        if (set->addresses[i].text[0] && set->addresses[i].is_shared)
            return true;
    return false;
}

void listen_leave_unshared(struct listen_set *set)
{
    for (uint32_t i = 0; i < set->n_addresses; i++)
        set->addresses[i].is_leaving = set->addresses[i].text[0] && !set->addresses[i].is_shared;
}

void listen_share(struct listen_set *set, bool is_shared)
{
    for (uint32_t i = 0; i < set->n_addresses; i++)
        if (set->addresses[i].text[0])
            set->addresses[i].is_shared = is_shared || !set->addresses[i].bind;
}

bool listen_is_leaving(const struct listen_set *set, uint32_t id)
{
    const struct listener *listener = &set->items[id];
    return listener->fd >= 0 && set->addresses[listener->origin].is_leaving;
}

uint32_t listen_retire(const struct listen_set *set)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n_addresses; i++)
        if (set->addresses[i].is_leaving)
            unlink_own(&set->addresses[i]);
    for (uint32_t id = 0; id < set->n; id++) {
        if (!listen_is_leaving(set, id))
            continue;
        refuse_new(set, &set->items[id]);
        n++;
    }
    return n;
}

void listen_close_leaving(struct listen_set *set)
{
    for (uint32_t id = 0; id < set->n; id++)
        if (listen_is_leaving(set, id))
            fd_close(&set->items[id].fd);
    for (uint32_t i = 0; i < set->n_addresses; i++)
        if (set->addresses[i].is_leaving)
            free_address(&set->addresses[i]);
}

void listen_close(struct listen_set *set)
{
    for (uint32_t i = 0; i < set->n_addresses; i++) {
        unlink_own(&set->addresses[i]);
        free_address(&set->addresses[i]);
    }
    for (uint32_t i = 0; i < set->n; i++)
        fd_close(&set->items[i].fd);
    free(set->items);
    free(set->addresses);
    *set = (struct listen_set){0};
}
