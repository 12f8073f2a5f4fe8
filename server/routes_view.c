/* See routes_view.h. Process: commands. */
#include "server/routes_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_value.h"
#include "server/advice.h"
#include "server/plain.h"

#define ROUTE_COLUMNS 28 /* a longer name is cut */

/* ---- reading ---- */

static uint64_t number(struct str object, const char *name)
{
    uint64_t n;
    return json_value_u64(json_value_find(object, name), UINT64_MAX / 1000, &n) == 0 ? n : 0;
}

static void read_counts(uint64_t out[METER_BUCKETS], struct str object, const char *name)
{
    struct str array = json_value_find(object, name);
    struct str at = {0}, value;
    for (size_t i = 0; i < METER_BUCKETS && json_value_next(array, &at, NULL, &value); i++)
        if (json_value_u64(value, UINT64_MAX, &out[i]) < 0)
            out[i] = 0;
}

static void read_lane(struct routes_view_row *row, struct str lane)
{
    struct profile_sums *sums = &row->sums;
    row->answers = number(lane, "answers");
    row->errors = number(lane, "errors");
    sums->calls = number(lane, "calls");
    sums->measured = number(lane, "measured");
    sums->wait_ns = number(lane, "wait_us") * CLOCK_NS_PER_US;
    sums->wall_ns = number(lane, "wall_us") * CLOCK_NS_PER_US;
    sums->measured_wall_ns = number(lane, "measured_wall_us") * CLOCK_NS_PER_US;
    sums->cpu_ns = number(lane, "cpu_us") * CLOCK_NS_PER_US;
    sums->delay_ns = number(lane, "delay_us") * CLOCK_NS_PER_US;
    read_counts(sums->wall, lane, "wall_counts");
    read_counts(sums->wait, lane, "wait_counts");
}

static void read_route(struct routes_view *view, struct str route)
{
    struct str lanes = json_value_find(route, "lanes");
    for (int i = 0; i < PROFILE_LANES; i++) {
        struct str lane = json_value_find(lanes, profile_lane_names[i]);
        if (json_value_kind(lane) != JSON_OBJECT)
            continue;
        struct routes_view_row *row = &view->rows[view->n_rows++];
        row->lane = (enum profile_lane)i;
        (void)plain_text(row->route, sizeof row->route, json_value_find(route, "route"),
                         PLAIN_NARROW);
        read_counts(row->latency, route, "latency_counts");
        read_lane(row, lane);
    }
}

int routes_view_read(struct routes_view *view, struct str answer)
{
    struct str routes = json_value_find(answer, "routes");
    struct str has_loop = json_value_find(answer, "has_loop");
    struct str at = {0}, value;
    size_t n = 0;
    *view = (struct routes_view){.has_loop = has_loop.len > 0 && has_loop.p[0] == 't'};
    while (json_value_next(routes, &at, NULL, &value))
        n++;
    view->rows = calloc(n * PROFILE_LANES + 1, sizeof *view->rows);
    if (!view->rows)
        return -ENOMEM;
    at = (struct str){0};
    while (json_value_next(routes, &at, NULL, &value))
        read_route(view, value);
    return 0;
}

void routes_view_fini(struct routes_view *view)
{
    free(view->rows);
    *view = (struct routes_view){0};
}

/* ---- comparing ---- */

static const struct routes_view_row *find(const struct routes_view *view,
                                          const struct routes_view_row *row)
{
    for (size_t i = 0; view && i < view->n_rows; i++)
        if (view->rows[i].lane == row->lane && strcmp(view->rows[i].route, row->route) == 0)
            return &view->rows[i];
    return NULL;
}

static uint64_t since(uint64_t then, uint64_t now)
{
    return now > then ? now - then : 0;
}

/* What came between two looks; where nothing did, all that there is. */
static struct routes_view_row recent(const struct routes_view_row *now,
                                     const struct routes_view_row *then)
{
    struct routes_view_row row = *now;
    if (now->answers == then->answers && now->sums.calls == then->sums.calls)
        return row;
    row.answers = since(then->answers, now->answers);
    row.errors = since(then->errors, now->errors);
    row.sums = profile_since(&now->sums, &then->sums);
    for (size_t i = 0; i < METER_BUCKETS; i++)
        row.latency[i] = since(then->latency[i], now->latency[i]);
    return row;
}

static uint64_t calls_since(const struct routes_view_row *row, const struct routes_view_row *then)
{
    return since(then ? then->sums.calls : 0, row->sums.calls);
}

/* Of a route that runs elsewhere by now: nobody needs advice about what it did in this lane. */
static bool has_moved(const struct routes_view *now, const struct routes_view *before,
                      const struct routes_view_row *row, const struct routes_view_row *then)
{
    if (calls_since(row, then) > 0)
        return false;
    for (size_t i = 0; i < now->n_rows; i++) {
        const struct routes_view_row *other = &now->rows[i];
        if (strcmp(other->route, row->route) == 0 && calls_since(other, find(before, other)) > 0)
            return true;
    }
    return false;
}

