/* http/path.c: vectors by hand, then random paths against a model that does the same job in another
 * way (RFC 3986 §5.2.4 word for word, on text whose encoded slashes are hidden first). */
#include "http/path.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"

static struct arena arena;

static int arena_setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    return 0;
}

static int arena_teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

/* ---- paths ---- */

struct vector {
    const char *raw;
    const char *path;    /* NULL: refused */
    const char *encoded; /* NULL: as path */
};

static const struct vector vectors[] = {
    {"/", "/", NULL},
    {"/a/b", "/a/b", NULL},
    {"//a", "//a", NULL},
    {"/a//b/", "/a//b/", NULL},
    {"///", "///", NULL},
    /* dot segments: RFC 3986 §5.2.4 and §5.4.2 */
    {"/.", "/", NULL},
    {"/..", "/", NULL},
    {"/./", "/", NULL},
    {"/../", "/", NULL},
    {"/../../x", "/x", NULL},
    {"/a/.", "/a/", NULL},
    {"/a/..", "/", NULL},
    {"/a/./b", "/a/b", NULL},
    {"/a/../b", "/b", NULL},
    {"/a/b/c/./../../g", "/a/g", NULL},
    {"/mid/content=5/../6", "/mid/6", NULL},
    {"/b/c/../../../g", "/g", NULL},
    {"/b/c/g;x=1/./y", "/b/c/g;x=1/y", NULL},
    {"/b/c/g;x=1/../y", "/b/c/y", NULL},
    {"/a//../b", "/a/b", NULL},
    {"//..", "/", NULL},
    {"/a/...", "/a/...", NULL},
    {"/a/.b/..c/d./e..", "/a/.b/..c/d./e..", NULL},
    {"/a/..;/b", "/a/..;/b", NULL}, /* some servers read this as "/b" */
    {"/a/.;/b", "/a/.;/b", NULL},
    {"/a\\..\\b", "/a\\..\\b", NULL},
    /* escapes, once */
    {"/%41%7e%7E", "/A~~", "/%41%7e%7E"},
    {"/s%C3%BC%c3%9f", "/s\xc3\xbc\xc3\x9f", "/s%C3%BC%c3%9f"},
    {"/a+b", "/a+b", NULL},
    {"/a%20b%3f%23", "/a b?#", "/a%20b%3f%23"},
    {"/%ff%01", "/\xff\x01", "/%ff%01"},
    {"/%2541", "/%41", "/%2541"},
    {"/%252e%252e/x", "/%2e%2e/x", "/%252e%252e/x"},
    {"/%25", "/%", "/%25"},
    /* dot segments written with escapes */
    {"/%2e%2e/x", "/x", NULL},
    {"/a/%2E/b", "/a/b", NULL},
    {"/a/b/.%2e/c", "/a/c", NULL},
    {"/a/%2e.", "/", NULL},
    {"/a/%2e", "/a/", NULL},
    {"/a/%2e%2e%2e", "/a/...", "/a/%2e%2e%2e"},
    /* an encoded slash stays one and cuts nothing */
    {"/a%2Fb", "/a%2Fb", NULL},
    {"/a%2fb", "/a%2Fb", "/a%2fb"},
    {"/..%2Fx", "/..%2Fx", NULL},
    {"/a/%2E%2E%2Fx/%2e%2e/b", "/a/b", NULL},
    {"/a/..%2f../b", "/a/..%2F../b", "/a/..%2f../b"},
    {"/a%252Fb", "/a%2Fb", "/a%252Fb"},
    {"/a%5c..%5cb", "/a\\..\\b", "/a%5c..%5cb"},
    /* refused */
    {"", NULL, NULL},
    {"a", NULL, NULL},
    {"*", NULL, NULL},
    {"%2Fa", NULL, NULL},
    {"/%", NULL, NULL},
    {"/%4", NULL, NULL},
    {"/%zz", NULL, NULL},
    {"/%4g", NULL, NULL},
    {"/%g4", NULL, NULL},
    {"/%%41", NULL, NULL},
    {"/% 41", NULL, NULL},
    {"/%+1", NULL, NULL},
    {"/%0x", NULL, NULL},
    {"/%00", NULL, NULL},
    {"/a/%00/b", NULL, NULL},
    {"/%/41", NULL, NULL},
    {"/%4/1", NULL, NULL},
    {"/%zz/..", NULL, NULL}, /* also where a later ".." would remove it */
    {"/%00/..", NULL, NULL},
};

