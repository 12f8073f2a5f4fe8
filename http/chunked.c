/* A decoder of our own, although llhttp has one: that of 8.1.0 takes a bare LF and trailers without
 * a name, refuses extensions that are valid, reports no extensions, and knows no limits; that of
 * 9.x differs (what a body is must not depend on the library that is installed).
 *
 * THE table of moves below is the grammar: state × class of the octet → state; what is not in it is
 * refused. Octets of framing take one step each, data none: it is handed out as it lies there.
 * Limits cut the octets that a run over them may see, so that they hold to the octet and cost
 * nothing for each. The name of a trailer, which may come in pieces, is not kept: the range of
 * forbidden names that begin like it is narrowed octet by octet. */
#include "http/chunked.h"

#include <stdbool.h>

#include "base/panic.h"

enum octet_class {
    OTHER, /* controls, NUL and DEL: nowhere allowed */
    BLANK, /* SP, HTAB */
    HEX,   /* also tchar */
    TCHAR, /* the rest of it (RFC 9110 §5.6.2) */
    SEMICOLON,
    EQUALS,
    QUOTE,
    BACKSLASH,
    COLON,
    VISIBLE, /* the other delimiters */
    OBS,     /* obs-text, 0x80 … 0xff */
    CR,
    LF
};

static const uint8_t classes[256] = {
    ['!'] = TCHAR,         ['"'] = QUOTE,         ['#'] = TCHAR,      ['$'] = TCHAR,
    ['%'] = TCHAR,         ['&'] = TCHAR,         ['\''] = TCHAR,     ['('] = VISIBLE,
    [')'] = VISIBLE,       ['*'] = TCHAR,         ['+'] = TCHAR,      [','] = VISIBLE,
    ['-'] = TCHAR,         ['.'] = TCHAR,         ['/'] = VISIBLE,    ['0' ... '9'] = HEX,
    [':'] = COLON,         [';'] = SEMICOLON,     ['<'] = VISIBLE,    ['='] = EQUALS,
    ['>'] = VISIBLE,       ['?'] = VISIBLE,       ['@'] = VISIBLE,    ['A' ... 'F'] = HEX,
    ['['] = VISIBLE,       ['G' ... 'Z'] = TCHAR, ['\\'] = BACKSLASH, [']'] = VISIBLE,
    ['^'] = TCHAR,         ['_'] = TCHAR,         ['`'] = TCHAR,      ['a' ... 'f'] = HEX,
    ['g' ... 'z'] = TCHAR, ['{'] = VISIBLE,       ['|'] = TCHAR,      ['}'] = VISIBLE,
    ['~'] = TCHAR,         [0x80 ... 0xff] = OBS, [' '] = BLANK,      ['\t'] = BLANK,
    ['\r'] = CR,           ['\n'] = LF,
};

/* What the next octet is in front of, or in. */
enum state {
    BAD, /* 0: what the table of moves leaves out */
    /* framing of chunks, up to the CRLF behind the last size */
    SIZE_FIRST,
    SIZE,
    EXT_BLANK, /* blanks that a ";" must follow */
    EXT_FIRST,
    EXT_NAME,
    EXT_NAME_BLANK, /* blanks that a ";" or a "=" must follow */
    EXT_VALUE_FIRST,
    EXT_TOKEN,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_QUOTED_END,
    SIZE_LF,
    DATA_CR,
    DATA_LF,
    DATA,
    /* the trailer section */
    LINE_FIRST,
    NAME,
    VALUE,
    LINE_LF,
    LAST_LF,
    DONE,
    N_STATES
};

#define ANY_TCHAR(state) [HEX] = (state), [TCHAR] = (state)
#define ANY_VCHAR(state)                                                                           \
    ANY_TCHAR(state), [SEMICOLON] = (state), [EQUALS] = (state), [QUOTE] = (state),                \
                      [BACKSLASH] = (state), [COLON] = (state), [VISIBLE] = (state)

