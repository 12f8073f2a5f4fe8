/* Values as text: what is read, what is refused and in which words, and that printing what was read
 * and reading it again changes nothing. */
#include "config/value.h"

#include "base/err.h"
#include "tests/unit/config/tool.h"

struct number_case {
    const char *text;
    int rc;
    uint64_t value;
};

static void expect_numbers(int (*parse)(struct str text, uint64_t *out_value),
                           const struct number_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 4711;
        int rc = parse(str_of(cases[i].text), &value);
        if (rc != cases[i].rc || value != (rc == 0 ? cases[i].value : 4711))
            fail_msg("\"%s\": rc %d value %ju", cases[i].text, rc, (uintmax_t)value);
    }
}

#define EXPECT_NUMBERS(parse, cases) expect_numbers(parse, cases, sizeof(cases) / sizeof(cases)[0])

static void durations_need_a_unit(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"0", 0, 0},
        {"0s", 0, 0},
        {"1us", 0, 1},
        {"500ms", 0, 500000},
        {"30s", 0, 30000000},
        {"2m", 0, 120000000},
        {"1h", 0, 3600000000},
        {"18446744073709551615us", 0, UINT64_MAX},
        {"18446744073709551615ms", -ERANGE, 0},
        {"18446744073709551616us", -ERANGE, 0},
        {"30", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"s", -EINVAL, 0},
        {"30 s", -EINVAL, 0},
        {"30S", -EINVAL, 0},
        {"30sec", -EINVAL, 0},
        {"1.5s", -EINVAL, 0},
        {"-1s", -EINVAL, 0},
        {"+1s", -EINVAL, 0},
        {"1m30s", -EINVAL, 0},
        {"030s", -EINVAL, 0},
        {"1d", -EINVAL, 0},
    };
    EXPECT_NUMBERS(value_parse_duration, cases);
}

static void sizes_are_bytes_or_have_a_unit(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"0", 0, 0},
        {"4094", 0, 4094},
        {"64KiB", 0, 65536},
        {"512MiB", 0, UINT64_C(512) << 20},
        {"2GiB", 0, UINT64_C(2) << 30},
        {"1TiB", 0, UINT64_C(1) << 40},
        {"1KB", 0, 1000},
        {"1MB", 0, 1000000},
        {"1GB", 0, 1000000000},
        {"3TB", 0, UINT64_C(3000000000000)},
        {"16777216TiB", -ERANGE, 0},
        {"16777215TiB", 0, UINT64_C(16777215) << 40},
        {"1kb", -EINVAL, 0},
        {"1K", -EINVAL, 0},
        {"1M", -EINVAL, 0},
        {"1 MiB", -EINVAL, 0},
        {"1.5GiB", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"MiB", -EINVAL, 0},
        {"1_000", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
    };
    EXPECT_NUMBERS(value_parse_size, cases);
}

static void counts_are_plain_decimals(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"0", 0, 0},          {"512", 0, 512},     {"18446744073709551615", 0, UINT64_MAX},
        {"010", -EINVAL, 0},  {"1e3", -EINVAL, 0}, {"18446744073709551616", -ERANGE, 0},
        {"0x1f", -EINVAL, 0}, {"", -EINVAL, 0},    {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},   {"-1", -EINVAL, 0},  {"1,000", -EINVAL, 0},
    };
    EXPECT_NUMBERS(value_parse_count, cases);
}

static void modes_are_octal_with_a_leading_zero(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"0", 0, 0},        {"022", 0, 022},
        {"0022", 0, 022},   {"0o77", 0, 077},
        {"22", -EINVAL, 0}, {"08", -EINVAL, 0},
        {"", -EINVAL, 0},   {"0x1", -EINVAL, 0},
        {"0o", -EINVAL, 0}, {"07777777777777777777777777", -ERANGE, 0},
    };
    EXPECT_NUMBERS(value_parse_mode, cases);
}