static void path_normalises_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct vector *v = &vectors[i];
        struct str path = STR("untouched");
        struct str encoded = STR("untouched");
        int rc = path_resolve(str_of(v->raw), &arena, &path, &encoded);
        struct str again = STR("untouched");
        assert_int_equal(path_normalise(str_of(v->raw), &arena, &again), rc);
        assert_true(str_is_equal(path, again));
        if (!v->path) {
            assert_int_equal(rc, -EINVAL);
            assert_true(str_is_equal(path, STR("untouched")));
            continue;
        }
        struct str want = str_of(v->encoded ? v->encoded : v->path);
        if (rc != 0 || !str_is_equal(path, str_of(v->path)) || !str_is_equal(encoded, want))
            fail_msg("%s: %d, path %.*s, encoded %.*s", v->raw, rc, STR_ARG(path),
                     STR_ARG(encoded));
    }
}

static void path_needs_no_copy_when_nothing_is_to_do(void **state)
{
    (void)state;
    struct str raw = STR("/users/17/.well-known/x..y");
    struct str path;
    assert_int_equal(path_normalise(raw, &arena, &path), 0);
    assert_ptr_equal(path.p, raw.p);
    assert_int_equal(path.len, raw.len);
}

static void path_copies_end_in_nul(void **state)
{
    (void)state;
    struct str path;
    struct str encoded;
    assert_int_equal(path_resolve(STR("/%41/./b"), &arena, &path, &encoded), 0);
    assert_string_equal(path.p, "/A/b");
    assert_string_equal(encoded.p, "/%41/b");
}

/* ---- the model ---- */

/* A generator of its own, so that every run tests the same paths. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 16;
}

#define HIDDEN_SLASH '\x01' /* the generator makes no such octet */

/* RFC 3986 §5.2.4, steps A to E, in place. */
static void model_remove_dots(char *text)
{
    char out[512];
    size_t n = 0;
    char *in = text;
    while (*in) {
        if (strncmp(in, "/./", 3) == 0) {
            in += 2;
        } else if (strcmp(in, "/.") == 0) {
            in[1] = '\0';
        } else if (strncmp(in, "/../", 4) == 0 || strcmp(in, "/..") == 0) {
            if (in[3])
                in += 3;
            else
                in[1] = '\0';
            while (n > 0 && out[--n] != '/')
                continue;
        } else {
            do
                out[n++] = *in++;
            while (*in && *in != '/');
        }
    }
    memcpy(text, out, n);
    text[n] = '\0';
}

/* Decodes, hides encoded slashes, removes dot segments, shows them again. False: refused. */
static bool model_normalise(const char *raw, char *out)
{
    char text[512];
    size_t n = 0;
    while (*raw) {
        unsigned octet = (unsigned char)*raw;
        int used = 1;
        if (octet == '%') {
            used = 0;
            if (strspn(raw + 1, "0123456789abcdefABCDEF") < 2 ||
                sscanf(raw + 1, "%2x%n", &octet, &used) != 1 || octet == 0)
                return false;
            used = 3;
            octet = octet == '/' ? HIDDEN_SLASH : octet;
        }
        text[n++] = (char)octet;
        raw += used;
    }
    text[n] = '\0';
    model_remove_dots(text);
    for (const char *at = text; *at; at++) {
        if (*at == HIDDEN_SLASH) {
            memcpy(out, "%2F", 3);
            out += 3;
        } else {
            *out++ = *at;
        }
    }
    *out = '\0';
    return true;
}

static size_t count_slashes(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += s.p[i] == '/';
    return n;
}

/* What anyone may rely on, whatever came in. */
static void check_resolved(const char *raw, struct str path, struct str encoded)
{
    assert_true(path.len > 0 && path.p[0] == '/');
    for (size_t i = 0; i < path.len;) {
        const char *start = path.p + i + 1;
        const char *slash = memchr(start, '/', path.len - i - 1);
        size_t len = slash ? (size_t)(slash - start) : path.len - i - 1;
        if (str_is_equal(str_make(start, len), STR(".")) ||
            str_is_equal(str_make(start, len), STR("..")))
            fail_msg("%s: dot segment left in %.*s", raw, STR_ARG(path));
        i += 1 + len;
    }
    assert_int_equal(count_slashes(path), count_slashes(encoded));
    struct str again; /* what the encoded form decodes to is the path */
    assert_int_equal(path_normalise(encoded, &arena, &again), 0);
    if (!str_is_equal(again, path))
        fail_msg("%s: %.*s is not the path of %.*s", raw, STR_ARG(path), STR_ARG(encoded));
}

