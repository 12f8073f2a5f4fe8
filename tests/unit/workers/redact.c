/* Tests of workers/redact.c: no secret gets through, everything else does as it was. */
#include "workers/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char result[4096];
static char names[1024];

static void redact(const char *head, size_t len, const char *more)
{
    struct buf out = {0};
    struct buf found = {0};
    assert_int_equal(redact_head(str_make(head, len), more, &out, &found), 0);
    (void)snprintf(result, sizeof result, "%.*s", (int)out.len, out.len > 0 ? out.data : "");
    (void)snprintf(names, sizeof names, "%.*s", (int)found.len, found.len > 0 ? found.data : "");
    buf_fini(&out);
    buf_fini(&found);
}

static void secret_fields_lose_their_values(void **state)
{
    (void)state;
    static const char head[] = "GET /a:b?c HTTP/1.1\r\n"
                               "Host: x\r\n"
                               "AUTHORIZATION: Basic c2VjcmV0\r\n"
                               "Accept: text/plain\r\n"
                               "cookie:a=secret\r\n"
                               "X-Api-Key: secret\r\n"
                               "X-Tenant: secret\r\n"
                               "\r\n";
    redact(head, sizeof head - 1, "x-other, X-Tenant");
    assert_string_equal(result, "GET /a:b?c HTTP/1.1\r\n"
                                "Host: x\r\n"
                                "AUTHORIZATION: [redacted]\r\n"
                                "Accept: text/plain\r\n"
                                "cookie: [redacted]\r\n"
                                "X-Api-Key: [redacted]\r\n"
                                "X-Tenant: [redacted]\r\n"
                                "\r\n");
    assert_string_equal(names, "AUTHORIZATION, cookie, X-Api-Key, X-Tenant");
}

static void names_decide_word_by_word(void **state)
{
    (void)state;
    static const char *const secret[] = {
        "Authorization", "Proxy-Authorization", "Cookie",       "Set-Cookie",
        "X-Api-Key",     "X-Auth-Token",        "api_key",      "X-Amz-Security-Token",
        "X-Csrf-Token",  "X-Hub-Signature",     "X-Password",   "Private-Token",
        "X-Session",     "X-Vault-Token",       "Client-Secret"};
    static const char *const open[] = {"Host",   "Accept", "Content-Type",  "Keyboard", "X-Monkey",
                                       "Author", "",       "If-None-Match", "Authority"};
    for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++)
        assert_true(redact_is_secret(str_of(secret[i]), NULL));
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        assert_false(redact_is_secret(str_of(open[i]), NULL));
    assert_true(redact_is_secret(STR("Host"), "a,host"));
    assert_true(redact_is_secret(STR("host"), " Host "));
    assert_false(redact_is_secret(STR("Host"), "hosts, hos"));
}

/* Whatever octet it is cut at, no letter of the secret is left. */
static void a_cut_head_tells_no_secret(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nCookie: SSSSS\r\n SSSSS\r\n\tSS\r\nA: b\r\n\r\n";
    for (size_t len = 0; len < sizeof head; len++) {
        redact(head, len, NULL);
        assert_null(strstr(result, "SS"));
    }
    assert_non_null(strstr(result, "\r\nA: b\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_fields_lose_their_values),
        cmocka_unit_test(names_decide_word_by_word),
        cmocka_unit_test(a_cut_head_tells_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
