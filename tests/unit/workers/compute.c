/* workers/compute*.c and confine.c: a compute worker, seen by those who ask it. */
#include "tests/unit/workers/compute_world.h"

#include "workers/profiling.h"

static struct task_state_seen {
    enum task_state state;
    uint64_t id;
} look_at_seat(void)
{
    struct task task = {0};
    struct scoreboard_part part = scoreboard_peek(&world.board, 1);
    enum task_state state = task_peek(part.task, &task);
    return (struct task_state_seen){state, task.id};
}

/* From now on it is the handler that sees what becomes of its task. */
static void await_handler(void)
{
    const struct request_entry *entry = &scoreboard_peek(&world.board, 1).head->current;
    while (atomic_load_explicit(&entry->phase, memory_order_acquire) != ENTRY_HANDLER)
        (void)poll(NULL, 0, 1);
}

static int32_t error_in_remains(void)
{
    return scoreboard_peek(&world.board, 1).remains->error;
}

static size_t fields_of_answer(void)
{
    const struct response_field *field = response_find(&got.res, STR("X-Long"));
    return field ? field->value.len : 0;
}

/* ---- tests ---- */

static void answers_like_a_web_worker(void **state)
{
    (void)state;
    get("/hello/ann");
    check_text_answer(200, "hello, ann, 2\n");
    const struct response_field *role = response_find(&got.res, STR("X-Role"));
    CHECK(role && str_is_equal(role->value, STR("compute")));
    CHECK(got.reply.peak_bytes > 0);
    get("/hello/bob");
    check_text_answer(200, "hello, bob, 2\n");
}

/* Else what it has counted is taken for another's. */
static void routes_are_named_as_web_workers_name_them(void **state)
{
    (void)state;
    struct route_stats named = {0};
    profiling_name(&named, "GET", LONG_PATTERN);
    CHECK(strlen(LONG_PATTERN) >= sizeof named.name);
    get("/hello/ann" LONG_REST);
    check_text_answer(200, "hello, ann, 2\n");
    CHECK_TEXT(scoreboard_peek(&world.board, 1).routes[1].name, named.name);
}

static void is_held_in(void **state)
{
    (void)state;
    char wanted[100];
    int nicer = getpriority(PRIO_PROCESS, 0) + (int)pool.nice;
    (void)snprintf(wanted, sizeof wanted, "core 0 files %d memory %d nice %d group 1 oom 1",
                   (int)pool.nofile, confine_has_memory_limit() && !is_in_valgrind,
                   nicer > 19 ? 19 : nicer);
    get("/limits");
    check_text_answer(200, wanted);
    get("/fork");
    check_text_answer(200, strerror(EPERM));
    get("/later"); /* by a thread, which it may have */
    check_text_answer(200, "later");
}

static void may_fork_where_the_pool_says_so(void **state)
{
    (void)stop(state);
    pool.fork = 1;
    start_worker();
    get("/fork");
    check_text_answer(200, "forked");
}

static void bodies_come_from_where_they_lie(void **state)
{
    (void)state;
    static char body[MIB];
    fill(body, sizeof body);
    post("POST /echo", str_make(body, 1000));
    await_answer();
    check_filled(1000);
    post("POST /echo", str_make(body, sizeof body));
    await_answer();
    check_filled(sizeof body);
    post("POST /consume", str_make(body, 300000));
    await_answer();
    check_text_answer(200, "300000");
}

static void a_body_in_a_file_is_no_memory_of_the_handlers(void **state)
{
    (void)state;
    static char body[MEMORY_LIMIT + MIB];
    fill(body, sizeof body);
    for (int i = 0; i < 3; i++) {
        post("POST /consume", str_make(body, sizeof body));
        await_answer();
        check_text_answer(200, "68157440");
    }
    post("POST /echo", str_make(body, 2000000)); /* copied, though it could stay where it is */
    await_answer();
    check_filled(2000000);
}

static void handlers_know_how_long_they_may_take(void **state)
{
    (void)state;
    get("/deadline");
    check_text_answer(200, "soon");
}

