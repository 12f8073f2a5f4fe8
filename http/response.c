/* Answers: fields are checked when they are set, so that no handler can split a response, and the
 * head is put together from pieces in one go. */
#include "http/response.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/panic.h"
#include "http/trace.h"

#define STATUS_MIN 100
#define STATUS_MAX 599

#define STATUS_TEXT(code, reason) "HTTP/1.1 " #code " " reason "\r\n"
#define STATUS_LINE(code, reason)                                                                  \
    [(code)-STATUS_MIN] = {STATUS_TEXT(code, reason), sizeof(STATUS_TEXT(code, reason)) - 1}

/* Status lines ready to send (IANA HTTP Status Code Registry). */
static const struct str status_lines[STATUS_MAX - STATUS_MIN + 1] = {
    STATUS_LINE(100, "Continue"),
    STATUS_LINE(101, "Switching Protocols"),
    STATUS_LINE(103, "Early Hints"),
    STATUS_LINE(200, "OK"),
    STATUS_LINE(201, "Created"),
    STATUS_LINE(202, "Accepted"),
    STATUS_LINE(203, "Non-Authoritative Information"),
    STATUS_LINE(204, "No Content"),
    STATUS_LINE(205, "Reset Content"),
    STATUS_LINE(206, "Partial Content"),
    STATUS_LINE(300, "Multiple Choices"),
    STATUS_LINE(301, "Moved Permanently"),
    STATUS_LINE(302, "Found"),
    STATUS_LINE(303, "See Other"),
    STATUS_LINE(304, "Not Modified"),
    STATUS_LINE(307, "Temporary Redirect"),
    STATUS_LINE(308, "Permanent Redirect"),
    STATUS_LINE(400, "Bad Request"),
    STATUS_LINE(401, "Unauthorized"),
    STATUS_LINE(402, "Payment Required"),
    STATUS_LINE(403, "Forbidden"),
    STATUS_LINE(404, "Not Found"),
    STATUS_LINE(405, "Method Not Allowed"),
    STATUS_LINE(406, "Not Acceptable"),
    STATUS_LINE(407, "Proxy Authentication Required"),
    STATUS_LINE(408, "Request Timeout"),
    STATUS_LINE(409, "Conflict"),
    STATUS_LINE(410, "Gone"),
    STATUS_LINE(411, "Length Required"),
    STATUS_LINE(412, "Precondition Failed"),
    STATUS_LINE(413, "Content Too Large"),
    STATUS_LINE(414, "URI Too Long"),
    STATUS_LINE(415, "Unsupported Media Type"),
    STATUS_LINE(416, "Range Not Satisfiable"),
    STATUS_LINE(417, "Expectation Failed"),
    STATUS_LINE(418, "I'm a teapot"),
    STATUS_LINE(421, "Misdirected Request"),
    STATUS_LINE(422, "Unprocessable Content"),
    STATUS_LINE(423, "Locked"),
    STATUS_LINE(425, "Too Early"),
    STATUS_LINE(426, "Upgrade Required"),
    STATUS_LINE(428, "Precondition Required"),
    STATUS_LINE(429, "Too Many Requests"),
    STATUS_LINE(431, "Request Header Fields Too Large"),
    STATUS_LINE(451, "Unavailable For Legal Reasons"),
    STATUS_LINE(500, "Internal Server Error"),
    STATUS_LINE(501, "Not Implemented"),
    STATUS_LINE(502, "Bad Gateway"),
    STATUS_LINE(503, "Service Unavailable"),
    STATUS_LINE(504, "Gateway Timeout"),
    STATUS_LINE(505, "HTTP Version Not Supported"),
    STATUS_LINE(507, "Insufficient Storage"),
    STATUS_LINE(511, "Network Authentication Required"),
};

void response_begin(struct rmd_response *res, struct rmd_request *req)
{
    *res = (struct rmd_response){.req = req};
}

void response_drop_body(struct rmd_response *res)
{
    void (*done)(void *) = res->done;
    void *arg = res->done_arg;
    if (res->kind == RESPONSE_FILE)
        fd_close(&res->fd);
    res->kind = RESPONSE_NONE;
    res->body = NULL;
    res->body_len = 0;
    res->type = (struct str){0};
    res->produce = NULL;
    res->parts = NULL;
    res->n_parts = 0;
    res->done = NULL;
    res->done_arg = NULL;
    if (done)
        done(arg);
}

int response_give_file(struct rmd_response *res, struct arena *arena, int status, int fd,
                       const struct response_part *parts, uint32_t n_parts)
{
    struct str type = res->type;
    response_drop_body(res);
    res->status = status;
    struct response_part *copy = arena_alloc(arena, n_parts * sizeof *copy);
    if (!copy) {
        fd_close(&fd);
        return -ENOMEM;
    }
    res->kind = RESPONSE_FILE;
    res->type = type;
    res->fd = fd;
    res->parts = copy;
    res->n_parts = n_parts;
    for (uint32_t i = 0; i < n_parts; i++) {
        copy[i] = parts[i];
        res->body_len += parts[i].len;
    }
    return 0;
}

