/* One application that shows what remuda can do, endpoint by endpoint; README.md has a curl line
 * for each. Paths and bodies are fixed, since tests and benches build on them.
 *
 * Read it from the bottom: the RMD_APP line names everything the server calls, the route table says
 * which handler answers what and in which lane, and the handlers are above it in the same order. */
#define _DEFAULT_SOURCE /* nanosleep, open_memstream, MAP_ANONYMOUS, also under -std=c11 */

#include <remuda.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX (64LL * 1024 * 1024) /* most that /bytes gives */
#define WAIT_MAX_MS 300000LL           /* longest /sleep, /block and pause of /stream */
#define CHUNKS_MAX 1000000LL           /* most chunks of /stream and events of /events */

/* ---- helpers ------------------------------------------------------------------------------ */

/* Reads a number from the query; absent, it is fallback. A bad one is answered 400, which says what
 * is allowed. Returns false then: the caller only has to return. */
static bool take_number(rmd_request *req, rmd_response *res, const char *name, long long max,
                        long long fallback, long long *out_value)
{
    *out_value = fallback;
    int rc = rmd_query_int(req, name, 0, max, out_value);
    if (rc == 0 || rc == -ENOENT)
        return true;
    rmd_text(res, 400, "%s must be a whole number from 0 to %lld\n", name, max);
    return false;
}

static void wait_ms(long long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue; /* a signal came: sleep on for what is left */
}

/* A text that grows while it is written, with the stdio functions that everybody knows. */
struct text {
    FILE *out;
    char *data;
    size_t len;
};

/* Returns false when memory is refused: then the answer is 500 already. */
static bool open_text(struct text *text, rmd_response *res)
{
    text->data = NULL;
    text->out = open_memstream(&text->data, &text->len);
    if (!text->out)
        rmd_error(res, 500);
    return text->out != NULL;
}

/* Answers the text. It isn't copied: the server calls free() when it has been sent. */
static void send_text(struct text *text, rmd_response *res, const char *type)
{
    if (fclose(text->out) == 0) {
        rmd_send_ref(res, 200, type, text->data, text->len, free, text->data);
        return;
    }
    free(text->data);
    rmd_error(res, 500);
}

static void write_json_string(rmd_request *req, FILE *out, const char *data, size_t len)
{
    const char *quoted = rmd_json_quote(req, data, len);
    fputs(quoted ? quoted : "null", out);
}

static void write_json_member(rmd_request *req, FILE *out, const char *key, const char *value)
{
    fprintf(out, ",\"%s\":", key);
    write_json_string(req, out, value, strlen(value));
}

/* ---- answers from memory ------------------------------------------------------------------ */

static void root(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_send(res, 200, "text/plain; charset=utf-8", "hello\n", 6);
}

static void json(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_json(res, 200, "{\"message\":\"hello\"}");
}

static void hello(rmd_request *req, rmd_response *res)
{
    const char *greeting = rmd_config_string("greeting", "hello"); /* app_config: in remuda.yaml */
    rmd_text(res, 200, "%s, %s\n", greeting, rmd_param(req, "name"));
}

/* The body lives as long as the request, so it can go out from where it came in. */
static void echo(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    rmd_send_ref(res, 200, rmd_header(req, "Content-Type"), body.data, body.len, NULL, NULL);
}

/* BYTES_MAX zeros, made in init. Pages that are only read cost no memory, and all workers share
 * the mapping; nothing is copied on the way to the socket either. */
static const char *zeros;

static void bytes(rmd_request *req, rmd_response *res)
{
    long long n;
    if (take_number(req, res, "n", BYTES_MAX, 1024, &n))
        rmd_send_ref(res, 200, "application/octet-stream", zeros, (size_t)n, NULL, NULL);
}

/* ---- what the request looked like --------------------------------------------------------- */

static void headers(rmd_request *req, rmd_response *res)
{
    struct text text;
    if (!open_text(&text, res))
        return;
    rmd_slice name, value;
    for (size_t i = 0; rmd_header_at(req, i, &name, &value) == 0; i++) {
        fwrite(name.data, 1, name.len, text.out);
        fputs(": ", text.out);
        fwrite(value.data, 1, value.len, text.out);
        fputc('\n', text.out);
    }
    send_text(&text, res, "text/plain; charset=utf-8");
}

