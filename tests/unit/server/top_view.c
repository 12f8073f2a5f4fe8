/* server/top_view.c and view.c: what is shown in windows of any size, of any answer. */
#include "server/top_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/plain.h"

#define WORKER(slot, state, requests, request)                                                     \
    "{\"slot\":" slot ",\"pid\":47" slot ",\"generation\":1,\"epoch\":1,\"state\":\"" state        \
    "\",\"uptime_ms\":60000,\"silent_ms\":3,\"rss_bytes\":5242880,\"cpu_ms\":" requests            \
    ",\"connections\":7,\"requests\":" requests                                                    \
    ",\"inflight\":0,\"lag_us\":1500,\"io_threads\":0,\"io_queued\":0,\"latency_counts\":[0,0,0,"  \
    "0,0,0,0,0," requests "],\"request\":" request "}"
#define REQUEST                                                                                    \
    "{\"route\":\"GET /a/very/long/route/:with/:many/:parameters\",\"method\":\"GET\","            \
    "\"target\":\"/x\",\"elapsed_ms\":3200}"
#define STATUS(uptime, requests, workers)                                                          \
    "{\"ok\":true,\"version\":\"1.2.3\",\"pid\":47,\"state\":\"running\",\"uptime_ms\":" uptime    \
    ",\"generation\":1,\"app\":\"/app.so\",\"config\":null,\"binds\":[\"http://127.0.0.1:80\"],"   \
    "\"workers_wanted\":2,\"workers_ready\":2,\"connections\":14,\"requests\":" requests           \
    ",\"responses\":{\"5xx\":2},\"workers\":[" workers "]}"

static struct view read_view(const char *answer)
{
    struct view view;
    assert_int_equal(view_read(&view, str_of(answer)), 0);
    return view;
}

/* Renders and checks what holds for every page. */
static const char *render(const struct top_view *model, unsigned width, unsigned height,
                          struct top_view_page *page)
{
    assert_int_equal(top_view_render(model, width, height, page), 0);
    if (height > 0)
        assert_int_equal(page->n, height);
    assert_int_equal(buf_append(&page->text, "", 1), 0);
    size_t n = 0;
    for (char *line = page->text.data; *line; n++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = '\0';
        if (plain_columns(line) > (width < TOP_VIEW_COLUMNS_MIN ? TOP_VIEW_COLUMNS_MIN : width))
            fail_msg("%u x %u: %zu columns: %s", width, height, plain_columns(line), line);
        *end = '\n';
        line = end + 1;
    }
    assert_int_equal(n, page->n);
    return page->text.data;
}

#define TWO                                                                                        \
    STATUS("2000", "3000",                                                                         \
           WORKER("0", "idle", "1000", "null") "," WORKER("1", "busy", "2000", REQUEST))

static void rates_are_of_the_interval(void **state)
{
    (void)state;
    struct view before = read_view(STATUS("1000", "1000", WORKER("0", "idle", "500", "null")));
    struct view now = read_view(TWO);
    view_compare(&now, &before);
    assert_int_equal(now.interval_ms, 1000);
    assert_int_equal(now.rps, 2000);
    assert_int_equal(now.workers[0].rps, 500);
    assert_int_equal(now.workers[0].cpu_percent, 50);
    assert_int_equal(now.workers[0].recent[8], 500);
    assert_int_equal(now.workers[1].rps, 2000); /* was not there before */
    view_fini(&before);
    view_fini(&now);
}

#define POOLS                                                                                      \
    "\"pools\":[{\"name\":\"default\",\"workers_wanted\":2,\"workers_ready\":1,\"queued\":3,"      \
    "\"queue\":100}],\"compute_workers\":[{\"pool\":\"default\",\"slot\":1,\"pid\":471,"           \
    "\"generation\":1,\"epoch\":1,\"state\":\"busy\",\"tasks\":77,\"task\":\"1f\","                \
    "\"request\":{\"route\":\"GET /burn\",\"elapsed_ms\":20}}]"

