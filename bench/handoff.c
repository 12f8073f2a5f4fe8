/* What a hand-off costs: one process sends a task through a queue, as a web worker does, another
 * takes it, reads its payload and replies, as a compute worker does; with the code of ipc/, and
 * nothing else of the server.
 *
 * A payload of up to TASK_INLINE_MAX octets is copied into the image of its task, and a result of
 * that size goes with the reply; what is larger lies in the slice of who made it. Then the reader
 * adds up all octets of it, so the figures have one pass over the payload in them, both ways with
 * --both. With --blind nobody looks at the octets: then it is the hand-off alone.
 *
 * Between two rounds the sender sleeps, so that the receiver's CPU has gone idle: what a wake-up
 * costs is most of it. The two are pinned to a CPU each, to one with --one-cpu.
 *
 * Prints a line for each size: octets, microseconds of the round trip (p50, p99), and for each
 * process CPU, page faults and octets that it copied, all three for a round. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "ipc/task.h"

#undef fork /* no server here, and one child */

#define SLICE_BYTES (UINT64_C(256) << 20)
#define SEATS 2U
#define ASKER 0U
#define WORKER 1U
#define WARM_UP 50U
#define ROUNDS_MAX 100000U

static struct {
    unsigned rounds;
    unsigned pause_us;
    bool is_both; /* the result is as large as the payload */
    bool is_blind;
    bool is_one_cpu;
} opt = {.rounds = 1000, .pause_us = 500};

/* What one process has used, written by it and read by the other. */
struct usage {
    uint64_t cpu_us;
    uint64_t faults;
    uint64_t copied;
};

static struct segment segment;
static struct task_queue queue;
static int queue_fd = -1, inbox_fd = -1, reply_fd = -1;
static struct {
    struct task_seat seat;
    struct usage worker;
    uint64_t size; /* of the result */
} * shared;
static struct segment_run image, body, result; /* in one's own slice */
static struct task_record *records;
static uint64_t n_copied; /* octets, besides those of segment_copy() */
static double laps_us[ROUNDS_MAX];

static _Noreturn void fail(const char *what, int error)
{
    fprintf(stderr, "handoff: %s: %s\n", what, strerror(error < 0 ? -error : error));
    exit(1);
}

static void must(int rc, const char *what)
{
    if (rc < 0)
        fail(what, rc);
}

static struct usage measure(void)
{
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    return (struct usage){.cpu_us = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) *
                                        CLOCK_US_PER_S +
                                    (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec),
                          .faults = (uint64_t)used.ru_minflt,
                          .copied = n_copied + segment.copied};
}

static void pin(size_t which)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        fail("sched_getaffinity", errno);
    if (CPU_COUNT(&allowed) < 2 && !opt.is_one_cpu)
        fail("there is one CPU; try --one-cpu", ENODEV);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && (which == 0 || opt.is_one_cpu || which-- == 0)) {
            CPU_SET(cpu, &one);
            break;
        }
    if (sched_setaffinity(0, sizeof one, &one) < 0)
        fail("sched_setaffinity", errno);
}

/* One pass over all octets. */
static uint64_t add_up(const char *octets, uint64_t len)
{
    uint64_t sums[4] = {0};
    uint64_t at = 0;
    for (; len - at >= 32; at += 32)
        for (size_t i = 0; i < 4; i++) {
            uint64_t word;
            memcpy(&word, octets + at + i * 8, 8);
            sums[i] += word;
        }
    for (; at < len; at++)
        sums[0] += (unsigned char)octets[at];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

static void take(struct segment_run *run, uint64_t bytes, int octet)
{
    must(segment_take(&segment.slice, bytes, 0, run), "slice");
    must(segment_ready(&segment.slice, run, 0, bytes), "memory");
    memset(segment_own(&segment.slice, run), octet, bytes);
}

static int watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll", errno);
    return epoll_fd;
}

static void wait_on(int epoll_fd)
{
    struct epoll_event event;
    if (epoll_wait(epoll_fd, &event, 1, -1) < 0 && errno != EINTR)
        fail("epoll_wait", errno);
}

/* ---- the worker ---- */

