/* Last words. Process: master, when a seat is freed and when a worker is about to be killed.
 *
 * The part was written by a process that ran app code and may have died in the middle of a store,
 * or have scribbled over it. So every entry is copied to the stack first, lengths are cut to the
 * fields they belong to, and text ends where the field ends. */
#include "server/last_words.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "workers/loader.h"

/* A request as the master believes it. */
struct request {
    struct request_entry entry;     /* a copy: method ends, target_len is within target */
    char peer[SCOREBOARD_PEER_MAX]; /* "" for none */
    struct str trace;               /* in entry; empty for none, or for what is none */
    const char *phase;
    uint64_t elapsed_us;
    int route; /* -1: none matched */
};

/* The parts of it that a peer made, quoted for the log. */
struct quoted {
    char method[LOG_QUOTE_MAX + 8];
    char target[LOG_QUOTE_MAX + 8];
    char peer[LOG_QUOTE_MAX + 8];
    char trace[SCOREBOARD_TRACE_MAX + 16]; /* a pair with a blank in front, or "" */
};

static bool read_entry(const struct request_entry *shared, uint64_t now_us, struct request *out)
{
    struct request_entry *entry = &out->entry;
    if (!scoreboard_read_entry(shared, entry))
        return false;
    scoreboard_peer(entry, out->peer);
    out->trace = str_make(entry->trace, entry->trace_len);
    out->phase = scoreboard_phase(entry);
    bool is_past = entry->started_us != 0 && entry->started_us <= now_us;
    out->elapsed_us = is_past ? now_us - entry->started_us : 0;
    out->route = entry->route == UINT16_MAX ? -1 : entry->route;
    return true;
}

static void quote(const struct request *request, struct quoted *out)
{
    const struct request_entry *entry = &request->entry;
    (void)log_quote(out->method, entry->method, strlen(entry->method));
    (void)log_quote(out->target, entry->target, entry->target_len);
    (void)log_quote(out->peer, request->peer, strlen(request->peer));
    (void)snprintf(out->trace, sizeof out->trace, "%s%.*s", request->trace.len > 0 ? " trace=" : "",
                   STR_ARG(request->trace));
}

static void write_access_line(const struct last_words_about *about, const struct request *request)
{
    char line[PIPE_BUF];
    struct loader_lost lost = {
        .peer = str_of(request->peer),
        .method = str_of(request->entry.method),
        .target = str_make(request->entry.target, request->entry.target_len),
        .trace_id = request->trace,
        .note = str_of(about->note ? about->note : "worker died"),
        .elapsed_us = request->elapsed_us,
        .wall_us = (int64_t)clock_wall_us(),
        .pid = about->pid,
    };
    size_t n = loader_render_lost(about->access, &lost, line, sizeof line);
    (void)log_write(about->access_fd, line, n); /* a full pipe loses it, as it loses others */
}

/* ` route="GET /:name"`, by the names that the worker gave its statistics; "" for none. */
static void print_route(const struct scoreboard *board, uint32_t seat, int route,
                        char out[LOG_QUOTE_MAX + 16])
{
    struct scoreboard_part part = scoreboard_peek(board, seat);
    char quoted[LOG_QUOTE_MAX + 8];
    out[0] = '\0';
    if (route < 0 || (uint32_t)route >= board->n_routes)
        return;
    const char *name = part.routes[route].name;
    (void)snprintf(out, LOG_QUOTE_MAX + 16, " route=%s",
                   log_quote(quoted, name, strnlen(name, sizeof part.routes[route].name)));
}

static void tell(const struct last_words_about *about, const struct request *request)
{
    struct quoted quoted;
    char route[LOG_QUOTE_MAX + 16];
    quote(request, &quoted);
    print_route(about->board, about->seat, request->route, route);
    log_warn("request lost",
             "slot=%d pid=%d method=%s target=%s peer=%s phase=%s elapsed_ms=%" PRIu64 "%s%s",
             about->slot, (int)about->pid, quoted.method, quoted.target, quoted.peer,
             request->phase, request->elapsed_us / CLOCK_US_PER_MS, route, quoted.trace);
    if (about->access_fd >= 0 && about->access)
        write_access_line(about, request);
}

