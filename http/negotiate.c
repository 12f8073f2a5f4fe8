/* Content negotiation. Each field has one function that gives an offer's weight: it walks over the
 * field once and keeps what the most specific element says. choose() takes the heaviest offer.
 *
 * Weights are integers, 0 … 1000 as in the field; where something must lie between "not acceptable"
 * and the least weight that can be written (0.001), they are doubled. */
#include "http/negotiate.h"

#include <errno.h>
#include <stdbool.h>

#define WEIGHT_MAX 1000

static int choose(struct str field, const char *const *offers, size_t n,
                  int (*weigh)(struct str field, struct str offer))
{
    int best = -1;
    int best_weight = 0;
    for (size_t i = 0; i < n; i++) {
        int weight = weigh(field, str_of(offers[i]));
        if (weight > best_weight) {
            best = (int)i;
            best_weight = weight;
        }
    }
    return best;
}

/* ---- lists, weights, parameters ---- */

static struct str skip(struct str s, size_t n)
{
    return n > 0 ? str_make(s.p + n, s.len - n) : s;
}

/* Takes the next element of a list; commas in quoted strings cut nothing. False at the end. */
static bool next_element(struct str *rest, struct str *out)
{
    bool is_quoted = false;
    size_t n = 0;
    if (rest->len == 0)
        return false;
    for (; n < rest->len && (is_quoted || rest->p[n] != ','); n++) {
        if (rest->p[n] == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && rest->p[n] == '\\' && n + 1 < rest->len)
            n++;
    }
    *out = str_trim(str_make(rest->p, n));
    *rest = skip(*rest, n < rest->len ? n + 1 : n);
    return true;
}

/* qvalue (RFC 9110 §12.4.2): 0 … 1 with at most three decimals. Returns 0 … WEIGHT_MAX; -EINVAL */
static int read_weight(struct str text)
{
    static const int scale[] = {WEIGHT_MAX, 0, 100, 10, 1}; /* by place; the second is the point */
    int weight = 0;
    if (text.len == 0 || text.len > sizeof scale / sizeof scale[0])
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (i == 1 ? c != '.' : (c < '0' || c > '9'))
            return -EINVAL;
        if (i == 0 && c > '1')
            return -EINVAL;
        weight += i == 1 ? 0 : (c - '0') * scale[i];
    }
    return weight > WEIGHT_MAX ? -EINVAL : weight;
}

/* Takes an element of Accept-Encoding or Accept-Language apart: a name, and perhaps a weight. */
static bool read_weighted(struct str element, struct str *out_name, int *out_weight)
{
    const char *semicolon = element.len > 0 ? memchr(element.p, ';', element.len) : NULL;
    size_t n = semicolon ? (size_t)(semicolon - element.p) : element.len;
    *out_name = str_trim(str_make(element.p, n));
    *out_weight = WEIGHT_MAX;
    if (!semicolon)
        return true;
    struct str weight = str_trim(skip(element, n + 1));
    if (weight.len < 2 || (weight.p[0] | 0x20) != 'q' || weight.p[1] != '=')
        return false;
    *out_weight = read_weight(skip(weight, 2));
    return *out_weight >= 0;
}

/* Length of the quoted-string at the front (RFC 9110 §5.6.4), with its quotes; 0: there is none. */
static size_t quoted_len(struct str s)
{
    if (s.len == 0 || s.p[0] != '"')
        return 0;
    for (size_t n = 1; n < s.len; n++) {
        if (s.p[n] == '"')
            return n + 1;
        if (s.p[n] == '\\' && ++n == s.len)
            return 0;
        unsigned char octet = (unsigned char)s.p[n];
        if ((octet < ' ' && octet != '\t') || octet == 0x7f)
            return 0;
    }
    return 0;
}

/* Takes the next of `*( OWS ";" OWS [ name "=" value ] )` (RFC 9110 §5.6.6); a quoted value keeps
 * its quotes. Returns 1; 0 at the end; -EINVAL */
