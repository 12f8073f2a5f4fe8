/* Tasks, replies and records, and the sockets that carry them. Both kinds of socket are pairs of
 * SOCK_SEQPACKET: the kernel gives a task to exactly one reader, in order, counts what waits, and
 * says who sent what; no lock that a dead process could hold, and no dispatcher.
 *
 * Measured on Linux 6.18: one descriptor of 256 octets is charged 1,280 bytes, with whatever comes
 * with it, and the charge ends when it is received, in whichever process. */
#include "ipc/task.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/panic.h"

#define TASK_MAGIC 0x4b534154U  /* "TASK" */
#define REPLY_MAGIC 0x594c5052U /* "RPLY" */
#define VERSION 1U
#define INBOX_BYTES (1 << 20) /* asked for; some hundred replies. What wmem_max allows is enough */
#define CROWDED_BYTES (64 * 1024) /* of an inbox: some ten large frames, a sixth of the usual */

/* One does, a second for who claims just then; the rest for what an app may do there on purpose. */
#define CONDEMN_TRIES 1000

_Static_assert(sizeof(struct task) == 256, "a descriptor has one size in every process");
_Static_assert(sizeof(struct task_reply) == 104, "likewise");
_Static_assert(sizeof(struct task_record) == 64, "a line of the cache");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a dead process must not hold a lock");

/* ---- identity ---- */

uint64_t task_make_id(uint32_t seat, uint32_t record, uint64_t count)
{
    RMD_ASSERT(seat < TASK_SEATS_MAX && record < TASK_RECORDS_MAX);
    return (uint64_t)seat << 52 | (uint64_t)record << TASK_COUNT_BITS |
           (count & ((UINT64_C(1) << TASK_COUNT_BITS) - 1));
}

uint32_t task_seat_of(uint64_t id)
{
    return (uint32_t)(id >> 52) & (TASK_SEATS_MAX - 1);
}

uint32_t task_record_of(uint64_t id)
{
    return (uint32_t)(id >> TASK_COUNT_BITS) & (TASK_RECORDS_MAX - 1);
}

/* ---- the descriptor ---- */

struct task task_make(enum task_kind kind, uint64_t id)
{
    return (struct task){.magic = TASK_MAGIC,
                         .version = VERSION,
                         .kind = (uint8_t)kind,
                         .id = id,
                         .deadline_us = TASK_NEVER_US};
}

static bool is_trace(const char *text, size_t len)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-=";
    for (size_t i = 0; i < len; i++)
        if (!memchr(allowed, text[i], sizeof allowed - 1))
            return false;
    return len <= TASK_TRACE_MAX;
}

void task_set_trace(struct task *task, const char *text, size_t len)
{
    if (len > TASK_TRACE_MAX || !is_trace(text, len))
        return;
    memcpy(task->trace, text, len);
    task->trace_len = (uint8_t)len;
}

bool task_is_hopeless(const struct task *task, uint64_t now_us)
{
    if (task->deadline_us == TASK_NEVER_US || task->deadline_us <= now_us)
        return task->deadline_us <= now_us;
    if (task->queued_us > now_us || task->deadline_us < task->queued_us)
        return false;
    return task->deadline_us - task->queued_us >= task->usual_us &&
           task->deadline_us - now_us < task->usual_us;
}

static bool is_sound(const struct task *task)
{
    static const uint8_t zeros[sizeof task->reserved];
    if (task->magic != TASK_MAGIC || task->version != VERSION || task->id == 0 ||
        (task->id & TASK_DONE))
        return false;
    if (task->kind == 0 || task->kind >= TASK_KINDS || task->body >= TASK_BODIES ||
        task->by_file > (task->kind == TASK_CALL))
        return false;
    if ((task->kind == TASK_REQUEST) != (task->image_len > 0))
        return false;
    if ((task->body == TASK_BODY_NONE) != (task->body_len == 0))
        return false;
    return is_trace(task->trace, task->trace_len) &&
           memcmp(task->reserved, zeros, sizeof zeros) == 0;
}

/* ---- both sockets ---- */

