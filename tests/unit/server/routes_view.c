/* server/routes_view.c: two answers of the server become a table. */
#include "server/routes_view.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness/check.h"

static struct routes_view views[2];
static struct buf out;

static void read_answer(int i, const char *answer)
{
    routes_view_fini(&views[i]);
    CHECK_EQ(routes_view_read(&views[i], str_of(answer)), 0);
}

static const char *render(uint64_t interval_us, bool is_whole, unsigned width)
{
    out.len = 0;
    CHECK_EQ(routes_view_render(&views[1], &views[0], interval_us, is_whole, width, &out), 0);
    CHECK_EQ(buf_append(&out, "", 1), 0);
    return out.data;
}

static int teardown(void **state)
{
    (void)state;
    routes_view_fini(&views[0]);
    routes_view_fini(&views[1]);
    buf_fini(&out);
    return 0;
}

/* Answers of a route whose calls take 4 ms, of which they compute 0.1. */
static const char *answer_of(unsigned n, unsigned wall_us)
{
    static char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"has_loop\":true,\"routes\":[{\"route\":\"GET /slow\","
                   "\"latency_counts\":[0,0,0,0,0,0,0,0,0,0,0,0,%u],\"lanes\":{\"inline\":{"
                   "\"answers\":%u,\"errors\":%u,\"calls\":%u,\"wait_us\":0,\"wall_us\":%u,"
                   "\"measured\":%u,\"measured_wall_us\":%u,\"cpu_us\":%u,\"delay_us\":0}}}]}",
                   n, n, n / 100, n, n * wall_us, n, n * wall_us, n * 100);
    return text;
}

static void rates_are_those_between_the_two(void **state)
{
    (void)state;
    read_answer(0, answer_of(1000, 4000));
    read_answer(1, answer_of(3000, 4000));
    const char *text = render(2000000, false, 0);
    CHECK_TEXT(
        text,
        "ROUTE                        LANE     CALLS  REQ/S    P50    P99      W      C   W/C "
        "ERRORS  ADVICE\n"
        "GET /slow                    inline    3000   1000  3.0ms  4.0ms  3.9ms  100us    39 "
        "    30  waits 98 % of its time on the event loop: move it to io\n");
}

static void what_did_nothing_is_told_as_it_was(void **state)
{
    (void)state;
    read_answer(0, answer_of(3000, 4000));
    read_answer(1, answer_of(3000, 4000));
    const char *text = render(1000000, false, 0);
    CHECK_HAS(text, "3000      0  3.0ms");
    CHECK_HAS(text, "3.9ms  100us    39");
}

/* A route that computed in io, and so many calls of it in compute since. */
static const char *answer_of_moved(unsigned n)
{
    static char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"has_loop\":true,\"routes\":[{\"route\":\"GET /auto\",\"lanes\":{\"io\":{"
                   "\"calls\":100,\"measured\":100,\"measured_wall_us\":2000000,"
                   "\"cpu_us\":2000000},\"compute\":{\"calls\":%u,\"measured\":%u,"
                   "\"measured_wall_us\":%u,\"cpu_us\":%u}}}]}",
                   n, n, n * 20000, n * 20000);
    return text;
}

static void the_lane_that_a_route_has_left_needs_no_advice(void **state)
{
    (void)state;
    read_answer(0, answer_of_moved(20));
    read_answer(1, answer_of_moved(20));
    CHECK_HAS(render(1000000, false, 0), "in io: move it to compute"); /* it may be there yet */
    read_answer(1, answer_of_moved(40));
    CHECK(!strstr(render(1000000, false, 0), "move it"));
    CHECK(!strstr(render(1000000, true, 0), "move it"));
}

static void a_narrow_window_cuts_the_advice(void **state)
{
    (void)state;
    read_answer(0, answer_of(1000, 4000));
    read_answer(1, answer_of(3000, 4000));
    const char *text = render(1000000, true, 120);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        CHECK(strcspn(line, "\n") <= 120);
    CHECK_HAS(text, "waits 98 %");
    CHECK_HAS_NOT(text, "move it to io");
    CHECK_HAS(text, "~\n");
}

static void nonsense_is_no_table(void **state)
{
    (void)state;
    read_answer(0, "{}");
    read_answer(1, "{\"routes\":[{\"route\":7,\"lanes\":{\"io\":{\"calls\":\"many\"}}},3,null]}");
    CHECK_HAS(render(0, false, 0), "io");
    CHECK_EQ(views[1].n_rows, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(rates_are_those_between_the_two, teardown),
        cmocka_unit_test_teardown(what_did_nothing_is_told_as_it_was, teardown),
        cmocka_unit_test_teardown(the_lane_that_a_route_has_left_needs_no_advice, teardown),
        cmocka_unit_test_teardown(a_narrow_window_cuts_the_advice, teardown),
        cmocka_unit_test_teardown(nonsense_is_no_table, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
