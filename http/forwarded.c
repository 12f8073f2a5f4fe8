/* The lists are read from their right end, element by element, and Forwarded's quoted strings are
 * found from the right too: an opening quote stands behind "=", so, going left, the first quote
 * with an even number of backslashes in front of it opens the string. Read from the left, a quote
 * that the client leaves open would swallow what a proxy appended.
 *
 * One pass over the fields finds out whether there is anything to do. It runs for every request of
 * a trusted peer, so it looks at a name's length and first letter (two bits of the rules) before it
 * compares any. */
#include "http/forwarded.h"

#include <arpa/inet.h>
#include <errno.h>

#include "http/guard.h"

#define NODE_MAX 64 /* "[" 45 "]" ":" 5, and some; a longer one is malformed or hidden anyway */

static const struct str name_forwarded = {"forwarded", 9};
static const struct str name_x_for = {"x-forwarded-for", 15};
static const struct str name_x_host = {"x-forwarded-host", 16};

static const char contradiction[] = "fields of a trusted proxy differ in the scheme";
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

/* ---- The pass over the fields ---- */

struct spotted {
    uint32_t forwarded_end; /* index behind the last Forwarded; 0: none */
    uint32_t x_for_end;     /* the same of X-Forwarded-For */
    uint32_t n_x_hosts;
    struct str x_host;
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

/* Is an odd number of backslashes in front of s.p[at]? */
static bool is_escaped(struct str s, size_t at)
{
    size_t n = 0;
    while (n < at && s.p[at - n - 1] == '\\')
        n++;
    return n % 2 == 1;
}

/* Where the last element of a line begins. */
static size_t find_last(struct str line, bool has_quotes)
{
    bool is_quoted = false;
    for (size_t i = line.len; i > 0; i--) {
        char c = line.p[i - 1];
        if (c == '"' && has_quotes)
            is_quoted = !is_quoted || is_escaped(line, i - 1);
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

/* ---- Nodes ---- */

enum node {
    NODE_ADDRESS,
    NODE_HIDDEN, /* unknown, or obfuscated */
    NODE_NONE,   /* an element without for= */
    NODE_BAD
};

/* "_" 1*( ALPHA / DIGIT / "." / "_" / "-" ) (RFC 7239 §6.3) */
static bool is_obfuscated(struct str text)
{
    for (size_t i = 1; i < text.len; i++) {
        char c = text.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return text.len > 1 && text.p[0] == '_';
}

static bool read_address(int family, struct str text, struct peer *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len >= sizeof copy || memchr(text.p, '\0', text.len))
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    *out = (struct peer){.address.any.sa_family = (sa_family_t)family};
    return family == AF_INET ? inet_pton(AF_INET, copy, &out->address.v4.sin_addr) == 1
                             : inet_pton(AF_INET6, copy, &out->address.v6.sin6_addr) == 1;
}

/* ":" ( 1*5DIGIT / obfport ), or nothing. */
static bool read_port(struct str text, in_port_t *out_port)
{
    uint64_t port;
    *out_port = 0;
    if (text.len == 0)
        return true;
    struct str number = str_make(text.p + 1, text.len - 1);
    if (text.p[0] != ':')
        return false;
    if (is_obfuscated(number))
        return true;
    if (number.len > 5 || str_parse_u64(number, 65535, &port) < 0)
        return false;
    *out_port = htons((uint16_t)port);
    return true;
}

/* nodename [ ":" node-port ] (RFC 7239 §6). *out is only touched for an address. */
static enum node read_node(struct str text, struct peer *out)
{
    struct peer found;
    in_port_t port;
    bool is_v6 = text.len > 0 && text.p[0] == '[';
    const char *name_end = text.len > 0 ? memchr(text.p, is_v6 ? ']' : ':', text.len) : NULL;
    if (is_v6 && !name_end)
        return NODE_BAD;
    size_t len = name_end ? (size_t)(name_end - text.p) + is_v6 : text.len;
    struct str name = str_make(text.p, len);
    if (!read_port(str_make(text.p + len, text.len - len), &port))
        return NODE_BAD;
    if (str_is_equal_nocase(name, STR("unknown")) || is_obfuscated(name))
        return NODE_HIDDEN;
    if (is_v6 && read_address(AF_INET6, str_make(name.p + 1, name.len - 2), &found))
        found.address.v6.sin6_port = port;
    else if (!is_v6 && name.len > 0 && read_address(AF_INET, name, &found))
        found.address.v4.sin_port = port;
    else
        return NODE_BAD;
    *out = found;
    return NODE_ADDRESS;
}

/* X-Forwarded-For has no grammar; IPv6 addresses mostly come without brackets. */
static enum node read_x_node(struct str text, struct peer *out)
{
    struct peer found;
    const char *colon = text.len > 0 ? memchr(text.p, ':', text.len) : NULL;
    if (colon && text.p[0] != '[' && memrchr(text.p, ':', text.len) != colon) {
        if (!read_address(AF_INET6, text, &found))
            return NODE_BAD;
        *out = found;
        return NODE_ADDRESS;
    }
    return read_node(text, out);
}

/* ---- Elements of Forwarded ---- */

enum parameter { PARAMETER_FOR, PARAMETER_BY, PARAMETER_HOST, PARAMETER_PROTO, PARAMETERS };

static const struct str parameter_names[PARAMETERS] = {
    [PARAMETER_FOR] = {"for", 3},
    [PARAMETER_BY] = {"by", 2},
    [PARAMETER_HOST] = {"host", 4},
    [PARAMETER_PROTO] = {"proto", 5},
};

/* A value of a parameter, without its quotes. p NULL: it was not there */
struct value {
    struct str text;
    bool has_escapes; /* quoted-pairs are still in it */
};

/* RFC 9110 §5.6.2 */
static const bool token_chars[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['!'] = true,  ['#'] = true,
    ['$'] = true,         ['%'] = true,         ['&'] = true,         ['\''] = true, ['*'] = true,
    ['+'] = true,         ['-'] = true,         ['.'] = true,         ['^'] = true,  ['_'] = true,
    ['`'] = true,         ['|'] = true,         ['~'] = true,
};

/* Takes a token off the front. Returns its length */
static size_t take_token(struct str *rest, struct str *out_token)
{
    size_t n = 0;
    while (n < rest->len && token_chars[(unsigned char)rest->p[n]])
        n++;
    *out_token = str_make(rest->p, n);
    *rest = str_make(rest->p + n, rest->len - n);
    return n;
}

/* Takes a quoted-string off the front (RFC 9110 §5.6.4). False: it is none */
static bool take_quoted(struct str *rest, struct value *out)
{
    *out = (struct value){0};
    for (size_t i = 1; i < rest->len; i++) {
        unsigned char c = (unsigned char)rest->p[i];
        if (c == '"') {
            out->text = str_make(rest->p + 1, i - 1);
            *rest = str_make(rest->p + i + 1, rest->len - i - 1);
            return true;
        }
        if (c == '\\' && ++i < rest->len) {
            out->has_escapes = true;
            c = (unsigned char)rest->p[i];
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return false;
}

static bool take_pair(struct str *rest, struct value values[PARAMETERS])
{
    struct str name;
    struct value value = {0};
    if (take_token(rest, &name) == 0 || rest->len < 2 || rest->p[0] != '=')
        return false;
    *rest = str_make(rest->p + 1, rest->len - 1);
    if (rest->p[0] == '"' ? !take_quoted(rest, &value) : take_token(rest, &value.text) == 0)
        return false;
    for (int i = 0; i < PARAMETERS; i++) {
        if (!str_is_equal_nocase(name, parameter_names[i]))
            continue;
        if (values[i].text.p)
            return false; /* RFC 7239 §4: not more than once */
        values[i] = value;
    }
    return true;
}

/* [ pair ] *( ";" [ pair ] ) */
static bool read_element(struct str rest, struct value values[PARAMETERS])
{
    while (rest.len > 0) {
        if (rest.p[0] != ';' && !take_pair(&rest, values))
            return false;
        if (rest.len > 0 && rest.p[0] != ';')
            return false;
        if (rest.len > 0)
            rest = str_make(rest.p + 1, rest.len - 1);
    }
    return true;
}

/* The value with its quoted-pairs resolved, when it fits. */
static struct str unescape(const struct value *value, char out[NODE_MAX])
{
    if (!value->has_escapes)
        return value->text;
    size_t n = 0;
    for (size_t i = 0; i < value->text.len; i++) {
        i += value->text.p[i] == '\\';
        if (n == NODE_MAX)
            return (struct str){0};
        out[n++] = value->text.p[i];
    }
    return str_make(out, n);
}

static enum node read_node_value(const struct value *value, struct peer *out)
{
    char text[NODE_MAX];
    return read_node(unescape(value, text), out);
}

static enum forwarded_proto read_proto(const struct value *value)
{
    char text[NODE_MAX];
    struct str proto = unescape(value, text);
    return str_is_equal_nocase(proto, STR("https"))  ? FORWARDED_PROTO_HTTPS
           : str_is_equal_nocase(proto, STR("http")) ? FORWARDED_PROTO_HTTP
                                                     : FORWARDED_PROTO_UNKNOWN;
}

/* What a trusted proxy says with one element: of a malformed one nothing counts. Returns what its
 * for= is. */
static enum node apply_element(struct str element, struct forwarded *out, struct peer *out_peer)
{
    struct value values[PARAMETERS] = {0};
    struct peer named;
    enum node node = NODE_NONE;
    if (!read_element(element, values))
        return NODE_BAD;
    if (values[PARAMETER_BY].text.p && read_node_value(&values[PARAMETER_BY], &named) == NODE_BAD)
        return NODE_BAD;
    if (values[PARAMETER_FOR].text.p)
        node = read_node_value(&values[PARAMETER_FOR], &named);
    if (node == NODE_BAD)
        return NODE_BAD;
    if (node == NODE_ADDRESS)
        *out_peer = named;
    const struct value *host = &values[PARAMETER_HOST];
    if (host->text.p && !host->has_escapes && guard_is_host(host->text))
        out->host = host->text;
    enum forwarded_proto proto = read_proto(&values[PARAMETER_PROTO]);
    if (proto != FORWARDED_PROTO_UNKNOWN)
        out->proto = proto;
    return node;
}

/* ---- The walk ---- */

/* Goes from element to element as long as the addresses are trusted. */
static void walk(struct list *list, bool is_rfc7239, const struct network_list *trusted,
                 struct forwarded *out)
{
    struct str element;
    for (int hops = 0; next_element(list, is_rfc7239, &element); hops++) {
        if (hops == FORWARDED_HOPS_MAX) {
            out->chain = FORWARDED_CHAIN_LONG;
            return;
        }
        if (element.len == 0)
            continue; /* RFC 9110 §5.6.1.2 */
        enum node node = is_rfc7239 ? apply_element(element, out, &out->client)
                                    : read_x_node(element, &out->client);
        if (node == NODE_NONE && out->chain == FORWARDED_CHAIN_NONE)
            return;
        if (node != NODE_ADDRESS) {
            out->chain = node == NODE_BAD ? FORWARDED_CHAIN_MALFORMED : FORWARDED_CHAIN_HIDDEN;
            return;
        }
        out->chain = FORWARDED_CHAIN_TRUSTED;
        if (!network_has(trusted, &out->client.address.any)) {
            out->chain = FORWARDED_CHAIN_CLIENT;
            return;
        }
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

int forwarded_judge(const struct forwarded_rules *rules, const struct peer *peer,
                    const struct head *head, const char *base, struct forwarded *out)
{
    struct spotted spotted = {0};
    *out = (struct forwarded){.client = *peer};
    if (!network_has(rules->trusted, &peer->address.any) || !spot(&spotted, rules, head, base))
        return 0;
    int status = judge_lists(rules, &spotted, head, base, out);
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
