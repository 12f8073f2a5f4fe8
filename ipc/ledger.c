/* See ledger.h. Fences as for every sequence lock: the writer's data lie between its two steps, the
 * reader's between its two looks. What was copied while it changed is never looked at. */
#include "ipc/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

#define TRIES 64U

const char *const ledger_state_names[LEDGER_STATES] = {
    [LEDGER_FREE] = "free",         [LEDGER_BOOTING] = "booting", [LEDGER_READY] = "ready",
    [LEDGER_DRAINING] = "draining", [LEDGER_ENDING] = "ending",   [LEDGER_BURIED] = "buried"};

const char *const ledger_reason_names[LEDGER_REASONS] = {
    [LEDGER_CRASH] = "crash",     [LEDGER_MEMORY] = "memory", [LEDGER_HUNG] = "hung",
    [LEDGER_TASK] = "task",       [LEDGER_LIMIT] = "limit",   [LEDGER_EXIT] = "exit",
    [LEDGER_OUTSIDE] = "outside", [LEDGER_BOOT] = "boot",     [LEDGER_WORN] = "worn"};

const char *const ledger_outcome_names[LEDGER_OUTCOMES] = {
    [LEDGER_DONE] = "done", [LEDGER_REFUSED] = "refused"};

static size_t seats_at(void)
{
    return (sizeof(struct ledger) + 63) & ~(size_t)63;
}

static size_t routes_at(uint32_t n_seats)
{
    return (seats_at() + n_seats * sizeof(struct ledger_seat) + 63) & ~(size_t)63;
}

static size_t size_of(uint32_t n_seats, uint32_t n_routes)
{
    return routes_at(n_seats) + n_routes * sizeof(struct totals_route);
}

/* Of the master. */
static void *own_base;
static size_t own_bytes;

int ledger_create(uint32_t n_seats, uint32_t n_routes, int *out_fd, struct ledger **out,
                  struct err *err)
{
    size_t bytes = size_of(n_seats, n_routes);
    int fd = memfd_create("remuda-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(err, errno, "ledger: memfd_create: %s", strerror(errno));
    int rc = ftruncate(fd, (off_t)bytes) < 0 ? -errno : 0;
    void *base = MAP_FAILED;
    if (rc == 0) {
        base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        rc = base == MAP_FAILED ? -errno : 0;
    }
    if (rc == 0 && madvise(base, bytes, MADV_DONTFORK) < 0)
        rc = -errno;
    /* An older kernel has no such seal: then only that nobody else gets the descriptor counts. */
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) < 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        rc = -errno;
    if (rc < 0) {
        if (base != MAP_FAILED)
            (void)munmap(base, bytes);
        fd_close(&fd);
        return err_set(err, -rc, "ledger of %zu bytes: %s", bytes, strerror(-rc));
    }
    struct ledger *ledger = base;
    ledger->layout = LEDGER_LAYOUT;
    ledger->n_seats = n_seats;
    ledger->n_routes = n_routes;
    *out_fd = fd;
    *out = ledger;
    own_base = base;
    own_bytes = bytes;
    return 0;
}

/* The kernel has done it. Said all the same: a checker that keeps books of mappings of its own does
 * not know of MADV_DONTFORK, and would look through two megabytes word by word, fault by fault. */
void ledger_forget(void)
{
    if (own_base)
        (void)munmap(own_base, own_bytes);
    own_base = NULL;
}

void ledger_close(struct ledger *ledger, int *fd)
{
    if (ledger)
        (void)munmap(ledger, size_of(ledger->n_seats, ledger->n_routes));
    own_base = NULL;
    fd_close(fd);
}

struct ledger_seat *ledger_seats(struct ledger *ledger)
{
    return (struct ledger_seat *)(void *)((char *)ledger + seats_at());
}

struct totals_route *ledger_routes(struct ledger *ledger)
{
    return (struct totals_route *)(void *)((char *)ledger + routes_at(ledger->n_seats));
}

