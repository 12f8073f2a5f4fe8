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
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX (64LL * 1024 * 1024) /* most that /bytes gives */
#define WAIT_MAX_MS 300000LL           /* longest /sleep, /block and pause of /stream */
#define ALLOC_MAX_MB 1048576LL         /* most that /alloc tries */
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

/* What holds this process in, as the kernel says it. */
static void write_json_limits(FILE *out)
{
    static const struct {
        const char *name;
        int number;
    } rows[] = {{"address_space", RLIMIT_AS},
                {"cpu_seconds", RLIMIT_CPU},
                {"descriptors", RLIMIT_NOFILE},
                {"core", RLIMIT_CORE}};
    fputs(",\"limits\":{", out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rlimit limit;
        fprintf(out, "%s\"%s\":", i > 0 ? "," : "", rows[i].name);
        if (getrlimit(rows[i].number, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
            fputs("null", out);
        else
            fprintf(out, "%llu", (unsigned long long)limit.rlim_cur);
    }
    fprintf(out, ",\"nice\":%d}", getpriority(PRIO_PROCESS, 0));
}

static void tell_info(rmd_request *req, rmd_response *res, bool with_limits)
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
    fputs("}", text.out);
    if (with_limits)
        write_json_limits(text.out);
    fputs("}\n", text.out);
    send_text(&text, res, "application/json");
}

static void info(rmd_request *req, rmd_response *res)
{
    tell_info(req, res, false);
}

static void compute_info(rmd_request *req, rmd_response *res)
{
    tell_info(req, res, true);
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

/* ---- heavy work: in a process of the compute pool ------------------------------------------ */

static long long thread_cpu_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (long long)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* Uses so much CPU time, and stops when nobody waits for the answer any more. */
static void use_cpu(const rmd_request *req, long long ms)
{
    long long until_us = thread_cpu_us() + ms * 1000;
    volatile unsigned sum = 0;
    while (thread_cpu_us() < until_us && !rmd_cancelled(req))
        for (unsigned i = 0; i < 5000; i++)
            sum += i * i;
    (void)sum;
}

static void burn(rmd_request *req, rmd_response *res)
{
    long long ms;
    if (!take_number(req, res, "ms", WAIT_MAX_MS, 100, &ms))
        return;
    use_cpu(req, ms);
    rmd_text(res, 200, "burned %lld\n", ms);
}

/* Half waits, half computes: which lane it is best off in depends on how it is called. */
static void wait_and_burn(rmd_request *req, rmd_response *res)
{
    long long wait, burn_ms;
    if (!take_number(req, res, "wait", WAIT_MAX_MS, 10, &wait) ||
        !take_number(req, res, "burn", WAIT_MAX_MS, 10, &burn_ms))
        return;
    wait_ms(wait);
    use_cpu(req, burn_ms);
    rmd_text(res, 200, "waited %lld, burned %lld\n", wait, burn_ms);
}

/* Memory that is refused ends the process, as in many libraries: that is what processes of their
 * own are for. Only this request notices. */
static void alloc(rmd_request *req, rmd_response *res)
{
    long long mb;
    if (!take_number(req, res, "mb", ALLOC_MAX_MB, 64, &mb))
        return;
    size_t n = (size_t)mb * 1024 * 1024;
    char *memory = malloc(n > 0 ? n : 1);
    if (!memory)
        exit(EXIT_FAILURE);
    for (size_t i = 0; i < n; i += 4096)
        ((volatile char *)memory)[i] = 1;
    free(memory);
    rmd_text(res, 200, "touched %lld\n", mb);
}

/* SHA-256 (FIPS 180-4), plain and slow: something to compute. The table: the first 32 bits of the
 * fractional parts of the cube roots of the first 64 primes. */
#define SHA256_HEX 65 /* characters, with the NUL */

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t sha256_turn(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void sha256_block(uint32_t state[8], const unsigned char *p)
{
    uint32_t w[64];
    uint32_t s[8];
    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (sha256_turn(a, 7) ^ sha256_turn(a, 18) ^ a >> 3) + w[i - 7] +
               (sha256_turn(b, 17) ^ sha256_turn(b, 19) ^ b >> 10);
    }
    memcpy(s, state, sizeof(s));
    for (unsigned i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t t1 = s[7] + (sha256_turn(e, 6) ^ sha256_turn(e, 11) ^ sha256_turn(e, 25)) +
                      ((e & s[5]) ^ (~e & s[6])) + sha256_k[i] + w[i];
        uint32_t t2 = (sha256_turn(a, 2) ^ sha256_turn(a, 13) ^ sha256_turn(a, 22)) +
                      ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof(s[0]));
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++)
        state[i] += s[i];
}

/* The hash of some bytes, in hexadecimal. */
static void sha256_hex(const void *data, size_t len, char out[SHA256_HEX])
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned char end[128] = {0};
    const unsigned char *p = data;
    size_t whole = len / 64 * 64;
    size_t rest = len - whole;
    size_t end_len = rest < 56 ? 64 : 128;
    for (size_t i = 0; i < whole; i += 64)
        sha256_block(state, p + i);
    if (rest > 0)
        memcpy(end, p + whole, rest);
    end[rest] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        end[end_len - 1 - i] = (unsigned char)((uint64_t)len * 8 >> (8 * i));
    for (size_t i = 0; i < end_len; i += 64)
        sha256_block(state, end + i);
    for (unsigned i = 0; i < 8; i++)
        snprintf(out + 8 * i, 9, "%08x", (unsigned)state[i]);
}

/* The body is hashed where it was received, without a copy of it. */
static void digest(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    char hex[SHA256_HEX];
    sha256_hex(body.data, body.len, hex);
    rmd_text(res, 200, "%s %zu\n", hex, body.len);
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
    const char *why = rmd_error_why(req); /* the limit that was too low, say */
    const char *told = why ? rmd_json_quote(req, why, strlen(why)) : NULL;
    rmd_json(res, status, "{\"status\":%d,\"path\":%s,%s%s%s\"trace_id\":\"%s\"}\n", status,
             quoted ? quoted : "null", told ? "\"why\":" : "", told ? told : "", told ? "," : "",
             rmd_trace_id(req));
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
    {"GET", "/compute/info", compute_info, .lane = RMD_COMPUTE},
    {"GET", "/burn", burn, .lane = RMD_COMPUTE},
    {"GET", "/alloc", alloc, .lane = RMD_COMPUTE},
    {"POST", "/digest", digest, .lane = RMD_COMPUTE, .body_limit = BYTES_MAX},
    {"GET", "/crash", crash, .lane = RMD_COMPUTE},
    {"GET", "/auto", wait_and_burn, .lane = RMD_AUTO},
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
