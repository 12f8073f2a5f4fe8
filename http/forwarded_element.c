/* The grammar of RFC 7239 to the letter: "for = 192.0.2.1", an IPv6 address without brackets or a
 * colon outside quotes are malformed, and of a malformed element nothing is believed. Quoted-pairs
 * (which no proxy has a reason to send) are resolved where a short copy will do; a host, which is a
 * view into the request, cannot have any, since a backslash is no character of a host. */
#include "http/forwarded_element.h"

#include <arpa/inet.h>

#include "http/guard.h"

#define NODE_MAX 64 /* "[" 45 "]" ":" 5, and some; a longer one is malformed or hidden anyway */

/* "_" 1*( ALPHA / DIGIT / "." / "_" / "-" ) (RFC 7239 §6.3) */
static bool is_obfuscated(struct str text)
{
    if (text.len < 2 || text.p[0] != '_')
        return false;
    for (size_t i = 1; i < text.len; i++) {
        char c = text.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
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
static enum forwarded_node read_node(struct str text, struct peer *out)
{
    struct peer found;
    in_port_t port;
    bool is_v6 = text.len > 0 && text.p[0] == '[';
    const char *name_end = text.len > 0 ? memchr(text.p, is_v6 ? ']' : ':', text.len) : NULL;
    if (is_v6 && !name_end)
        return FORWARDED_NODE_BAD;
    size_t len = name_end ? (size_t)(name_end - text.p) + is_v6 : text.len;
    struct str name = str_make(text.p, len);
    if (!read_port(str_make(text.p + len, text.len - len), &port))
        return FORWARDED_NODE_BAD;
    if (str_is_equal_nocase(name, STR("unknown")) || is_obfuscated(name))
        return FORWARDED_NODE_HIDDEN;
    if (is_v6 && read_address(AF_INET6, str_make(name.p + 1, name.len - 2), &found))
        found.address.v6.sin6_port = port;
    else if (!is_v6 && name.len > 0 && read_address(AF_INET, name, &found))
        found.address.v4.sin_port = port;
    else
        return FORWARDED_NODE_BAD;
    *out = found;
    return FORWARDED_NODE_ADDRESS;
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
/* Takes a token off the front. Returns its length */
static size_t take_token(struct str *rest, struct str *out_token)
{
    size_t n = str_token_length(*rest);
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
static bool split(struct str rest, struct value values[PARAMETERS])
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

/* The value with its quoted-pairs resolved; "", which is malformed, when that does not fit. */
static struct str unescape(const struct value *value, char out[NODE_MAX])
{
    if (!value->has_escapes)
        return value->text;
    size_t n = 0;
    for (size_t i = 0; i < value->text.len; i++) {
        i += value->text.p[i] == '\\';
        if (n == NODE_MAX)
            return STR("");
        out[n++] = value->text.p[i];
    }
    return str_make(out, n);
}

static enum forwarded_node read_node_value(const struct value *value, struct peer *out)
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

static enum forwarded_node read_parameters(const struct value values[PARAMETERS],
                                           struct forwarded_element *out)
{
    struct peer ignored;
    enum forwarded_node node = FORWARDED_NODE_NONE;
    const struct value *host = &values[PARAMETER_HOST];
    if (values[PARAMETER_BY].text.p &&
        read_node_value(&values[PARAMETER_BY], &ignored) == FORWARDED_NODE_BAD)
        return FORWARDED_NODE_BAD;
    if (values[PARAMETER_FOR].text.p)
        node = read_node_value(&values[PARAMETER_FOR], &out->named);
    if (node == FORWARDED_NODE_BAD)
        return node;
    if (host->text.p && guard_is_host(host->text))
        out->host = host->text;
    out->proto = read_proto(&values[PARAMETER_PROTO]);
    return node;
}

void forwarded_element_read(struct str text, struct forwarded_element *out)
{
    struct value values[PARAMETERS] = {0};
    *out = (struct forwarded_element){.node = FORWARDED_NODE_BAD};
    if (split(text, values))
        out->node = read_parameters(values, out);
}

/* X-Forwarded-For has no grammar; IPv6 addresses mostly come without brackets. */
void forwarded_element_read_x(struct str text, struct forwarded_element *out)
{
    const char *colon = text.len > 0 ? memchr(text.p, ':', text.len) : NULL;
    bool is_bare_v6 = colon && text.p[0] != '[' && memrchr(text.p, ':', text.len) != colon;
    struct peer found = {0};
    *out = (struct forwarded_element){.node = FORWARDED_NODE_BAD};
    if (!is_bare_v6)
        out->node = read_node(text, &found);
    else if (read_address(AF_INET6, text, &found))
        out->node = FORWARDED_NODE_ADDRESS;
    if (out->node == FORWARDED_NODE_ADDRESS)
        out->named = found;
}
