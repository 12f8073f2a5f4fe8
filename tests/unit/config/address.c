/* Addresses of `bind`: the forms, their one spelling, and what is refused. */
#include "config/address.h"

#include "base/err.h"
#include "tests/unit/config/tool.h"

static const struct {
    const char *text;
    const char *canonical;
    const char *host; /* NULL: unix */
    unsigned port;
} good[] = {
    {"127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1", 8000},
    {":8000", "0.0.0.0:8000", "0.0.0.0", 8000},
    {":0", "0.0.0.0:0", "0.0.0.0", 0},
    {"LocalHost:65535", "localhost:65535", "localhost", 65535},
    {"my_host-1.example:80", "my_host-1.example:80", "my_host-1.example", 80},
    {"[::1]:80", "[::1]:80", "::1", 80},
    {"[0:0:0:0:0:0:0:1]:80", "[::1]:80", "::1", 80},
    {"[FE80::1%eth0]:80", "[fe80::1%eth0]:80", "fe80::1%eth0", 80},
    {"[::]:080", "[::]:80", "::", 80},
    {"unix:/run/demo.sock", "unix:/run/demo.sock", NULL, 0},
    {"unix:relative:with:colons", "unix:relative:with:colons", NULL, 0},
};

static void every_form_is_read(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct setting_bind bind;
        struct err err = {0};
        if (address_parse(&arena, str_of(good[i].text), &bind, &err) < 0)
            fail_msg("%s: %s", good[i].text, err.text);
        assert_string_equal(bind.text, good[i].canonical);
        assert_int_equal(bind.kind, good[i].host ? SETTING_BIND_TCP : SETTING_BIND_UNIX);
        assert_int_equal(bind.port, good[i].port);
        if (good[i].host) {
            assert_string_equal(bind.host, good[i].host);
            assert_null(bind.path);
        } else {
            assert_string_equal(bind.path, good[i].text + 5);
            assert_null(bind.host);
        }
    }
    arena_fini(&arena);
}

#define FORMS "; allowed: host:port, [ipv6]:port, :port, unix:/path (port 0 to 65535)"

static const struct {
    const char *text;
    const char *message;
} bad[] = {
    {"", "is empty" FORMS},
    {"8000", "has no port" FORMS},
    {"localhost", "has no port" FORMS},
    {"localhost:", "the port is no number from 0 to 65535" FORMS},
    {"localhost:http", "the port is no number from 0 to 65535" FORMS},
    {"localhost:65536", "the port is no number from 0 to 65535" FORMS},
    {"localhost:-1", "the port is no number from 0 to 65535" FORMS},
    {"localhost:80 ", "the port is no number from 0 to 65535" FORMS},
    {"::1:8000", "an IPv6 address needs brackets: [::1]:8000" FORMS},
    {"[::1]", "no port behind the bracket" FORMS},
    {"[::1:80", "no port behind the bracket" FORMS},
    {"[", "no port behind the bracket" FORMS},
    {"[:80", "no port behind the bracket" FORMS},
    {"[]:80", "no IPv6 address between the brackets" FORMS},
    {"[127.0.0.1]:80", "no IPv6 address between the brackets" FORMS},
    {"[fe80::1%]:80", "no IPv6 address between the brackets" FORMS},
    {"300.0.0.1:80", "no IPv4 address before the port" FORMS},
    {"127.1:80", "no IPv4 address before the port" FORMS},
    {"a b:80", "no host name before the port" FORMS},
    {"*:80", "no host name before the port" FORMS},
    {"-a:80", "no host name before the port" FORMS},
    {"http://a:80", "an IPv6 address needs brackets: [::1]:8000" FORMS},
    {"a\nb:80", "contains a control character" FORMS},
    {"unix:", "no path behind unix:" FORMS},
};

static void refusals_name_the_part_that_is_wrong(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct setting_bind bind;
        struct err err = {0};
        if (address_parse(&arena, str_of(bad[i].text), &bind, &err) != -EINVAL)
            fail_msg("%s was taken", bad[i].text);
        assert_string_equal(err.text, bad[i].message);
    }
    arena_fini(&arena);
}

static void lengths_have_limits(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    struct setting_bind bind;
    struct err err = {0};
    char text[400] = "unix:/";
    memset(text + 6, 'p', 107);
    assert_int_equal(address_parse(&arena, str_make(text, 5 + 107), &bind, &err), 0);
    assert_int_equal(address_parse(&arena, str_make(text, 5 + 108), &bind, &err), -EINVAL);
    assert_string_equal(err.text, "the path has 108 bytes; allowed: at most 107 (unix(7))");
    memset(text, 'h', sizeof text);
    memcpy(text + 253, ":80", 3);
    assert_int_equal(address_parse(&arena, str_make(text, 256), &bind, &err), 0);
    memcpy(text + 253, "h:80", 4);
    assert_int_equal(address_parse(&arena, str_make(text, 257), &bind, &err), -EINVAL);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(refusals_name_the_part_that_is_wrong),
        cmocka_unit_test(lengths_have_limits),
    };
    return cmocka_run_group_tests_name("config/address", tests, NULL, NULL);
}