static void truth_values_are_those_of_yaml(void **state)
{
    (void)state;
    static const char *const yes[] = {"yes",  "Yes", "YES", "true", "True",
                                      "TRUE", "on",  "On",  "ON"};
    static const char *const no[] = {"no", "No", "NO", "false", "False", "FALSE", "off", "OFF"};
    static const char *const neither[] = {"",   "y",  "n",    "1",    "0",   "yEs",
                                          "nO", "oN", "tRUE", "yes ", "yess"};
    bool is_on;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        is_on = false;
        assert_int_equal(value_parse_bool(str_of(yes[i]), &is_on), 0);
        assert_true(is_on);
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        is_on = true;
        assert_int_equal(value_parse_bool(str_of(no[i]), &is_on), 0);
        assert_false(is_on);
    }
    for (size_t i = 0; i < sizeof neither / sizeof neither[0]; i++)
        assert_int_equal(value_parse_bool(str_of(neither[i]), &is_on), -EINVAL);
}

static void expect_printed(int (*print)(struct buf *out, uint64_t value), uint64_t value,
                           const char *text)
{
    struct buf out = {0};
    assert_int_equal(print(&out, value), 0);
    assert_string_equal(out.data, text);
    buf_fini(&out);
}

static void printing_takes_the_largest_unit_that_loses_nothing(void **state)
{
    (void)state;
    expect_printed(value_print_duration, 0, "0");
    expect_printed(value_print_duration, 1, "1us");
    expect_printed(value_print_duration, 1500000, "1500ms");
    expect_printed(value_print_duration, 90000000, "90s");
    expect_printed(value_print_duration, 120000000, "2m");
    expect_printed(value_print_duration, UINT64_C(7200000000), "2h");
    expect_printed(value_print_size, 0, "0");
    expect_printed(value_print_size, 8190, "8190");
    expect_printed(value_print_size, 1000000, "1000000");
    expect_printed(value_print_size, 65536, "64KiB");
    expect_printed(value_print_size, UINT64_C(3) << 30, "3GiB");
}

static int set(struct settings *s, enum setting_id id, const char *text, struct err *err)
{
    struct value_text value = {.text = str_of(text)};
    return value_set(s, &schema_specs[id], &value, 1, NULL, err);
}

/* Each row: a text that is taken, and how it is printed; NULL: as it was written. */
static const struct {
    enum setting_id id;
    const char *text;
    const char *printed;
} round_trips[] = {
    {SETTING_ID_app, "./demo.so", NULL},
    {SETTING_ID_app, "", NULL},
    {SETTING_ID_app_copy, "off", "no"},
    {SETTING_ID_app_copy, "True", "yes"},
    {SETTING_ID_bind, "localhost:80", NULL},
    {SETTING_ID_backlog, "65535", NULL},
    {SETTING_ID_umask, "0022", "022"},
    {SETTING_ID_workers, "auto", NULL},
    {SETTING_ID_workers, "512", NULL},
    {SETTING_ID_workers, "2..8", NULL},
    {SETTING_ID_workers, "2..auto", NULL},
    {SETTING_ID_workers, "3..3", "3"},
    {SETTING_ID_user, "root", NULL},
    {SETTING_ID_user, "12345", NULL},
    {SETTING_ID_group, "root", NULL},
    {SETTING_ID_timeout, "0", NULL},
    {SETTING_ID_timeout, "60s", "1m"},
    {SETTING_ID_graceful_timeout, "500ms", NULL},
    {SETTING_ID_limit_request_body, "1TiB", NULL},
    {SETTING_ID_limit_request_body, "1024KiB", "1MiB"},
    {SETTING_ID_loglevel, "error", NULL},
    {SETTING_ID_loglevel, "debug", NULL},
    {SETTING_ID_log_format, "json", NULL},
    {SETTING_ID_worker_class, "event", NULL},
    {SETTING_ID_server_header, "", NULL},
    {SETTING_ID_forwarded_allow_ips, "::1/128", "::1"},
    {SETTING_ID_forwarded_allow_ips, "unix", NULL},
    {SETTING_ID_proxy_allow_ips, "*", NULL},
    {SETTING_ID_proxy_protocol, "off", NULL},
    {SETTING_ID_proxy_protocol, "auto", NULL},
    {SETTING_ID_forwarded_header, "x-forwarded", NULL},
    {SETTING_ID_reload_extra_files, "/srv/app/templates", NULL},
    {SETTING_ID_reload_extra_files, "", NULL},
    {SETTING_ID_proc_title, "path", NULL},
    {SETTING_ID_server_header, "Ünicode $ \"quoted\"", NULL},
};

