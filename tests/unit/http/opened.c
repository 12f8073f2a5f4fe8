/* http/opened.c: what is said about a file that is open: validators, conditions, ranges. */
#include "http/opened.h"

#include <sys/resource.h>

#include "http/date.h"
#include "tests/unit/http/asked.h"

#define NOW INT64_C(1700000000)     /* Tue, 14 Nov 2023 22:13:20 GMT */
#define CHANGED INT64_C(1600000000) /* Sun, 13 Sep 2020 12:26:40 GMT */
#define CHANGED_TEXT "Sun, 13 Sep 2020 12:26:40 GMT"

static int setup(void **state)
{
    if (asked_enter_folder(state) < 0)
        return -1;
    asked_write("file", "0123456789");
    asked_touch("file", CHANGED, 123);
    asked_write("empty", "");
    asked_touch("empty", CHANGED, 0);
    return 0;
}

static struct opened open_file(const char *path)
{
    struct opened file = {.fd = open(path, O_RDONLY | O_CLOEXEC), .type = STR("text/plain")};
    CHECK(file.fd >= 0 && fstat(file.fd, &file.st) == 0);
    return file;
}

static int answer(struct asked *a, const struct opened *file)
{
    int rc = opened_answer(file, NOW, &a->req, &a->res, &a->err);
    if (rc == 0)
        asked_read_body(a);
    return rc == 0 ? a->res.status : rc;
}

static int ask(struct asked *a, const char *method, const char *fields)
{
    struct opened file = open_file("file");
    asked_init(a, method, fields);
    return answer(a, &file);
}

static void get_etag(char out[128])
{
    struct asked a;
    CHECK_EQ(ask(&a, "GET", ""), 200);
    (void)snprintf(out, 128, "%s", asked_field(&a, "ETag"));
    asked_fini(&a);
}

static void a_whole_file_comes_with_its_validators(void **state)
{
    (void)state;
    struct asked a;
    struct stat st;
    char etag[128];
    CHECK_EQ(stat("file", &st), 0);
    (void)snprintf(etag, sizeof etag, "\"%llx-a-%llx\"", 1600000000000000123ULL,
                   (unsigned long long)st.st_ino);
    CHECK_EQ(ask(&a, "GET", ""), 200);
    CHECK_TEXT(a.body, "0123456789");
    CHECK(a.res.kind == RESPONSE_FILE && a.res.n_parts == 1 && !a.res.parts[0].data);
    CHECK_BYTES(a.res.type.p, a.res.type.len, "text/plain", 10);
    CHECK_TEXT(asked_field(&a, "ETag"), etag);
    CHECK_TEXT(asked_field(&a, "Last-Modified"), CHANGED_TEXT);
    CHECK_TEXT(asked_field(&a, "Accept-Ranges"), "bytes");
    CHECK_EQ(asked_count_fields(&a), 3);
    asked_fini(&a);
}

static void every_change_changes_the_tag(void **state)
{
    (void)state;
    char tags[5][128];
    get_etag(tags[0]);
    asked_touch("file", CHANGED, 124); /* a nanosecond */
    get_etag(tags[1]);
    asked_write("file", "012345678");
    asked_touch("file", CHANGED, 123); /* the size */
    get_etag(tags[2]);
    asked_write("other", "0123456789");
    asked_touch("other", CHANGED, 123);
    CHECK_EQ(rename("other", "file"), 0); /* the inode */
    get_etag(tags[3]);
    asked_touch("file", 0, 0);
    get_etag(tags[4]);
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < i; k++)
            CHECK_SAYING(strcmp(tags[i], tags[k]) != 0, "%s twice", tags[i]);
}

static void what_the_mount_says_is_said(void **state)
{
    (void)state;
    struct asked a;
    struct opened file = open_file("file");
    file.coding = "br";
    file.varies = true;
    file.cache_control = STR("max-age=60");
    asked_init(&a, "GET", "");
    CHECK_EQ(answer(&a, &file), 200);
    CHECK_TEXT(asked_field(&a, "Content-Encoding"), "br");
    CHECK_TEXT(asked_field(&a, "Vary"), "Accept-Encoding");
    CHECK_TEXT(asked_field(&a, "Cache-Control"), "max-age=60");
    CHECK_HAS(asked_field(&a, "ETag"), "-br\"");
    asked_fini(&a);
}

static void what_a_filter_has_set_stays(void **state)
{
    (void)state;
    struct asked a;
    struct opened file = open_file("file");
    file.cache_control = STR("max-age=60");
    file.varies = true;
    asked_init(&a, "GET", "");
    CHECK_EQ(response_set(&a.res, &a.arena, STR("Cache-Control"), STR("no-store"), true), 0);
    CHECK_EQ(response_set(&a.res, &a.arena, STR("Vary"), STR("Cookie"), true), 0);
    CHECK_EQ(answer(&a, &file), 200);
    CHECK_TEXT(asked_field(&a, "Cache-Control"), "no-store");
    CHECK_TEXT(asked_field(&a, "Vary"), "Cookie"); /* and one more line */
    CHECK_EQ(asked_count_fields(&a), 6);
    asked_fini(&a);
}

