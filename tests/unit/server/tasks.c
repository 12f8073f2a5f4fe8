/* Tests of server/tasks.c: who is killed for a task, what is told of its loss, and how long one
 * that has a task in hand may be silent. */
#include "server/tasks.h"

#include <stdlib.h>
#include <unistd.h>

#include "server/cli.h"
#include "server/mend.h"
#include "server/posts.h"
#include "tests/unit/server/crew.h"

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

static bool overdue(struct crew *crew, const struct seat *web, uint64_t id, int why)
{
    struct msg msg = msg_make(MSG_OVERDUE);
    msg.value = (int64_t)id;
    msg.about = why;
    return tasks_hear(&crew->herd, web, &msg);
}

static void a_task_that_is_overdue_costs_its_worker_the_life(void **state)
{
    struct crew *crew = *state;
    struct msg msg;
    uint64_t id = crew_give_task(crew, crew->web[0], NOW + S);
    assert_true(overdue(crew, crew->web[0], id, TASK_LOSS_TIMEOUT));
    assert_int_equal(crew->compute->phase, SEAT_KILLED);
    assert_false(task_yield(crew->place, id)); /* it could not answer any more */
    crew_reap(crew->compute);
    assert_true(WIFSIGNALED(crew->compute->status));
    assert_int_equal(WTERMSIG(crew->compute->status), SIGKILL);
    herd_bury(&crew->herd, crew->compute);
    assert_int_equal(crew->herd.current->pools.items[0].workers[0].due_us, NOW);
    assert_non_null(strstr(stage_log(), "compute worker killed pool=default slot=0"));
    assert_non_null(strstr(stage_log(), "why=\"its task's time is over\""));
    assert_non_null(strstr(stage_log(), " trace=abc "));
    graves_turn(&crew->herd);
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), MSG_TASK_LOST);
    assert_int_equal(msg.about, TASK_LOSS_TIMEOUT);
}

static void the_next_task_of_its_worker_is_not_hit(void **state)
{
    struct crew *crew = *state;
    uint64_t id = crew_give_task(crew, crew->web[0], NOW + S);
    uint64_t before = task_make_id(crew->web[0]->number, 1, 76);
    assert_true(overdue(crew, crew->web[0], before, TASK_LOSS_CANCELLED));
    assert_int_equal(crew->compute->phase, SEAT_READY);
    assert_true(task_yield(crew->place, id)); /* it is done, and about to reply */
    assert_true(overdue(crew, crew->web[0], id, TASK_LOSS_TIMEOUT));
    assert_int_equal(crew->compute->phase, SEAT_READY);
}

static void only_who_asked_may_end_a_task_and_for_a_reason_of_its_own(void **state)
{
    struct crew *crew = *state;
    uint64_t id = crew_give_task(crew, crew->web[0], NOW + S);
    assert_false(overdue(crew, crew->web[1], id, TASK_LOSS_TIMEOUT));
    assert_false(overdue(crew, crew->compute, id, TASK_LOSS_TIMEOUT));
    static const int others[] = {-1, 0, TASK_LOSS_CRASH, TASK_LOSS_MEMORY, TASK_LOSSES};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(overdue(crew, crew->web[0], id, others[i]));
    assert_int_equal(crew->compute->phase, SEAT_READY);
}

static void judge(struct crew *crew, uint64_t now_us)
{
    crew->herd.now_us = now_us;
    tasks_judge(&crew->herd, crew->compute);
    herd_happen(&crew->herd, crew->compute, DECIDE_TIME);
}

static void one_with_a_task_in_hand_may_be_silent(void **state)
{
    struct crew *crew = *state;
    uint64_t timeout_us = crew->herd.current->rules.timeout_us;
    uint64_t id = crew_give_task(crew, crew->web[0], NOW + 1000 * S);
    judge(crew, NOW + 2 * timeout_us);
    assert_int_equal(crew->compute->phase, SEAT_READY);
    assert_true(task_yield(crew->place, id)); /* from here on it has nothing to be silent for */
    judge(crew, NOW + 2 * timeout_us + 1);
    assert_int_equal(crew->compute->phase, SEAT_READY);
    judge(crew, NOW + 3 * timeout_us);
    assert_int_equal(crew->compute->phase, SEAT_ABORTED);
}

