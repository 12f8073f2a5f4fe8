/* The functions of remuda.h that give an answer. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "http/exchange.h"
#include "http/stream.h"
#include "include/remuda.h"
#include "workers/chain.h"

#define TYPES_KNOWN 16U    /* more than most apps have */
#define TYPE_KNOWN_MAX 64U /* with the NUL */

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
        return res->type.len > 0 ? arena_strndup(res->req->arena, res->type.p, res->type.len)
                                 : NULL;
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
    if (__builtin_expect(res->kind != RESPONSE_NONE || res->done, 0))
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

/* The types that handlers gave first: mostly there are no others, and these need be neither looked
 * at nor copied again. What is in here never changes, since answers of all threads point to it. */
static struct {
    atomic_flag is_changing;
    atomic_uint n;
    struct {
        size_t len;
        char text[TYPE_KNOWN_MAX];
    } rows[TYPES_KNOWN];
} types = {.is_changing = ATOMIC_FLAG_INIT};

static struct str find_type(const char *type)
{
    unsigned n = atomic_load_explicit(&types.n, memory_order_acquire);
    for (unsigned i = 0; i < n; i++)
        if (strcmp(type, types.rows[i].text) == 0)
            return str_make(types.rows[i].text, types.rows[i].len);
    return (struct str){0};
}

/* Who finds another thread at it, or no room, does without. */
static void learn_type(const char *type, size_t len)
{
    if (len >= TYPE_KNOWN_MAX ||
        atomic_flag_test_and_set_explicit(&types.is_changing, memory_order_acquire))
        return;
    unsigned n = atomic_load_explicit(&types.n, memory_order_relaxed);
    if (n < TYPES_KNOWN) {
        memcpy(types.rows[n].text, type, len + 1);
        types.rows[n].len = len;
        atomic_store_explicit(&types.n, n + 1, memory_order_release);
    }
    atomic_flag_clear_explicit(&types.is_changing, memory_order_release);
}

/* A Content-Type that stays; a bad one is a mistake of the app and gives no field. */
static int copy_type(rmd_response *res, const char *type, struct str *out_type)
{
    *out_type = type ? find_type(type) : (struct str){0};
    size_t len = type && out_type->len == 0 ? strlen(type) : 0;
    if (len == 0)
        return 0;
    if (str_has_control(str_make(type, len))) {
        chain_complain(res->req, "control character in a Content-Type");
        return 0;
    }
    learn_type(type, len);
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

const char *rmd_error_why(const rmd_request *req)
{
    return exchange_of(req)->why;
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