static void whoever_has_no_memory_left_makes_room_for_another(void **state)
{
    (void)state;
    if (!confine_has_memory_limit() || is_in_valgrind)
        skip(); /* there is no limit of memory there */
    get("/leak");
    char head[8000] = "GET /hello/ann?";
    memset(head + strlen(head), 'x', sizeof head - strlen(head) - 1);
    post(head, STR("")); /* larger than what it still has from the one before */
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_FAILED);
    CHECK_EQ(got.reply.error, ENOMEM);
    int status = await_end();
    CHECK(WIFEXITED(status));
}

static void answers_go_out_from_where_they_lie(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        size_t n;
        bool is_large;
        size_t copied; /* in all */
    } rows[] = {{"/made?n=100", 100, false, 0},  {"/made?n=3900", 3900, false, 0},
                {"/made?n=4200", 4200, true, 0}, {"/made?n=1048576", MIB, true, 0},
                {"/heap?n=100", 100, false, 0},  {"/heap?n=1048576", MIB, true, MIB}};
    const struct seat_head *head = scoreboard_peek(&world.board, 1).head;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].target);
        get(rows[i].target);
        CHECK_EQ(got.res.status, 200);
        CHECK_EQ(got.reply.data_len, rows[i].is_large ? rows[i].n : 0);
        check_filled(rows[i].n);
        CHECK_EQ(head->copied, rows[i].copied);
    }
    check_context("%s", "");
}

static void fields_of_any_size_go_with_any_body(void **state)
{
    (void)state;
    static const char *const targets[] = {"/made?n=0&fields=%d",      "/made?n=100&fields=%d",
                                          "/made?n=100000&fields=%d", "/heap?n=0&fields=%d",
                                          "/heap?n=100000&fields=%d", "/heap?n=9000000&fields=%d"};
    char target[100];
    get("/redirect"); /* without a body, nor a place where one would be */
    CHECK_EQ(got.res.status, 302);
    for (size_t i = 0; i < 2 * sizeof targets / sizeof targets[0]; i++) {
        int fields = i % 2 ? 20000 : 5000;
        (void)snprintf(target, sizeof target, targets[i / 2], fields);
        check_context("%s", target);
        get(target);
        CHECK_EQ(got.reply.kind, TASK_ANSWER);
        CHECK_EQ(fields_of_answer(), fields);
        if (got.res.kind == RESPONSE_BYTES)
            check_filled(got.res.body_len);
    }
    check_context("%s", "");
    get("/stream?n=1000000&fields=5000");
    CHECK_EQ(got.reply.kind, TASK_END);
    CHECK_EQ(got.reply.error, 0);
    CHECK_EQ(got.body.len, 1000000);
    CHECK_EQ(fields_of_answer(), 5000);
}

/* There is some room for fields; who finds that in use waits until it is read. */
static void fields_find_room_in_a_full_slice(void **state)
{
    (void)state;
    struct pollfd readable = {.fd = world.inbox[0], .events = POLLIN};
    post("GET /stuffed?n=100000&fields=5000", STR(""));
    forget();
    CHECK(take_reply());
    CHECK_EQ(got.res.kind, RESPONSE_FILE);
    CHECK_EQ(fields_of_answer(), 5000);
    uint64_t first = got.id;
    world.record = 1;
    await_answer_file(false); /* the first one's was sent */
    post("GET /heap?n=100000&fields=5000", STR(""));
    await_answer_file(true); /* the body has found no room, so the fields are next */
    CHECK_EQ(poll(&readable, 1, 50), 0);
    task_end(record_of(first));
    await_answer();
    CHECK_EQ(got.res.kind, RESPONSE_FILE);
    CHECK_EQ(fields_of_answer(), 5000);
}

