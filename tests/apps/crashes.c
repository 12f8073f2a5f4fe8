/* Ways to die, each in a function whose name a backtrace has to show. */
#include <remuda.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a sanitizer would stop before it happens has to happen. */
#define NOINLINE __attribute__((noinline, no_sanitize("undefined"), no_sanitize("address")))

static int *volatile nothing;
static volatile int zero;
static volatile unsigned counter;

static NOINLINE int dereference_nothing(void)
{
    return *nothing + 1;
}

static void null_pointer(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "%d\n", dereference_nothing() + 1);
}

static NOINLINE int recurse_for_ever(int depth)
{
    volatile char room[4096];
    room[depth % 4096] = (char)depth;
    return depth < 0 ? 0 : recurse_for_ever(depth + 1) + room[0]; /* the stack ends sooner */
}

static void stack_overflow(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "%d\n", recurse_for_ever(0));
}

static void (*volatile no_function)(void);

static NOINLINE void call_nothing(void)
{
    no_function();
    counter++;
}

static void null_call(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    call_nothing();
    counter++;
}

static NOINLINE int divide_by_zero(void)
{
    return 7 / zero;
}

static void division(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "%d\n", divide_by_zero());
}

static NOINLINE void give_up(void)
{
    abort();
}

static void aborted(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    give_up();
}

static NOINLINE void leave_early(int code)
{
    exit(code);
}

static void exits(rmd_request *req, rmd_response *res)
{
    long long code = 0;
    (void)res;
    (void)rmd_query_int(req, "code", 0, 255, &code);
    leave_early((int)code);
}

static void exits_at_once(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    _exit(9);
}

static NOINLINE void spin_for_ever(void)
{
    for (;;)
        counter++;
}

static void spins(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    rmd_log(RMD_LOG_NOTICE, "crashes spins");
    spin_for_ever();
}

/* Nothing but SIGKILL ends it. */
static void spins_deaf(rmd_request *req, rmd_response *res)
{
    sigset_t all;
    (void)req, (void)res;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    rmd_log(RMD_LOG_NOTICE, "crashes spins");
    spin_for_ever();
}

static void *crash_in_thread(void *arg)
{
    (void)arg;
    counter += (unsigned)dereference_nothing();
    return NULL;
}

static void thread(rmd_request *req, rmd_response *res)
{
    pthread_t id;
    (void)req;
    if (pthread_create(&id, NULL, crash_in_thread, NULL) == 0)
        (void)pthread_join(id, NULL);
    rmd_text(res, 200, "alive\n");
}

/* Destroys what the handler looks at: the request, and the stack through which it came. */
static NOINLINE void scribbles(rmd_request *req, rmd_response *res)
{
    volatile char *here = (volatile char *)&res;
    volatile char *request = (volatile char *)req;
    for (int i = 0; i < 256; i++)
        request[i] = 0x5a;
    for (int i = 0; i < 2048; i++)
        here[i] = 0x5a;
    counter += (unsigned)dereference_nothing();
}

static void of_its_own(int number)
{
    static const char text[] = "the app's own handler\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(100 + number % 2);
}

/* Handlers of an app's own win. */
static void own_handler(rmd_request *req, rmd_response *res)
{
    (void)signal(SIGSEGV, of_its_own);
    null_pointer(req, res);
}

/* A child of the app's that crashes is no worker. */
static void forks(rmd_request *req, rmd_response *res)
{
    (void)req;
    pid_t pid = fork();
    if (pid == 0)
        counter += (unsigned)dereference_nothing();
    rmd_text(res, 200, "%d\n", (int)pid);
}

static void echo_length(rmd_request *req, rmd_response *res)
{
    if (rmd_query(req, "crash"))
        counter += (unsigned)dereference_nothing();
    rmd_text(res, 200, "%zu\n", rmd_body(req).len);
}

/* Takes memory until somebody objects. */
static NOINLINE void eats(rmd_request *req, rmd_response *res)
{
    for (int i = 0; i < 1024; i++) {
        char *block = malloc(1 << 20);
        if (block)
            memset(block, i, 1 << 20);
        counter += block ? (unsigned char)block[i] : 0;
    }
    rmd_text(res, 200, "all of it, for %s\n", rmd_method(req));
}

static NOINLINE int produce_nothing(rmd_writer *out, void *state)
{
    (void)state;
    if (rmd_write(out, "a beginning\n", 12) < 0 || counter++ > 0)
        return dereference_nothing();
    return 1;
}

static void stream(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_stream(res, 200, "text/plain", produce_nothing, NULL, NULL);
}

static void answer_nothing(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)arg;
    rmd_text(res, 200, "%d\n", dereference_nothing());
}

static void deferred(rmd_request *req, rmd_response *res)
{
    (void)res;
    rmd_deferred *ticket = rmd_defer(req);
    if (ticket)
        rmd_complete(ticket, answer_nothing, NULL);
}

static const rmd_route routes[] = {
    {"GET", "/null", null_pointer, .lane = RMD_INLINE},
    {"GET", "/overflow", stack_overflow, .lane = RMD_INLINE},
    {"GET", "/call", null_call, .lane = RMD_INLINE},
    {"GET", "/divide", division, .lane = RMD_INLINE},
    {"GET", "/abort", aborted, .lane = RMD_INLINE},
    {"GET", "/exit", exits, .lane = RMD_INLINE},
    {"GET", "/quick-exit", exits_at_once, .lane = RMD_INLINE},
    {"GET", "/spin", spins, .lane = RMD_INLINE},
    {"GET", "/spin-deaf", spins_deaf, .lane = RMD_INLINE},
    {"GET", "/eat", eats, .lane = RMD_INLINE},
    {"GET", "/io-null", null_pointer, .lane = RMD_IO},
    {"GET", "/io-overflow", stack_overflow, .lane = RMD_IO},
    {"GET", "/stream", stream, .lane = RMD_INLINE},
    {"GET", "/deferred", deferred, .lane = RMD_INLINE},
    {"GET", "/thread", thread, .lane = RMD_INLINE},
    {"GET", "/scribble", scribbles, .lane = RMD_INLINE},
    {"GET", "/own-handler", own_handler, .lane = RMD_INLINE},
    {"GET", "/fork", forks, .lane = RMD_INLINE},
    {"POST", "/length", echo_length, .lane = RMD_INLINE},
    {0},
};

RMD_APP(.name = "crashes", .routes = routes);
