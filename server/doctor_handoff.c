/* Process: `remuda doctor --handoff`, and a child of it that is the receiver.
 *
 * What is measured is what a task of the pool pays beside its own work: the sender's system calls,
 * the wake-up of another process (most of it, where its CPU has gone to sleep), one pass over the
 * payload, the reply, and the wake-up back. Rounds are few and bounded in time: on a machine where
 * each takes 100 ms it ends as well. */
#include "server/doctor_handoff.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json_out.h"
#include "ipc/heritage.h"
#include "ipc/spawn.h"
#include "ipc/task.h"
#include "server/plain.h"

#define SLICE_BYTES (UINT64_C(64) << 20)
#define SEATS 2U
#define ASKER 0U
#define WORKER 1U
#define ROUNDS_MAX 500U
#define ROUNDS_MIN 5U
#define WARM_UP 20U
#define SIZE_US 600000U /* for each size */
#define GIVE_UP_US (3 * SIZE_US)
#define PAUSE_NS 500000L /* so that the receiver's CPU has gone idle */
#define PATIENCE_MS 10000

static const uint64_t sizes[DOCTOR_HANDOFF_SIZES] = {64,      4096,        65536,
                                                     1048576, 4 * 1048576, 16 * 1048576};

/* Everything of the asker; the worker has a copy, by the fork. */
static struct {
    struct segment segment;
    struct task_queue queue;
    struct task_seat *seat; /* shared with the worker */
    struct task_record *records;
    struct segment_run image, body;
    int inbox_fd, reply_fd;
    uint32_t nice;
    uint64_t count;
    uint64_t laps_us[ROUNDS_MAX];
} room;

/* ---- the worker ---- */

/* A pass over all octets, which the compiler can't leave out: the sum goes back. */
static uint64_t add_up(const char *octets, uint64_t len)
{
    uint64_t sum = 0, word = 0;
    uint64_t at = 0;
    for (; len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, octets + at, sizeof word);
        sum += word;
    }
    for (; at < len; at++)
        sum += (unsigned char)octets[at];
    return sum;
}

static bool answer(struct segment *segment, const struct task *task, int to_fd)
{
    static char head[TASK_INLINE_MAX];
    static struct task_frame frame;
    const struct segment_ref image = {
        .at = task->image_at, .len = task->image_len, .seat = task_seat_of(task->id)};
    const struct segment_ref body = {
        .at = task->body_at, .len = task->body_len, .seat = task_seat_of(task->id)};
    if (image.len > sizeof head || segment_copy(segment, image, head) < 0)
        return false;
    const char *octets = task->body == TASK_BODY_SLICE ? segment_at(segment, body) : head;
    if (!octets)
        return false;
    frame.reply = task_make_reply(TASK_RESULT, task->id, WORKER);
    frame.reply.wall_us = add_up(octets, task->body == TASK_BODY_SLICE ? body.len : image.len);
    return task_yield(room.seat, task->id) && task_reply(to_fd, &frame, -1) == 0;
}

/* heritage: channel_fd is the queue, app_fd the segment. */
static void worker_main(const struct heritage *heritage)
{
    struct segment segment;
    struct err err;
    errno = 0;
    if (nice((int)room.nice) < 0 && errno != 0)
        _exit(EXIT_FAILURE);
    if (segment_map(heritage->app_fd, SEATS, SLICE_BYTES, WORKER, &segment, &err) < 0)
        _exit(EXIT_FAILURE);
    for (;;) {
        struct task task;
        int fds[2];
        struct pollfd look = {.fd = heritage->channel_fd, .events = POLLIN};
        if (poll(&look, 1, -1) < 0 && errno != EINTR)
            _exit(EXIT_FAILURE);
        int rc = task_receive(heritage->channel_fd, room.seat, &task, fds);
        if (rc == 0)
            _exit(EXIT_SUCCESS);
        if (rc == -EAGAIN)
            continue;
        if (rc < 0 || !task_claim(room.seat, task.id) || !answer(&segment, &task, fds[0]))
            _exit(EXIT_FAILURE);
        task_rest(room.seat);
        fd_close(&fds[0]);
    }
}

/* ---- the asker ---- */

static int take(struct segment_run *run, uint64_t bytes, int octet)
{
    int rc = segment_take(&room.segment.slice, bytes, 0, run);
    if (rc == 0)
        rc = segment_ready(&room.segment.slice, run, 0, bytes);
    if (rc == 0)
        memset(segment_own(&room.segment.slice, run), octet, bytes);
    return rc;
}

