/* What heavy handlers do at their worst, for the tests of the compute pool. */
#define _GNU_SOURCE

#include <remuda.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void wait_a_little(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void hello(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "hello\n");
}

static void who(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "%s %d\n", rmd_role(), (int)getpid());
}

/* Until a file is there. */
static void until(rmd_request *req, rmd_response *res)
{
    const char *file = rmd_query(req, "file");
    rmd_log(RMD_LOG_NOTICE, "heavy waits");
    while (file && access(file, F_OK) != 0)
        wait_a_little();
    rmd_text(res, 200, "it came\n");
}

static void crash(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    volatile uintptr_t nowhere = 16; /* of NULL a sanitizer would end it in its own way */
    *(volatile int *)nowhere = 1;
}

static void loop(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    rmd_log(RMD_LOG_NOTICE, "heavy loops %d", (int)getpid());
    for (volatile unsigned i = 0;; i++)
        continue;
}

/* Without a word, for many of them. */
static void loop_on(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    for (volatile unsigned i = 0;; i++)
        continue;
}

/* Takes n microseconds. */
static void work(rmd_request *req, rmd_response *res)
{
    long long n = 0;
    struct timespec now, begin;
    (void)rmd_query_int(req, "n", 0, 1000000, &n);
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < n);
    rmd_text(res, 200, "worked %lld\n", n);
}

/* Octet i of what goes to and fro. */
static char octet(size_t i)
{
    return (char)('a' + i % 23);
}

/* Is the body as it should be? */
static void check(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    size_t i = 0;
    while (i < body.len && body.data[i] == octet(i))
        i++;
    rmd_text(res, 200, "%zu of %zu\n", i, body.len);
}

/* n octets of answer, from memory of the request. */
static void make(rmd_request *req, rmd_response *res)
{
    long long n = 0;
    (void)rmd_query_int(req, "n", 0, 1LL << 30, &n);
    char *data = rmd_alloc(req, (size_t)n);
    for (size_t i = 0; data && i < (size_t)n; i++)
        data[i] = octet(i);
    if (data)
        rmd_send_ref(res, 200, NULL, data, (size_t)n, NULL, NULL);
    else
        rmd_error(res, 503);
}

/* A descriptor is left open, as by a leak. */
static void leave_open(rmd_request *req, rmd_response *res)
{
    (void)req;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rmd_text(res, fd >= 0 ? 200 : 503, "%d\n", (int)getpid());
}

/* To a place as long as those are that carry a token. */
static void redirect(rmd_request *req, rmd_response *res)
{
    char *place = rmd_alloc(req, 6001);
    memset(place, 'x', 6000);
    place[0] = '/';
    place[6000] = '\0';
    (void)rmd_redirect(res, 302, place);
}

static void leave(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    exit(0);
}

static void stop_oneself(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    rmd_log(RMD_LOG_NOTICE, "heavy stops %d", (int)getpid());
    (void)raise(SIGSTOP);
    rmd_text(res, 200, "went on\n");
}

/* Memory is refused and nobody looks. */
static void ignore_refusal(rmd_request *req, rmd_response *res)
{
    (void)req;
    char *data = malloc((size_t)1 << 40);
    ((volatile char *)data)[4096] = 1;
    rmd_text(res, 200, "had\n");
}

static void *take_memory(void *arg)
{
    (void)arg;
    for (;;) {
        char *volatile data = malloc(1 << 20);
        if (!data)
            abort();
        for (size_t i = 0; i < 1 << 20; i += 4096)
            data[i] = 1;
    }
}

/* Several threads take what there is, bit by bit. */
static void threads_take_memory(rmd_request *req, rmd_response *res)
{
    (void)req;
    pthread_t thread;
    for (int i = 0; i < 4; i++)
        if (pthread_create(&thread, NULL, take_memory, NULL) != 0)
            abort();
    for (;;)
        wait_a_little();
    rmd_text(res, 200, "had\n");
}

static void close_all(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)close_range(3, ~0U, 0);
    rmd_text(res, 200, "closed\n");
}

/* Whatever socket or pipe it has. */
static void write_garbage(rmd_request *req, rmd_response *res)
{
    static char garbage[5000];
    long long size = sizeof garbage;
    (void)rmd_query_int(req, "n", 0, sizeof garbage, &size);
    memset(garbage, 'x', sizeof garbage);
    for (int fd = 3; fd < 1024; fd++)
        for (int i = 0; i < 3; i++)
            (void)send(fd, garbage, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    rmd_text(res, 200, "written\n");
}

/* Ten at most of a generation: the test must not harm its machine if nothing holds it in. */
static void fork_bomb(rmd_request *req, rmd_response *res)
{
    (void)req;
    int n = 0;
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            (void)alarm(60);
            for (;;)
                (void)pause();
        }
        n += pid > 0;
    }
    rmd_text(res, 200, "forked %d, %s\n", n, strerror(errno));
}

