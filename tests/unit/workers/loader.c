/* workers/loader.c: how the master's lines of the access log look, in each format. */
#include "workers/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "config/settings.h"
#include "tests/harness/check.h"
#include "tests/harness/json.h"

static const struct loader_lost usual = {
    .peer = STR("192.0.2.1"),
    .method = STR("GET"),
    .target = STR("/one?\"two\""),
    .trace_id = STR("0123abcd"),
    .note = STR("worker died: SIGSEGV"),
    .elapsed_us = 1500000,
    .wall_us = INT64_C(1795262400123456), /* 2026-11-21 12:00:00 UTC */
    .pid = 4711,
};

static const char *render(const char *format, const struct loader_lost *lost)
{
    static char line[1024];
    struct settings settings = {0};
    char text[128];
    (void)snprintf(text, sizeof text, "%s", format);
    settings.access_log_format = text;
    struct access_format *compiled;
    struct err err;
    CHECK_EQ(loader_check_format(&settings, &err), 0);
    CHECK_EQ(loader_open_format(&settings, &compiled, &err), 0);
    size_t n = loader_render_lost(compiled, lost, line, sizeof line - 1);
    loader_close_format(compiled);
    CHECK(n > 0 && n < sizeof line);
    line[n] = '\0';
    return line;
}

static void lost_request_has_a_line_like_all_others_without_a_status(void **state)
{
    (void)state;
    CHECK(setenv("TZ", "UTC0", 1) == 0);
    tzset();
    CHECK_TEXT(render("%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"", &usual),
               "192.0.2.1 - - [21/Nov/2026:12:00:00 +0000] \"GET /one?\\\"two\\\"\" - - \"-\" "
               "\"-\" trace=0123abcd note=\"worker died: SIGSEGV\"\n");
    CHECK_TEXT(render("%(m)s %(D)s %(p)s %(U)s %({Host}i)s %({Server}o)s", &usual),
               "GET 1500000 <4711> - - - trace=0123abcd note=\"worker died: SIGSEGV\"\n");
    struct loader_lost unknown = {.note = STR("worker died")};
    CHECK_TEXT(render("%(h)s \"%(r)s\" %(s)s", &unknown),
               "- \"-\" - trace=- note=\"worker died\"\n");
}

static void lost_request_has_an_object_like_all_others(void **state)
{
    (void)state;
    const char *line = render("json", &usual);
    CHECK_TEXT(line, "{\"time\":\"2026-11-21T12:00:00.123Z\",\"peer\":\"192.0.2.1\",\"user\":null,"
                     "\"method\":\"GET\",\"target\":\"/one?\\\"two\\\"\",\"path\":null,"
                     "\"query\":null,\"protocol\":null,\"status\":null,\"bytes\":0,"
                     "\"duration_us\":1500000,\"referer\":null,\"user_agent\":null,"
                     "\"trace_id\":\"0123abcd\",\"pid\":4711,\"note\":\"worker died: SIGSEGV\"}\n");
    json_must(line, strlen(line));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_request_has_a_line_like_all_others_without_a_status),
        cmocka_unit_test(lost_request_has_an_object_like_all_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
