/* Rendering for `remuda top`. Columns and segments have an order of importance: a narrow window
 * loses the least important first, and the request of each worker takes what room is left. */
#include "server/top_view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/plain.h"

#define CELL_MAX (4 * TOP_VIEW_COLUMNS_MAX) /* bytes of a line */
#define HEAD_LINES                                                                                 \
    4 /* title, two of numbers, table's head; pools and breakers have one more each */
#define REQUEST_MIN 12 /* columns below which a request says nothing */
#define POOL_COLUMNS 8 /* a longer name is cut */

struct line {
    char text[CELL_MAX + 1];
    size_t bytes;
    size_t columns;
    size_t width;
};

static struct line new_line(unsigned width)
{
    return (struct line){.width = width};
}

/* Appends what has room, whole characters only. */
static void put(struct line *line, const char *text)
{
    for (const char *p = text; *p;) {
        size_t n = str_utf8_length(p, strlen(p));
        n = n > 0 ? n : 1;
        if (line->columns == line->width || line->bytes + n > CELL_MAX)
            return;
        memcpy(line->text + line->bytes, p, n);
        line->bytes += n;
        line->columns++;
        p += n;
    }
}

static void pad(struct line *line, size_t columns)
{
    while (line->columns < columns && line->columns < line->width)
        put(line, " ");
}

/* A segment of a line of numbers: whole or not at all. */
static void put_segment(struct line *line, const char *text)
{
    size_t gap = line->columns > 0 ? 2 : 0;
    if (text[0] == '\0' || line->columns + gap + plain_columns(text) > line->width)
        return;
    pad(line, line->columns + gap);
    put(line, text);
}

static int end_line(struct top_view_page *page, const struct line *line, enum top_view_style style)
{
    if (page->n == TOP_VIEW_ROWS_MAX)
        return 0;
    size_t bytes = line->bytes;
    while (bytes > 0 && line->text[bytes - 1] == ' ')
        bytes--;
    if (buf_append(&page->text, line->text, bytes) < 0 || buf_append(&page->text, "\n", 1) < 0)
        return -ENOMEM;
    page->styles[page->n++] = style;
    return 0;
}

/* ---- The lines above the table */

static int render_title(const struct top_view *m, unsigned width, struct top_view_page *page)
{
    struct line line = new_line(width);
    char text[300], up[PLAIN_MAX];
    const struct view *v = m->view;
    size_t clock = plain_columns(m->clock);
    /* The clock has its place at the right end, when the rest leaves one. */
    bool has_clock = width >= 30 + clock;
    if (has_clock)
        line.width -= clock + 1;
    (void)snprintf(text, sizeof text, "remuda%s%s", v ? " " : "", v ? v->version : "");
    put_segment(&line, text);
    if (v) {
        put_segment(&line, v->state);
        (void)snprintf(text, sizeof text, "gen %" PRIu64, v->generation);
        put_segment(&line, text);
        (void)snprintf(text, sizeof text, "up %s", plain_age(up, v->uptime_ms));
        put_segment(&line, text);
        (void)snprintf(text, sizeof text, "pid %" PRIu64, v->pid);
        put_segment(&line, text);
        if (v->admin[0]) {
            (void)snprintf(text, sizeof text, v->admin_pid > 0 ? "admin %" PRIu64 : "admin down",
                           v->admin_pid);
            put_segment(&line, text);
        }
    }
    put_segment(&line, m->name);
    line.width = width;
    if (has_clock) {
        pad(&line, width - clock);
        put(&line, m->clock);
    }
    return end_line(page, &line, TOP_VIEW_TITLE);
}

static int render_traffic(const struct view *v, unsigned width, struct top_view_page *page)
{
    struct line line = new_line(width);
    char text[64], a[PLAIN_MAX], b[PLAIN_MAX];
    uint64_t latency[METER_BUCKETS];
    view_sum_latency(v, latency);
    (void)snprintf(text, sizeof text, "%s req/s", plain_short(a, v->rps));
    put_segment(&line, text);
    (void)snprintf(text, sizeof text, "%s 5xx/s", plain_short(a, v->errors_per_s));
    put_segment(&line, text);
    (void)snprintf(text, sizeof text, "p50 %s p99 %s", plain_us(a, meter_quantile(latency, 500)),
                   plain_us(b, meter_quantile(latency, 990)));
    put_segment(&line, text);
    (void)snprintf(text, sizeof text, "%s conn", plain_short(a, v->connections));
    put_segment(&line, text);
    (void)snprintf(text, sizeof text, "%s requests", plain_count(a, v->requests));
    put_segment(&line, text);
    (void)snprintf(text, sizeof text, "%s 5xx", plain_count(a, v->errors));
    put_segment(&line, text);
    return end_line(page, &line, TOP_VIEW_PLAIN);
}