/* THE grammar (RFC 9112 §7.1, §7.1.1, §7.1.2; RFC 9110 §5.6). Rows of 16 are found by a shift. */
static const uint8_t moves[N_STATES][16] = {
    [SIZE_FIRST] = {[HEX] = SIZE},
    [SIZE] = {[HEX] = SIZE, [BLANK] = EXT_BLANK, [SEMICOLON] = EXT_FIRST, [CR] = SIZE_LF},
    [EXT_BLANK] = {[BLANK] = EXT_BLANK, [SEMICOLON] = EXT_FIRST},
    [EXT_FIRST] = {[BLANK] = EXT_FIRST, ANY_TCHAR(EXT_NAME)},
    [EXT_NAME] = {ANY_TCHAR(EXT_NAME), [BLANK] = EXT_NAME_BLANK, [EQUALS] = EXT_VALUE_FIRST,
                  [SEMICOLON] = EXT_FIRST, [CR] = SIZE_LF},
    [EXT_NAME_BLANK] =
        {[BLANK] = EXT_NAME_BLANK, [EQUALS] = EXT_VALUE_FIRST, [SEMICOLON] = EXT_FIRST},
    [EXT_VALUE_FIRST] = {[BLANK] = EXT_VALUE_FIRST, ANY_TCHAR(EXT_TOKEN), [QUOTE] = EXT_QUOTED},
    [EXT_TOKEN] =
        {ANY_TCHAR(EXT_TOKEN), [BLANK] = EXT_BLANK, [SEMICOLON] = EXT_FIRST, [CR] = SIZE_LF},
    [EXT_QUOTED] = {ANY_TCHAR(EXT_QUOTED), [BLANK] = EXT_QUOTED, [SEMICOLON] = EXT_QUOTED,
                    [EQUALS] = EXT_QUOTED, [COLON] = EXT_QUOTED, [VISIBLE] = EXT_QUOTED,
                    [OBS] = EXT_QUOTED, [BACKSLASH] = EXT_ESCAPED, [QUOTE] = EXT_QUOTED_END},
    [EXT_ESCAPED] = {ANY_VCHAR(EXT_QUOTED), [BLANK] = EXT_QUOTED, [OBS] = EXT_QUOTED},
    [EXT_QUOTED_END] = {[BLANK] = EXT_BLANK, [SEMICOLON] = EXT_FIRST, [CR] = SIZE_LF},
    [SIZE_LF] = {[LF] = DATA}, /* or LINE_FIRST, behind the last size */
    [DATA_CR] = {[CR] = DATA_LF},
    [DATA_LF] = {[LF] = SIZE_FIRST},
    [LINE_FIRST] = {ANY_TCHAR(NAME), [CR] = LAST_LF},
    [NAME] = {ANY_TCHAR(NAME), [COLON] = VALUE},
    [VALUE] = {ANY_VCHAR(VALUE), [BLANK] = VALUE, [OBS] = VALUE, [CR] = LINE_LF},
    [LINE_LF] = {[LF] = LINE_FIRST},
    [LAST_LF] = {[LF] = DONE},
};

#define BAD_SIZE "chunk size is not a hexadecimal number (RFC 9112 7.1)"
#define BAD_EXTENSION "malformed chunk extension (RFC 9112 7.1.1)"
#define BAD_DATA_END "chunk data that CRLF does not follow (RFC 9112 7.1)"
#define BAD_LINE_END "line end in a chunked body that is not CRLF (RFC 9112 2.2)"
#define BAD_TRAILER "malformed trailer field (RFC 9112 7.1.2)"

