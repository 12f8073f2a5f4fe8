/* The only file that knows llhttp. Heads are parsed by it and paused at their end; bodies never go
 * through it, since its versions differ in what they take for a chunk (http/chunked.c). A request
 * line that llhttp refuses is looked at again as a whole, because the parser's error does not tell
 * an unknown method (501) from octets outside a token (400), nor HTTP/2.0 (505) from nonsense
 * (400). */
#include "http/parse.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <llhttp.h>

_Static_assert(sizeof(llhttp_t) <= PARSE_STATE_BYTES, "room for the parser");
_Static_assert(_Alignof(llhttp_t) <= 8, "alignment of the parser");

enum at { AT_LINE, AT_NAME, AT_VALUE };

#define SMOOTHED_MAX 16U /* each costs parsing the head again */

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

#define MANY_FIELDS "more header fields than limit_request_fields"

/* One line of the head, the first `len` octets of it: is it, or the head up to there, over a limit?
 * Of two limits that one counts which is passed first, as if the octets came one by one. */
static int check_line_limits(struct parse *p, size_t start, size_t len)
{
    const struct http_limits *limits = p->limits;
    size_t line_limit = start == 0 ? limits->request_line : limits->field_size;
    bool is_line_first = start + line_limit <= limits->head;
    if (len > line_limit && (is_line_first || start + len <= limits->head))
        return start == 0 ? refuse(p, 414, "request line longer than limit_request_line")
                          : refuse(p, 431, "header field longer than limit_request_field_size");
    if (start + len > limits->head)
        return refuse(p, 431, "head longer than limit_request_head");
    return 0;
}

/* Is what was read up to `end` already over a limit? Called with all octets seen, and with the
 * place of an error, so that a head is refused for the same reason however it was split. */
static bool is_over(struct parse *p, size_t end)
{
    const struct http_limits *limits = p->limits;
    if (end <= limits->request_line && end <= limits->field_size && end <= limits->head)
        return false; /* so no line in it can be too long */
    while (p->line_at < end) {
        const char *line = p->base + p->line_at;
        const char *lf = memchr(line, '\n', end - p->line_at);
        size_t len = lf ? (size_t)(lf + 1 - line) : end - p->line_at;
        if (check_line_limits(p, p->line_at, len) < 0)
            return true;
        if (!lf)
            break;
        p->line_at += (uint32_t)len;
    }
    return false;
}

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
        return is_over(p, offset) ? -1 : refuse(p, 431, MANY_FIELDS);
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
    p->line_at = 0;
    p->at = AT_LINE;
    p->is_failed = false;
    p->n_smoothed = 0;
    p->status = 0;
    p->reason = NULL;
    struct field *fields = head->fields;
    uint32_t max_fields = head->max_fields;
    *head = (struct head){.fields = fields, .max_fields = max_fields};
}

