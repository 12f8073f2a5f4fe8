/* The lists are read from their right end, element by element, and Forwarded's quoted strings are
 * found from the right too: quotes inside stand behind a backslash, the opening one behind "=", so,
 * going left, the first quote without a backslash in front of it opens the string. Read from the
 * left, a quote that the client leaves open would swallow what a proxy appended.
 *
 * One pass over the fields finds out whether there is anything to do. It runs for every request of
 * a trusted peer, so it looks at a name's length and first letter (two bits of the rules) before it
 * compares any. */
#include "http/forwarded.h"

#include <netinet/in.h>

#include "http/forwarded_element.h"
#include "http/guard.h"

static const struct str name_forwarded = {"forwarded", 9};
static const struct str name_x_for = {"x-forwarded-for", 15};
static const struct str name_x_host = {"x-forwarded-host", 16};

static const char contradiction[] = "fields of a trusted proxy differ in the scheme";
static const char bad_deadline[] =
    "deadline_header: one whole number of milliseconds is allowed, 0 to 3600000";
static const char two_clients[] = "Forwarded and X-Forwarded-For name different clients";

const struct forwarded_scheme forwarded_usual_schemes[FORWARDED_SCHEMES_USUAL] = {
    {{"X-FORWARDED-PROTOCOL", 20}, {"ssl", 3}},
    {{"X-FORWARDED-PROTO", 17}, {"https", 5}},
    {{"X-FORWARDED-SSL", 15}, {"on", 2}},
};

static void watch(struct forwarded_rules *rules, struct str name)
{
    rules->lengths |= UINT64_C(1) << name.len % 64;
    rules->letters |= UINT32_C(1) << (unsigned char)name.p[0] % 32;
}

void forwarded_rules_init(struct forwarded_rules *rules, const struct network_list *trusted,
                          const struct forwarded_scheme *schemes, size_t n_schemes,
                          enum forwarded_look look)
{
    *rules = (struct forwarded_rules){.trusted = trusted,
                                      .schemes = n_schemes ? schemes : forwarded_usual_schemes,
                                      .n_schemes = n_schemes ? n_schemes : FORWARDED_SCHEMES_USUAL,
                                      .look = look};
    for (size_t i = 0; i < rules->n_schemes; i++)
        watch(rules, rules->schemes[i].name);
    if (look != FORWARDED_LOOK_X)
        watch(rules, name_forwarded);
    if (look != FORWARDED_LOOK_RFC7239) {
        watch(rules, name_x_for);
        watch(rules, name_x_host);
    }
}

void forwarded_rules_watch_deadline(struct forwarded_rules *rules, struct str name)
{
    rules->deadline = name;
    watch(rules, name);
}

/* ---- The pass over the fields ---- */

struct spotted {
    uint32_t forwarded_end; /* index behind the last Forwarded; 0: none */
    uint32_t x_for_end;     /* the same of X-Forwarded-For */
    uint32_t n_x_hosts;
    struct str x_host;
    uint32_t n_deadlines;
    struct str deadline;
    enum forwarded_proto proto;
    bool is_contradiction;
};

static void note_proto(struct spotted *spotted, enum forwarded_proto proto)
{
    if (spotted->proto == FORWARDED_PROTO_UNKNOWN)
        spotted->proto = proto;
    else if (proto != FORWARDED_PROTO_UNKNOWN && proto != spotted->proto)
        spotted->is_contradiction = true;
}

static void note_field(struct spotted *spotted, const struct forwarded_rules *rules,
                       const struct head *head, const char *base, uint32_t i)
{
    const struct field *field = &head->fields[i];
    struct str name = str_make(base + field->name_at, field->name_len);
    struct str value = str_make(base + field->value_at, field->value_len);
    for (size_t k = 0; k < rules->n_schemes; k++)
        if (str_is_equal_nocase(name, rules->schemes[k].name))
            note_proto(spotted, str_is_equal(value, rules->schemes[k].value)
                                    ? FORWARDED_PROTO_HTTPS
                                    : FORWARDED_PROTO_HTTP);
    if (rules->deadline.len > 0 && str_is_equal_nocase(name, rules->deadline)) {
        spotted->n_deadlines++;
        spotted->deadline = value;
    }
    if (rules->look != FORWARDED_LOOK_X && str_is_equal_nocase(name, name_forwarded))
        spotted->forwarded_end = i + 1;
    if (rules->look == FORWARDED_LOOK_RFC7239)
        return;
    if (str_is_equal_nocase(name, name_x_for)) {
        spotted->x_for_end = i + 1;
    } else if (str_is_equal_nocase(name, name_x_host)) {
        spotted->n_x_hosts++;
        spotted->x_host = value;
    }
}

