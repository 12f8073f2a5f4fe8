/* workers/app_negotiate.c: what remuda.h says about negotiation, preconditions and ranges. The
 * rules themselves are tested in tests/unit/http/{negotiate,conditional,range}.c; here, that the
 * right fields reach them and that what they say becomes an answer. */
#include "http/date.h"

#include "base/clock.h"
#include "tests/unit/workers/calls.h"

static const char *etag;
static long long modified;
static bool was_answered; /* what rmd_precondition() returned */
static unsigned n_done;
static int status_before;
static bool is_by_reference;

static void accept_all(rmd_request *req, rmd_response *res)
{
    static const char *const types[] = {"text/html", "application/json", NULL};
    static const char *const codings[] = {"br", "gzip", "identity", NULL};
    static const char *const languages[] = {"en", "de", NULL};
    static const char *const none[] = {NULL};
    CHECK_EQ(rmd_accept_type(req, none), -1);
    rmd_text(res, 200, "%d %d %d", rmd_accept_type(req, types), rmd_accept_encoding(req, codings),
             rmd_accept_language(req, languages));
}

static void judge(rmd_request *req, rmd_response *res)
{
    was_answered = rmd_precondition(req, res, etag, modified);
    if (!was_answered) {
        CHECK_EQ(rmd_status(res), 0);
        rmd_text(res, 200, "content");
    }
}

static void count_done(void *arg)
{
    CHECK(arg == &n_done);
    n_done++;
}

static void give_ranges(rmd_request *req, rmd_response *res)
{
    if (rmd_precondition(req, res, etag, modified))
        return;
    if (is_by_reference)
        rmd_send_ref(res, status_before, "text/x-digits", "0123456789", 10, count_done, &n_done);
    else
        rmd_send(res, status_before, "text/x-digits", "0123456789", 10);
    rmd_allow_ranges(req, res);
}

static void give_nothing(rmd_request *req, rmd_response *res)
{
    if (rmd_query(req, "error"))
        rmd_error(res, 404);
    else if (rmd_query(req, "status"))
        rmd_set_status(res, 200);
    rmd_allow_ranges(req, res);
    if (rmd_query(req, "first"))
        rmd_text(res, 200, "text");
    if (rmd_query(req, "empty"))
        rmd_text(res, 200, "%s", "");
    if (rmd_query(req, "empty"))
        rmd_allow_ranges(req, res);
}

static const rmd_route routes[] = {
    {.method = "GET", .pattern = "/accept", .handler = accept_all},
    {.method = "*", .pattern = "/judge", .handler = judge},
    {.method = "*", .pattern = "/ranges", .handler = give_ranges},
    {.method = "GET", .pattern = "/nothing", .handler = give_nothing},
    {0}};
static const rmd_app app = CALLS_APP(.routes = routes);

static int setup(void **state)
{
    (void)state;
    etag = NULL;
    modified = -1;
    status_before = 200;
    is_by_reference = false;
    n_done = 0;
    calls_open(&app);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    calls_close();
    return 0;
}

/* ---- negotiation ---- */

static void each_field_decides_about_its_own_matter(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *expected;
    } rows[] = {
        {"", "0 2 0"}, /* anything will do, but nobody asked for a coding */
        {"Accept: application/json\r\n", "1 2 0"},
        {"Accept: text/*;q=0.1, application/json\r\n", "1 2 0"},
        {"Accept: text/html;q=0.1\r\naccept: application/json\r\n", "1 2 0"}, /* two lines */
        {"Accept: image/png\r\n", "-1 2 0"},
        {"Accept-Encoding: gzip\r\n", "0 1 0"},
        {"Accept-Encoding: gzip, br\r\n", "0 0 0"},
        {"Accept-Encoding: gzip;q=0.5, identity;q=0\r\n", "0 1 0"},
        {"Accept-Encoding: zstd, identity;q=0\r\n", "0 -1 0"},
        {"Accept-Language: de\r\n", "0 2 1"},
        {"Accept-Language: de-AT, en;q=0.5\r\n", "0 2 1"}, /* RFC 4647 §3.4 */
        {"Accept-Language: fr\r\n", "0 2 -1"},
        {"Accept-Language: de\r\nAccept: application/json\r\nAccept-Encoding: br\r\n", "1 0 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].fields);
        CHECK_EQ(calls_send_request("GET", "/accept", rows[i].fields, NULL), 200);
        CHECK_TEXT(calls_text(), rows[i].expected);
    }
}

/* ---- preconditions (RFC 9110 §13) ---- */

#define DAY_ONE "Fri, 02 Jan 1970 00:00:00 GMT"
#define BEFORE "Thu, 01 Jan 1970 23:59:59 GMT"

