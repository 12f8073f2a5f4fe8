/* A table of moves, state × class of the octet → state, as far as the lines of a head go: what is
 * not in it is refused with the state's status and reason. The version has a pattern instead, and
 * the end of the request line judges what can only be told there: version before method.
 *
 * llhttp parses; this is the second opinion. 8.1.0 takes obs-fold, empty names and a bare LF, and
 * finds what is wrong with a request line octets before or behind 9.x: if its word counted, the
 * same octets would get different answers, or the same answer earlier. */
#include "http/grammar.h"

enum class {
    OTHER, /* controls, NUL and DEL: nowhere allowed */
    SPACE,
    TAB,
    TCHAR,   /* RFC 9110 §5.6.2 */
    COLON,   /* ends a name */
    VISIBLE, /* the other delimiters */
    OBS,     /* obs-text, 0x80 … 0xff */
    CR,
    LF,
    N_CLASSES
};

static const uint8_t classes[256] = {
    [' '] = SPACE,
    ['\t'] = TAB,
    ['\r'] = CR,
    ['\n'] = LF,
    ['!'] = TCHAR,
    ['"'] = VISIBLE,
    ['#' ... '\''] = TCHAR,
    ['('] = VISIBLE,
    [')'] = VISIBLE,
    ['*'] = TCHAR,
    ['+'] = TCHAR,
    [','] = VISIBLE,
    ['-'] = TCHAR,
    ['.'] = TCHAR,
    ['/'] = VISIBLE,
    ['0' ... '9'] = TCHAR,
    [':'] = COLON,
    [';' ... '@'] = VISIBLE,
    ['A' ... 'Z'] = TCHAR,
    ['['] = VISIBLE,
    ['\\'] = VISIBLE,
    [']'] = VISIBLE,
    ['^' ... 'z'] = TCHAR,
    ['{'] = VISIBLE,
    ['|'] = TCHAR,
    ['}'] = VISIBLE,
    ['~'] = TCHAR,
    [0x80 ... 0xff] = OBS,
};

/* What the next octet is in front of, or in. */
enum state {
    BAD, /* 0: what the table leaves out */
    METHOD_FIRST,
    METHOD,
    TARGET_FIRST,
    TARGET,
    VERSION, /* and the CR behind it; no moves: a pattern */
    LINE_LF,
    FIELD_FIRST, /* or the empty line */
    NAME,
    VALUE,
    FIELD_LF,
    LAST_LF,
    DONE,
    N_STATES
};

#define ANY_VISIBLE(state) [TCHAR] = (state), [COLON] = (state), [VISIBLE] = (state)

static const uint8_t moves[N_STATES][N_CLASSES] = {
    [METHOD_FIRST] = {[TCHAR] = METHOD},
    [METHOD] = {[TCHAR] = METHOD, [SPACE] = TARGET_FIRST},
    [TARGET_FIRST] = {ANY_VISIBLE(TARGET)},
    [TARGET] = {ANY_VISIBLE(TARGET), [SPACE] = VERSION},
    [LINE_LF] = {[LF] = FIELD_FIRST},
    [FIELD_FIRST] = {[TCHAR] = NAME, [CR] = LAST_LF},
    [NAME] = {[TCHAR] = NAME, [COLON] = VALUE},
    [VALUE] = {ANY_VISIBLE(VALUE), [OBS] = VALUE, [SPACE] = VALUE, [TAB] = VALUE, [CR] = FIELD_LF},
    [FIELD_LF] = {[LF] = FIELD_FIRST},
    [LAST_LF] = {[LF] = DONE},
};

static const char version_pattern[] = "HTTP/d.d\r"; /* d: DIGIT */
#define MAJOR_AT 5

