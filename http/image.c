/* Images. Numbers are in the byte order of the machine, since none leaves it, and are copied out
 * before they are looked at, since nothing says that they are aligned. */
#include "http/image.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/panic.h"
#include "http/conn_env.h"
#include "http/conn_request.h"
#include "http/guard.h"

#define REQUEST_MAGIC_IMAGE 0x51474d49U /* "IMGQ" */
#define ANSWER_MAGIC_IMAGE 0x41474d49U  /* "IMGA" */
#define VERSION 1U

/* In front of the head's octets and those of the body. */
struct request_meta {
    uint32_t magic;
    uint16_t version;
    uint8_t is_https;
    uint8_t minor;   /* HTTP/1.minor as received: the parser has perhaps lowered it */
    uint16_t family; /* of the peer: AF_INET, AF_INET6, else no more is known */
    uint16_t port;   /* network order */
    uint32_t scope;  /* of AF_INET6 */
    uint8_t address[16];
    uint64_t trace[2];
    uint64_t started_us;
    uint32_t head_len;
    uint32_t body_len;
    uint32_t host_at; /* in the head: of whom the request is for, which a proxy may have said */
    uint32_t host_len;
};

/* In front of type, fields, parts and body. */
struct answer_meta {
    uint32_t magic;
    uint16_t version;
    uint16_t status;
    uint8_t kind;     /* enum response_kind */
    uint8_t has_body; /* of BYTES: the rest of the image is it */
    uint16_t reserved;
    uint32_t type_len;
    uint32_t n_fields;
    uint32_t n_parts;
    uint64_t body_len; /* of BYTES */
};

struct field_meta {
    uint32_t name_len;
    uint32_t value_len;
};

struct part_meta {
    uint64_t offset;
    uint64_t len;
    uint64_t is_memory; /* 1: its octets follow */
};

_Static_assert(sizeof(struct request_meta) == 72, "no padding: it would carry octets of the stack");
_Static_assert(sizeof(struct answer_meta) == 32, "likewise");

static char *put(char *at, const void *data, size_t len)
{
    if (len > 0)
        memcpy(at, data, len);
    return at + len;
}

/* ---- requests ---- */

size_t image_request_bytes(const struct rmd_request *req, size_t body_len)
{
    return sizeof(struct request_meta) + req->head.bytes + body_len;
}

static void put_peer(const struct peer *peer, struct request_meta *meta)
{
    meta->family = peer->address.any.sa_family;
    if (meta->family == AF_INET) {
        meta->port = peer->address.v4.sin_port;
        memcpy(meta->address, &peer->address.v4.sin_addr, 4);
    } else if (meta->family == AF_INET6) {
        meta->port = peer->address.v6.sin6_port;
        meta->scope = peer->address.v6.sin6_scope_id;
        memcpy(meta->address, &peer->address.v6.sin6_addr, 16);
    }
}

static struct peer take_peer(const struct request_meta *meta)
{
    struct peer peer = {0};
    peer.address.any.sa_family = meta->family;
    if (meta->family == AF_INET) {
        peer.address.v4.sin_port = meta->port;
        memcpy(&peer.address.v4.sin_addr, meta->address, 4);
    } else if (meta->family == AF_INET6) {
        peer.address.v6.sin6_port = meta->port;
        peer.address.v6.sin6_scope_id = meta->scope;
        memcpy(&peer.address.v6.sin6_addr, meta->address, 16);
    } else {
        peer.address.any.sa_family = AF_UNIX;
    }
    return peer;
}

void image_put_request(const struct rmd_request *req, struct str body, char *out)
{
    const struct head *head = &req->head;
    RMD_ASSERT(head->bytes > 0 && body.len <= UINT32_MAX);
    struct request_meta meta = {.magic = REQUEST_MAGIC_IMAGE,
                                .version = VERSION,
                                .is_https = req->is_https,
                                .minor = head->minor,
                                .trace = {req->trace[0], req->trace[1]},
                                .started_us = req->started_us,
                                .head_len = head->bytes,
                                .body_len = (uint32_t)body.len};
    if (head->host.len > 0) {
        meta.host_at = (uint32_t)(head->host.p - req->base);
        meta.host_len = (uint32_t)head->host.len;
        RMD_ASSERT(meta.host_at <= head->bytes && meta.host_len <= head->bytes - meta.host_at);
    }
    put_peer(&req->peer, &meta);
    char *at = put(out, &meta, sizeof meta);
    at = put(at, req->base, head->bytes);
    (void)put(at, body.p, body.len);
}

