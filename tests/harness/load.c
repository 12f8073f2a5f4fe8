/* One thread, one poll over all connections. The thread never touches cmocka, whose failures jump:
 * it only counts, and the test judges what was counted. */
#include "tests/harness/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/harness/check.h"
#include "tests/harness/patience.h"

#define LOAD_CONNECTIONS_MAX 256
#define LOAD_LOADS_MAX 4
#define LOAD_BURST_MAX 6
#define LOAD_LIFE 40         /* answers, after which a connection is left, on average */
#define LOAD_RESTS 50        /* times the usual pause, for a resting connection */
#define LOAD_ANSWER_MS 60000 /* without an answer for so long, it is taken for lost */

enum phase {
    PHASE_CLOSED,
    PHASE_IDLE,   /* nothing is asked */
    PHASE_ASKING, /* the request is not yet sent, or an answer is owed */
    PHASE_ENDING  /* the last answer said so; only the end may come */
};

struct connection {
    int fd;
    enum phase phase;
    enum load_manner manner;
    pid_t pid;        /* of the last answer */
    unsigned answers; /* since it was opened */
    uint64_t opened_us;
    uint64_t due_us;      /* when to go on: open, ask, or send the rest */
    uint64_t deadline_us; /* of the answer, or the end */
    int code;             /* of a send that failed */
    struct buf out;       /* the requests */
    size_t sent;
    size_t hold;         /* a crawling one sends only so much until due_us; 0: all */
    unsigned n_asks, at; /* asked at once, and the one whose answer comes next */
    struct ask asks[LOAD_BURST_MAX];
};

struct load {
    pthread_t thread;
    pthread_mutex_t lock; /* of result and settled */
    atomic_bool is_stopping, is_finishing;
    char address[160];
    const char *target; /* NULL: mixed */
    const char *body;
    unsigned pace_us;
    uint64_t dice, next_id;
    unsigned count;
    unsigned settled; /* connections with an answer since they were opened */
    struct load_result result;
    struct connection connections[];
};

static struct load *loads[LOAD_LOADS_MAX];

/* ---- Counting: all that is shared with the test -------------------------------------------- */

static void count(struct load *l, unsigned long *counter, unsigned long more)
{
    (void)pthread_mutex_lock(&l->lock);
    *counter += more;
    (void)pthread_mutex_unlock(&l->lock);
}

static void count_answer(struct load *l, struct connection *c, const struct ask *a)
{
    (void)pthread_mutex_lock(&l->lock);
    l->result.answered++;
    if (a->generation > l->result.generation)
        l->result.generation = a->generation;
    l->settled += c->pid == 0;
    (void)pthread_mutex_unlock(&l->lock);
    c->pid = a->pid ? a->pid : 1;
    c->answers++;
}

static void count_wrong(struct load *l, const struct ask *a)
{
    (void)pthread_mutex_lock(&l->lock);
    if (l->result.wrong++ == 0)
        (void)snprintf(l->result.first_wrong, sizeof l->result.first_wrong,
                       "%s %016llx: %s, after %zu octets of its body:\n%s", ask_name(a->kind),
                       (unsigned long long)a->id, a->why, a->seen, ask_head(a));
    (void)pthread_mutex_unlock(&l->lock);
}

static void count_break(struct load *l, const struct connection *c, int code)
{
    const struct ask *a = &c->asks[c->at < c->n_asks ? c->at : 0];
    (void)pthread_mutex_lock(&l->lock);
    if (l->result.broken < LOAD_BREAKS_MAX)
        l->result.breaks[l->result.broken] = (struct load_break){
            .pid = c->pid,
            .after = l->result.answered,
            .opened_us = c->opened_us,
            .broken_us = clock_now_us(),
            .manner = c->manner,
            .kind = a->kind,
            .answers = c->answers,
            .is_truncated = a->state == ASK_COMES,
            .code = code,
        };
    l->result.broken++;
    l->result.truncated += a->state == ASK_COMES;
    (void)pthread_mutex_unlock(&l->lock);
}