/* In the order in which they are met. RTSP's and those that only llhttp 9 knows are left out. */
static const struct str methods[] = {
    {"GET", 3},         {"HEAD", 4},   {"POST", 4},        {"PUT", 3},          {"DELETE", 6},
    {"OPTIONS", 7},     {"PATCH", 5},  {"CONNECT", 7},     {"TRACE", 5},        {"COPY", 4},
    {"LOCK", 4},        {"MKCOL", 5},  {"MOVE", 4},        {"PROPFIND", 8},     {"PROPPATCH", 9},
    {"SEARCH", 6},      {"UNLOCK", 6}, {"BIND", 4},        {"REBIND", 6},       {"UNBIND", 6},
    {"ACL", 3},         {"REPORT", 6}, {"MKACTIVITY", 10}, {"CHECKOUT", 8},     {"MERGE", 5},
    {"M-SEARCH", 8},    {"NOTIFY", 6}, {"SUBSCRIBE", 9},   {"UNSUBSCRIBE", 11}, {"PURGE", 5},
    {"MKCALENDAR", 10}, {"LINK", 4},   {"UNLINK", 6},      {"SOURCE", 6},
};

bool grammar_knows_method(struct str method)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (str_is_equal(method, methods[i]))
            return true;
    return false;
}

void grammar_begin(struct grammar *g)
{
    *g = (struct grammar){.state = METHOD_FIRST};
}

bool grammar_has_line(const struct grammar *g)
{
    return g->state >= FIELD_FIRST;
}

bool grammar_is_complete(const struct grammar *g)
{
    return g->state == DONE;
}

static bool refuse(struct grammar *g, int status, const char *reason)
{
    g->state = BAD;
    g->status = status;
    g->reason = reason;
    return false;
}

/* No octet of a line, or of the head, may stand behind its limit. Of two limits that one counts
 * which is passed first. A method that fills the line is longer than any (RFC 9112 §3: 501). */
static bool check_limits(struct grammar *g, const struct http_limits *limits)
{
    bool is_first = g->state < FIELD_FIRST;
    if (g->state <= METHOD && (g->at >= limits->request_line || g->at >= limits->head))
        return refuse(g, 501, GRAMMAR_BAD_METHOD);
    if (g->at - g->line_at >= (is_first ? limits->request_line : limits->field_size))
        return is_first ? refuse(g, 414, "request line longer than limit_request_line")
                        : refuse(g, 431, "header field longer than limit_request_field_size");
    if (g->at >= limits->head)
        return refuse(g, 431, "head longer than limit_request_head");
    return true;
}

/* The next octet of the version, or the CR behind it; BAD when it is another. */
static enum state read_version(struct grammar *g, char octet)
{
    char expected = version_pattern[g->version_at];
    if (expected == 'd' ? octet < '0' || octet > '9' : octet != expected)
        return BAD;
    if (g->version_at == MAJOR_AT)
        g->major = (uint8_t)(octet - '0');
    g->version_at++;
    return version_pattern[g->version_at] == '\0' ? LINE_LF : VERSION;
}

/* What only the end of a line, or the begin of another, can tell. */
static bool check_move(struct grammar *g, enum state next, const char *base, uint32_t max_fields)
{
    if (g->state == METHOD && next == TARGET_FIRST) {
        g->method_len = g->at;
    } else if (g->state == LINE_LF) {
        if (g->major != 1)
            return refuse(g, 505, GRAMMAR_BAD_VERSION);
        if (!grammar_knows_method(str_make(base, g->method_len)))
            return refuse(g, 501, GRAMMAR_BAD_METHOD);
    } else if (g->state == FIELD_FIRST && next == NAME && ++g->n_fields > max_fields) {
        return refuse(g, 431, "more header fields than limit_request_fields");
    }
    return true;
}

bool grammar_judge(struct grammar *g, const char *base, size_t len,
                   const struct http_limits *limits, uint32_t max_fields)
{
    for (; g->at < len && g->state != DONE && g->state != BAD; g->at++) {
        char octet = base[g->at];
        if (!check_limits(g, limits))
            return false;
        enum state next = g->state == VERSION ? read_version(g, octet)
                                              : moves[g->state][classes[(unsigned char)octet]];
        if (next == BAD)
            return refuse(g, 400, g->state < FIELD_FIRST ? GRAMMAR_BAD_LINE : GRAMMAR_BAD_FIELD);
        if (next != g->state && !check_move(g, next, base, max_fields))
            return false;
        if (next == FIELD_FIRST)
            g->line_at = g->at + 1;
        g->state = (uint8_t)next;
    }
    return g->state != BAD;
}
