/* Last words. Process: master, when a seat is freed and when a worker is about to be killed.
 *
 * The part was written by a process that ran app code and may have died in the middle of a store,
 * or have scribbled over it. So every entry is copied to the stack first, lengths are cut to the
 * fields they belong to, and text ends where the field ends. */
#include "server/last_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

/* A request as the master believes it. */
struct request {
    char method[LOG_QUOTE_MAX + 8]; /* quoted */
    char target[LOG_QUOTE_MAX + 8];
    char peer[LOG_QUOTE_MAX + 8];
    const char *phase;
    uint64_t elapsed_ms;
    uint64_t trace[2];
    int route; /* -1: none matched */
};

static bool read_entry(const struct request_entry *shared, uint64_t now_us, struct request *out)
{
    uint32_t phase = atomic_load_explicit(&shared->phase, memory_order_acquire);
    if (phase == ENTRY_FREE)
        return false;
    struct request_entry copy;
    memcpy(&copy, shared, sizeof copy);
    size_t target_len = copy.target_len;
    if (target_len > sizeof copy.target)
        target_len = sizeof copy.target;
    (void)log_quote(out->method, copy.method, strnlen(copy.method, sizeof copy.method));
    (void)log_quote(out->target, copy.target, target_len);
    char peer[SCOREBOARD_PEER_MAX];
    scoreboard_peer(&copy, peer);
    (void)log_quote(out->peer, peer, strlen(peer));
    out->phase = phase < ENTRY_PHASES ? scoreboard_phase_names[phase] : "?";
    bool is_past = copy.started_us != 0 && copy.started_us <= now_us;
    out->elapsed_ms = is_past ? (now_us - copy.started_us) / CLOCK_US_PER_MS : 0;
    memcpy(out->trace, copy.trace, sizeof out->trace);
    out->route = copy.route == UINT16_MAX ? -1 : copy.route;
    return true;
}

static void print_trace(const struct request *request, char out[48])
{
    out[0] = '\0';
    if (request->trace[0] != 0 || request->trace[1] != 0)
        (void)snprintf(out, 48, " trace=%016" PRIx64 "%016" PRIx64, request->trace[0],
                       request->trace[1]);
}

/* A quoted text without its quotes, to be put between others. */
static struct bare {
    int len;
    const char *p;
} bare(const char *quoted)
{
    size_t len = strlen(quoted);
    return len < 2 ? (struct bare){0, ""} : (struct bare){(int)len - 2, quoted + 1};
}

/* Gunicorn's %(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s", as far as it is known. */
static void write_access_line(int fd, const struct request *request)
{
    char when[40];
    time_t now = (time_t)(clock_wall_us() / CLOCK_US_PER_S);
    struct tm tm;
    if (!localtime_r(&now, &tm) || strftime(when, sizeof when, "%d/%b/%Y:%H:%M:%S %z", &tm) == 0)
        when[0] = '\0';
    struct bare peer = bare(request->peer);
    struct bare method = bare(request->method);
    struct bare target = bare(request->target);
    char line[3 * LOG_QUOTE_MAX];
    int n = snprintf(line, sizeof line, "%.*s - - [%s] \"%.*s %.*s\" - - \"-\" \"-\"\n",
                     peer.len ? peer.len : 1, peer.len ? peer.p : "-", when, method.len, method.p,
                     target.len, target.p);
    if (n > 0 && (size_t)n < sizeof line)
        (void)log_write(fd, line, (size_t)n); /* a full pipe loses it, as it loses others */
}

static void tell(const struct last_words_about *about, const struct request *request)
{
    char trace[48];
    print_trace(request, trace);
    log_warn("request lost",
             "slot=%d pid=%d method=%s target=%s peer=%s phase=%s elapsed_ms=%" PRIu64
             " route=%d%s",
             about->slot, (int)about->pid, request->method, request->target, request->peer,
             request->phase, request->elapsed_ms, request->route, trace);
    if (about->access_fd >= 0)
        write_access_line(about->access_fd, request);
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

uint32_t last_words_write(const struct last_words_about *about)
{
    struct scoreboard_part part = scoreboard_peek(about->board, about->seat);
    write_batch(about, &part);
    uint32_t lost = 0;
    struct request request;
    if (read_entry(&part.head->current, about->now_us, &request)) {
        tell(about, &request);
        lost++;
    }
    for (uint32_t i = 0; i < about->board->n_inflight; i++) {
        if (!read_entry(&part.inflight[i], about->now_us, &request))
            continue;
        tell(about, &request);
        lost++;
    }
    return lost;
}

const char *last_words_request(const struct scoreboard *board, uint32_t seat, uint64_t now_us,
                               char out[LAST_WORDS_REQUEST_BYTES])
{
    struct scoreboard_part part = scoreboard_peek(board, seat);
    struct request request;
    out[0] = '\0';
    if (read_entry(&part.head->current, now_us, &request)) {
        char trace[48];
        print_trace(&request, trace);
        (void)snprintf(out, LAST_WORDS_REQUEST_BYTES,
                       " method=%s target=%s elapsed_ms=%" PRIu64 " route=%d%s", request.method,
                       request.target, request.elapsed_ms, request.route, trace);
    }
    return out;
}

const char *last_words_panic(const struct scoreboard *board, uint32_t seat,
                             char out[LAST_WORDS_BYTES])
{
    struct scoreboard_part part = scoreboard_peek(board, seat);
    memcpy(out, part.head->last_words, LAST_WORDS_BYTES);
    out[LAST_WORDS_BYTES - 1] = '\0';
    return out;
}