/* What is wrong when a state has no move for an octet. */
static const char *const reasons[N_STATES] = {
    [SIZE_FIRST] = BAD_SIZE,
    [SIZE] = BAD_SIZE,
    [EXT_BLANK] = BAD_EXTENSION,
    [EXT_FIRST] = BAD_EXTENSION,
    [EXT_NAME] = BAD_EXTENSION,
    [EXT_NAME_BLANK] = BAD_EXTENSION,
    [EXT_VALUE_FIRST] = BAD_EXTENSION,
    [EXT_TOKEN] = BAD_EXTENSION,
    [EXT_QUOTED] = BAD_EXTENSION,
    [EXT_ESCAPED] = BAD_EXTENSION,
    [EXT_QUOTED_END] = BAD_EXTENSION,
    [SIZE_LF] = BAD_LINE_END,
    [DATA_CR] = BAD_DATA_END,
    [DATA_LF] = BAD_DATA_END,
    [LINE_FIRST] = BAD_TRAILER,
    [NAME] = BAD_TRAILER,
    [VALUE] = BAD_TRAILER,
    [LINE_LF] = BAD_LINE_END,
    [LAST_LF] = BAD_LINE_END,
};

/* Fields that mean something only in front of the content (RFC 9110 §6.5.1: framing, routing,
 * request modifiers, authentication, response control, content format). Whoever merges trailers
 * into the header behind us could be told anything by them. Sorted, lower case. Allowed by their
 * definitions, hence not here: Content-Digest and Repr-Digest (RFC 9530), Authentication-Info
 * (RFC 9110 §11.6.3), ETag (§8.8.3), Server-Timing. */
static const char *const forbidden[] = {
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "cookie2",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "if",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-http-method-override",
    "x-real-ip",
};
#define N_FORBIDDEN (sizeof forbidden / sizeof forbidden[0])
_Static_assert(N_FORBIDDEN <= UINT8_MAX, "the range of names is two octets");

static void refuse(struct chunked *d, int status, const char *reason)
{
    d->state = BAD;
    d->status = status;
    d->reason = reason;
}

/* An octet that the table has no move for. */
static void refuse_octet(struct chunked *d, enum state state, char octet)
{
    if (octet == '\n')
        refuse(d, 400, BAD_LINE_END);
    else if (state == LINE_FIRST && (octet == ' ' || octet == '\t'))
        refuse(d, 400, "folded trailer field (RFC 9112 5.2)");
    else
        refuse(d, 400, reasons[state]);
}

void chunked_begin(struct chunked *d, const struct http_limits *limits, uint64_t body_limit)
{
    *d = (struct chunked){
        .limits = limits,
        .body_left = body_limit <= INT64_MAX ? body_limit : INT64_MAX,
        .framing_left = (uint64_t)CHUNKED_SLACK + limits->head,
        .section_left = limits->head,
        .line_left = limits->field_size,
        .fields_left = limits->fields,
        .state = SIZE_FIRST,
    };
}

/* ---- the framing of chunks ---- */

static uint8_t hex_value(char digit)
{
    return (uint8_t)((digit & 0xf) + (digit >= 'A' ? 9 : 0)); /* 'A' and 'a' end in 1 */
}

/* The line with a size is complete.
 * Returns  whether the limit has room for the chunk */
static bool begin_chunk(struct chunked *d)
{
    if (d->size > d->body_left) { /* so is all of 2^63 and above */
        refuse(d, 413, "body larger than limit_request_body");
        return false;
    }
    d->body_left -= d->size;
    d->n_digits = 0;
    d->state = d->size > 0 ? DATA : LINE_FIRST;
    return true;
}

/* Goes on up to data or the trailer section. Returns octets consumed. */
static size_t read_framing(struct chunked *d, const char *octets, size_t len)
{
    size_t room = len <= d->framing_left ? len : (size_t)d->framing_left;
    enum state state = d->state;
    size_t i = 0;
    for (; i < room; i++) {
        enum state next = moves[state][classes[(unsigned char)octets[i]]];
        if (next == BAD) {
            refuse_octet(d, state, octets[i]);
            return i;
        }
        if (next == SIZE) {
            if (d->n_digits++ == CHUNKED_DIGITS) {
                refuse(d, 400, "chunk size of more than 16 digits (RFC 9112 7.1)");
                return i;
            }
            d->size = d->size << 4 | hex_value(octets[i]);
        } else if (next == DATA) {
            d->framing_left -= i + 1;
            return begin_chunk(d) ? i + 1 : i;
        }
        state = next;
    }
    d->state = (uint8_t)state;
    d->framing_left -= i;
    if (i < len)
        refuse(d, 400, "more chunk framing than data");
    return i;
}

