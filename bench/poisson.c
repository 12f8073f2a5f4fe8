/* A client that asks at random moments whatever comes back: an open loop with Poisson arrivals, as
 * many independent people make them, of light requests with a share of heavy ones among them.
 *
 * When each request is due and whether it is heavy is drawn before the start, from the seed alone:
 * two runs with one seed ask the same at the same moments, and with --light-only the heavy ones are
 * left out and the light ones stay where they were. A latency runs from the moment at which the
 * request was due to its answer's last octet, so one that is sent late has waited all the same, and
 * nothing that a slow server does keeps the next one from being sent (coordinated omission).
 *
 * No request waits for another's answer. It takes the connection that has been idle longest, or a
 * new one while fewer than --connections are open and whenever none is idle. A server that closes a
 * connection after each answer gets a new one for each request, and its making is in the latency.
 * A request that was sent into a connection just while the server closed it is sent again, as
 * browsers do; what fails otherwise counts as one that took for ever.
 *
 * It prints one line. sent_late is how late this process itself began to send, read_late how long
 * an answer lay in its socket before it was read (the kernel stamps what arrives): its own part in
 * the latencies. Where they are near the latencies, the client was measured. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 8192
#define ANSWER_MAX 4096
#define PATIENCE_NS 20000000000ULL /* after the last was sent; what is missing then has failed */
#define FOR_EVER UINT32_MAX

enum kind { LIGHT, HEAVY, KINDS };

struct arrival {
    uint64_t due_ns; /* after the start */
    uint32_t latency_us;
    uint8_t kind;
    bool is_done;
    bool was_resent;
};

struct conn {
    TAILQ_ENTRY(conn) link;  /* in idle or unused, or in neither */
    int fd;                  /* -1: unused */
    struct arrival *arrival; /* under way; NULL: none */
    bool is_idle;            /* in the list idle */
    bool is_sent;            /* false: waits for the connection to be made */
    bool has_answered;       /* before this request */
    size_t came_in;          /* octets of the answer */
    uint64_t stamp_ns;       /* when they arrived, CLOCK_REALTIME; 0: not known */
    char in[ANSWER_MAX + 1];
};

TAILQ_HEAD(conns, conn);

static struct {
    uint16_t port;
    unsigned long rate;
    unsigned long connections;
    unsigned long seconds;
    unsigned long warm_up;
    unsigned long heavy; /* per cent of all requests */
    unsigned long seed;
    const char *targets[KINDS];
    bool light_only;
} opt = {.rate = 500,
         .connections = 128,
         .seconds = 10,
         .warm_up = 1,
         .heavy = 10,
         .seed = 1,
         .targets = {"/", "/burn?ms=20"}};

static struct conn all[CONNECTIONS_MAX];
static struct conns idle = TAILQ_HEAD_INITIALIZER(idle), unused = TAILQ_HEAD_INITIALIZER(unused);
static size_t n_open, n_opened;
static char requests[KINDS][512];
static long long body_len[KINDS] = {-1, -1}; /* of the first answer */
static struct arrival *arrivals;
static uint32_t *sent_late_us, *read_late_us;
static size_t n_arrivals, n_sent, n_read, n_left, n_resent;
static uint64_t start_ns;
static int epoll_fd;

static void send_request(struct arrival *a);

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "poisson: %s\n", what);
    exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static uint32_t us_between(uint64_t from_ns, uint64_t to_ns)
{
    uint64_t us = to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;

    return us < FOR_EVER ? (uint32_t)us : FOR_EVER - 1;
}

/* ---- When to ask for what ---- */

/* splitmix64: every seed gives a sequence of its own. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* In (0, 1], so that its logarithm is finite. */
static double draw_fraction(uint64_t *state)
{
    return (double)((draw(state) >> 11) + 1) / 9007199254740992.0;
}

