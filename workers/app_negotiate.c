/* The functions of remuda.h by which an answer becomes what the client would like: negotiation,
 * preconditions, ranges. */
#include <errno.h>

#include "base/clock.h"
#include "http/conditional.h"
#include "http/date.h"
#include "http/negotiate.h"
#include "http/range.h"
#include "http/trace.h"
#include "include/remuda.h"
#include "workers/chain.h"

/* All values of a field as one list; p NULL when it is absent. */
static struct str list_of(rmd_request *req, const char *name)
{
    const char *text = rmd_header(req, name);
    return text ? str_of(text) : (struct str){0};
}

static size_t count_offers(const char *const *offers)
{
    size_t n = 0;
    while (offers[n])
        n++;
    return n;
}

int rmd_accept_type(rmd_request *req, const char *const *offers)
{
    return negotiate_type(list_of(req, "Accept"), offers, count_offers(offers));
}

int rmd_accept_encoding(rmd_request *req, const char *const *offers)
{
    return negotiate_encoding(list_of(req, "Accept-Encoding"), offers, count_offers(offers));
}

int rmd_accept_language(rmd_request *req, const char *const *offers)
{
    return negotiate_language(list_of(req, "Accept-Language"), offers, count_offers(offers));
}

/* ---- preconditions ---- */

static int64_t now_seconds(void)
{
    return (int64_t)(clock_wall_us() / CLOCK_US_PER_S);
}

static struct conditional_verdict judge(rmd_request *req, const struct conditional_current *current)
{
    struct conditional_fields fields = {
        .if_match = list_of(req, "If-Match"),
        .if_none_match = list_of(req, "If-None-Match"),
        .if_modified_since = list_of(req, "If-Modified-Since"),
        .if_unmodified_since = list_of(req, "If-Unmodified-Since"),
        .if_range = list_of(req, "If-Range"),
    };
    return conditional_judge(str_of(req->method), &fields, current, now_seconds());
}

static void set_validators(rmd_request *req, rmd_response *res, const char *etag,
                           long long modified)
{
    struct conditional_etag parsed;
    char date[DATE_LEN + 1];
    if (etag && conditional_parse_etag(str_of(etag), &parsed) == 0)
        (void)rmd_set_header(res, "ETag", etag); /* refused memory: then there is none */
    else if (etag)
        chain_complain(req, "an entity tag is text in quotes, or W/ and text in quotes");
    if (modified < 0)
        return;
    date_format(date, modified < now_seconds() ? modified : now_seconds());
    (void)rmd_set_header(res, "Last-Modified", date);
}

bool rmd_precondition(rmd_request *req, rmd_response *res, const char *etag, long long modified)
{
    struct conditional_current current = {
        .etag = str_of(etag),
        .modified_seconds = modified < 0 ? CONDITIONAL_NO_DATE : modified,
    };
    set_validators(req, res, etag, modified);
    struct conditional_verdict verdict = judge(req, &current);
    if (verdict.status == 0)
        return false;
    if (verdict.status == 304)
        rmd_set_status(res, 304);
    else
        rmd_error(res, verdict.status);
    return true;
}

/* ---- ranges ---- */

static struct conditional_current current_of(const rmd_response *res)
{
    struct conditional_current current = {.modified_seconds = CONDITIONAL_NO_DATE};
    const struct response_field *etag = response_find(res, STR("etag"));
    const struct response_field *date = response_find(res, STR("last-modified"));
    if (etag)
        current.etag = etag->value;
    if (date && date_parse(date->value, now_seconds(), &current.modified_seconds) < 0)
        current.modified_seconds = CONDITIONAL_NO_DATE;
    return current;
}

void rmd_allow_ranges(rmd_request *req, rmd_response *res)
{
    if (res->kind != RESPONSE_BYTES || res->status != 200 || res->body_len == 0)
        return;
    int rc = rmd_set_header(res, "Accept-Ranges", "bytes");
    struct str value = list_of(req, "Range");
    if (rc < 0 || !value.p)
        return;
    struct conditional_current current = current_of(res);
    struct range_set set;
    char boundary[RANGE_BOUNDARY_LEN + 1];
    if (!judge(req, &current).takes_range)
        return;
    switch (range_parse(value, res->body_len, &set)) {
    case RANGE_OK:
        rc = range_make_boundary(boundary);
        if (rc == 0)
            rc = range_answer_bytes(res, req->arena, &set, boundary);
        break;
    case RANGE_UNSATISFIABLE:
        rc = range_refuse(res, req->arena, res->body_len);
        break;
    default:
        break;
    }
    if (rc < 0)
        rmd_error(res, 503);
}
