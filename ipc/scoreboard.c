/* Layout and mapping of the shared table. The memfd is sparse: pages come when an occupant touches
 * them and go when the master clears a seat. */
#include "ipc/scoreboard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "ipc/remains.h"
#include "ipc/task.h"

#define PAGE 4096U

_Static_assert(sizeof(struct scoreboard_head) <= PAGE, "one page");
_Static_assert(sizeof(struct seat_head) <= PAGE, "one page");
_Static_assert(sizeof(struct task_seat) <= SCOREBOARD_TASK_BYTES, "one page");
_Static_assert(SCOREBOARD_TASK_BYTES == PAGE, "what the master maps for writing is no more");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a dead process must not hold a lock");

const char *const scoreboard_phase_names[ENTRY_PHASES] = {
    [ENTRY_FREE] = "free",         [ENTRY_HANDLER] = "handler", [ENTRY_STREAM] = "stream",
    [ENTRY_DEFERRED] = "deferred", [ENTRY_QUEUED] = "queued",   [ENTRY_IO] = "io",
    [ENTRY_COMPUTE] = "compute"};

const char *const scoreboard_call_names[LOOP_CALL_KINDS] = {
    [LOOP_CALL_HANDLER] = "handler",   [LOOP_CALL_CONSUMER] = "consumer",
    [LOOP_CALL_PRODUCER] = "producer", [LOOP_CALL_ANSWER] = "answer",
    [LOOP_CALL_DONE] = "done",         [LOOP_CALL_ERROR_PAGE] = "error_page"};

const char *const scoreboard_connection_names[SCOREBOARD_CONNECTIONS] = {
    [SCOREBOARD_CONNECTION_IDLE] = "idle",     [SCOREBOARD_CONNECTION_HEAD] = "head",
    [SCOREBOARD_CONNECTION_BODY] = "body",     [SCOREBOARD_CONNECTION_WRITE] = "write",
    [SCOREBOARD_CONNECTION_LINGER] = "linger", [SCOREBOARD_CONNECTION_APP] = "app"};

const char *const scoreboard_state_names[SEAT_STATES] = {[SEAT_STATE_BOOTING] = "booting",
                                                         [SEAT_STATE_READY] = "ready",
                                                         [SEAT_STATE_DRAINING] = "draining"};

void scoreboard_peer(const struct request_entry *entry, char out[SCOREBOARD_PEER_MAX])
{
    int family = entry->peer_family;
    if ((family != AF_INET && family != AF_INET6) ||
        !inet_ntop(family, entry->peer_address, out, SCOREBOARD_PEER_MAX))
        out[0] = '\0';
}

/* A–Z a–z 0–9 . _ - = */
static bool is_trace(const char *text, size_t len)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-=";
    for (size_t i = 0; i < len; i++)
        if (!memchr(allowed, text[i], sizeof allowed - 1))
            return false;
    return true;
}

bool scoreboard_read_entry(const struct request_entry *shared, struct request_entry *out)
{
    uint32_t phase = atomic_load_explicit(&shared->phase, memory_order_acquire);
    if (phase == ENTRY_FREE)
        return false;
    memcpy(out, shared, sizeof *out);
    out->phase = phase < ENTRY_PHASES ? phase : ENTRY_PHASES;
    out->method[sizeof out->method - 1] = '\0';
    if (out->target_len > sizeof out->target)
        out->target_len = sizeof out->target;
    if (out->trace_len > sizeof out->trace || !is_trace(out->trace, out->trace_len))
        out->trace_len = 0;
    return true;
}

void scoreboard_set_exemplar(struct route_exemplar *exemplar, const char *trace, size_t trace_len,
                             uint64_t latency_us, int64_t wall_us)
{
    uint32_t version = atomic_load_explicit(&exemplar->version, memory_order_relaxed) | 1U;
    size_t n = trace_len < sizeof exemplar->trace ? trace_len : sizeof exemplar->trace;
    atomic_store_explicit(&exemplar->version, version, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* what follows is not seen before it is odd */
    memcpy(exemplar->trace, trace, n);
    exemplar->trace_len = (uint8_t)n;
    exemplar->latency_us = latency_us;
    exemplar->wall_us = wall_us;
    atomic_store_explicit(&exemplar->version, version + 1, memory_order_release);
}

bool scoreboard_read_exemplar(const struct route_exemplar *shared, struct route_exemplar *out)
{
    uint32_t version = atomic_load_explicit(&shared->version, memory_order_acquire);
    if (version == 0 || version % 2 != 0)
        return false;
    memcpy(out, shared, sizeof *out);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&shared->version, memory_order_relaxed) != version)
        return false;
    return out->trace_len <= sizeof out->trace && is_trace(out->trace, out->trace_len);
}

