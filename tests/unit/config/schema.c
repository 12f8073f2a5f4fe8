/* The table itself: that every row is complete, and that rows are found by each of their names. */
#include "config/schema.h"

#include "config/value.h"
#include "tests/unit/config/tool.h"

static void every_row_is_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting_spec *spec = &schema_specs[i];
        assert_non_null(spec->name);
        assert_non_null(spec->default_text);
        assert_non_null(spec->help);
        assert_non_null(spec->group);
        assert_true(spec->offset > 0 && spec->offset < sizeof(struct settings));
        assert_int_equal(spec->help[strlen(spec->help) - 1], '.');
        assert_true(spec->type != SETTING_ENUM_TYPE || spec->names);
        assert_true(spec->min <= spec->max);
        if (spec->type == SETTING_COUNT || spec->type == SETTING_COUNT_AUTO ||
            spec->type == SETTING_MODE)
            assert_true(spec->max <= UINT32_MAX); /* their fields are that wide */
    }
}

static void rows_of_a_chapter_stand_together(void **state)
{
    (void)state;
    for (size_t i = 1; i < SETTINGS_N; i++)
        for (size_t k = 0; k + 1 < i; k++)
            if (strcmp(schema_specs[k].group, schema_specs[i].group) == 0)
                assert_string_equal(schema_specs[i - 1].group, schema_specs[i].group);
}

static void names_and_letters_are_unique_and_find_their_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting_spec *spec = &schema_specs[i];
        char text[SCHEMA_NAME_MAX];
        assert_int_equal(schema_id(spec), i);
        assert_ptr_equal(schema_find(str_of(spec->name)), spec);
        assert_ptr_equal(schema_find_flag(str_of(schema_flag(spec, text))), spec);
        assert_ptr_equal(schema_find_variable(str_of(schema_variable(spec, text))), spec);
        if (spec->letter) {
            assert_ptr_equal(schema_find_letter(spec->letter), spec);
            assert_null(strchr("ch", spec->letter)); /* -c and -h are taken */
        }
    }
    assert_null(schema_find_letter(0));
    assert_null(schema_find(STR("worker")));
    assert_null(schema_find_flag(STR("worker_class")));
    assert_null(schema_find_variable(STR("REMUDA_workers")));
}

static void flags_and_variables_are_derived_from_the_name(void **state)
{
    (void)state;
    char text[SCHEMA_NAME_MAX];
    const struct setting_spec *spec = &schema_specs[SETTING_ID_worker_class];
    assert_string_equal(schema_flag(spec, text), "worker-class");
    assert_string_equal(schema_variable(spec, text), "REMUDA_WORKER_CLASS");
}

static void expect_nearest(const char *name, const char *expected)
{
    const struct setting_spec *spec = schema_nearest(str_of(name));
    if (expected)
        assert_non_null(spec);
    assert_string_equal(spec ? spec->name : "(none)", expected ? expected : "(none)");
}

static void the_nearest_row_is_what_was_probably_meant(void **state)
{
    (void)state;
    expect_nearest("worker", "workers");
    expect_nearest("wrokers", "workers");
    expect_nearest("Workers", "workers");
    expect_nearest("bindd", "bind");
    expect_nearest("REMUDA_TIMEOUTS", "timeout");
    expect_nearest("graceful-timeout", "graceful_timeout");
    expect_nearest("limit_request_feilds", "limit_request_fields");
    expect_nearest("colour", NULL);
    expect_nearest("", NULL);
    expect_nearest("x", NULL);
    expect_nearest("a_name_that_is_longer_than_any_setting_that_there_will_ever_be_in_this_table",
                   NULL);
}

static void defaults_are_what_the_table_says(void **state)
{
    (void)state;
    struct settings *s = settings_new();
    assert_non_null(s);
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting_spec *spec = &schema_specs[i];
        struct value_text text = {.text = str_of(spec->default_text)};
        struct buf printed = {0};
        struct buf again = {0};
        if (spec->type == SETTING_TREE)
            continue;
        assert_int_equal(value_print(&printed, s, spec, 0), 0);
        assert_int_equal(value_set(s, spec, &text, 1, NULL, NULL), 0);
        assert_int_equal(value_print(&again, s, spec, 0), 0);
        assert_string_equal(printed.data ? printed.data : "", again.data ? again.data : "");
        buf_fini(&printed);
        buf_fini(&again);
    }
    assert_int_equal(s->keepalive_us, 75000000);
    assert_int_equal(s->limit_request_head_bytes, 65536);
    assert_int_equal(s->loglevel, LOG_LEVEL_INFO);
    assert_int_equal(s->log_format, LOG_FORMAT_AUTO);
    assert_int_equal(s->worker_class, WORKER_CLASS_EVENT);
    assert_true(s->workers.is_auto);
    assert_true(s->app_copy);
    assert_null(s->app);
    assert_string_equal(s->errorlog, "-");
    assert_string_equal(s->server_header, "remuda");
    assert_int_equal(s->bind.n, 1);
    assert_string_equal(s->bind.items[0].host, "127.0.0.1");
    assert_int_equal(s->bind.items[0].port, 8000);
    assert_int_equal(s->app_config->kind, SETTINGS_MAP);
    settings_free(s);
}

static void enum_names_stand_in_the_order_of_their_type(void **state)
{
    (void)state;
    const char *names = schema_specs[SETTING_ID_loglevel].names;
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        size_t len = strcspn(names, ",");
        assert_true(str_is_equal(str_make(names, len), str_of(log_level_names[level])));
        names += len + (names[len] == ',');
    }
    assert_string_equal(names, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete),
        cmocka_unit_test(rows_of_a_chapter_stand_together),
        cmocka_unit_test(names_and_letters_are_unique_and_find_their_row),
        cmocka_unit_test(flags_and_variables_are_derived_from_the_name),
        cmocka_unit_test(the_nearest_row_is_what_was_probably_meant),
        cmocka_unit_test(defaults_are_what_the_table_says),
        cmocka_unit_test(enum_names_stand_in_the_order_of_their_type),
    };
    return cmocka_run_group_tests_name("config/schema", tests, NULL, NULL);
}
