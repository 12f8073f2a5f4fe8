/* The only file that knows llhttp. Heads are parsed by it and paused at their end; bodies never go
 * through it, since its versions differ in what they take for a chunk (http/chunked.c). What is
 * wrong with a head that is refused, over a limit or not yet complete is for http/grammar.h to say:
 * the parser's error does not tell an unknown method (501) from octets outside a token (400), nor
 * HTTP/2.0 (505) from nonsense (400), and where it comes depends on llhttp's version. */
#include "http/parse.h"

#include <stdio.h>
#include <string.h>

#include <llhttp.h>

_Static_assert(sizeof(llhttp_t) <= PARSE_STATE_BYTES, "room for the parser");
_Static_assert(_Alignof(llhttp_t) <= 8, "alignment of the parser");

enum at { AT_LINE, AT_NAME, AT_VALUE };

#define VERSION_BYTES 10U /* " HTTP/1.1" CR */
#define SMOOTHED_MAX 16U  /* each costs parsing the head again */

static llhttp_t *parser_of(struct parse *p)
{
    return (llhttp_t *)(void *)p->state;
}

static int refuse(struct parse *p, int status, const char *reason)
{
    if (p->status == 0) {
        p->status = status;
        p->reason = reason;
    }
    return -1;
}

/* ---- heads ---- */

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct parse *p = parser->data;
    struct head *head = p->head;
    if (head->target_len == 0)
        head->target_at = (uint32_t)(at - p->base);
    head->target_len += (uint32_t)len;
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct parse *p = parser->data;
    struct head *head = p->head;
    uint32_t offset = (uint32_t)(at - p->base);
    if (p->at == AT_NAME && head->n_fields > 0) {
        struct field *last = &head->fields[head->n_fields - 1];
        if (last->name_at + last->name_len == offset) { /* the same name, split by a read */
            last->name_len += (uint32_t)len;
            return 0;
        }
    }
    if (head->n_fields == head->max_fields)
        return -1; /* the grammar has counted them, too */
    head->fields[head->n_fields++] = (struct field){.name_at = offset, .name_len = (uint32_t)len};
    p->at = AT_NAME;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct parse *p = parser->data;
    struct head *head = p->head;
    uint32_t offset = (uint32_t)(at - p->base);
    if (head->n_fields == 0 || p->at == AT_LINE) {
        head->is_nameless = true;
        return 0;
    }
    struct field *last = &head->fields[head->n_fields - 1];
    if (p->at == AT_NAME || last->value_len == 0) {
        last->value_at = offset;
        last->value_len = (uint32_t)len;
    } else if (last->value_at + last->value_len == offset) { /* the same value, split by a read */
        last->value_len += (uint32_t)len;
    } else {
        head->is_folded = true; /* 8.1.0 unfolds obs-fold in silence */
    }
    p->at = AT_VALUE;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    parser->upgrade = 0; /* nothing is upgraded here */
    return HPE_PAUSED;
}

static const llhttp_settings_t head_settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
};

void parse_begin(struct parse *p, struct head *head, const struct http_limits *limits)
{
    llhttp_t *parser = parser_of(p);
    llhttp_init(parser, HTTP_REQUEST, &head_settings);
    parser->data = p;
    p->limits = limits;
    p->head = head;
    p->fed = 0;
    grammar_begin(&p->grammar);
    p->at = AT_LINE;
    p->is_failed = false;
    p->n_smoothed = 0;
    p->status = 0;
    p->reason = NULL;
}

/* Starts over, after an octet of the head was changed. */
static void begin_again(struct parse *p, uint8_t minor)
{
    struct head *head = p->head;
    *head = (struct head){.fields = head->fields, .max_fields = head->max_fields, .minor = minor};
    parse_begin(p, head, p->limits);
}

/* As often as that is allowed. */
static void begin_smoothed(struct parse *p)
{
    uint8_t n_smoothed = (uint8_t)(p->n_smoothed + 1);
    begin_again(p, p->head->minor);
    p->n_smoothed = n_smoothed;
}

