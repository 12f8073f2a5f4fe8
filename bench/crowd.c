/* Many connections that want little: the slow and the idle clients of bench/slow and bench/idle.
 *
 * One process, one epoll, N connections of one kind. Each has its turn once a period, and the turns
 * are spread evenly over it: with 1,000 clients and a period of a second one comes each
 * millisecond. The first turn opens the connection, so they come staggered too.
 *     idle     asks once, takes the answer, then keeps the connection without a word
 *     headers  sends a request's head, --rate octets a turn, without an end
 *     bodies   sends a head at once, then its body, --rate octets a turn; 0: nothing of it
 *     readers  asks for --bytes octets, then takes --rate of them a turn, with a small buffer and
 *              segments of Ethernet's size, as a client far away has; with --fast it takes so many
 *              as fast as they come before it becomes slow, with buffers as large as they grow
 * A connection that the server ends is counted by how it ended, and opened again with --again.
 *
 * A reader hears of a close only behind what lies unread in the kernel's buffers. So one that is
 * still there --until ms after its request takes the rest at full speed: whoever was cut off by
 * then finds an end before the last octet, and whoever was not finds them all.
 *
 * Prints `ready` when every client is there, and at the end, on TERM or when all have ended, a line
 * of counts. first_ms and last_ms are the least and the greatest age, from the connect, at which a
 * client was told or cut. The clock is this process's: whoever delays it delays them. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 100000
#define CLIENTS_AN_ADDRESS 10000 /* of 28,000 ports that the kernel gives for one (ip(7)) */
#define EVENTS_MAX 256
#define RATE_MAX 4096
#define READER_BUFFER 2048 /* SO_RCVBUF, which the kernel doubles (socket(7)) */
#define READER_SEGMENT 1448
#define STATUS_LEN 12 /* "HTTP/1.1 200" */

enum kind { KIND_IDLE, KIND_HEADERS, KIND_BODIES, KIND_READERS, KINDS };
static const char *const kind_names[] = {"idle", "headers", "bodies", "readers"};

/* How a connection ended, as the client saw it. */
enum ending {
    END_408,      /* that answer, then the end */
    END_OTHER,    /* another answer, then the end */
    END_CUT,      /* the end, where an answer, or the rest of it, was owed */
    END_RESET,    /* the same by RST */
    END_COMPLETE, /* a reader got all it asked for */
    ENDINGS
};
static const char *const ending_names[] = {"answered_408", "answered_other", "cut", "reset",
                                           "complete"};

struct client {
    int fd;            /* -1: not open */
    bool is_over;      /* ended, and not to be opened again */
    bool is_answered;  /* the first octet of an answer came */
    bool is_hurrying;  /* a reader that takes all there is: past --until, or within --fast */
    uint64_t begun_us; /* when it connected */
    uint64_t told_us;  /* when the first octet of an answer came */
    uint64_t sent;     /* octets of the request */
    uint64_t received;
    char status[STATUS_LEN]; /* the answer's first octets */
};

static struct {
    enum kind kind;
    uint16_t port;
    unsigned long clients;
    unsigned long period_ms;
    unsigned long rate;
    unsigned long bytes;
    unsigned long fast;     /* octets; 0: slow from the start */
    unsigned long until_ms; /* 0: never */
    bool again;
} opt = {.kind = KINDS, .clients = 1000, .period_ms = 1000, .rate = 1, .bytes = 4 << 20};

static struct client *clients;
static int epoll_fd;
static volatile sig_atomic_t is_told_to_stop;
static char request[512]; /* what is sent at once, or of KIND_HEADERS the beginning */
static size_t request_len;

static struct {
    unsigned long opened;
    unsigned long refused; /* connects that failed */
    unsigned long answered;
    unsigned long over; /* clients that are */
    unsigned long endings[ENDINGS];
    uint64_t first_us; /* of the ages at which one was told or cut */
    uint64_t last_us;
} count = {.first_us = UINT64_MAX};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- Endings ---- */

static void count_age(uint64_t age_us)
{
    if (age_us < count.first_us)
        count.first_us = age_us;
    if (age_us > count.last_us)
        count.last_us = age_us;
}

static void client_end(struct client *c, enum ending ending)
{
    uint64_t end_us = c->is_answered && opt.kind != KIND_READERS ? c->told_us : now_us();

    count.endings[ending]++;
    if (ending != END_COMPLETE)
        count_age(end_us - c->begun_us);
    close(c->fd);
    c->fd = -1;
    c->is_over = !opt.again;
    count.over += c->is_over;
}

/* After the end of what the server sends. */
static enum ending ending_of(const struct client *c, bool is_reset)
{
    bool is_told = opt.kind == KIND_HEADERS || opt.kind == KIND_BODIES;

    if (is_told && c->received >= STATUS_LEN)
        return memcmp(c->status, "HTTP/1.1 408", STATUS_LEN) == 0 ? END_408 : END_OTHER;
    if (opt.kind == KIND_READERS && c->received >= opt.bytes)
        return END_COMPLETE;
    return is_reset ? END_RESET : END_CUT;
}

