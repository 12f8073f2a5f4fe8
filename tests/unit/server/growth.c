/* Tests of server/growth.c: when a pool becomes larger and smaller, and who comes and goes. */
#include "server/growth.h"

#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/growth_web.h"
#include "server/herd.h"
#include "server/listen.h"
#include "server/posts.h"
#include "tests/unit/server/crew.h"

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

#define GROWTH_WAIT_US (200 * UINT64_C(1000)) /* tasks wait for so long: more */
#define GROWTH_SPARE_US (30 * S)              /* one is not needed for so long: one less */

static void turn(struct crew *crew, uint64_t now_us)
{
    crew->herd.now_us = now_us;
    crew->herd.current->pools.items[0].look_us = 0;
    growth_turn(&crew->herd);
}

static void bounds(struct crew *crew, uint32_t min, uint32_t max)
{
    crew->herd.current->pools.items[0].n_min = min;
    crew->herd.current->pools.items[0].n_max = max;
}

static void posts_come_and_go_at_the_end(void **state)
{
    struct crew *crew = *state;
    struct pool *pool = &crew->herd.current->pools.items[0];
    struct task task = task_make(TASK_CALL, task_make_id(crew->web[0]->number, 1, 5));
    bounds(crew, 1, 2);
    pool->n_workers = 1;
    assert_int_equal(task_send(&pool->queue, &task, crew->ends[0], -1), 0);
    turn(crew, NOW);
    turn(crew, NOW + GROWTH_WAIT_US - 1);
    assert_int_equal(pool->n_workers, 1);
    turn(crew, NOW + GROWTH_WAIT_US);
    assert_int_equal(pool->n_workers, 2);
    for (int i = 0; i < 2; i++) /* who asks is to know */
        assert_int_equal(crew->web[i]->owes_pools, 1);
    assert_null(pool->workers[1].seat);
    assert_int_equal(pool->workers[1].slot, 1);
    assert_true(pool->workers[1].due_us == NOW + GROWTH_WAIT_US);
    assert_true(growth_next_us(&crew->herd) <= NOW + GROWTH_WAIT_US + 100000);

    struct seat *second = crew_add(crew, ROLE_COMPUTE, 1);
    struct task_seat place;
    int fds[2];
    assert_int_equal(task_receive(pool->read_fd, &place, &task, fds), 1);
    fd_close(&fds[0]);
    turn(crew, NOW + S);
    turn(crew, NOW + S + GROWTH_SPARE_US - 1);
    assert_int_equal(pool->n_workers, 2);
    turn(crew, NOW + S + GROWTH_SPARE_US);
    assert_int_equal(pool->n_workers, 1);
    assert_true(second->dismissed_us != 0);
    assert_ptr_equal(pool->workers[0].seat, crew->compute);
}

static void a_pool_of_fixed_size_is_never_looked_at(void **state)
{
    struct crew *crew = *state;
    bounds(crew, 1, 1);
    assert_true(growth_next_us(&crew->herd) == SEAT_NEVER);
}

/* ---- memory ---- */

#define MORE_THAN_ANY (UINT64_C(1) << 45)

static struct setting_pool *settings_of(struct crew *crew)
{
    return &crew->settings->compute_pools.items[0];
}

static void tasks_had(struct crew *crew, uint64_t peak_bytes)
{
    const struct account_used used = {.peak_bytes = peak_bytes};
    struct scoreboard_part part = crew_map(crew, crew->compute);
    account_note(&part.head->account, ACCOUNT_ANSWERED, &used);
    crew_unmap(crew, &part);
}

static uint64_t needs(const struct crew *crew)
{
    return gauge_read_room(&crew->herd).pool_bytes[0];
}

static void a_worker_may_come_to_have_what_a_task_has_had(void **state)
{
    struct crew *crew = *state;
    struct pool *pool = &crew->herd.current->pools.items[0];
    struct task task = task_make(TASK_CALL, task_make_id(crew->web[0]->number, 1, 5));
    settings_of(crew)->memory_limit_bytes = 0;
    tasks_had(crew, MORE_THAN_ANY);
    assert_true(needs(crew) > MORE_THAN_ANY / 2);
    bounds(crew, 1, 2);
    pool->n_workers = 1;
    assert_int_equal(task_send(&pool->queue, &task, crew->ends[0], -1), 0);
    for (uint64_t i = 0; i < 10; i++)
        turn(crew, NOW + i * GROWTH_WAIT_US);
    assert_int_equal(pool->n_workers, 1);
    assert_non_null(strstr(stage_log(), "compute pool does not grow"));
    settings_of(crew)->memory_limit_bytes = 1 << 20;
    assert_int_equal(needs(crew), 1 << 20);
}