static void what_is_printed_is_read_back(void **state)
{
    (void)state;
    struct settings *s = settings_new();
    assert_non_null(s);
    for (size_t i = 0; i < sizeof round_trips / sizeof round_trips[0]; i++) {
        const struct setting_spec *spec = &schema_specs[round_trips[i].id];
        const char *expected =
            round_trips[i].printed ? round_trips[i].printed : round_trips[i].text;
        const char *text = round_trips[i].text;
        struct err err = {0};
        for (int turn = 0; turn < 2; turn++) {
            if (set(s, round_trips[i].id, text, &err) < 0)
                fail_msg("%s: %s", spec->name, err.text);
            struct buf out = {0};
            assert_int_equal(value_print(&out, s, spec, 0), 0);
            assert_string_equal(out.data ? out.data : "", expected);
            buf_fini(&out);
            text = expected;
        }
    }
    settings_free(s);
}

#define PROCESSES "auto, 1 to 512 processes, or a range such as 2..8 or 2..auto"

static const struct {
    enum setting_id id;
    const char *text;
    const char *message;
} refusals[] = {
    {SETTING_ID_workers, "8..2", "\"8..2\" ends below where it begins; allowed: " PROCESSES},
    {SETTING_ID_workers, "2..", "\"2..\" lacks an end; allowed: " PROCESSES},
    {SETTING_ID_workers, "..2", "\"..2\" lacks an end; allowed: " PROCESSES},
    {SETTING_ID_workers, "0..2", "\"0\" is out of range; allowed: " PROCESSES},
    {SETTING_ID_workers, "auto..2", "\"auto\" is not a whole number; allowed: " PROCESSES},
    {SETTING_ID_workers, "0", "\"0\" is out of range; allowed: " PROCESSES},
    {SETTING_ID_workers, "513", "\"513\" is out of range; allowed: " PROCESSES},
    {SETTING_ID_workers, "18446744073709551617",
     "\"18446744073709551617\" is out of range; allowed: " PROCESSES},
    {SETTING_ID_workers, "Auto", "\"Auto\" is not a whole number; allowed: " PROCESSES},
    {SETTING_ID_backlog, "auto", "\"auto\" is not a whole number; allowed: 1 to 65535 connections"},
    {SETTING_ID_timeout, "30",
     "\"30\" has no unit; allowed: 1s to 1h, or 0 (never), such as 30s or 2m"},
    {SETTING_ID_timeout, "999ms",
     "\"999ms\" is out of range; allowed: 1s to 1h, or 0 (never), such as 30s or 2m"},
    {SETTING_ID_header_timeout, "0", "\"0\" is out of range; allowed: 1s to 1h, such as 30s or 2m"},
    {SETTING_ID_header_timeout, "soon",
     "\"soon\" is not a duration, a whole number with a unit; allowed: 1s to 1h, such as 30s or "
     "2m"},
    {SETTING_ID_limit_request_line, "127",
     "\"127\" is out of range; allowed: 128 to 64KiB, such as 8190 or 64KiB"},
    {SETTING_ID_limit_request_line, "8k",
     "\"8k\" is not a size in bytes; allowed: 128 to 64KiB, such as 8190 or 64KiB"},
    {SETTING_ID_umask, "01000", "\"01000\" is out of range; allowed: 0 to 0777, such as 022"},
    {SETTING_ID_umask, "22",
     "\"22\" is not an octal number with a leading 0; allowed: 0 to 0777, such as 022"},
    {SETTING_ID_loglevel, "warning",
     "\"warning\" is not one of these; allowed: error, warn, notice, info, debug"},
    {SETTING_ID_loglevel, "",
     "\"\" is not one of these; allowed: error, warn, notice, info, debug"},
    {SETTING_ID_loglevel, "warn,notice",
     "\"warn,notice\" is not one of these; allowed: error, warn, notice, info, debug"},
    {SETTING_ID_app_copy, "maybe",
     "\"maybe\" is not a truth value; allowed: yes, no, true, false, on, off"},
    {SETTING_ID_server_header, "a\r\nX: b",
     "\"a\\x0d\\x0aX: b\" contains a control character; allowed: text in one line"},
    {SETTING_ID_errorlog, "", "\"\" is empty; allowed: a path"},
    {SETTING_ID_user, "no-such-user-here",
     "\"no-such-user-here\" is no user here; allowed: name or id of a user, or \"\" for none"},
    {SETTING_ID_user, "4294967295",
     "\"4294967295\" is no user here; allowed: name or id of a user, or \"\" for none"},
    {SETTING_ID_proxy_allow_ips, "::1,10.0.0.1/8",
     "\"10.0.0.1/8\": has bits set behind its first 8; the network is 10.0.0.0/8"},
    {SETTING_ID_proxy_allow_ips, ",",
     "\"\": is empty; allowed: *, unix, or IP networks such as 127.0.0.1, 10.0.0.0/8, ::1, "
     "fd00::/8"},
    {SETTING_ID_reload_extra_files, "a\tb",
     "\"a\\x09b\" contains a control character; allowed: a path or a list of them, or \"\" for "
     "none"},
    {SETTING_ID_proxy_protocol, "on", "\"on\" is not one of these; allowed: off, v1, v2, auto"},
    {SETTING_ID_group, "no-such-group-here",
     "\"no-such-group-here\" is no group here; allowed: name or id of a group, or \"\" for none"},
};