static bool came_before(const rmd_request *req, size_t at, rmd_slice name)
{
    rmd_slice other, value;
    for (size_t i = 0; i < at && rmd_header_at(req, i, &other, &value) == 0; i++)
        if (other.len == name.len && strncasecmp(other.data, name.data, name.len) == 0)
            return true;
    return false;
}

/* One member per name, as JSON wants it: fields of the same name joined, as rmd_header() does. */
static void write_json_headers(rmd_request *req, FILE *out)
{
    const char *comma = "";
    rmd_slice name, value;
    for (size_t i = 0; rmd_header_at(req, i, &name, &value) == 0; i++) {
        if (came_before(req, i, name))
            continue;
        const char *key = rmd_format(req, "%.*s", (int)name.len, name.data);
        const char *joined = key ? rmd_header(req, key) : NULL;
        if (!joined)
            continue;
        fputs(comma, out);
        write_json_string(req, out, name.data, name.len);
        fputc(':', out);
        write_json_string(req, out, joined, strlen(joined));
        comma = ",";
    }
}

static void info(rmd_request *req, rmd_response *res)
{
    struct text text;
    if (!open_text(&text, res))
        return;
    fprintf(text.out, "{\"pid\":%d,\"role\":\"%s\",\"slot\":%d,\"generation\":%d", (int)getpid(),
            rmd_role(), rmd_slot(), rmd_generation());
    write_json_member(req, text.out, "trace_id", rmd_trace_id(req));
    write_json_member(req, text.out, "peer", rmd_peer(req));
    write_json_member(req, text.out, "scheme", rmd_scheme(req));
    write_json_member(req, text.out, "host", rmd_host(req));
    write_json_member(req, text.out, "method", rmd_method(req));
    write_json_member(req, text.out, "path", rmd_path(req));
    write_json_member(req, text.out, "query", rmd_query_string(req));
    fputs(",\"headers\":{", text.out);
    write_json_headers(req, text.out);
    fputs("}}\n", text.out);
    send_text(&text, res, "application/json");
}

/* ---- bodies ------------------------------------------------------------------------------- */

/* A multipart/form-data form: what its parts are. A large upload lies in a spool file by now, of
 * which the parts are views. */
static void upload(rmd_request *req, rmd_response *res)
{
    int n = rmd_part_count(req);
    if (n < 0) {
        rmd_text(res, 400, "a multipart/form-data body is needed: %s\n", strerror(-n));
        return;
    }
    struct text text;
    if (!open_text(&text, res))
        return;
    fputs("[", text.out);
    for (int i = 0; i < n; i++) {
        const rmd_part *part = rmd_part_at(req, (size_t)i);
        fprintf(text.out, "%s{\"bytes\":%zu", i > 0 ? "," : "", part->data.len);
        write_json_member(req, text.out, "name", part->name);
        if (part->filename)
            write_json_member(req, text.out, "filename", part->filename);
        write_json_member(req, text.out, "type", part->type ? part->type : "text/plain");
        fputs("}", text.out);
    }
    fputs("]\n", text.out);
    send_text(&text, res, "application/json");
}

struct count {
    unsigned long long bytes, pieces;
};

/* Called with each piece of the body as it comes, and with an empty one at its end. */
static void count_piece(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    (void)req;
    struct count *count = state;
    count->bytes += piece.len;
    count->pieces += piece.len > 0;
    if (piece.len == 0)
        rmd_text(res, 200, "counted %llu\n", count->bytes);
}

/* Its row says stream_body: nothing of the body is kept, whatever its size. */
static void count(rmd_request *req, rmd_response *res)
{
    struct count *state = rmd_alloc(req, sizeof(*state));
    if (!state) {
        rmd_error(res, 503);
        return;
    }
    *state = (struct count){0};
    (void)rmd_receive(req, count_piece, state, NULL);
}

/* ---- what the client would like ----------------------------------------------------------- */