static void one_whose_seat_says_never_is_not_waited_for_for_ever(void **state)
{
    struct crew *crew = *state;
    (void)crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    judge(crew, NOW + 3600 * S);
    assert_int_equal(crew->compute->phase, SEAT_READY);
    judge(crew, NOW + 3700 * S); /* no task may take longer than an hour */
    assert_int_equal(crew->compute->phase, SEAT_ABORTED);
}

/* Who asked says so itself, unless it is dead or stopped. */
static void the_clock_ends_a_task_of_which_nobody_says_that_it_is_overdue(void **state)
{
    struct crew *crew = *state;
    (void)crew_give_task(crew, crew->web[0], NOW + S);
    judge(crew, NOW + 2 * S);
    assert_int_equal(crew->compute->phase, SEAT_READY);
    judge(crew, NOW + 2 * S + 1);
    assert_int_equal(crew->compute->phase, SEAT_KILLED);
    assert_int_equal(crew->compute->condemned, TASK_LOSS_TIMEOUT);
}

/* A look that falls into the taking sees the new one's id beside the old one's time. */
static void a_task_that_is_just_being_taken_is_not_judged_by_its_time(void **state)
{
    struct crew *crew = *state;
    uint64_t timeout_us = crew->herd.current->rules.timeout_us;
    uint64_t id = crew_give_task(crew, crew->web[0], NOW - 100 * S);
    atomic_store(&crew->place->claim, (id - 1) | TASK_DONE);
    judge(crew, NOW + 1);
    assert_int_equal(crew->compute->phase, SEAT_READY);
    judge(crew, NOW + timeout_us); /* one that stays there is silent for nothing */
    assert_int_equal(crew->compute->phase, SEAT_ABORTED);
}

static void a_heartbeat_in_the_future_excuses_nobody(void **state)
{
    struct crew *crew = *state;
    struct scoreboard_part part;
    struct err err;
    (void)crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    assert_int_equal(scoreboard_map_part(&crew->herd.board, crew->herd.board_fd,
                                         crew->compute->number, &part, &err),
                     0);
    part.head->heartbeat_us = UINT64_MAX / 2;
    judge(crew, NOW + 3600 * S);
    assert_int_equal(crew->compute->phase, SEAT_READY);
    judge(crew, NOW + 3700 * S);
    assert_int_equal(crew->compute->phase, SEAT_ABORTED);
}

/* Where all are idle there is hardly anything to wake up for. */
static void idle_workers_are_looked_at_seldom(void **state)
{
    struct crew *crew = *state;
    assert_true(tasks_next_us(&crew->herd) == NOW + 10 * S);
    (void)crew_give_task(crew, crew->web[0], NOW + 1000 * S);
    assert_true(tasks_next_us(&crew->herd) == NOW + S);
}

#ifdef REMUDA_DEBUG

/* mmap(2) is refused just when memory is short; who asked does not say it twice. The plan is read
 * once, so this test comes first. */
static void a_task_that_could_not_be_ended_is_ended_later(void **state)
{
    struct crew *crew = *state;
    uint64_t id = crew_give_task(crew, crew->web[0], NOW + 1000 * S);
    assert_true(overdue(crew, crew->web[0], id, TASK_LOSS_CANCELLED));
    assert_int_equal(crew->compute->phase, SEAT_READY);
    assert_non_null(strstr(stage_log(), "task not ended"));
    judge(crew, NOW + S);
    assert_int_equal(crew->compute->phase, SEAT_KILLED);
    assert_int_equal(crew->compute->condemned, TASK_LOSS_CANCELLED);
}

#endif

static void tasks_of_a_dead_web_worker_end_with_it_where_the_pool_says_so(void **state)
{
    struct crew *crew = *state;
    struct setting_pool *pool = (struct setting_pool *)(uintptr_t)crew->pool;
    (void)crew_give_task(crew, crew->web[0], NOW + S);
    crew_kill(crew, crew->web[1]);
    assert_int_equal(crew->compute->phase, SEAT_READY); /* not its task */
    pool->on_disconnect = SETTING_ON_DISCONNECT_FINISH;
    crew_kill(crew, crew->web[0]);
    assert_int_equal(crew->compute->phase, SEAT_READY);
    pool->on_disconnect = SETTING_ON_DISCONNECT_CANCEL;
    tasks_abandon(&crew->herd, crew->web[0]);
    assert_int_equal(crew->compute->phase, SEAT_KILLED);
    assert_int_equal(crew->compute->condemned, TASK_LOSS_CANCELLED);
}

