/* The manual page: complete, and the same as the one in docs/. */
#include "config/reference.h"

#include "config/schema.h"
#include "tests/unit/config/tool.h"

static void the_page_in_docs_is_fresh(void **state)
{
    (void)state;
    struct buf page = {0};
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(reference_render(&page), 0);
    assert_int_equal(fd_read_file(REMUDA_SOURCE_DIR "/docs/settings.md", 1 << 20, &text, &len), 0);
    if (len != page.len || memcmp(text, page.data, len) != 0)
        fail_msg("docs/settings.md is stale; run: remuda config --reference > docs/settings.md");
    free(text);
    buf_fini(&page);
}

static void every_setting_is_in_it(void **state)
{
    (void)state;
    struct buf page = {0};
    assert_int_equal(reference_render(&page), 0);
    for (size_t i = 0; i < SETTINGS_N; i++) {
        char heading[SCHEMA_NAME_MAX + 16];
        int n = snprintf(heading, sizeof heading, "\n### `%s`\n", schema_specs[i].name);
        assert_non_null(memmem(page.data, page.len, heading, (size_t)n));
    }
    buf_fini(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_in_docs_is_fresh),
        cmocka_unit_test(every_setting_is_in_it),
    };
    return cmocka_run_group_tests_name("config/reference", tests, NULL, NULL);
}