/* HTTP/1.2 to 1.9 are to be processed as the highest 1.x that we know (RFC 9110 §2.5); 8.1.0 can't.
 * Shows the parser a 1 instead, remembers the digit, and starts over.
 * line_len  of the request line, which the grammar found good
 * Returns   true when the line was changed */
static bool lower_minor(struct parse *p, char *base, size_t line_len)
{
    char *digit = base + line_len - 3; /* CRLF is behind it */
    struct head *head = p->head;
    if (head->minor != 0 || *digit < '2')
        return false;
    uint8_t minor = (uint8_t)(*digit - '0');
    *digit = '1';
    begin_again(p, minor);
    return true;
}

static bool is_framing_field(const struct field *field, const char *base)
{
    struct str name = str_make(base + field->name_at, field->name_len);
    return str_is_equal_nocase(name, STR("content-length")) ||
           str_is_equal_nocase(name, STR("transfer-encoding"));
}

/* HTAB is OWS (RFC 9110 §5.6.3), but llhttp refuses it behind a Content-Length, and behind
 * "chunked" it does not see the coding. Shows it blanks instead and starts over, a few times at
 * most.
 * at       where the parser stopped
 * Returns  true when something was changed */
static bool smooth_tabs(struct parse *p, char *base, size_t len, size_t at)
{
    const struct head *head = p->head;
    if (head->n_fields == 0 || at >= len || base[at] != '\t' || p->n_smoothed >= SMOOTHED_MAX ||
        !is_framing_field(&head->fields[head->n_fields - 1], base))
        return false;
    for (; at < len && (base[at] == '\t' || base[at] == ' '); at++)
        base[at] = ' ';
    begin_smoothed(p);
    return true;
}

/* Goes on with a run of blanks that was smoothed and that a read has cut: no need to start over. */
static void smooth_rest(const struct parse *p, char *base, size_t len)
{
    for (size_t i = p->fed; i > 0 && i < len && base[i - 1] == ' '; i++) {
        if (base[i] != '\t' || p->at != AT_VALUE ||
            !is_framing_field(&p->head->fields[p->head->n_fields - 1], base))
            return;
        base[i] = ' ';
    }
}

static bool smooth_coding(struct parse *p, char *base)
{
    bool is_changed = false;
    for (uint32_t i = 0; i < p->head->n_fields; i++) {
        const struct field *field = &p->head->fields[i];
        if (!is_framing_field(field, base))
            continue;
        for (uint32_t end = field->value_at + field->value_len; end > field->value_at; end--) {
            if (base[end - 1] != '\t' && base[end - 1] != ' ')
                break;
            is_changed |= base[end - 1] == '\t';
            base[end - 1] = ' ';
        }
    }
    if (is_changed)
        begin_smoothed(p);
    return is_changed;
}

/* ---- what the grammar says ---- */

static bool is_grammatical(struct parse *p, size_t len)
{
    struct grammar *g = &p->grammar;
    if (grammar_judge(g, p->base, len, p->limits, p->head->max_fields))
        return true;
    (void)refuse(p, g->status, g->reason);
    return false;
}

/* Cuts a head that the grammar found good, and that llhttp refuses. */
static void cut_fields(struct head *head, const char *base)
{
    const char *at = memchr(base, '\n', head->bytes);
    head->minor = head->minor > 0 ? head->minor : (uint8_t)(at[-2] - '0');
    head->target_at = (uint32_t)((const char *)memchr(base, ' ', head->bytes) + 1 - base);
    head->target_len = (uint32_t)(at - base) - VERSION_BYTES - head->target_at;
    head->n_fields = 0;
    for (at++; *at != '\r'; at++) {
        const char *name = at;
        const char *colon = memchr(name, ':', head->bytes - (size_t)(name - base));
        const char *value = colon + 1;
        while (*value == ' ' || *value == '\t')
            value++;
        at = memchr(value, '\n', head->bytes - (size_t)(value - base));
        head->fields[head->n_fields++] = (struct field){
            .name_at = (uint32_t)(name - base),
            .name_len = (uint32_t)(colon - name),
            .value_at = (uint32_t)(value - base),
            .value_len = (uint32_t)(at - 1 - value),
        };
    }
}

