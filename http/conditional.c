/* Preconditions. The steps of RFC 9110 §13.2.2 are the lines of conditional_judge(), in their
 * order; what each field means is in the helpers.
 *
 * Entity tags are compared octet for octet and read by the grammar, never repaired: a tag without
 * quotes, as some clients send it, is malformed. A list is read to its end even after a hit, so
 * that the same octets mean the same whatever stands in front of the mistake. */
#include "http/conditional.h"

#include <errno.h>
#include <stddef.h>

#include "http/date.h"

/* ---- entity tags ---- */

static struct str skip(struct str s, size_t n)
{
    return n > 0 ? str_make(s.p + n, s.len - n) : s;
}

static struct str skip_blanks(struct str s)
{
    size_t n = 0;
    while (n < s.len && (s.p[n] == ' ' || s.p[n] == '\t'))
        n++;
    return skip(s, n);
}

/* etagc: visible ASCII without DQUOTE, and obs-text. */
static bool is_tag_octet(char c)
{
    unsigned char octet = (unsigned char)c;
    return octet > 0x20 && octet != '"' && octet != 0x7f;
}

/* Takes one entity tag off the front. */
static bool take_etag(struct str *rest, struct conditional_etag *out)
{
    bool is_weak = str_has_prefix(*rest, STR("W/"));
    struct str s = skip(*rest, is_weak ? 2 : 0);
    if (s.len == 0 || s.p[0] != '"')
        return false;
    size_t n = 1;
    while (n < s.len && is_tag_octet(s.p[n]))
        n++;
    if (n == s.len || s.p[n] != '"')
        return false;
    *out = (struct conditional_etag){.is_weak = is_weak, .opaque = str_make(s.p + 1, n - 1)};
    *rest = skip(s, n + 1);
    return true;
}

int conditional_parse_etag(struct str text, struct conditional_etag *out_etag)
{
    struct conditional_etag etag;
    if (!take_etag(&text, &etag) || text.len > 0)
        return -EINVAL;
    *out_etag = etag;
    return 0;
}

bool conditional_is_same(const struct conditional_etag *a, const struct conditional_etag *b,
                         bool is_strong)
{
    if (is_strong && (a->is_weak || b->is_weak))
        return false;
    return str_is_equal(a->opaque, b->opaque);
}

enum conditional_search conditional_search(struct str list, struct str etag, bool is_strong)
{
    struct conditional_etag own = {0};
    bool has_own = conditional_parse_etag(etag, &own) == 0;
    struct str rest = str_trim(list);
    if (str_is_equal(rest, STR("*")))
        return CONDITIONAL_HIT;
    bool is_hit = false;
    while (rest.len > 0) {
        if (rest.p[0] != ',') { /* an element may be empty (RFC 9110 §5.6.1.2) */
            struct conditional_etag asked;
            if (!take_etag(&rest, &asked))
                return CONDITIONAL_MALFORMED;
            is_hit |= has_own && conditional_is_same(&asked, &own, is_strong);
            rest = skip_blanks(rest);
            if (rest.len > 0 && rest.p[0] != ',')
                return CONDITIONAL_MALFORMED;
        }
        rest = skip_blanks(skip(rest, rest.len > 0 ? 1 : 0));
    }
    return is_hit ? CONDITIONAL_HIT : CONDITIONAL_MISS;
}

/* ---- preconditions ---- */

/* What the fields are held against. */
struct subject {
    bool exists;
    struct str etag;
    int64_t modified; /* not beyond now; CONDITIONAL_NO_DATE: none */
    int64_t now;
};

static struct subject subject_of(const struct conditional_current *current, int64_t now_seconds)
{
    struct subject s = {.modified = CONDITIONAL_NO_DATE, .now = now_seconds};
    if (!current)
        return s;
    s.exists = true;
    s.etag = current->etag;
    s.modified = current->modified_seconds < now_seconds ? current->modified_seconds : now_seconds;
    return s;
}

static enum conditional_search search(struct str list, const struct subject *s, bool is_strong)
{
    enum conditional_search found = conditional_search(list, s->etag, is_strong);
    return found == CONDITIONAL_HIT && !s->exists ? CONDITIONAL_MISS : found;
}

/* Can field and Last-Modified be compared? Else a field with a date is ignored (RFC 9110 §13.1.3,
 * §13.1.4). */
static bool read_date(struct str field, const struct subject *s, int64_t *out_seconds)
{
    return s->modified != CONDITIONAL_NO_DATE && date_parse(field, s->now, out_seconds) == 0;
}

static bool is_method(struct str method, const char *name)
{
    return str_is_equal(method, str_of(name));
}

/* §13.1.5: a strong tag that is the same, or the very date, if that is strong too. */
static bool is_range_current(struct str if_range, const struct subject *s)
{
    struct conditional_etag asked;
    struct conditional_etag own = {0};
    if (!if_range.p)
        return true;
    if (conditional_parse_etag(if_range, &asked) == 0)
        return conditional_parse_etag(s->etag, &own) == 0 &&
               conditional_is_same(&asked, &own, true);
    int64_t date;
    return read_date(if_range, s, &date) && date == s->modified && s->modified < s->now;
}

struct conditional_verdict conditional_judge(struct str method, const struct conditional_fields *in,
                                             const struct conditional_current *current,
                                             int64_t now_seconds)
{
    static const struct conditional_verdict failed = {.status = 412};
    static const struct conditional_verdict not_modified = {.status = 304};
    const struct subject s = subject_of(current, now_seconds);
    bool is_get = is_method(method, "GET");
    bool is_read = is_get || is_method(method, "HEAD");
    int64_t date;

    if (is_method(method, "CONNECT") || is_method(method, "OPTIONS") || is_method(method, "TRACE"))
        return (struct conditional_verdict){0};

    if (in->if_match.p) { /* step 1 */
        if (search(in->if_match, &s, true) != CONDITIONAL_HIT)
            return failed;
    } else if (in->if_unmodified_since.p) { /* step 2 */
        if (read_date(in->if_unmodified_since, &s, &date) && s.modified > date)
            return failed;
    }
    if (in->if_none_match.p) { /* step 3 */
        enum conditional_search found = search(in->if_none_match, &s, false);
        if (is_read && found == CONDITIONAL_HIT)
            return not_modified;
        if (!is_read && found != CONDITIONAL_MISS)
            return failed;
    } else if (is_read && in->if_modified_since.p) { /* step 4 */
        if (read_date(in->if_modified_since, &s, &date) && s.modified <= date)
            return not_modified;
    }
    return (struct conditional_verdict){.takes_range = is_get && /* step 5 */
                                                       is_range_current(in->if_range, &s)};
}
