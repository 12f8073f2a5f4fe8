/* What the reference servers share: option reading, the listening socket, the answer, and writing.
 *
 * The references exist to be compared with, so they answer with the very bytes that remuda sends
 * for `GET /` of examples/demo, but for the request's identity, which here is always the same;
 * bench/run checks the length for every contender before it measures. When remuda's head changes,
 * `render` below is the one place to follow it. All answers of a turn go out by one write, and
 * those larger than its buffer from where they are.
 * They deliberately check nothing: no limits, no timeouts, no router, no methods. */
#include "bench/reference.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_MAX 1024
#define BATCH_BYTES 65536 /* answers of one write; what is over it takes a second */

static struct reference_content content = {
    .type = "text/plain; charset=utf-8", .body = "hello\n", .body_len = 6};

/* One answer, head and body, ready to be written. Its length never changes, nor does its body. */
struct answer {
    char *bytes; /* NULL until the first tick */
    size_t head_len;
    size_t len;
};

static struct answer answers[2]; /* [0] keep-alive, [1] close */
static time_t rendered_at = (time_t)-1;

static char batch[BATCH_BYTES];
static size_t batch_len;

static void fail(const char *what)
{
    fprintf(stderr, "reference: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- The answer */

/* The fields and their order are remuda's. */
static size_t render(char head[HEAD_MAX], const char *date, bool close)
{
    int n = snprintf(head, HEAD_MAX,
                     "HTTP/1.1 200 OK\r\n"
                     "Server: remuda\r\n"
                     "Date: %s\r\n"
                     "Content-Type: %s\r\n"
                     "Content-Length: %zu\r\n"
                     "X-Request-ID: 0123456789abcdef0123456789abcdef\r\n"
                     "%s"
                     "\r\n",
                     date, content.type, content.body_len, close ? "Connection: close\r\n" : "");

    if (n < 0 || n >= HEAD_MAX) {
        errno = EMSGSIZE;
        fail("head of the answer");
    }
    return (size_t)n;
}

/* A date is always as long, so the head is, and the body stays where it is. */
static void render_answer(struct answer *a, const char *date, bool close)
{
    char head[HEAD_MAX];
    size_t head_len = render(head, date, close);

    if (!a->bytes) {
        a->head_len = head_len;
        a->len = head_len + content.body_len;
        a->bytes = malloc(a->len);
        if (!a->bytes)
            fail("answer");
        memcpy(a->bytes + head_len, content.body, content.body_len);
    }
    memcpy(a->bytes, head, a->head_len);
}

void reference_tick(time_t now)
{
    char date[32];
    struct tm tm;

    if (now == rendered_at)
        return;
    rendered_at = now;
    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    render_answer(&answers[0], date, false);
    render_answer(&answers[1], date, true);
}

const struct reference_content *reference_content(void)
{
    return &content;
}

/* ---- Writing */

/* True for bytes that stay as they are: of a body, not of a head, which has the date. */
static bool is_lasting(const char *bytes)
{
    for (size_t i = 0; i < 2; i++)
        if (bytes >= answers[i].bytes + answers[i].head_len &&
            bytes < answers[i].bytes + answers[i].len)
            return true;
    return false;
}

/* Remembers what the socket did not take, behind what it did not take before. */
static bool owe(struct reference_out *out, const char *bytes, size_t len)
{
    char *more;

    if (!out->owed && is_lasting(bytes)) {
        out->owed = bytes;
        out->owed_len = len;
        return true;
    }
    more = realloc(out->heap, out->owed_len + len);
    if (!more)
        return false;
    if (out->owed && out->owed != out->heap)
        memcpy(more, out->owed, out->owed_len);
    memcpy(more + out->owed_len, bytes, len);
    out->owed = out->heap = more;
    out->owed_len += len;
    return true;
}

static bool write_now(struct reference_out *out, const char *bytes, size_t len)
{
    ssize_t n = 0;

    if (!out->owed) {
        n = send(out->fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0)
            n = 0;
    }
    return (size_t)n == len || owe(out, bytes + n, len - (size_t)n);
}

bool reference_put(struct reference_out *out, bool close)
{
    const struct answer *a = &answers[close];

    if (batch_len + a->len > sizeof(batch) && !reference_flush(out))
        return false;
    if (a->len > sizeof(batch))
        return write_now(out, a->bytes, a->len);
    memcpy(batch + batch_len, a->bytes, a->len);
    batch_len += a->len;
    return true;
}

bool reference_flush(struct reference_out *out)
{
    size_t len = batch_len;

    batch_len = 0;
    return len == 0 || write_now(out, batch, len);
}

static void forget(struct reference_out *out)
{
    free(out->heap);
    out->heap = NULL;
    out->owed = NULL;
    out->owed_len = out->owed_at = 0;
}

bool reference_resume(struct reference_out *out)
{
    ssize_t n = send(out->fd, out->owed + out->owed_at, out->owed_len - out->owed_at, MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN;
    out->owed_at += (size_t)n;
    if (out->owed_at == out->owed_len)
        forget(out);
    return true;
}

void reference_end(struct reference_out *out)
{
    close(out->fd);
    batch_len = 0;
    forget(out);
}

/* ---- Starting */

/* TCP_DEFER_ACCEPT because remuda's sockets have it: a connection that is accepted has its first
 * request already, which saves one turn of the loop a connection (tcp(7)). */
static int listen_on(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one)) < 0)
        fail("setsockopt");
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        fail("bind");
    if (listen(fd, 4096) < 0)
        fail("listen");
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        fail("getsockname");
    printf("%u\n", ntohs(sa.sin_port));
    fflush(stdout);
    return fd;
}

static void read_body(const char *path)
{
    FILE *file = fopen(path, "re");
    struct stat st;
    char *body;

    if (!file || fstat(fileno(file), &st) < 0)
        fail(path);
    content.file = path;
    content.body_len = (size_t)st.st_size;
    content.body = body = malloc(content.body_len + 1); /* not none: an empty one is no error */
    if (!body || fread(body, 1, content.body_len, file) != content.body_len)
        fail(path);
    fclose(file);
}

int reference_init(int argc, char **argv)
{
    char *end = NULL;
    unsigned long port = argc > 1 ? strtoul(argv[1], &end, 10) : 0;

    if ((argc != 2 && argc != 4) || end == argv[1] || *end != '\0' || port > 65535) {
        fprintf(stderr, "usage: %s PORT [CONTENT-TYPE BODY|@FILE]\n", argv[0]);
        exit(2);
    }
    if (argc == 4) {
        content.type = argv[2];
        content.body = argv[3];
        content.body_len = strlen(argv[3]);
        if (argv[3][0] == '@')
            read_body(argv[3] + 1);
    }
    signal(SIGPIPE, SIG_IGN);
    reference_tick(time(NULL));
    return listen_on((uint16_t)port);
}

int reference_accept(int listen_fd)
{
    int one = 1;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        perror("TCP_NODELAY"); /* an answer may come late, none is wrong */
    return fd;
}