/* With `fork: yes`. What it leaves has another session, so that no group reaches it. */
static void leave_children(rmd_request *req, rmd_response *res)
{
    (void)req;
    char text[100] = "";
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (i == 1)
                (void)setsid();
            (void)alarm(120);
            for (;;)
                (void)pause();
        }
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%d ", (int)pid);
    }
    rmd_text(res, 200, "%s\n", text);
}

static char told[200];

static void hooks(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "%s\n", told);
}

/* ---- tasks, and who hands work to them ---- */

static int reverse(rmd_call *call, rmd_slice payload)
{
    char *data = rmd_call_alloc(call, payload.len);
    if (!data)
        return ENOMEM;
    for (size_t i = 0; i < payload.len; i++)
        data[i] = payload.data[payload.len - 1 - i];
    rmd_call_result(call, data, payload.len);
    return 0;
}

/* A hundred times the payload. */
static int grow(rmd_call *call, rmd_slice payload)
{
    char *data = rmd_call_alloc(call, 100 * payload.len);
    if (!data)
        return ENOMEM;
    for (size_t i = 0; i < 100; i++)
        memcpy(data + i * payload.len, payload.data, payload.len);
    rmd_call_result(call, data, 100 * payload.len);
    return 0;
}

static int tell_role(rmd_call *call, rmd_slice payload)
{
    (void)payload;
    rmd_call_result(call, rmd_role(), strlen(rmd_role()));
    return 0;
}

static int fail(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    return 42;
}

/* Milliseconds that it may take. */
static int tell_time(rmd_call *call, rmd_slice payload)
{
    (void)payload;
    char *text = rmd_call_alloc(call, 32);
    if (!text)
        return ENOMEM;
    rmd_call_result(call, text, (size_t)snprintf(text, 32, "%lld", rmd_call_deadline_ms(call)));
    return 0;
}

static int crash_in_task(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    crash(NULL, NULL);
    return 0;
}

static int loop_in_task(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    loop_on(NULL, NULL);
    return 0;
}

/* Into whatever file it has. */
static int scribble(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    for (int fd = 3; fd < 256; fd++) {
        (void)!pwrite(fd, "?", 1, 0);
        (void)!ftruncate(fd, 0);
    }
    return 0;
}

static int hang_in_task(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    loop(NULL, NULL);
    return 0;
}

static void on_result(rmd_request *req, rmd_response *res, int error, rmd_slice result, void *arg)
{
    if (!req)
        return;
    (void)rmd_set_header(res, "X-Arg", arg);
    if (error != 0)
        rmd_text(res, 500, "error %d\n", error);
    else
        rmd_send(res, 200, "text/plain", result.data, result.len);
}

/* The body to the task that the path names. */
static void offload(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    long long ms = 0;
    (void)rmd_query_int(req, "ms", 1, 3600000, &ms);
    int rc = rmd_offload(req, rmd_param(req, "task"), body.data, body.len, (unsigned)ms, on_result,
                         "arg");
    if (rc < 0)
        rmd_text(res, 500, "refused %d\n", rc);
}

/* A handler that leaves what went wrong to the server. */
static void offload_or_error(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    int rc = rmd_offload(req, rmd_param(req, "task"), body.data, body.len, 0, on_result, "arg");
    if (rc < 0)
        rmd_offload_error(res, rc);
}

/* As offload(), and waits. */
static void offload_wait(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    rmd_slice result;
    long long ms = 0;
    (void)rmd_query_int(req, "ms", 1, 3600000, &ms);
    int rc =
        rmd_offload_wait(req, rmd_param(req, "task"), body.data, body.len, (unsigned)ms, &result);
    char good[24];
    size_t i = 0; /* is the body still what it was? */
    while (i < body.len && body.data[i] == octet(i))
        i++;
    (void)snprintf(good, sizeof good, "%zu", i);
    (void)rmd_set_header(res, "X-Good", good);
    (void)rmd_set_header(res, "X-Arg", "arg");
    if (rc != 0)
        rmd_text(res, 500, "%s %d\n",
                 rc == -ENOENT || rc == -EDEADLK || rc == -EOPNOTSUPP || rc == -EMSGSIZE ? "refused"
                                                                                         : "error",
                 rc);
    else
        rmd_send_ref(res, 200, "text/plain", result.data, result.len, NULL, NULL);
}

