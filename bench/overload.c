/* A client that asks at random moments whatever comes back, for loads that are more than a server
 * can do: what becomes of each request is counted, and nothing of it ends the run.
 *
 * When requests are due is drawn before the start, from the seed: Poisson arrivals, as many people
 * make them who know nothing of each other. A latency runs from that moment to the answer's last
 * octet, so that nobody's waiting is left out (coordinated omission). A second figure runs from the
 * moment at which the request was given to the server: in between it waited for a connection, since
 * no more than --connections are open at a time. One request at a time is asked on each.
 *
 * Clients do not wait for ever, and a queue of those that did would say nothing but how long the
 * run was. Who has waited for a connection for --wait ms leaves without having asked (unsent); who
 * has asked, or begun to connect, and has no answer --patience ms later closes the connection
 * (gave_up), as browsers and proxies do. Neither is an error. These are, and they are counted from
 * the first second on, the warm-up included:
 *   status   an answer with something else than 200, or 503 with Retry-After
 *   wrong    a 200 of another length than the first
 *   cut      the connection was reset before the answer's first octet, or ended: but for one that
 *            had answered before, and ended while the next request was on its way to it; that
 *            request is asked once more (resent)
 *   torn     the connection ended within the answer
 *   refused  no connection could be made
 *
 * It prints one line. late_p99_us is how late this process itself was with those that nothing kept
 * it from sending: its own part in the latencies. */
#include <errno.h>
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

#define CONNECTIONS_MAX 16384
#define ANSWER_MAX 4096
#define SECOND_NS 1000000000ULL
#define MS_NS 1000000ULL

enum outcome { OK, SHED, UNSENT, GAVE_UP, STATUS, WRONG, CUT, TORN, REFUSED, OUTCOMES };
#define FIRST_ERROR STATUS

static const char *const outcome_names[OUTCOMES] = {"ok",    "shed", "unsent", "gave_up", "status",
                                                    "wrong", "cut",  "torn",   "refused"};

struct conn {
    TAILQ_ENTRY(conn) link; /* in idle, busy or unused */
    int fd;
    uint64_t due_ns, given_ns; /* of the request under way */
    bool is_busy;              /* it has one: in busy, in the order of given_ns */
    bool is_sent;              /* false: waits for the connection to be made */
    bool was_resent;
    bool has_answered; /* before this request */
    size_t came_in;
    char in[ANSWER_MAX + 1];
};

TAILQ_HEAD(conns, conn);

static struct {
    uint16_t port;
    unsigned long rate;
    unsigned long connections;
    unsigned long seconds;
    unsigned long warm_up;
    unsigned long wait_ms;
    unsigned long patience_ms;
    unsigned long seed;
    const char *target;
} opt = {.rate = 1000,
         .connections = 4000,
         .seconds = 10,
         .warm_up = 2,
         .wait_ms = 500,
         .patience_ms = 2000,
         .seed = 1,
         .target = "/"};

/* Latencies in µs, of those that were due behind the warm-up. */
struct samples {
    uint32_t *us;
    size_t n;
};

static struct conn all[CONNECTIONS_MAX];
static struct conns idle = TAILQ_HEAD_INITIALIZER(idle), busy = TAILQ_HEAD_INITIALIZER(busy),
                    unused = TAILQ_HEAD_INITIALIZER(unused);
static size_t n_open, n_opened, n_resent;
static char request[512];
static size_t request_len;
static long long body_len = -1;      /* of the first 200 */
static uint64_t *due_ns;             /* of each request */
static size_t n_due, n_come, n_gone; /* due_ns[n_gone … n_come) wait for a connection */
static size_t n_all[OUTCOMES], n_measured[OUTCOMES];
static struct samples ok, ok_given, shed, late;
static uint32_t worst_us; /* of all 200, those of the warm-up among them */
static uint64_t start_ns;
static int epoll_fd;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "overload: %s\n", what);
    exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static uint32_t us_since(uint64_t then_ns)
{
    uint64_t now = now_ns();
    uint64_t us = now > then_ns ? (now - then_ns) / 1000 : 0;

    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* ---- When they are due ---- */

/* splitmix64: every seed gives a sequence of its own. In (0, 1], so that there is a logarithm. */
static double draw_fraction(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (double)(((z ^ (z >> 31)) >> 11) + 1) / 9007199254740992.0;
}

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);

    if (!p)
        fail("no memory");
    return p;
}

