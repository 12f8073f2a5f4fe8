/* A load that is the same every time: a fixed number of requests, each answer checked.
 *
 * bench/instructions and bench/rss need exact counts, which a load generator that runs for a time
 * cannot give. Requests go out in batches over one or more connections (write to each, then read
 * from each), or one by one on a connection each with --close. They are GETs, with --body POSTs of
 * so many octets. Every answer must have status 200, the length of the first answer and its body.
 * Blocking sockets with a deadline; no threads.
 * It prints one line: requests=N answer_bytes=N body_bytes=N body_hash=H. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define DEADLINE_S 60 /* for one answer; generous, since the server may run under valgrind */
#define IN_BYTES ((size_t)4 << 20) /* an answer must be smaller */
#define BATCH_MAX 256
#define BODY_MAX (64 << 20)
#define CONNECTIONS_MAX 1024

static struct {
    uint16_t port;
    unsigned long requests;
    unsigned long batch;
    unsigned long connections;
    unsigned long body; /* octets; 0: GET */
    bool close;
    const char *target;
} opt = {.requests = 1, .batch = 1, .connections = 1, .target = "/"};

/* What the first answer looked like; every other must look the same. */
static struct {
    size_t answer_bytes; /* 0 until there was one */
    size_t body_bytes;
    uint64_t body_hash;
} first;

static unsigned long answered;
static char in[IN_BYTES];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "client: %s after %lu answers\n", what, answered);
    exit(1);
}

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
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline)) < 0)
        fail(strerror(errno));
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        fail(strerror(errno));
    return fd;
}

/* FNV-1a, 64 bits: enough to see that two bodies differ. */
static uint64_t hash(const char *p, size_t len)
{
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)p[i]) * 1099511628211u;
    return h;
}

/* Checks the answer at the start of p.
 * Returns  its length, head and body; 0 when it is not complete yet */
static size_t check_answer(const char *p, size_t len)
{
    static const char status[] = "HTTP/1.1 200 ";
    const char *end = memmem(p, len, "\r\n\r\n", 4);
    const char *field;
    size_t head, body;

    if (!end)
        return 0;
    if (memcmp(p, status, sizeof(status) - 1) != 0)
        fail("an answer other than 200");
    head = (size_t)(end - p) + 4;
    field = memmem(p, head, "\r\nContent-Length: ", 18);
    if (!field) /* names have no case (RFC 9110 §5.1), and h2o writes small letters */
        field = memmem(p, head, "\r\ncontent-length: ", 18);
    if (!field)
        fail("an answer without Content-Length");
    body = strtoul(field + 18, NULL, 10);
    if (head + body > len)
        return 0;
    if (first.answer_bytes == 0) {
        first.answer_bytes = head + body;
        first.body_bytes = body;
        first.body_hash = hash(p + head, body);
    }
    if (head + body != first.answer_bytes || hash(p + head, body) != first.body_hash)
        fail("an answer that differs from the first");
    return head + body;
}

static void send_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n < 0)
            fail(strerror(errno));
        p += n;
        len -= (size_t)n;
    }
}

static void send_batch(int fd, const char *request, size_t len, unsigned long count)
{
    static char out[65536];
    static const char zeros[65536];
    size_t filled = 0;

    for (unsigned long i = 0; i < count; i++) {
        memcpy(out + filled, request, len);
        filled += len;
        if (opt.body == 0)
            continue;
        send_all(fd, out, filled);
        for (size_t left = opt.body; left > 0; left -= filled) {
            filled = left < sizeof(zeros) ? left : sizeof(zeros);
            send_all(fd, zeros, filled);
        }
        filled = 0;
    }
    send_all(fd, out, filled);
}