/* ---- A connection -------------------------------------------------------------------------- */

static int dial(const char *address)
{
    struct sockaddr_storage to = {0};
    socklen_t len;
    char host[64];
    unsigned port;
    if (strncmp(address, "unix:", 5) == 0) {
        struct sockaddr_un *un = (struct sockaddr_un *)&to;
        un->sun_family = AF_UNIX;
        (void)snprintf(un->sun_path, sizeof un->sun_path, "%s", address + 5);
        len = sizeof *un;
    } else if (sscanf(address, "http://%63[0-9.]:%u", host, &port) == 2) {
        struct sockaddr_in *in = (struct sockaddr_in *)&to;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        (void)inet_pton(AF_INET, host, &in->sin_addr);
        len = sizeof *in;
    } else {
        return -EINVAL;
    }
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&to, len) != 0) {
        int code = errno;
        (void)close(fd);
        return -code;
    }
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* How long to wait: anything up to twice the average. */
static uint64_t pause_us(struct load *l, const struct connection *c)
{
    uint64_t most = 2 * (uint64_t)l->pace_us * (c->manner == LOAD_RESTING ? LOAD_RESTS : 1);
    return most > 0 ? ask_random(&l->dice) % most : 0;
}

static void open_connection(struct load *l, struct connection *c)
{
    c->opened_us = clock_now_us();
    int fd = dial(l->address);
    if (fd < 0) {
        count(l, &l->result.refused, 1);
        c->due_us = clock_now_us() + 1000;
        return;
    }
    count(l, &l->result.opened, 1);
    c->fd = fd;
    c->phase = PHASE_IDLE;
    c->answers = 0;
    c->due_us = 0;
}

static void hang_up(struct load *l, struct connection *c)
{
    (void)close(c->fd);
    c->fd = -1;
    c->phase = PHASE_CLOSED;
    (void)pthread_mutex_lock(&l->lock);
    l->settled -= c->pid != 0;
    (void)pthread_mutex_unlock(&l->lock);
    c->pid = 0;
    c->due_us = clock_now_us() + pause_us(l, c);
}

/* ---- Asking -------------------------------------------------------------------------------- */

static int write_ask(struct load *l, struct connection *c, struct ask *a)
{
    if (l->target)
        return ask_plain(a, l->target, l->body, c->manner == LOAD_CLOSING, &c->out);
    uint64_t dice = ask_random(&l->dice);
    enum ask_kind kind = ASK_HELLO + (enum ask_kind)(dice % (ASK_KINDS - ASK_HELLO));
    return ask_begin(a, kind, l->next_id++, ask_random(&l->dice), c->manner == LOAD_CLOSING,
                     &c->out);
}

static void begin_asking(struct load *l, struct connection *c)
{
    unsigned n = 1;
    if (!l->target && c->manner == LOAD_BURSTING)
        n += (unsigned)(ask_random(&l->dice) % LOAD_BURST_MAX);
    c->out.len = 0;
    c->sent = c->hold = c->at = c->n_asks = 0;
    c->code = 0;
    while (c->n_asks < n && write_ask(l, c, &c->asks[c->n_asks]) == 0)
        c->n_asks++;
    if (!l->target && c->manner == LOAD_CRAWLING)
        c->hold = 1 + ask_random(&l->dice) % (c->out.len - 1);
    c->phase = PHASE_ASKING;
    c->due_us = 0;
    c->deadline_us = patience_until(LOAD_ANSWER_MS);
}

/* Whether the server has closed it or said something while nothing was asked. */
static bool is_spoilt(struct load *l, struct connection *c)
{
    char octet;
    ssize_t n = recv(c->fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0)
        count(l, &l->result.unasked, 1);
    else
        count(l, &l->result.parted, 1);
    hang_up(l, c);
    return true;
}