static void one_that_dies_idle_again_and_again_is_replaced_later_and_later(void **state)
{
    struct crew *crew = *state;
    const struct post *post = &crew->herd.current->pools.items[0].workers[1];
    static const uint64_t waits_ms[] = {0, 100, 200, 400};
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        struct seat *seat = crew_add(crew, ROLE_COMPUTE, 1);
        crew_kill(crew, seat);
        assert_true(post->due_us == NOW + waits_ms[i] * 1000);
        fd_close(&crew->ends[seat->number]);
        herd_release(&crew->herd, seat);
    }
}

/* Whoever has an end of it may have shut it; web workers can't know but by the master. */
static void a_queue_that_was_shut_reaches_every_web_worker_anew(void **state)
{
    struct crew *crew = *state;
    struct msg msg = msg_make(MSG_UNLISTEN);
    assert_int_equal(shutdown(crew->herd.current->pools.items[0].read_fd, SHUT_RDWR), 0);
    while (msg_send(crew->web[1]->channel_fd, &msg, NULL, 0) == 0)
        ;
    struct pollfd polls[MEND_POLLS];
    size_t n = mend_watch(&crew->herd, polls);
    assert_int_equal(n, 1);
    assert_int_equal(poll(polls, n, 0), 1);
    mend_turn(&crew->herd, polls, n);
    assert_non_null(strstr(stage_log(), "queue shut pool=default"));
    assert_true(crew->compute->dismissed_us != 0); /* it has the old one */
    assert_true(crew->herd.current->pools.items[0].workers[0].due_us == NOW);
    assert_int_equal(mend_watch(&crew->herd, polls), 0);
    assert_true(mend_next_us(&crew->herd) == NOW + S);
    herd_fill(&crew->herd);
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), MSG_POOL);
    while (crew_hear(crew, crew->web[1], &msg) == MSG_UNLISTEN)
        ;
    assert_int_equal(crew->web[1]->owes_pools, 1); /* its channel had no room */
    crew->herd.now_us += S;
    crew->herd.graves.due_us = SEAT_NEVER;
    herd_fill(&crew->herd);
    assert_int_equal(crew_hear(crew, crew->web[1], &msg), MSG_POOL);
    assert_int_equal(crew->web[1]->owes_pools, 0);
}

/* One that had no descriptor left for it says so. */
static void a_queue_that_could_not_be_taken_is_sent_again_later(void **state)
{
    struct crew *crew = *state;
    struct msg msg;
    herd_owe_pools(&crew->herd, crew->web[0], true, NOW + S);
    assert_true(herd_next_us(&crew->herd) <= NOW + S);
    herd_fill(&crew->herd);
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), 0);
    assert_true(herd_next_us(&crew->herd) <= NOW + S);
    crew->herd.now_us = NOW + S;
    herd_fill(&crew->herd);
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), MSG_SEGMENT);
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), MSG_POOL);
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), 0);
}

/* A first start without a pool that the app needs is none, whoever else serves. */
static void a_pool_that_can_not_boot_ends_the_first_start(void **state)
{
    struct crew *crew = *state;
    struct generation *g = crew->herd.current;
    struct post *second = &g->pools.items[0].workers[1];
    g->has_been_ready = false;
    for (int i = 0; i < DECIDE_TRIES; i++)
        posts_refuse(&crew->herd, g, second, "no memory");
    assert_int_equal(crew->herd.exit_code, CLI_OK); /* the first one of the pool is there */
    assert_true(second->is_degraded);
    crew->compute->phase = SEAT_BOOTING;
    posts_refuse(&crew->herd, g, second, "no memory");
    assert_int_equal(crew->herd.exit_code, CLI_NO_BOOT);
    assert_non_null(strstr(stage_log(), "cannot start exit=4"));
}