static void draw_arrivals(void)
{
    double mean_ns = 1e9 / (double)opt.rate;
    double end_ns = (double)(opt.warm_up + opt.seconds) * 1e9;
    size_t room = opt.rate * (opt.warm_up + opt.seconds) * 2 + 1000;
    uint64_t state = opt.seed;

    arrivals = calloc(room, sizeof(*arrivals));
    if (!arrivals)
        fail("no memory");
    for (double at = 0; n_arrivals < room;) {
        bool is_heavy;

        at -= log(draw_fraction(&state)) * mean_ns;
        is_heavy = draw_fraction(&state) * 100 <= (double)opt.heavy;
        if (at >= end_ns)
            break;
        if (is_heavy && opt.light_only)
            continue;
        arrivals[n_arrivals++] = (struct arrival){
            .due_ns = (uint64_t)at, .kind = is_heavy ? HEAVY : LIGHT, .latency_us = FOR_EVER};
    }
    n_left = n_arrivals;
}

/* The first second or so opens the connections and warms caches: sent, but in no figure. */
static bool is_measured(const struct arrival *a)
{
    return a->due_ns >= opt.warm_up * 1000000000;
}

static void finish(struct arrival *a, uint32_t latency_us)
{
    a->latency_us = latency_us;
    a->is_done = true;
    n_left--;
}

/* ---- A connection ---- */

static void conn_close(struct conn *c)
{
    if (c->is_idle)
        TAILQ_REMOVE(&idle, c, link);
    close(c->fd);
    c->fd = -1;
    c->is_idle = false;
    n_open--;
    TAILQ_INSERT_HEAD(&unused, c, link);
}

/* The connection is gone, and with it what was under way. */
static void conn_lose(struct conn *c)
{
    struct arrival *a = c->arrival;
    bool was_closed_idle = c->has_answered && c->came_in == 0;

    c->arrival = NULL;
    conn_close(c);
    if (!a)
        return;
    if (!was_closed_idle || a->was_resent) {
        finish(a, FOR_EVER);
        return;
    }
    a->was_resent = true;
    n_resent++;
    send_request(a);
}

static void conn_send(struct conn *c)
{
    const char *request = requests[c->arrival->kind];
    ssize_t n = (ssize_t)strlen(request);

    c->is_sent = true;
    c->came_in = 0;
    if (send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        conn_lose(c);
}

/* A new one, under way; NULL: none can be had. */
static struct conn *conn_open(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct conn *c = TAILQ_FIRST(&unused);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    int one = 1;
    int fd = c ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;

    if (fd < 0)
        return NULL;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0 ||
        (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        close(fd);
        return NULL;
    }
    TAILQ_REMOVE(&unused, c, link);
    c->fd = fd;
    c->is_sent = c->has_answered = false;
    c->came_in = 0;
    n_open++;
    n_opened++;
    return c;
}

static void send_request(struct arrival *a)
{
    bool wants_new = n_open < opt.connections || a->was_resent;
    struct conn *c = wants_new ? NULL : TAILQ_FIRST(&idle);

    if (!c && !(c = conn_open())) {
        finish(a, FOR_EVER);
        return;
    }
    c->arrival = a;
    if (!c->has_answered)
        return; /* sent when the connection is there */
    TAILQ_REMOVE(&idle, c, link);
    c->is_idle = false;
    conn_send(c);
}

/* ---- Answers ---- */

/* The value of a field of the head, or NULL; names are written without regard to case. */
static const char *field_of(const char *head, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " \t");
    }
    return NULL;
}

/* The answer is whole. */
static void on_answer(struct conn *c, long long body, bool stays)
{
    struct arrival *a = c->arrival;
    uint64_t now = now_ns();
    bool is_good = strncmp(c->in, "HTTP/1.", 7) == 0 && strncmp(c->in + 8, " 200", 4) == 0;

    if (is_good && body_len[a->kind] < 0)
        body_len[a->kind] = body;
    is_good = is_good && body == body_len[a->kind];
    if (c->stamp_ns > 0 && is_measured(a))
        read_late_us[n_read++] = us_between(c->stamp_ns, clock_ns(CLOCK_REALTIME));
    finish(a, is_good ? us_between(start_ns + a->due_ns, now) : FOR_EVER);
    c->arrival = NULL;
    c->came_in = 0;
    c->has_answered = true;
    if (!stays)
        return; /* its end comes as an event */
    c->is_idle = true;
    TAILQ_INSERT_TAIL(&idle, c, link);
}

