/* workers/app.c, the request's half of remuda.h: what a handler reads out of a request. The
 * response's half is in app_response.c, settings and process in app_process.c. */
#include "tests/unit/workers/calls.h"

static void (*look)(rmd_request *req); /* what the test wants to see inside of the handler */
static unsigned n_looks;

static void handler(rmd_request *req, rmd_response *res)
{
    n_looks++;
    look(req);
    rmd_text(res, 200, "seen");
}

static int some_data;
static const rmd_route group_routes[] = {
    {.method = "*", .pattern = "/:id/*rest", .handler = handler, .data = &some_data}, {0}};
static const rmd_group groups[] = {{.prefix = "/group", .routes = group_routes}, {0}};
static const rmd_route routes[] = {{.method = "*", .pattern = "/*all", .handler = handler}, {0}};
static const rmd_app app = CALLS_APP(.routes = routes, .groups = groups);

static int setup(void **state)
{
    (void)state;
    n_looks = 0;
    calls_open(&app);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    calls_close();
    return 0;
}

/* Sends a request and looks at it. */
static void see(void (*with)(rmd_request *req), const char *method, const char *target,
                const char *fields, const char *body)
{
    unsigned before = n_looks;
    look = with;
    CHECK_EQ(calls_send_request(method, target, fields, body), 200);
    CHECK_EQ(n_looks, before + 1);
}

#define CHECK_NULL(seen) CHECK_SAYING((seen) == NULL, "%s should be NULL", #seen)

/* ---- line ---- */

static void look_at_line(rmd_request *req)
{
    CHECK_TEXT(rmd_method(req), "PATCH");
    CHECK_TEXT(rmd_path(req), "/a b/c%2Fd");
    CHECK_TEXT(rmd_target(req), "/x/../a%20b/c%2fd?q=1&r");
    CHECK_TEXT(rmd_query_string(req), "q=1&r");
    CHECK_TEXT(rmd_route_pattern(req), "/*all");
    CHECK(rmd_route_data(req) == NULL);
}

static void look_at_no_query(rmd_request *req)
{
    CHECK_TEXT(rmd_query_string(req), "");
    CHECK_NULL(rmd_query(req, "q"));
    CHECK_TEXT(rmd_path(req), "/");
}

static void the_request_line_is_taken_apart(void **state)
{
    (void)state;
    see(look_at_line, "PATCH", "/x/../a%20b/c%2fd?q=1&r", "", NULL);
    see(look_at_no_query, "GET", "/", "", NULL);
    see(look_at_no_query, "GET", "/?", "", NULL);
    see(look_at_no_query, "GET", "http://localhost", "", NULL);
}

static void look_at_params(rmd_request *req)
{
    CHECK_TEXT(rmd_param(req, "id"), "a/b c");
    CHECK_TEXT(rmd_param(req, "rest"), "d/+e/\xc3\xa9");
    CHECK_NULL(rmd_param(req, "Id"));
    CHECK_NULL(rmd_param(req, ""));
    CHECK_TEXT(rmd_route_pattern(req), "/group/:id/*rest");
    CHECK(rmd_route_data(req) == &some_data);
}

static void parameters_are_decoded_once_and_a_slash_is_one(void **state)
{
    (void)state;
    see(look_at_params, "GET", "/group/a%2Fb%20c/d/+e/%C3%A9", "", NULL);
}

/* ---- query and form ---- */

static void look_at_query(rmd_request *req)
{
    CHECK_TEXT(rmd_query(req, "a"), "1");
    CHECK_TEXT(rmd_query(req, "plus"), "x y z");
    CHECK_TEXT(rmd_query(req, "empty"), "");
    CHECK_TEXT(rmd_query(req, "none"), "");
    CHECK_TEXT(rmd_query(req, "b c"), "d=e");
    CHECK_TEXT(rmd_query(req, "u"), "\xc3\xa9");
    CHECK_NULL(rmd_query(req, "A"));
    CHECK_NULL(rmd_query(req, "bad"));
    CHECK_NULL(rmd_query(req, "nul"));
    CHECK_NULL(rmd_query(req, "missing"));
}