/* llhttp has refused something. What that was, guard_judge() says when the head is complete; where
 * it was is no help, since that depends on the version. */
static enum parse_result go_on_without(struct parse *p, char *base, size_t len)
{
    bool had_line = grammar_has_line(&p->grammar);
    const char *line_end = had_line ? NULL : memchr(base, '\n', len);
    p->fed = len;
    if (line_end && !is_grammatical(p, (size_t)(line_end + 1 - base)))
        return PARSE_BAD;
    if (line_end && lower_minor(p, base, (size_t)(line_end + 1 - base)))
        return parse_head(p, base, len);
    if (!is_grammatical(p, len))
        return PARSE_BAD;
    if (!grammar_is_complete(&p->grammar))
        return PARSE_MORE;
    p->head->bytes = p->grammar.at;
    p->head->is_refused = true;
    p->fed = p->head->bytes;
    cut_fields(p->head, base);
    return PARSE_DONE;
}

/* The parser is content; is it within the limits? A head that no limit can concern needs no look.
 */
static enum parse_result accept_head(struct parse *p, size_t bytes)
{
    const struct http_limits *limits = p->limits;
    struct head *head = p->head;
    head->bytes = (uint32_t)bytes;
    p->fed = bytes;
    if (head->minor == 0)
        head->minor = parser_of(p)->http_minor;
    bool is_small = bytes <= limits->request_line && bytes <= limits->field_size &&
                    bytes <= limits->head && p->grammar.at == 0;
    return is_small || is_grammatical(p, bytes) ? PARSE_DONE : PARSE_BAD;
}

/* What is not the usual end of a head that came whole. */
__attribute__((cold, noinline)) static enum parse_result
parse_unusual(struct parse *p, char *base, size_t len, llhttp_errno_t rc)
{
    const llhttp_t *parser = parser_of(p);
    if (rc == HPE_PAUSED) {
        if (!(parser->flags & F_CHUNKED) && smooth_coding(p, base))
            return parse_head(p, base, len);
        return accept_head(p, (size_t)(llhttp_get_error_pos(parser) - base));
    }
    if (rc == HPE_OK) {
        p->fed = len;
        return is_grammatical(p, len) ? PARSE_MORE : PARSE_BAD;
    }
    size_t error_at = (size_t)(llhttp_get_error_pos(parser) - base);
    if (rc != HPE_USER && smooth_tabs(p, base, len, error_at))
        return parse_head(p, base, len);
    p->is_failed = true;
    return go_on_without(p, base, len);
}

enum parse_result parse_head(struct parse *p, char *base, size_t len)
{
    llhttp_t *parser = parser_of(p);
    p->base = base;
    if (__builtin_expect(p->is_failed, 0))
        return go_on_without(p, base, len);
    if (__builtin_expect(p->n_smoothed > 0, 0))
        smooth_rest(p, base, len);
    llhttp_errno_t rc = llhttp_execute(parser, base + p->fed, len - p->fed);
    if (__builtin_expect(rc != HPE_PAUSED || (parser->flags & F_TRANSFER_ENCODING), 0))
        return parse_unusual(p, base, len, rc);
    return accept_head(p, (size_t)(llhttp_get_error_pos(parser) - base));
}

/* ---- what is linked ---- */

bool parse_is_strict(void)
{
    /* A space before the colon: the loose automaton of 8.1 takes it (RFC 9112 §5.1 forbids it). */
    static const char probe[] = "GET / HTTP/1.1\r\nHost : a\r\n\r\n";
    llhttp_settings_t none;
    llhttp_settings_init(&none);
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &none);
    return llhttp_execute(&parser, probe, sizeof probe - 1) != HPE_OK;
}

const char *parse_version(void)
{
    static char text[48];
    (void)snprintf(text, sizeof text, "%d.%d.%d%s", LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR,
                   LLHTTP_VERSION_PATCH, parse_is_strict() ? " strict" : " LOOSE");
    return text;
}