/* Returns whether there was anything. */
static bool spot(struct spotted *spotted, const struct forwarded_rules *rules,
                 const struct head *head, const char *base)
{
    bool is_any = false;
    for (uint32_t i = 0; i < head->n_fields; i++) {
        const struct field *field = &head->fields[i];
        if (__builtin_expect(!(rules->lengths >> field->name_len % 64 & 1), 1))
            continue;
        if (!(rules->letters >> (unsigned char)base[field->name_at] % 32 & 1))
            continue;
        note_field(spotted, rules, head, base, i);
        is_any = true;
    }
    return is_any;
}

/* ---- Lists, from the right ---- */

struct list {
    const struct head *head;
    const char *base;
    struct str name;
    uint32_t end;    /* lines before this index were not looked at yet */
    struct str rest; /* of the line, not yet read */
    bool is_in_line;
};

static bool next_line(struct list *list)
{
    while (list->end > 0) {
        const struct field *field = &list->head->fields[--list->end];
        if (!str_is_equal_nocase(str_make(list->base + field->name_at, field->name_len),
                                 list->name))
            continue;
        list->rest = str_make(list->base + field->value_at, field->value_len);
        list->is_in_line = true;
        return true;
    }
    return false;
}

/* Where the last element of a line begins. */
static size_t find_last(struct str line, bool has_quotes)
{
    bool is_quoted = false;
    for (size_t i = line.len; i > 0; i--) {
        char c = line.p[i - 1];
        if (c == '"' && has_quotes)
            is_quoted = !is_quoted || (i > 1 && line.p[i - 2] == '\\');
        else if (c == ',' && !is_quoted)
            return i;
    }
    return 0;
}

/* Cuts the last element off what is left. False: there is none */
static bool next_element(struct list *list, bool has_quotes, struct str *out_element)
{
    if (!list->is_in_line && !next_line(list))
        return false;
    struct str rest = list->rest;
    size_t start = find_last(rest, has_quotes);
    *out_element = str_trim(str_make(rest.p + start, rest.len - start));
    list->is_in_line = start > 0;
    list->rest.len = start > 0 ? start - 1 : 0;
    return true;
}

/* ---- The walk ---- */

/* Takes over what a trusted proxy says with one element. */
static void apply(const struct forwarded_element *element, struct forwarded *out)
{
    if (element->node == FORWARDED_NODE_ADDRESS)
        out->client = element->named;
    if (element->host.len > 0)
        out->host = element->host;
    if (element->proto != FORWARDED_PROTO_UNKNOWN)
        out->proto = element->proto;
}

/* How the walk goes on from a node: NONE: it does. */
static enum forwarded_chain judge_node(enum forwarded_node node, const struct network_list *trusted,
                                       const struct peer *client)
{
    switch (node) {
    case FORWARDED_NODE_ADDRESS:
        return network_has(trusted, &client->address.any) ? FORWARDED_CHAIN_NONE
                                                          : FORWARDED_CHAIN_CLIENT;
    case FORWARDED_NODE_BAD:
        return FORWARDED_CHAIN_MALFORMED;
    default:
        return FORWARDED_CHAIN_HIDDEN;
    }
}

