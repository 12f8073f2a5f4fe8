/* A crowd of clients that each ask, wait for the answer and ask again: a closed loop, for the work
 * that a server gets done. Beside them light requests come at random moments, whatever comes back:
 * an open loop, for what others notice of that work.
 *
 * The work is told by phases, one after the other and round again; in each a client draws what it
 * asks for from the phase's kinds, by their weight and a seed:
 *
 *     closed --port P --clients 64 --phase 20 --ask '1 waiting /sleep?ms=50' \
 *            --phase 20 --ask '7 waiting /sleep?ms=50' --ask '3 computing /burn?ms=20'
 *
 * A client that is answered with something else than 200 asks again after what Retry-After says,
 * at most a second. In a closed loop all settings are asked by equally many clients, and by
 * Little's law the mean latency is the clients divided by the throughput: the one figure says the
 * other.
 *
 * Time is cut into windows of a second, by the moment of the answer. A window is calm, for some
 * limit, when the light requests that were answered in it, and those that wait for longer than the
 * limit already, have a p99 within it; answers of calm windows are goodput. Work that is done at
 * the expense of everybody else does not count. Which limit is right is for the reader to say: the
 * goodput is told for several.
 *
 * It prints a line for each kind of each phase: rps (answers with 200 a second), good_1 and so on
 * (those of windows that were calm by a limit of 1 ms …), failed, p50_us and p99_us; and one for
 * the light ones. What failed has taken for ever. --windows adds a line for each window. cpu_us in
 * the last is the client's own: near the time that it ran, it was measured. */
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
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 2048
#define BESIDE_MAX 1024 /* connections of light requests */
#define PHASES_MAX 8
#define KINDS_MAX 8 /* of a phase */
#define ANSWER_MAX 8192
#define WINDOW_NS 1000000000ULL
#define PAUSE_NS 100000000ULL /* of a client that was not answered 200 and not told how long */
#define PAUSE_MAX_NS 1000000000ULL

/* A histogram of latencies: 32 steps for each power of two, so 3 % at most from the truth. */
#define STEPS 32
#define BUCKETS (28 * STEPS)

static const unsigned limits_ms[] = {1, 2, 3, 5, 10};
#define LIMITS (sizeof(limits_ms) / sizeof(*limits_ms))

struct histogram {
    uint32_t n[BUCKETS];
    uint64_t sum;
};

struct kind {
    char name[32];
    unsigned long weight; /* 0: light requests beside */
    char request[512];
    size_t request_len;
    uint64_t failed;
    uint64_t good[LIMITS]; /* answers of windows that were calm */
    uint64_t now;          /* answers of this window */
    struct histogram latencies;
};

struct phase {
    unsigned long seconds;
    unsigned long weights; /* all of its kinds' */
    size_t n_kinds;
    struct kind kinds[KINDS_MAX];
    struct kind beside;
};

struct conn {
    TAILQ_ENTRY(conn) link; /* in idle or paused, or in neither */
    int fd;
    bool is_beside;
    bool is_asked;     /* a request is under way */
    bool has_answered; /* before this request */
    struct kind *kind; /* of the request */
    uint64_t began_ns; /* beside: when it was due */
    uint64_t wakes_ns; /* paused: until then */
    size_t came_in;
    char in[ANSWER_MAX + 1];
};

TAILQ_HEAD(conns, conn);

static struct {
    uint16_t port;
    unsigned long clients, rate, warm_up, cycles, seed;
    bool shows_windows;
} opt = {.clients = 64, .cycles = 1, .seed = 1};

static struct phase phases[PHASES_MAX];
static struct phase warming; /* a copy of the first phase, whose figures nobody reads */
static size_t n_phases;
static struct phase *phase = &warming;
static struct conns idle = TAILQ_HEAD_INITIALIZER(idle), paused = TAILQ_HEAD_INITIALIZER(paused);
static struct histogram window_light;    /* of this window */
static struct conn *besides[BESIDE_MAX]; /* connections of light requests, as far as opened */
static size_t n_besides;
static uint64_t random_state, start_ns, n_reconnects;
static int epoll_fd;