static int render_means(const struct view *v, unsigned width, struct top_view_page *page)
{
    struct line line = new_line(width);
    char text[320], a[PLAIN_MAX];
    uint64_t cpu = 0, rss = 0, threads = 0, queued = 0;
    for (size_t i = 0; i < v->n_workers; i++) {
        cpu += v->workers[i].cpu_percent;
        rss += v->workers[i].rss_bytes;
        threads += v->workers[i].io_threads;
        queued += v->workers[i].io_queued;
    }
    (void)snprintf(text, sizeof text, "%" PRIu64 "/%" PRIu64 " workers", v->workers_ready,
                   v->workers_wanted);
    put_segment(&line, text);
    if (v->workers_hung > 0) {
        (void)snprintf(text, sizeof text, "%" PRIu64 " hung", v->workers_hung);
        put_segment(&line, text);
    }
    (void)snprintf(text, sizeof text, "cpu %" PRIu64 "%%", cpu);
    put_segment(&line, text);
    (void)snprintf(text, sizeof text, "mem %s", plain_bytes(a, rss));
    put_segment(&line, text);
    if (threads > 0) {
        (void)snprintf(text, sizeof text, "io %" PRIu64 " queued, %" PRIu64 " thread%s", queued,
                       threads, threads == 1 ? "" : "s");
        put_segment(&line, text);
    }
    if (v->has_reload) {
        (void)snprintf(text, sizeof text, "reload %s %s ago", v->reload_outcome,
                       plain_age(a, v->reload_age_ms));
        put_segment(&line, text);
    }
    return end_line(page, &line,
                    v->workers_ready < v->workers_wanted ? TOP_VIEW_WARN : TOP_VIEW_PLAIN);
}

static void put_pool(struct line *line, const struct view_pool *pool, const char *before)
{
    char text[160];
    (void)snprintf(text, sizeof text, "%s%s %" PRIu64 "/%" PRIu64 ", %" PRIu64 " queued", before,
                   pool->name, pool->workers_ready, pool->workers_wanted, pool->queued);
    put_segment(line, text);
}

static bool is_short(const struct view_pool *pool)
{
    return pool->queued > 0 || pool->workers_ready < pool->workers_wanted;
}

/* Those that lack something first; what has no room is left out. */
static int render_pools(const struct view *v, unsigned width, struct top_view_page *page)
{
    struct line line = new_line(width);
    bool is_warning = false;
    const char *before = v->n_pools == 1 ? "pool " : "pools ";
    for (int wanted = 1; wanted >= 0; wanted--)
        for (size_t i = 0; i < v->n_pools; i++) {
            const struct view_pool *pool = &v->pools[i];
            if (is_short(pool) != wanted)
                continue;
            is_warning |= pool->workers_ready < pool->workers_wanted;
            put_pool(&line, pool, before);
            before = "";
        }
    return end_line(page, &line, is_warning ? TOP_VIEW_WARN : TOP_VIEW_PLAIN);
}

/* Those that let nobody through first; what has no room is left out. */
static int render_breakers(const struct view *v, unsigned width, struct top_view_page *page)
{
    static const char *const states[] = {"open", "probing", "closed"};
    struct line line = new_line(width);
    char text[200], a[PLAIN_MAX];
    bool is_any_open = false;
    put_segment(&line, v->n_breakers == 1 ? "breaker" : "breakers");
    for (size_t k = 0; k < sizeof states / sizeof states[0]; k++)
        for (size_t i = 0; i < v->n_breakers; i++) {
            const struct view_breaker *breaker = &v->breakers[i];
            if (strcmp(breaker->state, states[k]) != 0)
                continue;
            is_any_open |= k < 2;
            if (k == 0)
                (void)snprintf(text, sizeof text, "%s open %s", breaker->route,
                               plain_age(a, breaker->open_ms));
            else if (k == 1)
                (void)snprintf(text, sizeof text, "%s probing", breaker->route);
            else
                (void)snprintf(text, sizeof text, "%s %" PRIu64 " failed", breaker->route,
                               breaker->failures);
            put_segment(&line, text);
        }
    return end_line(page, &line, is_any_open ? TOP_VIEW_WARN : TOP_VIEW_PLAIN);
}

/* ---- The table */