static void write_batch(const struct last_words_about *about, const struct scoreboard_part *part)
{
    uint32_t len = atomic_load_explicit(&part->head->batch_len, memory_order_acquire);
    if (about->access_fd < 0 || len == 0)
        return;
    if (len > SCOREBOARD_BATCH_BYTES)
        len = SCOREBOARD_BATCH_BYTES;
    /* A line that was being written when it died has no end yet: it is not one. */
    const char *end = memrchr(part->batch, '\n', len);
    if (end)
        (void)log_write(about->access_fd, part->batch, (size_t)(end - part->batch) + 1);
}

/* A request that goes on after its handler has an entry among those in flight, and while the app's
 * code runs for it again (a producer, a deferred answer) it is the current one as well. */
static bool is_same(const struct request *a, const struct request *b)
{
    return a->entry.started_us == b->entry.started_us && str_is_equal(a->trace, b->trace) &&
           a->entry.target_len == b->entry.target_len &&
           memcmp(a->entry.target, b->entry.target, a->entry.target_len) == 0;
}

static uint32_t find_inflight(const struct last_words_about *about, uint32_t from)
{
    return scoreboard_find_inflight(about->board, about->board_fd, about->seat, from);
}

uint32_t last_words_write(const struct last_words_about *about)
{
    struct scoreboard_part part = scoreboard_peek(about->board, about->seat);
    write_batch(about, &part);
    uint32_t lost = 0;
    struct request current;
    struct request request;
    bool has_current = read_entry(&part.head->current, about->now_us, &current);
    if (has_current) {
        tell(about, &current);
        lost++;
    }
    uint32_t n = about->board->n_inflight;
    for (uint32_t i = find_inflight(about, 0); i < n; i = find_inflight(about, i + 1)) {
        if (!read_entry(&part.inflight[i], about->now_us, &request) ||
            (has_current && is_same(&current, &request)))
            continue;
        tell(about, &request);
        lost++;
    }
    return lost;
}

const char *last_words_print(const struct scoreboard *board, uint32_t seat,
                             const struct request_entry *entry, uint64_t now_us,
                             char out[LAST_WORDS_REQUEST_BYTES])
{
    struct request request;
    out[0] = '\0';
    if (read_entry(entry, now_us, &request)) {
        struct quoted quoted;
        char route[LOG_QUOTE_MAX + 16];
        quote(&request, &quoted);
        print_route(board, seat, request.route, route);
        (void)snprintf(out, LAST_WORDS_REQUEST_BYTES,
                       "%s method=%s target=%s elapsed_ms=%" PRIu64 "%s", route, quoted.method,
                       quoted.target, request.elapsed_us / CLOCK_US_PER_MS, quoted.trace);
    }
    return out;
}

const char *last_words_request(const struct scoreboard *board, uint32_t seat, uint64_t now_us,
                               char out[LAST_WORDS_REQUEST_BYTES])
{
    const struct seat_head *head = scoreboard_peek(board, seat).head;
    return last_words_print(board, seat, &head->current, now_us, out);
}

const char *last_words_target(const struct scoreboard *board, uint32_t seat, uint64_t now_us,
                              char out[LAST_WORDS_REQUEST_BYTES])
{
    struct request request;
    out[0] = '\0';
    if (read_entry(&scoreboard_peek(board, seat).head->current, now_us, &request)) {
        struct quoted quoted;
        quote(&request, &quoted);
        (void)snprintf(out, LAST_WORDS_REQUEST_BYTES, " method=%s target=%s", quoted.method,
                       quoted.target);
    }
    return out;
}

const char *last_words_panic(const struct scoreboard *board, uint32_t seat,
                             char out[LAST_WORDS_BYTES])
{
    struct scoreboard_part part = scoreboard_peek(board, seat);
    memcpy(out, part.head->last_words, LAST_WORDS_BYTES);
    if (!memchr(out, '\0', LAST_WORDS_BYTES)) /* no assertion writes that: a handler has */
        out[0] = '\0';
    return out;
}