/* ---- Reading ---- */

static void client_watch(struct client *c, int op, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    if (epoll_ctl(epoll_fd, op, c->fd, &ev) < 0)
        fail("epoll_ctl");
}

static void keep_status(struct client *c, const char *data, size_t len)
{
    for (size_t i = 0; i < len && c->received + i < STATUS_LEN; i++)
        c->status[c->received + i] = data[i];
    c->received += len;
    if (c->is_answered || c->received < STATUS_LEN)
        return;
    c->is_answered = true;
    c->told_us = now_us();
    count.answered++;
}

static void client_hurry(struct client *c, bool is_on)
{
    c->is_hurrying = is_on;
    client_watch(c, EPOLL_CTL_MOD, is_on ? EPOLLIN : 0);
}

/* Reads at most `most` octets. Returns false when the connection has ended */
static bool client_read(struct client *c, size_t most)
{
    static char data[65536];
    ssize_t n = recv(c->fd, data, most < sizeof(data) ? most : sizeof(data), MSG_DONTWAIT);

    if (n > 0) {
        bool was_fast = c->received < opt.fast;

        keep_status(c, data, (size_t)n);
        if (was_fast && c->received >= opt.fast)
            client_hurry(c, false);
        if (opt.kind != KIND_READERS || c->received < opt.bytes)
            return true;
        client_end(c, END_COMPLETE);
        return false;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    client_end(c, ending_of(c, n < 0));
    return false;
}

/* A reader is not told of input, only of a reset, until it hurries. */
static void on_event(struct client *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (opt.kind == KIND_READERS && !c->is_hurrying && (events & (EPOLLERR | EPOLLHUP)))
        client_end(c, ending_of(c, true));
    else
        (void)client_read(c, SIZE_MAX);
}

/* ---- Turns ---- */

/* A broken connection is noticed by its reading side, so errors are not looked at here. */
static void client_send(struct client *c, const char *data, size_t len)
{
    ssize_t n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n > 0)
        c->sent += (uint64_t)n;
}

static void client_drip(struct client *c)
{
    static char filler[RATE_MAX];
    size_t left = c->sent < request_len ? request_len - (size_t)c->sent : 0;

    if (opt.rate == 0)
        return;
    if (filler[0] == '\0')
        memset(filler, 'x', sizeof(filler));
    if (left > 0)
        client_send(c, request + c->sent, left < opt.rate ? left : opt.rate);
    else
        client_send(c, filler, opt.rate);
}

static int connect_from(unsigned long i)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1, buffer = READER_BUFFER, segment = READER_SEGMENT;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr =
                                   htonl(INADDR_LOOPBACK + (uint32_t)(i / CLIENTS_AN_ADDRESS))};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    if (fd < 0)
        fail("socket");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
        fail("a socket's options");
    if (opt.kind == KIND_READERS && opt.fast == 0 &&
        (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)) < 0 ||
         setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)) < 0))
        fail("a reader's options");
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void client_open(struct client *c)
{
    int fd = connect_from((unsigned long)(c - clients));

    *c = (struct client){.fd = fd, .begun_us = now_us(), .is_hurrying = opt.fast > 0};
    if (fd < 0) {
        count.refused++;
        c->is_over = !opt.again;
        count.over += c->is_over;
        return;
    }
    count.opened++;
    client_watch(c, EPOLL_CTL_ADD, opt.kind == KIND_READERS && !c->is_hurrying ? 0 : EPOLLIN);
    if (opt.kind == KIND_HEADERS)
        client_drip(c);
    else
        client_send(c, request, request_len);
}

static void client_act(struct client *c, uint64_t now)
{
    if (c->is_over)
        return;
    if (c->fd < 0) {
        client_open(c);
        return;
    }
    if (opt.kind == KIND_HEADERS || opt.kind == KIND_BODIES) {
        client_drip(c);
    } else if (opt.kind == KIND_READERS && !c->is_hurrying) {
        if (opt.until_ms > 0 && now >= c->begun_us + opt.until_ms * 1000) {
            client_hurry(c, true);
        } else if (opt.rate > 0) {
            (void)client_read(c, opt.rate);
        }
    }
}

/* ---- The loop ---- */

static void on_signal(int signal)
{
    (void)signal;
    is_told_to_stop = 1;
}

/* Never for long: a signal may have come between the last look and the wait. */
static void wait_for_events(uint64_t wait_us)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t wait_ms = (wait_us + 999) / 1000;
    int n = epoll_wait(epoll_fd, events, EVENTS_MAX, wait_ms < 100 ? (int)wait_ms : 100);

    if (n < 0 && errno != EINTR)
        fail("epoll_wait");
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr, events[i].events);
}

/* Turn number k of all, that of client k % clients, is due k × period / clients after the start. */
static uint64_t due_us(uint64_t start_us, uint64_t turn)
{
    return start_us + turn * opt.period_ms * 1000 / opt.clients;
}