enum column {
    COLUMN_SLOT,
    COLUMN_POOL,
    COLUMN_PID,
    COLUMN_GEN,
    COLUMN_STATE,
    COLUMN_CONN,
    COLUMN_WAIT,
    COLUMN_RPS,
    COLUMN_P50,
    COLUMN_P99,
    COLUMN_LAG,
    COLUMN_CPU,
    COLUMN_MEM,
    COLUMN_IO,
    COLUMN_REQUESTS,
    COLUMN_UP,
    COLUMNS
};

static const struct {
    const char *title;
    unsigned width;
    bool is_left;
} columns[COLUMNS] = {
    [COLUMN_SLOT] = {"SLOT", 4, false},
    [COLUMN_POOL] = {"POOL", POOL_COLUMNS, true},
    [COLUMN_PID] = {"PID", 7, false},
    [COLUMN_GEN] = {"GEN", 4, false},
    [COLUMN_STATE] = {"STATE", 8, true},
    [COLUMN_CONN] = {"CONN", 5, false},
    [COLUMN_WAIT] = {"WAIT", 5, false},
    [COLUMN_RPS] = {"REQ/S", 6, false},
    [COLUMN_P50] = {"P50", 6, false},
    [COLUMN_P99] = {"P99", 6, false},
    [COLUMN_LAG] = {"LAG", 6, false},
    [COLUMN_CPU] = {"CPU", 4, false},
    [COLUMN_MEM] = {"MEM", 5, false},
    [COLUMN_IO] = {"IO", 7, false},
    [COLUMN_REQUESTS] = {"REQUESTS", 11, false},
    [COLUMN_UP] = {"UP", 6, false},
};

/* Most important first; shown they are in the order of the enum. */
static const enum column importance[COLUMNS] = {
    COLUMN_SLOT, COLUMN_STATE,    COLUMN_POOL, COLUMN_RPS, COLUMN_CPU, COLUMN_P99,
    COLUMN_LAG,  COLUMN_MEM,      COLUMN_CONN, COLUMN_PID, COLUMN_IO,  COLUMN_P50,
    COLUMN_WAIT, COLUMN_REQUESTS, COLUMN_GEN,  COLUMN_UP};

static bool has_many_generations(const struct view *v)
{
    for (size_t i = 1; i < v->n_workers; i++)
        if (v->workers[i].generation != v->workers[0].generation)
            return true;
    return false;
}

static bool has_io(const struct view *v)
{
    for (size_t i = 0; i < v->n_workers; i++)
        if (v->workers[i].io_threads > 0)
            return true;
    return false;
}

static void choose_columns(const struct view *v, unsigned width, bool out_chosen[COLUMNS])
{
    unsigned reserve = width >= 60 ? width / 4 : width >= 40 ? REQUEST_MIN + 2 : 0;
    unsigned left = width - reserve;
    memset(out_chosen, 0, COLUMNS * sizeof out_chosen[0]);
    if (has_many_generations(v)) { /* a reload is what one is looking at just then */
        out_chosen[COLUMN_GEN] = true;
        left -= columns[COLUMN_GEN].width + 1;
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        enum column c = importance[i];
        if (out_chosen[c] || (c == COLUMN_IO && !has_io(v)) || (c == COLUMN_POOL && v->n_pools < 2))
            continue;
        if (columns[c].width + 1 > left)
            return;
        out_chosen[c] = true;
        left -= columns[c].width + 1;
    }
}

static void put_cell(struct line *line, enum column c, const char *text)
{
    size_t used = plain_columns(text);
    size_t end = line->columns + columns[c].width;
    if (!columns[c].is_left && used < columns[c].width)
        pad(line, end - used);
    put(line, text);
    pad(line, end + 1);
}

/* Whoever answers thousands of short requests is idle at most moments that one looks at. */
static const char *word_for(const struct view_worker *w)
{
    return w->rps > 0 && strcmp(w->state, "idle") == 0 ? "busy" : w->state;
}