const char *scoreboard_phase(const struct request_entry *entry)
{
    uint32_t phase = atomic_load_explicit(&entry->phase, memory_order_relaxed);
    return phase < ENTRY_PHASES ? scoreboard_phase_names[phase] : "?";
}

static size_t round_up(size_t bytes)
{
    return (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
}

/* Order inside a part: head page, task page, inflight entries, route blocks, access-log batch,
 * remains. */
#define TASK_AT PAGE
#define INFLIGHT_AT (TASK_AT + SCOREBOARD_TASK_BYTES)

static size_t routes_at(const struct scoreboard *board)
{
    return INFLIGHT_AT + round_up(board->n_inflight * sizeof(struct request_entry));
}

static size_t batch_at(const struct scoreboard *board)
{
    return routes_at(board) + round_up(board->n_routes * sizeof(struct route_stats));
}

static size_t remains_at(const struct scoreboard *board)
{
    return batch_at(board) + SCOREBOARD_BATCH_BYTES;
}

static size_t part_at(const struct scoreboard *board, uint32_t seat)
{
    return PAGE + (size_t)seat * board->part_bytes;
}

static struct scoreboard_part part_from(const struct scoreboard *board, char *base)
{
    return (struct scoreboard_part){
        .head = (struct seat_head *)(void *)base,
        .task = (struct task_seat *)(void *)(base + TASK_AT),
        .inflight = (struct request_entry *)(void *)(base + INFLIGHT_AT),
        .routes = (struct route_stats *)(void *)(base + routes_at(board)),
        .batch = base + batch_at(board),
        .remains = (struct remains *)(void *)(base + remains_at(board)),
    };
}

static int write_head(int fd, const struct scoreboard *board)
{
    struct scoreboard_head head;
    memset(&head, 0, sizeof head); /* its padding is written, too */
    head.layout = SCOREBOARD_LAYOUT;
    head.n_seats = board->n_seats;
    head.n_inflight = board->n_inflight;
    head.n_routes = board->n_routes;
    head.started_us = clock_now_us();
    head.master_pid = getpid();
    if (getrandom(head.key, sizeof head.key, 0) != (ssize_t)sizeof head.key)
        return errno > 0 ? -errno : -EIO;
    ssize_t n = pwrite(fd, &head, sizeof head, 0);
    return n == (ssize_t)sizeof head ? 0 : n < 0 ? -errno : -EIO;
}

/* What its operator can do about it. */
static const char *why_refused(int error)
{
    struct rlimit limit;
    if (error == EFBIG)
        return ": larger than a file may be; raise the limit on it (ulimit -f)";
    if (error == ENOMEM && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        return ": no address space for it; raise the limit on it (ulimit -v)";
    return "";
}

int scoreboard_create(uint32_t n_seats, uint32_t n_inflight, uint32_t n_routes, int *out_fd,
                      struct scoreboard *out_board, struct err *err)
{
    struct scoreboard board = {.n_seats = n_seats, .n_inflight = n_inflight, .n_routes = n_routes};
    board.part_bytes = remains_at(&board) + round_up(sizeof(struct remains));
    board.bytes = part_at(&board, n_seats);
    int fd = memfd_create("remuda-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(err, errno, "shared table: memfd_create: %s", strerror(errno));
    int rc = ftruncate(fd, (off_t)board.bytes) < 0 ? -errno : write_head(fd, &board);
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        rc = -errno;
    void *base = MAP_FAILED;
    if (rc == 0) {
        base = mmap(NULL, board.bytes, PROT_READ, MAP_SHARED, fd, 0);
        rc = base == MAP_FAILED ? -errno : 0;
    }
    if (rc < 0) {
        fd_close(&fd);
        return err_set(err, -rc, "shared table of %zu bytes: %s%s", board.bytes, strerror(-rc),
                       why_refused(-rc));
    }
    board.base = base;
    *out_fd = fd;
    *out_board = board;
    return 0;
}

int scoreboard_map_part(const struct scoreboard *board, int fd, uint32_t seat,
                        struct scoreboard_part *out_part, struct err *err)
{
    if (seat >= board->n_seats)
        return err_set(err, ERANGE, "seat %u of %u", seat, board->n_seats);
    void *base = mmap(NULL, board->part_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                      (off_t)part_at(board, seat));
    if (base == MAP_FAILED)
        return err_set(err, errno, "shared table: mmap of seat %u: %s", seat, strerror(errno));
    *out_part = part_from(board, base);
    return 0;
}

int scoreboard_map_task(const struct scoreboard *board, int fd, uint32_t seat,
                        struct task_seat **out_task, struct err *err)
{
    if (seat >= board->n_seats)
        return err_set(err, ERANGE, "seat %u of %u", seat, board->n_seats);
    int failure = FAULT("scoreboard.map_task");
    void *base = failure ? MAP_FAILED
                         : mmap(NULL, SCOREBOARD_TASK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                                (off_t)(part_at(board, seat) + TASK_AT));
    if (base == MAP_FAILED) {
        failure = failure ? failure : errno;
        return err_set(err, failure, "shared table: mmap of the task of seat %u: %s", seat,
                       strerror(failure));
    }
    *out_task = base;
    return 0;
}

struct scoreboard_part scoreboard_peek(const struct scoreboard *board, uint32_t seat)
{
    /* The mapping is read-only, so the cast gives nobody a way to write. */
    return part_from(board, (char *)(uintptr_t)(board->base + part_at(board, seat)));
}

uint32_t scoreboard_find_inflight(const struct scoreboard *board, int fd, uint32_t seat,
                                  uint32_t from)
{
    const off_t begin = (off_t)(part_at(board, seat) + INFLIGHT_AT);
    const off_t at = begin + (off_t)(from * sizeof(struct request_entry));
    off_t data = lseek(fd, at, SEEK_DATA); /* nobody reads or writes where it leaves the file */
    if (data < 0 && errno != ENXIO)
        data = at; /* can't be told: it is looked at */
    if (data < 0 || from >= board->n_inflight)
        return board->n_inflight;
    uint64_t found = (uint64_t)(data - begin) / sizeof(struct request_entry);
    return found < board->n_inflight ? (uint32_t)found : board->n_inflight;
}

int scoreboard_clear(const struct scoreboard *board, int fd, uint32_t seat)
{
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)part_at(board, seat),
                  (off_t)board->part_bytes) < 0)
        return -errno;
    return 0;
}