/* One who does not read just now should not hold up those who answer him. */
static void an_inbox_that_nobody_reads_takes_many_answers(void **state)
{
    (void)state;
    const int small = 100 * 1024; /* 24 frames as large as they may be */
    const int n = 60;
    CHECK_EQ(setsockopt(world.inbox[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    const struct seat_head *head = scoreboard_peek(&world.board, 1).head;
    uint64_t first = world.count + 1;
    for (int i = 0; i < n; i++) {
        world.record = (uint32_t)i;
        post(i % 2 ? "GET /made?n=3900" : "GET /heap?n=3900", STR(""));
        for (int ms = 0; (int)head->tasks <= i; ms++) {
            CHECK(ms < PATIENCE_MS);
            (void)poll(NULL, 0, 1);
        }
    }
    for (int i = 0; i < n; i++) {
        got.id = task_make_id(0, (uint32_t)i, first + (uint64_t)i);
        await_answer();
        CHECK_EQ(got.res.status, 200);
        check_filled(3900);
    }
}

static void an_answer_that_is_read_stays_and_then_goes(void **state)
{
    (void)state;
    post("GET /made?n=3000000", STR(""));
    forget();
    CHECK(take_reply());
    uint64_t first = got.id;
    uint64_t at = got.reply.data_at;
    check_filled(3000000);
    world.record = 1;
    get("/made?n=3000000");
    CHECK(got.reply.data_at != at);
    CHECK_EQ(octets_of(1, at, 3000000).p[2999999], 'a' + 2999999 % 23);
    task_end(record_of(first));
    for (int i = 0; i < 8; i++) {
        get("/made?n=3000000");
        check_filled(3000000);
        CHECK_EQ(got.reply.kind, TASK_ANSWER);
    }
}

/* A handler may hold what `done` of another answer waits for. */
static void no_handler_is_broken_into(void **state)
{
    (void)state;
    post("GET /lent", STR(""));
    forget();
    CHECK(take_reply());
    uint64_t first = got.id;
    world.record = 1;
    post("GET /stuff-when-cancelled", STR(""));
    await_handler();
    task_end(record_of(first));
    task_cancel(record_of(got.id));
    await_answer();
    check_text_answer(200, "0");
}

static void a_full_slice_is_no_failure(void **state)
{
    (void)state;
    get("/heap?n=9000000"); /* more than the slice has */
    CHECK_EQ(got.reply.kind, TASK_ANSWER);
    CHECK_EQ(got.res.kind, RESPONSE_FILE);
    CHECK_EQ(lseek(got.res.fd, 0, SEEK_END), 9000000);
    get("/made?n=9000000");
    CHECK_EQ(got.res.kind, RESPONSE_FILE);
}

static void files_come_along(void **state)
{
    (void)state;
    char text[20] = "";
    get("/file");
    CHECK_EQ(got.res.kind, RESPONSE_FILE);
    CHECK_EQ(pread(got.res.fd, text, sizeof text, 0), 11);
    CHECK_TEXT(text, "from a file");
}

static void streams_are_as_fast_as_they_are_taken(void **state)
{
    (void)state;
    get("/stream?n=5");
    CHECK_EQ(got.reply.kind, TASK_END);
    CHECK_EQ(got.reply.error, 0);
    CHECK_EQ(got.body.len, 5);
    get("/stream?n=2000000");
    CHECK_EQ(got.reply.kind, TASK_END);
    CHECK_EQ(got.reply.error, 0);
    CHECK_EQ(got.body.len, 2000000);
    for (size_t i = 0; i < got.body.len; i++)
        if (got.body.data[i] != (char)('a' + i % 10000 % 23))
            CHECK_FAIL("octet %zu is wrong", i);
}

static void a_stream_that_nobody_takes_ends_when_it_is_cancelled(void **state)
{
    (void)state;
    post("GET /stream?n=1000000000", STR(""));
    forget();
    CHECK(!take_reply());
    CHECK(!take_reply());
    task_cancel(record_of(got.id));
    while (!take_reply())
        continue;
    CHECK_EQ(got.reply.kind, TASK_END);
    CHECK_EQ(got.reply.error, ECANCELED);
    task_end(record_of(got.id));
    get("/hello/ann");
    check_text_answer(200, "hello, ann, 2\n");
}

static void a_stream_without_a_body_is_not_made(void **state)
{
    (void)state;
    post("HEAD /stream?n=1000000000", STR(""));
    await_answer();
    CHECK_EQ(got.res.kind, RESPONSE_STREAM);
    CHECK_EQ(got.reply.kind, TASK_END);
    CHECK_EQ(got.reply.error, 0);
    CHECK_EQ(got.body.len, 0);
}

static void handlers_see_that_they_are_cancelled(void **state)
{
    (void)state;
    post("GET /until-cancelled", STR(""));
    await_handler();
    task_cancel(record_of(got.id));
    await_answer();
    check_text_answer(200, "cancelled");
}

/* Who asked has given it up, and uses its record for another task. */
static void handlers_see_that_they_are_forgotten(void **state)
{
    (void)state;
    post("GET /until-cancelled", STR(""));
    await_handler();
    task_cancel(record_of(got.id));
    task_end(record_of(got.id));
    task_begin(record_of(got.id), got.id + 1);
    await_answer();
    check_text_answer(200, "cancelled");
}

static void what_nobody_wants_is_not_run(void **state)
{
    (void)state;
    (void)kill(world.pid, SIGSTOP);
    post("GET /crash", STR(""));
    task_cancel(record_of(got.id));
    (void)kill(world.pid, SIGCONT);
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_DROPPED);
}

/* Its record stands, but nobody reads the inbox any more. */
static void what_a_dead_asker_has_left_in_the_queue_is_not_run(void **state)
{
    (void)state;
    int inbox[2];
    int mine = world.inbox[1];
    CHECK_EQ(task_open_inbox(&inbox[0], &inbox[1]), 0);
    (void)kill(world.pid, SIGSTOP);
    world.inbox[1] = inbox[1];
    post("GET /crash", STR(""));
    world.inbox[1] = mine;
    fd_close(&inbox[0]);
    fd_close(&inbox[1]);
    (void)kill(world.pid, SIGCONT);
    world.record = 1;
    get("/hello/ann");
    check_text_answer(200, "hello, ann, 2\n");
}

/* It had the time that such tasks take when it was queued, and hasn't any more. */
static void what_has_too_little_time_left_is_not_run(void **state)
{
    (void)state;
    (void)kill(world.pid, SIGSTOP);
    world.usual_us = 60 * CLOCK_US_PER_S;
    post("GET /crash", STR(""));
    world.usual_us = 0;
    (void)kill(world.pid, SIGCONT);
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_DROPPED);
}

static void a_crash_leaves_its_task_on_record(void **state)
{
    (void)state;
    post("GET /crash", STR(""));
    int status = await_end();
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    struct task_state_seen seen = look_at_seat();
    CHECK_EQ(seen.state, TASK_RUNNING);
    CHECK(seen.id == got.id);
    CHECK(error_in_remains() != ENOMEM);
    struct request_entry entry;
    CHECK(scoreboard_read_entry(&scoreboard_peek(&world.board, 1).head->current, &entry));
    CHECK_BYTES(entry.target, entry.target_len, "/crash", 6);
}

static void exit_leaves_its_task_on_record(void **state)
{
    (void)state;
    post("GET /leave", STR(""));
    CHECK_EQ(await_end(), 0);
    CHECK_EQ(look_at_seat().state, TASK_RUNNING);
}

static void memory_is_refused_beyond_the_limit(void **state)
{
    (void)state;
    if (!confine_has_memory_limit() || is_in_valgrind)
        skip(); /* there is no limit of memory there */
    get("/hog?n=20000000");
    check_text_answer(200, "had");
    post("GET /hog?n=80000000", STR(""));
    int status = await_end();
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    CHECK_EQ(error_in_remains(), ENOMEM);
    CHECK_EQ(look_at_seat().state, TASK_RUNNING);
}

static void whoever_has_no_descriptors_left_makes_room_for_another(void **state)
{
    (void)state;
    if (is_in_valgrind)
        skip();                     /* it has limits of its own */
    (void)kill(world.pid, SIGSTOP); /* so that the second is there when the first is done */
    post("GET /open?n=1000000", STR(""));
    uint64_t first = got.id;
    world.record = 1;
    post("GET /hello/ann", STR(""));
    uint64_t second = got.id;
    (void)kill(world.pid, SIGCONT);
    got.id = first;
    await_answer();
    check_text_answer(200, "open");
    CHECK_EQ(await_end(), 0);
    CHECK_EQ(task_count_queued(&world.queue), 1);
    fd_close(&world.channel_fd);
    CHECK_EQ(scoreboard_clear(&world.board, world.board_fd, 1), 0);
    start_worker();
    got.id = second;
    await_answer();
    check_text_answer(200, "hello, ann, 2\n");
}

static void is_worn_by_descriptors_that_are_left_open(void **state)
{
    (void)state;
    if (is_in_valgrind)
        skip(); /* it has limits of its own */
    struct pollfd told = {.fd = world.channel_fd, .events = POLLIN};
    for (int i = 0; poll(&told, 1, 0) == 0; i++) {
        CHECK(i < 20);
        get("/open?n=10");
    }
    CHECK_HAS(await_frame(MSG_WORN).text, "leave descriptors open");
    get("/hello/ann"); /* it goes on until it is told */
    check_text_answer(200, "hello, ann, 2\n");
}

static void a_file_that_can_not_be_sent_is_an_answer_all_the_same(void **state)
{
    (void)stop(state);
    int ends[2];
    if (is_in_valgrind)
        skip();             /* it has limits of its own */
    world.is_common = true; /* root may send as many as it likes */
    start_worker();
    world.is_common = false;
    flood(ends);
    get("/file");
    CHECK_EQ(got.reply.kind, TASK_FAILED);
    CHECK_EQ(got.reply.error, EAGAIN);
    get("/hello/ann");
    check_text_answer(200, "hello, ann, 2\n");
    fd_close(&ends[0]);
    fd_close(&ends[1]);
    get("/file");
    CHECK_EQ(got.res.kind, RESPONSE_FILE);
}

/* What is left of the last task's must not end an idle worker, nor the next task. */
static void idle_workers_have_all_the_cpu_time(void **state)
{
    (void)state;
    struct rlimit limit;
    if (is_in_valgrind)
        skip(); /* it has limits of its own */
    get("/limits");
    CHECK_EQ(prlimit(world.pid, RLIMIT_CPU, NULL, &limit), 0);
    CHECK_EQ(limit.rlim_cur, limit.rlim_max);
    call(CALL_REVERSE, STR("abc"));
    await_answer();
    CHECK_EQ(prlimit(world.pid, RLIMIT_CPU, NULL, &limit), 0);
    CHECK_EQ(limit.rlim_cur, limit.rlim_max);
}

static void cpu_time_is_limited(void **state)
{
    (void)state;
    if (is_in_valgrind)
        skip(); /* it has limits of its own */
    get("/hello/ann");
    post("GET /spin", STR(""));
    int status = await_end();
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
}

static void tasks_are_called_with_their_payload(void **state)
{
    (void)state;
    static char payload[300000];
    const struct seat_head *head = scoreboard_peek(&world.board, 1).head;
    fill(payload, sizeof payload);
    call(CALL_REVERSE, STR("abc"));
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_RESULT);
    CHECK_BYTES(got.body.data, got.body.len, "cba", 3);
    call(CALL_REVERSE, STR(""));
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_RESULT);
    CHECK_EQ(got.body.len, 0);
    call(CALL_REVERSE, str_make(payload, sizeof payload));
    await_answer();
    CHECK_EQ(got.reply.data_len, sizeof payload);
    CHECK_EQ(got.body.len, sizeof payload);
    for (size_t i = 0; i < sizeof payload; i++)
        if (got.body.data[i] != payload[sizeof payload - 1 - i])
            CHECK_FAIL("octet %zu is wrong", i);
    CHECK_EQ(head->copied, 0);
    call(CALL_GIVE_BACK, str_make(payload, sizeof payload));
    await_answer();
    check_filled(sizeof payload);
    CHECK_EQ(head->copied, sizeof payload);
}

