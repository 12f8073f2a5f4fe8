/* http/negotiate.c: the examples of RFC 9110 §12.5, RFC 7231 §5.3.2 and RFC 4647 as rows, what is
 * malformed passed over, and how real browsers ask. */
#include "http/negotiate.h"

#include <stdio.h>

#include "tests/harness/check.h"

#define MAX_OFFERS 8

struct row {
    const char *field; /* NULL: absent */
    const char *offers[MAX_OFFERS];
    const char *expected; /* NULL: none is acceptable */
};

typedef int (*negotiator)(struct str field, const char *const *offers, size_t n);

static void check_rows(negotiator negotiate, const struct row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        size_t n = 0;
        while (n < MAX_OFFERS && rows[i].offers[n])
            n++;
        check_context("row %zu: %s", i, rows[i].field ? rows[i].field : "(absent)");
        int best = negotiate(str_of(rows[i].field), rows[i].offers, n);
        CHECK(best >= -1 && best < (int)n);
        CHECK_TEXT(best < 0 ? "(none)" : rows[i].offers[best],
                   rows[i].expected ? rows[i].expected : "(none)");
    }
}

#define CHECK_ROWS(negotiate, rows) check_rows(negotiate, rows, sizeof(rows) / sizeof(rows)[0])

/* ---- types ---- */

/* The weight that a field gives a type, in thousandths: found by bidding against a type of which
 * the weight is known. */
static int weight_of(const char *field, const char *type)
{
    for (int weight = 0; weight <= 1000; weight++) {
        char text[512];
        (void)snprintf(text, sizeof text, "%s, x/known;q=%d.%03d", field, weight / 1000,
                       weight % 1000);
        const char *offers[] = {"x/known", type};
        if (negotiate_type(str_of(text), offers, 2) != 1)
            return weight;
    }
    return 1001;
}

static void negotiate_weighs_types_as_the_tables_of_the_rfcs_do(void **state)
{
    (void)state;
    /* RFC 9110 §12.5.1, table 5, with erratum 7138 (text/html;level=3 is for text/ and "*" only) */
    static const char flowed[] = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed,"
                                 " text/plain;format=fixed;q=0.4, */*;q=0.5";
    /* RFC 7231 §5.3.2 */
    static const char levels[] = "text/*;q=0.3, text/html;q=0.7, text/html;level=1,"
                                 " text/html;level=2;q=0.4, */*;q=0.5";
    static const struct {
        const char *field, *type;
        int weight;
    } rows[] = {
        {flowed, "text/plain;format=flowed", 1000},
        {flowed, "text/plain", 700},
        {flowed, "text/html", 300},
        {flowed, "image/jpeg", 500},
        {flowed, "text/plain;format=fixed", 400},
        {flowed, "text/html;level=3", 300},
        {levels, "text/html;level=1", 1000},
        {levels, "text/html", 700},
        {levels, "text/plain", 300},
        {levels, "image/jpeg", 500},
        {levels, "text/html;level=2", 400},
        {levels, "text/html;level=3", 700},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("row %zu: %s", i, rows[i].type);
        CHECK_EQ(weight_of(rows[i].field, rows[i].type), rows[i].weight);
    }
}

