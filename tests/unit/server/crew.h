/* A herd with a compute pool in use, for tests of what becomes of tasks and of those who die with
 * them: two web workers, each with a task out, and a compute worker with channels that can be read,
 * and real processes behind them. Included once by a test, after its loader_main(). */
#ifndef REMUDA_TESTS_UNIT_SERVER_CREW_H
#define REMUDA_TESTS_UNIT_SERVER_CREW_H

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "ipc/msg.h"
#include "ipc/spawn.h"
#include "ipc/task.h"
#include "server/strangers.h"
#include "tests/unit/server/stage.h"

#define NOW STAGE_NOW
#define S UINT64_C(1000000)
#define CREW_SEATS 24

struct crew {
    struct settings *settings;
    struct herd herd;
    struct seat *web[2];
    struct seat *compute;
    int ends[CREW_SEATS];            /* by seat: the worker's end of its channel */
    struct task_seat *place;         /* of the compute worker, writable */
    const struct setting_pool *pool; /* the default one */
};

static void crew_sleep(const struct heritage *heritage)
{
    (void)heritage;
    for (;;)
        (void)pause();
}

/* A worker's part of the shared table, as it writes to it. */
static inline struct scoreboard_part crew_map(struct crew *crew, const struct seat *seat)
{
    struct err err;
    struct scoreboard_part part;
    assert_int_equal(
        scoreboard_map_part(&crew->herd.board, crew->herd.board_fd, seat->number, &part, &err), 0);
    return part;
}

static inline void crew_unmap(struct crew *crew, struct scoreboard_part *part)
{
    assert_int_equal(munmap(part->head, crew->herd.board.part_bytes), 0);
}

/* Tasks that a web worker says are out. */
static inline void crew_set_held(struct crew *crew, const struct seat *web, uint64_t n)
{
    struct scoreboard_part part = crew_map(crew, web);
    atomic_store(&part.head->held, n);
    crew_unmap(crew, &part);
}

static inline void crew_sit_down(struct crew *crew, const struct seat *seat)
{
    struct scoreboard_part part = crew_map(crew, seat);
    part.head->layout = SCOREBOARD_LAYOUT;
    part.head->epoch = seat->epoch;
    part.head->role = (int32_t)seat->role;
    part.head->pid = seat->pid;
    crew_unmap(crew, &part);
}

static inline struct seat *crew_add(struct crew *crew, enum role role, int slot)
{
    struct err err;
    struct seat *seat = slots_take(&crew->herd.slots, role, slot, NOW);
    struct heritage heritage = crew->herd.current->heritage;
    int ends[2];
    pid_t pid = 0;
    assert_non_null(seat);
    seat->generation = 1;
    seat->deadline_us = NOW + 60 * S;
    heritage.channel_fd = -1;
    assert_int_equal(spawn_child(&heritage, crew_sleep, &pid, &err), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
                     0);
    seat->channel_fd = ends[0];
    crew->ends[seat->number] = ends[1];
    if (role == ROLE_COMPUTE)
        seat->pool = 0;
    struct post *post = role == ROLE_COMPUTE ? &crew->herd.current->pools.items[0].workers[slot]
                                             : &crew->herd.current->workers[slot];
    post->seat = seat;
    assert_true(herd_name(&crew->herd, seat, pid));
    crew_sit_down(crew, seat);
    herd_happen(&crew->herd, seat, DECIDE_READY);
    assert_int_equal(seat->phase, SEAT_READY);
    return seat;
}

static inline int crew_open(void **state)
{
    static struct crew crew;
    struct err err;
    crew = (struct crew){0};
    stage_open_log();
    if (stage_open_herd(&crew.herd, &crew.settings, 2, CREW_SEATS) < 0)
        return -1;
    struct setting_pool *pool = &crew.settings->compute_pools.items[0];
    struct pools *pools = &crew.herd.current->pools;
    pool->workers_min = pool->workers_max = 2;
    crew.pool = pool;
    pools_fini(pools);
    if (pools_init(pools, crew.settings, NOW) < 0 || pools_open(pools, 1, CREW_SEATS, &err) < 0)
        return -1;
    crew.herd.current->has_been_ready = true;
    crew.herd.current->loader.due_us = SEAT_NEVER;
    for (int i = 0; i < CREW_SEATS; i++)
        crew.ends[i] = -1;
    for (int i = 0; i < 2; i++)
        crew.web[i] = crew_add(&crew, ROLE_WEB, i);
    for (int i = 0; i < 2; i++)
        crew_set_held(&crew, crew.web[i], 1);
    crew.compute = crew_add(&crew, ROLE_COMPUTE, 0);
    *state = &crew;
    return scoreboard_map_task(&crew.herd.board, crew.herd.board_fd, crew.compute->number,
                               &crew.place, &err);
}

static inline int crew_close(void **state)
{
    struct crew *crew = *state;
    (void)munmap(crew->place, SCOREBOARD_TASK_BYTES);
    (void)strangers_kill_all();
    herd_fini(&crew->herd);
    settings_free(crew->settings);
    for (int i = 0; i < CREW_SEATS; i++)
        fd_close(&crew->ends[i]);
    stage_close_log();
    return 0;
}

/* The compute worker has taken a task of a web worker and runs it. Returns its identity */
static inline uint64_t crew_give_task(struct crew *crew, const struct seat *web,
                                      uint64_t deadline_us)
{
    struct task task = task_make(TASK_REQUEST, task_make_id(web->number, 1, 77));
    task.image_len = 100;
    task.route = 3;
    task.queued_us = NOW - 5000;
    task.deadline_us = deadline_us;
    task_set_trace(&task, "abc", 3);
    crew->place->task = task;
    assert_true(task_claim(crew->place, task.id));
    return task.id;
}

static inline void crew_reap(struct seat *seat)
{
    assert_int_equal(waitpid(seat->pid, &seat->status, 0), seat->pid);
    seat->is_dead = true;
}

static inline void crew_kill(struct crew *crew, struct seat *seat)
{
    assert_int_equal(kill(seat->pid, SIGKILL), 0);
    crew_reap(seat);
    herd_bury(&crew->herd, seat);
}

/* The next frame that a worker finds in its channel. Returns its type; 0: there is none */
static inline int crew_hear(const struct crew *crew, const struct seat *seat, struct msg *out)
{
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    int rc = msg_receive(crew->ends[seat->number], 0, out, fds, &n_fds);
    while (n_fds > 0)
        fd_close(&fds[--n_fds]);
    return rc == 1 ? out->type : 0;
}

#endif
