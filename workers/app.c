/* The functions of remuda.h: a thin layer over http/ that keeps the application from ever holding
 * anything but opaque pointers and text in the request's arena. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "config/settings.h"
#include "http/path.h"
#include "http/stream.h"
#include "include/remuda.h"
#include "workers/chain.h"

/* ---- the request ---- */

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

static const char *find_pair(rmd_request *req, struct str pairs, const char *name)
{
    struct str found_name;
    struct str value;
    while (path_next_pair(&pairs, &found_name, &value))
        if (path_name_is(found_name, name))
            return path_decode(value, true, req->arena, NULL);
    return NULL;
}

const char *rmd_query(rmd_request *req, const char *name)
{
    return find_pair(req, req->query, name);
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

const char *rmd_form(rmd_request *req, const char *name)
{
    const struct field *type = request_find(req, STR("content-type"), NULL);
    if (!type)
        return NULL;
    struct str value = request_value(req, type);
    const char *semicolon = value.len > 0 ? memchr(value.p, ';', value.len) : NULL;
    if (semicolon)
        value.len = (size_t)(semicolon - value.p);
    if (!str_is_equal_nocase(str_trim(value), STR("application/x-www-form-urlencoded")))
        return NULL;
    return find_pair(req, req->body, name);
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

rmd_slice rmd_body(const rmd_request *req)
{
    return (rmd_slice){req->body.p, req->body.len};
}

const char *rmd_peer(rmd_request *req)
{
    char text[PEER_TEXT_MAX];
    size_t len = request_format_peer(&req->peer, true, text);
    return text_of(req, str_make(text, len));
}

static bool is_trace_id(struct str value)
{
    if (value.len == 0 || value.len > 128)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-' || c == '='))
            return false;
    }
    return true;
}

const char *rmd_trace_id(rmd_request *req)
{
    if (req->trace_text)
        return req->trace_text;
    const struct field *field = req->base ? request_find(req, STR("x-request-id"), NULL) : NULL;
    if (field && is_trace_id(request_value(req, field)))
        req->trace_text = text_of(req, request_value(req, field));
    else
        req->trace_text =
            arena_printf(req->arena, NULL, "%016llx%016llx", (unsigned long long)req->trace[0],
                         (unsigned long long)req->trace[1]);
    if (!req->trace_text)
        req->trace_text = "";
    return req->trace_text;
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

/* ---- the response ---- */

void rmd_set_status(rmd_response *res, int status)
{
    res->status = status;
    if (res->kind == RESPONSE_NONE)
        res->kind = RESPONSE_EMPTY;
}

int rmd_status(const rmd_response *res)
{
    return res->status;
}

int rmd_set_header(rmd_response *res, const char *name, const char *value)
{
    return response_set(res, res->req->arena, str_of(name), str_of(value), true);
}

int rmd_add_header(rmd_response *res, const char *name, const char *value)
{
    return response_set(res, res->req->arena, str_of(name), str_of(value), false);
}

const char *rmd_response_header(const rmd_response *res, const char *name)
{
    if (str_is_equal_nocase(str_of(name), STR("content-type")))
        return res->type.len > 0 ? text_of(res->req, res->type) : NULL;
    const struct response_field *field = response_find(res, str_of(name));
    return field ? field->value.p : NULL;
}

static void no_memory(rmd_response *res)
{
    response_drop_body(res);
    res->status = 503;
    res->kind = RESPONSE_EMPTY;
    log_error("no memory for an answer", "route=\"%s\"", rmd_route_pattern(res->req));
}

/* A body that the response may point to until it is sent. */
static void give_bytes(rmd_response *res, int status, struct str type, const char *body, size_t len)
{
    response_drop_body(res);
    res->status = status;
    res->kind = RESPONSE_BYTES;
    res->type = type;
    res->body = body;
    res->body_len = len;
}

__attribute__((format(printf, 4, 0))) static void
give_text(rmd_response *res, int status, struct str type, const char *format, va_list args)
{
    size_t len = 0;
    char *text;
    if (strchr(format, '%')) {
        text = arena_vprintf(res->req->arena, &len, format, args);
    } else { /* most fixed answers: a copy is ten times cheaper than printf */
        len = strlen(format);
        text = arena_strndup(res->req->arena, format, len);
    }
    if (text)
        give_bytes(res, status, type, text, len);
    else
        no_memory(res);
}

void rmd_text(rmd_response *res, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    give_text(res, status, STR("text/plain; charset=utf-8"), format, args);
    va_end(args);
}

void rmd_json(rmd_response *res, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    give_text(res, status, STR("application/json"), format, args);
    va_end(args);
}

/* A copy of a Content-Type; a bad one is a mistake of the app and gives no field. */
static int copy_type(rmd_response *res, const char *type, struct str *out_type)
{
    size_t len = type ? strlen(type) : 0;
    if (str_has_control(str_make(type, len))) {
        chain_complain(res->req, "control character in a Content-Type");
        len = 0;
    }
    *out_type = (struct str){0};
    if (len == 0)
        return 0;
    char *copy = arena_alloc_text(res->req->arena, len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, type, len);
    *out_type = str_make(copy, len);
    return 0;
}

void rmd_send(rmd_response *res, int status, const char *type, const void *data, size_t len)
{
    struct str type_copy;
    char *copy = arena_alloc_text(res->req->arena, len);
    if (!copy || copy_type(res, type, &type_copy) < 0) {
        no_memory(res);
        return;
    }
    if (len > 0)
        memcpy(copy, data, len);
    give_bytes(res, status, type_copy, copy, len);
}

void rmd_send_ref(rmd_response *res, int status, const char *type, const void *data, size_t len,
                  void (*done)(void *arg), void *arg)
{
    struct str type_copy;
    if (copy_type(res, type, &type_copy) < 0) {
        no_memory(res);
        if (done)
            done(arg);
        return;
    }
    give_bytes(res, status, type_copy, data, len);
    res->done = done;
    res->done_arg = arg;
}

int rmd_redirect(rmd_response *res, int status, const char *location)
{
    bool is_redirect =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    int rc = is_redirect ? rmd_set_header(res, "Location", location) : -EINVAL;
    if (rc < 0)
        rmd_error(res, 500);
    else
        give_bytes(res, status, (struct str){0}, NULL, 0);
    return rc;
}

void rmd_error(rmd_response *res, int status)
{
    const struct app *app = chain_get_process()->app;
    if (status < 400 || status > 599)
        status = 500;
    if (app)
        chain_error(app, res->req, res, status);
    else
        response_error_page(res, res->req->arena, status);
}

void rmd_stream(rmd_response *res, int status, const char *type, rmd_producer produce, void *state,
                void (*done)(void *state))
{
    struct str type_copy;
    if (copy_type(res, type, &type_copy) < 0) {
        no_memory(res);
        if (done)
            done(state);
        return;
    }
    response_drop_body(res);
    res->status = status;
    res->kind = RESPONSE_STREAM;
    res->type = type_copy;
    res->produce = produce;
    res->done = done;
    res->done_arg = state;
}

static int fail_writer(rmd_writer *out, int rc)
{
    if (rc < 0)
        out->is_failed = true;
    return rc;
}

int rmd_write(rmd_writer *out, const void *data, size_t len)
{
    return fail_writer(out, buf_append(out->out, data, len));
}

int rmd_write_format(rmd_writer *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int n = vasprintf(&text, format, args);
    va_end(args);
    int rc = n < 0 ? -ENOMEM : buf_append(out->out, text, (size_t)n);
    free(n < 0 ? NULL : text);
    return fail_writer(out, rc);
}

int rmd_write_event(rmd_writer *out, const char *event, const char *data)
{
    if (event && strpbrk(event, "\r\n"))
        return -EINVAL;
    int rc = event ? buf_printf(out->out, "event: %s\n", event) : 0;
    while (rc == 0) { /* one "data:" a line; CR, LF and CRLF all end a line */
        size_t n = strcspn(data, "\r\n");
        rc = buf_printf(out->out, "data: %.*s\n", (int)(n < INT_MAX ? n : INT_MAX), data);
        data += n;
        if (*data == '\0')
            break;
        data += data[0] == '\r' && data[1] == '\n' ? 2 : 1;
    }
    if (rc == 0)
        rc = buf_append(out->out, "\n", 1);
    return fail_writer(out, rc);
}

/* ---- settings, process, log ---- */

static const struct settings_node *find_config(const char *key)
{
    return settings_node_get(chain_get_process()->config, key);
}

static void warn_of_type(const char *key, const struct settings_node *node, const char *wanted)
{
    const char *file = chain_get_process()->config_file;
    log_warn("app_config has another type than the app asks for",
             "key=\"%s\" wanted=\"%s\" at=%s:%u:%u", key, wanted, file ? file : "?", node->line,
             node->column);
}

const char *rmd_config_string(const char *key, const char *fallback)
{
    const struct settings_node *node = find_config(key);
    const char *text = fallback;
    if (node && settings_node_to_text(node, &text) < 0)
        warn_of_type(key, node, "text");
    return text;
}

long long rmd_config_int(const char *key, long long fallback)
{
    const struct settings_node *node = find_config(key);
    int64_t value = fallback;
    if (node && settings_node_to_int(node, &value) < 0)
        warn_of_type(key, node, "whole number");
    return value;
}

bool rmd_config_bool(const char *key, bool fallback)
{
    const struct settings_node *node = find_config(key);
    bool value = fallback;
    if (node && settings_node_to_bool(node, &value) < 0)
        warn_of_type(key, node, "yes or no");
    return value;
}

double rmd_config_double(const char *key, double fallback)
{
    const struct settings_node *node = find_config(key);
    double value = fallback;
    if (node && settings_node_to_double(node, &value) < 0)
        warn_of_type(key, node, "number");
    return value;
}

long long rmd_config_duration_ms(const char *key, long long fallback_ms)
{
    const struct settings_node *node = find_config(key);
    uint64_t value_us = 0;
    if (!node)
        return fallback_ms;
    if (settings_node_to_duration(node, &value_us) < 0) {
        warn_of_type(key, node, "duration such as 30s");
        return fallback_ms;
    }
    return (long long)(value_us / 1000U);
}

long long rmd_config_bytes(const char *key, long long fallback_bytes)
{
    const struct settings_node *node = find_config(key);
    uint64_t value = 0;
    if (!node)
        return fallback_bytes;
    if (settings_node_to_size(node, &value) < 0 || value > LLONG_MAX) {
        warn_of_type(key, node, "size such as 64MiB");
        return fallback_bytes;
    }
    return (long long)value;
}

const char *rmd_role(void)
{
    return chain_get_process()->role;
}

int rmd_slot(void)
{
    return chain_get_process()->slot;
}

int rmd_generation(void)
{
    return chain_get_process()->generation;
}

void rmd_log(enum rmd_log_level level, const char *format, ...)
{
    if ((unsigned)level > RMD_LOG_DEBUG)
        level = RMD_LOG_ERROR;
    if (!log_is_on((enum log_level)level))
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_event((enum log_level)level, text, "%s", "");
}