static void path_agrees_with_the_model_on_random_paths(void **state)
{
    (void)state;
    static const char *const pieces[] = {"/",   "/",   "/",  ".",   "..",  "%2e", "%2E",  "%2f",
                                         "%2F", "%25", "2e", "a",   "b;c", "%41", "%c3",  "%",
                                         "%00", "%5c", "+",  "/..", "/.",  "2F",  "%252F"};
    uint32_t seed = 1;
    size_t n_accepted = 0;
    for (int round = 0; round < 200000; round++) {
        char raw[512] = "/";
        size_t n = 1;
        for (uint32_t left = next_random(&seed) % 12; left > 0; left--) {
            const char *piece = pieces[next_random(&seed) % (sizeof pieces / sizeof pieces[0])];
            size_t len = strlen(piece);
            if (strcmp(piece, "%00") == 0 && next_random(&seed) % 8 != 0)
                continue; /* most paths should be good ones */
            memcpy(raw + n, piece, len + 1);
            n += len;
        }
        char want[1024];
        bool is_good = model_normalise(raw, want);
        struct str path;
        struct str encoded;
        int rc = path_resolve(str_of(raw), &arena, &path, &encoded);
        if (rc != (is_good ? 0 : -EINVAL) || (is_good && !str_is_equal(path, str_of(want))))
            fail_msg("%s: %d %.*s, model says %s", raw, rc, rc ? 0 : (int)path.len,
                     rc ? "" : path.p, is_good ? want : "refused");
        if (rc == 0)
            check_resolved(raw, path, encoded);
        n_accepted += is_good;
        arena_reset(&arena);
    }
    assert_in_range(n_accepted, 50000, 190000);
}

/* ---- escapes ---- */

