/* For fuzz_conn.c: what the clients got, against what the hooks were told. */
#ifndef REMUDA_TESTS_FUZZ_CONN_CHECK_H
#define REMUDA_TESTS_FUZZ_CONN_CHECK_H

#include "tests/fuzz/conn_world.h"

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define ID_HEADER "X-Id"

static struct str find_field(struct str head, const char *name)
{
    const char *at = memmem(head.p, head.len, name, strlen(name));
    if (!at)
        return (struct str){0};
    at += strlen(name);
    return str_make(at, (size_t)((const char *)memchr(at, '\r', SIZE_MAX / 2) - at));
}

/* Where a chunked body ends; NULL: it is cut. */
static const char *skip_chunks(const char *at, const char *end_of_all)
{
    for (;;) {
        const char *line_end = memmem(at, (size_t)(end_of_all - at), "\r\n", 2);
        if (!line_end)
            return NULL;
        size_t size = 0;
        RMD_ASSERT(line_end > at);
        for (; at < line_end; at++) {
            const char *digit = strchr("0123456789abcdef", *at);
            RMD_ASSERT(digit && *at);
            size = size * 16 + (size_t)(digit - "0123456789abcdef");
        }
        at += 2;
        if (size + 2 > (size_t)(end_of_all - at))
            return NULL;
        RMD_ASSERT(at[size] == '\r' && at[size + 1] == '\n');
        at += size + 2;
        if (size == 0)
            return at;
    }
}

/* Where an answer's body ends; NULL: it is cut, or ends with the connection. */
static const char *skip_body(const struct outcome *outcome, int status, struct str head,
                             const char *end_of_all)
{
    const char *at = head.p + head.len;
    struct str length = find_field(head, "\r\nContent-Length: ");
    uint64_t n = 0;
    if (outcome->is_head || response_is_bodiless(status))
        return at;
    if (find_field(head, "\r\nTransfer-Encoding: ").len > 0) {
        at = skip_chunks(at, end_of_all);
        RMD_ASSERT((at != NULL) == (outcome->status != 0) || world.is_cut);
        return at;
    }
    if (length.len == 0)
        return NULL;
    RMD_ASSERT(str_parse_u64(length, SIZE_MAX, &n) == 0);
    RMD_ASSERT(n <= (size_t)(end_of_all - at) || world.is_cut);
    if (n > (size_t)(end_of_all - at))
        return NULL;
    RMD_ASSERT(!outcome->is_known || outcome->len == n);
    RMD_ASSERT(!outcome->is_known || outcome->hash == hash_more(HASH_START, at, (size_t)n));
    return at + n;
}

/* One answer for each outcome, in order; only the last may be cut, and only for a reason. */
static void check_answers(const struct client *client)
{
    const char *at = client->sent.len > 0 ? client->sent.data : "";
    const char *const end_of_all = at + client->sent.len;
    bool is_over = false;
    for (size_t i = 0; i < client->n_outcomes; i++) {
        const struct outcome *outcome = &client->outcomes[i];
        while ((size_t)(end_of_all - at) >= sizeof CONTINUE - 1 &&
               memcmp(at, CONTINUE, sizeof CONTINUE - 1) == 0)
            at += sizeof CONTINUE - 1;
        if (at == end_of_all && (world.is_cut || outcome->status == 0))
            return;
        RMD_ASSERT(!is_over);
        const char *head_end = memmem(at, (size_t)(end_of_all - at), "\r\n\r\n", 4);
        RMD_ASSERT(head_end || world.is_cut);
        if (!head_end)
            return;
        struct str head = str_make(at, (size_t)(head_end + 4 - at));
        RMD_ASSERT(memcmp(at, "HTTP/1.1 ", 9) == 0);
        int status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + at[11] - '0';
        RMD_ASSERT(outcome->status == 0 || outcome->status == status);
        RMD_ASSERT(find_field(head, "\r\n" ID_HEADER ": ").len > 0 || world.is_cut);
        is_over = str_is_equal(find_field(head, "\r\nConnection: "), STR("close"));
        at = skip_body(outcome, status, head, end_of_all);
        if (!at) { /* cut, or until the end of the connection */
            RMD_ASSERT(is_over || world.is_cut || outcome->status == 0);
            return;
        }
    }
    /* What is left belongs to a request that is not over, or has been cut with its connection. */
    RMD_ASSERT(at == end_of_all || world.is_cut || client->conn.state != CONN_CLOSED ||
               memmem(at, (size_t)(end_of_all - at), CONTINUE, 10));
}

static bool mentions(const char *data, size_t len, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= len; i++)
        if (strncasecmp(data + i, word, n) == 0)
            return true;
    return false;
}

/* Ids made here have a count in them, which depends on what came first. */
static void hide_ids(struct client *client)
{
    static const char field[] = "\r\n" ID_HEADER ": 0000000000000000";
    char *at = client->sent.data;
    size_t len = client->sent.len;
    while (len > 0 && (at = memmem(at, len, field, sizeof field - 1)) != NULL) {
        at += sizeof field - 1;
        len = (size_t)(client->sent.data + client->sent.len - at);
        for (size_t i = 0; i < 16 && i < len; i++)
            at[i] = 'x';
    }
}

/* What a client got, without its last answer when that is a refusal: of two things wrong with one
 * request, where it was cut may decide which is told. */
static struct str without_refusal(const struct client *client)
{
    static const char start[] = "HTTP/1.1 4";
    struct str sent = str_make(client->sent.data, client->sent.len);
    size_t n = client->n_outcomes;
    if (n == 0 || client->outcomes[n - 1].status / 100 != 4)
        return sent;
    for (size_t len = sent.len; len > 0; len--)
        if (sent.len - len >= sizeof start - 1 &&
            memcmp(sent.p + len, start, sizeof start - 1) == 0)
            return str_make(sent.p, len);
    return (struct str){0};
}

static void check_same(const struct client *a, const struct client *b)
{
    RMD_ASSERT(a->n_outcomes == b->n_outcomes);
    RMD_ASSERT(str_is_equal(without_refusal(a), without_refusal(b)));
}

/* b's application had its bodies whole: it may not have been asked at all for the last. */
static void check_same_start(const struct client *a, const struct client *b)
{
    RMD_ASSERT(a->n_outcomes >= b->n_outcomes);
    RMD_ASSERT(str_has_prefix(str_make(a->sent.data, a->sent.len), without_refusal(b)));
}

#endif
