/* A file as an answer: validators, conditions, ranges. What is to be answered is decided first; the
 * body follows, and the fields last, when nothing but memory can fail any more. If it does, all of
 * it is taken back, so that the page of an error carries no validators or codings of a file. */
#include "http/opened.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "base/fd.h"
#include "http/conditional.h"
#include "http/date.h"
#include "http/range.h"

#define ETAG_MAX 80 /* three numbers of 16 digits, a coding, and what is between them */

/* What is to be answered. */
struct plan {
    char etag[ETAG_MAX];
    struct conditional_current current;
    struct range_set set; /* status 206 */
    int status;           /* 200 206 304 412 416 */
};

static struct str print_etag(char out[ETAG_MAX], const struct opened *file)
{
    uint64_t mtime_ns = (uint64_t)file->st.st_mtim.tv_sec * UINT64_C(1000000000) +
                        (uint64_t)file->st.st_mtim.tv_nsec;
    int n = snprintf(out, ETAG_MAX, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "%s%s\"", mtime_ns,
                     (uint64_t)file->st.st_size, (uint64_t)file->st.st_ino, file->coding ? "-" : "",
                     file->coding ? file->coding : "");
    return str_make(out, (size_t)n);
}

static int read_conditions(const struct rmd_request *req, struct conditional_fields *out)
{
    const struct {
        struct str name;
        struct str *value;
    } rows[] = {
        {STR("if-match"), &out->if_match},
        {STR("if-none-match"), &out->if_none_match},
        {STR("if-modified-since"), &out->if_modified_since},
        {STR("if-unmodified-since"), &out->if_unmodified_since},
        {STR("if-range"), &out->if_range},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && rc == 0; i++)
        rc = request_join(req, rows[i].name, rows[i].value);
    return rc;
}

/* Returns 0; -ENOMEM */
static int decide(const struct opened *file, int64_t wall_s, const struct rmd_request *req,
                  struct plan *plan)
{
    struct conditional_fields in;
    struct str range;
    int rc = read_conditions(req, &in);
    if (rc == 0)
        rc = request_join(req, STR("range"), &range);
    if (rc < 0)
        return rc;
    int64_t modified_s = file->st.st_mtim.tv_sec;
    plan->current.etag = print_etag(plan->etag, file);
    plan->current.modified_seconds = modified_s < wall_s ? modified_s : wall_s;
    struct conditional_verdict verdict =
        conditional_judge(str_of(req->method), &in, &plan->current, wall_s);
    enum range_outcome outcome = verdict.takes_range
                                     ? range_parse(range, (uint64_t)file->st.st_size, &plan->set)
                                     : RANGE_NONE;
    plan->status = verdict.status != 0              ? verdict.status
                   : outcome == RANGE_OK            ? 206
                   : outcome == RANGE_UNSATISFIABLE ? 416
                                                    : 200;
    return 0;
}

static int give_ranges(const struct opened *file, const struct range_set *set,
                       struct rmd_request *req, struct rmd_response *res)
{
    char boundary[RANGE_BOUNDARY_LEN + 1];
    int fd = file->fd;
    int rc = set->n > 1 ? range_make_boundary(boundary) : 0;
    if (rc < 0) {
        fd_close(&fd);
        return rc;
    }
    return range_answer_file(res, req->arena, fd, (uint64_t)file->st.st_size, set,
                             set->n > 1 ? boundary : NULL);
}

/* Status, type and body; the descriptor goes. Returns 0; -errno */
static int give_body(const struct opened *file, const struct plan *plan, struct rmd_request *req,
                     struct rmd_response *res)
{
    struct response_part whole = {.len = (uint64_t)file->st.st_size};
    int fd = file->fd;
    res->status = plan->status;
    res->type = file->type;
    if (plan->status == 206)
        return give_ranges(file, &plan->set, req, res);
    if (plan->status == 200 && whole.len > 0)
        return response_give_file(res, req->arena, 200, fd, &whole, 1);
    fd_close(&fd);
    bool has_body = plan->status == 200; /* a file of nothing: a part can't be */
    res->kind = has_body ? RESPONSE_BYTES : RESPONSE_EMPTY;
    res->body = has_body ? "" : NULL;
    res->type = has_body ? file->type : (struct str){0};
    return 0;
}

/* Those that 304 has too, and then the others (RFC 9110 §15.4.5). Returns 0; -ENOMEM */
static int set_fields(const struct opened *file, const struct plan *plan, struct rmd_request *req,
                      struct rmd_response *res)
{
    char date[DATE_LEN + 1];
    date_format(date, plan->current.modified_seconds);
    bool is_unchanged = plan->status == 304;
    bool has_cache_control = response_find(res, STR("cache-control"));
    const struct {
        struct str name;
        struct str value;
        bool is_sent;
    } rows[] = {
        {STR("ETag"), plan->current.etag, true},
        {STR("Last-Modified"), str_make(date, DATE_LEN), true},
        {STR("Cache-Control"), file->cache_control,
         file->cache_control.len > 0 && !has_cache_control},
        {STR("Vary"), STR("Accept-Encoding"), file->varies},
        {STR("Accept-Ranges"), STR("bytes"), !is_unchanged},
        {STR("Content-Encoding"), str_of(file->coding), file->coding && !is_unchanged},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && rc == 0; i++)
        if (rows[i].is_sent)
            rc = response_set(res, req->arena, rows[i].name, rows[i].value, false);
    return rc;
}

/* Takes back the body and all fields behind `last`. */
static void undo(struct rmd_response *res, struct response_field *last)
{
    response_drop_body(res);
    if (last)
        last->next = NULL;
    else
        res->fields = NULL;
    res->last = last;
    res->status = 0;
}

static int refuse_range(uint64_t len, struct rmd_request *req, struct rmd_response *res)
{
    char text[RANGE_TEXT_MAX];
    struct str value = str_make(text, range_render_unsatisfied(text, len));
    return response_set(res, req->arena, STR("Content-Range"), value, true);
}

int opened_answer(const struct opened *file, int64_t wall_s, struct rmd_request *req,
                  struct rmd_response *res, struct err *err)
{
    struct plan plan;
    struct response_field *last = res->last;
    int fd = file->fd;
    int rc = decide(file, wall_s, req, &plan);
    if (rc < 0 || plan.status >= 400) {
        fd_close(&fd);
        if (rc == 0 && plan.status == 416)
            rc = refuse_range((uint64_t)file->st.st_size, req, res);
        if (rc == 0)
            return plan.status;
    } else {
        rc = give_body(file, &plan, req, res);
        if (rc == 0)
            rc = set_fields(file, &plan, req, res);
        if (rc == 0)
            return 0;
        undo(res, last);
    }
    err_set(err, -rc, "making an answer from a file: %s", strerror(-rc));
    return rc == -ENOMEM ? 503 : 500;
}
