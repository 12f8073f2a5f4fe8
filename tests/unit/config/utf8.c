/* Where text stops being text: the edges of RFC 3629 and YAML's printable characters. */
#include "config/utf8.h"

#include "tests/unit/config/tool.h"

static void good_text_has_no_fault(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "a: b\n\tc\r\n",
        ("\xef\xbb\xbf"
         "a: 1"), /* byte order mark at the start */
        "\xc2\x85",
        "\xc2\xa0",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbd",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "Ünïcødé €",
    };
    struct utf8_fault fault;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (utf8_find_fault(str_of(good[i]), &fault))
            fail_msg("number %zu: %u:%u %s", i, fault.line, fault.column, fault.what);
}

static void what_is_no_text_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *what;
    } bad[] = {
        {"\0", 1, "is a NUL byte"},
        {"\x01", 1, "is a control character"},
        {"\x1b", 1, "is a control character"},
        {"\x7f", 1, "is a control character"},
        {"\xc2\x80", 2, "is a control character"},
        {"\xc2\x9f", 2, "is a control character"},
        {"\xef\xbf\xbe", 3, "is a control character"},
        {"a\xef\xbb\xbf", 4, "is a control character"}, /* byte order mark elsewhere */
        {"\x80", 1, "is not UTF-8"},
        {"\xbf", 1, "is not UTF-8"},
        {"\xc0\xaf", 2, "is not UTF-8"},         /* overlong */
        {"\xc1\xbf", 2, "is not UTF-8"},         /* overlong */
        {"\xe0\x9f\xbf", 3, "is not UTF-8"},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 4, "is not UTF-8"}, /* overlong */
        {"\xed\xa0\x80", 3, "is not UTF-8"},     /* surrogate */
        {"\xf4\x90\x80\x80", 4, "is not UTF-8"}, /* above U+10FFFF */
        {"\xf8\x88\x80\x80\x80", 5, "is not UTF-8"},
        {"\xff", 1, "is not UTF-8"},
        {"\xc3", 1, "is not UTF-8"}, /* cut short */
        {"\xe2\x82", 2, "is not UTF-8"},
        {"\xc3(", 2, "is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct utf8_fault fault = {0};
        if (!utf8_find_fault(str_make(bad[i].text, bad[i].len), &fault))
            fail_msg("number %zu was taken", i);
        assert_string_equal(fault.what, bad[i].what);
    }
}

static void the_place_is_counted_in_characters(void **state)
{
    (void)state;
    struct utf8_fault fault;
    assert_true(utf8_find_fault(STR("ä: 1\nöü: €\xff\n"), &fault));
    assert_int_equal(fault.line, 2);
    assert_int_equal(fault.column, 6);
    assert_int_equal(fault.line_at, strlen("ä: 1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_text_has_no_fault),
        cmocka_unit_test(what_is_no_text_is_found),
        cmocka_unit_test(the_place_is_counted_in_characters),
    };
    return cmocka_run_group_tests_name("config/utf8", tests, NULL, NULL);
}
