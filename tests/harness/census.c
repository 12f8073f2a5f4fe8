#include "tests/harness/census.h"

#include "tests/harness/check.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"

struct census census_take(pid_t master)
{
    pid_t below[PROCS_MAX];
    struct census c = {
        .processes = procs_below(master, below),
        .zombies = procs_zombies_of(master),
        .fds = procs_fd_count(master),
        .sockets = procs_fd_count_like(master, "socket:"),
        .memfds = procs_fd_count_like(master, "/memfd:"),
        .pipes = procs_fd_count_like(master, "pipe:"),
        .anon_kib = procs_memory_kib(master, "RssAnon"),
        .data_kib = procs_memory_kib(master, "VmData"),
    };
    for (size_t i = 0; i < c.processes; i++)
        c.below_fds += procs_fd_count(below[i]);
    return c;
}

static bool is_same(const struct census *a, const struct census *b)
{
    return a->processes == b->processes && a->zombies == b->zombies && a->fds == b->fds &&
           a->sockets == b->sockets && a->memfds == b->memfds && a->pipes == b->pipes;
}

const char *census_text(const struct census *c, char *out, size_t cap)
{
    (void)snprintf(out, cap,
                   "processes=%zu zombies=%zu fds=%zu (sockets=%zu memfds=%zu pipes=%zu) "
                   "below_fds=%zu anon=%luKiB data=%luKiB",
                   c->processes, c->zombies, c->fds, c->sockets, c->memfds, c->pipes, c->below_fds,
                   c->anon_kib, c->data_kib);
    return out;
}

void census_wait_same(pid_t master, const struct census *before)
{
    char was[256], is[256];
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (struct census now = census_take(master); !is_same(before, &now); now = census_take(master))
        CHECK_SAYING(patience_turn(deadline), "the master had %s\n         and has %s",
                     census_text(before, was, sizeof was), census_text(&now, is, sizeof is));
}