static void print_cell(char out[PLAIN_MAX], enum column c, const struct view_worker *w)
{
    switch (c) {
    case COLUMN_SLOT:
        (void)snprintf(out, PLAIN_MAX, "%s%" PRIu64, w->pool[0] ? "c" : "", w->slot);
        break;
    case COLUMN_POOL:
        (void)snprintf(out, PLAIN_MAX, "%.*s", POOL_COLUMNS, w->pool);
        break;
    case COLUMN_PID:
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64, w->pid);
        break;
    case COLUMN_GEN:
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64, w->generation);
        break;
    case COLUMN_STATE:
        (void)snprintf(out, PLAIN_MAX, "%s", word_for(w));
        break;
    case COLUMN_CONN:
        (void)plain_short(out, w->connections);
        break;
    case COLUMN_WAIT:
        (void)plain_short(out, w->inflight);
        break;
    case COLUMN_RPS:
        (void)plain_short(out, w->rps);
        break;
    case COLUMN_P50:
        (void)plain_us(out, meter_quantile(w->recent, 500));
        break;
    case COLUMN_P99:
        (void)plain_us(out, meter_quantile(w->recent, 990));
        break;
    case COLUMN_LAG:
        if (w->has_loop)
            (void)plain_us(out, view_lag_us(w));
        else
            (void)snprintf(out, PLAIN_MAX, "-");
        break;
    case COLUMN_CPU:
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 "%%", w->cpu_percent);
        break;
    case COLUMN_MEM:
        (void)plain_bytes(out, w->rss_bytes);
        break;
    case COLUMN_IO:
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 "/%" PRIu64, w->io_queued, w->io_threads);
        break;
    case COLUMN_REQUESTS:
        (void)plain_count(out, w->requests);
        break;
    case COLUMN_UP:
        (void)plain_age(out, w->uptime_ms);
        break;
    case COLUMNS:
        break;
    }
}

/* What it is at, and for how long, else what held its loop up a moment ago; a name that is too long
 * is cut, never the time. */
static void put_request(struct line *line, const struct view_worker *w, bool is_utf8)
{
    char elapsed[PLAIN_MAX];
    bool is_call = !w->has_request && w->call_us >= VIEW_LONG_CALL_US; /* that is over */
    const char *what = is_call ? w->call : w->request;
    if ((!w->has_request && !is_call) || line->columns + REQUEST_MIN > line->width)
        return;
    if (!is_call && w->elapsed_ms == 0)
        (void)snprintf(elapsed, sizeof elapsed, "<1ms");
    else
        (void)plain_us(elapsed, is_call ? w->call_us : w->elapsed_ms * 1000);
    size_t room = line->width - line->columns - plain_columns(elapsed) - 1;
    size_t end = line->width;
    bool is_cut = plain_columns(what) > room;
    line->width = line->columns + room - is_cut;
    put(line, what);
    line->width = end;
    put(line, is_cut ? is_utf8 ? "\u2026" : "~" : "");
    put(line, " ");
    put(line, elapsed);
}

static enum top_view_style style_of(const struct view_worker *w)
{
    static const struct {
        const char *state;
        enum top_view_style style;
    } styles[] = {
        {"idle", TOP_VIEW_QUIET},    {"busy", TOP_VIEW_PLAIN}, {"booting", TOP_VIEW_WARN},
        {"draining", TOP_VIEW_WARN}, {"full", TOP_VIEW_WARN},  {"ending", TOP_VIEW_WARN},
        {"hung", TOP_VIEW_BAD},      {"killed", TOP_VIEW_BAD},
    };
    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++)
        if (strcmp(word_for(w), styles[i].state) == 0)
            return styles[i].style;
    return TOP_VIEW_PLAIN;
}

static int render_table(const struct top_view *m, unsigned width, size_t rows,
                        struct top_view_page *page)
{
    const struct view *v = m->view;
    bool chosen[COLUMNS];
    struct line line = new_line(width);
    choose_columns(v, width, chosen);
    for (enum column c = 0; c < COLUMNS; c++)
        if (chosen[c])
            put_cell(&line, c, columns[c].title);
    if (line.columns + REQUEST_MIN <= width)
        put(&line, "REQUEST");
    int rc = end_line(page, &line, TOP_VIEW_HEAD);
    for (size_t i = m->first; rc == 0 && i < v->n_workers && i < m->first + rows; i++) {
        const struct view_worker *w = &v->workers[i];
        line = new_line(width);
        for (enum column c = 0; c < COLUMNS; c++) {
            char cell[PLAIN_MAX];
            if (!chosen[c])
                continue;
            print_cell(cell, c, w);
            put_cell(&line, c, cell);
        }
        put_request(&line, w, m->is_utf8);
        rc = end_line(page, &line, style_of(w));
    }
    return rc;
}

/* ---- All of it */

static int render_text(const char *text, unsigned width, enum top_view_style style,
                       struct top_view_page *page)
{
    struct line line = new_line(width);
    put(&line, text);
    return end_line(page, &line, style);
}

