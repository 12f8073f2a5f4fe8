/* Sockets and strict reading of answers. Each connection is non-blocking and every wait is a poll
 * with the test's deadline, so that a server which answers nothing fails a test instead of hanging
 * it. */
#include "tests/harness/client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/harness/patience.h"

#define CLIENTS_MAX 16384

static struct client *clients[CLIENTS_MAX];
static size_t n_clients;

/* ---- Connections --------------------------------------------------------------------------- */

/* "http://host:port" or "unix:/path" as a socket address; the wildcards as loopback. */
static socklen_t parse_address(const char *address, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (strncmp(address, "unix:", 5) == 0) {
        struct sockaddr_un *un = (struct sockaddr_un *)out;
        un->sun_family = AF_UNIX;
        (void)snprintf(un->sun_path, sizeof un->sun_path, "%s", address + 5);
        return sizeof *un;
    }
    char host[64];
    unsigned port;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    if (sscanf(address, "http://[%63[^]]]:%u", host, &port) == 2) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        CHECK(inet_pton(AF_INET6, strcmp(host, "::") == 0 ? "::1" : host, &in6->sin6_addr) == 1);
        return sizeof *in6;
    }
    CHECK_SAYING(sscanf(address, "http://%63[^:]:%u", host, &port) == 2, "no address: %s", address);
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    CHECK(inet_pton(AF_INET, strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : host, &in->sin_addr) ==
          1);
    return sizeof *in;
}

/* Returns a connected descriptor; -errno */
static int dial(const char *address)
{
    struct sockaddr_storage to;
    socklen_t len = parse_address(address, &to);
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(fd >= 0);
    int one = 1, code = 0;
    socklen_t code_len = sizeof code;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* not on unix sockets */
    if (connect(fd, (struct sockaddr *)&to, len) != 0) {
        code = errno;
        if (code == EINPROGRESS) {
            code = ETIMEDOUT;
            if (patience_poll(fd, POLLOUT, patience_until(PATIENCE_MS)))
                CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &code_len) == 0);
        }
    }
    if (code == 0)
        return fd;
    (void)close(fd);
    return -code;
}

struct client *client_open(const char *address)
{
    int fd = dial(address);
    CHECK_SAYING(fd >= 0, "connect to %s: %s", address, strerror(-fd));
    CHECK(n_clients < CLIENTS_MAX);
    struct client *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    c->fd = fd;
    clients[n_clients++] = c;
    return c;
}

struct client *client_to(const struct server *s)
{
    return client_open(server_address(s, 0));
}

int client_try(const char *address)
{
    int fd = dial(address);
    if (fd < 0)
        return fd;
    (void)close(fd);
    return 0;
}

void client_close(struct client *c)
{
    for (size_t i = 0; i < n_clients; i++)
        if (clients[i] == c) {
            clients[i] = clients[--n_clients];
            break;
        }
    if (c->fd >= 0)
        (void)close(c->fd);
    buf_fini(&c->in);
    free(c);
}

void client_abort(struct client *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client_close(c);
}

void client_shutdown(struct client *c)
{
    CHECK(shutdown(c->fd, SHUT_WR) == 0);
}

void client_shrink(struct client *c)
{
    int bytes = 64 * 1024; /* the kernel doubles it (socket(7)) */
    CHECK(setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0);
}

void client_close_all(void)
{
    while (n_clients > 0)
        client_close(clients[n_clients - 1]);
}

/* ---- Sending ------------------------------------------------------------------------------- */

/* One attempt to read what is there. Returns bytes; 0 closed; -EAGAIN nothing; -errno */
static ssize_t take(struct client *c)
{
    CHECK(buf_reserve(&c->in, 65537) == 0);
    ssize_t n;
    do
        n = recv(c->fd, c->in.data + c->in.len, 65536, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        c->in.len += (size_t)n;
    c->in.data[c->in.len] = '\0';
    return n < 0 ? -errno : n;
}

/* Answers are read while a request is sent: a server may answer before it has all of it, and two
 * that only write wait for each other. */
bool client_send(struct client *c, const void *data, size_t len)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);
        if (n >= 0) {
            at += n;
            len -= (size_t)n;
            continue;
        }
        if (errno == EPIPE || errno == ECONNRESET)
            return false;
        CHECK_SAYING(errno == EAGAIN || errno == EINTR, "send: %s", strerror(errno));
        struct pollfd ready = {.fd = c->fd, .events = POLLIN | POLLOUT};
        int r = poll(&ready, 1, patience_left_ms(deadline));
        CHECK_SAYING(r > 0 || errno == EINTR, "the server does not read, %zu octets are left", len);
        if ((ready.revents & POLLIN) && take(c) <= 0 && !(ready.revents & POLLOUT))
            return false;
    }
    return true;
}

