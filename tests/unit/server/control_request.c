/* server/control_request.c: what may be asked, and how the rest is refused. */
#include "server/control_request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

static struct control_request must(const char *line)
{
    struct control_request request;
    struct err err;
    if (control_request_parse(str_of(line), &request, &err) < 0)
        fail_msg("%s: %s", line, err.text);
    return request;
}

static void every_request_has_its_members(void **state)
{
    (void)state;
    assert_int_equal(must("{\"request\":\"status\"}").kind, CONTROL_REQUEST_STATUS);
    assert_int_equal(must("{\"request\":\"reopen\"}").kind, CONTROL_REQUEST_REOPEN);
    assert_int_equal(must("{\"request\":\"routes\"}").kind, CONTROL_REQUEST_ROUTES);
    assert_true(must("{\"request\":\"reload\"}").wants_outcome);
    assert_false(must("{\"wait\":false,\"request\":\"upgrade\"}").wants_outcome);
    assert_false(must("{\"request\":\"stop\"}").is_quick);
    assert_false(must("{\"request\":\"stop\",\"how\":\"graceful\"}").is_quick);
    assert_true(must(" { \"how\" : \"quick\" , \"request\" : \"stop\" } \r").is_quick);
    struct control_request scale = must("{\"request\":\"scale\",\"workers\":4}");
    assert_true(!scale.is_relative && scale.workers == 4);
    scale = must("{\"request\":\"scale\",\"workers\":\"+2\"}");
    assert_true(scale.is_relative && scale.workers == 2);
    scale = must("{\"request\":\"scale\",\"workers\":-1}");
    assert_true(scale.is_relative && scale.workers == -1);
    assert_string_equal(scale.pool, "");
    scale = must("{\"request\":\"scale\",\"pool\":\"images\",\"workers\":\"+1\"}");
    assert_true(scale.is_relative && scale.workers == 1);
    assert_string_equal(scale.pool, "images");
    scale = must("{\"request\":\"scale\",\"workers\":\"512\"}");
    assert_true(!scale.is_relative && scale.workers == 512);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *line, *why;
    } rows[] = {
        {"", "line of JSON"},
        {"status", "line of JSON"},
        {"[]", "JSON object"},
        {"{}", "\"request\" is missing"},
        {"{\"request\":\"fly\"}", "\"request\" is \"fly\""},
        {"{\"request\":1}", "knows: \"status\""},
        {"{\"request\":\"status\",\"request\":\"stop\"}", "\"request\" is there twice"},
        {"{\"request\":\"status\",\"colour\":1}", "no request has a member \"colour\""},
        {"{\"request\":\"status\",\"wait\":true}", "\"wait\" means nothing for \"status\""},
        {"{\"request\":\"reload\",\"wait\":\"yes\"}", "\"wait\" is \"yes\""},
        {"{\"request\":\"stop\",\"how\":\"soon\"}", "\"graceful\", \"quick\""},
        {"{\"request\":\"scale\"}", "\"workers\" is missing"},
        {"{\"request\":\"scale\",\"pool\":\"a\"}", "\"workers\" is missing"},
        {"{\"request\":\"scale\",\"pool\":\"\",\"workers\":1}", "the name of a compute pool"},
        {"{\"request\":\"scale\",\"pool\":1,\"workers\":1}", "the name of a compute pool"},
        {"{\"request\":\"stop\",\"pool\":\"a\"}", "means nothing"},
        {"{\"request\":\"scale\",\"workers\":0}", "1 to 512"},
        {"{\"request\":\"scale\",\"workers\":513}", "1 to 512"},
        {"{\"request\":\"scale\",\"workers\":\"+0\"}", "1 to 512"},
        {"{\"request\":\"scale\",\"workers\":\"+\"}", "1 to 512"},
        {"{\"request\":\"scale\",\"workers\":1.5}", "1 to 512"},
        {"{\"request\":\"scale\",\"workers\":true}", "1 to 512"},
        {"{\"request\":\"scale\",\"workers\":\"++1\"}", "1 to 512"},
        {"{\"request\":\"reload\",\"workers\":1}", "\"workers\" means nothing for \"reload\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct control_request request;
        struct err err = {0};
        assert_int_equal(control_request_parse(str_of(rows[i].line), &request, &err), -EINVAL);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].line, err.text, rows[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_has_its_members),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
