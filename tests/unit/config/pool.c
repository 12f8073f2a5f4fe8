/* Compute pools: what is read, from where, what is derived, and the way round through `remuda
 * config`. What is refused in files is in tests/cases/config/invalid/pools*.yaml. */
#include "config/pool.h"

#include "config/render.h"
#include "tests/unit/config/tool.h"

#define MIB (UINT64_C(1) << 20)
#define S UINT64_C(1000000)

static const struct setting_pool *pool_of(const struct merge_result *r, const char *name)
{
    assert_non_null(r->settings);
    const struct setting_pool *pool = pool_find(r->settings, name);
    assert_non_null(pool);
    return pool;
}

static void expect_defaults(const struct setting_pool *pool)
{
    assert_int_equal(pool->workers, SETTING_POOL_AUTO);
    assert_int_equal(pool->workers_min, 4); /* of 6 CPUs */
    assert_int_equal(pool->workers_max, 6);
    assert_int_equal(pool->memory_limit_bytes, 512 * MIB);
    assert_int_equal(pool->cpu_limit_us, 0);
    assert_int_equal(pool->nofile, 1024);
    assert_int_equal(pool->timeout_us, 30 * S);
    assert_int_equal(pool->queue, 100);
    assert_int_equal(pool->max_tasks, 0);
    assert_int_equal(pool->max_rss_bytes, 0);
    assert_int_equal(pool->nice, 10);
    assert_int_equal(pool->fork, 0);
    assert_int_equal(pool->segment_bytes, 256 * MIB);
    assert_int_equal(pool->breaker_failures, 5);
    assert_int_equal(pool->breaker_reset_us, 30 * S);
    assert_int_equal(pool->on_disconnect, SETTING_ON_DISCONNECT_CANCEL);
}

static void there_is_a_default_pool_whatever_is_written(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(r.settings->compute_pools.n, 1);
    expect_defaults(pool_of(&r, "default"));
    assert_null(pool_find(r.settings, "images"));
    assert_non_null(strstr(pool_of(&r, "default")->workers_why, "4, one for each CPU but 2"));
    merge_fini(&r);
}

static void a_map_says_what_holds_for_each_pool(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml", "compute:\n"
                              "  workers: 3\n"
                              "  memory_limit: 1GiB\n"
                              "  cpu_limit: 20s\n"
                              "  nofile: 64\n"
                              "  timeout: 1500ms\n"
                              "  queue: 7\n"
                              "  max_tasks: 1000\n"
                              "  max_rss: 300MiB\n"
                              "  nice: 0\n"
                              "  fork: yes\n"
                              "  segment: 1MiB\n"
                              "  breaker: {failures: 0, reset_timeout: 1ms}\n"
                              "  on_disconnect: finish\n"
                              "pools:\n"
                              "  images: {workers: {min: 2, max: 5}, memory_limit: 0}\n"
                              "  a-1_B: {workers: {min: 6}}\n"
                              "  least: {}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(r.settings->compute_pools.n, 4);
    const struct setting_pool *pool = pool_of(&r, "default");
    assert_int_equal(pool->workers, SETTING_POOL_RANGE);
    assert_int_equal(pool->workers_min, 3);
    assert_int_equal(pool->workers_max, 3);
    assert_null(pool->workers_why);
    assert_int_equal(pool->memory_limit_bytes, 1024 * MIB);
    assert_int_equal(pool->cpu_limit_us, 20 * S);
    assert_int_equal(pool->nofile, 64);
    assert_int_equal(pool->timeout_us, 1500000);
    assert_int_equal(pool->queue, 7);
    assert_int_equal(pool->max_tasks, 1000);
    assert_int_equal(pool->max_rss_bytes, 300 * MIB);
    assert_int_equal(pool->nice, 0);
    assert_int_equal(pool->fork, 1);
    assert_int_equal(pool->segment_bytes, MIB);
    assert_int_equal(pool->breaker_failures, 0);
    assert_int_equal(pool->breaker_reset_us, 1000);
    assert_int_equal(pool->on_disconnect, SETTING_ON_DISCONNECT_FINISH);
    pool = pool_of(&r, "images");
    assert_int_equal(pool->workers_min, 2);
    assert_int_equal(pool->workers_max, 5);
    assert_int_equal(pool->memory_limit_bytes, 0);
    assert_int_equal(pool->nofile, 1024); /* not what compute says */
    pool = pool_of(&r, "a-1_B");
    assert_int_equal(pool->workers, SETTING_POOL_RANGE_TO_AUTO);
    assert_int_equal(pool->workers_min, 6);
    assert_int_equal(pool->workers_max, 6);
    expect_defaults(pool_of(&r, "least"));
    assert_int_equal(pool_memory(r.settings), UINT64_MAX); /* images has no limit */
    merge_fini(&r);
}