/* The outcomes behind each other. */
static void on_outcomes(rmd_request *req, rmd_response *res, const rmd_outcome *outcomes, size_t n,
                        void *arg)
{
    (void)arg;
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += outcomes[i].error ? 16 : outcomes[i].result.len;
    char *text = req ? rmd_alloc(req, len + 1) : NULL;
    if (!text)
        return;
    char *at = text;
    for (size_t i = 0; i < n; i++) {
        if (outcomes[i].error)
            at += snprintf(at, 16, "(%d)", outcomes[i].error);
        else if (outcomes[i].result.len > 0)
            at = (char *)memcpy(at, outcomes[i].result.data, outcomes[i].result.len) +
                 outcomes[i].result.len;
    }
    rmd_send(res, 200, "text/plain", text, (size_t)(at - text));
}

/* The body, cut into pieces of n octets. */
static void map(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    long long size = 1;
    (void)rmd_query_int(req, "n", 1, 100000000, &size);
    size_t n = (body.len + (size_t)size - 1) / (size_t)size;
    rmd_slice *pieces = rmd_alloc(req, n * sizeof(*pieces));
    for (size_t i = 0; i < n; i++) {
        size_t left = body.len - i * (size_t)size;
        pieces[i] =
            (rmd_slice){body.data + i * (size_t)size, left < (size_t)size ? left : (size_t)size};
    }
    long long ms = 0;
    (void)rmd_query_int(req, "ms", 1, 3600000, &ms);
    int rc =
        rmd_offload_map(req, rmd_param(req, "task"), pieces, n, (unsigned)ms, on_outcomes, NULL);
    if (rc < 0)
        rmd_text(res, 500, "refused %d\n", rc);
}

/* Fills what it may write of the shared table, but for what comes before, and crashes. It should be
 * one place: else it returns how many there are. */
static int fill_seat(int octet, size_t from)
{
    char line[512];
    char *place = NULL;
    size_t len = 0;
    int n = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long begin, end;
        if (!strstr(line, "remuda-scoreboard") || !strstr(line, " rw-s ") ||
            sscanf(line, "%lx-%lx", &begin, &end) != 2)
            continue;
        place = (char *)begin;
        len = end - begin;
        n++;
    }
    if (maps)
        (void)fclose(maps);
    if (n != 1)
        return n;
    memset(place + from, octet, len - from);
    abort();
}

static int write_seat_in_task(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    return fill_seat(255, 4096);
}

static const rmd_task tasks[] = {
    {"reverse", reverse},
    {"grow", grow},
    {"role", tell_role},
    {"fail", fail},
    {"time", tell_time},
    {"crash", crash_in_task},
    {"loop", loop_in_task, .timeout_ms = 200},
    {"hang", hang_in_task},
    {"scribble", scribble},
    {"write-seat", write_seat_in_task},
    {0},
};

static void instead(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "instead, by %s\n", rmd_role());
}

/* ?bad=1: crashes; ?hang=1: does not return */
static void moody(rmd_request *req, rmd_response *res)
{
    if (rmd_query(req, "bad"))
        (void)raise(SIGSEGV);
    while (rmd_query(req, "hang"))
        (void)pause();
    rmd_text(res, 200, "fine\n");
}

static _Atomic int *crashes; /* of all workers of a generation */

/* Crashes until n workers have. */
static void crash_often(rmd_request *req, rmd_response *res)
{
    long long n = 0;
    (void)rmd_query_int(req, "n", 0, 100, &n);
    if (atomic_fetch_add(crashes, 1) < n)
        (void)raise(SIGSEGV);
    rmd_text(res, 200, "fine\n");
}

/* The first worker writes into every file it has, and dies. The others give back what they got. */
static void scribble_once(rmd_request *req, rmd_response *res)
{
    if (atomic_fetch_add(crashes, 1) == 0) {
        (void)scribble(NULL, (rmd_slice){0});
        (void)raise(SIGSEGV);
    }
    rmd_slice body = rmd_body(req);
    rmd_send(res, 200, "text/plain", body.data, body.len);
}

/* ?octet=255&from=4096 */
static void write_seat(rmd_request *req, rmd_response *res)
{
    long long octet = 255;
    long long from = 4096;
    (void)rmd_query_int(req, "octet", 0, 255, &octet);
    (void)rmd_query_int(req, "from", 0, 8192, &from);
    rmd_text(res, 200, "%d places\n", fill_seat((int)octet, (size_t)from));
}