static void draw_arrivals(void)
{
    double mean_ns = 1e9 / (double)opt.rate;
    double end_ns = (double)(opt.warm_up + opt.seconds) * 1e9;
    size_t room = opt.rate * (opt.warm_up + opt.seconds) * 2 + 1000;
    uint64_t state = opt.seed;

    due_ns = allocate(room, sizeof(*due_ns));
    for (double at = 0; n_due < room; n_due++) {
        at -= log(draw_fraction(&state)) * mean_ns;
        if (at >= end_ns)
            break;
        due_ns[n_due] = (uint64_t)at;
    }
    ok.us = allocate(n_due, sizeof(uint32_t));
    ok_given.us = allocate(n_due, sizeof(uint32_t));
    shed.us = allocate(n_due, sizeof(uint32_t));
    late.us = allocate(n_due, sizeof(uint32_t));
}

/* ---- What becomes of one ---- */

static bool is_measured(uint64_t due)
{
    return due >= start_ns + opt.warm_up * SECOND_NS;
}

static void count(enum outcome outcome, uint64_t due)
{
    n_all[outcome]++;
    if (is_measured(due))
        n_measured[outcome]++;
}

static void add(struct samples *samples, uint64_t due, uint32_t us)
{
    if (is_measured(due))
        samples->us[samples->n++] = us;
}

static void conn_close(struct conn *c)
{
    TAILQ_REMOVE(c->is_busy ? &busy : &idle, c, link);
    close(c->fd);
    c->fd = -1;
    c->is_busy = false;
    n_open--;
    TAILQ_INSERT_HEAD(&unused, c, link);
}

/* The request under way has come to its end, and the connection with it. */
static void conn_end(struct conn *c, enum outcome outcome)
{
    count(outcome, c->due_ns);
    conn_close(c);
}

static struct conn *conn_open(void);
static void conn_start(struct conn *c, uint64_t due);

/* The other side has ended it, or reset it. */
static void conn_lose(struct conn *c, bool was_reset)
{
    uint64_t due = c->due_ns;

    if (!c->is_busy) {
        conn_close(c);
    } else if (c->came_in > 0) {
        conn_end(c, TORN);
    } else if (!c->is_sent) {
        conn_end(c, REFUSED);
    } else if (was_reset || !c->has_answered || c->was_resent) {
        conn_end(c, CUT);
    } else {
        conn_close(c);
        n_resent++;
        c = conn_open(); /* there is room: one was closed */
        if (!c) {
            count(REFUSED, due);
            return;
        }
        conn_start(c, due);
        c->was_resent = true;
    }
}

/* ---- Asking ---- */

static void conn_send(struct conn *c)
{
    c->is_sent = true;
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        conn_lose(c, errno != EPIPE);
}

/* A new one, idle and not yet made; NULL: none can be had. */
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
        (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        close(fd);
        return NULL;
    }
    TAILQ_REMOVE(&unused, c, link);
    TAILQ_INSERT_HEAD(&idle, c, link);
    c->fd = fd;
    c->has_answered = false;
    n_open++;
    n_opened++;
    return c;
}

static void conn_start(struct conn *c, uint64_t due)
{
    c->due_ns = due;
    c->given_ns = now_ns();
    c->is_busy = true;
    c->is_sent = c->was_resent = false;
    c->came_in = 0;
    TAILQ_REMOVE(&idle, c, link);
    TAILQ_INSERT_TAIL(&busy, c, link);
    if (c->has_answered)
        conn_send(c); /* else when the connection is there */
}

/* From those that wait, the first first, as long as there are connections. */
static void start_waiting(void)
{
    while (n_gone < n_come) {
        uint64_t due = start_ns + due_ns[n_gone];
        struct conn *c = TAILQ_FIRST(&idle);

        if (!c && n_open == opt.connections)
            return;
        if (!c)
            c = conn_open();
        n_gone++;
        if (!c)
            count(REFUSED, due);
        else
            conn_start(c, due);
    }
}