/* One text in two languages, with a validator, and in parts for whoever asks for parts. */
static void note(rmd_request *req, rmd_response *res)
{
    static const char *const languages[] = {"en", "de", NULL};
    static const char *const etags[] = {"\"note-en\"", "\"note-de\""};
    static const char *const texts[] = {"A crew keeps its horses ready.\n",
                                        "Eine Mannschaft hat ihre Pferde bereit.\n"};
    int i = rmd_accept_language(req, languages);
    i = i < 0 ? 0 : i;
    (void)rmd_set_header(res, "Vary", "Accept-Language");
    if (rmd_precondition(req, res, etags[i], -1))
        return; /* 304 or 412 */
    (void)rmd_set_header(res, "Content-Language", languages[i]);
    rmd_text(res, 200, "%s", texts[i]);
    rmd_allow_ranges(req, res);
}

/* ---- answers that take their time --------------------------------------------------------- */

struct series {
    long long i, n; /* next and count, from 1 */
    int pause_ms;
};

/* In the request's arena, so nobody has to free it; NULL (and 500) when memory is refused. */
static struct series *new_series(rmd_request *req, rmd_response *res, long long n,
                                 long long pause_ms)
{
    struct series *series = rmd_alloc(req, sizeof(*series));
    if (series)
        *series = (struct series){.i = 1, .n = n, .pause_ms = (int)pause_ms};
    else
        rmd_error(res, 500);
    return series;
}

/* The server calls it again when the client has taken the last chunk and the pause is over. */
static int next_chunk(rmd_writer *out, void *state)
{
    struct series *series = state;
    if (series->i > series->n)
        return RMD_END;
    if (rmd_write_format(out, "chunk %lld of %lld\n", series->i, series->n) != 0)
        return RMD_ABORT;
    return series->i++ == series->n ? RMD_END : series->pause_ms;
}

static void stream(rmd_request *req, rmd_response *res)
{
    long long n, ms;
    if (!take_number(req, res, "n", CHUNKS_MAX, 10, &n) ||
        !take_number(req, res, "ms", WAIT_MAX_MS, 100, &ms))
        return;
    struct series *series = new_series(req, res, n, ms);
    if (series)
        rmd_stream(res, 200, "text/plain; charset=utf-8", next_chunk, series, NULL);
}

static int next_event(rmd_writer *out, void *state)
{
    struct series *series = state;
    if (series->i > series->n)
        return RMD_END;
    char data[32];
    snprintf(data, sizeof(data), "%lld", series->i);
    if (rmd_write_event(out, "tick", data) != 0)
        return RMD_ABORT;
    return series->i++ == series->n ? RMD_END : series->pause_ms;
}

/* One event a second until n have been sent: by default, until the client goes away. */
static void events(rmd_request *req, rmd_response *res)
{
    long long n;
    if (!take_number(req, res, "n", CHUNKS_MAX, CHUNKS_MAX, &n))
        return;
    struct series *series = new_series(req, res, n, 1000);
    if (!series)
        return;
    (void)rmd_set_header(res, "Cache-Control", "no-store"); /* a cache may still work without it */
    rmd_stream(res, 200, "text/event-stream", next_event, series, NULL);
}

struct errand {
    rmd_deferred *ticket;
    long long ms;
};

/* On the worker's own thread again. Without req and res: nobody waits for it any more. */
static void come_back(rmd_request *req, rmd_response *res, void *arg)
{
    struct errand *errand = arg;
    if (req)
        rmd_text(res, 200, "later %lld\n", errand->ms);
    free(errand);
}

static void *run_errand(void *arg)
{
    struct errand *errand = arg;
    wait_ms(errand->ms); /* a query to a database, say */
    rmd_complete(errand->ticket, come_back, errand);
    return NULL;
}

/* Puts the answer off: the worker serves others while a thread has the answer to get. */
static void later(rmd_request *req, rmd_response *res)
{
    long long ms;
    if (!take_number(req, res, "ms", WAIT_MAX_MS, 100, &ms))
        return;
    struct errand *errand = malloc(sizeof(*errand));
    pthread_t thread;
    if (errand)
        *errand = (struct errand){rmd_defer(req), ms};
    if (!errand || !errand->ticket) {
        free(errand);
        rmd_error(res, 503);
        return;
    }
    if (pthread_create(&thread, NULL, run_errand, errand) == 0)
        pthread_detach(thread);
    else
        rmd_complete(errand->ticket, come_back, errand); /* no thread: at once */
}