/* ---- rendering ---- */

struct look {
    uint64_t interval_us;
    unsigned width;
    bool has_loop;
    bool has_moved; /* the route of the row */
};

static const char *ratio(char out[PLAIN_MAX], double waited, double cpu)
{
    double n = cpu > 0 ? waited / cpu : 0;
    if (cpu <= 0)
        (void)snprintf(out, PLAIN_MAX, "-");
    else if (n >= 1000)
        (void)snprintf(out, PLAIN_MAX, ">999");
    else
        (void)snprintf(out, PLAIN_MAX, n >= 10 ? "%.0f" : n >= 1 ? "%.1f" : "%.2f", n);
    return out;
}

static const char *mean(char out[PLAIN_MAX], uint64_t sum_ns, uint64_t n)
{
    if (n == 0)
        (void)snprintf(out, PLAIN_MAX, "-");
    else
        (void)plain_us(out, sum_ns / n / CLOCK_NS_PER_US);
    return out;
}

/* Cut to its columns, of which all are one octet: PLAIN_NARROW and our own text. */
static int put_line(struct buf *out, const char *text, unsigned width)
{
    size_t n = strlen(text), columns = 0, end = 0, last = 0;
    while (end < n && (width == 0 || columns < width)) {
        size_t one = str_utf8_length(text + end, n - end);
        last = end;
        end += one > 0 ? one : 1;
        columns++;
    }
    if (end < n)
        return buf_append(out, text, last) < 0 || buf_append(out, "~\n", 2) < 0 ? -ENOMEM : 0;
    while (end > 0 && text[end - 1] == ' ')
        end--;
    return buf_append(out, text, end) < 0 || buf_append(out, "\n", 1) < 0 ? -ENOMEM : 0;
}

/* then  NULL: the route was not there
 * row   what its numbers are of */
static int render_row(const struct routes_view_row *row, const struct routes_view_row *all,
                      const struct routes_view_row *then, const struct look *look, struct buf *out)
{
    char text[512], advice[ADVICE_MAX] = "", calls[PLAIN_MAX], rps[PLAIN_MAX], p50[PLAIN_MAX],
                    p99[PLAIN_MAX], w[PLAIN_MAX], c[PLAIN_MAX], wc[PLAIN_MAX], errors[PLAIN_MAX];
    const struct profile_sums *sums = &row->sums;
    const struct advice_case about = {.lane = row->lane,
                                      .sums = sums,
                                      .answers = row->answers,
                                      .errors = row->errors,
                                      .has_loop = look->has_loop};
    uint64_t waited_ns = profile_waited_ns(sums);
    uint64_t n = since(then ? then->answers : 0, all->answers);
    if (!look->has_moved)
        (void)advice_give(&about, advice);
    (void)snprintf(
        text, sizeof text, "%-*.*s %-7s %6s %6s %6s %6s %6s %6s %5s %6s  %s", ROUTE_COLUMNS,
        ROUTE_COLUMNS, row->route, profile_lane_names[row->lane],
        plain_short(calls, all->sums.calls),
        plain_short(rps, look->interval_us > 0 ? n * CLOCK_US_PER_S / look->interval_us : 0),
        plain_us(p50, meter_quantile(row->latency, 500)),
        plain_us(p99, meter_quantile(row->latency, 990)), mean(w, waited_ns, sums->measured),
        mean(c, sums->cpu_ns, sums->measured), ratio(wc, (double)waited_ns, (double)sums->cpu_ns),
        plain_short(errors, all->errors), advice);
    return put_line(out, text, look->width);
}

int routes_view_render(const struct routes_view *now, const struct routes_view *before,
                       uint64_t interval_us, bool is_whole, unsigned width, struct buf *out)
{
    char head[160];
    struct look look = {interval_us, width, now->has_loop, false};
    (void)snprintf(head, sizeof head, "%-*s %-7s %6s %6s %6s %6s %6s %6s %5s %6s  %s",
                   ROUTE_COLUMNS, "ROUTE", "LANE", "CALLS", "REQ/S", "P50", "P99", "W", "C", "W/C",
                   "ERRORS", "ADVICE");
    int rc = put_line(out, head, width);
    for (size_t i = 0; rc == 0 && i < now->n_rows; i++) {
        const struct routes_view_row *all = &now->rows[i], *then = find(before, all);
        const struct routes_view_row row = is_whole || !then ? *all : recent(all, then);
        look.has_moved = has_moved(now, before, all, then);
        rc = render_row(&row, all, then, &look, out);
    }
    return rc;
}