/* ---- the trailer section ---- */

/* The name goes on with this octet: narrows the range of names that begin like it. */
static void narrow(struct chunked *d, char octet)
{
    char lower = octet >= 'A' && octet <= 'Z' ? (char)(octet | 0x20) : octet;
    while (d->first < d->end && forbidden[d->first][d->at] < lower)
        d->first++;
    while (d->first < d->end && forbidden[d->end - 1][d->at] > lower)
        d->end--;
    if (d->first < d->end) /* else `at` could pass the end of names */
        d->at++;
}

static bool is_forbidden(const struct chunked *d)
{
    return d->first < d->end && forbidden[d->first][d->at] == '\0';
}

/* Returns  whether the move is allowed */
static bool read_name(struct chunked *d, enum state state, enum state next, char octet)
{
    if (state == LINE_FIRST && next == NAME) {
        if (d->fields_left == 0) {
            refuse(d, 431, "more trailer fields than limit_request_fields");
            return false;
        }
        d->fields_left--;
        d->first = d->at = 0;
        d->end = N_FORBIDDEN;
    }
    if (next == NAME) {
        narrow(d, octet);
    } else if (state == NAME && is_forbidden(d)) {
        refuse(d, 400, "field that is not allowed in trailers (RFC 9110 6.5.1)");
        return false;
    }
    return true;
}

/* Goes on up to the end of the line. Returns octets consumed. */
static size_t read_trailer(struct chunked *d, const char *octets, size_t len)
{
    uint32_t left = d->line_left < d->section_left ? d->line_left : d->section_left;
    size_t room = len <= left ? len : left;
    enum state state = d->state;
    bool is_line_over = false;
    size_t i = 0;
    while (i < room && !is_line_over) {
        enum state next = moves[state][classes[(unsigned char)octets[i]]];
        if (next == BAD) {
            refuse_octet(d, state, octets[i]);
            return i;
        }
        if (state <= NAME && !read_name(d, state, next, octets[i]))
            return i;
        state = next;
        is_line_over = state == LINE_FIRST || state == DONE;
        i++;
    }
    d->state = (uint8_t)state;
    d->section_left -= (uint32_t)i;
    d->line_left = is_line_over ? d->limits->field_size : d->line_left - (uint32_t)i;
    if (i < len && !is_line_over)
        refuse(d, 431,
               d->line_left == 0 ? "trailer field longer than limit_request_field_size"
                                 : "trailer section longer than limit_request_head");
    return i;
}

/* ---- together ---- */

static struct str take_data(struct chunked *d, struct str octets)
{
    size_t n = octets.len < d->size ? octets.len : (size_t)d->size;
    d->size -= n;
    d->framing_left += CHUNKED_FACTOR * (uint64_t)n; /* 2^59 bytes will not come */
    if (d->size == 0)
        d->state = DATA_CR;
    return str_make(octets.p, n);
}

enum chunked_result chunked_next(struct chunked *d, struct str octets, size_t *out_used,
                                 struct str *out_data)
{
    size_t at = 0;
    enum chunked_result result = CHUNKED_MORE;
    while (at < octets.len && d->state != DONE && d->state != BAD) {
        const char *rest = octets.p + at;
        size_t len = octets.len - at;
        if (d->state == DATA) {
            *out_data = take_data(d, str_make(rest, len));
            at += out_data->len;
            result = CHUNKED_DATA;
            break;
        }
        size_t n = d->state < DATA ? read_framing(d, rest, len) : read_trailer(d, rest, len);
        RMD_DEBUG_ASSERT(n > 0 || d->state == BAD); /* else this loop would have no end */
        at += n;
    }
    if (d->state == DONE)
        result = CHUNKED_DONE;
    else if (d->state == BAD)
        result = CHUNKED_BAD;
    *out_used = at;
    return result;
}