static void before_any_task_has_ended_the_limit_is_what_it_may_need(void **state)
{
    struct crew *crew = *state;
    const uint64_t limit_bytes = settings_of(crew)->memory_limit_bytes;
    assert_true(needs(crew) < limit_bytes);
    (void)crew_give_task(crew, crew->web[0], NOW + 60 * S);
    assert_true(needs(crew) == limit_bytes);
    tasks_had(crew, limit_bytes / 2);
    assert_true(needs(crew) <= limit_bytes / 2);
}

/* Whoever was granted a worker has not used its memory yet; nobody else gets it. */
static void what_others_are_to_have_is_set_aside(void **state)
{
    struct crew *crew = *state;
    struct pool *pool = &crew->herd.current->pools.items[0];
    struct generation next = {.web = {.n_min = 1, .n_max = 8}};
    settings_of(crew)->memory_limit_bytes = 0;
    tasks_had(crew, MORE_THAN_ANY);
    crew_kill(crew, crew->compute);
    assert_true(pool->peak_bytes == MORE_THAN_ANY);
    pool->n_workers = 0;
    struct gauge_room room = gauge_read_room(&crew->herd);
    assert_true(gauge_count_fit(&room, room.web_bytes) > 0);
    growth_inherit(&crew->herd, &next);
    assert_int_equal(next.n_workers, 2);
    pool->n_workers = 1; /* nobody is there yet */
    room = gauge_read_room(&crew->herd);
    assert_int_equal(gauge_count_fit(&room, room.web_bytes), 0);
    growth_inherit(&crew->herd, &next);
    assert_int_equal(next.n_workers, 1);
}

/* What a pool needs in any case is not there for more web workers. */
static void what_comes_in_any_case_has_its_room_first(void **state)
{
    struct crew *crew = *state;
    struct pool *pool = &crew->herd.current->pools.items[0];
    struct generation next = {.web = {.n_min = 1, .n_max = 8}, .pools.n = 1};
    settings_of(crew)->memory_limit_bytes = 0;
    tasks_had(crew, MORE_THAN_ANY);
    pool->n_workers = 0; /* for those that are there nothing is set aside */
    pool->peak_bytes = MORE_THAN_ANY;
    next.pools.items[0] = *pool;
    next.pools.items[0].n_min = next.pools.items[0].n_max = next.pools.items[0].n_workers = 1;
    growth_inherit(&crew->herd, &next);
    assert_int_equal(next.n_workers, 1);
    assert_int_equal(next.pools.items[0].n_workers, 1);
}

/* Where the CPUs are as many as before, and neither is a number that somebody has given. */
static void loops_that_follow_the_cpus_begin_where_they_were(void **state)
{
    struct crew *crew = *state;
    static const struct {
        bool was, is;
        uint32_t n_max, n;
    } rows[] = {{true, true, 4, 2}, {false, true, 4, 4}, {true, false, 4, 4}, {true, true, 8, 8}};
    struct generation *from = crew->herd.current;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct generation next = {.n_workers = rows[i].n_max, .pools.n = 0};
        next.web = (struct generation_web){
            .n_min = rows[i].n_max, .n_max = rows[i].n_max, .is_by_cpus = rows[i].is};
        from->n_workers = 2;
        from->web = (struct generation_web){
            .n_min = 4, .n_max = 4, .is_by_cpus = rows[i].was, .crowd = {.until_us = NOW}};
        growth_inherit(&crew->herd, &next);
        assert_int_equal(next.n_workers, rows[i].n);
        assert_true(next.web.crowd.until_us == (i == 0 ? NOW : 0));
    }
}

static void what_fits_is_given_once(void **state)
{
    (void)state;
    struct gauge_room room = {.bytes = 1000};
    assert_int_equal(gauge_take(&room, 100, 1, 6), 6);
    assert_int_equal(gauge_take(&room, 100, 1, 6), 4);
    assert_int_equal(gauge_take(&room, 100, 2, 6), 2);
    assert_true(room.bytes == 0);
    room.bytes = UINT64_MAX;
    assert_int_equal(gauge_take(&room, 100, 1, 6), 6);
    assert_true(room.bytes == UINT64_MAX);
}

#define LARGE (UINT64_C(128) << 20)

