/* A client that asks at a fixed rate whatever comes back: an open loop, for latencies.
 *
 * Request k is meant to be sent k / rate seconds after the start, on connection k % connections.
 * Its latency runs from that moment to its answer's last octet, also when it could be sent only
 * later, because its connection still waited for the answer before. A closed loop (wrk's) would not
 * have asked meanwhile, and so would leave out just the waits that matter: coordinated omission.
 *
 * Every answer must have status 200 and the length of the first. It prints one line; late_p99_us is
 * how late this process itself sent those that nothing kept it from sending: its own part in the
 * latencies, so a figure near p99_us says that the machine, not the server, was measured. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_S 30 /* without any answer */
#define CONNECTIONS_MAX 1024
#define STATUS "HTTP/1.1 200 "

struct conn {
    int fd;
    uint64_t k;     /* the request under way, or the next one */
    uint64_t owed;  /* requests whose time has come, the one under way among them */
    size_t came_in; /* octets of its answer */
};

static struct {
    uint16_t port;
    unsigned long rate;
    unsigned long connections;
    unsigned long seconds;
    const char *target;
} opt = {.rate = 2000, .connections = 16, .seconds = 5, .target = "/"};

static struct conn conns[CONNECTIONS_MAX];
static char request[512];
static size_t request_len, answer_len;
static uint32_t *latencies_us, *lates_us;
static uint64_t n_requests, n_answered, n_lates, start_ns;
static int epoll_fd;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "steady: %s after %llu answers\n", what, (unsigned long long)n_answered);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t due_ns(uint64_t k)
{
    return start_ns + k * 1000000000 / opt.rate;
}

static uint32_t us_since(uint64_t then_ns)
{
    uint64_t us = (now_ns() - then_ns) / 1000;

    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* ---- A connection ---- */

static int open_connection(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval deadline = {.tv_sec = DEADLINE_S};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0 ||
        connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        fail(strerror(errno));
    return fd;
}

static void conn_send(struct conn *c)
{
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        fail(strerror(errno));
}

/* What an answer looks like, on a connection's first request, which is not measured. */
static void conn_warm_up(struct conn *c)
{
    static char in[65536];
    ssize_t n;

    conn_send(c);
    n = recv(c->fd, in, sizeof(in), 0);
    if (n <= 0 || memcmp(in, STATUS, sizeof(STATUS) - 1) != 0)
        fail("no answer with 200");
    if (answer_len == 0)
        answer_len = (size_t)n;
    if ((size_t)n != answer_len)
        fail("an answer of another length than the first");
}

static void conn_begin(struct conn *c)
{
    c->came_in = 0;
    conn_send(c);
}

static void conn_on_answer(struct conn *c)
{
    latencies_us[n_answered++] = us_since(due_ns(c->k));
    c->k += opt.connections;
    c->owed--;
    if (c->owed > 0)
        conn_begin(c);
}

static void conn_read(struct conn *c)
{
    char in[65536];
    ssize_t n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        fail(n < 0 ? strerror(errno) : "connection closed");
    if (c->came_in == 0 &&
        ((size_t)n < sizeof(STATUS) - 1 || memcmp(in, STATUS, sizeof(STATUS) - 1) != 0))
        fail("an answer other than 200");
    c->came_in += (size_t)n;
    if (c->owed == 0 || c->came_in > answer_len)
        fail("more octets than answers");
    if (c->came_in == answer_len)
        conn_on_answer(c);
}

/* ---- The loop ---- */

static void start_due(uint64_t *next)
{
    for (; *next < n_requests && due_ns(*next) <= now_ns(); ++*next) {
        struct conn *c = &conns[*next % opt.connections];

        c->owed++;
        if (c->owed > 1)
            continue; /* its connection waits: sent when that answer is there */
        lates_us[n_lates++] = us_since(due_ns(*next));
        conn_begin(c);
    }
}

static void wait_until_due(uint64_t next)
{
    struct epoll_event events[64];
    uint64_t now = now_ns();
    uint64_t due = next < n_requests ? due_ns(next) : now + DEADLINE_S * 1000000000ULL;
    uint64_t wait_ns = due > now ? due - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000),
                               .tv_nsec = (long)(wait_ns % 1000000000)};
    int n = epoll_pwait2(epoll_fd, events, 64, &timeout, NULL);

    if (n < 0 && errno != EINTR)
        fail(strerror(errno));
    if (n == 0 && next >= n_requests)
        fail("no answer");
    for (int i = 0; i < n; i++)
        conn_read(events[i].data.ptr);
}

static void run(void)
{
    uint64_t next = 0;

    start_ns = now_ns();
    while (n_answered < n_requests) {
        start_due(&next);
        wait_until_due(next);
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Of a sorted array. */
static uint32_t percentile(const uint32_t *values, uint64_t n, unsigned thousandths)
{
    return n > 0 ? values[(n - 1) * thousandths / 1000] : 0;
}

static void report(void)
{
    qsort(latencies_us, n_answered, sizeof(*latencies_us), compare);
    qsort(lates_us, n_lates, sizeof(*lates_us), compare);
    printf("requests=%llu p50_us=%u p99_us=%u p999_us=%u max_us=%u late_p99_us=%u\n",
           (unsigned long long)n_answered, percentile(latencies_us, n_answered, 500),
           percentile(latencies_us, n_answered, 990), percentile(latencies_us, n_answered, 999),
           percentile(latencies_us, n_answered, 1000), percentile(lates_us, n_lates, 990));
}

/* ---- Start ---- */

static unsigned long parse_number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || n < min || n > max) {
        fprintf(stderr, "steady: %s: not a number from %lu to %lu\n", text, min, max);
        exit(2);
    }
    return n;
}

static _Noreturn void usage(const char *name)
{
    fprintf(stderr,
            "usage: %s --port PORT [--rate PER-SECOND] [--connections N] [--seconds N] "
            "[--target T]\n",
            name);
    exit(2);
}

static void parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},    {"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'}, {"connections", required_argument, NULL, 'c'},
        {"target", required_argument, NULL, 't'},  {NULL, 0, NULL, 0},
    };
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'p':
            opt.port = (uint16_t)parse_number(optarg, 1, 65535);
            break;
        case 'r':
            opt.rate = parse_number(optarg, 1, 1000000);
            break;
        case 's':
            opt.seconds = parse_number(optarg, 1, 3600);
            break;
        case 'c':
            opt.connections = parse_number(optarg, 1, CONNECTIONS_MAX);
            break;
        case 't':
            opt.target = optarg;
            break;
        default: /* not by optind: getopt_long() would read on behind argv, and never end */
            usage(argv[0]);
        }
    }
    if (opt.port == 0 || optind != argc)
        usage(argv[0]);
}

int main(int argc, char **argv)
{
    int len;

    parse_options(argc, argv);
    len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                   opt.target);
    if (len < 0 || (size_t)len >= sizeof(request))
        fail("target too long");
    request_len = (size_t)len;
    n_requests = (uint64_t)opt.rate * opt.seconds;
    latencies_us = calloc(n_requests, sizeof(*latencies_us));
    lates_us = calloc(n_requests, sizeof(*lates_us));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!latencies_us || !lates_us || epoll_fd < 0)
        fail("no memory");
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* 50 µs otherwise, more than an answer takes */
    for (unsigned long i = 0; i < opt.connections; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &conns[i]};

        conns[i] = (struct conn){.fd = open_connection(), .k = i};
        conn_warm_up(&conns[i]);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conns[i].fd, &ev) < 0)
            fail(strerror(errno));
    }
    run();
    report();
    free(latencies_us);
    free(lates_us);
    return 0;
}
