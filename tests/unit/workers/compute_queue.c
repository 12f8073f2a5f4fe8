/* workers/compute.c: who takes which task off the queue, and who leaves it to others. */
#include "tests/unit/workers/compute_world.h"

static void await_state(pid_t pid, char state)
{
    while (procs_state(pid) != state)
        (void)poll(NULL, 0, 1);
}

/* Another process that watches the queue, longer than the worker that is started then, so it is
 * woken first. It does not take what it was woken for, as who is killed just then. */
static pid_t watch_queue(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
        int fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ctl(fd, EPOLL_CTL_ADD, world.queue_read_fd, &event) < 0)
            _exit(2);
        _exit(epoll_wait(fd, &event, 1, PATIENCE_MS) != 1);
    }
    await_state(pid, 'S');
    return pid;
}

static void await_woken(pid_t pid)
{
    int status = 1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

static void a_task_that_somebody_else_was_woken_for_is_run(void **state)
{
    (void)stop(state);
    pid_t other = watch_queue();
    start_worker();
    get("/hello/ann");
    await_woken(other);
}

/* A worker that hears of a task and of the master's word at once, when it waits for the first time:
 * so neither comes before the other. */
static void start_with_task_and(enum msg_type word)
{
    stops_in_init = true;
    begin_worker();
    stops_in_init = false;
    await_state(world.pid, 'T');
    send_frame(word, -1, 0, 0);
    post("GET /hello/ann", STR(""));
    (void)kill(world.pid, SIGCONT);
    CHECK_EQ(await_frame(MSG_READY).pid, world.pid);
}

static void a_task_that_it_was_woken_for_is_run_before_it_leaves(void **state)
{
    (void)stop(state);
    start_with_task_and(MSG_DRAIN);
    await_answer();
    CHECK_EQ(await_end(), 0);
}

/* Otherwise it would be killed with it a moment later. */
static void a_task_is_left_to_others_where_there_is_no_time(void **state)
{
    (void)stop(state);
    start_with_task_and(MSG_STOP);
    CHECK_EQ(await_end(), 0);
    CHECK_EQ(task_count_queued(&world.queue), 1);
}

/* Nobody but it was woken for what came while it waited; for what came while it ran a task others
 * were. */
static void a_task_that_it_was_not_woken_for_is_left_to_others(void **state)
{
    (void)state;
    post("GET /stop", STR(""));
    await_state(world.pid, 'T'); /* in the handler */
    uint64_t id = got.id;
    send_frame(MSG_DRAIN, -1, 0, 0);
    world.record = 1;
    post("GET /hello/ann", STR(""));
    (void)kill(world.pid, SIGCONT);
    got.id = id;
    await_answer();
    check_text_answer(200, "stopped");
    CHECK_EQ(await_end(), 0);
    CHECK_EQ(task_count_queued(&world.queue), 1);
}

/* As when several were woken, and killed before they took what they were woken for. */
static void tasks_that_nobody_was_woken_for_are_run_one_after_the_other(void **state)
{
    (void)stop(state);
    enum { N = 6 };
    uint64_t ids[N];
    pid_t others[N];
    for (int i = 0; i < N; i++)
        others[i] = watch_queue();
    start_worker();
    for (int i = 0; i < N; i++) {
        world.record = (uint32_t)i;
        post("GET /hello/ann", STR(""));
        ids[i] = got.id;
    }
    for (int i = 0; i < N; i++) {
        await_woken(others[i]);
        got.id = ids[i];
        await_answer();
        check_text_answer(200, "hello, ann, 2\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_task_that_somebody_else_was_woken_for_is_run),
        TEST(a_task_that_it_was_woken_for_is_run_before_it_leaves),
        TEST(a_task_is_left_to_others_where_there_is_no_time),
        TEST(a_task_that_it_was_not_woken_for_is_left_to_others),
        TEST(tasks_that_nobody_was_woken_for_are_run_one_after_the_other),
    };
    return cmocka_run_group_tests_name("compute_queue", tests, open_world, close_world);
}
