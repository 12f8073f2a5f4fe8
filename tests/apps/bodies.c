/* Handlers for tests of request bodies and of answers that come later: they tell where a body lies,
 * give it back, and put their answer off until a file appears. */
#include <remuda.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void body_back(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    (void)rmd_set_header(res, "X-Spooled", rmd_body_fd(req) >= 0 ? "yes" : "no");
    rmd_send_ref(res, 200, "application/octet-stream", body.data, body.len, NULL, NULL);
}

static void body_length(rmd_request *req, rmd_response *res)
{
    rmd_text(res, 200, "%zu\n", rmd_body(req).len);
}

/* The descriptor and the mapping must be of the same octets. Says where they differ. */
static void descriptor_agrees(rmd_request *req, rmd_response *res)
{
    char block[4096];
    rmd_slice body = rmd_body(req);
    int fd = rmd_body_fd(req);
    for (size_t at = 0; at < body.len;) {
        ssize_t n = pread(fd, block, sizeof(block), (off_t)at);
        if (n <= 0 || (size_t)n > body.len - at || memcmp(block, body.data + at, (size_t)n) != 0) {
            rmd_text(res, 200, "differs at %zu\n", at);
            return;
        }
        at += (size_t)n;
    }
    rmd_text(res, 200, "same %zu\n", body.len);
}

/* The part that is called "file", as it lies in the body. */
static void part_back(rmd_request *req, rmd_response *res)
{
    const rmd_part *part = rmd_part_find(req, "file");
    if (!part) {
        rmd_text(res, 400, "%d parts, none is called file\n", rmd_part_count(req));
        return;
    }
    (void)rmd_set_header(res, "X-Name", part->filename ? part->filename : "none");
    rmd_send_ref(res, 200, part->type, part->data.data, part->data.len, NULL, NULL);
}

struct held {
    rmd_deferred *ticket;
    char *file;
    rmd_answer answer;
};

static void free_held(struct held *held)
{
    if (held)
        free(held->file);
    free(held);
}

static void let_go(rmd_request *req, rmd_response *res, void *arg)
{
    if (req)
        body_back(req, res);
    else
        rmd_log(RMD_LOG_NOTICE, "held request has ended without its answer");
    free_held(arg);
}

/* Turns the ticket in when its file is there; and, so that nothing waits forever, when nobody wants
 * the answer any more. */
static void *wait_for_file(void *arg)
{
    struct held *held = arg;
    struct timespec pause = {.tv_nsec = 2000000};
    while (access(held->file, F_OK) != 0 && rmd_is_wanted(held->ticket))
        (void)nanosleep(&pause, NULL);
    rmd_complete(held->ticket, held->answer, held);
    return NULL;
}

static bool start_waiting(struct held *held)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_file, held) != 0)
        return false;
    pthread_detach(thread);
    return true;
}

/* Gives the body back once the file named by ?file= exists; its worker serves others meanwhile. */
static void hold(rmd_request *req, rmd_response *res)
{
    const char *file = rmd_query(req, "file");
    struct held *held = calloc(1, sizeof(*held));
    if (!file || !held || !(held->file = strdup(file)) || !(held->ticket = rmd_defer(req))) {
        free_held(held);
        rmd_error(res, 503);
        return;
    }
    held->answer = let_go;
    rmd_log(RMD_LOG_NOTICE, "holds octets=%zu", rmd_body(req).len);
    if (!start_waiting(held))
        rmd_complete(held->ticket, held->answer, held);
}

struct slow_count {
    unsigned long long octets;
    const char *file;
    bool has_waited;
};

static void go_on(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)res; /* no answer: the rest of the body comes */
    free_held(arg);
}

/* Puts the rest off at the first piece. */
static void count_slowly_piece(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    struct slow_count *count = state;
    count->octets += piece.len;
    if (piece.len == 0) {
        rmd_text(res, 200, "counted %llu\n", count->octets);
        return;
    }
    if (count->has_waited)
        return;
    count->has_waited = true;
    rmd_log(RMD_LOG_NOTICE, "stops octets=%zu", piece.len);
    struct held *held = calloc(1, sizeof(*held));
    if (held && (held->file = strdup(count->file)) && (held->ticket = rmd_defer(req))) {
        held->answer = go_on;
        if (!start_waiting(held))
            rmd_complete(held->ticket, go_on, held);
        return;
    }
    free_held(held);
    rmd_error(res, 503);
}

static void count_slowly(rmd_request *req, rmd_response *res)
{
    struct slow_count *count = rmd_alloc(req, sizeof(*count));
    const char *file = rmd_query(req, "file");
    if (!count || !file) {
        rmd_error(res, 503);
        return;
    }
    *count = (struct slow_count){.file = file};
    (void)rmd_receive(req, count_slowly_piece, count, NULL);
}

static const rmd_route routes[] = {
    {"*", "/back", body_back, .lane = RMD_INLINE},
    {"POST", "/descriptor", descriptor_agrees, .lane = RMD_INLINE},
    {"POST", "/part", part_back, .lane = RMD_INLINE},
    {"POST", "/small", body_length, .lane = RMD_INLINE, .body_limit = 1000},
    {"POST", "/large", body_length, .lane = RMD_INLINE, .body_limit = 3 << 20},
    {"POST", "/count-slowly", count_slowly, .lane = RMD_INLINE, .stream_body = true},
    {"*", "/hold", hold, .lane = RMD_INLINE},
    {"*", "/hold-briefly", hold, .lane = RMD_INLINE, .timeout_ms = 50},
    {0},
};

RMD_APP(.name = "bodies", .routes = routes);