/* Behind the web workers, and their tasks are no requests of the server's. */
static void compute_workers_are_shown_with_their_tasks(void **state)
{
    (void)state;
    struct top_view_page page = {0};
    char answer[8192];
    (void)snprintf(answer, sizeof answer, "%.*s," POOLS "}", (int)strlen(TWO) - 1, TWO);
    struct view view = read_view(answer);
    struct top_view model = {.view = &view, .name = "", .clock = "", .message = ""};
    assert_int_equal(view.n_web, 2);
    assert_int_equal(view.n_workers, 3);
    assert_string_equal(view.workers[2].pool, "default");
    assert_int_equal(view.workers[2].requests, 77);
    const char *text = render(&model, 120, 24, &page);
    assert_non_null(strstr(text, "2/2 workers"));
    assert_non_null(strstr(text, "pool default 1/2, 3 queued"));
    assert_non_null(strstr(text, "  c1     471"));
    assert_non_null(strstr(text, "GET /burn"));
    top_view_fini(&page);
    view_fini(&view);
}

#define POOL(name, wanted, ready, queued)                                                          \
    "{\"name\":\"" name "\",\"workers_wanted\":" wanted ",\"workers_ready\":" ready                \
    ",\"queued\":" queued ",\"queue\":100}"
#define MATE(pool, slot)                                                                           \
    "{\"pool\":\"" pool "\",\"slot\":" slot ",\"pid\":47" slot ",\"generation\":1,\"epoch\":1,"    \
    "\"state\":\"idle\",\"tasks\":7,\"task\":null,\"request\":null}"

/* Who is of which is to be seen, and the one where tasks wait is never dropped for another. */
static void several_pools_are_told_apart(void **state)
{
    (void)state;
    static const char pools[] =
        "\"pools\":[" POOL("default", "2", "2", "0") "," POOL("images", "2", "2", "0") "," POOL(
            "models-of-speech", "2", "2",
            "10") "],\"compute_workers\":[" MATE("default", "0") "," MATE("models-of-speech",
                                                                          "0") "]";
    struct top_view_page page = {0};
    char answer[8192];
    (void)snprintf(answer, sizeof answer, "%.*s,%s}", (int)strlen(TWO) - 1, TWO, pools);
    struct view view = read_view(answer);
    struct top_view model = {.view = &view, .name = "", .clock = "", .message = ""};
    const char *text = render(&model, 80, 24, &page);
    assert_non_null(
        strstr(text, "\npools models-of-speech 2/2, 10 queued  default 2/2, 0 queued\nSLOT POOL"));
    assert_non_null(strstr(text, "\n  c0 default  "));
    assert_non_null(strstr(text, "\n  c0 models-o "));
    assert_non_null(strstr(render(&model, 140, 40, &page), "\n  c0 models-o "));
    for (unsigned height = 1; height < 12; height++)
        (void)render(&model, 60, height, &page);
    top_view_fini(&page);
    view_fini(&view);
}

/* A line of their own, only where there is anything to tell. */
static void breakers_are_shown(void **state)
{
    (void)state;
    static const char breakers[] =
        "\"breakers\":[{\"route\":\"GET /sick\",\"state\":\"closed\",\"failures\":2,\"open_ms\":0},"
        "{\"route\":\"GET /crash\",\"state\":\"open\",\"failures\":5,\"open_ms\":12000},"
        "{\"route\":\"GET /again\",\"state\":\"probing\",\"failures\":5,\"open_ms\":0}]";
    struct top_view_page page = {0};
    char answer[8192];
    (void)snprintf(answer, sizeof answer, "%.*s,%s}", (int)strlen(TWO) - 1, TWO, breakers);
    struct view view = read_view(answer);
    struct top_view model = {.view = &view, .name = "", .clock = "", .message = ""};
    const char *text = render(&model, 120, 24, &page);
    assert_non_null(strstr(
        text, "\nbreakers  GET /crash open 12s  GET /again probing  GET /sick 2 failed\nSLOT"));
    assert_int_equal(page.styles[3], TOP_VIEW_WARN);
    assert_non_null(strstr(render(&model, 40, 24, &page), "\nbreakers  GET /crash open 12s\n"));
    for (unsigned height = 1; height < 12; height++)
        (void)render(&model, 60, height, &page);
    top_view_fini(&page);
    view_fini(&view);
}

