/* Building a generation and filling its posts. Process: master. Nothing here changes the running
 * one: a generation is built beside it, and what can't be built is freed again.
 *
 * The app is copied into a sealed memfd, once: whatever happens to the file, restarted loaders load
 * the same octets. (Overwriting a mapped file in place would be SIGBUS in every worker.) The loader
 * is a direct child; workers are made by the loader on request, with their end of a channel that
 * was made here, and come to the master by adoption. */
#include "server/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/msg.h"
#include "ipc/remains.h"
#include "ipc/spawn.h"
#include "workers/loader.h"

static int copy_app(struct generation *g, struct err *err)
{
    const char *path = g->settings->app;
    if (access(path, R_OK) < 0)
        return err_set(err, errno, "cannot read the app %s: %s", path, strerror(errno));
    if (!g->settings->app_copy)
        return 0;
    struct err why;
    if (fd_copy_sealed(path, REMAINS_APP_COPY, &g->app_fd, &why) == 0)
        return 0;
    if (why.code == EINVAL) { /* a folder, a device: loading it would fail as well */
        *err = why;
        return -why.code;
    }
    char quoted[LOG_QUOTE_MAX + 8];
    log_warn("app not copied", "why=%s does=\"load it from its path; don't replace it in place\"",
             log_quote(quoted, why.text, strlen(why.text)));
    return 0;
}