static void preconditions_are_judged_by_what_the_app_has(void **state)
{
    (void)state;
    static const struct {
        const char *method, *fields, *etag;
        long long modified;
        int status;
    } rows[] = {
        {"GET", "", "\"v7\"", 86400, 200},
        {"GET", "If-None-Match: \"v7\"\r\n", "\"v7\"", -1, 304},
        {"GET", "If-None-Match: W/\"v7\"\r\n", "\"v7\"", -1, 304}, /* weak comparison */
        {"GET", "If-None-Match: \"v6\"\r\nIf-None-Match: \"v7\"\r\n", "\"v7\"", -1, 304},
        {"GET", "If-None-Match: \"v6\"\r\n", "\"v7\"", -1, 200},
        {"GET", "If-None-Match: *\r\n", "\"v7\"", -1, 304},
        {"HEAD", "If-None-Match: \"v7\"\r\n", "\"v7\"", -1, 304},
        {"PUT", "If-None-Match: *\r\n", "\"v7\"", -1, 412},
        {"PUT", "If-Match: \"v7\"\r\n", "\"v7\"", -1, 200},
        {"PUT", "If-Match: \"v6\"\r\n", "\"v7\"", -1, 412},
        {"PUT", "If-Match: \"v7\"\r\n", "W/\"v7\"", -1, 412}, /* strong comparison */
        {"GET", "If-Modified-Since: " DAY_ONE "\r\n", NULL, 86400, 304},
        {"GET", "If-Modified-Since: " BEFORE "\r\n", NULL, 86400, 200},
        {"GET", "If-Modified-Since: " DAY_ONE "\r\n", NULL, -1, 200},
        {"GET", "If-Modified-Since: yesterday\r\n", NULL, 86400, 200},
        {"PUT", "If-Modified-Since: " DAY_ONE "\r\n", NULL, 86400, 200}, /* GET and HEAD only */
        {"PUT", "If-Unmodified-Since: " BEFORE "\r\n", NULL, 86400, 412},
        {"PUT", "If-Unmodified-Since: " DAY_ONE "\r\n", NULL, 86400, 200},
        {"GET", "If-None-Match: \"v6\"\r\nIf-Modified-Since: " DAY_ONE "\r\n", "\"v7\"", 86400,
         200}, /* §13.2.2: the tag decides */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s %s", rows[i].method, rows[i].fields);
        etag = rows[i].etag;
        modified = rows[i].modified;
        const char *body = strcmp(rows[i].method, "PUT") == 0 ? "body" : NULL;
        CHECK_EQ(calls_send_request(rows[i].method, "/judge", rows[i].fields, body),
                 rows[i].status);
        CHECK_EQ(was_answered, rows[i].status != 200);
        if (rows[i].status == 304) {
            CHECK_EQ(calls_body.len, 0);
            CHECK(calls_field("Content-Type") == NULL);
        }
        if (rows[i].etag && rows[i].status != 412)
            CHECK_TEXT(calls_field("ETag"), rows[i].etag);
        if (rows[i].modified >= 0 && rows[i].status != 412)
            CHECK_TEXT(calls_field("Last-Modified"), DAY_ONE);
        CHECK(rows[i].etag || calls_field("ETag") == NULL);
        CHECK(rows[i].modified >= 0 || calls_field("Last-Modified") == NULL);
    }
    CHECK_TEXT(calls_log(), "");
}

/* §8.8.2.1: no date is later than that of the answer. */
static void a_date_in_the_future_is_now(void **state)
{
    (void)state;
    etag = "\"a\"";
    modified = (long long)(clock_wall_us() / CLOCK_US_PER_S) + 100000;
    CHECK_EQ(calls_get("/judge"), 200);
    char date[64];
    (void)snprintf(date, sizeof date, "%s", calls_field("Date"));
    CHECK_TEXT(calls_field("Last-Modified"), date);
}

static void a_tag_that_is_none_is_a_mistake_and_not_sent(void **state)
{
    (void)state;
    static const char *const bad[] = {"v7", "", "\"", "\"a", "w/\"a\"", "\"a\"b", "\"a\r\nX: y\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        check_context("%s", bad[i]);
        etag = bad[i];
        CHECK_EQ(calls_get("/judge"), 200);
        CHECK(calls_field("ETag") == NULL && calls_field("X") == NULL);
        CHECK_HAS(calls_log(), "entity tag");
        CHECK_EQ(calls_send_request("GET", "/judge", "If-None-Match: \"a\", v7\r\n", NULL), 200);
    }
}

/* ---- ranges (§14) ---- */

