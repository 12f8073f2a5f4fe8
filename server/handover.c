/* The text in which listening sockets pass from a master to its successor. Process: master, both.
 *
 *     1 4711 5 7 bind                  version, the old master's pid, descriptor to talk over, last
 *                                      generation, whose the sockets are: bind, systemd
 *     address http://127.0.0.1:8000    where it is, as getsockname(2) has it
 *     bind localhost:8000              what the settings call it
 *     file 26 1234 /run/a              unix: device, inode, absolute path
 *     sockets 6:0 7:1                  descriptor and slot; slot -1: shared by all
 *
 * The four lines come for each address; those without meaning are left out. A line "admin" in front
 * of them says that it is the admin process's. A successor may be any
 * later version, so the first number is one that both must know. */
#include "server/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "server/endpoint.h"
#include "server/listen.h"

#define VERSION 1
#define ADMIN "admin"

/* ---- Writing */

/* Returns 0; something else when memory is refused */
static int print_sockets(struct buf *out, const struct listen_set *set, uint32_t origin)
{
    int rc = buf_printf(out, "sockets");
    for (uint32_t id = 0; id < set->n; id++)
        if (set->items[id].fd >= 0 && set->items[id].origin == origin)
            rc |= buf_printf(out, " %d:%d", set->items[id].fd, set->items[id].slot);
    rc |= buf_printf(out, "\n");
    return rc;
}

/* A path may hold what ends a line here. */
static bool is_printable(const struct listen_address *address)
{
    return !strchr(address->text, '\n') && !(address->bind && strchr(address->bind, '\n')) &&
           !(address->path && strchr(address->path, '\n'));
}

/* prefix  in front of each address
 * Returns 0; -ENOMEM, -EINVAL */
static int print_set(struct buf *out, const struct listen_set *set, const char *prefix)
{
    int rc = 0;
    for (uint32_t i = 0; i < set->n_addresses; i++) {
        const struct listen_address *address = &set->addresses[i];
        if (!address->text[0] || address->is_leaving)
            continue;
        if (!is_printable(address))
            return -EINVAL;
        rc |= buf_printf(out, "%saddress %s\n", prefix, address->text);
        if (address->bind)
            rc |= buf_printf(out, "bind %s\n", address->bind);
        if (address->path)
            rc |= buf_printf(out, "file %" PRIuMAX " %" PRIuMAX " %s\n", (uintmax_t)address->device,
                             (uintmax_t)address->inode, address->path);
        rc |= print_sockets(out, set, i);
    }
    return rc != 0 ? -ENOMEM : 0;
}

char *handover_print(const struct handover *about, const struct listen_set *set,
                     const struct listen_set *admin, struct err *err)
{
    struct buf out = {0};
    int rc =
        buf_printf(&out, HANDOVER_VARIABLE "=%d %d %d %d %s\n", VERSION, (int)about->from,
                   about->talk_fd, about->generation, listen_is_passed(set) ? "systemd" : "bind");
    if (rc == 0)
        rc = print_set(&out, set, "");
    if (rc == 0)
        rc = print_set(&out, admin, ADMIN "\n");
    if (rc == 0)
        return out.data; /* buf_printf() ends it with a NUL */
    buf_fini(&out);
    (void)err_set(err, -rc,
                  rc == -EINVAL ? "a path with a line feed in it can't be passed on"
                                : "out of memory");
    return NULL;
}

/* ---- Reading */

struct reader {
    char *rest;
    bool is_passed; /* the sockets are systemd's, and no bind is */
    struct listen_set set;
    struct listen_set admin;
    struct err *err;
};

static int refuse(struct reader *r, const char *what)
{
    return err_set(r->err, EINVAL,
                   HANDOVER_VARIABLE " is set and no good: %s. Only a remuda that is upgraded sets "
                                     "it; unset it to start another server",
                   what);
}

/* The next line, if it begins with that word: what is behind it. NULL: it does not */
static char *take_line(struct reader *r, const char *word)
{
    size_t len = strlen(word);
    char *end = strchr(r->rest, '\n');
    if (!end || strncmp(r->rest, word, len) != 0)
        return NULL;
    char *text = r->rest + len;
    *end = '\0';
    r->rest = end + 1;
    return text;
}

static int read_socket(struct reader *r, struct listen_set *set, struct listen_address *address,
                       int fd, int slot)
{
    char text[ENDPOINT_TEXT_MAX];
    struct sockaddr_storage where = {0};
    socklen_t len = sizeof where;
    const char *fault = endpoint_find_fault(fd);
    if (fault)
        return err_set(r->err, EINVAL, HANDOVER_VARIABLE ": descriptor %d is %s", fd, fault);
    if (getsockname(fd, (struct sockaddr *)(void *)&where, &len) < 0)
        return refuse(r, strerror(errno));
    if (strcmp(endpoint_print(text, &where, len), address->text) != 0)
        return err_set(r->err, EINVAL,
                       HANDOVER_VARIABLE ": descriptor %d listens on %s and not on %s", fd, text,
                       address->text);
    if (slot < -1 || slot >= LISTEN_SLOTS_MAX)
        return refuse(r, "a slot out of range");
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return refuse(r, strerror(errno));
    address->where = where;
    address->where_len = address->path ? sizeof(struct sockaddr_un) : len; /* as listen.c has it */
    set->items[set->n++] = (struct listener){fd, slot, set->n_addresses - 1};
    if (slot >= 0) {
        set->has_slot[slot] = true;
        set->n_slots = (uint32_t)slot >= set->n_slots ? (uint32_t)slot + 1 : set->n_slots;
    }
    return 0;
}

