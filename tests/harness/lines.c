/* A log as tests see it. Reading never waits for more than one poll, so the writer is never the one
 * that decides how long a test takes; searching starts behind the last line that was found, so that
 * "the next death" means the next. */
#include "tests/harness/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/harness/check.h"
#include "tests/harness/patience.h"

void lines_init(struct lines *l, int fd)
{
    memset(l, 0, sizeof *l);
    l->fd = fd;
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    CHECK(buf_reserve(&l->text, 1) == 0);
    l->text.data[0] = '\0';
}

void lines_fini(struct lines *l)
{
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = -1;
    buf_fini(&l->text);
}

bool lines_take(struct lines *l)
{
    bool has_come = false;
    while (l->fd >= 0) {
        CHECK(buf_reserve(&l->text, 65537) == 0);
        ssize_t n = read(l->fd, l->text.data + l->text.len, 65536);
        if (n > 0) {
            l->text.len += (size_t)n;
            l->text.data[l->text.len] = '\0';
            has_come = true;
        } else if (n == 0) {
            (void)close(l->fd);
            l->fd = -1;
        } else if (errno != EINTR) {
            break;
        }
    }
    return has_come;
}

/* Copies one line, without its newline, and returns the copy. */
static const char *keep(struct lines *l, const char *start, const char *end)
{
    size_t n = (size_t)(end - start);
    if (n >= sizeof l->line)
        n = sizeof l->line - 1;
    memcpy(l->line, start, n);
    l->line[n] = '\0';
    return l->line;
}

/* Where a line's event starts: behind the first ": " (the clock in front has no blank behind its
 * colons); NULL for lines that are not the log's. */
static const char *event_of(const char *start, const char *end)
{
    const char *at = memmem(start, (size_t)(end - start), ": ", 2);
    return at ? at + 2 : NULL;
}

static bool is_event(const char *at, const char *end, const char *event)
{
    size_t len = strlen(event);
    size_t left = (size_t)(end - at);
    return left >= len && memcmp(at, event, len) == 0 && (left == len || at[len] == ' ');
}

/* First complete line from *offset on that matches; *offset moves behind it, or behind the last
 * complete line. */
static const char *search(struct lines *l, size_t *offset, const char *what, bool is_text)
{
    for (;;) {
        const char *start = l->text.data + *offset;
        const char *end = memchr(start, '\n', l->text.len - *offset);
        if (!end)
            return NULL;
        *offset = (size_t)(end - l->text.data) + 1;
        if (is_text) {
            if (memmem(start, (size_t)(end - start), what, strlen(what)))
                return keep(l, start, end);
            continue;
        }
        const char *event = event_of(start, end);
        if (event && is_event(event, end, what))
            return keep(l, event, end);
    }
}

static const char *wait_for(struct lines *l, const char *what, bool is_text, uint64_t deadline_us)
{
    for (;;) {
        (void)lines_take(l);
        const char *found = search(l, &l->seen, what, is_text);
        if (found)
            return found;
        if (l->fd < 0 || !patience_poll(l->fd, POLLIN, deadline_us))
            return NULL;
    }
}

const char *lines_wait(struct lines *l, const char *event, uint64_t deadline_us)
{
    return wait_for(l, event, false, deadline_us);
}

const char *lines_wait_text(struct lines *l, const char *text, uint64_t deadline_us)
{
    return wait_for(l, text, true, deadline_us);
}

unsigned lines_count(struct lines *l, const char *event)
{
    (void)lines_take(l);
    unsigned n = 0;
    size_t offset = 0;
    while (search(l, &offset, event, false))
        n++;
    return n;
}

const char *lines_find_last(struct lines *l, const char *event)
{
    (void)lines_take(l);
    size_t offset = 0;
    bool is_found = false;
    while (search(l, &offset, event, false))
        is_found = true;
    return is_found ? l->line : NULL;
}

bool lines_finish(struct lines *l, uint64_t deadline_us)
{
    do
        (void)lines_take(l);
    while (l->fd >= 0 && patience_poll(l->fd, POLLIN, deadline_us));
    return l->fd < 0;
}

const char *lines_text(struct lines *l)
{
    (void)lines_take(l);
    return l->text.data;
}

bool lines_pair(const char *line, const char *key, char *out, size_t cap)
{
    size_t len = strlen(key);
    for (const char *at = strstr(line, key); at; at = strstr(at + 1, key)) {
        if (at == line || at[-1] != ' ' || at[len] != '=')
            continue;
        const char *value = at + len + 1;
        bool is_quoted = *value == '"';
        value += is_quoted;
        size_t n = strcspn(value, is_quoted ? "\"" : " \n");
        if (n >= cap)
            n = cap - 1;
        memcpy(out, value, n);
        out[n] = '\0';
        return true;
    }
    return false;
}

long lines_number(const char *line, const char *key)
{
    char text[64];
    char *end = text;
    long value = 0;
    if (lines_pair(line, key, text, sizeof text))
        value = strtol(text, &end, 10);
    CHECK_SAYING(end != text && *end == '\0', "no number %s= in: %s", key, line);
    return value;
}