/* A reader that went with something unread is told once as ECONNRESET. */
static int send_one(int fd, const void *data, size_t len, const int *fds, size_t n_fds)
{
    int rc = fd_send(fd, data, len, fds, n_fds);
    return rc == -ECONNRESET ? -EPIPE : rc;
}

/* What a receipt without octets means: the end, or a datagram of which there should be none. */
static int judge_empty(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLRDHUP};
    return poll(&end, 1, 0) > 0 && (end.revents & (POLLRDHUP | POLLHUP)) ? 0 : -EPROTO;
}

/* ---- the queue ---- */

int task_count_queued(const struct task_queue *queue)
{
    int bytes = 0;
    if (ioctl(queue->fd, SIOCOUTQ, &bytes) < 0)
        return -errno;
    return (int)(((uint32_t)bytes + queue->charge - 1) / queue->charge);
}

/* What one task is charged, whatever comes with it. */
static int measure_charge(int write_fd, int read_fd, uint32_t *out_charge)
{
    struct task task = {0};
    int bytes = 0;
    int rc = fd_send(write_fd, &task, sizeof task, NULL, 0);
    if (rc < 0)
        return rc;
    if (ioctl(write_fd, SIOCOUTQ, &bytes) < 0 ||
        recv(read_fd, &task, sizeof task, MSG_DONTWAIT) < 0)
        return -errno;
    *out_charge = (uint32_t)bytes;
    return bytes > 0 ? 0 : -ENOTSUP;
}

/* How many tasks a socket takes whose buffer has so many bytes: the kernel lets one more go as long
 * as there is any room. */
static uint64_t capacity_of(int write_fd, uint32_t charge)
{
    int bytes = 0;
    socklen_t len = sizeof bytes;
    if (getsockopt(write_fd, SOL_SOCKET, SO_SNDBUF, &bytes, &len) < 0 || bytes <= 0)
        return 0;
    return ((uint64_t)bytes - 1) / charge + 1;
}