static bool is_field_value(struct str value)
{
    if (!str_has_control(value))
        return true;
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_owned_by_server(struct str name)
{
    static const char *const owned[] = {
        "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive",
        "Upgrade",        "Trailer",           "Date",       "Server"};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        if (str_is_equal_nocase(name, str_of(owned[i])))
            return true;
    return false;
}

static void unlink_fields(struct rmd_response *res, struct str name)
{
    struct response_field **link = &res->fields;
    res->last = NULL;
    while (*link) {
        if (str_is_equal_nocase((*link)->name, name)) {
            *link = (*link)->next;
        } else {
            res->last = *link;
            link = &(*link)->next;
        }
    }
}

int response_set(struct rmd_response *res, struct arena *arena, struct str name, struct str value,
                 bool is_replacing)
{
    value = str_trim(value);
    if (!str_is_token(name) || !is_field_value(value))
        return -EINVAL;
    if (is_owned_by_server(name))
        return -EPERM;
    if (str_is_equal_nocase(name, STR("content-type"))) { /* one place for the type */
        char *copy = arena_strndup(arena, value.p, value.len);
        if (!copy)
            return -ENOMEM;
        res->type = str_make(copy, value.len);
        return 0;
    }
    struct response_field *field = arena_alloc(arena, sizeof *field);
    char *text = arena_alloc_text(arena, name.len + value.len + 2);
    if (!field || !text)
        return -ENOMEM;
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    char *value_text = text + name.len + 1;
    if (value.len > 0)
        memcpy(value_text, value.p, value.len);
    value_text[value.len] = '\0';
    *field = (struct response_field){.name = str_make(text, name.len),
                                     .value = str_make(value_text, value.len)};
    if (is_replacing)
        unlink_fields(res, name);
    if (res->last)
        res->last->next = field;
    else
        res->fields = field;
    res->last = field;
    return 0;
}

const struct response_field *response_find(const struct rmd_response *res, struct str name)
{
    for (const struct response_field *field = res->fields; field; field = field->next)
        if (str_is_equal_nocase(field->name, name))
            return field;
    return NULL;
}

struct str response_reason(int status)
{
    if (status < STATUS_MIN || status > STATUS_MAX || !status_lines[status - STATUS_MIN].p)
        return STR("Unknown");
    const char *reason = status_lines[status - STATUS_MIN].p + 13; /* behind "HTTP/1.1 200 " */
    return str_make(reason, strcspn(reason, "\r"));
}

void response_error_page(struct rmd_response *res, struct arena *arena, int status)
{
    response_error_page_why(res, arena, status, NULL);
}

void response_error_page_why(struct rmd_response *res, struct arena *arena, int status,
                             const char *why)
{
    response_drop_body(res);
    size_t len = 0;
    struct str reason = response_reason(status);
    char *page = arena_printf(arena, &len, "%d %.*s%s%s\n", status, STR_ARG(reason),
                              why ? ": " : "", why ? why : "");
    res->status = status;
    res->kind = page ? RESPONSE_BYTES : RESPONSE_EMPTY;
    res->type = page ? STR("text/plain; charset=utf-8") : (struct str){0};
    res->body = page;
    res->body_len = page ? len : 0;
}

bool response_is_bodiless(int status)
{
    return status < 200 || status == 204 || status == 304;
}

static char *put(char *at, const char *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static char *put_number(char *at, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0)
        *at++ = digits[--n];
    return at;
}

/* Room for everything that render_head() writes besides type, common lines and fields. */
#define HEAD_FIXED_ROOM 256

int response_render_head(const struct rmd_response *res, const struct response_frame *frame,
                         struct buf *out)
{
    size_t need =
        HEAD_FIXED_ROOM + frame->common.len + res->type.len + frame->id_header.len + frame->id.len;
    for (const struct response_field *field = res->fields; field; field = field->next)
        need += field->name.len + field->value.len + 4;
    int rc = buf_reserve(out, need);
    if (rc < 0)
        return rc;
    RMD_ASSERT(res->status >= STATUS_MIN && res->status <= STATUS_MAX);
    char *at = out->data + out->len;
    struct str line = status_lines[res->status - STATUS_MIN];
    if (line.len > 0) {
        at = put(at, line.p, line.len);
    } else {
        at = PUT(at, "HTTP/1.1 ");
        at = put_number(at, (uint64_t)res->status);
        at = PUT(at, " Unknown\r\n");
    }
    if (frame->common.len > 0) /* else its pointer may be NULL */
        at = put(at, frame->common.p, frame->common.len);
    if (frame->made_id)
        memcpy(at - TRACE_ID_LEN - 2, frame->made_id, TRACE_ID_LEN); /* CRLF is behind it */
    if (res->type.len > 0) {
        at = PUT(at, "Content-Type: ");
        at = put(at, res->type.p, res->type.len);
        at = PUT(at, "\r\n");
    }
    if (frame->is_chunked)
        at = PUT(at, "Transfer-Encoding: chunked\r\n");
    if (frame->has_length) {
        at = PUT(at, "Content-Length: ");
        at = put_number(at, frame->length);
        at = PUT(at, "\r\n");
    }
    if (frame->id_header.len > 0) {
        at = put(at, frame->id_header.p, frame->id_header.len);
        at = PUT(at, ": ");
        at = put(at, frame->id.p, frame->id.len);
        at = PUT(at, "\r\n");
    }
    if (frame->is_closing)
        at = PUT(at, "Connection: close\r\n");
    else if (frame->is_keep_alive_1_0)
        at = PUT(at, "Connection: keep-alive\r\n");
    for (const struct response_field *field = res->fields; field; field = field->next) {
        at = put(at, field->name.p, field->name.len);
        at = PUT(at, ": ");
        at = put(at, field->value.p, field->value.len);
        at = PUT(at, "\r\n");
    }
    at = PUT(at, "\r\n");
    out->len = (size_t)(at - out->data);
    return 0;
}
