/* Handlers for tests of the lanes: they say on which thread they run, and wait for files, so that a
 * test knows where a request is. */
#define _GNU_SOURCE /* gettid */
#include <remuda.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_long owed; /* calls of done that are still to come */

static void wait_a_little(void)
{
    struct timespec pause = {.tv_nsec = 2000000};
    (void)nanosleep(&pause, NULL);
}

/* Until the file named by ?file= exists; or ?left= does: until the request is cancelled. */
static void wait_for_file(rmd_request *req)
{
    const char *file = rmd_query(req, "file");
    while (file && access(file, F_OK) != 0)
        wait_a_little();
}

static const char *thread_name(void)
{
    return gettid() == getpid() ? "loop" : "thread";
}

/* ---- answers ---- */

static void where(rmd_request *req, rmd_response *res)
{
    rmd_text(res, 200, "%s %s\n", (const char *)rmd_user_data(req), thread_name());
}

/* Waits and computes as ?wait= and ?burn= say, in ms; says in what process. */
static void mixed(rmd_request *req, rmd_response *res)
{
    const char *wait = rmd_query(req, "wait"), *burn = rmd_query(req, "burn");
    struct timespec pause = {.tv_nsec = (wait ? atol(wait) : 0) * 1000000};
    struct timespec begin, now;
    (void)nanosleep(&pause, NULL);
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 <
           (burn ? atol(burn) : 0));
    rmd_text(res, 200, "%s\n", rmd_role());
}

/* Of the type that is asked for. */
static void typed(rmd_request *req, rmd_response *res)
{
    rmd_send(res, 200, rmd_query(req, "type"), "x", 1);
}

static void waits(rmd_request *req, rmd_response *res)
{
    rmd_log(RMD_LOG_NOTICE, "lanes waits %s", rmd_target(req));
    wait_for_file(req);
    rmd_text(res, 200, "it came, %s\n", rmd_cancelled(req) ? "too late" : "in time");
    rmd_log(RMD_LOG_NOTICE, "lanes has waited %s", rmd_target(req));
}

/* For as long as somebody waits. */
static void waits_while_wanted(rmd_request *req, rmd_response *res)
{
    rmd_log(RMD_LOG_NOTICE, "lanes waits %s", rmd_target(req));
    while (!rmd_cancelled(req))
        wait_a_little();
    rmd_log(RMD_LOG_NOTICE, "lanes is cancelled %s", rmd_target(req));
    rmd_text(res, 200, "nobody reads this\n");
}

static void body_back(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    (void)rmd_set_header(res, "X-Spooled", rmd_body_fd(req) >= 0 ? "yes" : "no");
    rmd_send_ref(res, 200, "application/octet-stream", body.data, body.len, NULL, NULL);
}

static void part_back(rmd_request *req, rmd_response *res)
{
    const rmd_part *part = rmd_part_find(req, "file");
    if (part)
        rmd_send_ref(res, 200, part->type, part->data.data, part->data.len, NULL, NULL);
    else
        rmd_error(res, 400);
}

static void file(rmd_request *req, rmd_response *res)
{
    rmd_send_file(req, res, rmd_query(req, "folder"), rmd_query(req, "name"));
}

static void done(void *arg)
{
    free(arg);
    atomic_fetch_sub(&owed, 1);
    if (gettid() != getpid())
        rmd_log(RMD_LOG_ERROR, "done on another thread");
}

static void reference(rmd_request *req, rmd_response *res)
{
    long long n = 1;
    (void)rmd_query_int(req, "n", 1, 100000000, &n);
    char *data = malloc((size_t)n);
    if (!data) {
        rmd_error(res, 503);
        return;
    }
    memset(data, 'r', (size_t)n);
    atomic_fetch_add(&owed, 1);
    rmd_send_ref(res, 200, "text/plain", data, (size_t)n, done, data);
}

static void count(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "%ld\n", atomic_load(&owed));
}

