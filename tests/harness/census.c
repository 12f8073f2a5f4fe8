#include "tests/harness/census.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/scoreboard.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"

#define SCOREBOARD_PAGE 4096 /* of its head, in front of the parts */

static size_t count_text(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        n++;
    return n;
}

/* Loaders begin with their pid, web workers with their slot, compute workers with their pool. */
static size_t count_seats(const struct server *s)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    size_t n = count_text(answer, "{\"pid\":") + count_text(answer, "{\"slot\":") +
               count_text(answer, "{\"pool\":");
    free(answer);
    return n;
}

/* Opens a file of a process that is not on any disk. Returns -1 when there is none */
static int open_memfd(pid_t pid, const char *name)
{
    char path[64], target[256];
    int found = -1;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e && found < 0; e = readdir(dir)) {
        ssize_t len = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        target[len < 0 ? 0 : len] = '\0';
        if (strstr(target, name))
            found = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
    }
    if (dir)
        (void)closedir(dir);
    return found;
}

/* A part says whose it is from the first moment of its occupant until the master clears it. */
static size_t count_parts(pid_t master)
{
    struct scoreboard_head table;
    struct seat_head seat;
    struct stat st;
    size_t n = 0;
    int fd = open_memfd(master, "/memfd:remuda-scoreboard");
    if (fd < 0)
        return 0; /* it ends */
    CHECK(fstat(fd, &st) == 0 && pread(fd, &table, sizeof table, 0) == sizeof table);
    CHECK(table.layout == SCOREBOARD_LAYOUT && table.n_seats > 0);
    off_t part = (st.st_size - SCOREBOARD_PAGE) / table.n_seats;
    for (uint32_t i = 0; i < table.n_seats; i++) {
        CHECK(pread(fd, &seat, sizeof seat, SCOREBOARD_PAGE + i * part) == sizeof seat);
        n += seat.pid != 0;
    }
    (void)close(fd);
    return n;
}

/* What of the segment has memory, whoever uses it; of the newest generation, if there are more. */
static size_t count_segment_kib(pid_t master)
{
    struct stat st = {0};
    int fd = open_memfd(master, "/memfd:remuda-segment");
    if (fd >= 0)
        CHECK(fstat(fd, &st) == 0 && close(fd) == 0);
    return (size_t)st.st_blocks / 2;
}

static void count_sockets(const struct server *s, struct census *c)
{
    for (size_t i = 0; i < s->n_addresses; i++) {
        struct procs_sockets at =
            procs_sockets_at(server_port(s, i), s->addresses[i] + strlen("unix:"));
        c->listening += at.listening;
        c->connected += at.connected;
    }
}

struct census census_take(const struct server *s)
{
    pid_t below[PROCS_MAX];
    struct census c = {
        .processes = procs_below(s->pid, below),
        .zombies = procs_zombies_of(s->pid),
        .parts = count_parts(s->pid),
        .fds = procs_fd_count_at_rest(s->pid),
        .sockets = procs_fd_count_like(s->pid, "socket:"),
        .memfds = procs_fd_count_like(s->pid, "/memfd:"),
        .pipes = procs_fd_count_like(s->pid, "pipe:"),
        .anon_kib = procs_memory_kib(s->pid, "RssAnon"),
        .data_kib = procs_memory_kib(s->pid, "VmData"),
        .segment_kib = count_segment_kib(s->pid),
    };
    for (size_t i = 0; i < c.processes; i++)
        c.below_fds += procs_fd_count(below[i]);
    count_sockets(s, &c);
    c.seats = count_seats(s); /* last: the connection to ask is the master's, too */
    return c;
}

static bool is_same(const struct census *a, const struct census *b, bool is_at_rest)
{
    return a->processes == b->processes && a->zombies == b->zombies && a->seats == b->seats &&
           a->parts == b->parts && a->fds == b->fds && a->sockets == b->sockets &&
           a->memfds == b->memfds && a->pipes == b->pipes && a->listening == b->listening &&
           (!is_at_rest || (a->connected == b->connected && a->below_fds == b->below_fds));
}

static const char *text_of(const struct census *c, char *out, size_t cap)
{
    (void)snprintf(out, cap,
                   "processes=%zu zombies=%zu seats=%zu parts=%zu fds=%zu (sockets=%zu memfds=%zu "
                   "pipes=%zu) listening=%zu connected=%zu below_fds=%zu",
                   c->processes, c->zombies, c->seats, c->parts, c->fds, c->sockets, c->memfds,
                   c->pipes, c->listening, c->connected, c->below_fds);
    return out;
}

static void wait_same(const struct server *s, const struct census *before, bool is_at_rest)
{
    char was[256], is[256];
    uint64_t deadline = patience_until(2 * PATIENCE_MS);
    for (struct census now = census_take(s); !is_same(before, &now, is_at_rest);
         now = census_take(s))
        CHECK_SAYING(patience_turn(deadline), "there was %s\n         and is    %s",
                     text_of(before, was, sizeof was), text_of(&now, is, sizeof is));
}

void census_wait_same(const struct server *s, const struct census *before)
{
    wait_same(s, before, false);
}

void census_wait_same_at_rest(const struct server *s, const struct census *before)
{
    wait_same(s, before, true);
}

struct census census_wait_calm(const struct server *s, size_t processes)
{
    char is[256];
    uint64_t deadline = patience_until(2 * PATIENCE_MS);
    for (;;) {
        struct census now = census_take(s);
        if (now.processes == processes && now.seats == processes && now.zombies == 0)
            return now;
        CHECK_SAYING(patience_turn(deadline),
                     "%zu processes below the master, expected; there is %s", processes,
                     text_of(&now, is, sizeof is));
    }
}

void census_check_memory(const struct census *half, const struct census *after,
                         unsigned long anon_kib)
{
    if (patience_factor() > 1)
        return;
    CHECK_SAYING(after->anon_kib <= half->anon_kib + anon_kib &&
                     after->data_kib <= half->data_kib + 2 * 132,
                 "in the second half the master's memory grew from %lu to %lu KiB (of %lu and %lu "
                 "asked for), allowed are %lu more",
                 half->anon_kib, after->anon_kib, half->data_kib, after->data_kib, anon_kib);
}

void census_print(const char *const *names, const struct census *columns, size_t n)
{
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {
        {"processes below the master", offsetof(struct census, processes)},
        {"zombies", offsetof(struct census, zombies)},
        {"seats taken, of the master", offsetof(struct census, seats)},
        {"parts in use, shared table", offsetof(struct census, parts)},
        {"descriptors of the master", offsetof(struct census, fds)},
        {"  sockets", offsetof(struct census, sockets)},
        {"  memfds", offsetof(struct census, memfds)},
        {"  pipes", offsetof(struct census, pipes)},
        {"descriptors of the others", offsetof(struct census, below_fds)},
        {"sockets that listen", offsetof(struct census, listening)},
        {"sockets of connections", offsetof(struct census, connected)},
        {"RssAnon of the master, KiB", offsetof(struct census, anon_kib)},
        {"VmData of the master, KiB", offsetof(struct census, data_kib)},
        {"payload segment, KiB", offsetof(struct census, segment_kib)},
    };
    _Static_assert(sizeof(size_t) == sizeof(unsigned long), "one type of column");
    (void)printf("> %-28s", "");
    for (size_t k = 0; k < n; k++)
        (void)printf("%14s", names[k]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)printf("\n> %-28s", rows[i].name);
        for (size_t k = 0; k < n; k++)
            (void)printf("%14zu", *(const size_t *)(const void *)((const char *)&columns[k] +
                                                                  rows[i].offset));
    }
    (void)printf("\n");
}