static void parts_are_given_to_who_asks_for_them(void **state)
{
    (void)state;
    static const struct {
        const char *method, *fields;
        int status;
        const char *body, *content_range;
    } rows[] = {
        {"GET", "", 200, "0123456789", NULL},
        {"GET", "Range: bytes=2-4\r\n", 206, "234", "bytes 2-4/10"},
        {"GET", "Range: bytes=-3\r\n", 206, "789", "bytes 7-9/10"},
        {"GET", "Range: bytes=8-100\r\n", 206, "89", "bytes 8-9/10"},
        {"GET", "Range: bytes=10-\r\n", 416, NULL, "bytes */10"},
        {"GET", "Range: lines=1-2\r\n", 200, "0123456789", NULL},
        {"GET", "Range: bytes=4-2\r\n", 200, "0123456789", NULL},
        {"GET", "Range: bytes=2-4\r\nIf-Range: \"v7\"\r\n", 206, "234", "bytes 2-4/10"},
        {"GET", "Range: bytes=2-4\r\nIf-Range: \"v6\"\r\n", 200, "0123456789", NULL},
        {"GET", "Range: bytes=2-4\r\nIf-Range: W/\"v7\"\r\n", 200, "0123456789", NULL},
        {"GET", "Range: bytes=2-4\r\nIf-Range: " DAY_ONE "\r\n", 206, "234", "bytes 2-4/10"},
        {"GET", "Range: bytes=2-4\r\nIf-Range: " BEFORE "\r\n", 200, "0123456789", NULL},
        {"GET", "Range: bytes=2-4\r\nIf-None-Match: \"v7\"\r\n", 304, "", NULL},
        {"GET", "Range: bytes=2-4\r\nIf-None-Match: \"v6\"\r\n", 206, "234", "bytes 2-4/10"},
        {"HEAD", "Range: bytes=2-4\r\n", 200, "", NULL}, /* §14.2: for GET only */
        {"POST", "Range: bytes=2-4\r\n", 200, "0123456789", NULL},
    };
    etag = "\"v7\"";
    modified = 86400;
    for (int i = 0; i < 2 * (int)(sizeof rows / sizeof rows[0]); i++) {
        int k = i / 2;
        check_context("%s %s", rows[k].method, rows[k].fields);
        is_by_reference = i % 2;
        n_done = 0;
        CHECK_EQ(calls_send_request(rows[k].method, "/ranges", rows[k].fields, NULL),
                 rows[k].status);
        if (rows[k].body)
            CHECK_TEXT(calls_text(), rows[k].body);
        const char *range = calls_field("Content-Range");
        if (rows[k].content_range)
            CHECK_TEXT(range, rows[k].content_range);
        else
            CHECK(range == NULL);
        if (rows[k].status == 200 || rows[k].status == 206) {
            CHECK_TEXT(calls_field("Content-Type"), "text/x-digits");
            CHECK_TEXT(calls_field("Accept-Ranges"), "bytes");
            CHECK_TEXT(calls_field("ETag"), "\"v7\"");
        }
        CHECK_EQ(n_done, is_by_reference && rows[k].status != 304);
    }
    CHECK_TEXT(calls_log(), "");
}

static void several_parts_are_one_answer(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        is_by_reference = i;
        n_done = 0;
        CHECK_EQ(calls_send_request("GET", "/ranges", "Range: bytes=0-1, 8-\r\n", NULL), 206);
        const char *type = calls_field("Content-Type");
        CHECK_HAS(type, "multipart/byteranges; boundary=");
        char boundary[128];
        (void)snprintf(boundary, sizeof boundary, "--%s", strstr(type, "boundary=") + 9);
        CHECK_HAS(calls_text(), boundary);
        CHECK_HAS(calls_text(), "Content-Type: text/x-digits\r\n");
        CHECK_HAS(calls_text(), "Content-Range: bytes 0-1/10\r\n");
        CHECK_HAS(calls_text(), "\r\n\r\n01\r\n--");
        CHECK_HAS(calls_text(), "Content-Range: bytes 8-9/10\r\n");
        CHECK_HAS(calls_text(), "\r\n\r\n89\r\n--");
        CHECK(calls_field("Content-Range") == NULL);
        CHECK_EQ(n_done, i);
    }
}

/* What is no whole representation has no parts. */
static void other_answers_stay_as_they_are(void **state)
{
    (void)state;
    static const int statuses[] = {201, 203, 206, 404, 500};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        status_before = statuses[i];
        CHECK_EQ(calls_send_request("GET", "/ranges", "Range: bytes=2-4\r\n", NULL), statuses[i]);
        CHECK_TEXT(calls_text(), "0123456789");
        CHECK(calls_field("Accept-Ranges") == NULL);
    }
    static const struct {
        const char *target;
        int status;
        const char *body;
    } rows[] = {{"/nothing?error", 404, "404 Not Found\n"},
                {"/nothing?status", 200, ""},
                {"/nothing?first", 200, "text"}, /* before there was an answer */
                {"/nothing?empty", 200, ""},
                {"/nothing", 500, "500 Internal Server Error\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].target);
        CHECK_EQ(calls_send_request("GET", rows[i].target, "Range: bytes=0-1\r\n", NULL),
                 rows[i].status);
        CHECK_TEXT(calls_text(), rows[i].body);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_field_decides_about_its_own_matter),
        TEST(preconditions_are_judged_by_what_the_app_has),
        TEST(a_date_in_the_future_is_now),
        TEST(a_tag_that_is_none_is_a_mistake_and_not_sent),
        TEST(parts_are_given_to_who_asks_for_them),
        TEST(several_parts_are_one_answer),
        TEST(other_answers_stay_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