/* Memory of this process, which then is taken for a worker. */
static void *have(int flags, int fd)
{
    void *memory = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, flags | MAP_POPULATE, fd, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static void shared_pages_are_not_set_aside_for_each(void **state)
{
    struct crew *crew = *state;
    pid_t pid = crew->compute->pid;
    int fd = memfd_create("model", MFD_CLOEXEC);
    settings_of(crew)->memory_limit_bytes = 0;
    crew->compute->pid = getpid();
    tasks_had(crew, LARGE);
    assert_int_equal(ftruncate(fd, LARGE), 0);
    void *memory = have(MAP_SHARED, fd);
    assert_true(needs(crew) < LARGE);
    crew->herd.current->pools.items[0].peak_bytes = LARGE; /* somebody's who is dead, too */
    assert_true(needs(crew) < LARGE);
    assert_int_equal(munmap(memory, LARGE), 0);
    crew->compute->pid = pid;
    fd_close(&fd);
}

static void one_web_worker_that_leaks_takes_no_room_for_those_that_serve(void **state)
{
    struct crew *crew = *state;
    pid_t pid = crew->web[0]->pid;
    void *memory = have(MAP_PRIVATE | MAP_ANONYMOUS, -1);
    crew->herd.current->pools.items[0].n_workers = 0;
    crew->web[0]->pid = getpid();
    struct gauge_room young = gauge_read_room(&crew->herd);
    crew->herd.now_us += 60 * S;
    struct gauge_room old = gauge_read_room(&crew->herd);
    assert_true(young.web_bytes >= LARGE && old.web_bytes >= LARGE);
    assert_true(young.set_aside_bytes > LARGE / 2);
    assert_true(old.set_aside_bytes == 0);
    crew->herd.current->n_workers = 3; /* one that is to come */
    assert_true(gauge_read_room(&crew->herd).set_aside_bytes >= LARGE);
    crew->herd.current->n_workers = 2;
    crew->web[0]->pid = pid;
    assert_int_equal(munmap(memory, LARGE), 0);
}

/* ---- who does not come ---- */

static void a_worker_that_can_not_be_had_is_given_up(void **state)
{
    struct crew *crew = *state;
    struct generation *g = crew->herd.current;
    struct pool *pool = &g->pools.items[0];
    bounds(crew, 1, 3);
    pool->n_workers = 3;
    for (int i = 0; i < 10; i++)
        posts_refuse(&crew->herd, g, &pool->workers[2], "test");
    assert_null(strstr(stage_log(), "generation degraded"));
    assert_int_equal(posts_count_missing(pool->workers, 3), 1);
    posts_refuse(&crew->herd, g, &pool->workers[1], "test");
    assert_int_equal(posts_count_missing(pool->workers, 3), 2);
    turn(crew, NOW);
    turn(crew, NOW + 5 * S - 1);
    assert_int_equal(pool->n_workers, 3);
    turn(crew, NOW + 5 * S);
    assert_int_equal(pool->n_workers, 1);
    assert_string_equal(decisions_peek(&crew->herd.decisions, 0)->why, "undone: they can't be had");
    bounds(crew, 3, 3);
    for (int i = 0; i < 10; i++)
        posts_refuse(&crew->herd, g, &pool->workers[2], "test");
    assert_non_null(strstr(stage_log(), "generation degraded"));
}

/* Who is behind it serves, so it stays, and is tried again and again. */
static void one_that_nobody_gives_up_is_told_of(void **state)
{
    struct crew *crew = *state;
    struct generation *g = crew->herd.current;
    crew->herd.current->web.n_min = 0;
    crew->herd.current->web.n_max = 2;
    g->workers[0].seat = NULL;
    for (int i = 0; i < 10; i++)
        posts_refuse(&crew->herd, g, &g->workers[0], "test");
    assert_int_equal(posts_count_missing(g->workers, 2), 0);
    assert_non_null(strstr(stage_log(), "generation degraded"));
    g->workers[0].seat = crew->web[0];
}

static void who_crashes_at_its_work_is_not_missing(void **state)
{
    struct crew *crew = *state;
    struct generation *g = crew->herd.current;
    uint64_t ms;
    for (int i = 0; i < 3; i++) {
        g->workers[1].seat = crew->web[1];
        (void)posts_vacate(&crew->herd, g, &g->workers[1], crew->web[1], false, &ms);
    }
    assert_int_equal(g->workers[1].failures, 3);
    assert_int_equal(posts_count_missing(g->workers, 2), 0);
    crew->web[1]->ready_us = 0;
    g->workers[1].seat = crew->web[1];
    (void)posts_vacate(&crew->herd, g, &g->workers[1], crew->web[1], false, &ms);
    assert_int_equal(posts_count_missing(g->workers, 2), 1);
    g->workers[1].seat = crew->web[1];
}

/* ---- web workers ---- */

static void turn_web(struct crew *crew, uint64_t now_us, const struct listen_set *listeners)
{
    struct generation *g = crew->herd.current;
    crew->herd.now_us = now_us;
    g->web.n_min = 1;
    g->web.n_max = 8;
    g->web.is_by_cpus = false;
    g->web.look_us = 0;
    growth_web_turn(&crew->herd, listeners);
    assert_int_equal(g->n_workers, 2);
}

static void what_a_web_worker_used_to_come_up_is_no_load(void **state)
{
    struct crew *crew = *state;
    static const struct listen_set nothing;
    turn_web(crew, NOW, &nothing);
    for (int i = 0; i < 2; i++)
        crew->web[i]->epoch++; /* somebody new */
    turn_web(crew, NOW + S, &nothing);
    assert_true(crew->herd.current->web.adapt.fast.time_us > 0);
    assert_true(crew->herd.current->web.adapt.fast.cpu_us <= 0);
    assert_true(crew->herd.current->web.adapt.fast.switches <= 0);
}

static void a_look_that_fails_is_not_taken_for_zero(void **state)
{
    struct crew *crew = *state;
    static const struct listen_set nothing;
    const struct post_seen *seen = &crew->herd.current->workers[0].seen;
    pid_t pid = crew->web[0]->pid;
    struct gauge_thread thread = {0};
    uint64_t until_us = clock_now_us() + 10 * S;
    while (thread.run_ns == 0 && clock_now_us() < until_us) /* it has only just been made */
        assert_int_equal(gauge_read_thread(pid, &thread), 0);
    turn_web(crew, NOW, &nothing);
    uint64_t cpu = seen->cpu;
    assert_true(cpu > 0);
    crew->web[0]->pid = INT32_MAX;
    turn_web(crew, NOW + S, &nothing);
    crew->web[0]->pid = pid;
    assert_true(seen->cpu == cpu);
}

static void who_waits_at_a_unix_socket_is_seen(void **state)
{
    struct crew *crew = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX}; /* the kernel finds a name */
    socklen_t len = sizeof address;
    struct listener item = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .slot = -1};
    const struct listen_set set = {.items = &item, .n = 1};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(item.fd, (struct sockaddr *)&address, sizeof address.sun_family), 0);
    assert_int_equal(listen(item.fd, 1), 0);
    assert_int_equal(getsockname(item.fd, (struct sockaddr *)&address, &len), 0);
    turn_web(crew, NOW, &set);
    assert_int_equal(crew->herd.current->web.in_hand, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    turn_web(crew, NOW + S, &set);
    assert_int_equal(crew->herd.current->web.in_hand, 1);
    fd_close(&fd);
    fd_close(&item.fd);
}