static void set_up_posts(struct generation *g, uint64_t now_us)
{
    g->loader = (struct post){.role = ROLE_LOADER, .slot = -1, .pool = -1, .due_us = now_us};
    for (uint32_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        g->workers[i] =
            (struct post){.role = ROLE_WEB, .slot = (int)i, .pool = -1, .due_us = now_us};
}

static size_t count_slot_bytes(const struct threads *threads)
{
    return GENERATION_WORKERS_MAX * sizeof *threads->slots;
}

/* The slots come from mmap(2), since they are large and few of them are ever used: the first free()
 * of such a piece teaches malloc(3) to take the next ones from the heap (mallopt(3),
 * M_MMAP_THRESHOLD), which then holds two generations' tables and has all of them written to.
 * Returns 0; -ENOMEM: generation_free() is due in either case */
static int open_threads(struct threads *threads, uint32_t limit_routes)
{
    void *slots = mmap(NULL, count_slot_bytes(threads), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    threads->slots = slots == MAP_FAILED ? NULL : slots;
    threads->cap_routes = limit_routes;
    threads->routes = calloc(limit_routes, sizeof *threads->routes);
    return threads->slots && threads->routes ? 0 : -ENOMEM;
}

static void close_threads(struct threads *threads)
{
    if (threads->slots)
        (void)munmap(threads->slots, count_slot_bytes(threads));
    free(threads->routes);
}

void generation_set_range(struct generation *g)
{
    const struct settings *s = g->settings;
    bool is_range = s->adaptive && s->workers.min < s->workers.max;
    g->web = (struct generation_web){.n_min = is_range ? s->workers.min : s->workers.n,
                                     .n_max = is_range ? s->workers.max : s->workers.n,
                                     .is_by_cpus = s->adaptive && s->workers.is_auto &&
                                                   s->workers.n > 1 &&
                                                   s->worker_class == WORKER_CLASS_EVENT};
}

int generation_new(const struct generation_plan *plan, struct generation **out, struct err *err)
{
    const struct settings *s = plan->settings;
    struct generation *g = calloc(1, sizeof *g);
    if (!g) {
        settings_free(plan->owned);
        return err_set(err, ENOMEM, "out of memory");
    }
    *g = (struct generation){
        .number = plan->number,
        .settings = s,
        .owned = plan->owned,
        .pools = {.segment_fd = -1, .breaker_fd = -1},
        .heritage = {.generation = plan->number,
                     .pool = -1,
                     .master_pid = getpid(),
                     .log_fd = plan->log_fd,
                     .access_fd = plan->access_fd,
                     .board = *plan->board,
                     .settings = s},
        .rules = {.graceful_us = s->graceful_timeout_us, .timeout_us = s->timeout_us},
        .folder_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC),
        .app_fd = -1,
        .n_workers = s->workers.n,
        .started_us = plan->now_us};
    generation_set_range(g);
    int rc = copy_app(g, err);
    if (rc == 0 && plan->access_fd >= 0)
        rc = loader_open_format(s, &g->access, err);
    if (rc == 0) {
        g->workers = calloc(GENERATION_WORKERS_MAX, sizeof *g->workers);
        if (!g->workers || pools_init(&g->pools, s, plan->now_us) < 0 ||
            lane_table_init(&g->lanes, plan->board->n_routes) < 0 ||
            open_threads(&g->threads, plan->board->n_routes) < 0)
            rc = err_set(err, ENOMEM, "out of memory");
    }
    if (rc < 0) {
        generation_free(g);
        return rc;
    }
    set_up_posts(g, plan->now_us);
    *out = g;
    return 0;
}

void generation_free(struct generation *g)
{
    if (!g)
        return;
    loader_close_format(g->access);
    fd_close(&g->app_fd);
    fd_close(&g->folder_fd);
    free(g->workers);
    pools_fini(&g->pools);
    lane_table_fini(&g->lanes);
    close_threads(&g->threads);
    settings_free(g->owned);
    free(g);
}

void generation_enter_folder(const struct generation *g)
{
    if (g->folder_fd >= 0 && fchdir(g->folder_fd) < 0)
        log_warn("working folder not entered", "generation=%d why=\"%s\"", g->number,
                 strerror(errno));
}

/* A seat with a channel; *out_child_fd is the other end. */
static int prepare_seat(struct generation *g, struct post *post,
                        const struct generation_means *means, struct seat **out_seat,
                        int *out_child_fd, struct err *err)
{
    struct seat *seat = slots_take(means->slots, post->role, post->slot, means->now_us);
    if (!seat)
        return err_set(err, ENOSPC, "all %u seats are taken", means->slots->n_seats);
    int ends[2];
    int rc = scoreboard_tell_used(means->board_fd, means->slots->n_used);
    if (rc < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        int code = rc < 0 ? -rc : errno;
        slots_release(means->slots, seat);
        return err_set(err, code, "%s: %s", rc < 0 ? "shared table" : "socketpair", strerror(code));
    }
    seat->channel_fd = ends[0];
    seat->generation = g->number;
    seat->pool = post->pool;
    seat->deadline_us = means->now_us + g->settings->boot_timeout_us;
    *out_seat = seat;
    *out_child_fd = ends[1];
    return 0;
}

static int send_with_fd(int channel_fd, const struct msg *msg, int fd)
{
    return msg_send(channel_fd, msg, &fd, fd >= 0 ? 1 : 0);
}

int generation_hire_loader(struct generation *g, const struct generation_means *means,
                           struct err *err)
{
    struct seat *seat;
    int child_fd;
    int rc = prepare_seat(g, &g->loader, means, &seat, &child_fd, err);
    if (rc < 0)
        return rc;
    struct heritage heritage = g->heritage;
    heritage.role = ROLE_LOADER;
    heritage.seat = seat->number;
    heritage.epoch = seat->epoch;
    heritage.slot = -1;
    heritage.channel_fd = child_fd;
    generation_enter_folder(g); /* inherited */
    rc = spawn_child(&heritage, loader_main, &seat->pid, err);
    fd_close(&child_fd);
    if (rc < 0) {
        slots_release(means->slots, seat);
        return rc;
    }
    seat->phase = SEAT_BOOTING;
    seat->logs = means->logs;
    g->loader.seat = seat;
    /* A new channel has room; what is not sent to a dying loader, its death makes good. */
    struct msg board = msg_make(MSG_BOARD);
    struct msg app = msg_make(MSG_APP);
    if (send_with_fd(seat->channel_fd, &board, means->board_fd) < 0 ||
        send_with_fd(seat->channel_fd, &app, g->app_fd) < 0)
        fd_close(&seat->channel_fd); /* it ends itself */
    return 0;
}

int generation_hire_worker(struct generation *g, struct post *post,
                           const struct generation_means *means, struct err *err)
{
    struct seat *seat;
    int child_fd;
    int rc = prepare_seat(g, post, means, &seat, &child_fd, err);
    if (rc < 0)
        return rc;
    struct msg order = msg_make(MSG_FORK);
    order.role = (int32_t)post->role;
    order.seat = seat->number;
    order.epoch = seat->epoch;
    order.slot = post->slot;
    order.value = post->pool;
    struct msg board = msg_make(MSG_BOARD);
    rc = send_with_fd(seat->channel_fd, &board, means->board_fd);
    if (rc == 0)
        rc = pools_send(&g->pools, seat->channel_fd, post->role, post->pool);
    if (rc == 0 && post->role == ROLE_WEB)
        rc = lane_table_send(&g->lanes, seat->channel_fd);
    if (rc == 0)
        rc = send_with_fd(g->loader.seat->channel_fd, &order, child_fd);
    fd_close(&child_fd);
    if (rc < 0) {
        slots_release(means->slots, seat);
        if (rc == -EAGAIN || rc == -EPIPE || rc == -ECONNRESET)
            return -EAGAIN; /* it is busy, or dying: then the next loader will be asked */
        return err_set(err, -rc, "asking the loader: %s", strerror(-rc));
    }
    /* The loader takes what is in its channel in order: it will have them when it forks. */
    const struct seat *loader = g->loader.seat;
    seat->logs = loader->logs_sent != 0 ? loader->logs_sent : loader->logs;
    if (post->seat)
        post->next = seat;
    else
        post->seat = seat;
    return 0;
}

struct seat *generation_worker(const struct generation *g, uint32_t slot)
{
    return slot < g->n_workers ? g->workers[slot].seat : NULL;
}

struct post *generation_find_post(struct generation *g, const struct seat *seat)
{
    if (g->loader.seat == seat)
        return &g->loader;
    if (seat->role == ROLE_COMPUTE)
        return pools_find_post(&g->pools, seat);
    if (seat->role != ROLE_WEB || seat->slot < 0 || (uint32_t)seat->slot >= g->n_workers)
        return NULL;
    struct post *post = &g->workers[seat->slot];
    return post->seat == seat || post->next == seat ? post : NULL;
}

uint32_t generation_count_ready(const struct generation *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_workers; i++)
        n += g->workers[i].seat && g->workers[i].seat->phase == SEAT_READY;
    return n;
}

bool generation_is_complete(const struct generation *g)
{
    return generation_count_ready(g) >= g->n_workers &&
           pools_count_ready(&g->pools) >= pools_count_wanted(&g->pools);
}