static const rmd_route routes[] = {
    {"GET", "/crash-often", crash_often, .lane = RMD_COMPUTE},
    {"GET", "/crash-often-idempotent", crash_often, .lane = RMD_COMPUTE, .idempotent = true},
    {"PUT", "/scribble-once", scribble_once, .lane = RMD_COMPUTE, .idempotent = true},
    {"GET", "/moody", moody, .lane = RMD_COMPUTE},
    {"GET", "/moody-with-fallback", moody, .lane = RMD_COMPUTE, .fallback = instead},
    {"POST", "/offload/:task", offload, .body_limit = 64 << 20},
    {"POST", "/offload-io/:task", offload, .lane = RMD_IO, .body_limit = 64 << 20},
    {"POST", "/offload-or-error/:task", offload_or_error, .body_limit = 64 << 20},
    {"POST", "/wait/:task", offload_wait, .body_limit = 64 << 20},
    {"POST", "/wait-io/:task", offload_wait, .lane = RMD_IO, .body_limit = 64 << 20},
    {"POST", "/map/:task", map, .body_limit = 64 << 20},
    {"POST", "/map-io/:task", map, .lane = RMD_IO, .body_limit = 64 << 20},
    {"POST", "/offload-compute/:task", offload, .lane = RMD_COMPUTE},
    {"GET", "/hooks", hooks},
    {"GET", "/hooks/default", hooks, .lane = RMD_COMPUTE},
    {"GET", "/hooks/other", hooks, .lane = RMD_COMPUTE, .pool = "other"},
    {"GET", "/", hello},
    {"GET", "/who", who, .lane = RMD_COMPUTE},
    {"GET", "/until", until, .lane = RMD_COMPUTE},
    {"GET", "/crash", crash, .lane = RMD_COMPUTE},
    {"GET", "/loop", loop, .lane = RMD_COMPUTE},
    {"GET", "/loop-briefly", loop, .lane = RMD_COMPUTE, .timeout_ms = 300},
    {"GET", "/loop-at-once", loop_on, .lane = RMD_COMPUTE, .timeout_ms = 20},
    {"GET", "/work", work, .lane = RMD_COMPUTE},
    {"POST", "/check", check, .lane = RMD_COMPUTE, .body_limit = 64 << 20},
    {"GET", "/make", make, .lane = RMD_COMPUTE},
    {"GET", "/leave", leave, .lane = RMD_COMPUTE},
    {"GET", "/leave-open", leave_open, .lane = RMD_COMPUTE},
    {"GET", "/redirect", redirect, .lane = RMD_COMPUTE},
    {"GET", "/stop-briefly", stop_oneself, .lane = RMD_COMPUTE, .timeout_ms = 300},
    {"GET", "/ignore-refusal", ignore_refusal, .lane = RMD_COMPUTE},
    {"GET", "/threads-take-memory", threads_take_memory, .lane = RMD_COMPUTE},
    {"GET", "/close-all", close_all, .lane = RMD_COMPUTE, .timeout_ms = 5000},
    {"GET", "/write-garbage", write_garbage, .lane = RMD_COMPUTE, .timeout_ms = 5000},
    {"GET", "/write-seat", write_seat, .lane = RMD_COMPUTE},
    {"GET", "/fork-bomb", fork_bomb, .lane = RMD_COMPUTE},
    {"GET", "/leave-children", leave_children, .lane = RMD_COMPUTE},
    {0},
};

static void tell(const char *what, const char *pool)
{
    size_t len = strlen(told);
    snprintf(told + len, sizeof(told) - len, "%s%s%s", what, pool ? " " : "", pool ? pool : "");
}

static int on_init(void)
{
    crashes =
        mmap(NULL, sizeof *crashes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (crashes == MAP_FAILED)
        return -1;
    tell("init", NULL);
    return 0;
}

static int on_pool_init(const char *pool)
{
    tell(", pool_init", pool);
    return 0;
}

static int on_worker_init(void)
{
    tell(", worker_init", NULL);
    return 0;
}

static int on_compute_init(const char *pool)
{
    tell(", compute_init", pool);
    return 0;
}

RMD_APP(.name = "heavy", .routes = routes, .init = on_init, .pool_init = on_pool_init,
        .worker_init = on_worker_init, .compute_init = on_compute_init, .tasks = tasks);