static void ask(struct conn *c, uint64_t began_ns);

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "closed: %s\n", what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* splitmix64 */
static uint64_t draw(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* ---- Histograms ---- */

static size_t bucket_of(uint64_t us)
{
    unsigned power;
    size_t b;

    if (us < STEPS)
        return us;
    power = 63 - (unsigned)__builtin_clzll(us);
    b = (power - 4) * STEPS + ((us >> (power - 5)) & (STEPS - 1));
    return b < BUCKETS ? b : BUCKETS - 1;
}

/* The largest that falls into it. */
static uint64_t bucket_end(size_t b)
{
    size_t power = b / STEPS + 4;

    return b < STEPS ? b : ((uint64_t)(STEPS + b % STEPS + 1) << (power - 5)) - 1;
}

static void note(struct histogram *h, uint64_t us)
{
    h->n[bucket_of(us)]++;
    h->sum++;
}

static uint64_t percentile(const struct histogram *h, unsigned per_cent)
{
    uint64_t seen = 0, wanted = (h->sum * per_cent + 99) / 100;

    for (size_t b = 0; b < BUCKETS && h->sum > 0; b++)
        if ((seen += h->n[b]) >= wanted)
            return bucket_end(b);
    return 0;
}

/* ---- A connection ---- */

static void conn_open(struct conn *c)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = c};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
        connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        fail(strerror(errno));
    c->has_answered = false;
    c->came_in = 0;
}

static void conn_send(struct conn *c)
{
    c->came_in = 0;
    if (send(c->fd, c->kind->request, c->kind->request_len, MSG_NOSIGNAL) < 0 && errno != EPIPE &&
        errno != ECONNRESET) /* those are met again when the answer is read */
        fail(strerror(errno));
}

static struct kind *draw_kind(void)
{
    unsigned long at = phase->weights > 0 ? draw() % phase->weights : 0;

    for (size_t i = 0; i < phase->n_kinds; i++) {
        if (at < phase->kinds[i].weight)
            return &phase->kinds[i];
        at -= phase->kinds[i].weight;
    }
    return &phase->kinds[0];
}

static void ask(struct conn *c, uint64_t began_ns)
{
    c->kind = c->is_beside ? &phase->beside : draw_kind();
    c->began_ns = began_ns;
    c->is_asked = true;
    conn_send(c);
}

/* A request of which nothing good came is taken for one that took for ever. */
static void note_failure(struct kind *kind)
{
    kind->failed++;
    note(&kind->latencies, UINT32_MAX);
    if (kind->weight == 0)
        note(&window_light, UINT32_MAX);
}

static void pause_until(struct conn *c, uint64_t then_ns)
{
    c->wakes_ns = then_ns;
    TAILQ_INSERT_TAIL(&paused, c, link);
}

static uint64_t retry_after_ns(const char *head)
{
    const char *field = strstr(head, "\r\nRetry-After: ");
    uint64_t ns = field ? strtoull(field + 15, NULL, 10) * 1000000000 : PAUSE_NS;

    return ns < PAUSE_MAX_NS ? ns : PAUSE_MAX_NS;
}

static void on_answer(struct conn *c)
{
    uint64_t now = now_ns();
    uint64_t us = now > c->began_ns ? (now - c->began_ns) / 1000 : 0;
    bool is_good = strncmp(c->in + 8, " 200", 4) == 0;

    c->is_asked = false;
    c->has_answered = true;
    c->came_in = 0;
    if (is_good) {
        note(&c->kind->latencies, us);
        c->kind->now++;
        if (c->is_beside)
            note(&window_light, us);
    } else {
        note_failure(c->kind);
    }
    if (c->is_beside)
        TAILQ_INSERT_TAIL(&idle, c, link);
    else if (is_good)
        ask(c, now);
    else
        pause_until(c, now + retry_after_ns(c->in));
}

/* The server has closed it. A request that met this just when it was sent is sent again, as
 * browsers do; any other has failed. */
static void conn_lose(struct conn *c)
{
    bool was_closed_idle = c->has_answered && c->came_in == 0;

    close(c->fd);
    conn_open(c);
    n_reconnects++;
    if (!c->is_asked)
        return;
    if (was_closed_idle) {
        conn_send(c);
        return;
    }
    note_failure(c->kind);
    c->is_asked = false;
    if (c->is_beside)
        TAILQ_INSERT_TAIL(&idle, c, link);
    else
        pause_until(c, now_ns() + PAUSE_NS);
}

static bool is_whole(struct conn *c)
{
    const char *end, *length;

    c->in[c->came_in] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (!end)
        return false;
    length = strstr(c->in, "\r\nContent-Length: ");
    if (!length || length > end || strncmp(c->in, "HTTP/1.1", 8) != 0)
        fail("an answer without Content-Length");
    return (size_t)(end + 4 - c->in) + strtoul(length + 18, NULL, 10) <= c->came_in;
}