static void negotiate_chooses_types(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* RFC 9110 §12.5.1 */
        {"audio/*; q=0.2, audio/basic", {"audio/mpeg", "audio/basic"}, "audio/basic"},
        {"audio/*; q=0.2, audio/basic", {"audio/mpeg", "text/plain"}, "audio/mpeg"},
        {"text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c",
         {"text/plain", "text/x-dvi", "text/x-c", "text/html"},
         "text/x-c"},
        {"text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c",
         {"text/plain", "text/x-dvi"},
         "text/x-dvi"},
        {"text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c",
         {"application/pdf", "text/plain"},
         "text/plain"},
        {"text/*, text/plain, text/plain;format=flowed, */*",
         {"text/plain;format=flowed", "text/plain"},
         "text/plain;format=flowed"},
        /* nothing said */
        {NULL, {"a/b", "c/d"}, "a/b"},
        {"", {"a/b", "c/d"}, "a/b"},
        {" , ,, ", {"a/b", "c/d"}, "a/b"},
        {"*/*", {"a/b", "c/d"}, "a/b"},
        /* refused */
        {"c/*", {"a/b"}, NULL},
        {"a/b;q=0", {"a/b"}, NULL},
        {"*/*;q=0", {"a/b", "c/d"}, NULL},
        {"*/*, a/b;q=0", {"a/b", "c/d"}, "c/d"},
        {"a/*;q=0, a/b", {"a/c", "a/b"}, "a/b"},
        {"*/*;q=0.1, a/*;q=0", {"a/c", "c/d"}, "c/d"},
        {"a/b;q=0.000", {"a/b"}, NULL},
        {"a/b;q=0.001", {"a/b"}, "a/b"},
        /* the more specific range decides, wherever it stands */
        {"a/b;q=0.1, a/*;q=0.9, */*", {"a/b", "a/c"}, "a/c"},
        {"*/*, a/*;q=0.9, a/b;q=0.1", {"a/b", "a/c"}, "a/c"},
        {"a/b;x=1;y=2;q=0.1, a/b;x=1, a/b;q=0.5", {"a/b;y=2;x=1", "a/b"}, "a/b"},
        {"a/b;x=1;q=0.5, a/b;q=0.1", {"a/b", "a/b;z=9;x=1"}, "a/b;z=9;x=1"},
        {"a/b;x=1", {"a/b"}, NULL},
        {"a/b;x=1", {"a/b;x=2"}, NULL},
        {"*/*;x=1, a/b;q=0.5", {"a/b", "c/d;x=1"}, "c/d;x=1"},
        /* ties go to the earlier offer; of equal ranges the first counts */
        {"c/d, a/b", {"a/b", "c/d"}, "a/b"},
        {"c/d, a/b", {"c/d", "a/b"}, "c/d"},
        {"a/b;q=0.5, a/b;q=0.9, c/d;q=0.7", {"a/b", "c/d"}, "c/d"},
        /* case and quotes */
        {"TEXT/Html", {"text/html"}, "text/html"},
        {"text/html;CHARSET=UTF-8", {"text/html; charset=utf-8"}, "text/html; charset=utf-8"},
        {"text/html;charset=\"utf-8\"", {"text/html; charset=utf-8"}, "text/html; charset=utf-8"},
        {"text/html;charset=\"\\u\\tf-8\"",
         {"text/html; charset=utf-8"},
         "text/html; charset=utf-8"},
        {"a/b;x=\"1, c/d\"", {"c/d", "a/b;x=\"1, c/d\""}, "a/b;x=\"1, c/d\""},
        {"a/b;x=\"\\\", c/d\"", {"c/d", "a/b;x=\"\\\", c/d\""}, "a/b;x=\"\\\", c/d\""},
        {"a/b;x=\"\"", {"a/b;x=\"\""}, "a/b;x=\"\""},
        {"a/b;x=\"\"", {"a/b;x=y"}, NULL},
        {"a/b;x=\"y\"", {"a/b;x=yy"}, NULL},
        {"a/b;x=yy", {"a/b;x=\"y\""}, NULL},
        /* q is the weight, wherever and however it is written (§12.5.1) */
        {"a/b;Q=0.1, c/d;q=0.2", {"a/b", "c/d"}, "c/d"},
        {"a/b;q=0.1;x=1, c/d;q=0.05", {"c/d", "a/b;x=1"}, "a/b;x=1"},
        {"a/b;q=0.1;x=1", {"a/b"}, NULL},
        {"a/b ; x=1 ; q=0.5", {"a/b;x=1"}, "a/b;x=1"},
        {"a/b\t;\tq=0.5", {"a/b"}, "a/b"},
        {"a/b;;; x=1;", {"a/b;x=1"}, "a/b;x=1"},
        {"a/b;q=1., c/d;q=0.", {"c/d", "a/b"}, "a/b"},
        {"a/b;q=1.000, c/d;q=0.999", {"c/d", "a/b"}, "a/b"},
        {"a/b;q=0.5, c/d;q=0.50, e/f;q=0.500", {"e/f", "a/b", "c/d"}, "e/f"},
        {"a/b;q=0.49, c/d;q=0.5", {"a/b", "c/d"}, "c/d"},
        /* an offer that is none is never taken */
        {"*/*", {"nonsense", "a/b"}, "a/b"},
        {NULL, {"", "a/", "/b", "a/b;x", "c/d"}, "c/d"},
        /* as browsers ask */
        {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
         {"application/json", "text/html; charset=utf-8"},
         "text/html; charset=utf-8"},
        {"application/json, text/plain, */*", {"text/html", "application/json"}, "text/html"},
        {"image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
         {"image/jpeg", "image/webp"},
         "image/webp"},
    };
    CHECK_ROWS(negotiate_type, rows);
    CHECK_EQ(negotiate_type(STR("*/*"), NULL, 0), -1);
    CHECK_EQ(negotiate_type((struct str){0}, NULL, 0), -1);
}

