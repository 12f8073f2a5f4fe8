/* Tests of server/pools.c: what a pool in use consists of, and who gets what of it. */
#include "server/pools.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "config/mistakes.h"
#include "ipc/msg.h"
#include "server/generation.h"

#define NOW 1000
#define SEATS 8
#define ALL 7U

struct scene {
    struct settings settings;
    struct setting_pool items[3];
    struct pools pools;
    int channel[2];
};

static int set_up(void **state)
{
    static struct scene scene;
    static const char *const names[] = {"default", "images", "letters"};
    scene = (struct scene){0};
    for (int i = 0; i < 3; i++)
        scene.items[i] = (struct setting_pool){.name = names[i],
                                               .workers_min = (uint64_t)i + 1,
                                               .workers_max = 4,
                                               .queue = 10 * ((uint64_t)i + 1),
                                               .segment_bytes = UINT64_C(1) << (20 + i)};
    scene.settings.adaptive = true;
    scene.settings.compute_pools = (struct setting_pools){scene.items, 3};
    *state = &scene;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, scene.channel) < 0)
        return -1;
    return pools_init(&scene.pools, &scene.settings, NOW);
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    pools_fini(&scene->pools);
    fd_close(&scene->channel[0]);
    fd_close(&scene->channel[1]);
    return 0;
}

/* The next frame in the channel, its descriptor closed. Returns its type; 0: there is none */
static int hear(struct scene *scene, struct msg *out)
{
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    int rc = msg_receive(scene->channel[1], 0, out, fds, &n_fds);
    while (n_fds > 0)
        fd_close(&fds[--n_fds]);
    return rc == 1 ? out->type : 0;
}

static void nothing_is_there_before_it_is_used(void **state)
{
    struct scene *scene = *state;
    struct err err;
    struct msg msg;
    assert_int_equal(pools_open(&scene->pools, 0, SEATS, &err), 0);
    assert_false(pools_are_used(&scene->pools));
    assert_int_equal(pools_count_wanted(&scene->pools), 0);
    assert_true(pools_next_us(&scene->pools) == SEAT_NEVER);
    assert_int_equal(pools_send(&scene->pools, scene->channel[0], ROLE_WEB, -1), 0);
    assert_int_equal(hear(scene, &msg), 0);
}

