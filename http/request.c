/* Reading a parsed request: fields by name, the parts of the target, the peer's name. */
#include "http/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "http/conn.h"
#include "http/response.h"
#include "http/trace.h"

bool request_is_put_off(const struct rmd_request *req)
{
    if (req->deferred)
        return true;
    bool is_unanswered = req->res->kind == RESPONSE_NONE && req->res->status == 0;
    return req->consume && !req->is_consumed && is_unanswered;
}

struct str request_trace_id(struct rmd_request *req)
{
    if (req->trace_id.p)
        return req->trace_id;
    struct str given = {0};
    if (req->head.is_sound && trace_may_be_in(&req->head))
        given = trace_find(&req->head, req->base);
    if (__builtin_expect(given.len == 0, 1)) {
        req->trace_id = str_make(req->made_id, TRACE_ID_LEN);
        return req->trace_id;
    }
    char *text = arena_strndup(req->arena, given.p, given.len);
    if (!text)
        return STR("");
    req->trace_id = str_make(text, given.len);
    return req->trace_id;
}

struct str request_name(const struct rmd_request *req, const struct field *field)
{
    return str_make(req->base + field->name_at, field->name_len);
}

struct str request_value(const struct rmd_request *req, const struct field *field)
{
    return str_make(req->base + field->value_at, field->value_len);
}

struct str request_target(const struct rmd_request *req)
{
    return str_make(req->base + req->head.target_at, req->head.target_len);
}

const struct field *request_find(const struct rmd_request *req, struct str name, uint32_t *from)
{
    for (uint32_t i = from ? *from : 0; i < req->head.n_fields; i++) {
        const struct field *field = &req->head.fields[i];
        if (field->name_len != name.len || !str_is_equal_nocase(request_name(req, field), name))
            continue;
        if (from)
            *from = i + 1;
        return field;
    }
    return NULL;
}

int request_join(const struct rmd_request *req, struct str name, struct str *out_value)
{
    uint32_t at = 0;
    size_t len = 0;
    uint32_t n = 0;
    struct str value = {0};
    for (const struct field *f; (f = request_find(req, name, &at)) != NULL; n++) {
        value = request_value(req, f);
        len += value.len + 2;
    }
    if (n > 1) {
        char *text = arena_alloc_text(req->arena, len);
        if (!text)
            return -ENOMEM;
        char *out = text;
        at = 0;
        for (const struct field *f; (f = request_find(req, name, &at)) != NULL; out += 2) {
            memcpy(out, req->base + f->value_at, f->value_len);
            out += f->value_len;
            memcpy(out, ", ", 2);
        }
        value = str_make(text, len - 2);
    }
    *out_value = value;
    return 0;
}

/* The path of http://authority/path?query; empty when there is none: that is "/" (RFC 9112 §3.2.1),
 * but "*" for OPTIONS, as a proxy would send it (§3.2.4). */
static struct str path_of_absolute(struct str target)
{
    const char *at = memchr(target.p, ':', target.len);
    size_t skip = at ? (size_t)(at - target.p) + 3 : target.len; /* "://", guard_judge saw it */
    struct str rest = str_make(target.p + skip, target.len - skip);
    while (rest.len > 0 && rest.p[0] != '/' && rest.p[0] != '?') {
        rest.p++;
        rest.len--;
    }
    return rest;
}

int request_route(struct rmd_request *req, const struct router *router)
{
    struct str rest = request_target(req);
    if (rest.p[0] != '/' && rest.p[0] != '*')
        rest = path_of_absolute(rest);
    bool has_query = req->head.path_len < req->head.target_len;
    if (has_query) {
        const char *question = req->base + req->head.target_at + req->head.path_len;
        req->query = str_make(question + 1, rest.len - (size_t)(question - rest.p) - 1);
        rest.len = (size_t)(question - rest.p);
    }
    bool is_about_server = rest.len == 0 && !has_query && strcmp(req->method, "OPTIONS") == 0;
    req->raw_path = rest.len > 0 ? rest : is_about_server ? STR("*") : STR("/");
    int rc = router_match(router, str_make(req->method, req->head.method_len), req->raw_path,
                          req->arena, &req->match);
    if (rc < 0)
        return rc;
    req->outcome = (enum router_outcome)rc;
    return 0;
}

/* inet_ntop(3) goes through printf, which costs more than the rest of a small request. */
static char *put_decimal(char *at, unsigned value)
{
    char digits[5];
    int n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0)
        *at++ = digits[--n];
    return at;
}

static char *put_v4(char *at, const struct in_addr *address)
{
    const unsigned char *octet = (const unsigned char *)address;
    for (int i = 0; i < 4; i++) {
        at = put_decimal(at, octet[i]);
        *at++ = '.';
    }
    return at - 1;
}

size_t request_format_peer(const struct peer *peer, bool with_port, char out[PEER_TEXT_MAX])
{
    char *at = out;
    uint16_t port = 0;
    if (peer->address.any.sa_family == AF_INET) {
        at = put_v4(at, &peer->address.v4.sin_addr);
        port = ntohs(peer->address.v4.sin_port);
    } else if (peer->address.any.sa_family == AF_INET6) {
        if (with_port)
            *at++ = '[';
        (void)inet_ntop(AF_INET6, &peer->address.v6.sin6_addr, at, INET6_ADDRSTRLEN);
        at += strlen(at);
        if (with_port)
            *at++ = ']';
        port = ntohs(peer->address.v6.sin6_port);
    } else {
        size_t len = with_port ? 5 : 0;
        memcpy(out, "unix:", len);
        out[len] = '\0';
        return len;
    }
    if (with_port) {
        *at++ = ':';
        at = put_decimal(at, port);
    }
    *at = '\0';
    return (size_t)(at - out);
}
