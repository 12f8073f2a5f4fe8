/* rmd_offload_map(): several payloads for one task. See offload.h. Reading order:
 * rmd_offload_map() → start_map() → go_on() → launch() → launch_one(); offload_map_on_part();
 * offload_map_turn(); give_all().
 *
 * What is large is not copied on the loop for a handler of the lane io: payloads go, and results
 * come, by files, which threads write and read. But each is a descriptor until then, so that there
 * are some at most; the others are copied on the loop. Nothing stays in the slice of a compute
 * worker, since a map may take its time, and dead workers have no successor until all that they
 * have left behind is read.
 *
 * Process: web workers; rmd_offload_map() and give_all() on whatever thread has the request, all
 * else on the loop's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/fd.h"
#include "http/conn.h"
#include "workers/offload_call.h"

#define MAP_MAX 100000U                /* a guess */
#define FILES_MAX 64U                  /* payloads, and results, of a map at a time: a guess */
#define RETRY_US (CLOCK_US_PER_S / 50) /* of those that wait for room: what a short task takes */

/* The calls that are out, and what became of the others. */
struct offload_map {
    struct offload_map *next_waiting;
    struct offload *lead; /* stands for all of them: ticket, task, payloads behind each other */
    rmd_mapped done;
    size_t n, next, n_out, window;
    bool is_io; /* its handler has a thread */
    size_t n_sent_by_file;
    size_t n_kept;          /* results, in files */
    size_t *lens;           /* of payloads, n of them; 0: it is in a file */
    size_t at;              /* of the next one in lead->payload */
    struct offload **calls; /* n of them, until the end; NULL: memory was refused */
    rmd_outcome *outcomes;
};

/* Those that have nothing out, since others fill the queue, in the order in which they came. */
static struct offload_map *waiting;

static void free_map(struct offload_map *map)
{
    for (size_t i = 0; map->calls && i < map->n; i++)
        offload_free(map->calls[i], true);
    offload_free(map->lead, true);
    free(map->lens);
    free(map->calls);
    free(map->outcomes);
    free(map);
}

bool offload_map_may_keep(const struct offload *call)
{
    struct offload_map *map = call->map;
    bool may_keep = map->is_io && call->result_len > TASK_LARGE_BYTES && map->n_kept < FILES_MAX;
    map->n_kept += may_keep;
    return may_keep;
}

static rmd_outcome make_outcome(struct offload *call, rmd_request *req)
{
    rmd_outcome outcome = {-ENOMEM, {NULL, 0}};
    if (!call)
        return outcome;
    outcome.error = call->error;
    if (call->error == 0 && call->result_fd < 0)
        outcome.result = (rmd_slice){call->result, call->result_len};
    else if (call->error == 0 && req)
        outcome.error = offload_fetch(call, req, &outcome.result);
    fd_close(&call->result_fd);
    return outcome;
}

/* On the thread of the request's lane. */
static void give_all(rmd_request *req, rmd_response *res, void *arg)
{
    struct offload_map *map = arg;
    for (size_t i = 0; i < map->n; i++)
        map->outcomes[i] = make_outcome(map->calls[i], req);
    map->done(req, res, map->outcomes, map->n, map->lead->arg);
    free_map(map);
}

/* Number map->next. NULL: memory is refused */
static struct offload *make_part(struct offload_map *map)
{
    struct offload *call = map->calls[map->next];
    if (!call && !(call = offload_new()))
        return NULL;
    if (call->payload_fd < 0) {
        call->payload = map->lead->payload + map->at; /* which stays until the end */
        call->len = map->lens[map->next];
    }
    call->ticket = map->lead->ticket;
    call->pool = map->lead->pool;
    call->task = map->lead->task;
    call->task.by_file = map->is_io && map->n_kept < FILES_MAX;
    call->map = map;
    return call;
}

/* Returns 0; -EAGAIN: there is no room in the queue, but there will be */
static int launch_one(struct offload_map *map)
{
    size_t i = map->next;
    struct offload *call = map->calls[i];
    bool is_alone = offload_is_alone();
    if (!call || !call->map)
        call = map->calls[i] = make_part(map);
    if (call)
        call->error = is_alone ? offload_run_here(call) : offload_hand_over(call);
    if (call && call->error == -EAGAIN && !is_alone)
        return -EAGAIN;
    map->n_out += call && call->error == 0 && !is_alone;
    map->at += map->lens[i];
    map->next++;
    return 0;
}

/* As many as may be out; those that fail at once make room for the next. Returns false: all that
 * are left wait for room in the queue, and none is out whose end would say that there is some */
