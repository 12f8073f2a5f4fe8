/* Variables inside values. */
#include "config/expand.h"

#include "base/err.h"
#include "tests/unit/config/tool.h"

static char *environment[] = {"HOME=/root", "EMPTY=", "DB_PASSWORD=hunter2", "A=1", "AB=2", NULL};

static const struct {
    const char *text;
    const char *expanded; /* NULL: refused */
    const char *message;
    bool is_secret;
} cases[] = {
    {.text = "", .expanded = ""},
    {.text = "plain", .expanded = "plain"},
    {.text = "${HOME}/x", .expanded = "/root/x"},
    {.text = "${A}${AB}${A}", .expanded = "121"},
    {.text = "${EMPTY}", .expanded = ""},
    {.text = "${EMPTY:-d}", .expanded = "d"},
    {.text = "${NOPE:-}", .expanded = ""},
    {.text = "${NOPE:-a:b-c}", .expanded = "a:b-c"},
    {.text = "${HOME:-d}", .expanded = "/root"},
    {.text = "$$", .expanded = "$"},
    {.text = "$${HOME}", .expanded = "${HOME}"},
    {.text = "$$$${A}", .expanded = "$${A}"},
    {.text = "$$${A}", .expanded = "$1"},
    {.text = "$", .expanded = "$"},
    {.text = "5$ $x", .expanded = "5$ $x"},
    {.text = "x${DB_PASSWORD}", .expanded = "xhunter2", .is_secret = true},
    {.text = "${API_TOKEN:-none}", .expanded = "none"},
    {.text = "${NOPE}",
     .message = "the environment variable NOPE is not set; set it, or give a default: "
                "${NOPE:-default}"},
    {.text = "a${HOME",
     .message = "${ without a closing }; write $${ for the characters themselves"},
    {.text = "${", .message = "${ without a closing }; write $${ for the characters themselves"},
    {.text = "${}",
     .message = "\"\" between ${ and } is no variable; allowed: ${NAME}, "
                "${NAME:-default}, and $$ for a dollar"},
    {.text = "${1A}",
     .message = "\"1A\" between ${ and } is no variable; allowed: ${NAME}, "
                "${NAME:-default}, and $$ for a dollar"},
    {.text = "${A B}",
     .message = "\"A B\" between ${ and } is no variable; allowed: ${NAME}, "
                "${NAME:-default}, and $$ for a dollar"},
    {.text = "${A:}",
     .message = "\"A:\" between ${ and } is no variable; allowed: ${NAME}, "
                "${NAME:-default}, and $$ for a dollar"},
    {.text = "${A:=b}",
     .message = "\"A:=b\" between ${ and } is no variable; allowed: ${NAME}, "
                "${NAME:-default}, and $$ for a dollar"},
};

static void each_form_gives_what_it_says(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 256);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str out = STR("untouched");
        struct err err = {0};
        bool is_secret = false;
        int rc = expand_text(&arena, str_of(cases[i].text), environment, &out, &is_secret, &err);
        if (cases[i].expanded) {
            assert_int_equal(rc, 0);
            assert_string_equal(out.p, cases[i].expanded);
            assert_int_equal(out.len, strlen(cases[i].expanded));
        } else {
            assert_int_equal(rc, -EINVAL);
            assert_string_equal(err.text, cases[i].message);
            assert_string_equal(out.p, "untouched");
        }
        assert_int_equal(is_secret, cases[i].is_secret);
    }
    arena_fini(&arena);
}

static void variables_are_found_by_their_whole_name(void **state)
{
    (void)state;
    assert_string_equal(expand_find_variable(environment, STR("A")), "1");
    assert_string_equal(expand_find_variable(environment, STR("AB")), "2");
    assert_string_equal(expand_find_variable(environment, STR("EMPTY")), "");
    assert_null(expand_find_variable(environment, STR("HOM")));
    assert_null(expand_find_variable(environment, STR("HOME=/root")));
    assert_null(expand_find_variable(NULL, STR("A")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_gives_what_it_says),
        cmocka_unit_test(variables_are_found_by_their_whole_name),
    };
    return cmocka_run_group_tests_name("config/expand", tests, NULL, NULL);
}