/* Waiting belongs in the io lane: there it holds up a thread, not the loop … */
static void sleep_a_while(rmd_request *req, rmd_response *res)
{
    long long ms;
    if (!take_number(req, res, "ms", WAIT_MAX_MS, 100, &ms))
        return;
    wait_ms(ms);
    rmd_text(res, 200, "slept %lld\n", ms);
}

/* … and this is what not to do: inline, it holds up everyone whom this worker serves. */
static void block(rmd_request *req, rmd_response *res)
{
    long long ms;
    if (!take_number(req, res, "ms", WAIT_MAX_MS, 100, &ms))
        return;
    wait_ms(ms);
    rmd_text(res, 200, "blocked %lld\n", ms);
}

static void crash(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    volatile int *nowhere = NULL;
    *nowhere = 1;
}

/* ---- filters: how long did the handler take? ---------------------------------------------- */

static int start_clock(rmd_request *req, rmd_response *res)
{
    (void)res;
    struct timespec *start = rmd_alloc(req, sizeof(*start));
    if (start)
        clock_gettime(CLOCK_MONOTONIC, start);
    rmd_set_user_data(req, start);
    return 0; /* go on to the handler; anything else would end the request here */
}

static void stop_clock(rmd_request *req, rmd_response *res)
{
    const struct timespec *start = rmd_user_data(req);
    if (!start)
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double ms =
        (double)(now.tv_sec - start->tv_sec) * 1e3 + (double)(now.tv_nsec - start->tv_nsec) / 1e6;
    const char *value = rmd_format(req, "handler;dur=%.3f", ms);
    if (value)
        (void)rmd_set_header(res, "Server-Timing", value); /* only refused for want of memory */
}

/* ---- errors that the server answers: 404, 405, 413 … -------------------------------------- */

static void error_page(rmd_request *req, rmd_response *res, int status)
{
    const char *path = rmd_path(req);
    const char *quoted = rmd_json_quote(req, path, strlen(path));
    rmd_json(res, status, "{\"status\":%d,\"path\":%s,\"trace_id\":\"%s\"}\n", status,
             quoted ? quoted : "null", rmd_trace_id(req));
}

/* ---- life of a process -------------------------------------------------------------------- */

/* Once, before any worker exists: what is made here is shared by all of them. */
static int init(void)
{
    void *mapped = mmap(NULL, (size_t)BYTES_MAX, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        rmd_log(RMD_LOG_ERROR, "no memory for /bytes: %s", strerror(errno));
        return -1;
    }
    zeros = mapped;
    rmd_log(RMD_LOG_NOTICE, "demo loaded, greeting \"%s\"", rmd_config_string("greeting", "hello"));
    return 0;
}

/* Once in each worker: the place for connections and threads, which no fork may duplicate. */
static int worker_init(void)
{
    rmd_log(RMD_LOG_INFO, "demo starts in slot %d", rmd_slot());
    return 0;
}

static void worker_exit(void)
{
    rmd_log(RMD_LOG_INFO, "demo ends in slot %d", rmd_slot());
}

/* ---- what the server sees ----------------------------------------------------------------- */

static const rmd_route routes[] = {
    {"GET", "/", root},
    {"GET", "/json", json},
    {"GET", "/hello/:name", hello},
    {"*", "/echo", echo},
    {"GET", "/bytes", bytes},
    {"*", "/headers", headers},
    {"GET", "/info", info},
    {"GET", "/stream", stream},
    {"GET", "/events", events},
    {"GET", "/later", later},
    {"GET", "/note", note},
    {"POST", "/upload", upload},
    {"*", "/count", count, .stream_body = true},
    {"GET", "/inline-crash", crash},
    {0},
};

static const rmd_route timed_routes[] = {
    {"GET", "/sleep", sleep_a_while, .lane = RMD_IO},
    {"GET", "/block", block},
    {0},
};

static const rmd_group groups[] = {
    {.prefix = "", .routes = timed_routes, .before = start_clock, .after = stop_clock},
    {0},
};

RMD_APP(.name = "demo", .routes = routes, .groups = groups, .error_page = error_page, .init = init,
        .worker_init = worker_init, .worker_exit = worker_exit);
