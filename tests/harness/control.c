#include "tests/harness/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json_value.h"
#include "tests/harness/check.h"
#include "tests/harness/patience.h"

#define ANSWER_MAX (4U << 20)

const char *control_socket(const struct server *s)
{
    return server_path(s, "control");
}

int control_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int code = errno;
    (void)close(fd);
    return -code;
}

void control_send(int fd, const char *text)
{
    size_t len = strlen(text);
    CHECK_EQ(send(fd, text, len, MSG_NOSIGNAL), len);
}

int control_read_line(int fd, char *out, size_t cap)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    size_t n = 0;
    for (;;) {
        CHECK_SAYING(patience_poll(fd, POLLIN, deadline), "no answer on the control socket");
        CHECK(n < cap);
        ssize_t got = recv(fd, out + n, cap - n, MSG_PEEK);
        if (got <= 0) {
            out[n] = '\0';
            return -1;
        }
        const char *end = memchr(out + n, '\n', (size_t)got);
        size_t taken = end ? (size_t)(end - out) - n + 1 : (size_t)got;
        CHECK_EQ(recv(fd, out + n, taken, 0), taken);
        n += taken;
        if (end) {
            out[n - 1] = '\0';
            return (int)n - 1;
        }
    }
}

char *control_ask(const struct server *s, const char *request)
{
    char *answer = malloc(ANSWER_MAX);
    struct str value;
    CHECK(answer != NULL);
    int fd = control_connect(control_socket(s));
    CHECK_SAYING(fd >= 0, "%s: %s", control_socket(s), strerror(-fd));
    control_send(fd, request);
    control_send(fd, "\n");
    int len = control_read_line(fd, answer, ANSWER_MAX);
    (void)close(fd);
    CHECK_SAYING(len > 0, "closed without an answer to %s", request);
    const char *wrong = json_value_check(str_make(answer, (size_t)len), &value);
    CHECK_SAYING(!wrong, "%s: %s", wrong, answer);
    return answer;
}

static struct str find(const char *answer, const char *path)
{
    struct str value = str_of(answer);
    char name[64];
    for (const char *p = path; *p && value.len > 0;) {
        size_t len = strcspn(p, ".");
        (void)snprintf(name, sizeof name, "%.*s", (int)len, p);
        p += len + (p[len] == '.');
        if (json_value_kind(value) == JSON_OBJECT) {
            value = json_value_find(value, name);
            continue;
        }
        struct str at = {0}, element = {0};
        for (int i = atoi(name); i >= 0; i--)
            if (!json_value_next(value, &at, NULL, &element))
                return (struct str){0};
        value = element;
    }
    return value;
}

static const char *text_of(struct str value)
{
    static char text[4096];
    bool is_text = json_value_kind(value) == JSON_TEXT;
    (void)snprintf(text, sizeof text, "%.*s", (int)value.len - 2 * is_text, value.p + is_text);
    return text;
}

const char *control_member(const char *answer, const char *path)
{
    struct str value = find(answer, path);
    CHECK_SAYING(value.len > 0, "no %s in %s", path, answer);
    return text_of(value);
}

uint64_t control_number(const char *answer, const char *path)
{
    uint64_t n = 0;
    struct str value = find(answer, path);
    CHECK_SAYING(json_value_u64(value, UINT64_MAX, &n) == 0, "no number %s in %s", path, answer);
    return n;
}

void control_wait_member(const struct server *s, const char *path, const char *value)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        char *answer = control_ask(s, "{\"request\":\"status\"}");
        bool is_there = strcmp(text_of(find(answer, path)), value) == 0;
        CHECK_SAYING(is_there || patience_turn(deadline), "%s never becomes %s: %s", path, value,
                     answer);
        free(answer);
        if (is_there)
            return;
    }
}
