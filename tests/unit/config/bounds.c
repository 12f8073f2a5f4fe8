/* Ranges of workers and threads: as text, as a map, what becomes of auto, and the way round through
 * `remuda config`. */
#include "config/bounds.h"

#include "config/render.h"
#include "tests/unit/config/tool.h"

static void expect(const struct setting_range *range, uint32_t n, uint32_t min, uint32_t max)
{
    assert_int_equal(range->n, n);
    assert_int_equal(range->min, min);
    assert_int_equal(range->max, max);
}

static void numbers_are_put_where_auto_stands(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t n, min, max; /* of 6 CPUs */
    } workers[] = {{"auto", 6, 6, 6},
                   {"3", 3, 3, 3},
                   {"2..8", 6, 2, 8},
                   {"7..9", 7, 7, 9},
                   {"1..4", 4, 1, 4},
                   {"2..auto", 6, 2, 6},
                   {"9..auto", 9, 9, 9},
                   {"5..5", 5, 5, 5},
                   {"{min: 2, max: 8}", 6, 2, 8},
                   {"{max: 2}", 2, 1, 2},
                   {"{min: 4}", 6, 4, 6},
                   {"{}", 6, 1, 6},
                   {"{min: 3, max: auto}", 6, 3, 6}};
    for (size_t i = 0; i < sizeof workers / sizeof workers[0]; i++) {
        struct merge_result r;
        char file[64];
        (void)snprintf(file, sizeof file, "workers: %s\n", workers[i].text);
        tool_write("remuda.yaml", file);
        assert_int_equal(tool_merge_nothing(&r, NULL), 0);
        expect(&r.settings->workers, workers[i].n, workers[i].min, workers[i].max);
        merge_fini(&r);
    }
}

static void threads_begin_somewhere_in_their_range(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    expect(&r.settings->threads, 16, 4, 256);
    merge_fini(&r);
    tool_write("remuda.yaml", "threads: {min: 32, max: 200}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    expect(&r.settings->threads, 32, 32, 200);
    merge_fini(&r);
    tool_write("remuda.yaml", "threads: {max: 2}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    expect(&r.settings->threads, 2, 1, 2);
    merge_fini(&r);
}

static void flags_and_variables_take_ranges(void **state)
{
    (void)state;
    struct merge_result r;
    char *environment[] = {(char[]){"REMUDA_THREADS=8..200"}, NULL};
    assert_int_equal(
        tool_merge(&r, environment, "--workers", "2..8", "--set", "compute.workers=1..3"), 0);
    expect(&r.settings->workers, 6, 2, 8);
    expect(&r.settings->threads, 16, 8, 200);
    assert_int_equal(r.settings->compute_pools.items[0].workers_min, 1);
    assert_int_equal(r.settings->compute_pools.items[0].workers_max, 3);
    merge_fini(&r);
}

static void all_mistakes_in_a_map_are_told_at_their_place(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml", "workers: {min: 0, max: 600}\n"
                              "threads: {min: 8, max: 2}\n"
                              "compute: {workers: {mni: 1}}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), -EINVAL);
    tool_expect_lines(
        &r.mistakes,
        "remuda.yaml:1:16: workers.min: \"0\" is out of range; allowed: 1 to 512 processes\n"
        "remuda.yaml:1:24: workers.max: \"600\" is out of range; allowed: auto, or 1 to 512 "
        "processes\n"
        "remuda.yaml:2:10: threads: min is 8 and max 2; allowed: min at most max\n"
        "remuda.yaml:3:21: compute.workers.mni: no such key; did you mean min? allowed: min, "
        "max\n");
    merge_fini(&r);
}

static void what_is_printed_loads_again(void **state)
{
    (void)state;
    struct merge_result r;
    struct merge_result again;
    struct buf text = {0};
    tool_write("remuda.yaml", "workers: {min: 2, max: 4}\nthreads: {min: 7}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(render_settings(&text, r.settings, false), 0);
    assert_int_equal(buf_append(&text, "", 1), 0);
    assert_non_null(strstr(text.data, "workers: 2..4  # 2 to 4 here\n"));
    assert_non_null(strstr(text.data, "threads: 7..auto  # 7 to 256 here\n"));
    tool_write("again.yaml", text.data);
    assert_int_equal(tool_merge(&again, NULL, "-c", "again.yaml"), 0);
    expect(&again.settings->workers, 4, 2, 4);
    expect(&again.settings->threads, 16, 7, 256);
    text.len = 0;
    assert_int_equal(render_settings(&text, again.settings, true), 0);
    assert_int_equal(buf_append(&text, "", 1), 0);
    assert_non_null(strstr(text.data, "4 to begin with, then as measured, from 2 to 4."));
    buf_fini(&text);
    merge_fini(&again);
    merge_fini(&r);
}

static void without_adaptive_each_stays_at_its_beginning(void **state)
{
    (void)state;
    struct merge_result r;
    struct buf text = {0};
    tool_write("remuda.yaml", "adaptive: off\nworkers: 2..4\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_false(r.settings->adaptive);
    assert_int_equal(render_settings(&text, r.settings, false), 0);
    assert_int_equal(buf_append(&text, "", 1), 0);
    assert_non_null(strstr(text.data, "workers: 2..4  # 4 here\n"));
    assert_non_null(strstr(text.data, "threads: auto  # 16 here\n"));
    buf_fini(&text);
    merge_fini(&r);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, tool_enter_folder, tool_leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_are_put_where_auto_stands),
        TEST(threads_begin_somewhere_in_their_range),
        TEST(flags_and_variables_take_ranges),
        TEST(all_mistakes_in_a_map_are_told_at_their_place),
        TEST(what_is_printed_loads_again),
        TEST(without_adaptive_each_stays_at_its_beginning),
    };
    return cmocka_run_group_tests_name("config/bounds", tests, NULL, NULL);
}