static void last_modified_is_never_in_the_future(void **state)
{
    (void)state;
    struct asked a;
    asked_touch("file", NOW + 1000, 0);
    CHECK_EQ(ask(&a, "GET", ""), 200);
    CHECK_TEXT(asked_field(&a, "Last-Modified"), "Tue, 14 Nov 2023 22:13:20 GMT");
    asked_fini(&a);
    asked_touch("file", -1000, 0);
    CHECK_EQ(ask(&a, "GET", ""), 200);
    CHECK_TEXT(asked_field(&a, "Last-Modified"), "Thu, 01 Jan 1970 00:00:00 GMT");
    asked_fini(&a);
}

static void conditions_are_judged_before_anything_is_sent(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *fields; /* %s: the tag */
        int status;
    } rows[] = {
        {"GET", "If-None-Match: %s\r\n", 304},
        {"HEAD", "If-None-Match: %s\r\n", 304},
        {"GET", "If-None-Match: W/%s\r\n", 304},
        {"GET", "If-None-Match: \"a\"\r\nIf-None-Match: %s\r\n", 304},
        {"GET", "If-None-Match: *\r\n", 304},
        {"GET", "If-None-Match: \"a\"\r\nIf-Modified-Since: " CHANGED_TEXT "\r\n", 200},
        {"GET", "If-Modified-Since: " CHANGED_TEXT "\r\n", 304},
        {"GET", "If-Modified-Since: Sun, 13 Sep 2020 12:26:39 GMT\r\n", 200},
        {"GET", "If-Match: %s\r\n", 200},
        {"GET", "If-Match: W/%s\r\n", 412},
        {"GET", "If-Match: \"a\"\r\n", 412},
        {"GET", "If-Unmodified-Since: Sun, 13 Sep 2020 12:26:39 GMT\r\n", 412},
        {"GET", "If-Unmodified-Since: " CHANGED_TEXT "\r\n", 200},
        {"GET", "If-None-Match: %s\r\nRange: bytes=0-1\r\n", 304},
        {"GET", "If-Match: \"a\"\r\nRange: bytes=0-1\r\n", 412},
        {"GET", "If-Range: %s\r\nRange: bytes=0-1\r\n", 206},
        {"GET", "If-Range: \"a\"\r\nRange: bytes=0-1\r\n", 200},
        {"GET", "If-Range: " CHANGED_TEXT "\r\nRange: bytes=0-1\r\n", 206},
        {"GET", "If-Range: Sun, 13 Sep 2020 12:26:41 GMT\r\nRange: bytes=0-1\r\n", 200},
        {"GET", "If-Range: \"a\"\r\nRange: bytes=100-\r\n", 200},
    };
    char etag[128];
    get_etag(etag);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct asked a;
        char fields[512];
        const char *mark = strstr(rows[i].fields, "%s");
        int before = mark ? (int)(mark - rows[i].fields) : (int)strlen(rows[i].fields);
        (void)snprintf(fields, sizeof fields, "%.*s%s%s", before, rows[i].fields, mark ? etag : "",
                       mark ? mark + 2 : "");
        check_context("%s %s", rows[i].method, fields);
        CHECK_EQ(ask(&a, rows[i].method, fields), rows[i].status);
        if (rows[i].status == 412)
            CHECK_EQ(asked_count_fields(&a), 0);
        asked_fini(&a);
    }
}

static void not_modified_says_what_a_cache_needs_and_no_more(void **state)
{
    (void)state;
    struct asked a;
    struct opened file = open_file("file");
    file.coding = "gzip";
    file.varies = true;
    file.cache_control = STR("max-age=60");
    asked_init(&a, "GET", "If-None-Match: *\r\n");
    CHECK_EQ(answer(&a, &file), 304);
    CHECK(a.res.kind == RESPONSE_EMPTY && a.res.type.len == 0);
    CHECK_HAS(asked_field(&a, "ETag"), "-gzip\"");
    CHECK_TEXT(asked_field(&a, "Last-Modified"), CHANGED_TEXT);
    CHECK_TEXT(asked_field(&a, "Cache-Control"), "max-age=60");
    CHECK_TEXT(asked_field(&a, "Vary"), "Accept-Encoding");
    CHECK_EQ(asked_count_fields(&a), 4);
    asked_fini(&a);
}

static void one_range_is_a_part_of_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        const char *body;
        const char *content_range;
    } rows[] = {
        {"bytes=0-0", "0", "bytes 0-0/10"},        {"bytes=2-5", "2345", "bytes 2-5/10"},
        {"bytes=7-", "789", "bytes 7-9/10"},       {"bytes=-3", "789", "bytes 7-9/10"},
        {"bytes=5-1000", "56789", "bytes 5-9/10"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct asked a;
        char fields[128];
        (void)snprintf(fields, sizeof fields, "Range: %s\r\n", rows[i].range);
        check_context("%s", rows[i].range);
        CHECK_EQ(ask(&a, "GET", fields), 206);
        CHECK_TEXT(a.body, rows[i].body);
        CHECK_TEXT(asked_field(&a, "Content-Range"), rows[i].content_range);
        CHECK_TEXT(asked_field(&a, "Last-Modified"), CHANGED_TEXT);
        CHECK_BYTES(a.res.type.p, a.res.type.len, "text/plain", 10);
        asked_fini(&a);
    }
}