static void auto_leaves_two_cpus_to_begin_with_and_has_one_at_least(void **state)
{
    (void)state;
    static const uint32_t rows[][2] = {{1, 1}, {2, 1}, {3, 1}, {4, 2}, {64, 62}, {4096, 256}};
    struct settings *s = settings_new();
    assert_non_null(s);
    s->cpus_why = "by test";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct machine m = {.cpus = rows[i][0]};
        assert_int_equal(pool_resolve(&m, s), 0);
        assert_int_equal(s->compute_pools.items[0].workers_min, rows[i][1]);
        assert_int_equal(s->compute_pools.items[0].workers_max,
                         rows[i][0] < 256 ? rows[i][0] : 256);
        s->adaptive = false;
        assert_int_equal(pool_resolve(&m, s), 0);
        assert_int_equal(s->compute_pools.items[0].workers_max, rows[i][1]);
        s->adaptive = true;
    }
    settings_free(s);
}

static void without_adaptive_a_range_is_what_it_begins_with(void **state)
{
    (void)state;
    struct merge_result r;
    static const struct {
        const char *yaml;
        uint64_t most;
    } rows[] = {{"adaptive: off\npools:\n  images: {workers: {min: 2, max: 5}}\n", 2},
                {"adaptive: off\npools:\n  images: {workers: {min: 1}}\n", 1},
                {"adaptive: on\npools:\n  images: {workers: {min: 2, max: 5}}\n", 5}};
    for (size_t i = 0; i < 3; i++) {
        tool_write("remuda.yaml", rows[i].yaml);
        assert_int_equal(tool_merge_nothing(&r, NULL), 0);
        assert_int_equal(pool_of(&r, "images")->workers_max, rows[i].most);
        merge_fini(&r);
    }
}

static uint64_t sum_of_workers(const struct settings *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->compute_pools.n; i++)
        sum += s->compute_pools.items[i].workers_max;
    return sum;
}

/* Else a server would not start on a large machine, with nothing but defaults. */
static void auto_never_comes_to_more_than_all_pools_may_have(void **state)
{
    (void)state;
    static const char *const files[] = {
        "pools: {a: {}}\n",
        "pools: {a: {}, b: {}, c: {}}\n",
        "pools: {a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, g: {}, h: {}, i: {}, j: {}, k: {}}\n",
        "pools: {a: {workers: 200}, b: {}}\n",
        "pools: {a: {workers: {min: 200}}, b: {}}\n",
        "pools: {a: {workers: {min: 1, max: 250}}, b: {workers: {min: 2}}}\n"};
    static const uint32_t cpus[] = {2, 19, 67, 131, 384};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct merge_result r;
        tool_write("remuda.yaml", files[i]);
        assert_int_equal(tool_merge_nothing(&r, NULL), 0);
        for (size_t k = 0; k < sizeof cpus / sizeof cpus[0]; k++) {
            struct machine m = {.cpus = cpus[k]};
            assert_int_equal(pool_resolve(&m, r.settings), 0);
            assert_true(sum_of_workers(r.settings) <= SETTINGS_POOL_WORKERS_MAX);
            assert_true(pool_of(&r, "default")->workers_max >= 1);
        }
        assert_int_equal(pool_of(&r, "default")->workers_max, i == 0   ? 128
                                                              : i == 1 ? 64
                                                              : i == 2 ? 21
                                                              : i == 5 ? 3
                                                                       : 28);
        merge_fini(&r);
    }
}

static void more_workers_than_all_pools_may_have_are_told(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml", "compute: {workers: 257}\n"
                              "pools: {a: {workers: {min: 1, max: 300}}}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), -EINVAL);
    tool_expect_lines(&r.mistakes,
                      "remuda.yaml:1:20: compute.workers: \"257\" is out of range; allowed: auto, "
                      "1 to 256 processes, or a range such as 2..8 or 2..auto\n"
                      "remuda.yaml:2:36: pools.a.workers.max: \"300\" is out of range; allowed: "
                      "auto, or 1 to 256 processes\n");
    merge_fini(&r);
    tool_write("remuda.yaml", "compute: {workers: 200, memory_limit: 16MiB}\n"
                              "pools: {a: {workers: 57, memory_limit: 16MiB}}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    tool_expect_lines(&r.warnings,
                      "remuda.yaml:2:8: pools: all pools have up to 257 workers together; those "
                      "that the app uses may have 256\n");
    merge_fini(&r);
}

