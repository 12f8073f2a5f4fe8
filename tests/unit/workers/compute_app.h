/* The app of the tests of compute workers: handlers and tasks that answer in all ways, and fail. */
#ifndef REMUDA_TESTS_UNIT_WORKERS_COMPUTE_APP_H
#define REMUDA_TESTS_UNIT_WORKERS_COMPUTE_APP_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/workers/calls.h"

#undef fork

#define MIB (1024U * 1024U)

static int inits; /* of worker_init and compute_init, in order */

static int on_worker_init(void)
{
    inits = 1;
    return 0;
}

static bool stops_in_init; /* the worker, until somebody lets it go on */

static int on_compute_init(const char *pool)
{
    if (stops_in_init)
        (void)raise(SIGSTOP);
    inits = inits == 1 && strcmp(pool, "default") == 0 ? 2 : -1;
    return 0;
}

static void hello(rmd_request *req, rmd_response *res)
{
    rmd_set_header(res, "X-Role", rmd_role());
    rmd_text(res, 200, "hello, %s, %d\n", rmd_param(req, "name"), inits);
}

static void fill(char *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        data[i] = (char)('a' + i % 23);
}

static long long number(rmd_request *req)
{
    long long n = 0;
    (void)rmd_query_int(req, "n", 0, 1LL << 40, &n);
    return n;
}

static char long_text[20001];

/* As many octets of fields as the query says. */
static void set_fields(rmd_request *req, rmd_response *res)
{
    long long n = 0;
    (void)rmd_query_int(req, "fields", 0, (long long)sizeof long_text - 1, &n);
    memset(long_text, 'x', sizeof long_text - 1);
    if (n > 0)
        rmd_set_header(res, "X-Long", long_text + sizeof long_text - 1 - n);
}

static void made(rmd_request *req, rmd_response *res)
{
    size_t n = (size_t)number(req);
    char *data = rmd_alloc(req, n);
    if (!data) {
        rmd_error(res, 503);
        return;
    }
    fill(data, n);
    set_fields(req, res);
    rmd_send_ref(res, 200, NULL, data, n, NULL, NULL);
}

static void redirect(rmd_request *req, rmd_response *res)
{
    (void)req;
    memset(long_text, 'x', 5000);
    long_text[0] = '/';
    long_text[5000] = '\0';
    (void)rmd_redirect(res, 302, long_text);
}

static void heap(rmd_request *req, rmd_response *res)
{
    size_t n = (size_t)number(req);
    char *data = malloc(n);
    if (!data) {
        rmd_error(res, 503);
        return;
    }
    fill(data, n);
    set_fields(req, res);
    rmd_send_ref(res, 200, NULL, data, n, free, data);
}

/* Takes all there is of the slice. */
static void stuff(rmd_request *req)
{
    for (int i = 0; i < 3000; i++)
        (void)!rmd_alloc(req, 4000);
}

static void stuffed(rmd_request *req, rmd_response *res)
{
    stuff(req);
    heap(req, res);
}

static int calls_of_done;

static void on_done(void *arg)
{
    (void)arg;
    calls_of_done++;
}

/* Its octets lie in the slice, and the app wants to know when they are done with. */
static void lent(rmd_request *req, rmd_response *res)
{
    char *data = rmd_alloc(req, 100000);
    fill(data, 100000);
    rmd_send_ref(res, 200, NULL, data, 100000, on_done, NULL);
}

static void stuff_when_cancelled(rmd_request *req, rmd_response *res)
{
    while (!rmd_cancelled(req))
        (void)poll(NULL, 0, 1);
    stuff(req);
    rmd_text(res, 200, "%d", calls_of_done);
}

static void open_files(rmd_request *req, rmd_response *res)
{
    for (long long n = number(req); n > 0 && open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0;)
        n--;
    rmd_text(res, 200, "open");
}

static void echo(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    rmd_send_ref(res, 200, "text/x-echo", body.data, body.len, NULL, NULL);
}

static void pieces(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    (void)req;
    size_t *n = state;
    *n += piece.len;
    if (piece.len == 0)
        rmd_text(res, 200, "%zu", *n);
}

static void consume(rmd_request *req, rmd_response *res)
{
    (void)res;
    size_t *n = rmd_alloc(req, sizeof *n);
    *n = 0;
    (void)rmd_receive(req, pieces, n, NULL);
}

static void say_later(rmd_request *req, rmd_response *res, void *arg)
{
    (void)arg;
    if (req)
        rmd_text(res, 200, "later");
}

static void *complete(void *ticket)
{
    rmd_complete(ticket, say_later, NULL);
    return NULL;
}

static void later(rmd_request *req, rmd_response *res)
{
    pthread_t thread;
    rmd_deferred *ticket = rmd_defer(req);
    if (pthread_create(&thread, NULL, complete, ticket) != 0)
        rmd_error(res, 503);
    else
        (void)pthread_detach(thread);
}

static int count_down(rmd_writer *out, void *state)
{
    long long *left = state;
    char chunk[10000];
    size_t n = *left < (long long)sizeof chunk ? (size_t)*left : sizeof chunk;
    fill(chunk, n);
    (void)rmd_write(out, chunk, n);
    *left -= (long long)n;
    return *left > 0 ? 0 : RMD_END;
}

static void stream(rmd_request *req, rmd_response *res)
{
    long long *left = rmd_alloc(req, sizeof *left);
    *left = number(req);
    set_fields(req, res);
    rmd_stream(res, 200, "text/plain", count_down, left, NULL);
}

