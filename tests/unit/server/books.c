/* server/books.c: which settings the ledger tells. */
#include "server/books.h"

#include "config/schema.h"
#include "ipc/ledger.h"
#include "tests/unit/config/tool.h"

#define ROUTES 2000 /* more than there is room for */

static struct ledger ledger;

/* The value of a setting; NULL: it is not told. */
static const char *find(const char *name)
{
    const char *at = ledger.settings, *end = at + ledger.page.settings_len;
    while (at < end) {
        const char *value = at + strlen(at) + 1, *origin = value + strlen(value) + 1;
        if (strcmp(at, name) == 0)
            return value;
        at = origin + strlen(origin) + 1;
    }
    assert_ptr_equal(at, end); /* all of them are whole */
    return NULL;
}

static void a_large_map_hides_no_other_setting(void **state)
{
    (void)state;
    struct merge_result r;
    struct buf yaml = {0};
    assert_int_equal(buf_printf(&yaml, "slow_callback: 77ms\nroutes:\n"), 0);
    for (int i = 0; i < ROUTES; i++)
        assert_int_equal(buf_printf(&yaml, "  \"GET /item/%d\": {lane: io}\n", i), 0);
    tool_write("remuda.yaml", yaml.data);
    buf_fini(&yaml);
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_non_null(r.settings);
    for (int i = 0; i < 2; i++) {
        books_tell_settings(&ledger, r.settings);
        assert_string_equal(find("routes.GET /item/0.lane"), "io");
        assert_null(find("routes.GET /item/1999.lane"));
        for (size_t k = 0; k < SETTINGS_N; k++)
            if (schema_specs[k].type != SETTING_TREE)
                assert_non_null(find(schema_specs[k].name));
        assert_string_equal(find("slow_callback"), "77ms");
    }
    assert_int_equal(ledger.page.settings_number, 2);
    merge_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        a_large_map_hides_no_other_setting, tool_enter_folder, tool_leave_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