/* What to do when nothing has to come in for it. */
static void go_on(struct load *l, struct connection *c, uint64_t now)
{
    bool is_finishing = atomic_load(&l->is_finishing);
    if (c->phase == PHASE_IDLE && is_finishing)
        hang_up(l, c);
    if (c->phase == PHASE_CLOSED && !is_finishing && c->due_us <= now)
        open_connection(l, c);
    if (c->phase == PHASE_IDLE && c->due_us <= now && !is_spoilt(l, c))
        begin_asking(l, c);
    if (c->phase == PHASE_ASKING && c->hold > 0 && c->sent == c->hold && c->due_us <= now)
        c->hold = 0;
    if ((c->phase == PHASE_ASKING || c->phase == PHASE_ENDING) && c->deadline_us <= now) {
        count_break(l, c, ETIMEDOUT);
        hang_up(l, c);
    }
}

static size_t to_send(const struct connection *c)
{
    return c->phase == PHASE_ASKING ? (c->hold > 0 ? c->hold : c->out.len) - c->sent : 0;
}

/* A send that fails decides nothing: an answer may lie there already. */
static void send_more(struct load *l, struct connection *c)
{
    ssize_t n = send(c->fd, c->out.data + c->sent, to_send(c), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        c->code = errno;
        c->sent = c->out.len;
        c->hold = 0;
    } else if (n > 0) {
        c->sent += (size_t)n;
        if (c->hold > 0 && c->sent == c->hold)
            c->due_us = clock_now_us() + pause_us(l, c) * 4;
    }
}

/* ---- Answers ------------------------------------------------------------------------------- */

static void on_answer(struct load *l, struct connection *c, const struct ask *a)
{
    count_answer(l, c, a);
    c->at++;
    if (a->is_closing) {
        count(l, &l->result.put_back, c->n_asks - c->at);
        c->at = c->n_asks;
        c->phase = PHASE_ENDING;
        c->deadline_us = patience_until(LOAD_ANSWER_MS);
    } else if (c->at == c->n_asks && !l->target && ask_random(&l->dice) % LOAD_LIFE == 0) {
        hang_up(l, c);
    } else if (c->at == c->n_asks) {
        c->phase = PHASE_IDLE;
        c->due_us = l->target ? 0 : clock_now_us() + pause_us(l, c);
    }
}

static void take(struct load *l, struct connection *c, const char *data, size_t len)
{
    while (len > 0 && c->phase == PHASE_ASKING) {
        struct ask *a = &c->asks[c->at];
        size_t n = ask_feed(a, data, len);
        data += n;
        len -= n;
        if (a->state == ASK_RIGHT) {
            on_answer(l, c, a);
        } else if (a->state == ASK_WRONG) {
            count_wrong(l, a);
            hang_up(l, c);
            return;
        }
    }
    if (len > 0 && c->phase != PHASE_CLOSED) {
        count(l, &l->result.unasked, 1);
        hang_up(l, c);
    }
}

/* The end came before the request did: the peer's kernel has answered it with a reset, which is
 * EPIPE on a socket whose other side has closed in an orderly way (and ECONNRESET on others). A
 * peer that takes a request and then closes, or that closes with a request unread, looks otherwise:
 * no reset, or one without an orderly end. */
static bool was_raced(const struct connection *c)
{
    int code = 0;
    socklen_t len = sizeof code;
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &len);
    return c->answers > 0 && c->at == 0 && c->asks[0].state == ASK_OWED &&
           (c->code == EPIPE || code == EPIPE);
}

static void on_end(struct load *l, struct connection *c, int code)
{
    if (c->phase == PHASE_IDLE)
        count(l, &l->result.parted, 1);
    else if (c->phase == PHASE_ASKING && was_raced(c))
        count(l, &l->result.raced, 1);
    else if (c->phase == PHASE_ASKING)
        count_break(l, c, code);
    hang_up(l, c);
}