/* The head once more, from the private copy. Returns NULL; else what is wrong with it */
static const char *read_head(const struct request_meta *meta, struct exchange *ex,
                             const struct http_limits *limits)
{
    const char *reason = NULL;
    char *base = ex->store.data;
    struct head *head = &ex->req.head;
    parse_begin(&ex->parse, head, limits);
    if (parse_head(&ex->parse, base, meta->head_len) != PARSE_DONE)
        return "its head is malformed or incomplete";
    if (head->bytes != meta->head_len)
        return "there is more than a head in its head";
    if (guard_judge(head, base, limits, &reason) > 0)
        return "its head is one that is refused";
    if (meta->minor != head->minor && (head->minor != 1 || meta->minor < 2 || meta->minor > 9))
        return "its version is another";
    head->minor = meta->minor;
    if (meta->host_at > head->bytes || meta->host_len > head->bytes - meta->host_at)
        return "its host is out of bounds";
    struct str host = str_make(base + meta->host_at, meta->host_len);
    if (meta->host_len > 0 && !guard_is_host(host))
        return "its host is none";
    if (meta->host_len > 0)
        head->host = host;
    return NULL;
}

/* Is a body as long as the head says? */
static bool is_body_of(const struct head *head, size_t body_len)
{
    if (head->is_chunked)
        return true;
    return body_len == (head->has_length ? head->content_length : 0);
}

/* Its identity is that of the process that made the image, unless the client gave it. */
static void set_trace_id(struct rmd_request *req)
{
    if (trace_may_be_in(&req->head) && trace_find(&req->head, req->base).len > 0)
        return;
    trace_format(req->trace, req->made_id);
    req->trace_id = str_make(req->made_id, TRACE_ID_LEN);
}

static const char *check_request_meta(const struct request_meta *meta, struct str image)
{
    if (meta->magic != REQUEST_MAGIC_IMAGE || meta->version != VERSION)
        return "it is no image of this version";
    if (meta->is_https > 1)
        return "it is https and not";
    if (meta->head_len == 0 ||
        image.len - sizeof *meta != (uint64_t)meta->head_len + meta->body_len)
        return "its lengths do not add up";
    return NULL;
}

int image_read_request(struct str image, struct str body, struct conn_env *env, struct exchange *ex,
                       const char **out_reason)
{
    struct request_meta meta;
    struct rmd_request *req = &ex->req;
    conn_request_begin_alone(env, ex);
    response_begin(&ex->res, req);
    if (image.len < sizeof meta) {
        *out_reason = "it is too short";
        return -EBADMSG;
    }
    memcpy(&meta, image.p, sizeof meta);
    atomic_signal_fence(
        memory_order_seq_cst); /* from here on the copy is looked at, nothing else */
    if ((*out_reason = check_request_meta(&meta, image)))
        return -EBADMSG;
    if (buf_append(&ex->store, image.p + sizeof meta, image.len - sizeof meta) < 0)
        return -ENOMEM;
    if ((*out_reason = read_head(&meta, ex, &env->limits)))
        return -EBADMSG;
    req->base = ex->store.data;
    req->body = meta.body_len > 0 ? str_make(req->base + meta.head_len, meta.body_len) : body;
    if (meta.body_len > 0 && body.len > 0)
        *out_reason = "it has two bodies";
    else if (!is_body_of(&req->head, req->body.len))
        *out_reason = "its body is not as long as its head says";
    if (*out_reason)
        return -EBADMSG;
    memcpy(req->method, req->base, req->head.method_len); /* a known one: it fits */
    req->method[req->head.method_len] = '\0';
    req->is_body_complete = true;
    req->peer = take_peer(&meta);
    req->is_https = meta.is_https;
    req->started_us = meta.started_us;
    req->trace[0] = meta.trace[0];
    req->trace[1] = meta.trace[1];
    set_trace_id(req);
    return request_route(req, env->router);
}

/* ---- answers ---- */

static bool has_body_inside(const struct rmd_response *res, bool with_body)
{
    return with_body && res->kind == RESPONSE_BYTES;
}

size_t image_answer_bytes(const struct rmd_response *res, bool with_body)
{
    size_t n = sizeof(struct answer_meta) + res->type.len;
    for (const struct response_field *field = res->fields; field; field = field->next)
        n += sizeof(struct field_meta) + field->name.len + field->value.len;
    if (res->kind == RESPONSE_FILE)
        for (uint32_t i = 0; i < res->n_parts; i++)
            n += sizeof(struct part_meta) + (res->parts[i].data ? res->parts[i].len : 0);
    return n + (has_body_inside(res, with_body) ? res->body_len : 0);
}