/* Reads exactly count answers; a byte more is an error. */
static void read_answers(int fd, unsigned long count)
{
    size_t len = 0, at = 0;

    while (count > 0) {
        ssize_t n;

        if (len == sizeof(in)) {
            memmove(in, in + at, len - at);
            len -= at;
            at = 0;
        }
        n = recv(fd, in + len, sizeof(in) - len, 0);
        if (n <= 0)
            fail(n < 0 ? strerror(errno) : "connection closed");
        len += (size_t)n;
        while (count > 0) {
            size_t answer = check_answer(in + at, len - at);

            if (answer == 0)
                break;
            at += answer;
            answered++;
            count--;
        }
        if (at == len)
            at = len = 0;
    }
    if (at != len)
        fail("more bytes than answers");
}

/* With --close the server ends the connection; anything else than its end is an error. */
static void expect_end(int fd)
{
    char byte;

    if (recv(fd, &byte, 1, 0) != 0)
        fail("no end of the connection behind the last answer");
}

static void run_one_shot(const char *request, size_t len)
{
    while (answered < opt.requests) {
        int fd = open_connection();

        send_batch(fd, request, len, 1);
        read_answers(fd, 1);
        expect_end(fd);
        close(fd);
    }
}

static void run_keep_alive(const char *request, size_t len)
{
    static int fds[CONNECTIONS_MAX];
    static unsigned long sent[CONNECTIONS_MAX];
    unsigned long left = opt.requests;

    for (unsigned long i = 0; i < opt.connections; i++)
        fds[i] = open_connection();
    while (left > 0) {
        for (unsigned long i = 0; i < opt.connections; i++) {
            sent[i] = left < opt.batch ? left : opt.batch;
            left -= sent[i];
            if (sent[i] > 0)
                send_batch(fds[i], request, len, sent[i]);
        }
        for (unsigned long i = 0; i < opt.connections; i++)
            read_answers(fds[i], sent[i]);
    }
    for (unsigned long i = 0; i < opt.connections; i++)
        close(fds[i]);
}

static unsigned long parse_number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || n < min || n > max) {
        fprintf(stderr, "client: %s: not a number from %lu to %lu\n", text, min, max);
        exit(2);
    }
    return n;
}

static _Noreturn void usage(const char *name)
{
    fprintf(stderr,
            "usage: %s --port PORT [--requests N] [--batch N] [--connections N] [--body OCTETS] "
            "[--close] [--target T]\n",
            name);
    exit(2);
}

static void parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},   {"requests", required_argument, NULL, 'n'},
        {"batch", required_argument, NULL, 'b'},  {"connections", required_argument, NULL, 'c'},
        {"body", required_argument, NULL, 'o'},   {"close", no_argument, NULL, 'x'},
        {"target", required_argument, NULL, 't'}, {NULL, 0, NULL, 0},
    };
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'p':
            opt.port = (uint16_t)parse_number(optarg, 1, 65535);
            break;
        case 'n':
            opt.requests = parse_number(optarg, 1, 1000000000);
            break;
        case 'b':
            opt.batch = parse_number(optarg, 1, BATCH_MAX);
            break;
        case 'c':
            opt.connections = parse_number(optarg, 1, CONNECTIONS_MAX);
            break;
        case 'o':
            opt.body = parse_number(optarg, 0, BODY_MAX);
            break;
        case 'x':
            opt.close = true;
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
    char request[256], length[48] = "";
    int len;

    parse_options(argc, argv);
    if (opt.body > 0)
        (void)snprintf(length, sizeof(length), "Content-Length: %lu\r\n", opt.body);
    len = snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s\r\n",
                   opt.body > 0 ? "POST" : "GET", opt.target, length,
                   opt.close ? "Connection: close\r\n" : "");
    if (len < 0 || (size_t)len >= sizeof(request))
        fail("target too long");
    if (opt.close)
        run_one_shot(request, (size_t)len);
    else
        run_keep_alive(request, (size_t)len);
    printf("requests=%lu answer_bytes=%zu body_bytes=%zu body_hash=%016llx\n", answered,
           first.answer_bytes, first.body_bytes, (unsigned long long)first.body_hash);
    return 0;
}