static void negotiate_passes_over_malformed_ranges_one_by_one(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "a",
        "a/",
        "/b",
        "a/b/c",
        "*/b",
        "*",
        "a b/c",
        "a /b",
        "a/ b",
        "a/b c",
        "a/b x=1",
        "a/b;q",
        "a/b;q=",
        "a/b;q=2",
        "a/b;q=1.1",
        "a/b;q=1.001",
        "a/b;q=-1",
        "a/b;q=0.1234",
        "a/b;q=.5",
        "a/b;q=0,5",
        "a/b;q=0x1",
        "a/b;q=01",
        "a/b;q=1e0",
        "a/b;q=\"1\"",
        "a/b;q =1",
        "a/b;q= 1",
        "a/b;x",
        "a/b;x=",
        "a/b;=1",
        "a/b;x=1 y=2",
        "a/b;x=\"1\"2",
        "a/b;x=\"\x01\"",
        "a/b;x=\x7f",
        "a/b;x=(1)",
        "a(b)/c",
        "a/b;q=1;q=1",
        "a/b;q=0;q=1",
        "text/html\n",
        "\"a/b\"",
        "a/b?",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        static const char *const offers[] = {"a/b", "c/d", "text/html", "a/b;x=1"};
        char text[128];
        check_context("%s", malformed[i]);
        (void)snprintf(text, sizeof text, "c/d;q=0.1, %s", malformed[i]);
        CHECK_EQ(negotiate_type(str_of(text), offers, 4), 1);
        (void)snprintf(text, sizeof text, "%s, c/d;q=0.1", malformed[i]);
        CHECK_EQ(negotiate_type(str_of(text), offers, 4), 1);
        /* alone it says nothing, but "0,5" is two elements */
        CHECK_EQ(negotiate_type(str_of(malformed[i]), offers, 4),
                 strcmp(malformed[i], "a/b;q=0,5") == 0 ? -1 : 0);
    }
    /* An open quote takes the rest of the field with it. */
    static const struct row rows[] = {
        {"c/d;q=0.1, a/b;x=\"1, e/f", {"e/f", "c/d"}, "c/d"},
        {"c/d;q=0.1, a/b;x=\"1\\", {"a/b", "c/d"}, "c/d"},
        {"c/d;q=0.1, a/b;x=\"", {"a/b", "c/d"}, "c/d"},
        {"c/d;q=0.1, a/b;x=\"1\\\", e/f", {"e/f", "c/d"}, "c/d"},
    };
    CHECK_ROWS(negotiate_type, rows);
}

/* ---- content codings ---- */