/* at_end: nothing will follow, which ends an answer that states no length. */
static void look_at_answer(struct conn *c, bool at_end)
{
    const char *end, *length, *connection;
    long long body;

    c->in[c->came_in] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (!end)
        return;
    body = (long long)(c->came_in - (size_t)(end + 4 - c->in));
    length = field_of(c->in, "Content-Length");
    if (length ? body < atoll(length) : !at_end)
        return;
    if (length && body > atoll(length))
        fail("more octets than the answer has");
    connection = field_of(c->in, "Connection");
    on_answer(c, body,
              !at_end && length && strncmp(c->in, "HTTP/1.1", 8) == 0 &&
                  !(connection && strncasecmp(connection, "close", 5) == 0));
}

static ssize_t receive(struct conn *c, char *to, size_t room)
{
    char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec iov = {.iov_base = to, .iov_len = room};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(c->fd, &msg, 0);

    c->stamp_ns = 0;
    for (struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL; h; h = CMSG_NXTHDR(&msg, h)) {
        struct timespec ts;

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&ts, CMSG_DATA(h), sizeof(ts));
        c->stamp_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
    }
    return n;
}

/* Edge-triggered: reads until there is nothing more, so as to see an end right behind an answer. */
static void on_event(struct conn *c, uint32_t events)
{
    if (c->fd < 0)
        return; /* closed by an earlier event of this turn */
    if (c->arrival && !c->is_sent && (events & EPOLLOUT) && !(events & EPOLLERR))
        conn_send(c);
    while (c->fd >= 0) {
        ssize_t n = receive(c, c->in + c->came_in, ANSWER_MAX - c->came_in);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0 && !c->arrival)
            fail("more octets than answers");
        if (n > 0)
            c->came_in += (size_t)n;
        if (c->arrival && c->came_in > 0)
            look_at_answer(c, n == 0);
        if (n <= 0)
            conn_lose(c);
        else if (c->came_in == ANSWER_MAX)
            fail("an answer larger than 4096 octets");
    }
}

/* ---- The loop ---- */

static void send_due(size_t *next)
{
    while (*next < n_arrivals && start_ns + arrivals[*next].due_ns <= now_ns()) {
        struct arrival *a = &arrivals[(*next)++];

        if (is_measured(a))
            sent_late_us[n_sent++] = us_between(start_ns + a->due_ns, now_ns());
        send_request(a);
    }
}

static void wait_until(uint64_t then_ns)
{
    struct epoll_event events[64];
    uint64_t now = now_ns();
    uint64_t wait_ns = then_ns > now ? then_ns - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000),
                               .tv_nsec = (long)(wait_ns % 1000000000)};
    int n = epoll_pwait2(epoll_fd, events, 64, &timeout, NULL);

    if (n < 0 && errno != EINTR)
        fail(strerror(errno));
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr, events[i].events);
}

static void run(void)
{
    size_t next = 0;
    uint64_t end_ns;

    start_ns = now_ns() + 1000000;
    end_ns = start_ns + (opt.warm_up + opt.seconds) * 1000000000 + PATIENCE_NS;
    while (n_left > 0 && now_ns() < end_ns) {
        send_due(&next);
        wait_until(next < n_arrivals ? start_ns + arrivals[next].due_ns : end_ns);
    }
}

