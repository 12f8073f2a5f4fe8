/* Unit tests of the smallest application, without a server: see remuda_test.h. */
#include <remuda_test.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void hello_greets_by_name(void **state)
{
    const rmd_reply *reply = rmd_test_request(*state, "GET", "/hello/ann", NULL, NULL, 0);
    assert_int_equal(reply->status, 200);
    assert_string_equal(reply->body, "hello, ann\n");
}

static void hello_decodes_the_name(void **state)
{
    const rmd_reply *reply = rmd_test_request(*state, "GET", "/hello/ann%20lee", NULL, NULL, 0);
    assert_int_equal(reply->status, 200);
    assert_string_equal(reply->body, "hello, ann lee\n");
}

static void other_methods_are_not_allowed(void **state)
{
    const rmd_reply *reply = rmd_test_request(*state, "DELETE", "/hello/ann", NULL, NULL, 0);
    assert_int_equal(reply->status, 405);
    assert_string_equal(rmd_reply_header(reply, "Allow"), "GET, HEAD, OPTIONS");
}

static void other_paths_are_not_found(void **state)
{
    assert_int_equal(rmd_test_request(*state, "GET", "/", NULL, NULL, 0)->status, 404);
}

static int start(void **state)
{
    *state = rmd_test_new(&rmd_app_entry);
    return *state ? 0 : -1;
}

static int stop(void **state)
{
    rmd_test_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_greets_by_name),
        cmocka_unit_test(hello_decodes_the_name),
        cmocka_unit_test(other_methods_are_not_allowed),
        cmocka_unit_test(other_paths_are_not_found),
    };
    return cmocka_run_group_tests_name("hello", tests, start, stop);
}
