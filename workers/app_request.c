/* The functions of remuda.h that read a request, less its body (workers/app_body.c). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/json.h"
#include "http/path.h"
#include "http/trace.h"
#include "include/remuda.h"
#include "workers/chain.h"

const char *rmd_method(const rmd_request *req)
{
    return req->method;
}

static const char *text_of(const rmd_request *req, struct str s)
{
    const char *copy = arena_strndup(req->arena, s.p, s.len);
    return copy ? copy : "";
}

const char *rmd_path(const rmd_request *req)
{
    return text_of(req, req->match.path);
}

const char *rmd_target(rmd_request *req)
{
    return text_of(req, request_target(req));
}

const char *rmd_query_string(rmd_request *req)
{
    return text_of(req, req->query);
}

const char *rmd_param(rmd_request *req, const char *name)
{
    for (uint32_t i = 0; i < req->match.n_params; i++)
        if (strcmp(req->match.params[i].name, name) == 0)
            return path_decode(req->match.params[i].value, false, req->arena, NULL);
    return NULL;
}

const char *rmd_query(rmd_request *req, const char *name)
{
    return path_find_pair(req->query, name, req->arena);
}

bool rmd_query_next(rmd_request *req, size_t *at, const char **out_name, const char **out_value)
{
    return path_take_pair(req->query, at, req->arena, out_name, out_value);
}

int rmd_query_int(rmd_request *req, const char *name, long long min, long long max,
                  long long *out_value)
{
    const char *text = rmd_query(req, name);
    if (!text)
        return -ENOENT;
    const char *digits = *text == '-' ? text + 1 : text;
    if (*digits < '0' || *digits > '9')
        return -EINVAL; /* strtoll would take blanks and "+" */
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end != '\0')
        return -EINVAL;
    if (errno == ERANGE || value < min || value > max)
        return -ERANGE;
    *out_value = value;
    return 0;
}

const char *rmd_header(rmd_request *req, const char *name)
{
    struct str wanted = str_of(name);
    const char *separator = str_is_equal_nocase(wanted, STR("cookie")) ? "; " : ", ";
    uint32_t from = 0;
    const struct field *field = request_find(req, wanted, &from);
    if (!field)
        return NULL;
    struct str value = request_value(req, field);
    const char *text = arena_strndup(req->arena, value.p, value.len);
    while (text && (field = request_find(req, wanted, &from))) {
        value = request_value(req, field);
        text = arena_printf(req->arena, NULL, "%s%s%.*s", text, separator, STR_ARG(value));
    }
    return text;
}

size_t rmd_header_count(const rmd_request *req)
{
    return req->head.n_fields;
}

int rmd_header_at(const rmd_request *req, size_t i, rmd_slice *out_name, rmd_slice *out_value)
{
    if (i >= req->head.n_fields)
        return -ERANGE;
    struct str name = request_name(req, &req->head.fields[i]);
    struct str value = request_value(req, &req->head.fields[i]);
    *out_name = (rmd_slice){name.p, name.len};
    *out_value = (rmd_slice){value.p, value.len};
    return 0;
}

/* One cookie-pair of a Cookie field's value; s moves behind it. */
static struct str next_cookie(struct str *s)
{
    const char *end = memchr(s->p, ';', s->len);
    size_t n = end ? (size_t)(end - s->p) : s->len;
    struct str pair = str_trim(str_make(s->p, n));
    size_t used = end ? n + 1 : n;
    s->p += used;
    s->len -= used;
    return pair;
}

const char *rmd_cookie(rmd_request *req, const char *name)
{
    struct str wanted = str_of(name);
    uint32_t from = 0;
    const struct field *field;
    while ((field = request_find(req, STR("cookie"), &from))) {
        struct str rest = request_value(req, field);
        while (rest.len > 0) {
            struct str pair = next_cookie(&rest);
            const char *equals = pair.len > 0 ? memchr(pair.p, '=', pair.len) : NULL;
            if (!equals)
                continue;
            struct str key = str_trim(str_make(pair.p, (size_t)(equals - pair.p)));
            if (!str_is_equal(key, wanted))
                continue;
            struct str value =
                str_trim(str_make(equals + 1, pair.len - (size_t)(equals - pair.p) - 1));
            if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"')
                value = str_make(value.p + 1, value.len - 2);
            return arena_strndup(req->arena, value.p, value.len);
        }
    }
    return NULL;
}

const char *rmd_peer(rmd_request *req)
{
    char text[PEER_TEXT_MAX];
    size_t len = request_format_peer(&req->peer, true, text);
    return text_of(req, str_make(text, len));
}

const char *rmd_trace_id(rmd_request *req)
{
    return request_trace_id(req).p;
}

const char *rmd_traceparent(rmd_request *req)
{
    struct str received = {0};
    if (req->head.is_sound)
        received = trace_find_parent(&req->head, req->base);
    char *text = arena_alloc_text(req->arena, TRACE_PARENT_LEN + 1);
    uint64_t parent_id;
    if (!text || getrandom(&parent_id, sizeof parent_id, 0) != (ssize_t)sizeof parent_id)
        return NULL;
    trace_make_parent(received, req->trace, parent_id, text);
    return text;
}

const char *rmd_scheme(const rmd_request *req)
{
    return req->is_https ? "https" : "http";
}

const char *rmd_host(const rmd_request *req)
{
    return text_of(req, req->head.host);
}

const char *rmd_route_pattern(const rmd_request *req)
{
    return req->match.route ? req->match.route->pattern : "";
}

void *rmd_route_data(const rmd_request *req)
{
    return req->match.route ? req->match.route->decl->data : NULL;
}

void rmd_set_user_data(rmd_request *req, void *data)
{
    req->user_data = data;
}

void *rmd_user_data(const rmd_request *req)
{
    return req->user_data;
}

void *rmd_alloc(rmd_request *req, size_t bytes)
{
    return arena_alloc(req->arena, bytes);
}

const char *rmd_format(rmd_request *req, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = arena_vprintf(req->arena, NULL, format, args);
    va_end(args);
    return text;
}

const char *rmd_json_quote(rmd_request *req, const char *data, size_t len)
{
    if (len > (SIZE_MAX - 3) / JSON_ESCAPE_MAX)
        return NULL;
    size_t cap = len * JSON_ESCAPE_MAX;
    char *out = arena_alloc_text(req->arena, cap + 3);
    if (!out)
        return NULL;
    size_t n = json_escape(out + 1, cap, str_make(data, len), NULL);
    out[0] = '"';
    memcpy(out + 1 + n, "\"", 2);
    return out;
}