static void negotiate_chooses_codings(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* RFC 9110 §12.5.3 */
        {"compress, gzip", {"br", "gzip", "identity"}, "gzip"},
        {"", {"br", "gzip", "identity"}, "identity"},
        {"*", {"br", "gzip", "identity"}, "br"},
        {"compress;q=0.5, gzip;q=1.0", {"compress", "gzip", "identity"}, "gzip"},
        {"gzip;q=1.0, identity; q=0.5, *;q=0", {"br", "gzip", "identity"}, "gzip"},
        {"gzip;q=1.0, identity; q=0.5, *;q=0", {"br", "identity"}, "identity"},
        {"gzip;q=1.0, identity; q=0.5, *;q=0", {"br"}, NULL},
        /* absent: whoever can decode says so */
        {NULL, {"br", "gzip", "identity"}, "identity"},
        {NULL, {"br", "gzip"}, "br"},
        /* identity is acceptable unless excluded */
        {"", {"br", "gzip"}, NULL},
        {" ", {"br", "gzip", "identity"}, "identity"},
        {", ,", {"br", "identity"}, "identity"},
        {"br", {"gzip", "identity"}, "identity"},
        {"br", {"gzip"}, NULL},
        {"identity;q=0", {"gzip", "identity"}, NULL},
        {"identity;q=0, gzip", {"identity", "gzip"}, "gzip"},
        {"*;q=0", {"gzip", "identity"}, NULL},
        {"*;q=0, identity", {"gzip", "identity"}, "identity"},
        {"*;q=0, identity;q=0.001", {"gzip", "identity"}, "identity"},
        {"*;q=0, gzip", {"identity", "gzip"}, "gzip"},
        {"gzip;q=0", {"gzip", "identity"}, "identity"},
        {"gzip;q=0, *", {"gzip", "br", "identity"}, "br"},
        /* but it is preferred only where it is named */
        {"gzip;q=0.001", {"identity", "gzip"}, "gzip"},
        {"gzip;q=0.5, identity", {"gzip", "identity"}, "identity"},
        {"gzip;q=0.5, identity;q=0.4", {"identity", "gzip"}, "gzip"},
        {"gzip;q=0.5, *;q=0.6", {"gzip", "identity"}, "identity"},
        {"gzip, identity", {"gzip", "identity"}, "gzip"},
        {"gzip, identity", {"identity", "gzip"}, "identity"},
        /* names */
        {"GZIP", {"gzip", "identity"}, "gzip"},
        {"x-gzip", {"gzip", "identity"}, "gzip"},
        {"X-Compress", {"compress", "identity"}, "compress"},
        {"x-br", {"br", "identity"}, "identity"},
        {"gzipped", {"gzip", "identity"}, "identity"},
        {"gz", {"gzip", "identity"}, "identity"},
        /* the first of the same counts */
        {"gzip;q=0, gzip", {"gzip", "identity"}, "identity"},
        {"gzip, x-gzip;q=0", {"gzip", "identity"}, "gzip"},
        {"*;q=0, *", {"gzip", "identity"}, NULL},
        /* malformed elements are passed over */
        {"gzip;q=2", {"gzip", "identity"}, "identity"},
        {"gzip;q=0.1.1, br;q=0.1", {"gzip", "br", "identity"}, "br"},
        {"gzip;x=1, br", {"gzip", "br", "identity"}, "br"},
        {"gzip;q=1;q=1, br", {"gzip", "br", "identity"}, "br"},
        {"gzip;, br", {"gzip", "br", "identity"}, "br"},
        {"gzip;q =1, br", {"gzip", "br", "identity"}, "br"},
        {"gzip br, deflate", {"gzip", "br", "deflate", "identity"}, "deflate"},
        {"\"gzip\", br", {"gzip", "br", "identity"}, "br"},
        {"gzip \t;\t q=0.5", {"gzip", "identity"}, "gzip"},
        {"gzip;Q=0.5", {"gzip", "identity"}, "gzip"},
        /* as browsers and curl ask */
        {"gzip, deflate, br, zstd", {"br", "gzip", "identity"}, "br"},
        {"gzip, deflate", {"br", "gzip", "identity"}, "gzip"},
        {"br;q=1.0, gzip;q=0.8, *;q=0.1", {"gzip", "br", "identity"}, "br"},
    };
    CHECK_ROWS(negotiate_encoding, rows);
    CHECK_EQ(negotiate_encoding(STR("gzip"), NULL, 0), -1);
}

/* ---- languages ---- */

