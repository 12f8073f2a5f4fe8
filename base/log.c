/* The server's log: one line is built on the caller's stack and handed to the kernel in one write,
 * so that lines of several processes don't mix. Nothing waits for a slow reader: what a full pipe
 * does not take is counted, and the count is the next line that fits. */
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

const char *const log_level_names[] = {"error", "warn", "notice", "info", "debug"};

static struct {
    int fd;
    enum log_level level;
    enum log_format format;
    const char *role;
    int slot;
    int generation;
    atomic_ulong dropped;  /* lines, since the last one that fitted */
    struct log_ring *ring; /* NULL: none */
} log_state = {.fd = STDERR_FILENO,
               .level = LOG_LEVEL_INFO,
               .format = LOG_FORMAT_TEXT,
               .role = "remuda",
               .slot = -1,
               .generation = -1};

/* One line under construction. Text that does not fit is cut, the newline always fits. */
struct line {
    char text[PIPE_BUF];
    size_t len;
};

#define LINE_ROOM (PIPE_BUF - 8)

void log_init(int fd, enum log_level level, enum log_format format)
{
    log_state.fd = fd;
    log_state.level = level;
    log_state.format = format == LOG_FORMAT_JSON ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
}

void log_identify(const char *role, int slot, int generation)
{
    log_state.role = role;
    log_state.slot = slot;
    log_state.generation = generation;
}

bool log_is_on(enum log_level level)
{
    return level <= log_state.level;
}