static int next_parameter(struct str *rest, struct str *out_name, struct str *out_value)
{
    do {
        *rest = str_trim(*rest);
        if (rest->len == 0)
            return 0;
        if (rest->p[0] != ';')
            return -EINVAL;
        *rest = str_trim(skip(*rest, 1));
        if (rest->len == 0)
            return 0;
    } while (rest->p[0] == ';');

    size_t n = str_token_length(*rest);
    if (n == 0 || n == rest->len || rest->p[n] != '=')
        return -EINVAL;
    *out_name = str_make(rest->p, n);
    *rest = skip(*rest, n + 1);
    n = quoted_len(*rest);
    if (n == 0)
        n = str_token_length(*rest);
    if (n == 0)
        return -EINVAL;
    *out_value = str_make(rest->p, n);
    *rest = skip(*rest, n);
    return 1;
}

/* The next octet that a parameter's value means, in lower case; -1 at the end. A DQUOTE that is not
 * escaped can only be one of the two around the value. */
static int next_octet(struct str *value)
{
    while (value->len > 0 && value->p[0] == '"')
        *value = skip(*value, 1);
    if (value->len == 0)
        return -1;
    size_t at = value->p[0] == '\\' ? 1 : 0;
    unsigned char octet = (unsigned char)value->p[at];
    *value = skip(*value, at + 1);
    return octet >= 'A' && octet <= 'Z' ? octet + ('a' - 'A') : octet;
}

static bool is_same_value(struct str a, struct str b)
{
    int octet;
    do {
        octet = next_octet(&a);
        if (octet != next_octet(&b))
            return false;
    } while (octet >= 0);
    return true;
}

/* ---- media types ---- */

/* A media range, or the type of an offer. */
struct media {
    struct str type;
    struct str subtype;
    struct str parameters; /* from the first ";" on; well-formed */
    unsigned n_parameters; /* without q */
    int weight;
};

static bool is_star(struct str s)
{
    return str_is_equal(s, STR("*"));
}

static bool is_weight(struct str name)
{
    return name.len == 1 && (name.p[0] | 0x20) == 'q';
}

/* q may stand anywhere among the parameters (RFC 9110 §12.5.1), but once. */
static bool read_parameters(struct media *m)
{
    struct str rest = m->parameters;
    struct str name;
    struct str value;
    bool has_weight = false;
    int rc;
    m->weight = WEIGHT_MAX;
    m->n_parameters = 0;
    while ((rc = next_parameter(&rest, &name, &value)) > 0) {
        if (!is_weight(name)) {
            m->n_parameters++;
            continue;
        }
        m->weight = read_weight(value);
        if (m->weight < 0 || has_weight)
            return false;
        has_weight = true;
    }
    return rc == 0;
}

static bool read_media(struct str text, struct media *out)
{
    out->type = str_make(text.p, str_token_length(text));
    if (out->type.len == 0 || out->type.len == text.len || text.p[out->type.len] != '/')
        return false;
    struct str rest = skip(text, out->type.len + 1);
    out->subtype = str_make(rest.p, str_token_length(rest));
    out->parameters = skip(rest, out->subtype.len);
    if (out->subtype.len == 0 || (is_star(out->type) && !is_star(out->subtype)))
        return false;
    return read_parameters(out);
}

static bool has_parameter(const struct media *offer, struct str name, struct str value)
{
    struct str rest = offer->parameters;
    struct str own_name;
    struct str own_value;
    while (next_parameter(&rest, &own_name, &own_value) > 0)
        if (str_is_equal_nocase(own_name, name) && is_same_value(own_value, value))
            return true;
    return false;
}

/* How specific a range is for this offer: the more, the higher; -1 when it is not for it. */
static int rank_range(const struct media *range, const struct media *offer)
{
    enum { PARAMETERS_MAX = 0xffff };
    int level = is_star(range->type) ? 0 : is_star(range->subtype) ? 1 : 2;
    if (level > 0 && !str_is_equal_nocase(range->type, offer->type))
        return -1;
    if (level > 1 && !str_is_equal_nocase(range->subtype, offer->subtype))
        return -1;
    struct str rest = range->parameters;
    struct str name;
    struct str value;
    while (next_parameter(&rest, &name, &value) > 0)
        if (!is_weight(name) && !has_parameter(offer, name, value))
            return -1;
    unsigned n = range->n_parameters;
    return level * (PARAMETERS_MAX + 1) + (int)(n < PARAMETERS_MAX ? n : PARAMETERS_MAX);
}

