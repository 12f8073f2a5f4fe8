/* Endpoints for a health check, as good and as bad as they come; tests choose by the path. Each way
 * to answer is there: at once, in pieces, later, on a thread. */
#include <remuda.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int n_checks; /* in this process */

static void good(rmd_request *req, rmd_response *res)
{
    (void)req;
    n_checks++;
    rmd_text(res, 200, "ready\n");
}

static void empty(rmd_request *req, rmd_response *res)
{
    (void)req;
    n_checks++;
    rmd_send(res, 204, NULL, NULL, 0);
}

static void large(rmd_request *req, rmd_response *res)
{
    char *body = rmd_alloc(req, 1000000);
    n_checks++;
    if (!body) {
        rmd_error(res, 503);
        return;
    }
    memset(body, 'x', 1000000);
    rmd_send_ref(res, 200, "text/plain", body, 1000000, NULL, NULL);
}

static void unwell(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 503, "the database is not there\nand some more\n");
}

static void away(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 302, "elsewhere\n");
}

/* Well as long as the file exists that the configuration names. */
static void by_file(rmd_request *req, rmd_response *res)
{
    const char *file = rmd_config_string("file", "");
    (void)req;
    if (access(file, F_OK) == 0)
        rmd_text(res, 200, "ready\n");
    else
        rmd_text(res, 503, "no file %s\n", file);
}

static int produce(rmd_writer *out, void *state)
{
    int *n = state;
    if (rmd_write(out, "piece\n", 6) != 0)
        return RMD_ABORT;
    return ++*n == 5 ? RMD_END : 10;
}

static void streamed(rmd_request *req, rmd_response *res)
{
    int *n = rmd_alloc(req, sizeof(*n));
    n_checks++;
    if (!n) {
        rmd_error(res, 503);
        return;
    }
    *n = 0;
    rmd_stream(res, 200, "text/plain", produce, n, NULL);
}

static void answer_later(rmd_request *req, rmd_response *res, void *arg)
{
    (void)arg;
    n_checks++;
    if (req)
        rmd_text(res, 200, "late\n");
}

static void *turn_in(void *arg)
{
    rmd_complete(arg, answer_later, NULL);
    return NULL;
}

static void later(rmd_request *req, rmd_response *res)
{
    pthread_t thread;
    rmd_deferred *ticket = rmd_defer(req);
    if (!ticket) {
        rmd_error(res, 503);
        return;
    }
    if (pthread_create(&thread, NULL, turn_in, ticket) == 0)
        pthread_detach(thread);
    else
        rmd_complete(ticket, answer_later, NULL);
}

static rmd_deferred *kept; /* a ticket that nobody turns in */

static void never(rmd_request *req, rmd_response *res)
{
    (void)res;
    kept = rmd_defer(req);
}

static void hang(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    for (;;)
        (void)pause();
}

static void crash(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    (void)raise(SIGSEGV);
}

static void count(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "checks=%d\n", n_checks);
}

static const rmd_route routes[] = {
    {"GET", "/good", good, .lane = RMD_INLINE},
    {"GET", "/empty", empty, .lane = RMD_INLINE},
    {"GET", "/large", large, .lane = RMD_INLINE},
    {"GET", "/unwell", unwell, .lane = RMD_INLINE},
    {"GET", "/away", away, .lane = RMD_INLINE},
    {"GET", "/by-file", by_file, .lane = RMD_INLINE},
    {"GET", "/streamed", streamed, .lane = RMD_INLINE},
    {"GET", "/later", later, .lane = RMD_INLINE},
    {"GET", "/never", never, .lane = RMD_INLINE},
    {"GET", "/hang", hang, .lane = RMD_INLINE},
    {"GET", "/crash", crash, .lane = RMD_INLINE},
    {"GET", "/on-a-thread", good, .lane = RMD_IO},
    {"GET", "/count", count, .lane = RMD_INLINE},
    {0},
};

RMD_APP(.name = "health", .routes = routes);