static int send_round(uint64_t size)
{
    struct task task = task_make(TASK_REQUEST, task_make_id(ASKER, 0, ++room.count));
    task.queued_us = clock_now_us();
    task.image_at = room.image.at;
    task.image_len = 1;
    if (size > TASK_INLINE_MAX) {
        task.body = TASK_BODY_SLICE;
        task.body_at = room.body.at;
        task.body_len = size;
    } else {
        memcpy(segment_own(&room.segment.slice, &room.image),
               segment_own(&room.segment.slice, &room.body), size);
        task.image_len = (uint32_t)size;
    }
    task_begin(&room.records[0], task.id);
    return task_send(&room.queue, &task, room.reply_fd, -1);
}

static int take_reply(uint64_t expected)
{
    static struct task_frame frame;
    int file_fd, rc;
    pid_t pid;
    do {
        struct pollfd look = {.fd = room.inbox_fd, .events = POLLIN};
        if (poll(&look, 1, PATIENCE_MS) == 0)
            return -ETIMEDOUT;
        rc = task_receive_reply(room.inbox_fd, &frame, &file_fd, &pid);
    } while (rc == -EAGAIN);
    task_end(&room.records[0]);
    if (rc <= 0)
        return rc == 0 ? -EPIPE : rc;
    return frame.reply.wall_us == expected ? 0 : -EBADMSG;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int run_round(uint64_t size, uint64_t expected, uint64_t *out_us)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    (void)nanosleep(&pause, NULL);
    uint64_t from_us = clock_now_us();
    int rc = send_round(size);
    if (rc == 0)
        rc = take_reply(expected);
    *out_us = clock_now_us() - from_us;
    return rc;
}

/* The first rounds, in which pages are mapped, do not count: 20, or where that takes long, one. */
static int run_size(uint64_t size, struct doctor_handoff_row *row)
{
    const uint64_t expected = add_up(segment_own(&room.segment.slice, &room.body), size);
    const uint64_t start_us = clock_now_us();
    uint32_t n = 0;
    for (uint32_t i = 0; n < ROUNDS_MAX; i++) {
        uint64_t lap_us, spent_us = clock_now_us() - start_us;
        bool is_warm = i >= WARM_UP || (i > 0 && spent_us >= SIZE_US / 4);
        if ((spent_us >= SIZE_US && n >= ROUNDS_MIN) || (spent_us >= GIVE_UP_US && n > 0))
            break;
        int rc = run_round(size, expected, &lap_us);
        if (rc < 0)
            return rc;
        if (is_warm)
            room.laps_us[n++] = lap_us;
    }
    qsort(room.laps_us, n, sizeof room.laps_us[0], by_value);
    *row = (struct doctor_handoff_row){.bytes = size,
                                       .rounds = n,
                                       .p50_us = room.laps_us[n / 2],
                                       .p99_us = room.laps_us[n - 1 - n / 100],
                                       .max_us = room.laps_us[n - 1]};
    return 0;
}

static int run_sizes(int segment_fd, struct doctor_handoff *out, struct err *err)
{
    struct segment_run table;
    int rc = segment_map(segment_fd, SEATS, SLICE_BYTES, ASKER, &room.segment, err);
    if (rc < 0)
        return rc;
    rc = take(&table, sizeof *room.records, 0);
    if (rc == 0)
        rc = take(&room.image, TASK_INLINE_MAX, 'i');
    if (rc == 0)
        rc = take(&room.body, sizes[DOCTOR_HANDOFF_SIZES - 1], 'b');
    room.records = (void *)segment_own(&room.segment.slice, &table);
    for (size_t i = 0; rc == 0 && i < DOCTOR_HANDOFF_SIZES; i++)
        rc = run_size(sizes[i], &out->rows[i]);
    segment_unmap(&room.segment);
    return rc < 0 ? err_set(err, -rc, "the hand-off failed: %s", strerror(-rc)) : 0;
}