static int set_capacity(int write_fd, uint32_t charge, uint32_t limit, struct err *err)
{
    uint64_t bytes = (uint64_t)limit * charge / 2 + 1; /* the kernel doubles what it is told */
    int wanted = bytes > INT32_MAX / 2 ? INT32_MAX / 2 : (int)bytes;
    (void)setsockopt(write_fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
    if (capacity_of(write_fd, charge) < limit)
        (void)setsockopt(write_fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof wanted);
    uint64_t capacity = capacity_of(write_fd, charge);
    if (capacity >= limit)
        return 0;
    return err_set(err, ENOBUFS,
                   "the kernel lets a queue hold %llu tasks, not %u: lower `queue`, or raise "
                   "net.core.wmem_max to %llu",
                   (unsigned long long)capacity, limit, (unsigned long long)bytes);
}

int task_open_queue(uint32_t limit, int *out_read_fd, struct task_queue *out_queue, struct err *err)
{
    int ends[2];
    uint32_t charge = 0;
    RMD_ASSERT(limit > 0);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return err_set(err, errno, "queue of tasks: socketpair: %s", strerror(errno));
    int rc = shutdown(ends[1], SHUT_RD) < 0 ? -errno : measure_charge(ends[1], ends[0], &charge);
    if (rc < 0)
        (void)err_set(err, -rc, "queue of tasks: %s", strerror(-rc));
    else
        rc = set_capacity(ends[1], charge, limit, err);
    if (rc < 0) {
        fd_close(&ends[0]);
        fd_close(&ends[1]);
        return rc;
    }
    *out_read_fd = ends[0];
    *out_queue = (struct task_queue){.fd = ends[1], .charge = charge, .limit = limit};
    return 0;
}

int task_send(const struct task_queue *queue, const struct task *task, int inbox_fd, int spool_fd)
{
    RMD_DEBUG_ASSERT(is_sound(task) && (task->body == TASK_BODY_SPOOL) == (spool_fd >= 0));
    const int fds[2] = {inbox_fd, spool_fd};
    int n = task_count_queued(queue);
    if (n < 0)
        return n;
    if ((uint32_t)n >= queue->limit)
        return -EAGAIN;
    int rc = send_one(queue->fd, task, sizeof *task, fds, spool_fd >= 0 ? 2 : 1);
    /* unix(7): more descriptors on their way than this user may have open. Also a queue that is
     * full, only by another measure. */
    return rc == -ETOOMANYREFS ? -EAGAIN : rc;
}

/* One more than it holds would be one that was not there when the move began. */
uint32_t task_move_all(int read_fd, const struct task_queue *to, uint32_t *out_lost)
{
    uint32_t n_moved = 0;
    *out_lost = 0;
    while (n_moved + *out_lost <= to->limit) {
        struct task task;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        ssize_t n = fd_receive(read_fd, &task, sizeof task, fds, &n_fds);
        if (n == 0 || (n < 0 && n != -EMSGSIZE && n != -EMFILE))
            break;
        bool is_moved = n > 0 && fd_send(to->fd, &task, (size_t)n, fds, n_fds) == 0;
        n_moved += is_moved;
        *out_lost += !is_moved;
        while (n_fds > 0)
            fd_close(&fds[--n_fds]);
    }
    return n_moved;
}

/* ---- the seat ---- */

/* The id of what lies in a seat, where the kernel and others look. */
static void clear_id(struct task_seat *place)
{
    __atomic_store_n(&place->task.id, 0, __ATOMIC_RELEASE);
}

int task_receive(int queue_fd, struct task_seat *place, struct task *out_task, int out_fds[2])
{
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    clear_id(place);
    ssize_t n = fd_receive(queue_fd, &place->task, sizeof place->task, fds, &n_fds);
    if (n == 0)
        return judge_empty(queue_fd);
    if (n < 0)
        return n == -EMSGSIZE ? -EPROTO : (int)n;
    struct task task = place->task;
    size_t n_wanted = task.body == TASK_BODY_SPOOL ? 2 : 1;
    if (n != (ssize_t)sizeof task || !is_sound(&task) || n_fds != n_wanted) {
        for (size_t i = 0; i < n_fds; i++)
            fd_close(&fds[i]);
        return -EPROTO;
    }
    *out_task = task;
    out_fds[0] = fds[0];
    out_fds[1] = n_wanted > 1 ? fds[1] : -1;
    return 1;
}

static bool swap_claim(struct task_seat *place, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(&place->claim, &from, to, memory_order_acq_rel,
                                                   memory_order_acquire);
}

bool task_claim(struct task_seat *place, uint64_t id)
{
    uint64_t seen = atomic_load_explicit(&place->claim, memory_order_relaxed);
    return seen != TASK_CONDEMNED && swap_claim(place, seen, id);
}

bool task_yield(struct task_seat *place, uint64_t id)
{
    return swap_claim(place, id, id | TASK_DONE);
}

void task_rest(struct task_seat *place)
{
    clear_id(place);
}

enum task_state task_peek(const struct task_seat *place, struct task *out_task)
{
    uint64_t claim = atomic_load_explicit(&place->claim, memory_order_acquire);
    struct task task = place->task;
    atomic_signal_fence(
        memory_order_seq_cst); /* from here on the copy is looked at, nothing else */
    if (!is_sound(&task))
        return TASK_NONE;
    *out_task = task;
    if (claim == task.id || claim == TASK_CONDEMNED)
        return TASK_RUNNING;
    return claim == (task.id | TASK_DONE) ? TASK_REPLYING : TASK_TAKEN;
}

/* A worker that was stopped between taking and claiming a task has the claim of the one before, and
 * it is this that is swapped: when the worker goes on it finds that out. If it has gone on in
 * between, claim is another, for no id comes twice, and it is looked again whose. */
bool task_condemn(struct task_seat *place, uint64_t id)
{
    uint64_t seen = atomic_load_explicit(&place->claim, memory_order_acquire);
    for (int i = 0; i < CONDEMN_TRIES; i++) {
        if (seen == TASK_CONDEMNED)
            return true;
        if (seen == (id | TASK_DONE))
            return false;
        if (seen != id && __atomic_load_n(&place->task.id, __ATOMIC_ACQUIRE) != id)
            return false;
        if (atomic_compare_exchange_strong_explicit(&place->claim, &seen, TASK_CONDEMNED,
                                                    memory_order_acq_rel, memory_order_acquire))
            return true;
    }
    return false;
}

/* ---- replies ---- */

/* THE table of replies. */
static const struct {
    bool is_final;
    bool has_image;
} replies[TASK_REPLY_KINDS] = {
    [TASK_ANSWER] = {true, true},  [TASK_BEGIN] = {false, true},  [TASK_PART] = {false, false},
    [TASK_END] = {true, false},    [TASK_RESULT] = {true, false}, [TASK_DROPPED] = {true, false},
    [TASK_FAILED] = {true, false}, [TASK_SHED] = {true, false},
};

struct task_reply task_make_reply(enum task_reply_kind kind, uint64_t id, uint32_t seat)
{
    return (struct task_reply){
        .magic = REPLY_MAGIC, .version = VERSION, .kind = (uint16_t)kind, .id = id, .seat = seat};
}

bool task_is_final(const struct task_reply *reply)
{
    return reply->kind < TASK_REPLY_KINDS && replies[reply->kind].is_final;
}

enum account_number task_end_of(const struct task_reply *reply)
{
    bool is_broken = reply->kind == TASK_END && reply->error != 0;
    return reply->kind == TASK_DROPPED               ? ACCOUNT_DROPPED
           : reply->kind == TASK_SHED                ? ACCOUNT_SHED
           : reply->kind == TASK_FAILED || is_broken ? ACCOUNT_FAILED
                                                     : ACCOUNT_ANSWERED;
}

struct account_used task_used(const struct task_reply *reply)
{
    return (struct account_used){.wait_us = reply->wait_us,
                                 .wall_us = reply->wall_us,
                                 .cpu_us = reply->cpu_us,
                                 .faults = reply->faults,
                                 .peak_bytes = reply->peak_bytes};
}

int task_open_inbox(int *out_read_fd, int *out_write_fd)
{
    const int on = 1;
    const int bytes = INBOX_BYTES;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    (void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes,
                     sizeof bytes); /* the default will do */
    if (setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
        shutdown(ends[0], SHUT_WR) < 0) {
        int failure = errno;
        fd_close(&ends[0]);
        fd_close(&ends[1]);
        return -failure;
    }
    *out_read_fd = ends[0];
    *out_write_fd = ends[1];
    return 0;
}

/* An image, or what a part or a result consists of, is in one place, not in two. */
static bool is_in_one_place(const struct task_reply *reply)
{
    bool has_inline = reply->inline_len > 0;
    if (replies[reply->kind].has_image)
        return has_inline != (reply->image_len > 0);
    return reply->image_len == 0 && !(has_inline && reply->data_len > 0);
}

static bool may_have_file(const struct task_reply *reply)
{
    return reply->kind == TASK_ANSWER || (reply->kind == TASK_RESULT && reply->data_len > 0);
}

static bool is_sound_reply(const struct task_frame *frame, ssize_t bytes, size_t n_fds)
{
    const struct task_reply *reply = &frame->reply;
    const ssize_t head = (ssize_t)sizeof *reply;
    if (bytes < head || reply->magic != REPLY_MAGIC || reply->version != VERSION)
        return false;
    if (reply->kind == 0 || reply->kind >= TASK_REPLY_KINDS || reply->id == 0 ||
        (reply->id & TASK_DONE))
        return false;
    if (reply->inline_len > TASK_INLINE_MAX || bytes != head + (ssize_t)reply->inline_len)
        return false;
    return is_in_one_place(reply) && (n_fds == 0 || (n_fds == 1 && may_have_file(reply)));
}

bool task_is_crowded(int inbox_fd)
{
    int bytes = 0;
    return ioctl(inbox_fd, SIOCOUTQ, &bytes) == 0 && bytes > CROWDED_BYTES;
}

int task_reply(int inbox_fd, const struct task_frame *frame, int file_fd)
{
    const size_t bytes = sizeof frame->reply + frame->reply.inline_len;
    RMD_DEBUG_ASSERT(is_sound_reply(frame, (ssize_t)bytes, file_fd >= 0));
    return send_one(inbox_fd, frame, bytes, &file_fd, file_fd >= 0);
}

int task_receive_reply(int inbox_fd, struct task_frame *out_frame, int *out_fd, pid_t *out_pid)
{
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    bool is_bereft = false;
    *out_pid = 0;
    ssize_t n =
        fd_receive_from(inbox_fd, out_frame, sizeof *out_frame, fds, &n_fds, out_pid, &is_bereft);
    if (n == 0)
        return judge_empty(inbox_fd);
    if (n < 0)
        return n == -EMSGSIZE ? -EPROTO : (int)n;
    if (!is_sound_reply(out_frame, n, is_bereft ? 1 : n_fds)) {
        for (size_t i = 0; i < n_fds; i++)
            fd_close(&fds[i]);
        return -EPROTO;
    }
    if (is_bereft)
        return -EMFILE;
    *out_fd = n_fds > 0 ? fds[0] : -1;
    return 1;
}

/* ---- records ---- */

static int futex(const _Atomic uint32_t *word, int operation, uint32_t value,
                 const struct timespec *until)
{
    return (int)syscall(SYS_futex, word, operation, value, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void ring(struct task_record *record)
{
    (void)atomic_fetch_add_explicit(&record->bell, 1, memory_order_release);
    (void)futex(&record->bell, FUTEX_WAKE, INT32_MAX, NULL);
}

void task_begin(struct task_record *record, uint64_t id)
{
    atomic_store_explicit(&record->is_cancelled, 0, memory_order_relaxed);
    atomic_store_explicit(&record->is_withdrawn, 0, memory_order_relaxed);
    atomic_store_explicit(&record->consumed, 0, memory_order_relaxed);
    atomic_store_explicit(&record->id, id, memory_order_release);
}

void task_consume(struct task_record *record, uint64_t n)
{
    (void)atomic_fetch_add_explicit(&record->consumed, n, memory_order_release);
    ring(record);
}

void task_cancel(struct task_record *record)
{
    atomic_store_explicit(&record->is_cancelled, 1, memory_order_relaxed);
    ring(record);
}

void task_withdraw(struct task_record *record)
{
    atomic_store_explicit(&record->is_withdrawn, 1, memory_order_relaxed);
}

void task_end(struct task_record *record)
{
    atomic_store_explicit(&record->id, 0, memory_order_release);
    ring(record);
}

const struct task_record *task_record(const struct segment *segment, uint64_t id)
{
    struct segment_ref ref = {.seat = task_seat_of(id),
                              .at = task_record_of(id) * sizeof(struct task_record),
                              .len = sizeof(struct task_record)};
    return (const void *)segment_at(segment, ref);
}

/* Not FUTEX_PRIVATE: it is known by its place in the memfd. A mapping that is read-only is enough
 * to wait. */
static void await_bell(const struct task_record *record, uint32_t bell, uint64_t until_us)
{
    const struct timespec until = {.tv_sec = (time_t)(until_us / CLOCK_US_PER_S),
                                   .tv_nsec = (long)(until_us % CLOCK_US_PER_S * 1000)};
    (void)futex(&record->bell, FUTEX_WAIT_BITSET, bell, until_us == TASK_NEVER_US ? NULL : &until);
}

int task_await_credit(const struct task_record *record, uint64_t id, uint64_t sent, uint64_t most,
                      uint64_t deadline_us)
{
    for (;;) {
        uint32_t bell = atomic_load_explicit(&record->bell, memory_order_acquire);
        if (!task_is_wanted(record, id))
            return -ECANCELED;
        uint64_t consumed = task_consumed(record);
        if (consumed >= sent || sent - consumed <= most)
            return 0;
        if (clock_now_us() >= deadline_us)
            return -ETIMEDOUT;
        await_bell(record, bell, deadline_us);
    }
}

int task_sleep(const struct task_record *record, uint64_t id, uint64_t until_us)
{
    for (;;) {
        uint32_t bell = atomic_load_explicit(&record->bell, memory_order_acquire);
        if (!task_is_wanted(record, id))
            return -ECANCELED;
        if (clock_now_us() >= until_us)
            return 0;
        await_bell(record, bell, until_us);
    }
}