static bool is_everyone_here(uint64_t turn)
{
    if (turn < opt.clients)
        return false;
    return opt.kind != KIND_IDLE || count.answered + count.refused >= opt.clients;
}

static void run(void)
{
    uint64_t start_us = now_us(), turn = 0;
    bool is_ready = false;

    while (!is_told_to_stop && count.over < opt.clients) {
        uint64_t now = now_us(), next;

        while (due_us(start_us, turn) <= now)
            client_act(&clients[turn++ % opt.clients], now);
        if (!is_ready && is_everyone_here(turn)) {
            is_ready = true;
            puts("ready");
            fflush(stdout);
        }
        next = due_us(start_us, turn);
        wait_for_events(next > now ? next - now : 0);
    }
}

static void report(void)
{
    unsigned long open = 0;

    for (unsigned long i = 0; i < opt.clients; i++)
        open += clients[i].fd >= 0;
    printf("kind=%s opened=%lu refused=%lu", kind_names[opt.kind], count.opened, count.refused);
    for (int i = 0; i < ENDINGS; i++)
        printf(" %s=%lu", ending_names[i], count.endings[i]);
    printf(" open=%lu first_ms=%llu last_ms=%llu\n", open,
           (unsigned long long)(count.first_us == UINT64_MAX ? 0 : count.first_us / 1000),
           (unsigned long long)(count.last_us / 1000));
}

/* ---- Start ---- */

static void compose_request(void)
{
    int n = -1;

    switch (opt.kind) {
    case KIND_IDLE:
        n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: crowd\r\n\r\n");
        break;
    case KIND_HEADERS:
        n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: crowd\r\nX-Slow: ");
        break;
    case KIND_BODIES:
        n = snprintf(request, sizeof(request),
                     "POST /echo HTTP/1.1\r\nHost: crowd\r\nContent-Length: %lu\r\n\r\n",
                     opt.bytes);
        break;
    default:
        n = snprintf(request, sizeof(request), "GET /bytes?n=%lu HTTP/1.1\r\nHost: crowd\r\n\r\n",
                     opt.bytes);
        break;
    }
    request_len = n > 0 ? (size_t)n : 0;
}

static void raise_nofile(void)
{
    struct rlimit limit;
    rlim_t need = opt.clients + 64;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("getrlimit");
    if (limit.rlim_cur >= need)
        return;
    limit.rlim_cur = need;
    if (limit.rlim_max < need)
        limit.rlim_max = need; /* takes CAP_SYS_RESOURCE */
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("the limit on open files (ulimit -n)");
}

static unsigned long parse_number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || n < min || n > max) {
        fprintf(stderr, "crowd: %s: not a number from %lu to %lu\n", text, min, max);
        exit(2);
    }
    return n;
}

static enum kind parse_kind(const char *text)
{
    enum kind kind = 0;

    while (kind < KINDS && strcmp(kind_names[kind], text) != 0)
        kind++;
    return kind;
}

static _Noreturn void usage(const char *name)
{
    fprintf(stderr,
            "usage: %s --port PORT --kind idle|headers|bodies|readers [--clients N] "
            "[--period MS] [--rate OCTETS] [--bytes N] [--fast N] [--until MS] [--again]\n",
            name);
    exit(2);
}

static void parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},    {"kind", required_argument, NULL, 'k'},
        {"clients", required_argument, NULL, 'c'}, {"period", required_argument, NULL, 'm'},
        {"rate", required_argument, NULL, 'r'},    {"bytes", required_argument, NULL, 'b'},
        {"until", required_argument, NULL, 'u'},   {"again", no_argument, NULL, 'a'},
        {"fast", required_argument, NULL, 'f'},    {NULL, 0, NULL, 0},
    };
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'p':
            opt.port = (uint16_t)parse_number(optarg, 1, 65535);
            break;
        case 'k':
            opt.kind = parse_kind(optarg);
            break;
        case 'c':
            opt.clients = parse_number(optarg, 1, CLIENTS_MAX);
            break;
        case 'm':
            opt.period_ms = parse_number(optarg, 1, 3600000);
            break;
        case 'r':
            opt.rate = parse_number(optarg, 0, RATE_MAX);
            break;
        case 'b':
            opt.bytes = parse_number(optarg, 1, 64 << 20);
            break;
        case 'f':
            opt.fast = parse_number(optarg, 1, 64 << 20);
            break;
        case 'u':
            opt.until_ms = parse_number(optarg, 1, 3600000);
            break;
        case 'a':
            opt.again = true;
            break;
        default:
            usage(argv[0]);
        }
    }
    if (opt.port == 0 || opt.kind == KINDS || optind != argc)
        usage(argv[0]);
}

int main(int argc, char **argv)
{
    struct sigaction stop = {.sa_handler = on_signal};

    parse_options(argc, argv);
    compose_request();
    raise_nofile();
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    clients = calloc(opt.clients, sizeof(*clients));
    if (epoll_fd < 0 || !clients)
        fail("start");
    for (unsigned long i = 0; i < opt.clients; i++)
        clients[i].fd = -1;
    run();
    report();
    free(clients);
    return 0;
}