static void take_due(void)
{
    uint64_t now = now_ns();
    bool is_free = n_gone == n_come && (n_open < opt.connections || !TAILQ_EMPTY(&idle));

    for (; n_come < n_due && start_ns + due_ns[n_come] <= now; n_come++)
        if (is_free)
            add(&late, start_ns + due_ns[n_come], us_since(start_ns + due_ns[n_come]));
}

static void give_up(void)
{
    uint64_t now = now_ns();
    struct conn *c;

    for (; n_gone < n_come && start_ns + due_ns[n_gone] + opt.wait_ms * MS_NS <= now; n_gone++)
        count(UNSENT, start_ns + due_ns[n_gone]);
    while ((c = TAILQ_FIRST(&busy)) && c->given_ns + opt.patience_ms * MS_NS <= now)
        conn_end(c, GAVE_UP);
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

static void on_ok(struct conn *c, long long body)
{
    uint32_t us = us_since(c->due_ns);

    if (body_len < 0)
        body_len = body;
    if (body != body_len) {
        count(WRONG, c->due_ns);
        return;
    }
    count(OK, c->due_ns);
    add(&ok, c->due_ns, us);
    add(&ok_given, c->due_ns, us_since(c->given_ns));
    if (us > worst_us)
        worst_us = us;
}

/* The answer is whole. */
static void on_answer(struct conn *c, long long body, bool stays)
{
    const char *status = strncmp(c->in, "HTTP/1.", 7) == 0 ? c->in + 8 : "";

    if (strncmp(status, " 200", 4) == 0) {
        on_ok(c, body);
    } else if (strncmp(status, " 503", 4) == 0 && field_of(c->in, "Retry-After")) {
        count(SHED, c->due_ns);
        add(&shed, c->due_ns, us_since(c->due_ns));
    } else {
        count(STATUS, c->due_ns);
    }
    TAILQ_REMOVE(&busy, c, link);
    TAILQ_INSERT_HEAD(&idle, c, link);
    c->is_busy = false;
    c->has_answered = true;
    c->came_in = 0;
    if (!stays)
        conn_close(c);
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
              length && strncmp(c->in, "HTTP/1.1", 8) == 0 &&
                  !(connection && strncasecmp(connection, "close", 5) == 0));
}

/* Edge-triggered: reads until there is nothing more, so as to see an end right behind an answer. */
static void on_event(struct conn *c, uint32_t events)
{
    if (c->fd < 0)
        return; /* closed by an earlier event of this turn */
    if (c->is_busy && !c->is_sent && (events & EPOLLOUT) && !(events & EPOLLERR))
        conn_send(c);
    while (c->fd >= 0) {
        ssize_t n = recv(c->fd, c->in + c->came_in, ANSWER_MAX - c->came_in, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0 && !c->is_busy)
            fail("more octets than answers");
        if (n > 0)
            c->came_in += (size_t)n;
        if (c->is_busy && c->came_in > 0)
            look_at_answer(c, n == 0);
        if (c->fd >= 0 && n <= 0) {
            conn_lose(c, n < 0);
            return;
        }
        if (c->came_in == ANSWER_MAX)
            fail("an answer larger than 4096 octets");
    }
}

/* ---- The loop ---- */

static void earlier(uint64_t *then_ns, uint64_t other_ns)
{
    if (other_ns < *then_ns)
        *then_ns = other_ns;
}

static void wait_for_events(void)
{
    struct epoll_event events[256];
    uint64_t now = now_ns(), then = now + SECOND_NS, wait_ns;
    struct timespec timeout;
    int n;

    if (n_come < n_due)
        earlier(&then, start_ns + due_ns[n_come]);
    if (n_gone < n_come)
        earlier(&then, start_ns + due_ns[n_gone] + opt.wait_ms * MS_NS);
    if (!TAILQ_EMPTY(&busy))
        earlier(&then, TAILQ_FIRST(&busy)->given_ns + opt.patience_ms * MS_NS);
    wait_ns = then > now ? then - now : 0;
    timeout = (struct timespec){.tv_sec = (time_t)(wait_ns / SECOND_NS),
                                .tv_nsec = (long)(wait_ns % SECOND_NS)};
    n = epoll_pwait2(epoll_fd, events, 256, &timeout, NULL);
    if (n < 0 && errno != EINTR)
        fail(strerror(errno));
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr, events[i].events);
}