/* Holds the loop for ?ms=. */
static void hold(long long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static long long asked_ms(rmd_request *req)
{
    long long ms = 0;
    (void)rmd_query_int(req, "ms", 0, 60000, &ms);
    return ms;
}

static void slow(rmd_request *req, rmd_response *res)
{
    hold(asked_ms(req));
    rmd_text(res, 200, "slow\n");
}

static int hold_once(rmd_writer *out, void *state)
{
    hold((long long)(intptr_t)state);
    return rmd_write(out, "slow\n", 5) == 0 ? RMD_END : RMD_ABORT;
}

static void slow_stream(rmd_request *req, rmd_response *res)
{
    rmd_stream(res, 200, "text/plain", hold_once, (void *)(intptr_t)asked_ms(req), NULL);
}

/* Has nothing to say for ?n= calls, and does not wait either. */
static int say_nothing(rmd_writer *out, void *state)
{
    long long *n = state;
    if ((*n)-- > 0)
        return 0;
    return rmd_write(out, "at last\n", 8) == 0 ? RMD_END : RMD_ABORT;
}

static void idle_stream(rmd_request *req, rmd_response *res)
{
    long long *n = calloc(1, sizeof(*n));
    if (!n) {
        rmd_error(res, 503);
        return;
    }
    (void)rmd_query_int(req, "n", 0, 1000000, n);
    rmd_stream(res, 200, "text/plain", say_nothing, n, free);
}

static void crash(rmd_request *req, rmd_response *res)
{
    (void)res;
    rmd_log(RMD_LOG_NOTICE, "lanes waits %s", rmd_target(req));
    wait_for_file(req);
    abort();
}

/* ---- streams and bodies in pieces ---- */

struct series {
    long long i, n;
    char *gate; /* waits for it before the second piece; NULL: does not */
};

static void free_series(void *state)
{
    struct series *series = state;
    free(series->gate);
    done(series);
}

static int next_piece(rmd_writer *out, void *state)
{
    struct series *series = state;
    while (series->i == 1 && series->gate && access(series->gate, F_OK) != 0)
        wait_a_little();
    if (series->i == series->n)
        return RMD_END;
    if (rmd_write_format(out, "%lld %s\n", series->i++, thread_name()) != 0)
        return RMD_ABORT;
    return series->gate ? 1 : 0;
}

static void stream(rmd_request *req, rmd_response *res)
{
    struct series *series = calloc(1, sizeof(*series));
    const char *gate = rmd_query(req, "file");
    if (!series) {
        rmd_error(res, 503);
        return;
    }
    series->n = 3;
    (void)rmd_query_int(req, "n", 0, 1000000, &series->n);
    series->gate = gate ? strdup(gate) : NULL;
    atomic_fetch_add(&owed, 1);
    rmd_stream(res, 200, "text/plain", next_piece, series, free_series);
}

static void count_piece(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    long long *n = state;
    if (*n == 0 && piece.len > 0)
        wait_for_file(req);
    *n += (long long)piece.len;
    if (piece.len == 0)
        rmd_text(res, 200, "counted %lld, %s\n", *n, thread_name());
}

static void count_body(rmd_request *req, rmd_response *res)
{
    long long *n = calloc(1, sizeof(*n));
    (void)res;
    atomic_fetch_add(&owed, 1);
    (void)rmd_receive(req, count_piece, n, done);
}

/* ---- answers that come later ---- */

struct errand {
    rmd_deferred *ticket;
    char *file;
};

static void come_back(rmd_request *req, rmd_response *res, void *arg)
{
    struct errand *errand = arg;
    if (req)
        rmd_text(res, 200, "later, %s\n", thread_name());
    else
        rmd_log(RMD_LOG_NOTICE, "lanes errand for nobody");
    free(errand->file);
    free(errand);
}

static void *run_errand(void *arg)
{
    struct errand *errand = arg;
    while (errand->file && access(errand->file, F_OK) != 0 && rmd_is_wanted(errand->ticket))
        wait_a_little();
    rmd_complete(errand->ticket, come_back, errand);
    return NULL;
}

static void later(rmd_request *req, rmd_response *res)
{
    struct errand *errand = calloc(1, sizeof(*errand));
    const char *path = rmd_query(req, "file");
    pthread_t thread;
    if (!errand || !(errand->ticket = rmd_defer(req))) {
        free(errand);
        rmd_error(res, 503);
        return;
    }
    errand->file = path ? strdup(path) : NULL;
    rmd_log(RMD_LOG_NOTICE, "lanes defers");
    if (pthread_create(&thread, NULL, run_errand, errand) == 0)
        pthread_detach(thread);
    else
        rmd_complete(errand->ticket, come_back, errand);
}

/* The ticket is in before the handler returns. */
static void soon(rmd_request *req, rmd_response *res)
{
    struct errand *errand = calloc(1, sizeof(*errand));
    if (!errand || !(errand->ticket = rmd_defer(req))) {
        free(errand);
        rmd_error(res, 503);
        return;
    }
    rmd_log(RMD_LOG_NOTICE, "lanes waits %s", rmd_target(req));
    wait_for_file(req);
    rmd_complete(errand->ticket, come_back, errand);
}

/* ---- filters, tables ---- */

static int before(rmd_request *req, rmd_response *res)
{
    (void)res;
    rmd_set_user_data(req, (void *)(uintptr_t)thread_name());
    return 0;
}

static void after(rmd_request *req, rmd_response *res)
{
    const char *began = rmd_user_data(req);
    if (began)
        (void)rmd_set_header(res, "X-Began", began);
    (void)rmd_set_header(res, "X-Ended", thread_name());
}

static const rmd_route routes[] = {
    {"GET", "/loop", where},
    {"GET", "/io", where, .lane = RMD_IO},
    {"GET", "/compute", where, .lane = RMD_COMPUTE},
    {"GET", "/auto", where, .lane = RMD_AUTO},
    {"GET", "/mixed", mixed, .lane = RMD_AUTO},
    {"GET", "/mixed/pieces", mixed, .lane = RMD_AUTO, .stream_body = true},
    {"GET", "/typed", typed},
    {"GET", "/typed-io", typed, .lane = RMD_IO},
    {"GET", "/wait", waits, .lane = RMD_IO},
    {"GET", "/wait-briefly", waits, .lane = RMD_IO, .timeout_ms = 50},
    {"GET", "/wanted", waits_while_wanted, .lane = RMD_IO},
    {"GET", "/wanted-briefly", waits_while_wanted, .lane = RMD_IO, .timeout_ms = 50},
    {"POST", "/back", body_back, .lane = RMD_IO, .body_limit = 64 << 20},
    {"POST", "/part", part_back, .lane = RMD_IO},
    {"GET", "/file", file, .lane = RMD_IO},
    {"GET", "/reference", reference, .lane = RMD_IO},
    {"GET", "/stream", stream, .lane = RMD_IO},
    {"GET", "/stream-briefly", stream, .lane = RMD_IO, .timeout_ms = 200},
    {"POST", "/count", count_body, .lane = RMD_IO, .stream_body = true},
    {"POST", "/count-whole", count_body, .lane = RMD_IO},
    {"GET", "/later", later, .lane = RMD_IO},
    {"GET", "/soon", soon, .lane = RMD_IO},
    {"GET", "/crash", crash, .lane = RMD_IO},
    {"GET", "/owed", count},
    {"GET", "/slow", slow},
    {"GET", "/slow-stream", slow_stream},
    {"GET", "/idle-stream", idle_stream},
    {"GET", "/idle-stream-io", idle_stream, .lane = RMD_IO},
    {0},
};

RMD_APP(.name = "lanes", .routes = routes, .before = before, .after = after);