/* What is told to who asked when the compute worker has died like that. */
static int loss_of(struct crew *crew, int status, enum cause cause)
{
    struct msg lost;
    crew->compute->status = status;
    assert_true(tasks_tell_loss(&crew->herd, crew->compute, cause, "", &lost));
    return lost.about;
}

static void a_limit_is_named_only_where_it_was_that(void **state)
{
    struct crew *crew = *state;
    struct setting_pool *pool = (struct setting_pool *)(uintptr_t)crew->pool;
    (void)crew_give_task(crew, crew->web[0], NOW + S);
    pool->cpu_limit_us = 3 * S;
    assert_int_equal(loss_of(crew, SIGXCPU, CAUSE_IS_LIMIT), TASK_LOSS_CPU);
    assert_int_equal(loss_of(crew, SIGXFSZ, CAUSE_IS_LIMIT), TASK_LOSS_CRASH);
    pool->cpu_limit_us = 0; /* one that was inherited */
    assert_int_equal(loss_of(crew, SIGXCPU, CAUSE_IS_LIMIT), TASK_LOSS_CRASH);
    assert_int_equal(loss_of(crew, SIGKILL, CAUSE_IS_MEMORY), TASK_LOSS_STARVED);
    assert_int_equal(loss_of(crew, SIGKILL, CAUSE_IS_MASTER), TASK_LOSS_KILLED);
    crew->compute->is_leaving = true;
    assert_int_equal(loss_of(crew, SIGKILL, CAUSE_IS_MASTER), TASK_LOSS_STOPPED);
}

/* The kernel counts a kill of its own; those of the master are none. */
static void a_kill_of_ours_does_not_use_up_the_kernels_count(void **state)
{
    struct crew *crew = *state;
    struct msg msg;
    struct seat *starved = crew_add(crew, ROLE_COMPUTE, 1);
    int fd = memfd_create("memory.events", MFD_CLOEXEC);
    assert_true(write(fd, "oom_kill 1\n", 11) == 11);
    (void)snprintf(crew->herd.oom.path, sizeof crew->herd.oom.path, "/proc/self/fd/%d", fd);
    crew->herd.oom.accounted = 0;
    uint64_t id = crew_give_task(crew, crew->web[0], NOW + S);
    assert_true(overdue(crew, crew->web[0], id, TASK_LOSS_TIMEOUT));
    crew_reap(crew->compute);
    herd_bury(&crew->herd, crew->compute);
    crew_kill(crew, starved);
    assert_non_null(strstr(stage_log(), "slot=1"));
    assert_non_null(strstr(stage_log(), "why=\"killed by the kernel: out of memory\""));
    graves_turn(&crew->herd);
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), MSG_TASK_LOST);
    assert_int_equal(msg.about, TASK_LOSS_TIMEOUT);
    fd_close(&fd);
}

/* A handler may write another's identity into its own seat, and crash. */
static void nobodys_task_is_given_up_by_another(void **state)
{
    struct crew *crew = *state;
    struct err err;
    struct msg lost;
    struct task_seat *place;
    struct seat *other = crew_add(crew, ROLE_COMPUTE, 1);
    (void)crew_give_task(crew, crew->web[0], NOW + S);
    assert_int_equal(
        scoreboard_map_task(&crew->herd.board, crew->herd.board_fd, other->number, &place, &err),
        0);
    memcpy(place, crew->place, sizeof *place);
    assert_false(tasks_tell_loss(&crew->herd, other, CAUSE_IS_CRASH, "", &lost));
    task_rest(crew->place);
    assert_true(tasks_tell_loss(&crew->herd, other, CAUSE_IS_CRASH, "", &lost));
    (void)munmap(place, SCOREBOARD_TASK_BYTES);
}

