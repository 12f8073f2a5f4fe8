/* ipc/task.c: what may travel, that the kernel's count of a queue is the number of tasks, that a
 * worker that dies has its task on record, that claims are never mistaken, and that who asked and
 * who answers hear of each other through a record. */
#include "ipc/task.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "tests/harness/check.h"

#undef fork

#define LIMIT 10U
#define ID UINT64_C(0x0010002000000003) /* seat 1, record 2 */

static struct task_queue queue;
static int read_fd = -1;
static int inbox[2] = {-1, -1};
static int some_fd = -1;
static struct task_seat *place; /* shared with children */

static int setup(void **state)
{
    (void)state;
    struct err err;
    some_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    place = mmap(NULL, sizeof *place, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (some_fd < 0 || place == MAP_FAILED || task_open_inbox(&inbox[0], &inbox[1]) < 0)
        return -1;
    return task_open_queue(LIMIT, &read_fd, &queue, &err);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&queue.fd);
    fd_close(&read_fd);
    fd_close(&inbox[0]);
    fd_close(&inbox[1]);
    fd_close(&some_fd);
    return munmap(place, sizeof *place);
}

static int count_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

static struct task make_task(uint64_t id)
{
    struct task task = task_make(TASK_REQUEST, id);
    task.image_at = 4096;
    task.image_len = 300;
    task.route = 7;
    task_set_trace(&task, "trace-1", 7);
    return task;
}

static int send_task(uint64_t id)
{
    struct task task = make_task(id);
    return task_send(&queue, &task, inbox[1], -1);
}

static int receive_task(struct task *out_task)
{
    int fds[2];
    int rc = task_receive(read_fd, place, out_task, fds);
    if (rc == 1) {
        CHECK(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
        fd_close(&fds[0]);
        fd_close(&fds[1]);
    }
    return rc;
}

static void wait_for(pid_t pid, int expected_signal)
{
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status), expected_signal);
}

/* ---- identity ---- */

static void an_identity_says_whose_it_is(void **state)
{
    (void)state;
    static const struct {
        uint32_t seat;
        uint32_t record;
        uint64_t count;
    } rows[] = {
        {0, 0, 1}, {1, 2, 3}, {1031, 1023, 12345}, {TASK_SEATS_MAX - 1, TASK_RECORDS_MAX - 1, 77}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t id = task_make_id(rows[i].seat, rows[i].record, rows[i].count);
        check_context("row %zu", i);
        CHECK_EQ(task_seat_of(id), rows[i].seat);
        CHECK_EQ(task_record_of(id), rows[i].record);
        CHECK(id != 0 && (id & TASK_DONE) == 0);
    }
    check_context("nothing");
    CHECK(task_make_id(5, 6, UINT64_MAX) != task_make_id(5, 6, UINT64_MAX - 1));
    CHECK_EQ(task_make_id(5, 6, UINT64_MAX) & TASK_DONE, 0);
    CHECK_EQ(task_record_of(task_make_id(5, 6, UINT64_MAX)), 6);
}

/* ---- the queue ---- */

static void a_task_arrives_as_it_was_sent(void **state)
{
    (void)state;
    struct task sent = make_task(ID);
    struct task task;
    int fds[2];
    sent.body = TASK_BODY_SPOOL;
    sent.body_len = 70000;
    sent.deadline_us = 123456789;
    int n_fds = count_fds();
    CHECK_EQ(task_send(&queue, &sent, inbox[1], some_fd), 0);
    CHECK_EQ(task_receive(read_fd, place, &task, fds), 1);
    CHECK_BYTES(&task, sizeof task, &sent, sizeof sent);
    CHECK_BYTES(&place->task, sizeof task, &sent, sizeof sent);
    CHECK_EQ(count_fds(), n_fds + 2);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    CHECK_EQ(task_receive(read_fd, place, &task, fds), -EAGAIN);
    CHECK_EQ(place->task.id, 0);
    CHECK_EQ(send_task(ID + 1), 0); /* without a spool file */
    CHECK_EQ(task_receive(read_fd, place, &task, fds), 1);
    CHECK_EQ(fds[1], -1);
    CHECK_EQ(task.route, 7);
    CHECK_BYTES(task.trace, task.trace_len, "trace-1", 7);
    fd_close(&fds[0]);
}

