/* One pass over the fields collects facts as bits; THE table below says which facts are refused,
 * with what, and why. The usual request costs one compare with the mask of all refusals.
 *
 * llhttp 8.1.0 lets more through than 9.x (bare LF behind the request line, obs-fold, empty names);
 * instead of searching for each, check_lines() demands that between the pieces the parser reported
 * stands exactly what the grammar wants there. */
#include "http/guard.h"

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
    FACT_CODING_NOT_LAST, /* chunked is there but not last, or nothing is there */
    FACT_CODING_AND_LENGTH,
    FACT_CODING_IN_1_0,
    FACT_REFUSED, /* by llhttp, and nothing above */
    FACT_CONNECT,
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
    [FACT_CODING_NOT_LAST] = {400, "chunked is not the last transfer coding (RFC 9112 6.3)"},
    [FACT_CODING_AND_LENGTH] = {400, "Transfer-Encoding beside Content-Length (RFC 9112 6.1)"},
    [FACT_CODING_IN_1_0] = {400, "Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1)"},
    [FACT_REFUSED] = {400, "malformed head (RFC 9112 2.2)"},
    [FACT_CONNECT] = {501, "CONNECT is for proxies"},
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
    struct str coding;
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
    return p[0] == '\r' && p[1] == '\n';
}

/* Every octet of the head must be accounted for: the head ends in CRLF CRLF, so no index passes
 * it. */