static void put(struct line *line, const char *data, size_t len)
{
    size_t room = LINE_ROOM - line->len;
    if (len > room)
        len = room;
    memcpy(line->text + line->len, data, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void put_format(struct line *line, const char *format,
                                                             ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->text + line->len, LINE_ROOM - line->len, format, args);
    va_end(args);
    if (n > 0)
        line->len += (size_t)n < LINE_ROOM - line->len ? (size_t)n : LINE_ROOM - line->len - 1;
}

/* Stops where there is room left for what ends an object. */
static void put_json_text(struct line *line, const char *data, size_t len)
{
    if (line->len + 16 < LINE_ROOM)
        line->len += json_escape(line->text + line->len, LINE_ROOM - 16 - line->len,
                                 str_make(data, len), NULL);
}

static void put_json(struct line *line, const char *data, size_t len)
{
    put(line, "\"", 1);
    put_json_text(line, data, len);
    put(line, "\"", 1);
}

const char *log_quote(char out[LOG_QUOTE_MAX + 8], const char *data, size_t len)
{
    size_t at = 0;
    out[at++] = '"';
    size_t i = 0;
    for (; i < len && at + 5 < LOG_QUOTE_MAX; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c == '"' || c == '\\') {
            out[at++] = '\\';
            out[at++] = (char)c;
        } else if (c < 0x20 || c >= 0x7f) {
            at += (size_t)snprintf(out + at, 5, "\\x%02x", c);
        } else {
            out[at++] = (char)c;
        }
    }
    if (i < len) {
        memcpy(out + at, "…", 3);
        at += 3;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}

static bool is_json_number(const char *text, size_t len)
{
    size_t i = len > 0 && text[0] == '-' ? 1 : 0;
    size_t digits = 0;
    bool has_dot = false;
    if (i < len && text[i] == '0' && i + 1 < len && text[i + 1] != '.')
        return false; /* leading zeros are not JSON */
    for (; i < len; i++) {
        if (isdigit((unsigned char)text[i]))
            digits++;
        else if (text[i] == '.' && !has_dot && digits > 0 && i + 1 < len)
            has_dot = true;
        else
            return false;
    }
    return digits > 0 && digits < 16;
}

/* Undoes log_quote()'s backslashes for a quoted value; *pairs stands behind the opening quote. */
static size_t take_quoted(const char **pairs, char *out, size_t cap)
{
    size_t n = 0;
    const char *at = *pairs;
    while (*at && *at != '"') {
        if (at[0] == '\\' && (at[1] == '"' || at[1] == '\\'))
            at++;
        if (n < cap)
            out[n++] = *at;
        at++;
    }
    *pairs = *at ? at + 1 : at;
    return n;
}

/* Names that the logger itself gives; the same name in an event is about another process, and a
 * JSON object has each name once (RFC 8259 §4). */
static bool is_own_name(const char *key, size_t len)
{
    static const char *const own[] = {"time", "level",      "pid",  "role",
                                      "slot", "generation", "event"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strlen(own[i]) == len && memcmp(own[i], key, len) == 0)
            return true;
    return false;
}

/* The identity of a request has in JSON the name that OpenTelemetry gives it in logs which are not
 * its own ("Trace Context in non-OTLP Log Formats"), as in the access log: collectors look for it.
 */
static void put_key(struct line *line, const char *key, size_t len)
{
    bool is_trace = len == strlen("trace") && memcmp(key, "trace", len) == 0;
    put_text(line, is_own_name(key, len) ? ",\"child_" : ",\"");
    put_json_text(line, key, len); /* words of a value that nobody quoted are names too */
    put_text(line, is_trace ? "_id\":" : "\":");
}

/* Turns `key=value key2="quoted value"` into JSON members. Words without "=" are kept as text. */
static void put_json_pairs(struct line *line, const char *pairs)
{
    char value[PIPE_BUF];
    while (*pairs) {
        while (*pairs == ' ')
            pairs++;
        size_t key_len = strcspn(pairs, "= ");
        if (key_len == 0)
            break;
        const char *key = pairs;
        pairs += key_len;
        size_t n = 0;
        bool is_quoted = false;
        if (*pairs == '=') {
            pairs++;
            is_quoted = *pairs == '"';
            if (is_quoted) {
                pairs++;
                n = take_quoted(&pairs, value, sizeof value);
            } else {
                n = strcspn(pairs, " ");
                memcpy(value, pairs, n < sizeof value ? n : sizeof value);
                pairs += n;
            }
        }
        if (line->len + key_len + n + 64 > LINE_ROOM)
            return; /* the line must stay valid JSON */
        put_key(line, key, key_len);
        if (!is_quoted && is_json_number(value, n))
            put(line, value, n);
        else
            put_json(line, value, n);
    }
}

static void put_time(struct line *line, bool is_json)
{
    uint64_t now = clock_wall_us();
    time_t seconds = (time_t)(now / CLOCK_US_PER_S);
    unsigned ms = (unsigned)(now / CLOCK_US_PER_MS % 1000);
    struct tm tm;
    if (is_json) {
        (void)gmtime_r(&seconds, &tm);
        put_format(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ms);
    } else {
        (void)localtime_r(&seconds, &tm);
        put_format(line, "%02d:%02d:%02d.%03u", tm.tm_hour, tm.tm_min, tm.tm_sec, ms);
    }
}

static void build_json(struct line *line, enum log_level level, const char *event,
                       const char *pairs)
{
    put_text(line, "{\"time\":\"");
    put_time(line, true);
    put_format(line, "\",\"level\":\"%s\",\"pid\":%d,\"role\":\"%s\"", log_level_names[level],
               (int)getpid(), log_state.role);
    if (log_state.slot >= 0)
        put_format(line, ",\"slot\":%d", log_state.slot);
    if (log_state.generation >= 0)
        put_format(line, ",\"generation\":%d", log_state.generation);
    put_text(line, ",\"event\":");
    put_json(line, event, strlen(event));
    put_json_pairs(line, pairs);
    line->text[line->len++] = '}';
}

static void build_text(struct line *line, enum log_level level, const char *event,
                       const char *pairs)
{
    put_time(line, false);
    put_format(line, " %-6s %s[%d]", log_level_names[level], log_state.role, (int)getpid());
    if (log_state.slot >= 0)
        put_format(line, " slot=%d", log_state.slot);
    if (log_state.generation >= 0)
        put_format(line, " gen=%d", log_state.generation);
    put_format(line, ": %s", event);
    if (*pairs) {
        put_text(line, " ");
        put_text(line, pairs);
    }
    for (size_t i = 0; i < line->len; i++)
        if ((unsigned char)line->text[i] < 0x20 || line->text[i] == 0x7f)
            line->text[i] = '?'; /* no caller's text may forge a line or steer a terminal */
}

size_t log_write(int fd, const char *lines, size_t len)
{
    struct stat st;
    bool is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    size_t done = 0;
    while (done < len) {
        size_t n = len - done;
        if (!is_file) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            if (poll(&ready, 1, 0) <= 0 || !(ready.revents & POLLOUT))
                break;
            if (n > PIPE_BUF) {
                const char *end = memrchr(lines + done, '\n', PIPE_BUF);
                n = end ? (size_t)(end - lines) - done + 1 : PIPE_BUF;
            }
        }
        ssize_t written = write(fd, lines + done, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        done += (size_t)written;
    }
    return done;
}

void log_set_ring(struct log_ring *ring)
{
    log_state.ring = ring;
}

/* Two threads at the same time each get a stretch of their own; the reader sees both lines. */
static void keep(struct log_ring *ring, const char *line, size_t len)
{
    uint64_t at = atomic_fetch_add_explicit(&ring->at, len, memory_order_relaxed) % LOG_RING_BYTES;
    size_t first = len < LOG_RING_BYTES - at ? len : LOG_RING_BYTES - at;
    memcpy(ring->text + at, line, first);
    memcpy(ring->text, line + first, len - first);
}

size_t log_read_ring(const struct log_ring *ring, char *out)
{
    uint64_t end = atomic_load_explicit(&ring->at, memory_order_acquire);
    size_t len = end < LOG_RING_BYTES ? (size_t)end : LOG_RING_BYTES;
    for (size_t i = 0; i < len; i++) {
        char c = ring->text[(end - len + i) % LOG_RING_BYTES];
        out[i] = (c >= 0 && c < ' ' && c != '\n') || c == 0x7f ? '?' : c;
    }
    if (end <= LOG_RING_BYTES)
        return len;
    const char *newline = memchr(out, '\n', len); /* what stands before it lost its begin */
    size_t skip = newline ? (size_t)(newline - out) + 1 : len;
    memmove(out, out + skip, len - skip);
    return len - skip;
}

static void emit(struct line *line)
{
    line->text[line->len++] = '\n';
    if (log_state.ring)
        keep(log_state.ring, line->text, line->len);
    if (log_write(log_state.fd, line->text, line->len) < line->len)
        atomic_fetch_add_explicit(&log_state.dropped, 1, memory_order_relaxed);
}

static void build(struct line *line, enum log_level level, const char *event, const char *pairs)
{
    line->len = 0;
    if (log_state.format == LOG_FORMAT_JSON)
        build_json(line, level, event, pairs);
    else
        build_text(line, level, event, pairs);
}

void log_event(enum log_level level, const char *event, const char *pairs_format, ...)
{
    if (!log_is_on(level))
        return;
    int saved_errno = errno;
    char pairs[PIPE_BUF - 512];
    va_list args;
    va_start(args, pairs_format);
    (void)vsnprintf(pairs, sizeof pairs, pairs_format, args);
    va_end(args);
    struct line line;
    unsigned long dropped = atomic_exchange_explicit(&log_state.dropped, 0, memory_order_relaxed);
    if (dropped > 0) {
        char count[48];
        (void)snprintf(count, sizeof count, "lines=%lu", dropped);
        build(&line, LOG_LEVEL_WARN, "log lines lost, the log was full", count);
        line.text[line.len++] = '\n';
        if (log_write(log_state.fd, line.text, line.len) < line.len)
            atomic_fetch_add_explicit(&log_state.dropped, dropped, memory_order_relaxed);
    }
    build(&line, level, event, pairs);
    emit(&line);
    errno = saved_errno;
}