static void a_full_queue_says_so_at_once(void **state)
{
    (void)state;
    struct task task;
    for (unsigned i = 0; i < LIMIT; i++) {
        CHECK_EQ(task_count_queued(&queue), i);
        CHECK_EQ(send_task(ID + i), 0);
    }
    CHECK_EQ(task_count_queued(&queue), LIMIT);
    CHECK_EQ(send_task(ID + LIMIT), -EAGAIN);
    for (unsigned i = 0; i < LIMIT; i++) {
        CHECK_EQ(receive_task(&task), 1);
        CHECK_EQ(task.id, ID + i);
        CHECK_EQ(task_count_queued(&queue), LIMIT - i - 1);
    }
    CHECK_EQ(send_task(ID), 0);
}

/* Whoever reads: the count is the kernel's, not anybody's that can die. */
static void the_count_is_right_when_a_reader_was_killed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(send_task(ID + i), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct task task;
        int fds[2];
        if (task_receive(read_fd, place, &task, fds) == 1)
            (void)raise(SIGKILL);
        _exit(1);
    }
    wait_for(pid, SIGKILL);
    CHECK_EQ(task_count_queued(&queue), 4);
    struct task lost;
    CHECK_EQ(task_peek(place, &lost), TASK_TAKEN);
    CHECK_EQ(lost.id, ID);
}

static void queues_of_any_length_hold_what_they_promise(void **state)
{
    (void)state;
    static const uint32_t limits[] = {1, 2, 3, 100, 160};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct err err = {0};
        struct task_queue q;
        int reader;
        struct task task = make_task(ID);
        check_context("limit %u", limits[i]);
        if (task_open_queue(limits[i], &reader, &q, &err) < 0)
            CHECK_FAIL("%s", err.text);
        for (uint32_t n = 0; n < limits[i]; n++)
            CHECK_EQ(task_send(&q, &task, inbox[1], -1), 0);
        CHECK_EQ(task_send(&q, &task, inbox[1], -1), -EAGAIN);
        CHECK_EQ(task_count_queued(&q), limits[i]);
        fd_close(&reader);
        CHECK_EQ(task_send(&q, &task, inbox[1], -1), -EPIPE); /* and what waited has gone */
        fd_close(&q.fd);
    }
    check_context("nothing");
}

/* unix(7), ETOOMANYREFS: descriptors on their way count against the limit of open ones. */
static void a_queue_is_also_full_when_no_more_inboxes_may_be_on_their_way(void **state)
{
    (void)state;
    if (getenv("REMUDA_UNDER_VALGRIND"))
        skip(); /* it has a limit of its own */
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct task_queue q;
        struct err err;
        int reader;
        int rc = 0;
        unsigned n = 0;
        const struct rlimit few = {40, 40};
        if (task_open_queue(150, &reader, &q, &err) < 0 || setrlimit(RLIMIT_NOFILE, &few) < 0 ||
            (getuid() == 0 && setresuid(65534, 65534, 65534) < 0))
            _exit(100);
        struct task task = make_task(ID);
        while (n < 150 && (rc = task_send(&q, &task, inbox[1], -1)) == 0)
            n++;
        _exit(rc == -EAGAIN && n < 150 ? 0 : 1);
    }
    wait_for(pid, 0);
}

static void a_queue_that_the_kernel_does_not_hold_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct task_queue q = {.fd = 77};
    int reader = 78;
    int n_fds = count_fds();
    CHECK_EQ(task_open_queue(4000000, &reader, &q, &err), -ENOBUFS);
    CHECK_HAS(err.text, "not 4000000: lower `queue`, or raise net.core.wmem_max");
    CHECK_EQ(count_fds(), n_fds);
    CHECK(q.fd == 77 && reader == 78);
}

static void a_queue_runs_one_way_and_tells_when_an_end_is_gone(void **state)
{
    (void)state;
    struct task task = make_task(ID);
    int fds[2];
    CHECK(send(read_fd, &task, sizeof task, MSG_NOSIGNAL) < 0);
    CHECK_EQ(send_task(ID), 0);
    int write_end = queue.fd;
    queue.fd = dup(write_end);
    fd_close(&write_end);
    CHECK_EQ(receive_task(&task), 1); /* another has it still */
    CHECK_EQ(task_receive(read_fd, place, &task, fds), -EAGAIN);
    CHECK_EQ(send_task(ID), 0);
    fd_close(&queue.fd);
    CHECK_EQ(receive_task(&task), 1); /* what was sent before */
    CHECK_EQ(task_receive(read_fd, place, &task, fds), 0);
}