int doctor_handoff_measure(uint32_t nice, struct doctor_handoff *out, struct err *err)
{
    int segment_fd = -1, queue_fd = -1, status;
    pid_t worker = 0;
    *out = (struct doctor_handoff){.nice = nice};
    room.nice = nice;
    room.queue.fd = room.inbox_fd = room.reply_fd = -1;
    room.seat =
        mmap(NULL, sizeof *room.seat, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (room.seat == MAP_FAILED)
        return err_set(err, errno, "no memory to share: %s", strerror(errno));
    int rc = segment_create(SEATS, SLICE_BYTES, &segment_fd, err);
    if (rc == 0)
        rc = task_open_queue(8, &queue_fd, &room.queue, err);
    if (rc == 0 && (rc = task_open_inbox(&room.inbox_fd, &room.reply_fd)) < 0)
        (void)err_set(err, -rc, "an inbox: %s", strerror(-rc));
    if (rc == 0)
        rc = spawn_child(&(struct heritage){.role = ROLE_COMPUTE,
                                            .master_pid = getpid(),
                                            .channel_fd = queue_fd,
                                            .app_fd = segment_fd,
                                            .log_fd = -1,
                                            .access_fd = -1},
                         worker_main, &worker, err);
    fd_close(&queue_fd);
    if (rc == 0)
        rc = run_sizes(segment_fd, out, err);
    fd_close(&room.queue.fd); /* whereupon the worker ends */
    fd_close(&room.inbox_fd);
    fd_close(&room.reply_fd);
    fd_close(&segment_fd);
    while (worker > 0 && waitpid(worker, &status, 0) < 0 && errno == EINTR)
        ;
    (void)munmap(room.seat, sizeof *room.seat);
    return rc;
}

/* ---- what came of it ---- */

int doctor_handoff_is_slow(const struct doctor_handoff *handoff)
{
    for (size_t i = 0; i < DOCTOR_HANDOFF_SIZES; i++)
        if (handoff->rows[i].p50_us > DOCTOR_HANDOFF_SLOW_US)
            return 1;
    return 0;
}

/* "64", "4K", "1M": all of them are whole numbers of these. */
static const char *plain_size(char out[PLAIN_MAX], uint64_t bytes)
{
    bool is_mib = bytes >= UINT64_C(1) << 20;
    bool is_kib = bytes >= 1024;
    (void)snprintf(out, PLAIN_MAX, "%" PRIu64 " %s",
                   is_mib   ? bytes >> 20
                   : is_kib ? bytes >> 10
                            : bytes,
                   is_mib   ? "MiB"
                   : is_kib ? "KiB"
                            : "B");
    return out;
}

static const char *judge(const struct doctor_handoff_row *row)
{
    if (row->p50_us > DOCTOR_HANDOFF_SLOW_US)
        return "  <-- over 15 ms";
    return row->p99_us > DOCTOR_HANDOFF_SLOW_US ? "  <-- over 15 ms now and then" : "";
}

void doctor_handoff_print(const struct doctor_handoff *handoff, FILE *out)
{
    char size[PLAIN_MAX], p50[PLAIN_MAX], p99[PLAIN_MAX], max[PLAIN_MAX];
    bool is_late = false;
    (void)fprintf(out,
                  "Hand-off to an idle process of nice %" PRIu32
                  " and its reply, the payload read once:\n\n%8s %8s %8s %8s %8s\n",
                  handoff->nice, "payload", "p50", "p99", "max", "rounds");
    for (size_t i = 0; i < DOCTOR_HANDOFF_SIZES; i++) {
        const struct doctor_handoff_row *row = &handoff->rows[i];
        is_late = is_late || row->p99_us > DOCTOR_HANDOFF_SLOW_US;
        (void)fprintf(out, "%8s %8s %8s %8s %8" PRIu32 "%s\n", plain_size(size, row->bytes),
                      plain_us(p50, row->p50_us), plain_us(p99, row->p99_us),
                      plain_us(max, row->max_us), row->rounds, judge(row));
    }
    if (doctor_handoff_is_slow(handoff))
        (void)fprintf(out,
                      "\nbad: handing off takes longer than 15 ms. Small payloads: the CPUs are "
                      "busy, or a quota holds the\nprocesses back (`remuda doctor`, cpu_quota). "
                      "Large ones only: memory is slow; pass references, not bytes.\n");
    else if (is_late)
        (void)fprintf(out, "\nwarn: some hand-offs take longer than 15 ms: the CPUs are busy, or a "
                           "quota holds the processes\nback (`remuda doctor`, cpu_quota).\n");
    else
        (void)fprintf(out, "\nok: work of more than a few of these is worth being handed off.\n");
}

void doctor_handoff_print_json(const struct doctor_handoff *handoff, struct json_out *out)
{
    json_out_bool(out, "ok", !doctor_handoff_is_slow(handoff));
    json_out_u64(out, "nice", handoff->nice);
    json_out_u64(out, "limit_us", DOCTOR_HANDOFF_SLOW_US);
    json_out_open(out, "handoff", '[');
    for (size_t i = 0; i < DOCTOR_HANDOFF_SIZES; i++) {
        const struct doctor_handoff_row *row = &handoff->rows[i];
        json_out_open(out, NULL, '{');
        json_out_u64(out, "bytes", row->bytes);
        json_out_u64(out, "rounds", row->rounds);
        json_out_u64(out, "p50_us", row->p50_us);
        json_out_u64(out, "p99_us", row->p99_us);
        json_out_u64(out, "max_us", row->max_us);
        json_out_bool(out, "is_slow", row->p50_us > DOCTOR_HANDOFF_SLOW_US);
        json_out_bool(out, "is_slow_now_and_then", row->p99_us > DOCTOR_HANDOFF_SLOW_US);
        json_out_close(out, '}');
    }
    json_out_close(out, ']');
}