static void refusals_say_what_is_wrong_and_what_is_allowed(void **state)
{
    (void)state;
    struct settings *s = settings_new();
    assert_non_null(s);
    struct settings before = *s;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct err err = {0};
        assert_int_equal(set(s, refusals[i].id, refusals[i].text, &err), -EINVAL);
        assert_string_equal(err.text, refusals[i].message);
    }
    before.arena = s->arena; /* may have grown; all else is as it was */
    assert_memory_equal(&before, s, sizeof before);
    settings_free(s);
}

static void a_list_says_which_item_is_wrong(void **state)
{
    (void)state;
    struct settings *s = settings_new();
    assert_non_null(s);
    struct value_text texts[] = {{.text = STR(":80"), .line = 3, .column = 5},
                                 {.text = STR("[::1]:81"), .line = 4, .column = 5}};
    struct err err = {0};
    size_t bad = 9;
    const struct setting_spec *spec = &schema_specs[SETTING_ID_bind];
    assert_int_equal(value_set(s, spec, texts, 2, &bad, &err), 0);
    assert_int_equal(value_count(s, spec), 2);
    assert_string_equal(s->bind.items[1].text, "[::1]:81");
    assert_int_equal(s->bind.items[1].line, 4);
    texts[1].text = STR("nowhere");
    assert_int_equal(value_set(s, spec, texts, 2, &bad, &err), -EINVAL);
    assert_int_equal(bad, 1);
    assert_non_null(strstr(err.text, "\"nowhere\": has no port"));
    assert_int_equal(s->bind.n, 2);
    assert_string_equal(s->bind.items[0].text, "0.0.0.0:80");
    settings_free(s);
}