/* Its number is in the app's table of tasks, not in that of routes. */
static void a_call_is_named_as_the_app_has_named_it(void **state)
{
    struct crew *crew = *state;
    struct scoreboard_part part;
    struct err err;
    char text[TASKS_TEXT_MAX];
    (void)crew_give_task(crew, crew->web[0], NOW + S);
    crew->place->task.kind = TASK_CALL;
    crew->place->task.image_len = 0;
    assert_int_equal(scoreboard_map_part(&crew->herd.board, crew->herd.board_fd,
                                         crew->compute->number, &part, &err),
                     0);
    (void)snprintf(part.routes[3].name, sizeof part.routes[3].name, "GET /another");
    part.head->current.target_len = 6;
    memcpy(part.head->current.target, "resize", 6);
    part.head->current.phase = ENTRY_HANDLER;
    (void)tasks_print(&crew->herd, crew->compute, text);
    assert_non_null(strstr(text, " call=\"resize\" trace=abc "));
    crew->place->task.kind = TASK_REQUEST;
    crew->place->task.image_len = 100;
    (void)tasks_print(&crew->herd, crew->compute, text);
    assert_non_null(strstr(text, " route=\"GET /another\" trace=abc "));
}

static void every_cause_is_a_loss_of_some_kind(void **state)
{
    (void)state;
    for (int cause = 0; cause < CAUSES; cause++) {
        enum task_loss loss = tasks_loss_of(0, (enum cause)cause);
        assert_true(loss > 0 && loss < TASK_LOSSES);
        assert_int_equal(tasks_loss_of(TASK_LOSS_TIMEOUT, (enum cause)cause), TASK_LOSS_TIMEOUT);
    }
    assert_int_equal(tasks_loss_of(0, CAUSE_IS_REFUSED), TASK_LOSS_MEMORY);
    assert_int_equal(tasks_loss_of(0, CAUSE_IS_LIMIT), TASK_LOSS_CPU);
}

/* A worker may have written anything there. */
static void nonsense_in_a_seat_hurts_nobody(void **state)
{
    struct crew *crew = *state;
    struct msg lost;
    char text[TASKS_TEXT_MAX];
    uint64_t seed = 42;
    for (int round = 0; round < 2000; round++) {
        uint64_t words[sizeof(struct task_seat) / sizeof(uint64_t)];
        uint64_t id = crew_give_task(crew, crew->web[0], TASK_NEVER_US);
        memcpy(words, crew->place, sizeof words);
        for (int i = 0; i < 3; i++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            words[(seed >> 33) % (sizeof words / sizeof words[0])] ^= UINT64_C(1)
                                                                      << (seed >> 20 & 63);
        }
        memcpy(crew->place, words, sizeof words);
        (void)tasks_print(&crew->herd, crew->compute, text);
        (void)tasks_tell_loss(&crew->herd, crew->compute, CAUSE_IS_CRASH, "", &lost);
        memset(crew->place, 0, sizeof *crew->place);
        assert_true(id != 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_open, crew_close)
    const struct CMUnitTest tests[] = {
#ifdef REMUDA_DEBUG
        TEST(a_task_that_could_not_be_ended_is_ended_later),
#endif
        TEST(a_task_that_is_overdue_costs_its_worker_the_life),
        TEST(the_next_task_of_its_worker_is_not_hit),
        TEST(only_who_asked_may_end_a_task_and_for_a_reason_of_its_own),
        TEST(one_with_a_task_in_hand_may_be_silent),
        TEST(one_whose_seat_says_never_is_not_waited_for_for_ever),
        TEST(the_clock_ends_a_task_of_which_nobody_says_that_it_is_overdue),
        TEST(a_task_that_is_just_being_taken_is_not_judged_by_its_time),
        TEST(a_heartbeat_in_the_future_excuses_nobody),
        TEST(idle_workers_are_looked_at_seldom),
        TEST(tasks_of_a_dead_web_worker_end_with_it_where_the_pool_says_so),
        TEST(one_that_dies_idle_again_and_again_is_replaced_later_and_later),
        TEST(a_queue_that_was_shut_reaches_every_web_worker_anew),
        TEST(a_queue_that_could_not_be_taken_is_sent_again_later),
        TEST(a_pool_that_can_not_boot_ends_the_first_start),
        TEST(a_limit_is_named_only_where_it_was_that),
        TEST(a_kill_of_ours_does_not_use_up_the_kernels_count),
        TEST(nobodys_task_is_given_up_by_another),
        TEST(a_call_is_named_as_the_app_has_named_it),
        cmocka_unit_test(every_cause_is_a_loss_of_some_kind),
        TEST(nonsense_in_a_seat_hurts_nobody),
    };
    assert_int_equal(setenv("REMUDA_FAULT", "scoreboard.map_task:ENOMEM:1:1", 1), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
