/* The client of the health check. Process: web workers, before they are ready.
 *
 * The answer ends with its connection, since the request says close. Of a large one the beginning
 * is enough: it has its status, and the check is not there to read it. */
#include "workers/health.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "config/settings.h"
#include "workers/inproc.h"

#define ANSWER_MAX_BYTES 65536U
#define SHOWN_MAX 80            /* characters of a body that is no good answer */
#define AHEAD_US CLOCK_US_PER_S /* see health_limit_us(): a guess */
#define LEAST_US (CLOCK_US_PER_S / 10)

int health_open(struct health *h, const char *path, int *out_fd)
{
    int fds[2];
    struct buf request = {0};
    struct inproc_request about = {.method = "GET",
                                   .target = path,
                                   .headers = STR("User-Agent: remuda-health-check\r\n"
                                                  "Connection: close\r\n")};
    *h = (struct health){.fd = -1, .path = path};
    int rc = inproc_write_request(&about, &request);
    if (rc == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        rc = -errno;
    if (rc == 0) {
        h->fd = fds[0];
        *out_fd = fds[1];
        /* An empty buffer of a socket takes a request line of the greatest length. */
        (void)!write(h->fd, request.data, request.len);
    }
    buf_fini(&request);
    return rc;
}

void health_close(struct health *h)
{
    fd_close(&h->fd);
    buf_fini(&h->answer);
}

bool health_read(struct health *h)
{
    char octets[4096];
    ssize_t n;
    while (!h->is_over && ((n = read(h->fd, octets, sizeof octets)) >= 0 || errno != EAGAIN)) {
        if (n < 0 && errno == EINTR)
            continue;
        h->is_over = n <= 0 || h->answer.len >= ANSWER_MAX_BYTES ||
                     buf_append(&h->answer, octets, (size_t)n) < 0;
    }
    return h->is_over;
}

/* The body's beginning, as far as it is text, without the end of its line. */
static void cut_body(const struct buf *body, char out[SHOWN_MAX + 1])
{
    size_t n = 0;
    while (n < body->len && n < SHOWN_MAX && (unsigned char)body->data[n] >= ' ') {
        out[n] = body->data[n];
        n++;
    }
    out[n] = '\0';
}

bool health_judge(const struct health *h, uint64_t limit_us, char out_why[MSG_TEXT_MAX])
{
    struct buf head = {0};
    struct buf body = {0};
    char shown[SHOWN_MAX + 1];
    int status = inproc_read_answer(str_make(h->answer.data, h->answer.len), &head, &body);
    bool is_good = h->is_over && status >= 200 && status < 300;
    cut_body(&body, shown);
    if (!h->is_over)
        (void)snprintf(out_why, MSG_TEXT_MAX,
                       "health check GET %.80s was not answered within %" PRIu64 " ms", h->path,
                       limit_us / CLOCK_US_PER_MS);
    else if (status < 200)
        (void)snprintf(out_why, MSG_TEXT_MAX,
                       "health check GET %.80s: the connection closed without an answer", h->path);
    else if (!is_good)
        (void)snprintf(out_why, MSG_TEXT_MAX, "health check GET %.80s answered %d%s%s", h->path,
                       status, shown[0] ? ": " : "", shown);
    buf_fini(&head);
    buf_fini(&body);
    return is_good;
}

uint64_t health_limit_us(const struct settings *settings, uint64_t spent_us)
{
    uint64_t limit_us = settings->boot_timeout_us;
    uint64_t ahead_us = limit_us / 8 < AHEAD_US ? limit_us / 8 : AHEAD_US;
    uint64_t left_us = limit_us > ahead_us + spent_us ? limit_us - ahead_us - spent_us : 0;
    return left_us > LEAST_US ? left_us : LEAST_US;
}