/* tchar, RFC 9110 §5.6.2 */
static bool is_token_char(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* "HTTP/" digit "." digit at the end of the line, behind one SP */
static bool has_version_form(const char *line, size_t len)
{
    if (len < 9 || line[len - 9] != ' ' || memcmp(line + len - 8, "HTTP/", 5) != 0)
        return false;
    return isdigit((unsigned char)line[len - 3]) && line[len - 2] == '.' &&
           isdigit((unsigned char)line[len - 1]);
}

/* Says what is wrong with a request line that the parser refused. line ends before its CRLF. */
static void judge_line(struct parse *p, const char *line, size_t len)
{
    size_t method = 0;
    while (method < len && is_token_char(line[method]))
        method++;
    if (method == 0 || method == len || line[method] != ' ') {
        (void)refuse(p, 400, "malformed request line");
        return;
    }
    if (!has_version_form(line, len)) {
        (void)refuse(p, 400, "malformed request line");
        return;
    }
    for (size_t i = method + 1; i < len - 9; i++) {
        if ((unsigned char)line[i] <= ' ' || (unsigned char)line[i] >= 0x7f) {
            (void)refuse(p, 400, "malformed request target");
            return;
        }
    }
    if (line[len - 3] != '1') {
        (void)refuse(p, 505, "HTTP version not supported");
        return;
    }
    llhttp_t probe; /* is it the method, or the target? */
    llhttp_init(&probe, HTTP_REQUEST, &(llhttp_settings_t){0});
    if (llhttp_execute(&probe, line, method + 1) != HPE_OK)
        (void)refuse(p, 501, "unknown method");
    else
        (void)refuse(p, 400, "malformed request line");
}

/* HTTP/1.2 to 1.9 are to be processed as the highest 1.x that we know (RFC 9110 §2.5); 8.1.0 can't.
 * Shows the parser a 1 instead, remembers the digit, and starts over.
 * Returns true when the line was changed */
static bool lower_minor(struct parse *p, char *line, size_t len)
{
    if (p->head->minor != 0 || !has_version_form(line, len) || line[len - 3] != '1' ||
        line[len - 1] < '2')
        return false;
    uint8_t minor = (uint8_t)(line[len - 1] - '0');
    struct head *head = p->head;
    line[len - 1] = '1';
    parse_begin(p, head, p->limits);
    head->minor = minor;
    return true;
}

/* Starts over, after an octet of the head was changed. */
static void begin_again(struct parse *p)
{
    uint8_t minor = p->head->minor;
    uint8_t n_smoothed = (uint8_t)(p->n_smoothed + 1);
    parse_begin(p, p->head, p->limits);
    p->head->minor = minor;
    p->n_smoothed = n_smoothed;
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
    begin_again(p);
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
        begin_again(p);
    return is_changed;
}

/* After a refusal inside the request line: waits for its end, then says what was wrong. */
static enum parse_result judge_failed_line(struct parse *p, char *base, size_t len)
{
    size_t limit = p->limits->request_line;
    const char *end = memchr(base, '\n', len < limit ? len : limit);
    if (!end && len < limit) {
        p->fed = len;
        return PARSE_MORE;
    }
    if (!end) {
        (void)refuse(p, 414, "request line longer than limit_request_line");
        return PARSE_BAD;
    }
    size_t line_len = (size_t)(end - base);
    if (line_len == 0 || base[line_len - 1] != '\r') {
        (void)refuse(p, 400, "bare LF ends the request line");
        return PARSE_BAD;
    }
    p->is_failed = false;
    if (lower_minor(p, base, line_len - 1))
        return parse_head(p, base, len);
    judge_line(p, base, line_len - 1);
    return PARSE_BAD;
}

/* An error inside the name of a field: the parser has not told of that field when all of it came in
 * one read. Was it one too many already? */
static bool is_one_field_more(const struct parse *p, size_t error_at)
{
    const char *lf = memrchr(p->base, '\n', error_at);
    const char *line = lf ? lf + 1 : p->base;
    const struct head *head = p->head;
    return head->n_fields > 0 && head->n_fields == head->max_fields && line < p->base + error_at &&
           is_token_char(*line) && line > p->base + head->fields[head->n_fields - 1].name_at;
}

enum parse_result parse_head(struct parse *p, char *base, size_t len)
{
    llhttp_t *parser = parser_of(p);
    p->base = base;
    if (p->is_failed)
        return judge_failed_line(p, base, len);
    if (__builtin_expect(p->n_smoothed > 0, 0))
        smooth_rest(p, base, len);
    llhttp_errno_t rc = llhttp_execute(parser, base + p->fed, len - p->fed);
    if (__builtin_expect(rc == HPE_PAUSED, 1)) {
        bool is_coded = parser->flags & F_TRANSFER_ENCODING;
        if (is_coded && !(parser->flags & F_CHUNKED) && smooth_coding(p, base))
            return parse_head(p, base, len);
        struct head *head = p->head;
        head->bytes = (uint32_t)(llhttp_get_error_pos(parser) - base);
        p->fed = head->bytes;
        if (head->minor == 0)
            head->minor = parser->http_minor;
        return is_over(p, head->bytes) ? PARSE_BAD : PARSE_DONE;
    }
    if (rc == HPE_OK) {
        p->fed = len;
        return is_over(p, len) ? PARSE_BAD : PARSE_MORE;
    }
    if (rc != HPE_USER && smooth_tabs(p, base, len, (size_t)(llhttp_get_error_pos(parser) - base)))
        return parse_head(p, base, len);
    if (rc != HPE_USER && is_over(p, (size_t)(llhttp_get_error_pos(parser) - base)))
        return PARSE_BAD;
    if (rc != HPE_USER && !memchr(base, '\n', (size_t)(llhttp_get_error_pos(parser) - base))) {
        p->is_failed = true; /* still in the request line */
        return judge_failed_line(p, base, len);
    }
    if (rc != HPE_USER && is_one_field_more(p, (size_t)(llhttp_get_error_pos(parser) - base)))
        (void)refuse(p, 431, MANY_FIELDS);
    (void)refuse(p, 400, "malformed header field");
    return PARSE_BAD;
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
