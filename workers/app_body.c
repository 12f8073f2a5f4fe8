/* The functions of remuda.h that have to do with the body of a request, and with answers that come
 * later. */
#include <errno.h>

#include "base/clock.h"
#include "http/conn.h"
#include "http/multipart.h"
#include "http/path.h"
#include "include/remuda.h"
#include "workers/chain.h"

rmd_slice rmd_body(const rmd_request *req)
{
    return (rmd_slice){req->body.p, req->body.len};
}

/* ---- forms ---- */

/* Walks the body twice: to count, and to see that it is whole before anybody acts on half of it;
 * then to keep. Returns 0; -errno */
static int count_parts(rmd_request *req, struct str boundary, uint32_t *out_n)
{
    struct multipart walk;
    struct multipart_part part;
    uint32_t n = 0;
    int rc;
    multipart_begin(&walk, req->body, boundary, MULTIPART_PARTS);
    while ((rc = multipart_next(&walk, &part)) > 0)
        n++;
    *out_n = n;
    return rc;
}

static const char *decode(rmd_request *req, struct str raw)
{
    struct str text;
    if (multipart_decode(raw, req->arena, &text) < 0)
        return NULL;
    return arena_strndup(req->arena, text.p, text.len);
}

static int keep_part(rmd_request *req, const struct multipart_part *found, rmd_part *out)
{
    *out = (rmd_part){.name = decode(req, found->name),
                      .data = {found->data.p, found->data.len},
                      .data_at = found->data_at};
    if (found->has_filename)
        out->filename = decode(req, found->filename);
    if (found->content_type.len > 0)
        out->type = arena_strndup(req->arena, found->content_type.p, found->content_type.len);
    bool is_whole = out->name && (out->filename || !found->has_filename) &&
                    (out->type || found->content_type.len == 0);
    return is_whole ? 0 : -ENOMEM;
}

/* Returns how many parts there are in req->parts; -errno */
static int read_parts(rmd_request *req)
{
    const struct field *type = request_find(req, STR("content-type"), NULL);
    struct str boundary;
    uint32_t n = 0;
    if (!type)
        return -EINVAL;
    int rc = multipart_boundary(request_value(req, type), &boundary);
    if (rc == 0)
        rc = count_parts(req, boundary, &n);
    if (rc < 0)
        return rc;
    struct rmd_part *parts = arena_alloc(req->arena, (n + 1) * sizeof *parts);
    if (!parts)
        return -ENOMEM;
    struct multipart walk;
    struct multipart_part part;
    multipart_begin(&walk, req->body, boundary, MULTIPART_PARTS);
    for (uint32_t i = 0; i < n && rc == 0 && multipart_next(&walk, &part) > 0; i++)
        rc = keep_part(req, &part, &parts[i]);
    if (rc < 0)
        return rc;
    req->parts = parts;
    return (int)n;
}

int rmd_part_count(rmd_request *req)
{
    if (!req->has_read_parts)
        req->n_parts = read_parts(req);
    req->has_read_parts = true;
    return req->n_parts;
}

const rmd_part *rmd_part_at(rmd_request *req, size_t i)
{
    int n = rmd_part_count(req);
    return n > 0 && i < (size_t)n ? &req->parts[i] : NULL;
}

const rmd_part *rmd_part_find(rmd_request *req, const char *name)
{
    const rmd_part *part;
    for (size_t i = 0; (part = rmd_part_at(req, i)); i++)
        if (strcmp(part->name, name) == 0)
            return part;
    return NULL;
}

static const char *find_text_part(rmd_request *req, const char *name)
{
    const rmd_part *part;
    for (size_t i = 0; (part = rmd_part_at(req, i)); i++) {
        if (part->filename || strcmp(part->name, name) != 0)
            continue;
        bool has_nul = part->data.len > 0 && memchr(part->data.data, 0, part->data.len);
        return has_nul ? NULL : arena_strndup(req->arena, part->data.data, part->data.len);
    }
    return NULL;
}

static bool is_urlencoded(const rmd_request *req)
{
    const struct field *type = request_find(req, STR("content-type"), NULL);
    if (!type)
        return false;
    struct str value = request_value(req, type);
    const char *semicolon = value.len > 0 ? memchr(value.p, ';', value.len) : NULL;
    if (semicolon)
        value.len = (size_t)(semicolon - value.p);
    return str_is_equal_nocase(str_trim(value), STR("application/x-www-form-urlencoded"));
}

const char *rmd_form(rmd_request *req, const char *name)
{
    return is_urlencoded(req) ? path_find_pair(req->body, name, req->arena)
                              : find_text_part(req, name);
}

bool rmd_form_next(rmd_request *req, size_t *at, const char **out_name, const char **out_value)
{
    return is_urlencoded(req) && path_take_pair(req->body, at, req->arena, out_name, out_value);
}

/* ---- bodies as they come, answers that come later ---- */

int rmd_body_fd(const rmd_request *req)
{
    return exchange_of(req)->body.fd;
}

int rmd_receive(rmd_request *req, rmd_consumer consume, void *state, void (*done)(void *state))
{
    if (req->consume || req->is_consumed || req->is_answered)
        return -EBUSY;
    req->consume = consume;
    req->consume_state = state;
    req->consume_done = done;
    return 0;
}

rmd_deferred *rmd_defer(rmd_request *req)
{
    struct deferred_box *box = req->env->box;
    if (req->deferred || req->is_answered || !box)
        return NULL;
    req->deferred = deferred_new(box, exchange_of(req));
    return req->deferred;
}

void rmd_complete(rmd_deferred *ticket, rmd_answer answer, void *arg)
{
    deferred_turn_in(ticket, answer, arg);
}

bool rmd_cancelled(const rmd_request *req)
{
    const struct exchange *ex = exchange_of(req);
    if (ex->cancel_word)
        return atomic_load_explicit(ex->cancel_word, memory_order_relaxed) != 0 ||
               atomic_load_explicit(ex->wanted_word, memory_order_relaxed) != ex->wanted;
    return atomic_load_explicit(&ex->is_cancelled, memory_order_relaxed);
}

long long rmd_deadline_ms(const rmd_request *req)
{
    if (req->deadline_us == 0 || req->deadline_us == UINT64_MAX)
        return -1;
    uint64_t now_us = clock_now_us();
    return now_us < req->deadline_us ? (long long)((req->deadline_us - now_us) / CLOCK_US_PER_MS)
                                     : 0;
}

bool rmd_is_wanted(const rmd_deferred *ticket)
{
    return atomic_load_explicit(&ticket->is_wanted, memory_order_relaxed);
}
