/* What the two reference servers share: option reading, the listening socket, and the answer.
 *
 * The references exist to be compared with, so they answer with the very bytes that remuda sends
 * for `GET /` of examples/demo, but for the request's identity, which here is always the same;
 * bench/run checks the length for every contender before it measures. When remuda's head changes,
 * `render` below is the one place to follow it.
 * They deliberately check nothing: no limits, no timeouts, no router, no methods. */
#include "bench/reference.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char *content_type = "text/plain; charset=utf-8";
static const char *body = "hello\n";

static struct reference_answer answers[2]; /* [0] keep-alive, [1] close */
static time_t rendered_at = (time_t)-1;

static void fail(const char *what)
{
    fprintf(stderr, "reference: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* The fields and their order are remuda's. */
static void render(struct reference_answer *a, const char *date, bool close)
{
    int n = snprintf(a->bytes, sizeof(a->bytes),
                     "HTTP/1.1 200 OK\r\n"
                     "Server: remuda\r\n"
                     "Date: %s\r\n"
                     "Content-Type: %s\r\n"
                     "Content-Length: %zu\r\n"
                     "X-Request-ID: 0123456789abcdef0123456789abcdef\r\n"
                     "%s"
                     "\r\n"
                     "%s",
                     date, content_type, strlen(body), close ? "Connection: close\r\n" : "", body);

    if (n < 0 || (size_t)n >= sizeof(a->bytes)) {
        errno = EMSGSIZE;
        fail("answer");
    }
    a->len = (size_t)n;
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
    render(&answers[0], date, false);
    render(&answers[1], date, true);
}

const struct reference_answer *reference_answer(bool close)
{
    return &answers[close];
}

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

int reference_init(int argc, char **argv)
{
    char *end = NULL;
    unsigned long port = argc > 1 ? strtoul(argv[1], &end, 10) : 0;

    if ((argc != 2 && argc != 4) || end == argv[1] || *end != '\0' || port > 65535) {
        fprintf(stderr, "usage: %s PORT [CONTENT-TYPE BODY]\n", argv[0]);
        exit(2);
    }
    if (argc == 4) {
        content_type = argv[2];
        body = argv[3];
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