static void negotiate_chooses_languages(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* RFC 9110 §12.5.4 */
        {"da, en-gb;q=0.8, en;q=0.7", {"en", "en-GB", "da"}, "da"},
        {"da, en-gb;q=0.8, en;q=0.7", {"en", "en-GB", "de"}, "en-GB"},
        {"da, en-gb;q=0.8, en;q=0.7", {"en-US", "de"}, "en-US"},
        /* RFC 4647 §3.3.1: a range is for the tags that it begins */
        {"de-de", {"de-DE-1996", "en"}, "de-DE-1996"},
        {"de-de", {"de-Deva", "en"}, NULL},
        {"de-de", {"de-Latn-DE", "en"}, NULL},
        {"de", {"den", "en"}, NULL},
        {"en", {"de", "en-US"}, "en-US"},
        /* RFC 4647 §3.4: what is more specific than all offers takes one that it begins with */
        {"zh-Hant-CN-x-private1-private2", {"en", "zh-Hant"}, "zh-Hant"},
        {"zh-Hant-CN-x-private1-private2", {"en", "zh"}, "zh"},
        {"de-CH", {"en", "de"}, "de"},
        {"de-CH, en;q=0.5", {"en", "de"}, "de"},
        {"de-CH;q=0.4, de-AT;q=0.6, en;q=0.5", {"en", "de"}, "de"},
        {"de-AT;q=0.6, de-CH;q=0.4, en;q=0.5", {"en", "de"}, "de"},
        {"den", {"de"}, NULL},
        /* what speaks of the offer itself decides before that */
        {"en-US, en;q=0.1, de;q=0.5", {"en", "de"}, "de"},
        {"en, en-US;q=0", {"en-US", "en"}, "en"},
        {"en;q=0, en-US", {"en", "en-US"}, "en-US"},
        {"en;q=0, en-US", {"en-GB", "en"}, NULL},
        {"en-US;q=0", {"en"}, NULL},
        {"en-US;q=0, *;q=0.5", {"en"}, "en"},
        {"en-US;q=0, *;q=0.5", {"en-US"}, NULL},
        {"en;q=0.1, en-US", {"en-GB", "en-US"}, "en-US"},
        {"*, en;q=0.5", {"en", "de"}, "de"},
        {"*;q=0", {"en", "de"}, NULL},
        {"*;q=0, *", {"en", "de"}, NULL},
        {"*;q=0, de", {"en", "de"}, "de"},
        {"de-CH, *;q=0.1", {"en", "de"}, "de"},
        {"de;q=0, de", {"de"}, NULL},
        {"fr", {"en", "de"}, NULL},
        /* nothing said */
        {NULL, {"en", "de"}, "en"},
        {"", {"en", "de"}, "en"},
        {"*", {"en", "de"}, "en"},
        {"?", {"en", "de"}, "en"},
        /* ties go to the earlier offer; case does not count */
        {"de, en", {"en", "de"}, "en"},
        {"DE-de", {"en", "de-DE"}, "de-DE"},
        /* malformed elements are passed over */
        {"en_US, de;q=0.1", {"en", "de"}, "de"},
        {"en-, de;q=0.1", {"en", "de"}, "de"},
        {"-en, de;q=0.1", {"en", "de"}, "de"},
        {"en--US, de;q=0.1", {"en", "de"}, "de"},
        {"englishes, de;q=0.1", {"englishes", "de"}, "de"},
        {"english, de;q=0.1", {"english", "de"}, "english"},
        {"en-123456789, de;q=0.1", {"en", "de"}, "de"},
        {"e1, de;q=0.1", {"e1", "de"}, "de"},
        {"es-419, de;q=0.1", {"es-419", "de"}, "es-419"},
        {"*-CH, de;q=0.1", {"en-CH", "de"}, "de"}, /* extended ranges are not for HTTP */
        {"en;q=x, de;q=0.1", {"en", "de"}, "de"},
        {"en;level=1, de;q=0.1", {"en", "de"}, "de"},
        /* as browsers ask */
        {"de-CH,de;q=0.9,en-US;q=0.8,en;q=0.7", {"en", "de"}, "de"},
        {"en-US,en;q=0.5", {"de", "fr", "en"}, "en"},
    };
    CHECK_ROWS(negotiate_language, rows);
    CHECK_EQ(negotiate_language(STR("en"), NULL, 0), -1);
}

/* ---- hostile input ---- */

/* A field of 256 KiB made of one octet or of one piece over and over: read in one pass, so this
 * ends soon; and nothing in it is acceptable beside what stands in front. */
static void negotiate_reads_long_fields_in_one_pass(void **state)
{
    (void)state;
    enum { LEN = 1 << 18 };
    static char text[LEN];
    static const char *const pieces[] = {
        ",",      ";", "\"", "\\",   "=",    " ", "a",  "a/b;", "a/b,",  "*;q=0.5,",
        "a;q=0,", "-", "a-", "a=b;", "\"\\", "/", "q=", ";q=0", ";q=0,", "x/y;z=1"};
    static const char *const types[] = {"c/d;a=b", "e/f"};
    static const char *const others[] = {"xx", "yy"};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        size_t len = strlen(pieces[i]);
        for (size_t k = 0; k < LEN; k++)
            text[k] = pieces[i][k % len];
        check_context("%s", pieces[i]);
        memcpy(text, "e/f,", 4);
        CHECK_EQ(negotiate_type(str_make(text, LEN), types, 2), 1);
        memcpy(text, "yy, ", 4);
        CHECK_EQ(negotiate_encoding(str_make(text, LEN), others, 2), 1);
        CHECK_EQ(negotiate_language(str_make(text, LEN), others, 2), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(negotiate_weighs_types_as_the_tables_of_the_rfcs_do),
        cmocka_unit_test(negotiate_chooses_types),
        cmocka_unit_test(negotiate_passes_over_malformed_ranges_one_by_one),
        cmocka_unit_test(negotiate_chooses_codings),
        cmocka_unit_test(negotiate_chooses_languages),
        cmocka_unit_test(negotiate_reads_long_fields_in_one_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