static void receive(struct load *l, struct connection *c)
{
    char data[65536];
    ssize_t n = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
    if (n > 0)
        take(l, c, data, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        on_end(l, c, n == 0 ? 0 : errno);
}

/* ---- The loop ------------------------------------------------------------------------------ */

/* Fills fds. Returns milliseconds to wait for them; -1: everything is over */
static int prepare(struct load *l, struct pollfd *fds)
{
    uint64_t now = clock_now_us(), next = now + 50000;
    bool is_over = atomic_load(&l->is_finishing);
    for (unsigned i = 0; i < l->count; i++) {
        struct connection *c = &l->connections[i];
        go_on(l, c, now);
        short events = to_send(c) > 0 ? POLLIN | POLLOUT : POLLIN;
        fds[i] = (struct pollfd){.fd = c->fd, .events = events};
        is_over = is_over && c->phase == PHASE_CLOSED;
        if (c->due_us > now && c->due_us < next)
            next = c->due_us;
    }
    return is_over ? -1 : (int)((next - now + 999) / 1000);
}

static void *run(void *arg)
{
    struct load *l = arg;
    struct pollfd fds[LOAD_CONNECTIONS_MAX];
    while (!atomic_load(&l->is_stopping)) {
        int wait_ms = prepare(l, fds);
        if (wait_ms < 0)
            break;
        if (poll(fds, l->count, wait_ms) <= 0)
            continue;
        for (unsigned i = 0; i < l->count; i++) {
            struct connection *c = &l->connections[i];
            if (c->fd >= 0 && (fds[i].revents & POLLOUT) && to_send(c) > 0)
                send_more(l, c);
            if (c->fd >= 0 && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
                receive(l, c);
        }
    }
    for (unsigned i = 0; i < l->count; i++)
        if (l->connections[i].fd >= 0)
            (void)close(l->connections[i].fd);
    return NULL;
}

/* ---- For the test -------------------------------------------------------------------------- */

/* manner  of all its connections; LOAD_MANNERS: each has another */
static struct load *start(const char *address, unsigned count, enum load_manner manner)
{
    CHECK(count >= 1 && count <= LOAD_CONNECTIONS_MAX);
    struct load *l = calloc(1, sizeof *l + count * sizeof l->connections[0]);
    CHECK(l != NULL);
    l->count = count;
    (void)snprintf(l->address, sizeof l->address, "%s", address);
    for (unsigned i = 0; i < count; i++) {
        l->connections[i].fd = -1;
        l->connections[i].manner =
            manner == LOAD_MANNERS ? (enum load_manner)(i % LOAD_MANNERS) : manner;
    }
    return l;
}

static struct load *launch(struct load *l)
{
    size_t at = 0;
    while (at < LOAD_LOADS_MAX && loads[at])
        at++;
    CHECK(at < LOAD_LOADS_MAX);
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    CHECK(pthread_create(&l->thread, NULL, run, l) == 0);
    loads[at] = l;
    return l;
}

struct load *load_start(const char *address, unsigned count, const char *target, const char *body)
{
    struct load *l = start(address, count, LOAD_STEADY);
    l->target = target;
    l->body = body;
    return launch(l);
}

struct load *load_start_closing(const char *address, unsigned count, const char *target,
                                const char *body)
{
    struct load *l = start(address, count, LOAD_CLOSING);
    l->target = target;
    l->body = body;
    return launch(l);
}

struct load *load_start_mixed(const char *address, unsigned count, uint64_t seed, unsigned pace_us)
{
    struct load *l = start(address, count, LOAD_MANNERS);
    l->dice = seed;
    l->next_id = ask_random(&l->dice) & ~UINT64_C(0xffffffff); /* two loads never ask the same */
    l->pace_us = pace_us;
    return launch(l);
}

struct load_result load_peek(struct load *l)
{
    (void)pthread_mutex_lock(&l->lock);
    struct load_result result = l->result;
    (void)pthread_mutex_unlock(&l->lock);
    return result;
}

void load_wait_answers(struct load *l, unsigned long more)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    unsigned long from = load_peek(l).answered;
    while (load_peek(l).answered < from + more)
        CHECK_SAYING(patience_turn(deadline), "the load got %lu answers, expected %lu",
                     load_peek(l).answered - from, more);
}

void load_wait_settled(struct load *l)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        (void)pthread_mutex_lock(&l->lock);
        unsigned settled = l->settled;
        (void)pthread_mutex_unlock(&l->lock);
        if (settled == l->count)
            return;
        CHECK_SAYING(patience_turn(deadline), "%u of %u connections have an answer", settled,
                     l->count);
    }
}

