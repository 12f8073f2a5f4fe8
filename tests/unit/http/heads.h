/* Heads and their outcomes, for the tests of http/parse.c and http/guard.c: one text says what came
 * of a head, and fails the test when that depends on how the head is cut. */
#ifndef REMUDA_TESTS_UNIT_HTTP_HEADS_H
#define REMUDA_TESTS_UNIT_HTTP_HEADS_H

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "http/guard.h"
#include "http/parse.h"
#include "tests/harness/check.h"

#define FIELDS 100 /* room in the array; limits.fields may be less */

static struct http_limits limits;
static struct field fields[FIELDS];
static char outcome_text[20000];

__attribute__((unused)) static int setup(void **state)
{
    (void)state;
    limits = (struct http_limits){
        .request_line = 8190, .fields = FIELDS, .field_size = 8190, .head = 65536, .body = 1 << 20};
    return 0;
}

static void say(size_t *at, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(size_t *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(outcome_text + *at, sizeof outcome_text - *at, format, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n < sizeof outcome_text - *at);
    *at += (size_t)n;
}

/* "400 why", or "ok bytes=… GET|/|1.1|chunked|length=…|Host=a|…". */
static const char *judge(struct head *head, const char *base)
{
    const char *reason = "";
    size_t at = 0;
    int status = guard_judge(head, base, &limits, &reason);
    if (status > 0) {
        say(&at, "%d %s", status, reason);
        return outcome_text;
    }
    say(&at, "ok bytes=%u %.*s|%.*s|1.%u", head->bytes, (int)head->method_len, base,
        (int)head->target_len, base + head->target_at, head->minor);
    if (head->is_chunked)
        say(&at, "|chunked");
    if (head->has_length)
        say(&at, "|length=%llu", (unsigned long long)head->content_length);
    for (uint32_t i = 0; i < head->n_fields; i++)
        say(&at, "|%.*s=%.*s", (int)head->fields[i].name_len, base + head->fields[i].name_at,
            (int)head->fields[i].value_len, base + head->fields[i].value_at);
    return outcome_text;
}

/* Feeds `first` octets and then `piece` at a time. The octets lie somewhere else at each call, and
 * nothing is behind them. */
static const char *parse_in_pieces(const char *octets, size_t len, size_t first, size_t piece)
{
    struct parse p;
    struct head head = {.fields = fields, .max_fields = limits.fields};
    parse_begin(&p, &head, &limits);
    char *kept = NULL;
    size_t fed = 0;
    enum parse_result result = PARSE_MORE;
    const char *text = "more";
    for (size_t n = first; result == PARSE_MORE && fed < len; n = piece) {
        size_t next = n < len - fed ? fed + n : len;
        char *moved = malloc(next);
        CHECK(moved != NULL);
        if (fed > 0)
            memcpy(moved, kept, fed); /* what the parser changed stays changed */
        memcpy(moved + fed, octets + fed, next - fed);
        free(kept);
        kept = moved;
        fed = next;
        result = parse_head(&p, kept, fed);
    }
    if (result == PARSE_DONE) {
        text = judge(&head, kept);
    } else if (result == PARSE_BAD) {
        size_t at = 0;
        say(&at, "%d %s", p.status, p.reason);
        text = outcome_text;
    }
    free(kept);
    return text;
}

/* The outcome of a head, the same however it is cut. */
static const char *outcome_of(const char *octets, size_t len)
{
    static char whole[sizeof outcome_text];
    (void)snprintf(whole, sizeof whole, "%s", parse_in_pieces(octets, len, len, len));
    check_context("%.60s, octet by octet", octets);
    if (len < 3000)
        CHECK_TEXT(parse_in_pieces(octets, len, 1, 1), whole);
    for (size_t cut = 1; cut < len; cut += len < 3000 ? 1 : len / 200) {
        check_context("%.60s, cut at %zu", octets, cut);
        CHECK_TEXT(parse_in_pieces(octets, len, cut, len), whole);
    }
    check_context("%.60s", octets);
    return whole;
}

__attribute__((unused)) static const char *outcome(const char *text)
{
    return outcome_of(text, strlen(text));
}

__attribute__((unused)) static int status_of(const char *text)
{
    return atoi(outcome(text)); /* 0: no refusal */
}

#endif
