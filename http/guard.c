/* One pass over the fields collects facts as bits; THE table below says which facts are refused,
 * with what, and why. The usual request costs one compare with the mask of all refusals.
 *
 * llhttp 8.1.0 lets more through than 9.x (bare LF behind the request line, obs-fold, empty names);
 * instead of searching for each, check_lines() demands that between the pieces the parser reported
 * stands exactly what the grammar wants there. */
#include "http/guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>

enum fact {
    FACT_LINE,       /* the request line is not method SP target SP version CRLF */
    FACT_FIELD_LINE, /* a field line is not name ":" OWS value OWS CRLF */
    FACT_VERSION,
    FACT_METHOD,
    FACT_LINE_LIMIT,
    FACT_FIELD_LIMIT,
    FACT_HOST_MISSING,
    FACT_HOST_REPEATED,
    FACT_HOST_INVALID,
    FACT_HOST_DIFFERS, /* from the authority of an absolute-form target */
    FACT_TARGET,       /* no form that RFC 9112 §3.2 gives for this method */
    FACT_LENGTH_REPEATED,
    FACT_LENGTH_INVALID,
    FACT_CODING_REPEATED,
    FACT_CODING_INVALID,
    FACT_CODING_NOT_LAST, /* chunked is there but not last, or nothing is there */
    FACT_CODING_AND_LENGTH,
    FACT_CODING_IN_1_0,
    FACT_REFUSED, /* by llhttp, and nothing above */
    FACT_CONNECT,
    FACT_SECURE,
    FACT_CODING_UNKNOWN,
    FACT_EXPECTATION,
    FACT_COUNT
};

#define BIT(fact) (1U << (fact))

/* THE table of refusals, in the order in which they are reported: what is malformed before what is
 * not supported. */
static const struct refusal {
    int status;
    const char *reason;
} refusals[FACT_COUNT] = {
    [FACT_LINE] = {400, GRAMMAR_BAD_LINE},
    [FACT_FIELD_LINE] = {400, GRAMMAR_BAD_FIELD},
    [FACT_VERSION] = {505, GRAMMAR_BAD_VERSION},
    [FACT_METHOD] = {501, GRAMMAR_BAD_METHOD},
    [FACT_LINE_LIMIT] = {414, "request line longer than limit_request_line"},
    [FACT_FIELD_LIMIT] = {431, "header field longer than limit_request_field_size"},
    [FACT_HOST_MISSING] = {400, "no Host field (RFC 9112 3.2)"},
    [FACT_HOST_REPEATED] = {400, "more than one Host field (RFC 9112 3.2)"},
    [FACT_HOST_INVALID] = {400, "Host is not a host with an optional port (RFC 9112 3.2)"},
    [FACT_HOST_DIFFERS] = {400, "Host differs from the request target (RFC 9112 3.2.2)"},
    [FACT_TARGET] = {400, GRAMMAR_BAD_TARGET},
    [FACT_LENGTH_REPEATED] = {400, "more than one Content-Length (RFC 9112 6.3)"},
    [FACT_LENGTH_INVALID] = {400, "Content-Length is not a decimal number (RFC 9112 6.3)"},
    [FACT_CODING_REPEATED] = {400, "more than one Transfer-Encoding (RFC 9112 6.1)"},
    [FACT_CODING_INVALID] = {400, "Transfer-Encoding is no list of codings (RFC 9112 6.1)"},
    [FACT_CODING_NOT_LAST] = {400, "chunked is not the last transfer coding (RFC 9112 6.3)"},
    [FACT_CODING_AND_LENGTH] = {400, "Transfer-Encoding beside Content-Length (RFC 9112 6.1)"},
    [FACT_CODING_IN_1_0] = {400, "Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1)"},
    [FACT_REFUSED] = {400, "malformed head (RFC 9112 2.2)"},
    [FACT_CONNECT] = {501, "CONNECT is for proxies"},
    [FACT_SECURE] = {421, "https, on a connection that is not secured (RFC 9110 7.4)"},
    [FACT_CODING_UNKNOWN] = {501, "transfer coding other than chunked (RFC 9112 6.1)"},
    [FACT_EXPECTATION] = {417, "expectation other than 100-continue (RFC 9110 10.1.1)"},
};