static void a_result_without_room_goes_by_a_file(void **state)
{
    (void)state;
    static char payload[3000000];
    fill(payload, sizeof payload);
    post("GET /made?n=6000000", STR(""));
    forget();
    CHECK(take_reply());
    world.record = 1;
    call(CALL_GIVE_BACK, str_make(payload, sizeof payload));
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_RESULT);
    CHECK(got.has_file);
    check_filled(sizeof payload);
}

/* So that the asker's loop need not copy it; what is small comes as ever. */
static void large_results_come_by_a_file_where_that_is_asked(void **state)
{
    (void)state;
    static char payload[TASK_LARGE_BYTES + 1];
    fill(payload, sizeof payload);
    world.by_file = true;
    for (size_t n = TASK_LARGE_BYTES; n <= sizeof payload; n++) {
        call(CALL_GIVE_BACK, str_make(payload, n));
        await_answer();
        CHECK_EQ(got.has_file, n > TASK_LARGE_BYTES);
        check_filled(n);
    }
    world.by_file = false;
}

static void tasks_fail_in_their_own_words(void **state)
{
    (void)state;
    call(CALL_FAIL_WITH_42, STR("abc"));
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_RESULT);
    CHECK_EQ(got.reply.error, 42);
    CHECK_EQ(got.body.len, 0);
    call(CALLS, STR("abc")); /* of which there is none */
    await_answer();
    CHECK_EQ(got.reply.kind, TASK_FAILED);
    CHECK_EQ(got.reply.error, EBADMSG);
    call(CALL_CRASH, STR("abc"));
    int status = await_end();
    CHECK(WIFSIGNALED(status));
    CHECK(look_at_seat().id == got.id);
    struct request_entry entry;
    CHECK(scoreboard_read_entry(&scoreboard_peek(&world.board, 1).head->current, &entry));
    CHECK_BYTES(entry.target, entry.target_len, "crash", 5);
}

