/* One thread, one poll over all connections. The thread never touches cmocka, whose failures jump:
 * it only counts, and the test judges what was counted. */
#include "tests/harness/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/harness/check.h"
#include "tests/harness/patience.h"

#define LOAD_CONNECTIONS_MAX 256
#define LOAD_ANSWER_MAX 16384
#define LOAD_LOADS_MAX 4

struct connection {
    int fd;
    pid_t pid;   /* of the last answer */
    size_t sent; /* of the request */
    size_t len;  /* of the answer so far */
    char answer[LOAD_ANSWER_MAX + 1];
};

struct load {
    pthread_t thread;
    pthread_mutex_t lock; /* of result and settled */
    atomic_bool is_stopping;
    char address[160];
    char request[512];
    size_t request_len;
    const char *body;
    unsigned count;
    unsigned settled; /* connections with an answer since they were opened */
    struct load_result result;
    struct connection connections[];
};

static struct load *loads[LOAD_LOADS_MAX];

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

static void hang_up(struct load *l, struct connection *c)
{
    (void)close(c->fd);
    c->fd = -1;
    (void)pthread_mutex_lock(&l->lock);
    l->settled -= c->pid != 0;
    (void)pthread_mutex_unlock(&l->lock);
    c->pid = 0;
    c->sent = c->len = 0;
}

static void note_break(struct load *l, struct connection *c)
{
    (void)pthread_mutex_lock(&l->lock);
    if (l->result.broken < LOAD_BREAKS_MAX)
        l->result.breaks[l->result.broken] =
            (struct load_break){.pid = c->pid, .after = l->result.answered};
    l->result.broken++;
    (void)pthread_mutex_unlock(&l->lock);
    hang_up(l, c);
}

/* A whole answer lies in c->answer, its body at `body`. */
static void judge(struct load *l, struct connection *c, const char *body)
{
    bool is_right =
        strncmp(c->answer, "HTTP/1.1 200 ", 13) == 0 && (!l->body || strcmp(body, l->body) == 0);
    bool is_closing = strcasestr(c->answer, "\r\nconnection: close") != NULL;
    const char *pid = strstr(body, "\"pid\":");
    (void)pthread_mutex_lock(&l->lock);
    if (is_right)
        l->result.answered++;
    else if (l->result.wrong++ == 0)
        (void)snprintf(l->result.first_wrong, sizeof l->result.first_wrong, "%s", c->answer);
    l->settled += c->pid == 0;
    (void)pthread_mutex_unlock(&l->lock);
    c->pid = pid ? (pid_t)atoi(pid + 6) : 1;
    c->sent = c->len = 0;
    if (is_closing)
        hang_up(l, c);
}

static void receive(struct load *l, struct connection *c)
{
    ssize_t n = recv(c->fd, c->answer + c->len, LOAD_ANSWER_MAX - c->len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        note_break(l, c);
        return;
    }
    c->len += (size_t)n;
    c->answer[c->len] = '\0';
    char *body = strstr(c->answer, "\r\n\r\n");
    if (!body)
        return;
    body += 4;
    const char *length = strcasestr(c->answer, "\r\ncontent-length:");
    size_t want = length && length < body ? strtoul(length + 17, NULL, 10) : 0;
    if ((size_t)(c->answer + c->len - body) >= want)
        judge(l, c, body);
}

static void advance(struct load *l, struct connection *c, short events)
{
    if (c->sent < l->request_len && (events & POLLOUT)) {
        ssize_t n = send(c->fd, l->request + c->sent, l->request_len - c->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            c->sent += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            note_break(l, c);
            return;
        }
    }
    if (events & (POLLIN | POLLHUP | POLLERR))
        receive(l, c);
}

static void *run(void *arg)
{
    struct load *l = arg;
    struct pollfd fds[LOAD_CONNECTIONS_MAX];
    while (!atomic_load(&l->is_stopping)) {
        for (unsigned i = 0; i < l->count; i++) {
            struct connection *c = &l->connections[i];
            if (c->fd < 0) {
                c->fd = dial(l->address);
                (void)pthread_mutex_lock(&l->lock);
                l->result.refused += c->fd < 0;
                (void)pthread_mutex_unlock(&l->lock);
            }
            short events = c->sent < l->request_len ? POLLIN | POLLOUT : POLLIN;
            fds[i] = (struct pollfd){.fd = c->fd, .events = events};
        }
        if (poll(fds, l->count, 50) <= 0)
            continue;
        for (unsigned i = 0; i < l->count; i++)
            if (l->connections[i].fd >= 0 && fds[i].revents)
                advance(l, &l->connections[i], fds[i].revents);
    }
    for (unsigned i = 0; i < l->count; i++)
        if (l->connections[i].fd >= 0)
            (void)close(l->connections[i].fd);
    return NULL;
}

struct load *load_start(const char *address, unsigned count, const char *target, const char *body)
{
    CHECK(count >= 1 && count <= LOAD_CONNECTIONS_MAX);
    size_t at = 0;
    while (at < LOAD_LOADS_MAX && loads[at])
        at++;
    CHECK(at < LOAD_LOADS_MAX);
    struct load *l = calloc(1, sizeof *l + count * sizeof l->connections[0]);
    CHECK(l != NULL);
    l->count = count;
    l->body = body;
    (void)snprintf(l->address, sizeof l->address, "%s", address);
    l->request_len = (size_t)snprintf(l->request, sizeof l->request,
                                      "GET %s HTTP/1.1\r\nHost: load\r\n\r\n", target);
    for (unsigned i = 0; i < count; i++)
        l->connections[i].fd = -1;
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    CHECK(pthread_create(&l->thread, NULL, run, l) == 0);
    loads[at] = l;
    return l;
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

struct load_result load_stop(struct load *l)
{
    atomic_store(&l->is_stopping, true);
    (void)pthread_join(l->thread, NULL);
    struct load_result result = l->result;
    (void)pthread_mutex_destroy(&l->lock);
    for (size_t i = 0; i < LOAD_LOADS_MAX; i++)
        if (loads[i] == l)
            loads[i] = NULL;
    free(l);
    return result;
}

void load_stop_all(void)
{
    for (size_t i = 0; i < LOAD_LOADS_MAX; i++)
        if (loads[i])
            (void)load_stop(loads[i]);
}

void load_check(const struct load_result *result, pid_t victim)
{
    CHECK_SAYING(result->wrong == 0, "%lu wrong answers, the first:\n%s", result->wrong,
                 result->first_wrong);
    CHECK_SAYING(result->refused == 0, "%lu connects failed", result->refused);
    CHECK(result->answered > 0);
    CHECK(victim != 0 || result->broken == 0);
    CHECK(result->broken <= LOAD_BREAKS_MAX);
    for (unsigned long i = 0; i < result->broken; i++)
        CHECK_SAYING(result->breaks[i].pid == victim,
                     "a connection of pid %d broke, only pid %d was to blame (break %lu of %lu)",
                     (int)result->breaks[i].pid, (int)victim, i + 1, result->broken);
}