/* What the pass over the fields gathers. */
struct findings {
    uint32_t facts;
    uint32_t n_hosts;
    uint32_t n_lengths;
    uint32_t n_codings;
    bool says_close;
    bool says_keep_alive;
    struct str host;
    struct str codings;
};

static uint32_t skip_blanks(const char *base, uint32_t at)
{
    while (base[at] == ' ' || base[at] == '\t')
        at++;
    return at;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_crlf(const char *p)
{
    return memcmp(p, "\r\n", 2) == 0;
}

/* Whatever line it is. end: of the target */
static uint32_t judge_line(const struct head *head, const char *base, uint32_t end)
{
    struct str method = str_make(base, head->method_len);
    bool is_known = grammar_knows_method(method);
    if (head->target_len == 0 || end + 11 > head->bytes || base[head->method_len] != ' ' ||
        base[0] <= ' ' || /* llhttp skips empty lines */
        (!is_known && memchr(method.p, ' ', method.len)) || memcmp(base + end, " HTTP/", 6) != 0 ||
        !is_digit(base[end + 6]) || base[end + 7] != '.' || !is_digit(base[end + 8]) ||
        !is_crlf(base + end + 9) || head->is_nameless)
        return BIT(FACT_LINE);
    if (base[end + 6] != '1')
        return BIT(FACT_VERSION);
    return is_known ? 0 : BIT(FACT_METHOD);
}

/* The line that most requests have is known by two words of eight octets. */
static uint32_t check_line(struct head *head, const char *base, uint32_t end)
{
    head->method_len = head->target_at > 0 ? head->target_at - 1 : 0;
    bool is_usual = head->method_len == 3 && head->target_len > 0 && end + 11 <= head->bytes &&
                    memcmp(base, "GET ", 4) == 0 && memcmp(base + end, " HTTP/1.", 8) == 0 &&
                    is_digit(base[end + 8]) && is_crlf(base + end + 9) && !head->is_nameless;
    return __builtin_expect(is_usual, 1) ? 0 : judge_line(head, base, end);
}

/* Octets of a reg-name (RFC 3986 §3.2.2: unreserved, sub-delims) that need no second look. */
static const bool reg_name_chars[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['.'] = true,
    ['_'] = true,         ['~'] = true,         ['!'] = true,         ['$'] = true, ['&'] = true,
    ['\''] = true,        ['('] = true,         [')'] = true,         ['*'] = true, ['+'] = true,
    [','] = true,         [';'] = true,         ['='] = true,
};

static size_t skip_escape(struct str host, size_t i)
{
    bool is_escape = host.p[i] == '%' && i + 2 < host.len &&
                     isxdigit((unsigned char)host.p[i + 1]) &&
                     isxdigit((unsigned char)host.p[i + 2]);
    return is_escape ? 3 : 0;
}

/* RFC 3986 §3.2.2; a zone is none of it. */
static bool is_v6(struct str text)
{
    char copy[INET6_ADDRSTRLEN] = "";
    struct in6_addr address;
    if (text.len >= sizeof copy || memchr(text.p, '\0', text.len))
        return false;
    memcpy(copy, text.p, text.len);
    return inet_pton(AF_INET6, copy, &address) == 1;
}

/* "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ), RFC 3986 §3.2.2 */
static bool is_later_ip(struct str text)
{
    size_t i = 1;
    if (text.len == 0 || (text.p[0] | 0x20) != 'v')
        return false;
    while (i < text.len && isxdigit((unsigned char)text.p[i]))
        i++;
    if (i == 1 || i + 1 >= text.len || text.p[i] != '.')
        return false;
    for (i++; i < text.len; i++)
        if (!reg_name_chars[(unsigned char)text.p[i]] && text.p[i] != ':')
            return false;
    return true;
}

/* Returns where the host ends, 0 when there is none or it is malformed. */
static size_t host_end(struct str host)
{
    size_t i = 0;
    if (host.len > 0 && host.p[0] == '[') { /* IP-literal */
        const char *end = memchr(host.p, ']', host.len);
        struct str inside = str_make(host.p + 1, end ? (size_t)(end - host.p) - 1 : 0);
        return is_v6(inside) || is_later_ip(inside) ? inside.len + 2 : 0;
    }
    while (i < host.len && reg_name_chars[(unsigned char)host.p[i]]) /* mostly that is all */
        i++;
    while (i < host.len && host.p[i] != ':') {
        size_t step = reg_name_chars[(unsigned char)host.p[i]] ? 1 : skip_escape(host, i);
        if (step == 0)
            return 0;
        i += step;
    }
    return i;
}

/* What follows the host: nothing, or ":" and digits, of which there may be none (RFC 3986 §3.2.3).
 * Returns  the port; `otherwise` when none is given; -1 malformed, or none that TCP has */
static int port_behind(struct str host, size_t end, int otherwise)
{
    int port = 0;
    if (end == host.len || (host.p[end] == ':' && end + 1 == host.len))
        return otherwise;
    if (host.p[end] != ':')
        return -1;
    for (size_t i = end + 1; i < host.len; i++) {
        if (!is_digit(host.p[i]))
            return -1;
        port = port * 10 + (host.p[i] - '0');
        if (port > 65535)
            return -1;
    }
    return port;
}

/* Mostly it is the one of the request before: then it need not be looked at again. */
int guard_is_host(struct str host)
{
    static _Thread_local struct {
        size_t len;
        char text[64];
    } last;
    if (host.len > 0 && host.len == last.len && memcmp(host.p, last.text, host.len) == 0)
        return true;
    size_t end = host_end(host);
    bool is_good = end > 0 && port_behind(host, end, 0) >= 0;
    if (is_good && host.len <= sizeof last.text) {
        memcpy(last.text, host.p, host.len);
        last.len = host.len;
    }
    return is_good;
}

/* Two hosts that guard_is_host() found good, in a scheme with this port. */
static bool is_same_authority(struct str a, struct str b, int scheme_port)
{
    size_t end_a = host_end(a);
    size_t end_b = host_end(b);
    return str_is_equal_nocase(str_make(a.p, end_a), str_make(b.p, end_b)) &&
           port_behind(a, end_a, scheme_port) == port_behind(b, end_b, scheme_port);
}

static void note_coding(struct findings *found, struct str value)
{
    found->n_codings++;
    found->codings = value;
}

static void note_length(struct findings *found, struct head *head, struct str value)
{
    found->n_lengths++;
    head->has_length = true;
    int rc = str_parse_u64(value, UINT64_MAX - 1, &head->content_length);
    if (rc == -ERANGE)
        head->content_length = UINT64_MAX; /* larger than any limit: 413 */
    else if (rc < 0)
        found->facts |= BIT(FACT_LENGTH_INVALID);
}

/* Cuts the next element off a list (RFC 9110 §5.6.1). Commas in quoted strings cut, too: no list
 * here allows one, and neither half is anything that is known. */
static bool next_element(struct str *list, struct str *out_element)
{
    if (!list->p)
        return false;
    const char *comma = memchr(list->p, ',', list->len);
    size_t n = comma ? (size_t)(comma - list->p) : list->len;
    *out_element = str_trim(str_make(list->p, n));
    *list = comma ? str_make(comma + 1, list->len - n - 1) : (struct str){0};
    return true;
}

static void note_expectations(struct head *head, struct str value)
{
    struct str element;
    while (next_element(&value, &element)) {
        if (str_is_equal_nocase(element, STR("100-continue")))
            head->wants_continue = true;
        else if (element.len > 0)
            head->has_other_expect = true;
    }
}

/* In every head: of letters alone, so one bit is all that lower and upper case differ in. */
static bool is_host(const char name[4])
{
    return (name[0] | 0x20) == 'h' && (name[1] | 0x20) == 'o' && (name[2] | 0x20) == 's' &&
           (name[3] | 0x20) == 't';
}

/* The few fields that framing depends on; told apart by length first, so that others cost
 * little. */
static void note_field(struct findings *found, struct head *head, struct str name, struct str value)
{
    switch (name.len) {
    case 4:
        if (is_host(name.p)) {
            found->n_hosts++;
            found->host = value;
        }
        break;
    case 6:
        if (str_is_equal_nocase(name, STR("expect")))
            note_expectations(head, value);
        break;
    case 10:
        if (str_is_equal_nocase(name, STR("connection"))) {
            found->says_close |= str_list_has(value, STR("close"));
            found->says_keep_alive |= str_list_has(value, STR("keep-alive"));
        }
        break;
    case 14:
        if (str_is_equal_nocase(name, STR("content-length")))
            note_length(found, head, value);
        break;
    case 17:
        if (str_is_equal_nocase(name, STR("transfer-encoding")))
            note_coding(found, value);
        break;
    default:
        break;
    }
}

/* Every octet of the head must be accounted for: the head ends in CRLF CRLF, so no index passes it.
 * What the fields say is only good when it is. */
static uint32_t check_lines(struct head *head, const char *base, const struct http_limits *limits,
                            struct findings *found)
{
    const uint32_t end = head->target_at + head->target_len; /* end of the target */
    uint32_t facts = check_line(head, base, end);
    if (facts)
        return facts;
    uint32_t at = end + 11;
    if (at > limits->request_line)
        facts |= BIT(FACT_LINE_LIMIT);
    for (uint32_t i = 0; i < head->n_fields; i++) {
        struct field *field = &head->fields[i];
        uint32_t start = at;
        struct str name = str_make(base + at, field->name_len);
        if (field->name_at != at || name.len == 0 || name.p[name.len] != ':')
            return facts | BIT(FACT_FIELD_LINE);
        at = skip_blanks(base, at + field->name_len + 1);
        if (field->value_len == 0)
            field->value_at = at; /* llhttp reports an empty value behind its line */
        else if (field->value_at > at)
            return facts | BIT(FACT_FIELD_LINE);
        uint32_t value_end = field->value_at + field->value_len;
        field->value_at = at;
        while (value_end > at && (base[value_end - 1] == ' ' || base[value_end - 1] == '\t'))
            value_end--;
        field->value_len = value_end > at ? value_end - at : 0;
        struct str value = str_make(base + at, field->value_len);
        at += field->value_len;
        if (!is_crlf(base + at)) {
            at = skip_blanks(base, at);
            if (!is_crlf(base + at))
                return facts | BIT(FACT_FIELD_LINE);
        }
        at += 2;
        head->name_lengths |= UINT64_C(1) << name.len % 64;
        note_field(found, head, name, value);
        if (at - start > limits->field_size)
            facts |= BIT(FACT_FIELD_LIMIT);
    }
    if (head->is_folded || at + 2 != head->bytes || !is_crlf(base + at))
        facts |= BIT(FACT_FIELD_LINE);
    return facts;
}

/* http:// or https:// authority; userinfo is refused (RFC 9110 §4.2.4). A Host of another authority
 * is one that a client MUST NOT send (RFC 9112 §3.2), and that someone in front may have believed:
 * refused, although §3.2.2 would let us take the target's. */
static uint32_t check_absolute(struct head *head, struct str target, struct findings *found)
{
    bool is_secure = target.len > 5 && (target.p[4] | 0x20) == 's';
    struct str scheme = is_secure ? STR("https://") : STR("http://");
    if (target.len < scheme.len || !str_is_equal_nocase(str_make(target.p, scheme.len), scheme))
        return BIT(FACT_TARGET);
    struct str rest = str_make(target.p + scheme.len, target.len - scheme.len);
    size_t n = 0;
    while (n < rest.len && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    struct str authority = str_make(rest.p, n);
    if (!guard_is_host(authority))
        return BIT(FACT_TARGET);
    head->host = authority;
    if (found->n_hosts == 1 && guard_is_host(found->host) &&
        !is_same_authority(authority, found->host, is_secure ? 443 : 80))
        return BIT(FACT_HOST_DIFFERS);
    return is_secure ? BIT(FACT_SECURE) : 0;
}

/* What no part of a target may hold, and what its path may not. RFC 3986 has no place for more, and
 * an invalid request line SHOULD be refused (RFC 9112 §3.2): but "[", "]", "^" and "|", and in
 * queries "\\", "`", "{" and "}" too, browsers send as they stand, since the WHATWG URL standard
 * leaves them. */
static const uint8_t target_chars[256] = {
    ['#'] = 2, ['"'] = 2, ['<'] = 2, ['>'] = 2, ['\\'] = 1, ['`'] = 1, ['{'] = 1, ['}'] = 1,
};

/* *out_path_len: octets before the query */
static bool has_bad_octet(struct str target, uint32_t *out_path_len)
{
    size_t i = 0;
    for (; i < target.len && target.p[i] != '?'; i++)
        if (target_chars[(unsigned char)target.p[i]] > 0)
            return true;
    *out_path_len = (uint32_t)i;
    for (; i < target.len; i++)
        if (target_chars[(unsigned char)target.p[i]] > 1)
            return true;
    return false;
}

static uint32_t check_target(struct head *head, const char *base, struct findings *found)
{
    struct str method = str_make(base, head->method_len);
    struct str target = str_make(base + head->target_at, head->target_len);
    if (str_is_equal(method, STR("CONNECT")))
        return BIT(FACT_CONNECT);
    if (has_bad_octet(target, &head->path_len))
        return BIT(FACT_TARGET);
    if (target.p[0] == '/')
        return 0;
    if (target.p[0] == '*')
        return target.len == 1 && str_is_equal(method, STR("OPTIONS")) ? 0 : BIT(FACT_TARGET);
    return check_absolute(head, target, found);
}

/* Exactly one coding, "chunked" and nothing else, is what we decode. Empty elements are malformed
 * here, although a list elsewhere may have a reasonable number of them (RFC 9110 §5.6.1.2): whoever
 * sends them hopes that someone reads the list otherwise. */
static uint32_t check_codings(struct head *head, struct str codings)
{
    struct str element;
    uint32_t n = 0;
    uint32_t n_chunked = 0;
    bool is_chunked_last = false;
    if (codings.len == 0)
        return BIT(FACT_CODING_NOT_LAST);
    while (next_element(&codings, &element)) {
        const char *semicolon = memchr(element.p, ';', element.len);
        size_t len = semicolon ? (size_t)(semicolon - element.p) : element.len;
        struct str name = str_trim(str_make(element.p, len));
        bool is_chunked = str_is_equal_nocase(name, STR("chunked"));
        if (!str_is_token(name) || (is_chunked && semicolon)) /* it has none: RFC 9112 §7.1 */
            return BIT(FACT_CODING_INVALID);
        n++;
        n_chunked += is_chunked;
        is_chunked_last = is_chunked;
    }
    if (n_chunked > 1 || (n_chunked == 1 && !is_chunked_last))
        return BIT(FACT_CODING_NOT_LAST);
    head->is_chunked = n == 1 && n_chunked == 1;
    return head->is_chunked ? 0 : BIT(FACT_CODING_UNKNOWN);
}

static uint32_t check_framing(struct head *head, const struct findings *found)
{
    uint32_t facts = 0;
    if (found->n_lengths > 1)
        facts |= BIT(FACT_LENGTH_REPEATED);
    if (found->n_codings == 0)
        return facts;
    if (head->minor == 0)
        facts |= BIT(FACT_CODING_IN_1_0);
    if (found->n_lengths > 0)
        facts |= BIT(FACT_CODING_AND_LENGTH);
    if (found->n_codings > 1)
        facts |= BIT(FACT_CODING_REPEATED);
    return facts | check_codings(head, found->codings);
}

int guard_judge(struct head *head, const char *base, const struct http_limits *limits,
                const char **out_reason)
{
    struct findings found = {0};
    uint32_t line_facts = check_lines(head, base, limits, &found);
    if (__builtin_expect(line_facts != 0, 0)) {
        found.facts = line_facts;
    } else {
        head->is_sound = true;
        head->host = found.host;
        if (found.n_hosts == 0 && head->minor > 0)
            found.facts |= BIT(FACT_HOST_MISSING);
        if (found.n_hosts > 1)
            found.facts |= BIT(FACT_HOST_REPEATED);
        if (found.n_hosts > 0 && !guard_is_host(found.host))
            found.facts |= BIT(FACT_HOST_INVALID);
        if (head->has_other_expect && head->minor > 0)
            found.facts |= BIT(FACT_EXPECTATION);
        found.facts |= check_target(head, base, &found) | check_framing(head, &found);
        bool is_too_long = head->content_length == UINT64_MAX; /* 413, by whoever reads the body */
        if (head->is_refused && found.facts == 0 && !is_too_long)
            found.facts = BIT(FACT_REFUSED);
        head->is_keep_alive = !found.says_close && (head->minor > 0 || found.says_keep_alive);
        if (head->minor == 0)
            head->wants_continue = false; /* RFC 9110 §10.1.1: 1.0 clients know no 100 */
    }
    if (__builtin_expect(found.facts == 0, 1))
        return 0;
    const struct refusal *refusal = &refusals[__builtin_ctz(found.facts)];
    *out_reason = refusal->reason;
    return refusal->status;
}