static int render_help(unsigned width, size_t rows, struct top_view_page *page)
{
    static const char *const texts[] = {
        "r        reload: configuration and app anew",
        "+ -      one worker more, one fewer",
        "s        stop the server, after a question",
        "j k      scroll; also arrows, page up and down",
        "q        quit, the server goes on",
        "",
        "SLOT     c0: a compute worker, REQ/S are its tasks",
        "REQ/S    answers a second, in the last interval",
        "P50 P99  half of them, 99 of 100 took no longer",
        "LAG      what others had to wait for its loop in the",
        "         last second: longest turn, or late timer",
        "CPU      100% is one processor",
        "WAIT     requests that wait for something",
        "IO       waiting for a thread / threads",
        "GEN      generation: a reload makes the next one",
        "STATE    hung: no sign of life for over a second",
        "REQUEST  its handler runs, or the oldest waiting",
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof texts / sizeof texts[0] && i < rows; i++)
        rc = render_text(texts[i], width, TOP_VIEW_PLAIN, page);
    return rc;
}

static int render_keys(const struct top_view *m, unsigned width, size_t rows,
                       struct top_view_page *page)
{
    static const char *const keys[] = {"q quit", "r reload", "+ - workers", "s stop", "? help"};
    struct line line = new_line(width);
    char text[64];
    if (m->is_asking)
        return render_text("stop the server? y yes, n no", width, TOP_VIEW_WARN, page);
    if (m->view && m->view->n_workers > rows) {
        size_t last = m->first + rows < m->view->n_workers ? m->first + rows : m->view->n_workers;
        (void)snprintf(text, sizeof text, "%zu-%zu of %zu j k", m->first + 1, last,
                       m->view->n_workers);
        put_segment(&line, text);
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put_segment(&line, m->is_help ? (i == 0 ? "any key: back" : "") : keys[i]);
    return end_line(page, &line, TOP_VIEW_HEAD);
}

static bool has_message(const struct top_view *m)
{
    return m->message && m->message[0];
}

size_t top_view_rows(const struct top_view *m, unsigned height)
{
    size_t others = HEAD_LINES + 1U + has_message(m) + (m->view && m->view->n_breakers > 0) +
                    (m->view && m->view->n_pools > 0);
    return height > others + 1 ? height - others : 1;
}

static int fill_to(struct top_view_page *page, size_t n)
{
    const struct line empty = {0};
    int rc = 0;
    while (rc == 0 && page->n < n)
        rc = end_line(page, &empty, TOP_VIEW_PLAIN);
    return rc;
}

/* A window may be lower than the least that is shown: then the top of it is. */
static void cut_to(struct top_view_page *page, size_t n)
{
    while (page->n > n && page->text.len > 0) {
        page->text.len--;
        while (page->text.len > 0 && page->text.data[page->text.len - 1] != '\n')
            page->text.len--;
        page->n--;
    }
}

static int render_server(const struct top_view *m, unsigned width, size_t rows,
                         struct top_view_page *page)
{
    int rc = render_traffic(m->view, width, page);
    if (rc == 0)
        rc = render_means(m->view, width, page);
    if (rc == 0 && m->view->n_pools > 0)
        rc = render_pools(m->view, width, page);
    if (rc == 0 && m->view->n_breakers > 0)
        rc = render_breakers(m->view, width, page);
    return rc == 0 ? render_table(m, width, rows, page) : rc;
}

int top_view_render(const struct top_view *m, unsigned width, unsigned height,
                    struct top_view_page *page)
{
    bool is_plain = height == 0;
    if (width < TOP_VIEW_COLUMNS_MIN)
        width = TOP_VIEW_COLUMNS_MIN;
    if (width > TOP_VIEW_COLUMNS_MAX)
        width = TOP_VIEW_COLUMNS_MAX;
    if (height > TOP_VIEW_ROWS_MAX)
        height = TOP_VIEW_ROWS_MAX;
    size_t rows = is_plain ? TOP_VIEW_ROWS_MAX : top_view_rows(m, height);
    page->n = 0;
    page->text.len = 0;
    int rc = render_title(m, width, page);
    if (rc == 0 && m->is_help)
        rc = render_help(width, height > 2 ? height - 2U - has_message(m) : 0, page);
    else if (rc == 0 && m->view)
        rc = render_server(m, width, rows, page);
    /* At the bottom, so that the table keeps its place when it comes and goes. */
    size_t bottom = is_plain ? 0 : height - 1;
    if (bottom > 0 && has_message(m))
        bottom--;
    if (!is_plain) {
        cut_to(page, bottom);
        if (rc == 0)
            rc = fill_to(page, bottom);
    }
    if (rc == 0 && has_message(m) && (is_plain || height > 1))
        rc = render_text(m->message, width, m->is_message_bad ? TOP_VIEW_BAD : TOP_VIEW_WARN, page);
    return rc == 0 && !is_plain ? render_keys(m, width, rows, page) : rc;
}

void top_view_fini(struct top_view_page *page)
{
    buf_fini(&page->text);
    page->n = 0;
}