static uint32_t check_lines(struct head *head, const char *base, const struct http_limits *limits)
{
    uint32_t facts = 0;
    uint32_t end = head->target_at + head->target_len; /* end of the target */
    head->method_len = head->target_at > 0 ? head->target_at - 1 : 0;
    if (head->target_len == 0 || end + 11 > head->bytes || base[head->method_len] != ' ' ||
        base[0] <= ' ' || /* llhttp skips empty lines */
        memchr(base, ' ', head->method_len) || memcmp(base + end, " HTTP/", 6) != 0 ||
        !is_digit(base[end + 6]) || base[end + 7] != '.' || !is_digit(base[end + 8]) ||
        !is_crlf(base + end + 9) || head->is_nameless)
        return BIT(FACT_LINE);
    if (base[end + 6] != '1')
        return BIT(FACT_VERSION);
    if (!grammar_knows_method(str_make(base, head->method_len)))
        return BIT(FACT_METHOD);
    uint32_t at = end + 11;
    if (at > limits->request_line)
        facts |= BIT(FACT_LINE_LIMIT);
    for (uint32_t i = 0; i < head->n_fields; i++) {
        struct field *field = &head->fields[i];
        uint32_t start = at;
        if (field->name_at != at || field->name_len == 0 || base[at + field->name_len] != ':')
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
        at = skip_blanks(base, at + field->value_len);
        if (!is_crlf(base + at))
            return facts | BIT(FACT_FIELD_LINE);
        at += 2;
        if (at - start > limits->field_size)
            facts |= BIT(FACT_FIELD_LIMIT);
    }
    if (head->is_folded || at + 2 != head->bytes || !is_crlf(base + at))
        facts |= BIT(FACT_FIELD_LINE);
    return facts;
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

/* Returns where the host ends, 0 when there is none or it is malformed. */
static size_t host_end(struct str host)
{
    size_t i = 0;
    if (host.len > 0 && host.p[0] == '[') { /* IP-literal */
        for (i = 1; i < host.len && host.p[i] != ']'; i++)
            if (!isxdigit((unsigned char)host.p[i]) && host.p[i] != ':' && host.p[i] != '.')
                return 0;
        return i < 3 || i == host.len ? 0 : i + 1;
    }
    while (i < host.len && host.p[i] != ':') {
        size_t step = reg_name_chars[(unsigned char)host.p[i]] ? 1 : skip_escape(host, i);
        if (step == 0)
            return 0;
        i += step;
    }
    return i;
}

int guard_is_host(struct str host)
{
    size_t i = host_end(host);
    if (i == 0)
        return 0;
    if (i == host.len)
        return 1;
    if (host.p[i] != ':' || host.len - i > 6)
        return 0;
    for (i++; i < host.len; i++)
        if (host.p[i] < '0' || host.p[i] > '9')
            return 0;
    return 1;
}

static void note_coding(struct findings *found, struct str value)
{
    found->n_codings++;
    found->coding = value;
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

/* The few fields that framing depends on; told apart by length first, so that others cost
 * little. */
static void note_field(struct findings *found, struct head *head, struct str name, struct str value)
{
    switch (name.len) {
    case 4:
        if (str_is_equal_nocase(name, STR("host"))) {
            found->n_hosts++;
            found->host = value;
        }
        break;
    case 6:
        if (str_is_equal_nocase(name, STR("expect"))) {
            if (str_is_equal_nocase(value, STR("100-continue")))
                head->wants_continue = true;
            else
                head->has_other_expect = true;
        }
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

/* http:// or https:// authority; userinfo is refused (RFC 9110 §4.2.4). */
static uint32_t check_absolute(struct head *head, struct str target, struct findings *found)
{
    struct str rest = target;
    size_t scheme =
        str_is_equal_nocase(str_make(target.p, target.len < 7 ? target.len : 7), STR("http://")) ? 7
        : str_is_equal_nocase(str_make(target.p, target.len < 8 ? target.len : 8), STR("https://"))
            ? 8
            : 0;
    if (scheme == 0)
        return BIT(FACT_TARGET);
    rest.p += scheme;
    rest.len -= scheme;
    size_t n = 0;
    while (n < rest.len && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    struct str authority = str_make(rest.p, n);
    if (!guard_is_host(authority))
        return BIT(FACT_TARGET);
    if (found->n_hosts == 1 && !str_is_equal_nocase(authority, found->host))
        return BIT(FACT_HOST_DIFFERS);
    head->host = authority;
    return 0;
}

static uint32_t check_target(struct head *head, const char *base, struct findings *found)
{
    struct str method = str_make(base, head->method_len);
    struct str target = str_make(base + head->target_at, head->target_len);
    if (str_is_equal(method, STR("CONNECT")))
        return BIT(FACT_CONNECT);
    if (memchr(target.p, '#', target.len))
        return BIT(FACT_TARGET);
    if (target.p[0] == '/')
        return 0;
    if (target.p[0] == '*')
        return target.len == 1 && str_is_equal(method, STR("OPTIONS")) ? 0 : BIT(FACT_TARGET);
    return check_absolute(head, target, found);
}

static uint32_t check_framing(struct head *head, const struct findings *found)
{
    uint32_t facts = 0;
    if (found->n_lengths > 1)
        facts |= BIT(FACT_LENGTH_REPEATED);
    if (found->n_codings == 0)
        return facts;
    head->is_chunked = str_is_equal_nocase(found->coding, STR("chunked"));
    if (head->minor == 0)
        facts |= BIT(FACT_CODING_IN_1_0);
    if (found->n_lengths > 0)
        facts |= BIT(FACT_CODING_AND_LENGTH);
    if (found->n_codings > 1)
        facts |= BIT(FACT_CODING_REPEATED);
    if (!head->is_chunked && found->coding.len > 0 &&
        (!str_list_has(found->coding, STR("chunked")) ||
         str_is_equal_nocase(str_make(found->coding.p + found->coding.len - 7, 7), STR("chunked"))))
        facts |= BIT(FACT_CODING_UNKNOWN);
    else if (!head->is_chunked)
        facts |= BIT(FACT_CODING_NOT_LAST);
    return facts;
}

int guard_judge(struct head *head, const char *base, const struct http_limits *limits,
                const char **out_reason)
{
    struct findings found = {.facts = check_lines(head, base, limits)};
    if (found.facts == 0) {
        for (uint32_t i = 0; i < head->n_fields; i++) {
            const struct field *field = &head->fields[i];
            note_field(&found, head, str_make(base + field->name_at, field->name_len),
                       str_make(base + field->value_at, field->value_len));
        }
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