void client_send_text(struct client *c, const char *text)
{
    CHECK_SAYING(client_send(c, text, strlen(text)), "closed by the server while sending");
}

bool client_send_pieces(struct client *c, const void *data, size_t len, size_t piece)
{
    for (size_t at = 0; at < len; at += piece)
        if (!client_send(c, (const char *)data + at, len - at < piece ? len - at : piece))
            return false;
    return true;
}

/* On a unix socket SIOCOUTQ counts the memory of what the peer has not read to its end (unix(7)),
 * so it is 0 at the moment when the server has it all. There is nothing to poll for: at first
 * others only get the processor, which is enough when the server isn't held up. */
void client_wait_taken(struct client *c)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    int left = 0;
    for (unsigned turns = 0; ioctl(c->fd, SIOCOUTQ, &left) == 0 && left > 0; turns++) {
        if (turns < 1000)
            (void)sched_yield();
        else
            CHECK_SAYING(patience_turn(deadline), "the server does not read what was sent");
    }
}

/* ---- Receiving ----------------------------------------------------------------------------- */

/* Waits for more octets. Returns false when the server has closed (a reset counts) */
static bool wait_more(struct client *c, uint64_t deadline)
{
    for (;;) {
        ssize_t n = take(c);
        if (n > 0)
            return true;
        if (n == 0 || n == -ECONNRESET)
            return false;
        CHECK_SAYING(n == -EAGAIN, "recv: %s", strerror((int)-n));
        CHECK_SAYING(patience_poll(c->fd, POLLIN, deadline),
                     "no answer within the deadline; so far %zu octets:\n%.200s", c->in.len,
                     c->in.data);
    }
}

void client_read_raw(struct client *c, size_t len)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (c->in.len < len)
        CHECK_SAYING(wait_more(c, deadline), "closed after %zu of %zu octets", c->in.len, len);
}

static size_t find_line_end(struct client *c, uint64_t deadline)
{
    size_t from = 0;
    for (;;) {
        char *lf = c->in.len > from ? memchr(c->in.data + from, '\n', c->in.len - from) : NULL;
        if (lf)
            return (size_t)(lf - c->in.data);
        from = c->in.len;
        CHECK_SAYING(wait_more(c, deadline), "closed within a line:\n%.200s",
                     c->in.data ? c->in.data : "");
    }
}

void client_read_line(struct client *c, char *out, size_t cap)
{
    size_t len = find_line_end(c, patience_until(PATIENCE_MS)) + 1;
    CHECK(len < cap);
    memcpy(out, c->in.data, len);
    out[len] = '\0';
    buf_consume(&c->in, len);
    c->in.data[c->in.len] = '\0';
}

bool client_wait(struct client *c)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (c->in.len == 0)
        if (!wait_more(c, deadline))
            return false;
    return true;
}

void client_expect_close(struct client *c)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (c->in.len == 0 && wait_more(c, deadline))
        continue;
    CHECK_SAYING(c->in.len == 0, "expected the connection to close, but there came:\n%.300s",
                 c->in.data);
}

void client_read_all(struct client *c)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (wait_more(c, deadline))
        continue;
}

bool client_is_quiet(struct client *c)
{
    return take(c) == -EAGAIN && c->in.len == 0;
}

/* ---- Answers ------------------------------------------------------------------------------- */

void reply_init(struct reply *r)
{
    memset(r, 0, sizeof *r);
}

void reply_fini(struct reply *r)
{
    buf_fini(&r->head);
    buf_fini(&r->body);
}

const char *reply_field(const struct reply *r, const char *name)
{
    static char value[8200];
    size_t len = strlen(name);
    const char *found = NULL;
    for (const char *line = strchr(r->head.data, '\n'); line; line = strchr(line + 1, '\n')) {
        if (strncasecmp(line + 1, name, len) != 0 || line[1 + len] != ':')
            continue;
        CHECK_SAYING(!found, "%s is there twice in:\n%s", name, r->head.data);
        found = line + 2 + len;
    }
    if (!found)
        return NULL;
    found += strspn(found, " \t");
    (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(found, "\r\n"), found);
    return value;
}