/* Goes from element to element as long as the addresses are trusted. */
static void walk(struct list *list, bool is_rfc7239, const struct network_list *trusted,
                 struct forwarded *out)
{
    struct str text;
    for (int hops = 0; next_element(list, is_rfc7239, &text); hops++) {
        struct forwarded_element element;
        if (hops == FORWARDED_HOPS_MAX) {
            out->chain = FORWARDED_CHAIN_LONG;
            return;
        }
        if (text.len == 0)
            continue; /* RFC 9110 §5.6.1.2 */
        if (is_rfc7239)
            forwarded_element_read(text, &element);
        else
            forwarded_element_read_x(text, &element);
        apply(&element, out);
        if (element.node == FORWARDED_NODE_NONE && out->chain == FORWARDED_CHAIN_NONE)
            return;
        enum forwarded_chain end = judge_node(element.node, trusted, &out->client);
        out->chain = end ? end : FORWARDED_CHAIN_TRUSTED;
        if (end)
            return;
    }
}

/* IPv4 addresses as IPv4-mapped ones, so that both spellings are one client. */
static bool is_same_client(const struct peer *a, const struct peer *b)
{
    const struct peer *both[] = {a, b};
    unsigned char octets[2][16] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        if (both[i]->address.any.sa_family == AF_INET6) {
            memcpy(octets[i], &both[i]->address.v6.sin6_addr, 16);
        } else if (both[i]->address.any.sa_family == AF_INET) {
            memset(octets[i] + 10, 0xff, 2);
            memcpy(octets[i] + 12, &both[i]->address.v4.sin_addr, 4);
        } /* else all zero, which is nobody's address */
    }
    return memcmp(octets[0], octets[1], 16) == 0;
}

static int refuse(struct forwarded *out, const char *reason)
{
    out->reason = reason;
    return 400;
}

static int judge_lists(const struct forwarded_rules *rules, const struct spotted *spotted,
                       const struct head *head, const char *base, struct forwarded *out)
{
    struct list list = {
        .head = head, .base = base, .name = name_forwarded, .end = spotted->forwarded_end};
    struct list x_list = {
        .head = head, .base = base, .name = name_x_for, .end = spotted->x_for_end};
    struct forwarded x = *out;
    walk(&list, true, rules->trusted, out);
    walk(&x_list, false, rules->trusted, &x);
    if (x.chain == FORWARDED_CHAIN_NONE)
        return 0;
    if (out->chain != FORWARDED_CHAIN_NONE)
        return is_same_client(&x.client, &out->client) ? 0 : refuse(out, two_clients);
    out->client = x.client;
    out->chain = x.chain;
    return 0;
}

/* Returns 0; 400 */
static int read_deadline(const struct spotted *spotted, struct forwarded *out)
{
    struct str text = spotted->deadline;
    uint32_t ms = 0;
    if (spotted->n_deadlines == 0)
        return 0;
    bool is_good = spotted->n_deadlines == 1 && text.len > 0;
    for (size_t i = 0; is_good && i < text.len; i++) {
        is_good = text.p[i] >= '0' && text.p[i] <= '9';
        ms = ms * 10 + (uint32_t)(text.p[i] - '0');
        is_good &= ms <= FORWARDED_DEADLINE_MAX_MS;
    }
    if (!is_good)
        return refuse(out, bad_deadline);
    out->has_deadline = true;
    out->deadline_ms = ms;
    return 0;
}

int forwarded_judge(const struct forwarded_rules *rules, const struct peer *peer,
                    const struct head *head, const char *base, struct forwarded *out)
{
    struct spotted spotted = {0};
    *out = (struct forwarded){.client = *peer};
    /* First what costs least: most requests have no such field. */
    if (!spot(&spotted, rules, head, base) || !network_has(rules->trusted, &peer->address.any))
        return 0;
    int status = read_deadline(&spotted, out);
    if (status == 0)
        status = judge_lists(rules, &spotted, head, base, out);
    if (status != 0)
        return status;
    note_proto(&spotted, out->proto);
    out->proto = spotted.proto;
    if (spotted.is_contradiction)
        return refuse(out, contradiction);
    if (out->host.len == 0 && spotted.n_x_hosts == 1 && guard_is_host(spotted.x_host) &&
        !memchr(spotted.x_host.p, ',', spotted.x_host.len))
        out->host = spotted.x_host;
    return 0;
}