static void run(void)
{
    start_ns = now_ns() + MS_NS;
    while (n_gone < n_due || !TAILQ_EMPTY(&busy)) {
        take_due();
        give_up();
        start_waiting();
        wait_for_events();
    }
}

/* ---- The line ---- */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void report_percentile(const char *name, const struct samples *samples, size_t hundredths)
{
    printf(" %s_us=%u", name,
           samples->n > 0 ? samples->us[(samples->n - 1) * hundredths / 100] : 0);
}

static void report(void)
{
    struct samples *const sorted[] = {&ok, &ok_given, &shed, &late};
    size_t offered = 0, errors = 0;

    for (size_t i = 0; i < sizeof(sorted) / sizeof(*sorted); i++)
        qsort(sorted[i]->us, sorted[i]->n, sizeof(uint32_t), compare);
    for (int o = 0; o < OUTCOMES; o++) {
        offered += n_measured[o];
        errors += o >= FIRST_ERROR ? n_all[o] : 0;
    }
    printf("offered=%zu errors=%zu", offered, errors);
    for (int o = 0; o < OUTCOMES; o++)
        printf(" %s=%zu", outcome_names[o], o >= FIRST_ERROR ? n_all[o] : n_measured[o]);
    report_percentile("ok_p50", &ok, 50);
    report_percentile("ok_p99", &ok, 99);
    report_percentile("ok_max", &ok, 100);
    report_percentile("given_p99", &ok_given, 99);
    report_percentile("shed_p99", &shed, 99);
    report_percentile("late_p99", &late, 99);
    printf(" worst_us=%u connections=%zu resent=%zu cpu_us=%llu\n", worst_us, n_opened, n_resent,
           (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000);
}

/* ---- Start ---- */

static _Noreturn void usage(const char *name)
{
    fprintf(stderr,
            "usage: %s --port PORT [--target T] [--rate PER-SECOND] [--seconds N] [--warm-up N]\n"
            "       [--connections N] [--wait MS] [--patience MS] [--seed N]\n",
            name);
    exit(2);
}

static unsigned long parse_number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || n < min || n > max) {
        fprintf(stderr, "overload: %s: not a number from %lu to %lu\n", text, min, max);
        exit(2);
    }
    return n;
}

static void parse_options(int argc, char **argv)
{
    static const struct {
        const char *name;
        unsigned long *number;
        unsigned long min, max;
    } numbers[] = {
        {"rate", &opt.rate, 1, 1000000},    {"connections", &opt.connections, 1, CONNECTIONS_MAX},
        {"seconds", &opt.seconds, 1, 3600}, {"warm-up", &opt.warm_up, 0, 60},
        {"wait", &opt.wait_ms, 1, 60000},   {"patience", &opt.patience_ms, 1, 60000},
        {"seed", &opt.seed, 0, UINT32_MAX},
    };
    enum { N = sizeof(numbers) / sizeof(*numbers) };
    struct option options[N + 3] = {{"port", required_argument, NULL, 'p'},
                                    {"target", required_argument, NULL, 't'}};
    int o, i = -1;

    for (int k = 0; k < N; k++)
        options[k + 2] = (struct option){numbers[k].name, required_argument, NULL, 'n'};
    while ((o = getopt_long(argc, argv, "", options, &i)) != -1) {
        if (o == 'p')
            opt.port = (uint16_t)parse_number(optarg, 1, 65535);
        else if (o == 't')
            opt.target = optarg;
        else if (o == 'n')
            *numbers[i - 2].number = parse_number(optarg, numbers[i - 2].min, numbers[i - 2].max);
        else
            usage(argv[0]);
    }
    if (opt.port == 0 || optind != argc)
        usage(argv[0]);
}

static void allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail(strerror(errno));
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_cur < opt.connections + 16 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("too few descriptors for so many connections");
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
    allow_descriptors();
    draw_arrivals();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        fail(strerror(errno));
    for (size_t i = 0; i < opt.connections; i++)
        TAILQ_INSERT_TAIL(&unused, &all[i], link);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* 50 µs otherwise, more than an answer takes */
    run();
    report();
    free(due_ns);
    free(ok.us);
    free(ok_given.us);
    free(shed.us);
    free(late.us);
    return 0;
}
