/* Tests of workers/exposition.c: the same in two formats. */
#include "workers/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct buf out;
static struct exposition e;

static void begin(bool is_open)
{
    buf_fini(&out);
    exposition_begin(&e, &out, is_open);
}

static const char *end(void)
{
    exposition_end(&e);
    assert_int_equal(e.rc, 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    return out.data;
}

static int tear_down(void **state)
{
    (void)state;
    buf_fini(&out);
    return 0;
}

static void write_some(void)
{
    exposition_family(&e, "x_requests", EXPOSITION_COUNTER, NULL, "Requests.");
    exposition_sample(&e, "");
    exposition_label(&e, "route", "GET /a");
    exposition_label(&e, "status", "2xx");
    exposition_u64(&e, 12);
    exposition_family(&e, "x_build", EXPOSITION_INFO, NULL, "Version.");
    exposition_sample(&e, "");
    exposition_label(&e, "version", "1");
    exposition_u64(&e, 1);
    exposition_family(&e, "x_lag_seconds", EXPOSITION_GAUGE, "seconds", "Lag.");
    exposition_sample(&e, "");
    exposition_us(&e, 1500042);
}

static void text_has_suffixes_in_names_of_families(void **state)
{
    (void)state;
    begin(false);
    write_some();
    assert_string_equal(end(), "# HELP x_requests_total Requests.\n"
                               "# TYPE x_requests_total counter\n"
                               "x_requests_total{route=\"GET /a\",status=\"2xx\"} 12\n"
                               "# HELP x_build_info Version.\n"
                               "# TYPE x_build_info gauge\n"
                               "x_build_info{version=\"1\"} 1\n"
                               "# HELP x_lag_seconds Lag.\n"
                               "# TYPE x_lag_seconds gauge\n"
                               "x_lag_seconds 1.500042\n");
}

static void open_metrics_has_them_in_samples_only(void **state)
{
    (void)state;
    begin(true);
    write_some();
    assert_string_equal(end(), "# HELP x_requests Requests.\n"
                               "# TYPE x_requests counter\n"
                               "x_requests_total{route=\"GET /a\",status=\"2xx\"} 12\n"
                               "# HELP x_build Version.\n"
                               "# TYPE x_build info\n"
                               "x_build_info{version=\"1\"} 1\n"
                               "# HELP x_lag_seconds Lag.\n"
                               "# TYPE x_lag_seconds gauge\n"
                               "# UNIT x_lag_seconds seconds\n"
                               "x_lag_seconds 1.500042\n"
                               "# EOF\n");
}

static void labels_take_any_octets(void **state)
{
    (void)state;
    begin(false);
    exposition_family(&e, "x", EXPOSITION_GAUGE, NULL, "X.");
    exposition_sample(&e, "");
    exposition_label(&e, "a", "q\"b\\n\nt\t\xff\xc3\xa9\xed");
    exposition_u64(&e, 0);
    assert_non_null(strstr(end(), "x{a=\"q\\\"b\\\\n\\nt??\xc3\xa9?\"} 0\n"));
}

static void labels_that_are_too_long_are_cut(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    begin(false);
    exposition_family(&e, "x", EXPOSITION_GAUGE, NULL, "X.");
    exposition_sample(&e, "");
    exposition_label(&e, "a", text);
    exposition_u64(&e, 7);
    const char *end_of_label = strstr(end(), "aa\"} 7\n");
    assert_non_null(end_of_label);
    assert_true(strlen(out.data) < 500);
}

static const char *line_of(const char *text, const char *start)
{
    static char line[200];
    const char *at = strstr(text, start);
    assert_non_null(at);
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

static void buckets_add_up(void **state)
{
    (void)state;
    uint64_t counts[METER_BUCKETS] = {[0] = 1, [3] = 2, [10] = 4, [METER_BUCKETS - 1] = 8};
    const struct exposition_labels labels = {.name = "route", .value = "GET /"};
    begin(false);
    exposition_family(&e, "x_seconds", EXPOSITION_HISTOGRAM, "seconds", "X.");
    exposition_histogram(&e, &labels, counts, UINT64_C(1500000000), NULL);
    const char *text = end();
    assert_string_equal(line_of(text, "x_seconds_bucket{route=\"GET /\",le=\"0.000016\""),
                        "x_seconds_bucket{route=\"GET /\",le=\"0.000016\"} 3");
    assert_string_equal(line_of(text, "x_seconds_bucket{route=\"GET /\",le=\"0.000512\""),
                        "x_seconds_bucket{route=\"GET /\",le=\"0.000512\"} 3");
    assert_string_equal(line_of(text, "x_seconds_bucket{route=\"GET /\",le=\"0.001024\""),
                        "x_seconds_bucket{route=\"GET /\",le=\"0.001024\"} 7");
    assert_string_equal(line_of(text, "x_seconds_bucket{route=\"GET /\",le=\"+Inf\""),
                        "x_seconds_bucket{route=\"GET /\",le=\"+Inf\"} 15");
    assert_string_equal(line_of(text, "x_seconds_sum"),
                        "x_seconds_sum{route=\"GET /\"} 1.500000000");
    assert_string_equal(line_of(text, "x_seconds_count"), "x_seconds_count{route=\"GET /\"} 15");
}

static void an_exemplar_stands_at_its_bucket(void **state)
{
    (void)state;
    uint64_t counts[METER_BUCKETS] = {[10] = 1};
    const struct exposition_labels none = {0};
    const struct exposition_exemplar exemplar = {.trace_id =
                                                     STR("0af7651916cd43dd8448eb211c80319c"),
                                                 .us = 700,
                                                 .wall_us = 1700000000000001};
    begin(true);
    exposition_family(&e, "x_seconds", EXPOSITION_HISTOGRAM, "seconds", "X.");
    exposition_histogram(&e, &none, counts, 700000, &exemplar);
    const char *text = end();
    assert_string_equal(
        line_of(text, "x_seconds_bucket{le=\"0.001024\"}"),
        "x_seconds_bucket{le=\"0.001024\"} 1 # "
        "{trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.000700 1700000000.000001");
    assert_string_equal(line_of(text, "x_seconds_bucket{le=\"0.002048\"}"),
                        "x_seconds_bucket{le=\"0.002048\"} 1");
    begin(false); /* the text format has none */
    exposition_family(&e, "x_seconds", EXPOSITION_HISTOGRAM, "seconds", "X.");
    exposition_histogram(&e, &none, counts, 700000, &exemplar);
    assert_null(strstr(end(), "trace_id"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(text_has_suffixes_in_names_of_families, tear_down),
        cmocka_unit_test_teardown(open_metrics_has_them_in_samples_only, tear_down),
        cmocka_unit_test_teardown(labels_take_any_octets, tear_down),
        cmocka_unit_test_teardown(labels_that_are_too_long_are_cut, tear_down),
        cmocka_unit_test_teardown(buckets_add_up, tear_down),
        cmocka_unit_test_teardown(an_exemplar_stands_at_its_bucket, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