/* Another master, one whose counters fell, the same moment twice: no rates, no nonsense. */
static void what_cannot_be_compared_has_no_rates(void **state)
{
    (void)state;
    struct view now = read_view(TWO);
    struct view same = read_view(TWO);
    view_compare(&now, &same);
    assert_int_equal(now.interval_ms, 0);
    assert_int_equal(now.rps, 0);
    struct view more = read_view(STATUS("1000", "9000", WORKER("0", "idle", "9000", "null")));
    view_compare(&now, &more);
    assert_int_equal(now.rps, 0);
    assert_int_equal(now.workers[0].rps, 0);
    assert_int_equal(now.workers[0].recent[8], 0);
    view_fini(&more);
    view_fini(&same);
    view_fini(&now);
}

static void a_usual_window_has_it_all(void **state)
{
    (void)state;
    struct top_view_page page = {0};
    struct view view = read_view(TWO);
    struct top_view model = {
        .view = &view, .name = "shop.yaml", .clock = "08:15:00", .message = ""};
    const char *text = render(&model, 80, 24, &page);
    assert_non_null(strstr(text, "remuda 1.2.3  running  gen 1  up 2s  pid 47  shop.yaml"));
    assert_non_null(strstr(text, "08:15:00\n"));
    assert_non_null(strstr(text, "3,000 requests"));
    assert_non_null(strstr(text, "2/2 workers"));
    assert_non_null(strstr(text, "SLOT     PID STATE     CONN  REQ/S    P99    LAG  CPU   MEM"));
    assert_non_null(strstr(text, "   0     470 idle         7      0"));
    assert_non_null(strstr(text, "3.2s\n"));
    assert_non_null(strstr(text, "q quit"));
    assert_int_equal(page.styles[0], TOP_VIEW_TITLE);
    assert_int_equal(page.styles[3], TOP_VIEW_HEAD);
    assert_int_equal(page.styles[4], TOP_VIEW_QUIET);
    assert_int_equal(page.styles[5], TOP_VIEW_PLAIN);
    view_fini(&view);
    top_view_fini(&page);
}

static void who_hangs_is_counted_and_what_has_no_loop_has_no_lag(void **state)
{
    (void)state;
    struct top_view_page page = {0};
    struct view view = read_view(
        "{\"workers_wanted\":2,\"workers_ready\":0,\"workers_hung\":2,\"workers\":["
        "{\"slot\":0,\"state\":\"hung\",\"silent_ms\":7000,\"lag_us\":12,\"drift_us\":500},"
        "{\"slot\":1,\"state\":\"hung\",\"silent_ms\":7000,\"lag_us\":null,\"drift_us\":null}]}");
    struct top_view model = {.view = &view, .name = "", .clock = "", .message = ""};
    const char *text = render(&model, 80, 24, &page);
    assert_non_null(strstr(text, "0/2 workers  2 hung  "));
    assert_non_null(strstr(text, " hung         0      0    0us   7.0s   0%"));
    assert_non_null(strstr(text, " hung         0      0    0us      -   0%"));
    view_fini(&view);
    top_view_fini(&page);
}

static void a_long_route_is_cut_and_its_time_is_not(void **state)
{
    (void)state;
    struct top_view_page page = {0};
    struct view view = read_view(TWO);
    struct top_view model = {.view = &view, .name = "", .clock = "", .message = ""};
    assert_non_null(strstr(render(&model, 80, 24, &page), "~ 3.2s\n"));
    model.is_utf8 = true;
    assert_non_null(strstr(render(&model, 80, 24, &page), "\u2026 3.2s\n"));
    assert_non_null(strstr(render(&model, 200, 24, &page),
                           "GET /a/very/long/route/:with/:many/:parameters 3.2s\n"));
    view_fini(&view);
    top_view_fini(&page);
}