static bool launch(struct offload_map *map)
{
    if (!rmd_is_wanted(map->lead->ticket))
        map->next = map->n;
    while (map->next < map->n && map->n_out < map->window && launch_one(map) == 0)
        continue;
    if (map->n_out > 0)
        return true;
    if (map->next < map->n)
        return false;
    rmd_complete(map->lead->ticket, give_all, map);
    return true;
}

static void look_again_soon(void)
{
    struct web *web = offload_home();
    if (web && web->compute)
        desk_expect(web->compute, web->env.now_us + RETRY_US);
}

static void go_on(struct offload_map *map)
{
    struct offload_map **last = &waiting;
    if (launch(map))
        return;
    while (*last)
        last = &(*last)->next_waiting;
    map->next_waiting = NULL;
    *last = map;
    look_again_soon();
}

/* Has it time, and anybody who waits for it? */
static bool is_to_wait(const struct offload_map *map)
{
    const struct web *web = offload_home();
    return web && map->lead->task.deadline_us > web->env.now_us && rmd_is_wanted(map->lead->ticket);
}

/* Who came first goes first, as long as its pool has room for any. */
void offload_map_turn(void)
{
    uint64_t full = 0; /* pools, a bit each */
    struct offload_map *next;
    for (struct offload_map **at = &waiting, *map = waiting; map; map = next) {
        uint64_t pool = UINT64_C(1) << map->lead->pool;
        next = map->next_waiting;
        if ((!(full & pool) || !is_to_wait(map)) && launch(map)) {
            *at = next;
        } else {
            full |= pool;
            at = &map->next_waiting;
        }
    }
    if (waiting)
        look_again_soon();
}

void offload_map_on_part(struct offload_map *map)
{
    map->n_out--;
    go_on(map);
}

static void start_map(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)res;
    struct offload_map *map = arg;
    map->window = offload_window(map->lead);
    go_on(map);
}

/* Is it in a file now? */
static bool put_into_file(struct offload_map *map, size_t i, rmd_slice payload)
{
    if (!map->is_io || payload.len <= TASK_LARGE_BYTES || map->n_sent_by_file == FILES_MAX)
        return false;
    struct offload *call = offload_new();
    int fd = call ? memfd_create("remuda-payload", MFD_CLOEXEC) : -1;
    if (fd < 0 || fd_write_all(fd, payload.data, payload.len) < 0) {
        fd_close(&fd);
        free(call);
        return false;
    }
    call->payload_fd = fd;
    call->len = payload.len;
    map->calls[i] = call;
    map->n_sent_by_file++;
    return true;
}

/* Those that are in no file, behind each other. Returns 0; -ENOMEM */
static int pack(struct offload_map *map, const rmd_slice *payloads)
{
    size_t bytes = 0;
    for (size_t i = 0; i < map->n; i++) {
        map->lens[i] = put_into_file(map, i, payloads[i]) ? 0 : payloads[i].len;
        bytes += map->lens[i];
    }
    char *at = malloc(bytes > 0 ? bytes : 1);
    if (!at)
        return -ENOMEM;
    map->lead->payload = at;
    map->lead->is_payload_ours = true;
    map->lead->len = bytes;
    for (size_t i = 0; i < map->n; i++) {
        if (map->lens[i] > 0)
            memcpy(at, payloads[i].data, map->lens[i]);
        at += map->lens[i];
    }
    return 0;
}

static struct offload_map *new_map(size_t n)
{
    struct offload_map *map = calloc(1, sizeof *map);
    if (!map)
        return NULL;
    map->n = n;
    map->lens = calloc(n, sizeof map->lens[0]);
    map->calls = calloc(n, sizeof map->calls[0]);
    map->outcomes = calloc(n, sizeof map->outcomes[0]);
    map->lead = offload_new();
    if (!map->lens || !map->calls || !map->outcomes || !map->lead) {
        free_map(map);
        return NULL;
    }
    return map;
}

int rmd_offload_map(rmd_request *req, const char *task, const rmd_slice *payloads, size_t n,
                    unsigned timeout_ms, rmd_mapped done, void *arg)
{
    if (n == 0 || n > MAP_MAX)
        return -EINVAL;
    struct offload_map *map = new_map(n);
    if (!map)
        return -ENOMEM;
    map->is_io = offload_home() && exchange_of(req)->is_io;
    map->done = done;
    map->lead->arg = arg;
    int rc = offload_fill(map->lead, req, task, timeout_ms, offload_patience_us(req));
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = offload_is_too_large(payloads[i].len) ? -EMSGSIZE : 0;
    if (rc == 0)
        rc = pack(map, payloads);
    if (rc == 0)
        rc = offload_put_off(map->lead, req, start_map, map);
    if (rc < 0)
        free_map(map);
    return rc;
}