void ledger_begin(struct ledger *ledger)
{
    uint32_t version = atomic_load_explicit(&ledger->version, memory_order_relaxed);
    atomic_store_explicit(&ledger->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

void ledger_end(struct ledger *ledger, uint64_t now_us)
{
    uint32_t version = atomic_load_explicit(&ledger->version, memory_order_relaxed);
    ledger->page.n_burials = atomic_load_explicit(&ledger->n_burials, memory_order_relaxed);
    ledger->page.told_us = now_us;
    atomic_store_explicit(&ledger->version, version + 1, memory_order_release);
}

void ledger_bury(struct ledger *ledger)
{
    atomic_fetch_add(&ledger->n_burials, 1); /* seen before what follows it */
}

/* ---- who tells it */

int ledger_map(int fd, const struct ledger **out, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(err, errno, "ledger: %s", strerror(errno));
    size_t bytes = (size_t)st.st_size;
    if (bytes < sizeof(struct ledger))
        return err_set(err, EPROTO, "ledger of %zu bytes", bytes);
    const struct ledger *ledger = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (ledger == MAP_FAILED)
        return err_set(err, errno, "ledger: mmap: %s", strerror(errno));
    if (ledger->layout != LEDGER_LAYOUT || size_of(ledger->n_seats, ledger->n_routes) != bytes)
        return err_set(err, EPROTO, "ledger of another version");
    *out = ledger;
    return 0;
}

int ledger_copy_init(struct ledger_copy *copy, const struct ledger *ledger)
{
    memset(copy, 0, sizeof *copy);
    copy->seats = calloc(ledger->n_seats, sizeof copy->seats[0]);
    copy->routes = calloc(ledger->n_routes, sizeof copy->routes[0]);
    if (copy->seats && copy->routes)
        return 0;
    ledger_copy_fini(copy);
    return -ENOMEM;
}

void ledger_copy_fini(struct ledger_copy *copy)
{
    free(copy->seats);
    free(copy->routes);
    copy->seats = NULL;
    copy->routes = NULL;
}

static void copy_all(struct ledger_copy *copy, const struct ledger *ledger)
{
    struct ledger *base = (struct ledger *)(uintptr_t)ledger; /* only to find what is behind */
    memcpy(&copy->page, &ledger->page, sizeof copy->page);
    if (copy->page.n_seats > ledger->n_seats)
        copy->page.n_seats = ledger->n_seats;
    if (copy->page.n_breakers > LEDGER_BREAKERS)
        copy->page.n_breakers = LEDGER_BREAKERS;
    if (copy->page.n_pools > LEDGER_POOLS)
        copy->page.n_pools = LEDGER_POOLS;
    if (copy->page.settings_len > LEDGER_SETTINGS_BYTES)
        copy->page.settings_len = 0;
    if (copy->page.totals.n_routes > ledger->n_routes)
        copy->page.totals.n_routes = ledger->n_routes;
    memcpy(copy->seats, ledger_seats(base), copy->page.n_seats * sizeof copy->seats[0]);
    memcpy(copy->routes, ledger_routes(base), copy->page.totals.n_routes * sizeof copy->routes[0]);
    memcpy(copy->breakers, ledger->breakers, copy->page.n_breakers * sizeof copy->breakers[0]);
    if (copy->settings_number != copy->page.settings_number)
        memcpy(copy->settings, ledger->settings, copy->page.settings_len);
}

bool ledger_read(struct ledger_copy *copy, const struct ledger *ledger)
{
    bool is_whole = false;
    for (unsigned i = 0; i < TRIES && !is_whole; i++) {
        uint32_t before = atomic_load_explicit(&ledger->version, memory_order_acquire);
        if (before % 2 != 0)
            continue;
        copy_all(copy, ledger);
        atomic_thread_fence(memory_order_acquire);
        is_whole = atomic_load_explicit(&ledger->version, memory_order_relaxed) == before;
    }
    if (is_whole)
        copy->settings_number = copy->page.settings_number;
    copy->page.totals.routes = copy->routes;
    copy->page.totals.cap = ledger->n_routes;
    copy->beat_us = atomic_load_explicit(&ledger->beat_us, memory_order_relaxed);
    return is_whole && ledger_is_current(copy, ledger);
}

bool ledger_is_current(const struct ledger_copy *copy, const struct ledger *ledger)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&ledger->n_burials, memory_order_relaxed) == copy->page.n_burials;
}