/* Status line and fields must be of the letter of RFC 9112 §4 and §5: CRLF, a token and a colon
 * without blank, three digits, a blank behind them. */
static void check_head(const char *head)
{
    int status = 0, n = 0;
    CHECK_SAYING(sscanf(head, "HTTP/1.1 %3d %n", &status, &n) == 1 && n >= 12 && status >= 100,
                 "malformed status line:\n%s", head);
    for (const char *line = strchr(head, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        size_t name = strspn(line + 1, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        const char *end = strchr(line + 1, '\n');
        CHECK_SAYING(name > 0 && line[1 + name] == ':' && end && end[-1] == '\r',
                     "malformed field in:\n%s", head);
    }
}

void client_read_head(struct client *c, struct reply *r)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    char *end;
    while (!c->in.data || !(end = strstr(c->in.data, "\r\n\r\n")))
        CHECK_SAYING(wait_more(c, deadline), "closed without a whole answer:\n%.300s",
                     c->in.data ? c->in.data : "");
    size_t len = (size_t)(end - c->in.data) + 2;
    r->head.len = r->body.len = 0;
    CHECK(buf_append(&r->head, c->in.data, len) == 0 && buf_append(&r->head, "", 1) == 0);
    CHECK(buf_append(&r->body, "", 1) == 0);
    r->head.len--;
    r->body.len--;
    buf_consume(&c->in, len + 2);
    c->in.data[c->in.len] = '\0';
    check_head(r->head.data);
    r->status = atoi(r->head.data + 9);
    const char *connection = reply_field(r, "Connection");
    r->is_closing = connection && strcasestr(connection, "close");
    const char *coding = reply_field(r, "Transfer-Encoding");
    r->is_chunked = coding != NULL;
    r->chunks = 0;
    CHECK_SAYING(!coding || strcmp(coding, "chunked") == 0, "Transfer-Encoding: %s", coding);
    CHECK_SAYING(!coding || !reply_field(r, "Content-Length"), "two framings in:\n%s",
                 r->head.data);
}

/* Moves n octets of the input to the body. */
static void take_body(struct client *c, struct reply *r, size_t n)
{
    client_read_raw(c, n);
    CHECK(buf_append(&r->body, c->in.data, n) == 0 && buf_append(&r->body, "", 1) == 0);
    r->body.len--;
    buf_consume(&c->in, n);
    c->in.data[c->in.len] = '\0';
}

static void read_chunks(struct client *c, struct reply *r)
{
    char line[64];
    for (;;) {
        client_read_line(c, line, sizeof line);
        size_t digits = strspn(line, "0123456789abcdefABCDEF");
        CHECK_SAYING(digits > 0 && strcmp(line + digits, "\r\n") == 0, "bad chunk line: %s", line);
        size_t n = strtoul(line, NULL, 16);
        if (n == 0)
            break;
        r->chunks++;
        take_body(c, r, n);
        client_read_line(c, line, sizeof line);
        CHECK_TEXT(line, "\r\n");
    }
    client_read_line(c, line, sizeof line);
    CHECK_TEXT(line, "\r\n"); /* we send no trailers */
}

void client_read(struct client *c, struct reply *r, bool is_head)
{
    client_read_head(c, r);
    const char *length = reply_field(r, "Content-Length");
    if (is_head || r->status < 200 || r->status == 204 || r->status == 304)
        return;
    if (r->is_chunked) {
        read_chunks(c, r);
    } else if (length) {
        CHECK_SAYING(strspn(length, "0123456789") == strlen(length), "Content-Length: %s", length);
        take_body(c, r, strtoul(length, NULL, 10));
    } else {
        r->is_closing = true; /* RFC 9112 §6.3: until the connection closes */
        while (wait_more(c, patience_until(PATIENCE_MS)))
            continue;
        take_body(c, r, c->in.len);
    }
}

void client_exchange(struct client *c, struct reply *r, const char *request)
{
    client_send_text(c, request);
    client_read(c, r, strncmp(request, "HEAD ", 5) == 0);
}

char *client_get(const struct server *s, const char *target, int status)
{
    char request[9000];
    struct reply r;
    reply_init(&r);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", target);
    struct client *c = client_to(s);
    client_exchange(c, &r, request);
    client_close(c);
    CHECK_SAYING(r.status == status, "GET %s is answered %d, expected %d:\n%s%s", target, r.status,
                 status, r.head.data, r.body.data);
    buf_fini(&r.head);
    return r.body.data;
}
