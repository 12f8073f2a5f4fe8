/* Each of its routes lets one kind of the app's calls take 100 ms on the loop. */
#include <remuda.h>

#include <pthread.h>
#include <string.h>
#include <time.h>

static void take_long(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

static void handler(rmd_request *req, rmd_response *res)
{
    (void)req;
    take_long();
    rmd_text(res, 200, "handler\n");
}

static void take_piece(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    (void)req, (void)state;
    if (piece.len > 0)
        return;
    take_long();
    rmd_text(res, 200, "consumer\n");
}

static void consumer(rmd_request *req, rmd_response *res)
{
    (void)res;
    (void)rmd_receive(req, take_piece, NULL, NULL);
}

static int write_late(rmd_writer *out, void *state)
{
    (void)state;
    take_long();
    return rmd_write(out, "producer\n", 9) == 0 ? RMD_END : RMD_ABORT;
}

static void producer(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_stream(res, 200, "text/plain", write_late, NULL, NULL);
}

static void answer_late(rmd_request *req, rmd_response *res, void *arg)
{
    (void)arg;
    take_long();
    if (req)
        rmd_text(res, 200, "answer\n");
}

static void answer(rmd_request *req, rmd_response *res)
{
    rmd_deferred *ticket = rmd_defer(req);
    if (ticket)
        rmd_complete(ticket, answer_late, NULL);
    else
        rmd_error(res, 503);
}

static void *wait_for_nobody(void *ticket)
{
    while (rmd_is_wanted(ticket))
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    rmd_complete(ticket, answer_late, NULL);
    return NULL;
}

/* Until its client has left. */
static void late(rmd_request *req, rmd_response *res)
{
    pthread_t thread;
    rmd_deferred *ticket = rmd_defer(req);
    if (!ticket)
        rmd_error(res, 503);
    else if (pthread_create(&thread, NULL, wait_for_nobody, ticket) == 0)
        (void)pthread_detach(thread);
    else
        rmd_complete(ticket, answer_late, NULL);
    rmd_log(RMD_LOG_NOTICE, "slow_calls waits");
}

static void release(void *arg)
{
    (void)arg;
    take_long();
}

static void done(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_send_ref(res, 200, "text/plain", "done\n", 5, release, NULL);
}

static void error_page(rmd_request *req, rmd_response *res, int status)
{
    (void)req;
    take_long();
    rmd_text(res, status, "error page\n");
}

static void quick(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "quick\n");
}

static const rmd_route routes[] = {
    {"GET", "/handler", handler},   {"POST", "/consumer", consumer, .stream_body = true},
    {"GET", "/producer", producer}, {"GET", "/answer", answer},
    {"GET", "/late", late},         {"GET", "/done", done},
    {"GET", "/quick", quick},       {0},
};

RMD_APP(.name = "slow_calls", .routes = routes, .error_page = error_page);