static void a_queue_without_readers_refuses(void **state)
{
    (void)state;
    CHECK_EQ(send_task(ID), 0);
    fd_close(&read_fd); /* with one unread */
    CHECK_EQ(send_task(ID), -EPIPE);
    CHECK_EQ(send_task(ID), -EPIPE);
}

/* Sends octets as they are. Expects that they are refused, and what came with them closed. */
static void check_refused(const void *data, size_t len, size_t n_sent)
{
    int sent[FD_PASS_MAX] = {some_fd, some_fd, some_fd, some_fd};
    int fds[2] = {77, 78};
    struct task task = {.id = 79};
    int n_fds = count_fds();
    CHECK_EQ(fd_send(queue.fd, data, len, sent, n_sent), 0);
    CHECK_EQ(task_receive(read_fd, place, &task, fds), -EPROTO);
    CHECK(fds[0] == 77 && fds[1] == 78 && task.id == 79);
    CHECK_EQ(count_fds(), n_fds);
}

static void tasks_that_nobody_may_send_are_refused(void **state)
{
    (void)state;
    const struct task good = make_task(ID);
    struct task bad;
    char large[sizeof good + 1];
    memset(large, 0, sizeof large);
    memcpy(large, &good, sizeof good);
    check_refused(&good, sizeof good - 1, 1);
    check_refused(large, sizeof large, 1);
    check_refused(&good, 0, 1);
    check_refused(&good, 1, 0);
    check_refused(&good, sizeof good, 0);
    check_refused(&good, sizeof good, 2);
    check_refused(&good, sizeof good, FD_PASS_MAX);
#define BAD(change)                                                                                \
    do {                                                                                           \
        check_context("%s", #change);                                                              \
        bad = good;                                                                                \
        change;                                                                                    \
        check_refused(&bad, sizeof bad, 1);                                                        \
    } while (0)
    BAD(bad.magic++);
    BAD(bad.version++);
    BAD(bad.id = 0);
    BAD(bad.id |= TASK_DONE);
    BAD(bad.id = TASK_CONDEMNED);
    BAD(bad.kind = 0);
    BAD(bad.kind = TASK_KINDS);
    BAD(bad.body = TASK_BODIES);
    BAD(bad.body = TASK_BODY_SPOOL; bad.body_len = 1); /* without a file */
    BAD(bad.body = TASK_BODY_SLICE);
    BAD(bad.body_len = 1);
    BAD(bad.image_len = 0);
    BAD(bad.kind = TASK_CALL);
    BAD(bad.trace_len = TASK_TRACE_MAX + 1);
    BAD(bad.trace[3] = '\n');
    BAD(bad.trace[3] = '\0');
    BAD(bad.reserved[sizeof bad.reserved - 1] = 1);
    check_context("nothing");
    struct task task;
    CHECK_EQ(send_task(ID), 0);
    CHECK_EQ(receive_task(&task), 1);
}

static void a_trace_with_other_signs_is_left_out(void **state)
{
    (void)state;
    char text[TASK_TRACE_MAX + 1];
    struct task task = task_make(TASK_REQUEST, ID);
    memset(text, 'x', sizeof text);
    task_set_trace(&task, text, sizeof text);
    CHECK_EQ(task.trace_len, 0);
    task_set_trace(&task, "a b", 3);
    CHECK_EQ(task.trace_len, 0);
    task_set_trace(&task, text, TASK_TRACE_MAX);
    CHECK_EQ(task.trace_len, TASK_TRACE_MAX);
}

/* No descriptor is left for the inbox: the task is taken, it can't be answered. */
static void a_worker_out_of_descriptors_does_not_hide_it(void **state)
{
    (void)state;
    struct rlimit before;
    struct task task;
    int fds[2];
    if (getenv("REMUDA_UNDER_VALGRIND"))
        skip(); /* it has a limit of its own */
    CHECK_EQ(send_task(ID), 0);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {3, before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = task_receive(read_fd, place, &task, fds);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_EQ(rc, -EMFILE);
    CHECK_EQ(task_peek(place, &task), TASK_TAKEN);
    CHECK_EQ(task.id, ID);
}

/* ---- the seat ---- */

static void the_states_of_a_seat_follow_each_other(void **state)
{
    (void)state;
    struct task task;
    CHECK_EQ(task_peek(place, &task), TASK_NONE);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_EQ(send_task(ID + i), 0);
        CHECK_EQ(receive_task(&task), 1);
        CHECK_EQ(task_peek(place, &task), TASK_TAKEN);
        CHECK(task_claim(place, ID + i));
        CHECK_EQ(task_peek(place, &task), TASK_RUNNING);
        CHECK(task_yield(place, ID + i));
        CHECK_EQ(task_peek(place, &task), TASK_REPLYING);
        CHECK_EQ(task.id, ID + i);
        task_rest(place);
        CHECK_EQ(task_peek(place, &task), TASK_NONE);
    }
}

static void take(uint64_t id)
{
    struct task task;
    CHECK_EQ(send_task(id), 0);
    CHECK_EQ(receive_task(&task), 1);
}

static void a_kill_hits_the_task_it_is_meant_for(void **state)
{
    (void)state;
    take(ID);
    CHECK(task_claim(place, ID));
    CHECK(!task_condemn(place, ID + 1));
    CHECK(task_condemn(place, ID));
    CHECK(task_condemn(place, ID));
    CHECK(!task_yield(place, ID));
    CHECK(!task_claim(place, ID + 1));
}

static void a_task_that_is_done_is_not_killed(void **state)
{
    (void)state;
    take(ID);
    CHECK(task_claim(place, ID));
    CHECK(task_yield(place, ID));
    CHECK(!task_condemn(place, ID));
    task_rest(place);
    CHECK(!task_condemn(place, ID));
    take(ID + 1);
    CHECK(!task_condemn(place, ID));
    CHECK(task_claim(place, ID + 1));
    CHECK(!task_condemn(place, ID));
    CHECK(task_yield(place, ID + 1));
}

/* Stopped between the two, which no claim tells. */
static void a_task_that_was_only_taken_can_be_killed(void **state)
{
    (void)state;
    take(ID);
    CHECK(task_condemn(place, ID));
    CHECK(!task_claim(place, ID));
    atomic_store(&place->claim, 0);
    take(ID + 1);
    CHECK(task_claim(place, ID + 1));
    CHECK(task_yield(place, ID + 1));
    take(ID + 2);
    CHECK(!task_condemn(place, ID + 1));
    CHECK(task_condemn(place, ID + 2));
    CHECK(!task_claim(place, ID + 2));
}

/* What an app wrote over its own claim does not save it. */
static void a_scribbled_claim_saves_nobody(void **state)
{
    (void)state;
    take(ID);
    CHECK(task_claim(place, ID));
    atomic_store(&place->claim, 4711);
    CHECK(task_condemn(place, ID));
    CHECK(!task_yield(place, ID));
    memset(place, 0xff, sizeof *place);
    struct task task;
    CHECK_EQ(task_peek(place, &task), TASK_NONE);
}

/* Waits for the other process without a pause, which it is all about, as long as that can be on a
 * CPU of its own; longer only stands in its way. */
static void spin(unsigned *turns)
{
    if (++*turns > 2000)
        (void)sched_yield();
}

struct duel {
    _Atomic uint64_t found; /* the task in which the worker found itself condemned */
    atomic_bool is_over;
};

static void run_tasks(struct duel *duel)
{
    for (uint64_t i = 0; !duel->is_over; i++) {
        uint64_t id = ID + i;
        uint64_t condemned = TASK_CONDEMNED;
        place->task = make_task(id);
        bool is_mine = task_claim(place, id);
        for (volatile uint64_t n = i % 5000; is_mine && n > 0;)
            n = n - 1;
        if (!is_mine || !task_yield(place, id)) {
            duel->found = id;
            task_rest(place); /* a new worker comes into the seat, which is empty */
            (void)atomic_compare_exchange_strong(&place->claim, &condemned, 0);
        }
        task_rest(place);
    }
}

/* A child is the worker, this is the master: each kill that was allowed is found out by the worker
 * in just that task, whenever it came. */
static void kills_and_tasks_are_never_mistaken(void **state)
{
    (void)state;
    struct duel *duel =
        mmap(NULL, sizeof *duel, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(duel != MAP_FAILED);
    pid_t worker = fork();
    CHECK(worker >= 0);
    if (worker == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* where a check fails nobody ends it */
        run_tasks(duel);
        _exit(0);
    }
    for (unsigned n_killed = 0; n_killed < 3000;) {
        struct task task;
        if (task_peek(place, &task) == TASK_NONE || !task_condemn(place, task.id))
            continue;
        n_killed++;
        for (unsigned turns = 0; atomic_load(&place->claim) == TASK_CONDEMNED;)
            spin(&turns);
        CHECK_EQ(duel->found, task.id);
    }
    duel->is_over = true;
    wait_for(worker, 0);
    CHECK_EQ(munmap(duel, sizeof *duel), 0);
}

struct race {
    _Atomic uint64_t round; /* to be claimed */
    atomic_bool is_over;
};

static void claim_tasks(struct race *race)
{
    uint64_t done = 0;
    while (!race->is_over) {
        uint64_t round = atomic_load(&race->round);
        if (round == done) {
            (void)sched_yield();
            continue;
        }
        done = round;
        __atomic_store_n(&place->task.id, ID + round, __ATOMIC_RELEASE);
        if (!task_claim(place, ID + round))
            continue; /* the other was faster */
    }
}

/* Whoever claims a task in just that moment is condemned for it all the same: nobody asks twice. */
static void a_claim_in_the_same_moment_saves_nobody(void **state)
{
    (void)state;
    struct race *race =
        mmap(NULL, sizeof *race, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(race != MAP_FAILED);
    pid_t worker = fork();
    CHECK(worker >= 0);
    if (worker == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        claim_tasks(race);
        _exit(0);
    }
    for (uint64_t i = 1; i <= 20000; i++) {
        atomic_store(&place->claim, (ID + i - 1) | TASK_DONE);
        atomic_store(&race->round, i);
        unsigned turns = 0;
        while (__atomic_load_n(&place->task.id, __ATOMIC_ACQUIRE) != ID + i) {
            if (i % 2 == 0)
                (void)sched_yield();
            else
                spin(&turns);
        }
        CHECK(task_condemn(place, ID + i));
        CHECK_EQ(atomic_load(&place->claim), TASK_CONDEMNED);
    }
    race->is_over = true;
    wait_for(worker, 0);
    CHECK_EQ(munmap(race, sizeof *race), 0);
}

/* ---- replies ---- */

static int receive_reply(struct task_frame *out_frame, int *out_fd)
{
    pid_t pid = -1;
    int rc = task_receive_reply(inbox[0], out_frame, out_fd, &pid);
    if (rc == 1 || rc == -EPROTO)
        CHECK_EQ(pid, getpid());
    return rc;
}

static void a_reply_arrives_with_its_octets_and_its_file(void **state)
{
    (void)state;
    static struct task_frame sent;
    static struct task_frame frame;
    int fd = 77;
    int n_fds = count_fds();
    sent.reply = task_make_reply(TASK_ANSWER, ID, 5);
    sent.reply.inline_len = TASK_INLINE_MAX;
    sent.reply.data_at = 8192;
    sent.reply.data_len = 1 << 20;
    memset(sent.octets, 'x', sizeof sent.octets);
    CHECK_EQ(task_reply(inbox[1], &sent, some_fd), 0);
    CHECK_EQ(receive_reply(&frame, &fd), 1);
    CHECK_BYTES(&frame, sizeof frame, &sent, sizeof sent);
    CHECK_EQ(count_fds(), n_fds + 1);
    fd_close(&fd);
    sent.reply = task_make_reply(TASK_DROPPED, ID, 5);
    CHECK_EQ(task_reply(inbox[1], &sent, -1), 0);
    CHECK_EQ(receive_reply(&frame, &fd), 1);
    CHECK_EQ(fd, -1);
    CHECK_EQ(frame.reply.kind, TASK_DROPPED);
    CHECK_EQ(receive_reply(&frame, &fd), -EAGAIN);
}

static void the_last_word_is_known(void **state)
{
    (void)state;
    int n = 0;
    for (int kind = 1; kind < TASK_REPLY_KINDS; kind++) {
        struct task_reply reply = task_make_reply((enum task_reply_kind)kind, ID, 0);
        n += task_is_final(&reply);
        CHECK_EQ(task_is_final(&reply), kind != TASK_BEGIN && kind != TASK_PART);
    }
    CHECK_EQ(n, TASK_REPLY_KINDS - 3);
}

static void check_reply_refused(const void *data, size_t len, size_t n_sent)
{
    static struct task_frame frame;
    int sent[FD_PASS_MAX] = {some_fd, some_fd, some_fd, some_fd};
    int fd = 77;
    int n_fds = count_fds();
    CHECK_EQ(fd_send(inbox[1], data, len, sent, n_sent), 0);
    CHECK_EQ(receive_reply(&frame, &fd), -EPROTO);
    CHECK_EQ(fd, 77);
    CHECK_EQ(count_fds(), n_fds);
}

static void replies_that_nobody_may_send_are_refused(void **state)
{
    (void)state;
    static char large[sizeof(struct task_frame) + 1];
    static struct task_frame good;
    static struct task_frame bad;
    const size_t bytes = sizeof good.reply + 10;
    good.reply = task_make_reply(TASK_ANSWER, ID, 5);
    good.reply.inline_len = 10;
    check_reply_refused(large, 1, 0);
    check_reply_refused(large, sizeof large, 0);
    check_reply_refused(&good, 0, 1);
    check_reply_refused(&good, bytes - 1, 0);
    check_reply_refused(&good, bytes + 1, 0);
    check_reply_refused(&good, sizeof good.reply - 1, 0);
    check_reply_refused(&good, bytes, 2);
    check_reply_refused(&good, bytes, FD_PASS_MAX);
#define BAD_REPLY(change)                                                                          \
    do {                                                                                           \
        check_context("%s", #change);                                                              \
        bad = good;                                                                                \
        change;                                                                                    \
        check_reply_refused(&bad, sizeof bad.reply + 10, 0);                                       \
    } while (0)
    BAD_REPLY(bad.reply.magic++);
    BAD_REPLY(bad.reply.version++);
    BAD_REPLY(bad.reply.kind = 0);
    BAD_REPLY(bad.reply.kind = TASK_REPLY_KINDS);
    BAD_REPLY(bad.reply.id = 0);
    BAD_REPLY(bad.reply.id |= TASK_DONE);
    BAD_REPLY(bad.reply.inline_len = UINT32_MAX);
    BAD_REPLY(bad.reply.inline_len = 0); /* no image anywhere */
    BAD_REPLY(bad.reply.image_len = 1);  /* in two places */
    BAD_REPLY(bad.reply.kind = TASK_PART; bad.reply.data_len = 1);
    BAD_REPLY(bad.reply.kind = TASK_PART; bad.reply.image_len = 1);
    check_context("a file with another kind");
    bad = good;
    bad.reply.kind = TASK_PART;
    check_reply_refused(&bad, bytes, 1);
    check_context("nothing");
    int fd;
    CHECK_EQ(task_reply(inbox[1], &good, -1), 0);
    CHECK_EQ(receive_reply(&bad, &fd), 1);
}

static void the_kernel_says_who_replied(void **state)
{
    (void)state;
    static struct task_frame frame;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        frame.reply = task_make_reply(TASK_FAILED, ID, 5);
        _exit(task_reply(inbox[1], &frame, -1) < 0 || send(inbox[1], "x", 1, 0) != 1);
    }
    wait_for(pid, 0);
    int fd;
    pid_t seen = 0;
    CHECK_EQ(task_receive_reply(inbox[0], &frame, &fd, &seen), 1);
    CHECK_EQ(seen, pid);
    seen = 0;
    CHECK_EQ(task_receive_reply(inbox[0], &frame, &fd, &seen), -EPROTO);
    CHECK_EQ(seen, pid);
}

static void a_reply_whose_file_can_not_be_had_is_not_lost(void **state)
{
    (void)state;
    static struct task_frame frame;
    struct rlimit before;
    int fd = 77;
    pid_t pid = 0;
    if (getenv("REMUDA_UNDER_VALGRIND"))
        skip(); /* it has a limit of its own */
    frame.reply = task_make_reply(TASK_ANSWER, ID, 5);
    frame.reply.inline_len = 100;
    CHECK_EQ(task_reply(inbox[1], &frame, some_fd), 0);
    frame.reply.id = 0;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {3, before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = task_receive_reply(inbox[0], &frame, &fd, &pid);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_EQ(rc, -EMFILE);
    CHECK(frame.reply.id == ID && pid == getpid() && fd == 77);
}

static void an_inbox_runs_one_way_and_tells_when_it_is_shut(void **state)
{
    (void)state;
    static struct task_frame frame;
    int fd;
    CHECK(send(inbox[0], "x", 1, MSG_NOSIGNAL) < 0);
    frame.reply = task_make_reply(TASK_DROPPED, ID, 5);
    CHECK_EQ(task_reply(inbox[1], &frame, -1), 0);
    CHECK_EQ(shutdown(inbox[1], SHUT_RDWR), 0); /* which any worker can do */
    CHECK_EQ(receive_reply(&frame, &fd), 1);
    CHECK_EQ(receive_reply(&frame, &fd), 0);
    frame.reply = task_make_reply(TASK_DROPPED, ID, 5);
    CHECK_EQ(task_reply(inbox[1], &frame, -1), -EPIPE);
}

static void a_full_inbox_is_waited_for(void **state)
{
    (void)state;
    static struct task_frame frame;
    int rc;
    int n = 0;
    int fd;
    frame.reply = task_make_reply(TASK_ANSWER, ID, 5);
    frame.reply.inline_len = TASK_INLINE_MAX;
    while ((rc = task_reply(inbox[1], &frame, -1)) == 0)
        n++;
    CHECK_EQ(rc, -EAGAIN);
    CHECK(n > 20);
    while (n-- > 0)
        CHECK_EQ(receive_reply(&frame, &fd), 1);
    struct pollfd writable = {.fd = inbox[1], .events = POLLOUT};
    CHECK_EQ(poll(&writable, 1, 0), 1);
    CHECK_EQ(writable.revents, POLLOUT);
}

/* ---- records ---- */

static void a_record_says_who_still_wants_what(void **state)
{
    (void)state;
    struct task_record record = {0};
    CHECK(!task_is_wanted(&record, ID) && !task_is_held(&record, ID));
    task_begin(&record, ID);
    CHECK(task_is_wanted(&record, ID) && task_is_held(&record, ID));
    CHECK(!task_is_wanted(&record, ID + 1) && !task_is_held(&record, ID + 1));
    task_consume(&record, 100);
    CHECK_EQ(task_consumed(&record), 100);
    task_cancel(&record);
    CHECK(!task_is_wanted(&record, ID) && task_is_held(&record, ID));
    task_end(&record);
    CHECK(!task_is_held(&record, ID));
    task_begin(&record, ID + 1);
    CHECK(task_is_wanted(&record, ID + 1) && !task_is_held(&record, ID));
    CHECK_EQ(task_consumed(&record), 0);
}

static void a_record_lies_at_the_beginning_of_its_slice(void **state)
{
    (void)state;
    struct segment segment = {
        .base = "x", .n_seats = 3, .slice_bytes = 10 * sizeof(struct task_record)};
    for (uint32_t i = 0; i < 10; i++)
        CHECK((const char *)task_record(&segment, task_make_id(2, i, 1)) ==
              segment.base + 2 * segment.slice_bytes + i * sizeof(struct task_record));
    CHECK(task_record(&segment, task_make_id(2, 10, 1)) == NULL);
    CHECK(task_record(&segment, task_make_id(3, 0, 1)) == NULL);
    CHECK(task_record(&segment, UINT64_MAX) == NULL);
}

static void credit_is_there_or_ends(void **state)
{
    (void)state;
    struct task_record record = {0};
    CHECK_EQ(task_await_credit(&record, ID, 0, 0, TASK_NEVER_US), -ECANCELED);
    task_begin(&record, ID);
    CHECK_EQ(task_await_credit(&record, ID, 0, 0, TASK_NEVER_US), 0);
    CHECK_EQ(task_await_credit(&record, ID, 100, 100, TASK_NEVER_US), 0);
    CHECK_EQ(task_await_credit(&record, ID, 101, 100, 0), -ETIMEDOUT);
    CHECK_EQ(task_await_credit(&record, ID, 101, 100, clock_now_us() + 1000), -ETIMEDOUT);
    task_consume(&record, 1);
    CHECK_EQ(task_await_credit(&record, ID, 101, 100, 0), 0);
    task_consume(&record, 1000); /* more than there ever was */
    CHECK_EQ(task_await_credit(&record, ID, 101, 0, 0), 0);
    task_cancel(&record);
    CHECK_EQ(task_await_credit(&record, ID, 101, 100, TASK_NEVER_US), -ECANCELED);
}

/* Through the mapping that is read-only, and in another process. */
static void who_waits_for_credit_is_woken(void **state)
{
    (void)state;
    struct err err;
    struct segment segment;
    struct segment_run run;
    int fd;
    CHECK_EQ(segment_create(2, SEGMENT_SLICE_MIN, &fd, &err), 0);
    CHECK_EQ(segment_map(fd, 2, SEGMENT_SLICE_MIN, 1, &segment, &err), 0);
    CHECK_EQ(segment_take(&segment.slice, 4096, 0, &run), 0);
    CHECK_EQ(segment_ready(&segment.slice, &run, 0, 4096), 0);
    struct task_record *records = (void *)segment_own(&segment.slice, &run);
    uint64_t id = task_make_id(1, 3, 77);
    task_begin(&records[3], id);
    static const int expected[] = {0, -ECANCELED, -ECANCELED};
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            const struct task_record *seen = task_record(&segment, id);
            CHECK((const char *)seen != (const char *)&records[3]);
            int rc = task_await_credit(seen, id, (uint64_t)(10 * (i + 1)), 0, TASK_NEVER_US);
            _exit(rc == expected[i] ? 0 : 1);
        }
        int status;
        while (waitpid(pid, &status, WNOHANG) == 0) { /* however long it takes to begin to wait */
            if (i == 0 && task_consumed(&records[3]) < 10)
                task_consume(&records[3], 10);
            else if (i == 1)
                task_cancel(&records[3]);
            else if (i == 2)
                task_end(&records[3]);
        }
        CHECK_EQ(status, 0);
    }
    segment_unmap(&segment);
    fd_close(&fd);
}

static void who_has_waited_too_long_is_hopeless(void **state)
{
    static const struct {
        uint64_t deadline_us, usual_us, now_us; /* queued at 100 */
        bool is_hopeless;
    } rows[] = {
        {200, 0, 199, false},  {200, 0, 200, true},              /* its time is over */
        {200, 50, 150, false}, {200, 50, 151, true},             /* it had enough */
        {200, 100, 101, true}, {200, 101, 199, false},           /* it never had */
        {200, 50, 99, false},  {TASK_NEVER_US, 50, 1000, false}, /* no clock runs back; no end */
        {90, 50, 80, false},   {200, UINT64_MAX, 199, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct task task = task_make(TASK_REQUEST, ID);
        task.queued_us = 100;
        task.deadline_us = rows[i].deadline_us;
        task.usual_us = rows[i].usual_us;
        check_context("row %zu", i);
        CHECK_EQ(task_is_hopeless(&task, rows[i].now_us), rows[i].is_hopeless);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_says_whose_it_is),
        cmocka_unit_test(who_has_waited_too_long_is_hopeless),
        TEST(a_task_arrives_as_it_was_sent),
        TEST(a_full_queue_says_so_at_once),
        TEST(the_count_is_right_when_a_reader_was_killed),
        TEST(queues_of_any_length_hold_what_they_promise),
        TEST(a_queue_is_also_full_when_no_more_inboxes_may_be_on_their_way),
        TEST(a_queue_that_the_kernel_does_not_hold_is_refused),
        TEST(a_queue_runs_one_way_and_tells_when_an_end_is_gone),
        TEST(a_queue_without_readers_refuses),
        TEST(tasks_that_nobody_may_send_are_refused),
        cmocka_unit_test(a_trace_with_other_signs_is_left_out),
        TEST(a_worker_out_of_descriptors_does_not_hide_it),
        TEST(the_states_of_a_seat_follow_each_other),
        TEST(a_kill_hits_the_task_it_is_meant_for),
        TEST(a_task_that_is_done_is_not_killed),
        TEST(a_task_that_was_only_taken_can_be_killed),
        TEST(a_scribbled_claim_saves_nobody),
        TEST(kills_and_tasks_are_never_mistaken),
        TEST(a_claim_in_the_same_moment_saves_nobody),
        TEST(a_reply_arrives_with_its_octets_and_its_file),
        cmocka_unit_test(the_last_word_is_known),
        TEST(replies_that_nobody_may_send_are_refused),
        TEST(the_kernel_says_who_replied),
        TEST(a_reply_whose_file_can_not_be_had_is_not_lost),
        TEST(an_inbox_runs_one_way_and_tells_when_it_is_shut),
        TEST(a_full_inbox_is_waited_for),
        cmocka_unit_test(a_record_says_who_still_wants_what),
        cmocka_unit_test(a_record_lies_at_the_beginning_of_its_slice),
        cmocka_unit_test(credit_is_there_or_ends),
        cmocka_unit_test(who_waits_for_credit_is_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