static void query_parameters_are_decoded(void **state)
{
    (void)state;
    see(look_at_query, "GET",
        "/?a=1&a=2&plus=x+y%20z&empty=&none&b+c=d=e&u=%C3%A9&bad=%zz&nul=a%00b&&=", "", NULL);
}

static void look_at_numbers(rmd_request *req)
{
    static const struct {
        const char *name;
        int rc;
        long long value;
    } rows[] = {
        {"one", 0, 1},         {"minus", 0, -5},     {"zeros", 0, 7},       {"max", 0, 100},
        {"min", 0, -100},      {"over", -ERANGE, 0}, {"under", -ERANGE, 0}, {"huge", -ERANGE, 0},
        {"word", -EINVAL, 0},  {"tail", -EINVAL, 0}, {"blank", -EINVAL, 0}, {"plus", -EINVAL, 0},
        {"empty", -EINVAL, 0}, {"hex", -EINVAL, 0},  {"dash", -EINVAL, 0},  {"missing", -ENOENT, 0},
        {"point", -EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        long long value = 4711;
        check_context("%s", rows[i].name);
        CHECK_EQ(rmd_query_int(req, rows[i].name, -100, 100, &value), rows[i].rc);
        CHECK_EQ(value, rows[i].rc == 0 ? rows[i].value : 4711);
    }
    check_context("nothing");
}

static void query_integers_are_decimal_and_in_range(void **state)
{
    (void)state;
    see(look_at_numbers, "GET",
        "/?one=1&minus=-5&zeros=007&max=100&min=-100&over=101&under=-101&huge=99999999999999999999"
        "&word=one&tail=1x&blank=+1&plus=%2B1&empty=&hex=0x1&dash=-&point=1.0",
        "", NULL);
}

static void look_at_form(rmd_request *req)
{
    CHECK_TEXT(rmd_form(req, "name"), "Ann B");
    CHECK_TEXT(rmd_form(req, "x"), "%");
    CHECK_NULL(rmd_form(req, "query")); /* of the target, not of the body */
    CHECK_NULL(rmd_query(req, "name"));
}

static void look_at_no_form(rmd_request *req)
{
    CHECK_NULL(rmd_form(req, "name"));
}

#define FORM "application/x-www-form-urlencoded"

static void form_fields_are_read_from_a_form_only(void **state)
{
    (void)state;
    static const char body[] = "name=Ann+B&x=%25&name=other";
    see(look_at_form, "POST", "/?query=1", "Content-Type: " FORM "\r\n", body);
    see(look_at_form, "POST", "/?query=1", "content-type: " FORM " ; charset=utf-8\r\n", body);
    see(look_at_form, "POST", "/?query=1", "Content-Type: Application/X-WWW-Form-Urlencoded\r\n",
        body);
    see(look_at_no_form, "POST", "/", "Content-Type: text/plain\r\n", body);
    see(look_at_no_form, "POST", "/", "Content-Type: " FORM "2\r\n", body);
    see(look_at_no_form, "POST", "/", "Content-Type:\r\n", body);
    see(look_at_no_form, "POST", "/", "", body);
    see(look_at_no_form, "POST", "/", "Content-Type: " FORM "\r\n", NULL);
}

/* ---- fields ---- */

static void look_at_fields(rmd_request *req)
{
    CHECK_TEXT(rmd_header(req, "HOST"), "localhost");
    CHECK_TEXT(rmd_header(req, "accept"), "one, two, , three");
    CHECK_TEXT(rmd_header(req, "Cookie"), "a=1; b=2");
    CHECK_TEXT(rmd_header(req, "X-Blank"), "");
    CHECK_NULL(rmd_header(req, "Accep"));
    CHECK_NULL(rmd_header(req, ""));
    CHECK_EQ(rmd_header_count(req), 8);
    rmd_slice name, value;
    CHECK_EQ(rmd_header_at(req, 1, &name, &value), 0);
    CHECK_BYTES(name.data, name.len, "Accept", 6);
    CHECK_BYTES(value.data, value.len, "one", 3);
    CHECK_EQ(rmd_header_at(req, 7, &name, &value), 0);
    CHECK_BYTES(name.data, name.len, "X-Blank", 7);
    CHECK_EQ(value.len, 0);
    CHECK_EQ(rmd_header_at(req, 8, &name, &value), -ERANGE);
    CHECK_EQ(rmd_header_at(req, SIZE_MAX, &name, &value), -ERANGE);
}

static void fields_are_joined_as_rfc_9110_says(void **state)
{
    (void)state;
    see(look_at_fields, "GET", "/",
        "Accept: one\r\nCookie: a=1\r\nACCEPT:\ttwo \r\nAccept:\r\naccept: three\r\ncookie: b=2\r\n"
        "X-Blank: \t \r\n",
        NULL);
}

static void look_at_cookies(rmd_request *req)
{
    CHECK_TEXT(rmd_cookie(req, "a"), "1");
    CHECK_TEXT(rmd_cookie(req, "b"), "two words");
    CHECK_TEXT(rmd_cookie(req, "c"), "");
    CHECK_TEXT(rmd_cookie(req, "d"), "x=y");
    CHECK_TEXT(rmd_cookie(req, "e"), "%20+"); /* as received */
    CHECK_TEXT(rmd_cookie(req, "f"), "\"");
    CHECK_TEXT(rmd_cookie(req, "last"), "z");
    CHECK_NULL(rmd_cookie(req, "A"));
    CHECK_NULL(rmd_cookie(req, "flag"));
    CHECK_NULL(rmd_cookie(req, "missing"));
}

static void look_at_no_cookies(rmd_request *req)
{
    CHECK_NULL(rmd_cookie(req, "a"));
}

static void cookies_are_found_in_every_cookie_field(void **state)
{
    (void)state;
    see(look_at_cookies, "GET", "/",
        "Cookie: a=1; b=\"two words\";c=;  d=x=y ; flag; a=2\r\nCookie: e=%20+; f=\";; last=z\r\n",
        NULL);
    see(look_at_no_cookies, "GET", "/", "", NULL);
    see(look_at_no_cookies, "GET", "/", "Cookie:\r\n", NULL);
    see(look_at_no_cookies, "GET", "/", "Cookie: ;;;=;=a;\r\nX-Cookie: a=1\r\n", NULL);
}

static void look_at_body(rmd_request *req)
{
    rmd_slice body = rmd_body(req);
    CHECK_BYTES(body.data, body.len, "some octets", 11);
}

static void look_at_no_body(rmd_request *req)
{
    CHECK_EQ(rmd_body(req).len, 0);
}

static void the_body_is_there_whole(void **state)
{
    (void)state;
    see(look_at_body, "POST", "/", "", "some octets");
    look = look_at_body;
    static const char chunked[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "5\r\nsome \r\n6\r\noctets\r\n0\r\n\r\n";
    CHECK_EQ(calls_send(chunked, sizeof chunked - 1), 200);
    see(look_at_no_body, "POST", "/", "", NULL);
}

/* ---- identity ---- */

static char trace[200];
static const char *wanted_trace; /* NULL: one made here */

static void look_at_trace(rmd_request *req)
{
    const char *text = rmd_trace_id(req);
    CHECK_TEXT(rmd_trace_id(req), text); /* the same each time */
    if (wanted_trace) {
        CHECK_TEXT(text, wanted_trace);
    } else {
        CHECK_EQ(strlen(text), 32);
        CHECK_EQ(strspn(text, "0123456789abcdef"), 32);
    }
    (void)snprintf(trace, sizeof trace, "%s", text);
}

static void a_clients_request_id_is_taken_when_it_is_harmless(void **state)
{
    (void)state;
    static const char all[] = "X-Request-ID: ABCXYZabcxyz0189._-=\r\n";
    wanted_trace = "ABCXYZabcxyz0189._-=";
    see(look_at_trace, "GET", "/", all, NULL);
    char longest[] =
        "X-Request-ID: @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@"
        "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@?\r\n";
    char *at = longest + 14;
    memset(at, 'i', 128);
    char kept[129] = "";
    memcpy(kept, at, 128);
    wanted_trace = NULL;
    *strchr(longest, '?') = 'j'; /* 129 characters */
    see(look_at_trace, "GET", "/", longest, NULL);
    wanted_trace = kept;
    *strrchr(longest, 'j') = ' ';
    see(look_at_trace, "GET", "/", longest, NULL);
    wanted_trace = NULL;
    static const char *const bad[] = {"",    "a b", "a\"b", "a,b", "\xc3\xa9",
                                      "a/b", "a:b", "<a>",  "a\tb"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char field[64];
        (void)snprintf(field, sizeof field, "X-Request-ID: %s\r\n", bad[i]);
        see(look_at_trace, "GET", "/", field, NULL);
    }
}

static void look_at_peer(rmd_request *req)
{
    CHECK_TEXT(rmd_peer(req), "127.0.0.1:0");
}

static void the_peer_has_a_name(void **state)
{
    (void)state;
    see(look_at_peer, "GET", "/", "", NULL);
}

/* ---- memory, text ---- */

static void look_at_memory(rmd_request *req)
{
    CHECK_NULL(rmd_user_data(req));
    rmd_set_user_data(req, &some_data);
    CHECK(rmd_user_data(req) == &some_data);
    rmd_set_user_data(req, NULL);
    CHECK_NULL(rmd_user_data(req));
    for (size_t n = 1; n < 100000; n = n * 3 + 1) {
        char *memory = rmd_alloc(req, n);
        CHECK(memory != NULL);
        CHECK_EQ((uintptr_t)memory % _Alignof(max_align_t), 0);
        memset(memory, 'm', n);
    }
    CHECK(rmd_alloc(req, 0) != NULL);
    const char *text = rmd_format(req, "%s-%d-%5000d", "a", 7, 1);
    CHECK_EQ(strlen(text), 5004);
    CHECK(strncmp(text, "a-7-  ", 6) == 0);
    CHECK_TEXT(rmd_format(req, "%s", ""), "");
}

static void memory_of_a_request_is_aligned_and_its_own(void **state)
{
    (void)state;
    see(look_at_memory, "GET", "/", "", NULL);
}

#define QUOTED(text, expected) CHECK_TEXT(rmd_json_quote(req, text, sizeof(text) - 1), expected)

/* RFC 8259 §7, RFC 3629 */
static void look_at_quotes(rmd_request *req)
{
    QUOTED("", "\"\"");
    QUOTED("plain", "\"plain\"");
    QUOTED("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    QUOTED("\0\x01\b\t\n\r\x1f\x7f",
           "\"\\u0000\\u0001\\u0008\\u0009\\u000a\\u000d\\u001f\\u007f\"");
    QUOTED("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    QUOTED("a\xff"
           "b",
           "\"a\\ufffdb\"");
    QUOTED("\xc3", "\"\\ufffd\"");                                  /* cut off */
    QUOTED("\xc0\xaf", "\"\\ufffd\\ufffd\"");                       /* too long a form */
    QUOTED("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");            /* surrogate */
    QUOTED("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""); /* beyond U+10FFFF */
    CHECK_TEXT(rmd_json_quote(req, NULL, 0), "\"\"");
    CHECK_NULL(rmd_json_quote(req, "", SIZE_MAX));
    CHECK_NULL(rmd_json_quote(req, "", SIZE_MAX / 6));
}

static void text_is_quoted_for_json(void **state)
{
    (void)state;
    see(look_at_quotes, "GET", "/", "", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_request_line_is_taken_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(parameters_are_decoded_once_and_a_slash_is_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(query_parameters_are_decoded, setup, teardown),
        cmocka_unit_test_setup_teardown(query_integers_are_decimal_and_in_range, setup, teardown),
        cmocka_unit_test_setup_teardown(form_fields_are_read_from_a_form_only, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_are_joined_as_rfc_9110_says, setup, teardown),
        cmocka_unit_test_setup_teardown(cookies_are_found_in_every_cookie_field, setup, teardown),
        cmocka_unit_test_setup_teardown(the_body_is_there_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clients_request_id_is_taken_when_it_is_harmless, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_peer_has_a_name, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_of_a_request_is_aligned_and_its_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(text_is_quoted_for_json, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
