/* What heavy handlers do at their worst, second part: those that a test holds at their worst moment
 * until it has looked, by a file that they wait for. */
#define _GNU_SOURCE

#include <remuda.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_BYTES 96 /* of garbage, about as long as what belongs there */

static void hello(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "hello\n");
}

/* Until the file ?file= is there. */
static void wait_for_file(rmd_request *req)
{
    const char *file = rmd_query(req, "file");
    while (file && access(file, F_OK) != 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void who(rmd_request *req, rmd_response *res)
{
    wait_for_file(req);
    rmd_text(res, 200, "%s %d\n", rmd_role(), (int)getpid());
}

/* Its answer has ?n= octets. */
static void waits(rmd_request *req, rmd_response *res)
{
    static char text[4096];
    long long n = 8;
    (void)rmd_query_int(req, "n", 0, sizeof(text), &n);
    rmd_log(RMD_LOG_NOTICE, "wild waits %d", (int)getpid());
    wait_for_file(req);
    memset(text, 'w', (size_t)n);
    rmd_send(res, 200, "text/plain", text, (size_t)n);
}

/* ---- memory ---- */

static atomic_ulong taken; /* octets, by all threads */

/* As long as there is any: large pieces, then ever smaller ones, each octet of them private. */
static void *take_all(void *arg)
{
    for (size_t n = 1 << 20; n >= 4096; n /= 2) {
        void *at;
        while ((at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) !=
               MAP_FAILED) {
            memset(at, 1, n);
            atomic_fetch_add(&taken, n);
        }
    }
    return arg;
}

/* ?threads= and the handler itself take what there is; then it dies of that. */
static void hoard(rmd_request *req, rmd_response *res)
{
    pthread_t threads[16];
    long long n = 0;
    (void)res;
    (void)rmd_query_int(req, "threads", 0, 16, &n);
    for (int i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, take_all, NULL) != 0)
            n = i;
    (void)take_all(NULL);
    for (int i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    rmd_log(RMD_LOG_NOTICE, "wild has all kib=%lu", atomic_load(&taken) / 1024);
    wait_for_file(req);
    char *more = malloc((size_t)1 << 40);
    ((volatile char *)more)[4096] = 1; /* nobody has looked whether there is any */
}

/* What it has in the room that it shares with the web workers dies with it. */
static void crash_with_answer(rmd_request *req, rmd_response *res)
{
    enum { BYTES = 256 * 1024 };
    char *data = rmd_alloc(req, BYTES);
    (void)res;
    if (data)
        memset(data, 'x', BYTES);
    volatile uintptr_t nowhere = 16; /* of NULL a sanitizer would end it in its own way */
    *(volatile int *)nowhere = 1;
}

/* ---- descriptors ---- */

/* All that it may have, which it keeps. */
static void leak(rmd_request *req, rmd_response *res)
{
    int n = 0;
    (void)req;
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        n++;
    rmd_text(res, 200, "%d of %d\n", n, (int)getpid());
}

#define SOCKETS_MAX 256

static bool is_own[SOCKETS_MAX]; /* sockets that a worker has without a task */
static int kept = -1;            /* a copy of one that came with a task: the inbox of who asked */

static bool is_socket(int fd)
{
    int type;
    socklen_t len = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

static int note_sockets(const char *pool)
{
    (void)pool;
    for (int fd = 0; fd < SOCKETS_MAX; fd++)
        is_own[fd] = is_socket(fd);
    return 0;
}

static void keep_inbox(rmd_request *req, rmd_response *res)
{
    (void)req;
    for (int fd = 0; fd < SOCKETS_MAX; fd++)
        if (is_socket(fd) && !is_own[fd])
            kept = fcntl(fd, F_DUPFD_CLOEXEC, SOCKETS_MAX);
    rmd_text(res, 200, "%s\n", kept >= 0 ? "kept" : "there is none");
}

/* ?n= frames of garbage into it, as fast as whoever reads there takes them. */
static void flood(rmd_request *req, rmd_response *res)
{
    char frame[FRAME_BYTES];
    long long n = 0;
    (void)rmd_query_int(req, "n", 0, 10000000, &n);
    memset(frame, 'x', sizeof(frame));
    for (long long i = 0; i < n; i++)
        while (send(kept, frame, sizeof(frame), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
               errno == EAGAIN && !rmd_cancelled(req))
            (void)poll(&(struct pollfd){.fd = kept, .events = POLLOUT}, 1, 100);
    rmd_log(RMD_LOG_NOTICE, "wild has flooded n=%lld", n);
    rmd_text(res, 200, "flooded\n");
}

static const rmd_route routes[] = {
    {"GET", "/", hello},
    {"GET", "/here", who},
    {"GET", "/who", who, .lane = RMD_COMPUTE},
    {"GET", "/wait", waits, .lane = RMD_COMPUTE},
    {"GET", "/hoard", hoard, .lane = RMD_COMPUTE},
    {"GET", "/crash", crash_with_answer, .lane = RMD_COMPUTE},
    {"GET", "/leak", leak, .lane = RMD_COMPUTE},
    {"GET", "/keep-inbox", keep_inbox, .lane = RMD_COMPUTE},
    {"GET", "/flood", flood, .lane = RMD_COMPUTE},
    {0},
};

RMD_APP(.name = "wild", .routes = routes, .compute_init = note_sockets);