/* proc(5), /proc/stat */
static void idle_time_is_that_of_the_cpus_that_may_be_used(void **state)
{
    (void)state;
    static const char text[] = "cpu  9 9 9 9000 9 9 9 9 9 9\n"
                               "cpu0 1 2 3 100 20 4 5 6 7 8\n"
                               "cpu1 1 2 3 7000 1 4 5 6 7 8\n"
                               "cpu12 1 2 3 30 0 4 5 6 7 8\n"
                               "intr 1 2 3 4 5 6\n";
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    CPU_SET(0, &allowed);
    CPU_SET(12, &allowed);
    assert_true(gauge_parse_idle_ms(text, &allowed, 100) == 1500);
    CPU_SET(3, &allowed); /* which is not told of */
    assert_true(gauge_parse_idle_ms(text, &allowed, 100) == UINT64_MAX);
    assert_true(gauge_parse_idle_ms("", &allowed, 100) == UINT64_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_open, crew_close)
    const struct CMUnitTest tests[] = {
        TEST(posts_come_and_go_at_the_end),
        TEST(a_pool_of_fixed_size_is_never_looked_at),
        TEST(a_worker_may_come_to_have_what_a_task_has_had),
        TEST(before_any_task_has_ended_the_limit_is_what_it_may_need),
        TEST(what_others_are_to_have_is_set_aside),
        TEST(what_comes_in_any_case_has_its_room_first),
        TEST(loops_that_follow_the_cpus_begin_where_they_were),
        TEST(what_fits_is_given_once),
        TEST(shared_pages_are_not_set_aside_for_each),
        TEST(one_web_worker_that_leaks_takes_no_room_for_those_that_serve),
        TEST(a_worker_that_can_not_be_had_is_given_up),
        TEST(one_that_nobody_gives_up_is_told_of),
        TEST(who_crashes_at_its_work_is_not_missing),
        TEST(what_a_web_worker_used_to_come_up_is_no_load),
        TEST(a_look_that_fails_is_not_taken_for_zero),
        TEST(who_waits_at_a_unix_socket_is_seen),
        TEST(idle_time_is_that_of_the_cpus_that_may_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