static void on_event(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->came_in, ANSWER_MAX - c->came_in, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_lose(c);
        return;
    }
    if (!c->is_asked)
        fail("more octets than answers");
    c->came_in += (size_t)n;
    if (c->came_in == ANSWER_MAX)
        fail("an answer larger than 8192 octets");
    if (is_whole(c))
        on_answer(c);
}

/* ---- Light requests ---- */

/* In (0, 1], so that its logarithm is finite. */
static uint64_t draw_gap_ns(void)
{
    double fraction = (double)((draw() >> 11) + 1) / 9007199254740992.0;

    return (uint64_t)(-log(fraction) * 1e9 / (double)opt.rate);
}

/* None waits for another: it takes the connection that has been idle longest, or a new one. */
static void ask_beside(uint64_t due_ns)
{
    struct conn *c = TAILQ_FIRST(&idle);

    if (c) {
        TAILQ_REMOVE(&idle, c, link);
    } else {
        if (n_besides == BESIDE_MAX) { /* all of them wait: it would only be one more */
            note_failure(&phase->beside);
            return;
        }
        if (!(c = calloc(1, sizeof(*c))))
            fail("no memory");
        besides[n_besides++] = c;
        c->is_beside = true;
        conn_open(c);
    }
    ask(c, due_ns);
}

/* ---- Windows ---- */

/* Those that wait already: a server that hangs gives no latencies. They are told again when they
 * are answered, and are late then, too. */
static void note_overdue(void)
{
    uint64_t limit_ns = limits_ms[0] * 1000000ULL, now = now_ns();

    for (size_t i = 0; i < n_besides; i++)
        if (besides[i]->is_asked && now > besides[i]->began_ns + limit_ns)
            note(&window_light, (now - besides[i]->began_ns) / 1000);
}

static void end_window(uint64_t k)
{
    uint64_t p99, n = 0;

    note_overdue();
    p99 = percentile(&window_light, 99);
    for (size_t i = 0; i < phase->n_kinds; i++) {
        struct kind *kind = &phase->kinds[i];

        for (size_t l = 0; l < LIMITS; l++)
            if (opt.rate == 0 || (window_light.sum > 0 && p99 <= limits_ms[l] * 1000))
                kind->good[l] += kind->now;
        n += kind->now;
        kind->now = 0;
    }
    if (opt.shows_windows)
        printf("window=%llu phase=%td answers=%llu light=%llu light_p99_us=%llu\n",
               (unsigned long long)k, phase == &warming ? -1 : phase - phases,
               (unsigned long long)n, (unsigned long long)window_light.sum,
               (unsigned long long)p99);
    memset(&window_light, 0, sizeof(window_light));
}

/* ---- The loop ---- */

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
        on_event(events[i].data.ptr);
}

static uint64_t wake(uint64_t now, uint64_t until_ns)
{
    struct conn *next;

    for (struct conn *c = TAILQ_FIRST(&paused); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->wakes_ns <= now) {
            TAILQ_REMOVE(&paused, c, link);
            ask(c, now);
        } else if (c->wakes_ns < until_ns) {
            until_ns = c->wakes_ns;
        }
    }
    return until_ns;
}

static void run_until(uint64_t end_ns, uint64_t *due_ns)
{
    for (uint64_t now; (now = now_ns()) < end_ns;) {
        uint64_t until_ns = wake(now, end_ns);

        while (opt.rate > 0 && *due_ns <= now) {
            ask_beside(*due_ns);
            *due_ns += draw_gap_ns();
        }
        wait_until(opt.rate > 0 && *due_ns < until_ns ? *due_ns : until_ns);
    }
}

static void run_phase(struct phase *p, unsigned long seconds, uint64_t *k, uint64_t *due_ns)
{
    phase = p;
    for (unsigned long i = 0; i < seconds; i++) {
        ++*k;
        run_until(start_ns + *k * WINDOW_NS, due_ns);
        end_window(*k);
    }
}

static void run(void)
{
    uint64_t k = 0, due_ns;

    start_ns = due_ns = now_ns();
    for (unsigned long i = 0; i < opt.clients; i++) {
        struct conn *c = calloc(1, sizeof(*c));

        if (!c)
            fail("no memory");
        conn_open(c);
        ask(c, now_ns());
    }
    run_phase(&warming, opt.warm_up, &k, &due_ns);
    for (unsigned long cycle = 0; cycle < opt.cycles; cycle++)
        for (size_t i = 0; i < n_phases; i++)
            run_phase(&phases[i], phases[i].seconds, &k, &due_ns);
}

/* ---- The lines ---- */