static int weigh_type(struct str field, struct str text)
{
    struct media offer;
    struct media range;
    struct str element;
    bool says_something = false;
    int best_rank = -1;
    int weight = 0;
    if (!read_media(text, &offer))
        return 0;
    while (next_element(&field, &element)) {
        if (!read_media(element, &range))
            continue;
        says_something = true;
        int rank = rank_range(&range, &offer);
        if (rank > best_rank) {
            best_rank = rank;
            weight = range.weight;
        }
    }
    return says_something ? weight : WEIGHT_MAX;
}

int negotiate_type(struct str accept, const char *const *offers, size_t n)
{
    return choose(accept, offers, n, weigh_type);
}

/* ---- content codings ---- */

/* The coding without "x-", where both are the same one (RFC 9110 §8.4.1). */
static struct str plain_coding(struct str name)
{
    if (str_is_equal_nocase(name, STR("x-gzip")) || str_is_equal_nocase(name, STR("x-compress")))
        return skip(name, 2);
    return name;
}

static int weigh_encoding(struct str field, struct str offer)
{
    bool is_identity = str_is_equal_nocase(offer, STR("identity"));
    struct str element;
    struct str name;
    int named = -1;
    int others = -1; /* what "*" says */
    int weight;
    if (!field.p)
        return is_identity ? 2 : 1;
    while (next_element(&field, &element)) {
        if (!read_weighted(element, &name, &weight) || !str_is_token(name))
            continue;
        if (named < 0 && str_is_equal_nocase(plain_coding(name), offer))
            named = weight;
        else if (others < 0 && is_star(name))
            others = weight;
    }
    if (named >= 0)
        return 2 * named;
    if (others >= 0)
        return 2 * others;
    return is_identity ? 1 : 0;
}

int negotiate_encoding(struct str accept_encoding, const char *const *offers, size_t n)
{
    return choose(accept_encoding, offers, n, weigh_encoding);
}

/* ---- languages ---- */

/* language-range of RFC 4647 §2.1, without "*": subtags of 1 to 8 letters or digits, the first
 * without digits. */
static bool is_language(struct str name)
{
    size_t in_subtag = 0;
    bool is_first = true;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (c == '-' && in_subtag > 0) {
            in_subtag = 0;
            is_first = false;
        } else if (!(is_letter || (!is_first && c >= '0' && c <= '9')) || ++in_subtag > 8) {
            return false;
        }
    }
    return in_subtag > 0;
}

/* Is tag the same as start, or does it go on behind it with a subtag? */
static bool begins_with(struct str tag, struct str start)
{
    return tag.len >= start.len && str_is_equal_nocase(str_make(tag.p, start.len), start) &&
           (tag.len == start.len || tag.p[start.len] == '-');
}

static int weigh_language(struct str field, struct str offer)
{
    struct str element;
    struct str name;
    size_t longest = 0; /* of the ranges that are the offer or begin it */
    int exact = 0;
    int longer = 0;  /* of those that the offer begins */
    int others = -1; /* of "*" */
    int weight;
    bool says_something = false;
    while (next_element(&field, &element)) {
        if (!read_weighted(element, &name, &weight) || !(is_star(name) || is_language(name)))
            continue;
        says_something = true;
        if (is_star(name)) {
            others = others < 0 ? weight : others;
        } else if (begins_with(offer, name)) {
            exact = name.len > longest ? weight : exact;
            longest = name.len > longest ? name.len : longest;
        } else if (begins_with(name, offer)) {
            longer = weight > longer ? weight : longer;
        }
    }
    if (!says_something)
        return WEIGHT_MAX;
    if (longest > 0)
        return exact;
    return longer > 0 ? longer : others;
}

int negotiate_language(struct str accept_language, const char *const *offers, size_t n)
{
    return choose(accept_language, offers, n, weigh_language);
}