static void work(const struct task *task, int to)
{
    static char head[TASK_INLINE_MAX];
    static struct task_frame frame;
    struct segment_ref ref = {
        .at = task->image_at, .len = task->image_len, .seat = task_seat_of(task->id)};
    const char *octets = head;
    uint64_t sum = 0;
    uint64_t size = shared->size;
    must(segment_copy(&segment, ref, head), "image");
    if (task->body == TASK_BODY_SLICE) {
        ref.at = task->body_at;
        ref.len = task->body_len;
        octets = segment_at(&segment, ref);
    }
    if (!octets)
        fail("payload", ERANGE);
    if (!opt.is_blind)
        sum = add_up(octets, ref.len);
    frame.reply = task_make_reply(TASK_RESULT, task->id, WORKER);
    frame.reply.wall_us = sum;
    if (opt.is_both && size > TASK_INLINE_MAX) {
        frame.reply.data_at = result.at;
        frame.reply.data_len = size;
    } else if (opt.is_both) {
        memcpy(frame.octets, segment_own(&segment.slice, &result), size);
        frame.reply.inline_len = (uint32_t)size;
        n_copied += size;
    }
    if (!task_yield(&shared->seat, task->id))
        fail("condemned", EPERM);
    shared->worker = measure();
    must(task_reply(to, &frame, -1), "reply");
}

static _Noreturn void run_worker(uint64_t largest, int fd)
{
    struct err err;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(1);
    if (segment_map(fd, SEATS, SLICE_BYTES, WORKER, &segment, &err) < 0)
        fail(err.text, err.code);
    take(&result, largest, 'r');
    int epoll_fd = watch(queue_fd);
    for (;;) {
        struct task task;
        int fds[2];
        wait_on(epoll_fd);
        int rc = task_receive(queue_fd, &shared->seat, &task, fds);
        if (rc == 0)
            exit(0);
        if (rc == -EAGAIN)
            continue;
        must(rc, "receive");
        if (!task_claim(&shared->seat, task.id))
            fail("condemned", EPERM);
        work(&task, fds[0]);
        task_rest(&shared->seat);
        fd_close(&fds[0]);
    }
}

/* ---- the asker ---- */

static void send_round(uint64_t count, uint64_t size)
{
    struct task task = task_make(TASK_REQUEST, task_make_id(ASKER, 0, count));
    task.queued_us = clock_now_us();
    task.image_at = image.at;
    task.image_len = 1;
    if (size > TASK_INLINE_MAX) {
        task.body = TASK_BODY_SLICE;
        task.body_at = body.at;
        task.body_len = size;
    } else {
        memcpy(segment_own(&segment.slice, &image), segment_own(&segment.slice, &body), size);
        task.image_len = (uint32_t)size;
        n_copied += size;
    }
    task_begin(&records[0], task.id);
    must(task_send(&queue, &task, reply_fd, -1), "send");
}