static void a_segment_has_a_slice_for_every_seat_of_the_largest_that_a_pool_wants(void **state)
{
    struct scene *scene = *state;
    struct err err;
    struct stat info;
    assert_int_equal(pools_open(&scene->pools, 1, SEATS, &err), 0);
    assert_int_equal(fstat(scene->pools.segment_fd, &info), 0);
    assert_true(info.st_size == SEATS * (off_t)(UINT64_C(1) << 22));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true /* that maps terabytes */
#else
#define IS_SANITIZED false
#endif

static uint64_t addresses_in_use(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu", &pages), 1);
    (void)fclose(file);
    return pages * 4096;
}

static void slices_are_as_large_as_addresses_allow(void **state)
{
    struct scene *scene = *state;
    struct err err;
    struct rlimit before;
    if (IS_SANITIZED)
        skip(); /* its own maps don't fit into so few addresses */
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    scene->pools.wanted_bytes = UINT64_C(1) << 30;
    struct rlimit limit = {addresses_in_use() + (UINT64_C(800) << 20), before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    assert_int_equal(pools_open(&scene->pools, 1, SEATS, &err), 0);
    assert_true(scene->pools.slice_bytes == UINT64_C(64) << 20); /* 8 of them, and a quarter */
    limit.rlim_cur = addresses_in_use() + (UINT64_C(8) << 20);
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    fd_close(&scene->pools.segment_fd);
    int rc = pools_open(&scene->pools, 1, SEATS, &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(rc, -ENOMEM);
    assert_non_null(strstr(err.text, "no address space for 8 slices"));
}

static void everybody_gets_what_it_needs_and_no_more(void **state)
{
    struct scene *scene = *state;
    struct err err;
    struct msg msg;
    assert_int_equal(pools_open(&scene->pools, 5, SEATS, &err), 0);
    assert_true(pools_is_used(&scene->pools, 0) && pools_is_used(&scene->pools, 2));
    assert_false(pools_is_used(&scene->pools, 1) || pools_is_used(&scene->pools, 3));
    assert_int_equal(pools_count_wanted(&scene->pools), 1 + 3);
    assert_int_equal(pools_next_us(&scene->pools), NOW);
    assert_int_equal(pools_send(&scene->pools, scene->channel[0], ROLE_WEB, -1), 0);
    assert_int_equal(hear(scene, &msg), MSG_SEGMENT);
    assert_int_equal(msg.about, SEATS);
    assert_int_equal(msg.value, 1 << 22);
    assert_int_equal(hear(scene, &msg), MSG_POOL);
    assert_int_equal(msg.slot, 0);
    assert_int_equal(msg.value & UINT32_MAX, 10);
    assert_int_equal(hear(scene, &msg), MSG_POOL);
    assert_int_equal(msg.slot, 2);
    assert_int_equal(hear(scene, &msg), 0);
    assert_int_equal(pools_send(&scene->pools, scene->channel[0], ROLE_COMPUTE, 2), 0);
    assert_int_equal(hear(scene, &msg), MSG_SEGMENT);
    assert_int_equal(hear(scene, &msg), MSG_POOL);
    assert_int_equal(msg.slot, 2);
    assert_int_equal(hear(scene, &msg), 0);
    scene->pools.items[0].n_workers = 7; /* it has grown */
    assert_int_equal(pools_send_again(&scene->pools, scene->channel[0], false), 0);
    assert_int_equal(hear(scene, &msg), MSG_POOL);
    assert_int_equal(msg.about, 7);
    assert_int_equal(hear(scene, &msg), MSG_POOL);
    assert_int_equal(hear(scene, &msg), 0);
}

/* A loader that was restarted says the same once more. */
static void what_is_open_stays(void **state)
{
    struct scene *scene = *state;
    struct err err;
    assert_int_equal(pools_open(&scene->pools, 1, SEATS, &err), 0);
    int fds[] = {scene->pools.segment_fd, scene->pools.items[0].read_fd};
    assert_int_equal(pools_open(&scene->pools, 1 | 1U << 31, SEATS, &err), 0);
    assert_int_equal(pools_open(&scene->pools, 2, SEATS, &err), 0);
    assert_int_equal(scene->pools.segment_fd, fds[0]);
    assert_int_equal(scene->pools.items[0].read_fd, fds[1]);
    assert_true(pools_is_used(&scene->pools, 1));
}

static void what_can_not_be_had_leaves_nothing_behind(void **state)
{
    struct scene *scene = *state;
    struct err err;
    scene->pools.items[2].n_max = POOLS_WORKERS_MAX;
    assert_int_equal(pools_open(&scene->pools, ALL, SEATS, &err), -EINVAL);
    assert_non_null(strstr(err.text, "264 workers together; allowed: 256"));
    assert_false(pools_are_used(&scene->pools));
    scene->pools.items[2].n_max = 4;
    assert_int_equal(pools_open(&scene->pools, ALL, SEATS, &err), 0);
}

static void a_queue_that_can_not_be_had_leaves_nothing_behind(void **state)
{
    struct scene *scene = *state;
    struct err err;
    struct rlimit before;
    if (getenv("REMUDA_UNDER_VALGRIND"))
        skip(); /* it keeps limits of its own */
    int next_fd = dup(scene->channel[0]);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit limit = {(rlim_t)next_fd + 7, before.rlim_max}; /* what two queues take, and 1 */
    fd_close(&next_fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int rc = pools_open(&scene->pools, ALL, SEATS, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rc, -EMFILE);
    assert_non_null(strstr(err.text, "compute pool letters"));
    assert_false(pools_are_used(&scene->pools));
    assert_int_equal(scene->pools.segment_fd, -1); /* nor of what comes before the last queue */
    for (int i = 0; i < 3; i++)
        assert_false(pools_is_used(&scene->pools, i));
    assert_int_equal(pools_open(&scene->pools, ALL, SEATS, &err), 0);
}

/* Each task that waits carries descriptors, and the kernel counts them for all of a user: with the
 * limit reached the master could make nobody who takes one. */
static void queues_leave_descriptors_for_the_master(void **state)
{
    struct scene *scene = *state;
    struct err err;
    struct rlimit before;
    scene->items[2].queue = 300;
    assert_int_equal(pools_count_in_flight(&scene->settings), 256 + 2 * (10 + 20 + 300));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit limit = {400, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int rc = pools_open(&scene->pools, 4, SEATS, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(scene->pools.items[2].queue.limit, 100);
}

static void queues_that_can_not_be_had_are_told_beforehand(void **state)
{
    struct scene *scene = *state;
    struct mistakes warnings = {0};
    scene->items[1].queue = UINT32_MAX;
    pools_check_queues(&scene->settings, &warnings);
    assert_int_equal(warnings.n, 1);
    assert_non_null(strstr(warnings.items[0].text, "pools: compute pool images: the kernel lets"));
    mistakes_fini(&warnings);
}

static void a_queue_that_is_shut_from_either_end_is_replaced_with_what_waits_in_it(void **state)
{
    struct scene *scene = *state;
    struct err err;
    assert_int_equal(pools_open(&scene->pools, 1, SEATS, &err), 0);
    struct pool *pool = &scene->pools.items[0];
    const struct task task = task_make(TASK_CALL, 1);
    struct task spooled = task_make(TASK_CALL, 2);
    struct task taken;
    struct task_seat place;
    struct pools_mended mended;
    int fds[2];
    spooled.body = TASK_BODY_SPOOL;
    spooled.body_len = 1;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pools_mend(&scene->pools, 0, &mended, &err), 0);
        assert_int_equal(task_send(&pool->queue, &task, scene->channel[0], -1), 0);
        assert_int_equal(task_send(&pool->queue, &spooled, scene->channel[0], scene->channel[1]),
                         0);
        assert_int_equal(pools_mend(&scene->pools, 0, &mended, &err),
                         0); /* full or not is the same */
        assert_int_equal(shutdown(i == 0 ? pool->read_fd : pool->queue.fd, SHUT_RDWR), 0);
        assert_int_equal(pools_mend(&scene->pools, 0, &mended, &err), 1);
        assert_int_equal(mended.moved, 2);
        assert_int_equal(mended.lost, 0);
        assert_int_equal(task_count_queued(&pool->queue), 2);
        assert_false(pools_has_work(&scene->pools)); /* there is no worker */
        for (uint64_t id = 1; id <= 2; id++) {
            assert_int_equal(task_receive(pool->read_fd, &place, &taken, fds), 1);
            assert_true(taken.id == id);
            assert_true(fds[0] >= 0);
            assert_int_equal(fds[1] >= 0, id == 2);
            fd_close(&fds[0]);
            fd_close(&fds[1]);
        }
    }
    assert_int_equal(pools_mend(&scene->pools, 1, &mended, &err), 0); /* not in use */
    assert_int_equal(pools_mend(&scene->pools, -1, &mended, &err), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_there_before_it_is_used),
        TEST(a_segment_has_a_slice_for_every_seat_of_the_largest_that_a_pool_wants),
        TEST(slices_are_as_large_as_addresses_allow),
        TEST(everybody_gets_what_it_needs_and_no_more),
        TEST(what_is_open_stays),
        TEST(what_can_not_be_had_leaves_nothing_behind),
        TEST(a_queue_that_can_not_be_had_leaves_nothing_behind),
        TEST(queues_leave_descriptors_for_the_master),
        TEST(queues_that_can_not_be_had_are_told_beforehand),
        TEST(a_queue_that_is_shut_from_either_end_is_replaced_with_what_waits_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