/* ---- The line ---- */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void report_percentiles(const char *name, uint32_t *values, size_t n)
{
    static const struct {
        const char *name;
        size_t thousandths;
    } wanted[] = {{"p50", 500}, {"p99", 990}, {"p999", 999}, {"max", 1000}};

    qsort(values, n, sizeof(*values), compare);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
        printf("%s_%s_us=%u ", name, wanted[i].name,
               n > 0 ? values[(n - 1) * wanted[i].thousandths / 1000] : 0);
}

static void report_kind(enum kind kind, const char *name)
{
    uint32_t *values = calloc(n_arrivals + 1, sizeof(*values));
    size_t n = 0, n_failed = 0;

    if (!values)
        fail("no memory");
    for (size_t i = 0; i < n_arrivals; i++) {
        if (arrivals[i].kind != kind || !is_measured(&arrivals[i]))
            continue;
        values[n++] = arrivals[i].latency_us;
        n_failed += arrivals[i].latency_us == FOR_EVER;
    }
    printf("%s_n=%zu %s_failed=%zu ", name, n, name, n_failed);
    report_percentiles(name, values, n);
    free(values);
}

static void report(void)
{
    report_kind(LIGHT, "light");
    report_kind(HEAVY, "heavy");
    report_percentiles("sent_late", sent_late_us, n_sent);
    report_percentiles("read_late", read_late_us, n_read);
    printf("connections=%zu resent=%zu cpu_us=%llu\n", n_opened, n_resent,
           (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000);
}

/* ---- Start ---- */

static _Noreturn void usage(const char *name)
{
    fprintf(stderr,
            "usage: %s --port PORT [--rate PER-SECOND] [--seconds N] [--warm-up N] "
            "[--connections N]\n       [--light TARGET] [--heavy TARGET] [--share PER-CENT] "
            "[--light-only] [--seed N]\n",
            name);
    exit(2);
}

static unsigned long parse_number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || n < min || n > max) {
        fprintf(stderr, "poisson: %s: not a number from %lu to %lu\n", text, min, max);
        exit(2);
    }
    return n;
}

static void parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'},
        {"warm-up", required_argument, NULL, 'w'},
        {"light", required_argument, NULL, 'l'},
        {"connections", required_argument, NULL, 'c'},
        {"heavy", required_argument, NULL, 'h'},
        {"share", required_argument, NULL, 'x'},
        {"seed", required_argument, NULL, 'n'},
        {"light-only", no_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
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
        case 'w':
            opt.warm_up = parse_number(optarg, 0, 60);
            break;
        case 'c':
            opt.connections = parse_number(optarg, 1, CONNECTIONS_MAX);
            break;
        case 'x':
            opt.heavy = parse_number(optarg, 0, 100);
            break;
        case 'n':
            opt.seed = parse_number(optarg, 0, UINT32_MAX);
            break;
        case 'l':
            opt.targets[LIGHT] = optarg;
            break;
        case 'h':
            opt.targets[HEAVY] = optarg;
            break;
        case 'o':
            opt.light_only = true;
            break;
        default:
            usage(argv[0]);
        }
    }
    if (opt.port == 0 || optind != argc)
        usage(argv[0]);
}

static void write_requests(void)
{
    for (int i = 0; i < KINDS; i++) {
        int len = snprintf(requests[i], sizeof(requests[i]),
                           "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", opt.targets[i]);

        if (len < 0 || (size_t)len >= sizeof(requests[i]))
            fail("target too long");
    }
}

static void allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail(strerror(errno));
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* with less, requests fail and are counted */
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    write_requests();
    allow_descriptors();
    draw_arrivals();
    sent_late_us = calloc(n_arrivals + 1, sizeof(*sent_late_us));
    read_late_us = calloc(n_arrivals + 1, sizeof(*read_late_us));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!sent_late_us || !read_late_us || epoll_fd < 0)
        fail("no memory");
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        all[i].fd = -1;
        TAILQ_INSERT_TAIL(&unused, &all[i], link);
    }
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* 50 µs otherwise, more than an answer takes */
    run();
    report();
    free(arrivals);
    free(sent_late_us);
    free(read_late_us);
    return 0;
}