static char *put_fields(const struct rmd_response *res, char *at)
{
    for (const struct response_field *field = res->fields; field; field = field->next) {
        struct field_meta meta = {(uint32_t)field->name.len, (uint32_t)field->value.len};
        at = put(at, &meta, sizeof meta);
        at = put(at, field->name.p, field->name.len);
        at = put(at, field->value.p, field->value.len);
    }
    return at;
}

static char *put_parts(const struct rmd_response *res, char *at)
{
    for (uint32_t i = 0; i < res->n_parts; i++) {
        const struct response_part *part = &res->parts[i];
        struct part_meta meta = {part->data ? 0 : part->offset, part->len, part->data != NULL};
        at = put(at, &meta, sizeof meta);
        if (part->data)
            at = put(at, part->data, part->len);
    }
    return at;
}

void image_put_answer(const struct rmd_response *res, bool with_body, char *out)
{
    RMD_ASSERT(res->status >= 0 && res->status <= UINT16_MAX && res->kind != RESPONSE_NONE);
    struct answer_meta meta = {.magic = ANSWER_MAGIC_IMAGE,
                               .version = VERSION,
                               .status = (uint16_t)res->status,
                               .kind = (uint8_t)res->kind,
                               .has_body = has_body_inside(res, with_body),
                               .type_len = (uint32_t)res->type.len,
                               .n_parts = res->kind == RESPONSE_FILE ? res->n_parts : 0,
                               .body_len = res->kind == RESPONSE_BYTES ? res->body_len : 0};
    for (const struct response_field *field = res->fields; field; field = field->next)
        meta.n_fields++;
    char *at = put(out, &meta, sizeof meta);
    at = put(at, res->type.p, res->type.len);
    at = put_fields(res, at);
    if (res->kind == RESPONSE_FILE)
        at = put_parts(res, at);
    if (meta.has_body)
        (void)put(at, res->body, res->body_len);
}

/* Takes octets off the front. Returns false when there are not so many */
static bool take(struct str *rest, uint64_t len, struct str *out)
{
    if (len > rest->len)
        return false;
    *out = str_make(rest->p, (size_t)len);
    *rest = str_make(rest->p + len, rest->len - (size_t)len);
    return true;
}

static bool take_meta(struct str *rest, void *out, size_t size)
{
    struct str octets;
    if (!take(rest, size, &octets))
        return false;
    memcpy(out, octets.p, size);
    return true;
}

static const char *const cut_short = "it is cut short";

/* As a handler would: 0; -ENOMEM; -EBADMSG. */
static int set_field(struct rmd_response *res, struct arena *arena, struct str name,
                     struct str value, const char **out_reason)
{
    int rc = response_set(res, arena, name, value, false);
    if (rc == 0 || rc == -ENOMEM)
        return rc;
    *out_reason = rc == -EPERM ? "a field that is the server's" : "a field that is malformed";
    return -EBADMSG;
}

static int take_fields(struct str *rest, const struct answer_meta *answer, struct rmd_response *res,
                       struct arena *arena, const char **out_reason)
{
    struct str name = STR("Content-Type");
    struct str value;
    int rc = 0;
    if (!take(rest, answer->type_len, &value))
        goto cut;
    if (answer->type_len > 0)
        rc = set_field(res, arena, name, value, out_reason);
    for (uint32_t i = 0; rc == 0 && i < answer->n_fields; i++) {
        struct field_meta meta;
        if (!take_meta(rest, &meta, sizeof meta) || !take(rest, meta.name_len, &name) ||
            !take(rest, meta.value_len, &value))
            goto cut;
        rc = set_field(res, arena, name, value, out_reason);
    }
    return rc;
cut:
    *out_reason = cut_short;
    return -EBADMSG;
}

/* One part; of memory it is copied. needs_file: that of some part is the file's */
static int take_part(struct str *rest, struct arena *arena, struct response_part *out_part,
                     bool *needs_file, const char **out_reason)
{
    struct part_meta meta;
    struct str octets = {0};
    *out_reason = cut_short;
    if (!take_meta(rest, &meta, sizeof meta))
        return -EBADMSG;
    if (meta.is_memory && !take(rest, meta.len, &octets))
        return -EBADMSG;
    *out_reason = "a part that no file has";
    if (meta.is_memory > 1 || meta.len == 0 || meta.offset > INT64_MAX || meta.len > INT64_MAX ||
        meta.offset > INT64_MAX - meta.len)
        return -EBADMSG;
    *out_reason = NULL;
    *out_part = (struct response_part){.offset = meta.offset, .len = meta.len};
    *needs_file = *needs_file || !meta.is_memory;
    if (meta.is_memory && !(out_part->data = arena_strndup(arena, octets.p, octets.len)))
        return -ENOMEM;
    return 0;
}