/* Every size up to a large one: exactly so many lines, none too wide, and no sanitizer speaks. */
static void windows_of_every_size_hold_what_they_can(void **state)
{
    (void)state;
    struct top_view_page page = {0};
    struct view view = read_view(TWO);
    struct top_view models[] = {
        {.view = &view, .name = "shop.yaml", .clock = "08:15:00", .message = ""},
        {.view = &view,
         .name = "shop.yaml",
         .clock = "08:15:00",
         .message = "a message",
         .first = 1},
        {.view = NULL,
         .name = "shop.yaml",
         .clock = "08:15:00",
         .message = "nobody",
         .is_utf8 = true},
        {.view = &view, .name = "shop.yaml", .clock = "08:15:00", .message = "", .is_help = true},
        {.view = &view, .name = "shop.yaml", .clock = "08:15:00", .message = "", .is_asking = true},
    };
    for (unsigned width = 1; width <= 220; width++)
        for (unsigned height = 1; height <= 30; height += 1 + height / 12)
            for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
                (void)render(&models[i], width, height, &page);
    (void)render(&models[0], 100000, 100000 > TOP_VIEW_ROWS_MAX ? TOP_VIEW_ROWS_MAX : 1, &page);
    view_fini(&view);
    top_view_fini(&page);
}

static void many_workers_are_scrolled_through(void **state)
{
    (void)state;
    static char answer[600 * 600];
    size_t len = (size_t)snprintf(answer, sizeof answer, "{\"workers\":[");
    for (int i = 0; i < 512; i++)
        len += (size_t)snprintf(answer + len, sizeof answer - len,
                                "%s{\"slot\":%d,\"state\":\"idle\"}", i > 0 ? "," : "", i);
    (void)snprintf(answer + len, sizeof answer - len, "]}");
    struct top_view_page page = {0};
    struct view view = read_view(answer);
    struct top_view model = {.view = &view, .name = "", .clock = "", .message = ""};
    assert_int_equal(view.n_workers, 512);
    const char *text = render(&model, 80, 24, &page);
    assert_non_null(strstr(text, "\n   0 "));
    assert_non_null(strstr(text, "1-19 of 512 j k"));
    model.first = 493;
    text = render(&model, 80, 24, &page);
    assert_null(strstr(text, "\n   0 "));
    assert_non_null(strstr(text, "\n 511 "));
    assert_non_null(strstr(text, "494-512 of 512"));
    (void)render(&model, 80, 0, &page);
    view_fini(&view);
    top_view_fini(&page);
}

static void generations_are_shown_when_there_are_two(void **state)
{
    (void)state;
    struct top_view_page page = {0};
    struct view view =
        read_view("{\"workers\":[{\"slot\":0,\"generation\":1,\"state\":\"draining\"},"
                  "{\"slot\":0,\"generation\":2,\"state\":\"booting\"}]}");
    struct top_view model = {.view = &view, .name = "", .clock = "", .message = ""};
    assert_non_null(strstr(render(&model, 40, 12, &page), " GEN "));
    assert_int_equal(page.styles[4], TOP_VIEW_WARN);
    view_fini(&view);
    top_view_fini(&page);
}

/* A server of another version, or something that is none. */
static void answers_without_the_usual_members_are_read(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "{}",
        "{\"workers\":[]}",
        "{\"workers\":{}}",
        "{\"workers\":[1,null,[],{}]}",
        "{\"pid\":\"x\",\"uptime_ms\":-1,\"responses\":[],\"binds\":{},\"last_reload\":7}",
        "{\"workers\":[{\"state\":\"more than sixteen characters\",\"request\":{}}]}",
        "{\"workers\":[{\"latency_counts\":[1.5,-1,\"x\",18446744073709551615]}]}"};
    struct top_view_page page = {0};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct view view = read_view(answers[i]);
        struct top_view model = {.view = &view, .name = "", .clock = "", .message = ""};
        (void)render(&model, 80, 24, &page);
        view_fini(&view);
    }
    top_view_fini(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_of_the_interval),
        cmocka_unit_test(breakers_are_shown),
        cmocka_unit_test(compute_workers_are_shown_with_their_tasks),
        cmocka_unit_test(several_pools_are_told_apart),
        cmocka_unit_test(what_cannot_be_compared_has_no_rates),
        cmocka_unit_test(a_usual_window_has_it_all),
        cmocka_unit_test(who_hangs_is_counted_and_what_has_no_loop_has_no_lag),
        cmocka_unit_test(a_long_route_is_cut_and_its_time_is_not),
        cmocka_unit_test(windows_of_every_size_hold_what_they_can),
        cmocka_unit_test(many_workers_are_scrolled_through),
        cmocka_unit_test(generations_are_shown_when_there_are_two),
        cmocka_unit_test(answers_without_the_usual_members_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
