/* What the queue of a compute pool carries: processes that send tasks into it as web workers do, as
 * fast as it takes them, and processes that take them out as compute workers do, and do nothing
 * with them; with the code of ipc/, and nothing else of the server. With several queues each
 * process has to do with one of them.
 *
 * Prints a line: senders, receivers, queues, tasks a second, and CPU time of a task in
 * microseconds, that of senders and of receivers. A sender that finds its queue full gives its CPU
 * away; that time is the senders', too. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
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

#include "base/err.h"
#include "base/fd.h"
#include "ipc/task.h"

#undef fork /* no server here */

#define PROCESSES_MAX 1024U
#define QUEUES_MAX 64U
#define QUEUE_LIMIT 100 /* the setting's default */
#define TICK_MS 100

struct part {
    struct task_seat seat; /* as in the shared table: a page for each */
    _Atomic uint64_t n_tasks;
    struct rusage used;
} __attribute__((aligned(4096)));

static struct {
    _Atomic bool is_over;
    struct part parts[PROCESSES_MAX];
} * shared;

static struct {
    unsigned long senders, receivers, queues, seconds;
} opt = {.senders = 1, .receivers = 1, .queues = 1, .seconds = 2};

static struct task_queue queues[QUEUES_MAX];
static int queue_fds[QUEUES_MAX];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "queue: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void must(int rc, const char *what)
{
    errno = -rc;
    if (rc < 0)
        fail(what);
}

/* ---- the processes ---- */

static void send_all(unsigned long number, struct part *own)
{
    const struct task_queue *queue = &queues[number % opt.queues];
    int inbox_fd, reply_fd;
    must(task_open_inbox(&inbox_fd, &reply_fd), "inbox");
    for (uint64_t count = 1; !shared->is_over; count++) {
        struct task task = task_make(TASK_REQUEST, task_make_id((uint32_t)number, 0, count));
        task.image_len = 1; /* of an image that nobody reads */
        int rc = task_send(queue, &task, reply_fd, -1);
        if (rc == -EAGAIN)
            (void)sched_yield();
        else
            must(rc, "send");
        own->n_tasks += rc == 0;
    }
}

static void take_all(unsigned long number, struct part *own)
{
    int queue_fd = queue_fds[number % opt.queues];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, queue_fd, &event) < 0)
        fail("epoll");
    while (!shared->is_over) {
        struct task task;
        int fds[2];
        if (epoll_wait(epoll_fd, &event, 1, TICK_MS) <= 0)
            continue;
        int rc = task_receive(queue_fd, &own->seat, &task, fds);
        if (rc == -EAGAIN)
            continue;
        must(rc, "receive");
        if (!task_claim(&own->seat, task.id) || !task_yield(&own->seat, task.id))
            fail("claim");
        task_rest(&own->seat);
        fd_close(&fds[0]);
        own->n_tasks++;
    }
}

static void start(unsigned long number)
{
    struct part *own = &shared->parts[number];
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid > 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (number < opt.receivers)
        take_all(number, own);
    else
        send_all(number - opt.receivers, own);
    (void)getrusage(RUSAGE_SELF, &own->used);
    _exit(0);
}

/* ---- the figures ---- */

static double us_of(const struct rusage *used)
{
    return (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1e6 +
           (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec);
}

static void report(double seconds)
{
    double us[2] = {0}; /* receivers, senders */
    uint64_t n = 0;
    for (unsigned long i = 0; i < opt.receivers + opt.senders; i++) {
        us[i >= opt.receivers] += us_of(&shared->parts[i].used);
        n += i < opt.receivers ? shared->parts[i].n_tasks : 0;
    }
    double each = n > 0 ? (double)n : 1;
    printf("senders=%lu receivers=%lu queues=%lu tasks_a_second=%.0f send_us=%.2f take_us=%.2f\n",
           opt.senders, opt.receivers, opt.queues, (double)n / seconds, us[1] / each, us[0] / each);
}

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- start ---- */

static _Noreturn void usage(const char *name)
{
    fprintf(stderr, "usage: %s [--senders N] [--receivers N] [--queues N] [--seconds N]\n", name);
    exit(2);
}

static unsigned long parse_number(const char *text, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || n < 1 || n > max) {
        fprintf(stderr, "queue: %s: not a number from 1 to %lu\n", text, max);
        exit(2);
    }
    return n;
}

static void parse_options(int argc, char **argv)
{
    static const struct option options[] = {{"senders", required_argument, NULL, 's'},
                                            {"receivers", required_argument, NULL, 'r'},
                                            {"queues", required_argument, NULL, 'q'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    int o;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 's':
            opt.senders = parse_number(optarg, PROCESSES_MAX / 2);
            break;
        case 'r':
            opt.receivers = parse_number(optarg, PROCESSES_MAX / 2);
            break;
        case 'q':
            opt.queues = parse_number(optarg, QUEUES_MAX);
            break;
        case 't':
            opt.seconds = parse_number(optarg, 600);
            break;
        default:
            usage(argv[0]);
        }
    }
    if (optind != argc || opt.senders < opt.queues || opt.receivers < opt.queues)
        usage(argv[0]);
}

int main(int argc, char **argv)
{
    struct err err;
    parse_options(argc, argv);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("mmap");
    for (unsigned long i = 0; i < opt.queues; i++)
        if (task_open_queue(QUEUE_LIMIT, &queue_fds[i], &queues[i], &err) < 0) {
            fprintf(stderr, "queue: %s\n", err.text);
            return 1;
        }
    for (unsigned long i = 0; i < opt.receivers + opt.senders; i++)
        start(i);
    double began_s = now_s();
    (void)sleep((unsigned)opt.seconds);
    shared->is_over = true;
    double seconds = now_s() - began_s;
    int status, failed = 0;
    while (wait(&status) > 0)
        failed |= status;
    if (failed)
        return 1;
    report(seconds);
    return 0;
}