/* Whoever answered may have sent any descriptor: one that sendfile(2) would wait on holds up a
 * loop. */
static bool is_regular(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

static int take_file(struct str *rest, const struct answer_meta *answer, int *fd,
                     struct rmd_response *res, struct arena *arena, const char **out_reason)
{
    bool needs_file = false;
    uint64_t sum = 0;
    *out_reason = cut_short;
    if (answer->n_parts == 0 || answer->n_parts > rest->len / sizeof(struct part_meta))
        return -EBADMSG;
    *out_reason = NULL;
    struct response_part *parts = arena_alloc(arena, answer->n_parts * sizeof *parts);
    if (!parts)
        return -ENOMEM;
    for (uint32_t i = 0; i < answer->n_parts; i++) {
        int rc = take_part(rest, arena, &parts[i], &needs_file, out_reason);
        if (rc < 0)
            return rc;
        sum += parts[i].len;
        if (sum > INT64_MAX) {
            *out_reason = "parts that no file has";
            return -EBADMSG;
        }
    }
    if (needs_file != (*fd >= 0) || (needs_file && !is_regular(*fd))) {
        *out_reason = "no file to send from";
        return -EBADMSG;
    }
    int given = *fd;
    *fd = -1;
    return response_give_file(res, arena, answer->status, given, parts, answer->n_parts);
}

static int take_bytes(struct str *rest, const struct answer_meta *answer, struct str body,
                      struct rmd_response *res, struct arena *arena, const char **out_reason)
{
    if (answer->has_body) {
        if (body.len > 0 || answer->body_len != rest->len) {
            *out_reason = "its body is not as long as it says";
            return -EBADMSG;
        }
        body = str_make(arena_strndup(arena, rest->p, rest->len), rest->len);
        if (!body.p)
            return -ENOMEM;
        *rest = (struct str){0};
    } else if (body.len != answer->body_len) {
        *out_reason = "its body is not as long as it says";
        return -EBADMSG;
    }
    res->kind = RESPONSE_BYTES;
    res->body = body.p;
    res->body_len = body.len;
    return 0;
}

/* What follows the fields, by its kind. */
static int take_body(struct str *rest, const struct answer_meta *answer, struct str body, int *fd,
                     struct rmd_response *res, struct arena *arena, const char **out_reason)
{
    switch (answer->kind) {
    case RESPONSE_BYTES:
        return take_bytes(rest, answer, body, res, arena, out_reason);
    case RESPONSE_FILE:
        return take_file(rest, answer, fd, res, arena, out_reason);
    default:
        res->kind = (enum response_kind)answer->kind;
        return 0;
    }
}

/* What goes with no other kind. */
static const char *check_answer_meta(const struct answer_meta *meta, struct str body, int fd)
{
    if (meta->magic != ANSWER_MAGIC_IMAGE || meta->version != VERSION || meta->reserved != 0)
        return "it is no image of this version";
    if (meta->status < 200 || meta->status > 599)
        return "its status is none";
    if (meta->kind <= RESPONSE_NONE || meta->kind > RESPONSE_STREAM || meta->has_body > 1)
        return "it is of no kind";
    if (meta->kind != RESPONSE_BYTES && (body.len > 0 || meta->body_len > 0 || meta->has_body))
        return "a body that goes with another kind";
    if (meta->kind != RESPONSE_FILE && (fd >= 0 || meta->n_parts > 0))
        return "a file that goes with another kind";
    return NULL;
}

static int read_answer(struct str image, struct str body, int *fd, struct rmd_response *res,
                       struct arena *arena, const char **out_reason)
{
    struct answer_meta meta;
    struct str rest = image;
    *out_reason = cut_short;
    if (!take_meta(&rest, &meta, sizeof meta))
        return -EBADMSG;
    if ((*out_reason = check_answer_meta(&meta, body, *fd)))
        return -EBADMSG;
    int rc = take_fields(&rest, &meta, res, arena, out_reason);
    if (rc < 0)
        return rc;
    res->status = meta.status;
    rc = take_body(&rest, &meta, body, fd, res, arena, out_reason);
    if (rc == 0 && rest.len > 0) {
        *out_reason = "there is more behind it";
        rc = -EBADMSG;
    }
    return rc;
}

int image_read_answer(struct str image, struct str body, int fd, struct rmd_response *res,
                      struct arena *arena, const char **out_reason)
{
    int rc = read_answer(image, body, &fd, res, arena, out_reason);
    fd_close(&fd); /* not taken */
    if (rc < 0)
        response_drop_body(res);
    return rc;
}