void load_wait_generation(struct load *l, int generation)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (load_peek(l).generation < generation)
        CHECK_SAYING(patience_turn(deadline), "generation %d answers, expected %d",
                     load_peek(l).generation, generation);
}

static void forget(struct load *l)
{
    for (size_t i = 0; i < LOAD_LOADS_MAX; i++)
        if (loads[i] == l)
            loads[i] = NULL;
    for (unsigned i = 0; i < l->count; i++) {
        buf_fini(&l->connections[i].out);
        for (unsigned k = 0; k < LOAD_BURST_MAX; k++)
            ask_fini(&l->connections[i].asks[k]);
    }
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

static struct load_result end(struct load *l, atomic_bool *how)
{
    atomic_store(how, true);
    (void)pthread_join(l->thread, NULL);
    struct load_result result = l->result;
    forget(l);
    return result;
}

struct load_result load_stop(struct load *l)
{
    return end(l, &l->is_stopping);
}

struct load_result load_finish(struct load *l)
{
    return end(l, &l->is_finishing);
}

void load_stop_all(void)
{
    for (size_t i = 0; i < LOAD_LOADS_MAX; i++)
        if (loads[i])
            (void)load_stop(loads[i]);
}

void load_add(struct load_result *sum, const struct load_result *more)
{
    sum->answered += more->answered;
    sum->broken += more->broken;
    sum->truncated += more->truncated;
    sum->unasked += more->unasked;
    sum->wrong += more->wrong;
    sum->refused += more->refused;
    sum->raced += more->raced;
    sum->parted += more->parted;
    sum->put_back += more->put_back;
    sum->opened += more->opened;
}

/* ---- Judging ------------------------------------------------------------------------------- */

static bool is_excused(const struct load_break *b, const struct load_victim *victims, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool was_there = b->opened_us <= victims[i].until_us && b->broken_us >= victims[i].from_us;
        if (b->pid == victims[i].pid || (b->pid == 0 && was_there))
            return true;
    }
    return false;
}

void load_check_victims(const struct load_result *result, const struct load_victim *victims,
                        size_t n)
{
    static const char *const manners[LOAD_MANNERS] = {"steady", "closing", "resting", "bursting",
                                                      "crawling"};
    CHECK_SAYING(result->wrong == 0, "%lu wrong answers, the first:\n%s", result->wrong,
                 result->first_wrong);
    CHECK_SAYING(result->refused == 0, "%lu connects failed", result->refused);
    CHECK_SAYING(result->unasked == 0, "%lu times something came that nobody had asked for",
                 result->unasked);
    CHECK(result->answered > 0);
    CHECK(result->broken <= LOAD_BREAKS_MAX);
    for (unsigned long i = 0; i < result->broken; i++) {
        const struct load_break *b = &result->breaks[i];
        CHECK_SAYING(is_excused(b, victims, n),
                     "a connection of pid %d broke, who was not to blame: break %lu of %lu, %s, "
                     "%s of a %s connection with %u answers, %lld us old: %s",
                     (int)b->pid, i + 1, result->broken, ask_name(b->kind),
                     b->is_truncated ? "within the answer" : "before the answer",
                     manners[b->manner], b->answers, (long long)(b->broken_us - b->opened_us),
                     b->code ? strerror(b->code) : "closed");
    }
}

void load_check(const struct load_result *result, pid_t victim)
{
    struct load_victim one = {.pid = victim};
    CHECK(victim != 0 || result->raced == 0);
    load_check_victims(result, &one, victim != 0);
}