static void expect_networks(const struct settings *s, const char *expected)
{
    const struct setting_spec *spec = &schema_specs[SETTING_ID_forwarded_allow_ips];
    struct buf all = {0};
    for (size_t i = 0; i < value_count(s, spec); i++) {
        assert_int_equal(value_print(&all, s, spec, i), 0);
        assert_int_equal(buf_printf(&all, ";"), 0);
    }
    assert_string_equal(all.data ? all.data : "", expected);
    buf_fini(&all);
}

static void networks_come_in_one_text_or_several(void **state)
{
    (void)state;
    struct settings *s = settings_new();
    assert_non_null(s);
    const struct setting_spec *spec = &schema_specs[SETTING_ID_forwarded_allow_ips];
    struct err err = {0};
    size_t bad = 9;
    expect_networks(s, "127.0.0.1;::1;unix;");
    struct value_text texts[] = {{.text = STR("10.0.0.0/8,\tfd00::/8 , *")},
                                 {.text = STR("unix")},
                                 {.text = STR("192.0.2.1,192.0.2.2")}};
    assert_int_equal(value_set(s, spec, texts, 3, &bad, &err), 0);
    expect_networks(s, "10.0.0.0/8;fd00::/8;*;unix;192.0.2.1;192.0.2.2;");
    texts[2].text = STR("192.0.2.1,,192.0.2.2");
    assert_int_equal(value_set(s, spec, texts, 3, &bad, &err), -EINVAL);
    assert_int_equal(bad, 2);
    texts[1].text = STR(""); /* none, but only alone */
    assert_int_equal(value_set(s, spec, texts, 2, &bad, &err), -EINVAL);
    assert_int_equal(bad, 1);
    expect_networks(s, "10.0.0.0/8;fd00::/8;*;unix;192.0.2.1;192.0.2.2;");
    assert_int_equal(value_set(s, spec, &texts[1], 1, &bad, &err), 0);
    expect_networks(s, "");
    settings_free(s);
}

static void quoting_escapes_and_cuts_between_characters(void **state)
{
    (void)state;
    char out[VALUE_QUOTE_MAX];
    assert_string_equal(value_quote(out, STR("a\tb\x7f")), "\"a\\x09b\\x7f\"");
    assert_string_equal(value_quote(out, str_make("a\0b", 3)), "\"a\\x00b\"");
    char longest[400];
    for (size_t lead = 0; lead < 4; lead++) { /* each alignment of a character of three bytes */
        size_t n = lead;
        memset(longest, 'x', lead);
        while (n + 3 < sizeof longest) {
            memcpy(longest + n, "€", 3);
            n += 3;
        }
        value_quote(out, str_make(longest, n));
        size_t len = strlen(out);
        assert_true(len < VALUE_QUOTE_MAX);
        assert_string_equal(out + len - 4, "…\"");
        assert_int_equal((len - 5 - lead) % 3, 0);
    }
    memset(longest, 0xBF, sizeof longest); /* continuation bytes only */
    assert_true(strlen(value_quote(out, str_make(longest, sizeof longest))) < VALUE_QUOTE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_need_a_unit),
        cmocka_unit_test(sizes_are_bytes_or_have_a_unit),
        cmocka_unit_test(counts_are_plain_decimals),
        cmocka_unit_test(modes_are_octal_with_a_leading_zero),
        cmocka_unit_test(truth_values_are_those_of_yaml),
        cmocka_unit_test(printing_takes_the_largest_unit_that_loses_nothing),
        cmocka_unit_test(what_is_printed_is_read_back),
        cmocka_unit_test(refusals_say_what_is_wrong_and_what_is_allowed),
        cmocka_unit_test(a_list_says_which_item_is_wrong),
        cmocka_unit_test(networks_come_in_one_text_or_several),
        cmocka_unit_test(quoting_escapes_and_cuts_between_characters),
    };
    return cmocka_run_group_tests_name("config/value", tests, NULL, NULL);
}