static void the_command_line_changes_and_adds_single_values(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml", "compute: {queue: 5, breaker: {failures: 9}}\n");
    assert_int_equal(tool_merge(&r, NULL, "--set", "compute.queue=6", "--set",
                                "compute.breaker.reset_timeout=1s", "--set",
                                "pools.images.workers.max=2", "--set", "compute.workers=auto"),
                     0);
    assert_int_equal(pool_of(&r, "default")->queue, 6);
    assert_int_equal(pool_of(&r, "default")->breaker_failures, 9);
    assert_int_equal(pool_of(&r, "default")->breaker_reset_us, S);
    assert_int_equal(pool_of(&r, "images")->workers_min, 1);
    assert_int_equal(pool_of(&r, "images")->workers_max, 2);
    merge_fini(&r);
    assert_int_equal(tool_merge(&r, NULL, "--set", "compute.queue=much", "--set",
                                "pools.images.fork=1", "--set", "pools.default.queue=1"),
                     -EINVAL);
    tool_expect_lines(&r.mistakes,
                      "command line: --set compute.queue: \"much\" is not a whole number; allowed: "
                      "1 to 100000 tasks\n"
                      "command line: --set pools.images.fork: \"1\" is not a truth value; allowed: "
                      "yes, no, true, false, on, off\n"
                      "command line: --set pools.default: is the pool that compute is about; write "
                      "its keys there\n");
    merge_fini(&r);
}

static void more_memory_than_there_is_gets_a_warning(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml", "compute: {workers: 4, memory_limit: 2GiB}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0); /* 8 GiB there are */
    assert_true(mistakes_is_empty(&r.warnings));
    assert_int_equal(pool_memory(r.settings), 8192 * MIB);
    merge_fini(&r);
    tool_write("remuda.yaml", "compute: {workers: 4, memory_limit: 2GiB}\n"
                              "pools: {images: {workers: {min: 1, max: 3}, memory_limit: 1GiB}}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    tool_expect_lines(&r.warnings,
                      "remuda.yaml:1:10: compute: workers x memory_limit of all pools is 11.00 "
                      "GiB, more than the memory there is, 8.00 GiB; lower one of them\n");
    merge_fini(&r);
    assert_int_equal(tool_merge(&r, NULL, "--set", "strict=yes"), -EINVAL);
    merge_fini(&r);
}

static void more_waiting_descriptors_than_nofile_get_a_warning(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml",
               "compute: {nofile: 200, queue: 100}\npools: {images: {queue: 100}}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_true(mistakes_is_empty(&r.warnings));
    merge_fini(&r);
    tool_write("remuda.yaml",
               "compute: {nofile: 200, queue: 100}\npools: {images: {queue: 101}}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    tool_expect_lines(&r.warnings,
                      "remuda.yaml:1:10: compute: nofile of pool default is 200, less than the "
                      "queues of all pools hold, 201: when they do, its answers that send a file "
                      "are refused; raise nofile, or lower queue\n");
    merge_fini(&r);
}

static void what_is_printed_loads_again(void **state)
{
    (void)state;
    static const char *const files[] = {
        "{}\n",
        "compute: {workers: 3, breaker: {failures: 0}, on_disconnect: finish, fork: on}\n"
        "pools:\n"
        "  \"1\": {workers: 2..9, cpu_limit: 90s, max_rss: 5MiB}\n"
        "  \"no\": {workers: {min: 2}, timeout: 1ms}\n"
        "  key: {}\n",
        "adaptive: off\npools: {range: {workers: 2..9}, least: {workers: {min: 2}}, auto: {}}\n"};
    for (size_t i = 0; i < 3; i++) {
        for (int is_why = 0; is_why < 2; is_why++) {
            struct merge_result r;
            struct merge_result again;
            struct buf first = {0};
            struct buf second = {0};
            tool_write("remuda.yaml", files[i]);
            assert_int_equal(tool_merge_nothing(&r, NULL), 0);
            assert_int_equal(render_settings(&first, r.settings, is_why), 0);
            assert_int_equal(buf_append(&first, "", 1), 0);
            tool_write("again.yaml", first.data);
            assert_int_equal(tool_merge(&again, NULL, "-c", "again.yaml"), 0);
            assert_int_equal(again.settings->compute_pools.n, i == 0 ? 1 : 4);
            assert_int_equal(render_settings(&second, again.settings, false), 0);
            assert_int_equal(buf_append(&second, "", 1), 0);
            if (is_why && i == 2)
                assert_non_null(strstr(first.data, "#   2, its min, since adaptive is off\n"));
            if (is_why)
                assert_non_null(strstr(first.data, "one for each CPU but 2"));
            else
                assert_string_equal(first.data, second.data);
            if (i == 2 && !is_why)
                assert_non_null(strstr(first.data, "{min: 2, max: 9}  # 2 here\n"));
            buf_fini(&first);
            buf_fini(&second);
            merge_fini(&r);
            merge_fini(&again);
        }
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_enter_folder, tool_leave_folder)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(without_adaptive_a_range_is_what_it_begins_with),
        TEST(there_is_a_default_pool_whatever_is_written),
        TEST(a_map_says_what_holds_for_each_pool),
        TEST(auto_leaves_two_cpus_to_begin_with_and_has_one_at_least),
        TEST(auto_never_comes_to_more_than_all_pools_may_have),
        TEST(more_workers_than_all_pools_may_have_are_told),
        TEST(the_command_line_changes_and_adds_single_values),
        TEST(more_memory_than_there_is_gets_a_warning),
        TEST(more_waiting_descriptors_than_nofile_get_a_warning),
        TEST(what_is_printed_loads_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
