/* Handlers for tests that must know where a request is: they log what they do, wait for files
 * instead of times, and count what was opened and not yet given back. */
#include <remuda.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static long streams_open; /* producers whose done() has not come yet */
static long refs_open;    /* the same for rmd_send_ref() */
static char *shared_text; /* made by init, before any fork */
static int worker_inits;  /* in this process */

static void wait_a_little(void)
{
    struct timespec pause = {.tv_nsec = 2000000};
    (void)nanosleep(&pause, NULL);
}

/* Answers once the file named by ?file= exists. Holds up its worker, on purpose. */
static void wait_for_file(rmd_request *req, rmd_response *res)
{
    const char *file = rmd_query(req, "file");
    rmd_log(RMD_LOG_NOTICE, "probe waits");
    while (file && access(file, F_OK) != 0)
        wait_a_little();
    rmd_text(res, 200, "it came\n");
}

static int produce_forever(rmd_writer *out, void *state)
{
    char block[4096];
    (void)state;
    memset(block, 'x', sizeof(block));
    return rmd_write(out, block, sizeof(block)) == 0 ? 0 : RMD_ABORT;
}

static int produce_never(rmd_writer *out, void *state)
{
    (void)out, (void)state;
    return 3600000;
}

static int produce_and_break(rmd_writer *out, void *state)
{
    int *calls = state;
    if ((*calls)++ > 0)
        return RMD_ABORT;
    return rmd_write(out, "half", 4) == 0 ? 0 : RMD_ABORT;
}

static void stream_done(void *state)
{
    (void)state;
    streams_open--;
    rmd_log(RMD_LOG_NOTICE, "probe stream done");
}

static void stream_forever(rmd_request *req, rmd_response *res)
{
    (void)req;
    streams_open++;
    rmd_stream(res, 200, "application/octet-stream", produce_forever, NULL, stream_done);
}

static void stream_never(rmd_request *req, rmd_response *res)
{
    (void)req;
    streams_open++;
    rmd_stream(res, 200, "text/plain", produce_never, NULL, stream_done);
}

static void stream_broken(rmd_request *req, rmd_response *res)
{
    int *calls = rmd_alloc(req, sizeof(*calls));
    *calls = 0;
    streams_open++;
    rmd_stream(res, 200, "text/plain", produce_and_break, calls, stream_done);
}

static void ref_done(void *arg)
{
    free(arg);
    refs_open--;
    rmd_log(RMD_LOG_NOTICE, "probe reference done");
}

static void large_reference(rmd_request *req, rmd_response *res)
{
    long long n = 1;
    (void)rmd_query_int(req, "n", 1, 100000000, &n);
    char *data = malloc((size_t)n);
    if (!data) {
        rmd_error(res, 503);
        return;
    }
    for (long long i = 0; i < n; i++)
        data[i] = (char)('a' + i % 26);
    refs_open++;
    rmd_send_ref(res, 200, "text/plain", data, (size_t)n, ref_done, data);
}

static void counts(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "streams=%ld refs=%ld inits=%d pid=%d shared=%s\n", streams_open, refs_open,
             worker_inits, (int)getpid(), shared_text);
}

/* ?n= lines in the log. */
static void log_lines(rmd_request *req, rmd_response *res)
{
    long long n = 1;
    (void)rmd_query_int(req, "n", 0, 1000000, &n);
    for (long long i = 0; i < n; i++)
        rmd_log(RMD_LOG_NOTICE,
                "probe line %lld of %lld, which is of some length so that it adds up", i + 1, n);
    rmd_text(res, 200, "%lld lines\n", n);
}

/* Log text of a peer's making: ?text= */
static void log_text(rmd_request *req, rmd_response *res)
{
    const char *text = rmd_query(req, "text");
    rmd_log(RMD_LOG_NOTICE, "probe says %s", text ? text : "nothing");
    rmd_text(res, 200, "logged\n");
}

/* Keeps ?mb= megabytes for ever. */
static void leak(rmd_request *req, rmd_response *res)
{
    static void *volatile kept; /* in use, as nobody can prove the contrary */
    long long mb = 1;
    (void)rmd_query_int(req, "mb", 1, 1000, &mb);
    kept = malloc((size_t)mb << 20);
    if (!kept) {
        rmd_error(res, 503);
        return;
    }
    memset(kept, 'x', (size_t)mb << 20);
    rmd_text(res, 200, "%lld MiB\n", mb);
}

static void no_answer(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
}

static void crash(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    (void)raise(SIGSEGV);
}

static void leave(rmd_request *req, rmd_response *res)
{
    long long code = 0;
    (void)res;
    (void)rmd_query_int(req, "code", 0, 255, &code);
    exit((int)code);
}

static void abort_now(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    abort();
}

/* The descriptors that this worker holds, and limits, as it sees them itself. */
static void descriptors(rmd_request *req, rmd_response *res)
{
    char text[8192];
    size_t len = 0;
    (void)req;
    for (int fd = 0; fd < 1024 && len < sizeof(text) - 300; fd++) {
        char link[64], target[200];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%d %s%s\n", fd, target,
                                fcntl(fd, F_GETFD) & FD_CLOEXEC ? " cloexec" : "");
    }
    rmd_text(res, 200, "%s", text);
}

/* PROBE_GATE in the environment: a file without which init does not come back. */
static int init(void)
{
    const char *gate = getenv("PROBE_GATE");
    while (gate && access(gate, F_OK) != 0)
        wait_a_little();
    shared_text = strdup("made in the loader");
    return shared_text ? 0 : -1;
}

static int worker_init(void)
{
    worker_inits++;
    return 0;
}

static void worker_exit(void)
{
    rmd_log(RMD_LOG_NOTICE, "probe worker exits");
}

static const rmd_route routes[] = {
    {"GET", "/wait", wait_for_file, .lane = RMD_INLINE},
    {"GET", "/forever", stream_forever, .lane = RMD_INLINE},
    {"GET", "/never", stream_never, .lane = RMD_INLINE},
    {"GET", "/broken", stream_broken, .lane = RMD_INLINE},
    {"GET", "/reference", large_reference, .lane = RMD_INLINE},
    {"GET", "/counts", counts, .lane = RMD_INLINE},
    {"GET", "/log", log_lines, .lane = RMD_INLINE},
    {"GET", "/say", log_text, .lane = RMD_INLINE},
    {"GET", "/leak", leak, .lane = RMD_INLINE},
    {"GET", "/silent", no_answer, .lane = RMD_INLINE},
    {"GET", "/crash", crash, .lane = RMD_INLINE},
    {"GET", "/leave", leave, .lane = RMD_INLINE},
    {"GET", "/abort", abort_now, .lane = RMD_INLINE},
    {"GET", "/descriptors", descriptors, .lane = RMD_INLINE},
    {0},
};

RMD_APP(.name = "probe", .routes = routes, .init = init, .worker_init = worker_init,
        .worker_exit = worker_exit);