static void file(rmd_request *req, rmd_response *res)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    (void)!write(fd, "from a file", 11);
    rmd_send_fd(req, res, "text/plain", fd);
}

static void until_cancelled(rmd_request *req, rmd_response *res)
{
    while (!rmd_cancelled(req))
        (void)poll(NULL, 0, 1);
    rmd_text(res, 200, "cancelled");
}

static void deadline(rmd_request *req, rmd_response *res)
{
    long long ms = rmd_deadline_ms(req);
    rmd_text(res, 200, ms > 50000 && ms <= 60000 ? "soon" : "%lld", ms);
}

static void leak(rmd_request *req, rmd_response *res)
{
    (void)req;
    for (size_t n = MIB; n > 64;) {
        void *volatile kept = malloc(n); /* compilers know what nobody looks at */
        if (!kept)
            n /= 2;
    }
    rmd_set_status(res, 204);
}

static void crash(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
    (void)raise(SIGSEGV);
}

static void leave(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
    exit(0);
}

static void hog(rmd_request *req, rmd_response *res)
{
    size_t n = (size_t)number(req);
    char *volatile data = malloc(n);
    if (!data)
        exit(3);
    data[n / 2] = 1;
    rmd_text(res, 200, "had");
    free(data);
}

static void spin(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
    for (volatile unsigned i = 0;; i++)
        continue;
}

static void fork_here(rmd_request *req, rmd_response *res)
{
    (void)req;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    rmd_text(res, 200, "%s", pid < 0 ? strerror(errno) : "forked");
}

static void limits(rmd_request *req, rmd_response *res)
{
    (void)req;
    struct rlimit core, files, memory;
    (void)getrlimit(RLIMIT_CORE, &core);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    (void)getrlimit(RLIMIT_AS, &memory);
    char adj[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    (void)!read(fd, adj, sizeof adj - 1);
    (void)close(fd);
    rmd_text(res, 200, "core %d files %d memory %d nice %d group %d oom %d", (int)core.rlim_cur,
             (int)files.rlim_cur, memory.rlim_cur != RLIM_INFINITY, getpriority(PRIO_PROCESS, 0),
             getpgrp() == getpid(), atoi(adj) >= 500);
}

static void stop_here(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)raise(SIGSTOP);
    rmd_text(res, 200, "stopped");
}

#define ROW(method, pattern, handler)                                                              \
    {                                                                                              \
        method, pattern, handler, .lane = RMD_COMPUTE                                              \
    }
#define LONG_REST                                                                                  \
    "/and/to/all/the/others/that/there/are/and/have/come/from/far/and/wide/or/near/by/for/the/day"
#define LONG_PATTERN "/hello/:name" LONG_REST

static const rmd_route routes[] = {ROW("GET", "/hello/:name", hello),
                                   ROW("GET", LONG_PATTERN, hello),
                                   ROW("GET", "/made", made),
                                   ROW("GET", "/redirect", redirect),
                                   ROW("GET", "/heap", heap),
                                   ROW("GET", "/stuffed", stuffed),
                                   ROW("GET", "/lent", lent),
                                   ROW("GET", "/stuff-when-cancelled", stuff_when_cancelled),
                                   ROW("GET", "/open", open_files),
                                   ROW("POST", "/echo", echo),
                                   ROW("POST", "/consume", consume),
                                   ROW("GET", "/later", later),
                                   ROW("GET", "/stream", stream),
                                   ROW("GET", "/file", file),
                                   ROW("GET", "/until-cancelled", until_cancelled),
                                   ROW("GET", "/deadline", deadline),
                                   ROW("GET", "/leak", leak),
                                   ROW("GET", "/crash", crash),
                                   ROW("GET", "/leave", leave),
                                   ROW("GET", "/hog", hog),
                                   ROW("GET", "/spin", spin),
                                   ROW("GET", "/stop", stop_here),
                                   ROW("GET", "/fork", fork_here),
                                   ROW("GET", "/limits", limits),
                                   {0}};
/* The payload backwards, from memory of the call. */
static int reverse(rmd_call *call, rmd_slice payload)
{
    char *data = rmd_call_alloc(call, payload.len);
    if (!data || rmd_call_cancelled(call) || rmd_call_deadline_ms(call) <= 0)
        return ENOMEM;
    for (size_t i = 0; i < payload.len; i++)
        data[i] = payload.data[payload.len - 1 - i];
    rmd_call_result(call, data, payload.len);
    return 0;
}

static int give_back(rmd_call *call, rmd_slice payload)
{
    rmd_call_result(call, payload.data, payload.len);
    return 0;
}

static int fail_with_42(rmd_call *call, rmd_slice payload)
{
    rmd_call_result(call, payload.data, payload.len);
    return 42;
}

static int crash_in_task(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    (void)raise(SIGSEGV);
    return 0;
}

enum { CALL_REVERSE, CALL_GIVE_BACK, CALL_FAIL_WITH_42, CALL_CRASH, CALLS };
static const rmd_task tasks[] = {[CALL_REVERSE] = {"reverse", reverse},
                                 [CALL_GIVE_BACK] = {"give_back", give_back},
                                 [CALL_FAIL_WITH_42] = {"fail_with_42", fail_with_42},
                                 [CALL_CRASH] = {"crash", crash_in_task},
                                 [CALLS] = {0}};
static const rmd_app decl =
    CALLS_APP(.name = "compute", .routes = routes, .tasks = tasks, .worker_init = on_worker_init,
              .compute_init = on_compute_init);

#endif