static void take_reply(int epoll_fd, uint64_t size, uint64_t expected)
{
    static struct task_frame frame;
    int fd, rc;
    pid_t pid;
    do {
        wait_on(epoll_fd);
        rc = task_receive_reply(inbox_fd, &frame, &fd, &pid);
    } while (rc == -EAGAIN);
    if (rc <= 0)
        fail("the worker's reply", rc == 0 ? EPIPE : rc);
    struct segment_ref ref = {
        .at = frame.reply.data_at, .len = frame.reply.data_len, .seat = frame.reply.seat};
    const char *octets = ref.len > 0 ? segment_at(&segment, ref) : frame.octets;
    uint64_t len = ref.len > 0 ? ref.len : frame.reply.inline_len;
    if (!octets || len != (opt.is_both ? size : 0))
        fail("result", ERANGE);
    if (!opt.is_blind &&
        (frame.reply.wall_us != expected || (opt.is_both && add_up(octets, len) == 0)))
        fail("the worker has read other octets", EBADMSG);
    task_end(&records[0]);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(uint64_t size, struct usage asker, struct usage worker)
{
    double n = opt.rounds;
    qsort(laps_us, opt.rounds, sizeof laps_us[0], by_size);
    printf("%" PRIu64 " %.1f %.1f %.1f %.1f %.2f %.2f %.0f %.0f\n", size, laps_us[opt.rounds / 2],
           laps_us[opt.rounds - 1 - opt.rounds / 100], (double)asker.cpu_us / n,
           (double)worker.cpu_us / n, (double)asker.faults / n, (double)worker.faults / n,
           (double)asker.copied / n, (double)worker.copied / n);
    (void)fflush(stdout);
}

static struct usage minus(struct usage a, struct usage b)
{
    return (struct usage){a.cpu_us - b.cpu_us, a.faults - b.faults, a.copied - b.copied};
}

static void run_size(int epoll_fd, uint64_t size)
{
    static uint64_t count;
    struct usage asker = {0}, worker = {0};
    const struct timespec pause = {.tv_nsec = (long)opt.pause_us * 1000};
    uint64_t expected = add_up(segment_own(&segment.slice, &body), size);
    shared->size = size;
    for (unsigned i = 0; i < WARM_UP + opt.rounds; i++) {
        struct timespec from, to;
        if (i == WARM_UP) {
            asker = measure();
            worker = shared->worker;
        }
        (void)nanosleep(&pause, NULL);
        (void)clock_gettime(CLOCK_MONOTONIC, &from);
        send_round(++count, size);
        take_reply(epoll_fd, size, expected);
        (void)clock_gettime(CLOCK_MONOTONIC, &to);
        if (i >= WARM_UP)
            laps_us[i - WARM_UP] =
                (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
    }
    print_row(size, minus(measure(), asker), minus(shared->worker, worker));
}

static uint64_t read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'r'}, {"pause-us", required_argument, NULL, 'p'},
        {"both", no_argument, NULL, 'b'},         {"blind", no_argument, NULL, 'n'},
        {"one-cpu", no_argument, NULL, '1'},      {0}};
    uint64_t largest = 0;
    bool is_wrong = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'r')
            opt.rounds = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'p')
            opt.pause_us = (unsigned)strtoul(optarg, NULL, 10);
        is_wrong = is_wrong || c == '?';
        opt.is_both = opt.is_both || c == 'b';
        opt.is_blind = opt.is_blind || c == 'n';
        opt.is_one_cpu = opt.is_one_cpu || c == '1';
    }
    for (int i = optind; i < argc; i++) {
        uint64_t size = strtoull(argv[i], NULL, 10);
        if (size == 0 || size > SLICE_BYTES / 2)
            is_wrong = true;
        largest = size > largest ? size : largest;
    }
    if (is_wrong || optind >= argc || opt.rounds == 0 || opt.rounds > ROUNDS_MAX ||
        opt.pause_us > 999999) {
        fprintf(stderr, "Usage: handoff [--rounds N] [--pause-us N] [--both] [--blind] [--one-cpu] "
                        "OCTETS…\n");
        exit(2);
    }
    return largest;
}

int main(int argc, char **argv)
{
    struct err err;
    struct segment_run table;
    int fd, status = 1;
    uint64_t largest = read_options(argc, argv);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("mmap", errno);
    if (segment_create(SEATS, SLICE_BYTES, &fd, &err) < 0 ||
        task_open_queue(100, &queue_fd, &queue, &err) < 0)
        fail(err.text, err.code);
    must(task_open_inbox(&inbox_fd, &reply_fd), "inbox");
    pid_t worker = fork();
    if (worker < 0)
        fail("fork", errno);
    if (worker == 0) {
        fd_close(&queue.fd);
        run_worker(largest, fd);
    }
    fd_close(&queue_fd);
    pin(0);
    if (segment_map(fd, SEATS, SLICE_BYTES, ASKER, &segment, &err) < 0)
        fail(err.text, err.code);
    take(&table, sizeof *records, 0);
    records = (void *)segment_own(&segment.slice, &table);
    take(&image, TASK_INLINE_MAX, 'i');
    take(&body, largest, 'b');
    int epoll_fd = watch(inbox_fd);
    for (int i = optind; i < argc; i++)
        run_size(epoll_fd, strtoull(argv[i], NULL, 10));
    fd_close(&queue.fd);
    (void)waitpid(worker, &status, 0);
    return status == 0 ? 0 : 1;
}