static void path_decode_decodes_every_escape_once(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        bool is_form;
        const char *text; /* NULL: refused */
    } cases[] = {
        {"", false, ""},          {"abc", false, "abc"},       {"a%2Fb", false, "a/b"},
        {"%252e", false, "%2e"},  {"%2e%2E", false, ".."},     {"a+b%2B", false, "a+b+"},
        {"a+b%2B", true, "a b+"}, {"%20", false, " "},         {"%ff", false, "\xff"},
        {"%", false, NULL},       {"a%2", false, NULL},        {"%zz", false, NULL},
        {"%00", false, NULL},     {"a%00b", true, NULL},       {"%%", false, NULL},
        {"%2%46", false, NULL},   {"%25%32%66", false, "%2f"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = 999;
        char *text = path_decode(str_of(cases[i].raw), cases[i].is_form, &arena, &len);
        if (!cases[i].text) {
            assert_null(text);
            assert_int_equal(len, 999);
            continue;
        }
        assert_non_null(text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(len, strlen(cases[i].text));
    }
    assert_string_equal(path_decode((struct str){NULL, 0}, true, &arena, NULL), "");
    assert_null(path_decode(STR("a\0b"), true, &arena, NULL));
}

static void path_decode_does_not_read_past_the_end(void **state)
{
    (void)state;
    assert_null(path_decode(str_make("%41", 2), false, &arena, NULL));
    assert_null(path_decode(str_make("%41", 1), false, &arena, NULL));
    assert_true(path_name_is(str_make("aXY", 1), "a"));
    assert_false(path_name_is(str_make("%41", 2), "A"));
}

static void path_decode_undoes_any_encoding(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (int round = 0; round < 20000; round++) {
        char text[40];
        char raw[sizeof text * 3 + 1];
        size_t len = next_random(&seed) % sizeof text;
        size_t n = 0;
        for (size_t i = 0; i < len; i++) {
            unsigned octet = 1 + next_random(&seed) % 255;
            text[i] = (char)octet;
            if (octet == '%' || next_random(&seed) % 2)
                n += (size_t)snprintf(raw + n, 4, next_random(&seed) % 2 ? "%%%02x" : "%%%02X",
                                      octet);
            else
                raw[n++] = (char)octet;
        }
        size_t out_len;
        char *out = path_decode(str_make(raw, n), false, &arena, &out_len);
        assert_non_null(out);
        assert_int_equal(out_len, len);
        assert_memory_equal(out, text, len);
        arena_reset(&arena);
    }
}

/* ---- pairs ---- */

static void check_pairs(const char *query, const char *expected)
{
    char found[256] = "";
    size_t n = 0;
    struct str rest = str_of(query);
    struct str name;
    struct str value;
    while (path_next_pair(&rest, &name, &value))
        n += (size_t)snprintf(found + n, sizeof found - n, "[%.*s|%.*s]", STR_ARG(name),
                              STR_ARG(value));
    assert_string_equal(found, expected);
    assert_int_equal(rest.len, 0);
}

static void path_next_pair_walks_queries(void **state)
{
    (void)state;
    check_pairs("", "");
    check_pairs("&", "");
    check_pairs("&&&", "");
    check_pairs("a", "[a|]");
    check_pairs("a=", "[a|]");
    check_pairs("=b", "[|b]");
    check_pairs("=", "[|]");
    check_pairs("a=1&b=2", "[a|1][b|2]");
    check_pairs("&a=1&&b=2&", "[a|1][b|2]");
    check_pairs("a=b=c&d", "[a|b=c][d|]");
    check_pairs("a%26b=%3D&c+d=e+f", "[a%26b|%3D][c+d|e+f]");
    check_pairs("a;b=1", "[a;b|1]");
    struct str rest = {NULL, 0};
    struct str name;
    assert_false(path_next_pair(&rest, &name, &name));
}

static void path_name_is_compares_decoded_names(void **state)
{
    (void)state;
    assert_true(path_name_is(STR("name"), "name"));
    assert_true(path_name_is(STR("n%61me"), "name"));
    assert_true(path_name_is(STR("full+name"), "full name"));
    assert_true(path_name_is(STR("full%20name"), "full name"));
    assert_true(path_name_is(STR("a%2Bb"), "a+b"));
    assert_true(path_name_is(STR("%c3%bc"), "\xc3\xbc"));
    assert_true(path_name_is(STR(""), ""));
    assert_true(path_name_is((struct str){NULL, 0}, ""));
    assert_false(path_name_is(STR(""), "a"));
    assert_false(path_name_is(STR("a"), ""));
    assert_false(path_name_is(STR("nam"), "name"));
    assert_false(path_name_is(STR("names"), "name"));
    assert_false(path_name_is(STR("Name"), "name"));
    assert_false(path_name_is(STR("%256e"), "n"));
    assert_false(path_name_is(STR("%zz"), "%zz"));
    assert_false(path_name_is(STR("%"), "%"));
    assert_false(path_name_is(STR("a%00"), "a"));
    assert_false(path_name_is(STR("a\0"), "a"));
    assert_false(path_name_is(STR("a%0"), "a"));
}

static void path_encode_is_decode_backwards(void **state)
{
    (void)state;
    char all[255];
    for (int c = 1; c < 256; c++)
        all[c - 1] = (char)c;
    const char *encoded = path_encode(str_make(all, sizeof all), &arena);
    assert_non_null(encoded);
    for (const char *at = encoded; *at; at++)
        assert_true(isalnum((unsigned char)*at) || strchr("-._~/%", *at));
    size_t len;
    const char *decoded = path_decode(str_of(encoded), false, &arena, &len);
    assert_int_equal(len, sizeof all);
    assert_memory_equal(decoded, all, sizeof all);
    assert_string_equal(path_encode(STR("/a b/%2F?#\\:\xc3\xa4"), &arena),
                        "/a%20b/%252F%3F%23%5C%3A%C3%A4");
    assert_string_equal(path_encode((struct str){NULL, 0}, &arena), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, arena_setup, arena_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(path_normalises_vectors),
        TEST(path_needs_no_copy_when_nothing_is_to_do),
        TEST(path_copies_end_in_nul),
        TEST(path_agrees_with_the_model_on_random_paths),
        TEST(path_decode_decodes_every_escape_once),
        TEST(path_decode_does_not_read_past_the_end),
        TEST(path_decode_undoes_any_encoding),
        TEST(path_encode_is_decode_backwards),
        TEST(path_next_pair_walks_queries),
        TEST(path_name_is_compares_decoded_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