/* " 6:0 7:1" */
static int read_sockets(struct reader *r, struct listen_set *set, struct listen_address *address,
                        char *text)
{
    uint32_t n = 0;
    for (const char *c = text; *c; c++)
        n += *c == ':';
    struct listener *grown = realloc(set->items, (set->n + n + 1) * sizeof *grown);
    if (!grown)
        return err_set(r->err, ENOMEM, "out of memory");
    set->items = grown;
    set->cap = set->n + n;
    for (char *at = text; *at;) {
        char *end;
        long fd = strtol(at, &end, 10);
        if (end == at || *end != ':' || fd < 3 || fd > INT32_MAX)
            return refuse(r, "no descriptor where one should stand");
        at = end + 1;
        long slot = strtol(at, &end, 10);
        if (end == at || (*end && *end != ' ') || slot < -1 || slot > INT32_MAX)
            return refuse(r, "no slot where one should stand");
        int rc = read_socket(r, set, address, (int)fd, (int)slot);
        if (rc < 0)
            return rc;
        at = end;
    }
    return 0;
}

static int read_file(struct listen_address *address, char *text, struct reader *r)
{
    uintmax_t device;
    uintmax_t inode;
    int at = 0;
    if (sscanf(text, "%" SCNuMAX " %" SCNuMAX " %n", &device, &inode, &at) != 2 || at == 0)
        return refuse(r, "no file where one should stand");
    address->path = strdup(text + at);
    address->device = (dev_t)device;
    address->inode = (ino_t)inode;
    return address->path ? 0 : err_set(r->err, ENOMEM, "out of memory");
}

static int read_address(struct reader *r)
{
    bool is_admin = take_line(r, ADMIN) != NULL;
    struct listen_set *set = is_admin ? &r->admin : &r->set;
    uint32_t cap = set->n_addresses + 1;
    struct listen_address *grown = realloc(set->addresses, cap * sizeof *grown);
    if (!grown)
        return err_set(r->err, ENOMEM, "out of memory");
    set->addresses = grown;
    set->cap_addresses = cap;
    struct listen_address *address = &grown[set->n_addresses++];
    *address = (struct listen_address){.is_new = true, .is_shared = true};
    const char *text = take_line(r, "address ");
    bool is_passed = r->is_passed && !is_admin;
    const char *bind = is_passed ? "" : take_line(r, "bind ");
    if (!text || !bind || strlen(text) >= sizeof address->text)
        return refuse(r, "no address where one should stand");
    memcpy(address->text, text, strlen(text) + 1);
    address->bind = is_passed ? NULL : strdup(bind);
    if (!is_passed && !address->bind)
        return err_set(r->err, ENOMEM, "out of memory");
    char *file = take_line(r, "file ");
    int rc = file ? read_file(address, file, r) : 0;
    char *sockets = rc == 0 ? take_line(r, "sockets") : NULL;
    if (rc == 0)
        rc = sockets ? read_sockets(r, set, address, sockets)
                     : refuse(r, "an address without sockets");
    return rc;
}

static int read_head(struct reader *r, struct handover *out)
{
    int version = 0;
    int from = 0;
    char whose[16] = "";
    const char *line = take_line(r, "");
    if (!line || sscanf(line, "%d", &version) != 1)
        return refuse(r, "it has no version");
    if (version != VERSION)
        return err_set(r->err, EPROTO,
                       "the running remuda passes its sockets in another way (%d, this version "
                       "knows %d): stop it and start this one instead of an upgrade",
                       version, VERSION);
    if (sscanf(line, "%*d %d %d %d %15s", &from, &out->talk_fd, &out->generation, whose) != 4 ||
        from <= 0 || out->talk_fd < 3 || out->generation < 0)
        return refuse(r, "its first line is incomplete");
    out->from = (pid_t)from;
    r->is_passed = strcmp(whose, "systemd") == 0;
    if (fcntl(out->talk_fd, F_SETFD, FD_CLOEXEC) < 0)
        return refuse(r, "the descriptor to talk over is not open");
    return 0;
}

int handover_parse(const char *text, struct handover *out, struct listen_set *out_set,
                   struct listen_set *out_admin, struct err *err)
{
    char *copy = strdup(text);
    struct reader r = {.rest = copy, .err = err};
    struct handover about;
    int rc = copy ? read_head(&r, &about) : err_set(err, ENOMEM, "out of memory");
    while (rc == 0 && *r.rest)
        rc = read_address(&r);
    if (rc == 0 && r.set.n == 0)
        rc = refuse(&r, "there is no socket in it");
    free(copy);
    if (rc < 0) {
        listen_close(&r.set); /* shared ones are only closed here */
        listen_close(&r.admin);
        return rc;
    }
    *out = about;
    *out_set = r.set;
    *out_admin = r.admin;
    return 0;
}