static void several_ranges_are_parts_with_a_boundary_that_nobody_can_guess(void **state)
{
    (void)state;
    struct asked a;
    char first[128] = "";
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(ask(&a, "GET", "Range: bytes=0-1, 8-\r\n"), 206);
        char *type = arena_strndup(&a.arena, a.res.type.p, a.res.type.len);
        CHECK_HAS(type, "multipart/byteranges; boundary=");
        const char *boundary = strstr(type, "boundary=") + 9;
        CHECK(strlen(boundary) >= 32);
        CHECK(strcmp(first, boundary) != 0);
        (void)snprintf(first, sizeof first, "%s", boundary);
        CHECK_HAS(a.body, boundary);
        CHECK_HAS(a.body, "Content-Range: bytes 0-1/10\r\n\r\n01\r\n");
        CHECK_HAS(a.body, "Content-Range: bytes 8-9/10\r\n\r\n89\r\n");
        CHECK_HAS(a.body, "Content-Type: text/plain\r\n");
        CHECK_TEXT(asked_field(&a, "Content-Range"), "");
        asked_fini(&a);
    }
}

static void a_range_that_is_not_there_is_refused_with_the_length(void **state)
{
    (void)state;
    struct asked a;
    CHECK_EQ(ask(&a, "GET", "Range: bytes=10-\r\n"), 416);
    CHECK_TEXT(asked_field(&a, "Content-Range"), "bytes */10");
    CHECK_EQ(asked_count_fields(&a), 1);
    CHECK(a.res.kind == RESPONSE_NONE);
    asked_fini(&a);
}

static void ranges_that_make_no_sense_give_the_whole(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "Range: bytes=a-b\r\n",
        "Range: lines=0-1\r\n",
        "Range: bytes=5-2\r\n",
        "Range: \r\n",
        "Range: bytes=0-1\r\nRange: bytes=3-4\r\n",
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct asked a;
        check_context("%s", fields[i]);
        CHECK_EQ(ask(&a, "GET", fields[i]), 200);
        CHECK_TEXT(a.body, "0123456789");
        asked_fini(&a);
    }
    struct asked a;
    CHECK_EQ(ask(&a, "HEAD", "Range: bytes=0-1\r\n"), 200); /* RFC 9110 §14.2: only GET */
    asked_fini(&a);
}

static void an_empty_file_is_an_answer_without_octets(void **state)
{
    (void)state;
    struct asked a;
    struct opened file = open_file("empty");
    asked_init(&a, "GET", "Range: bytes=0-\r\n");
    CHECK_EQ(answer(&a, &file), 200);
    CHECK(a.res.kind == RESPONSE_BYTES && a.res.body_len == 0);
    CHECK_BYTES(a.res.type.p, a.res.type.len, "text/plain", 10);
    CHECK_TEXT(asked_field(&a, "Last-Modified"), CHANGED_TEXT);
    asked_fini(&a);
}

static void the_descriptor_is_owned_or_closed(void **state)
{
    (void)state;
    static const char *const fields[] = {"", "If-None-Match: *\r\n", "If-Match: \"a\"\r\n",
                                         "Range: bytes=99-\r\n", "Range: bytes=0-0,5-5\r\n"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct asked a;
        struct opened file = open_file("file");
        check_context("%s", fields[i]);
        asked_init(&a, "GET", fields[i]);
        (void)answer(&a, &file);
        CHECK_EQ(fcntl(file.fd, F_GETFD) >= 0, a.res.kind == RESPONSE_FILE);
        asked_fini(&a);
        CHECK_EQ(fcntl(file.fd, F_GETFD), -1);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, asked_leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_whole_file_comes_with_its_validators),
        IN_FOLDER(every_change_changes_the_tag),
        IN_FOLDER(what_the_mount_says_is_said),
        IN_FOLDER(what_a_filter_has_set_stays),
        IN_FOLDER(last_modified_is_never_in_the_future),
        IN_FOLDER(conditions_are_judged_before_anything_is_sent),
        IN_FOLDER(not_modified_says_what_a_cache_needs_and_no_more),
        IN_FOLDER(one_range_is_a_part_of_the_file),
        IN_FOLDER(several_ranges_are_parts_with_a_boundary_that_nobody_can_guess),
        IN_FOLDER(a_range_that_is_not_there_is_refused_with_the_length),
        IN_FOLDER(ranges_that_make_no_sense_give_the_whole),
        IN_FOLDER(an_empty_file_is_an_answer_without_octets),
        IN_FOLDER(the_descriptor_is_owned_or_closed),
    };
    return cmocka_run_group_tests_name("http/opened", tests, NULL, NULL);
}