static void whoever_is_condemned_does_not_answer(void **state)
{
    (void)state;
    struct err err;
    struct task_seat *seat;
    post("GET /until-cancelled", STR(""));
    while (look_at_seat().state != TASK_RUNNING)
        (void)poll(NULL, 0, 1);
    CHECK_EQ(scoreboard_map_task(&world.board, world.board_fd, 1, &seat, &err), 0);
    CHECK(task_condemn(seat, got.id));
    task_cancel(record_of(got.id));
    struct pollfd readable = {.fd = world.inbox[0], .events = POLLIN};
    CHECK_EQ(poll(&readable, 1, 100), 0);
    (void)munmap(seat, SCOREBOARD_TASK_BYTES);
}

static void is_worn_by_tasks(void **state)
{
    (void)stop(state);
    pool.max_tasks = 2;
    start_worker();
    get("/hello/ann");
    get("/hello/ann");
    CHECK_HAS(await_frame(MSG_WORN).text, "2 tasks run, max_tasks");
    get("/hello/ann"); /* it goes on until it is told */
    send_frame(MSG_DRAIN, -1, 0, 0);
    CHECK_EQ(await_end(), 0);
}

static void ends_when_it_is_told(void **state)
{
    (void)state;
    (void)kill(world.pid, SIGTERM);
    CHECK_EQ(await_end(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_like_a_web_worker),
        TEST(routes_are_named_as_web_workers_name_them),
        TEST(is_held_in),
        TEST(may_fork_where_the_pool_says_so),
        TEST(bodies_come_from_where_they_lie),
        TEST(a_body_in_a_file_is_no_memory_of_the_handlers),
        TEST(handlers_know_how_long_they_may_take),
        TEST(whoever_has_no_memory_left_makes_room_for_another),
        TEST(answers_go_out_from_where_they_lie),
        TEST(fields_of_any_size_go_with_any_body),
        TEST(fields_find_room_in_a_full_slice),
        TEST(an_inbox_that_nobody_reads_takes_many_answers),
        TEST(an_answer_that_is_read_stays_and_then_goes),
        TEST(no_handler_is_broken_into),
        TEST(a_full_slice_is_no_failure),
        TEST(files_come_along),
        TEST(streams_are_as_fast_as_they_are_taken),
        TEST(a_stream_that_nobody_takes_ends_when_it_is_cancelled),
        TEST(a_stream_without_a_body_is_not_made),
        TEST(handlers_see_that_they_are_cancelled),
        TEST(handlers_see_that_they_are_forgotten),
        TEST(what_nobody_wants_is_not_run),
        TEST(what_a_dead_asker_has_left_in_the_queue_is_not_run),
        TEST(what_has_too_little_time_left_is_not_run),
        TEST(a_crash_leaves_its_task_on_record),
        TEST(exit_leaves_its_task_on_record),
        TEST(memory_is_refused_beyond_the_limit),
        TEST(whoever_has_no_descriptors_left_makes_room_for_another),
        TEST(is_worn_by_descriptors_that_are_left_open),
        TEST(a_file_that_can_not_be_sent_is_an_answer_all_the_same),
        TEST(idle_workers_have_all_the_cpu_time),
        TEST(cpu_time_is_limited),
        TEST(tasks_are_called_with_their_payload),
        TEST(a_result_without_room_goes_by_a_file),
        TEST(large_results_come_by_a_file_where_that_is_asked),
        TEST(tasks_fail_in_their_own_words),
        TEST(whoever_is_condemned_does_not_answer),
        TEST(is_worn_by_tasks),
        TEST(ends_when_it_is_told),
    };
    return cmocka_run_group_tests_name("compute", tests, open_world, close_world);
}