static void report_kind(const struct phase *p, const struct kind *kind)
{
    double seconds = (double)(p->seconds * opt.cycles);

    printf("phase=%td kind=%s rps=%.1f ", p - phases, kind->name,
           (double)(kind->latencies.sum - kind->failed) / seconds);
    for (size_t l = 0; l < LIMITS; l++)
        printf("good_%u=%.1f ", limits_ms[l], (double)kind->good[l] / seconds);
    printf("failed=%llu p50_us=%llu p99_us=%llu\n", (unsigned long long)kind->failed,
           (unsigned long long)percentile(&kind->latencies, 50),
           (unsigned long long)percentile(&kind->latencies, 99));
}

static void report(void)
{
    struct timespec cpu;

    for (size_t i = 0; i < n_phases; i++) {
        for (size_t k = 0; k < phases[i].n_kinds; k++)
            report_kind(&phases[i], &phases[i].kinds[k]);
        if (opt.rate > 0)
            report_kind(&phases[i], &phases[i].beside);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("ran_us=%llu cpu_us=%llu reconnects=%llu\n",
           (unsigned long long)((now_ns() - start_ns) / 1000),
           (unsigned long long)cpu.tv_sec * 1000000 + (unsigned long long)cpu.tv_nsec / 1000,
           (unsigned long long)n_reconnects);
}

/* ---- Start ---- */

static _Noreturn void usage(void)
{
    fputs("usage: closed --port PORT [--clients N] [--beside PER-SECOND] [--warm-up S]\n"
          "              [--cycles N] [--seed N] [--windows]\n"
          "              {--phase SECONDS {--ask 'WEIGHT NAME TARGET'}…}…\n",
          stderr);
    exit(2);
}

static unsigned long parse_number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || n < min || n > max) {
        fprintf(stderr, "closed: %s: not a number from %lu to %lu\n", text, min, max);
        exit(2);
    }
    return n;
}

static void set_target(struct kind *kind, const char *target)
{
    int len = snprintf(kind->request, sizeof(kind->request),
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", target);

    if (len < 0 || (size_t)len >= sizeof(kind->request))
        fail("target too long");
    kind->request_len = (size_t)len;
}

static void parse_ask(const char *text)
{
    struct phase *p = n_phases > 0 ? &phases[n_phases - 1] : NULL;
    struct kind *kind;
    char target[400];

    if (!p || p->n_kinds == KINDS_MAX)
        usage();
    kind = &p->kinds[p->n_kinds++];
    if (sscanf(text, "%lu %31s %399s", &kind->weight, kind->name, target) != 3 || kind->weight == 0)
        usage();
    set_target(kind, target);
    p->weights += kind->weight;
}

static void parse_phase(const char *text)
{
    if (n_phases == PHASES_MAX)
        usage();
    phases[n_phases].seconds = parse_number(text, 1, 3600);
    memcpy(phases[n_phases].beside.name, "light", sizeof("light"));
    set_target(&phases[n_phases].beside, "/");
    n_phases++;
}

static void parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},   {"clients", required_argument, NULL, 'c'},
        {"beside", required_argument, NULL, 'b'}, {"warm-up", required_argument, NULL, 'w'},
        {"cycles", required_argument, NULL, 'y'}, {"seed", required_argument, NULL, 's'},
        {"windows", no_argument, NULL, 'v'},      {"phase", required_argument, NULL, 'h'},
        {"ask", required_argument, NULL, 'a'},    {NULL, 0, NULL, 0},
    };
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'p':
            opt.port = (uint16_t)parse_number(optarg, 1, 65535);
            break;
        case 'c':
            opt.clients = parse_number(optarg, 1, CLIENTS_MAX);
            break;
        case 'b':
            opt.rate = parse_number(optarg, 0, 100000);
            break;
        case 'w':
            opt.warm_up = parse_number(optarg, 0, 3600);
            break;
        case 'y':
            opt.cycles = parse_number(optarg, 1, 1000);
            break;
        case 's':
            opt.seed = parse_number(optarg, 0, 1000000000);
            break;
        case 'v':
            opt.shows_windows = true;
            break;
        case 'h':
            parse_phase(optarg);
            break;
        case 'a':
            parse_ask(optarg);
            break;
        default:
            usage();
        }
    }
    if (opt.port == 0 || optind != argc || n_phases == 0)
        usage();
    for (size_t i = 0; i < n_phases; i++)
        if (phases[i].n_kinds == 0)
            usage();
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    random_state = opt.seed;
    warming = phases[0];
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        fail(strerror(errno));
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* 50 µs otherwise */
    run();
    report();
    return 0;
}