int scoreboard_tell_stage(int fd, enum board_stage stage)
{
    uint32_t word = (uint32_t)stage;
    ssize_t n = pwrite(fd, &word, sizeof word, offsetof(struct scoreboard_head, stage));
    return n == (ssize_t)sizeof word ? 0 : n < 0 ? -errno : -EIO;
}

enum board_stage scoreboard_stage(const struct scoreboard *board)
{
    const struct scoreboard_head *head = (const void *)board->base;
    return (enum board_stage)atomic_load_explicit(&head->stage, memory_order_relaxed);
}

int scoreboard_tell_used(int fd, uint32_t n_seats)
{
    ssize_t n = pwrite(fd, &n_seats, sizeof n_seats, offsetof(struct scoreboard_head, n_used));
    return n == (ssize_t)sizeof n_seats ? 0 : n < 0 ? -errno : -EIO;
}

/* acquire: who sees what somebody in a seat has done, sees the seat */
uint32_t scoreboard_used(const struct scoreboard *board)
{
    const struct scoreboard_head *head = (const void *)board->base;
    uint32_t n = atomic_load_explicit(&head->n_used, memory_order_acquire);
    return n < board->n_seats ? n : board->n_seats;
}

int scoreboard_tell_poison(int fd, uint32_t index, const struct scoreboard_poison *poison)
{
    ssize_t n = pwrite(fd, poison, sizeof *poison,
                       (off_t)(offsetof(struct scoreboard_head, poisons) + index * sizeof *poison));
    return n == (ssize_t)sizeof *poison ? 0 : n < 0 ? -errno : -EIO;
}
