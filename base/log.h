/* The server's log. An event in words, then key=value pairs:
 *     log_warn("worker died", "pid=%d signal=%s", pid, name);
 * prints on a terminal
 *     12:00:00.123 warn  master: worker died pid=812 signal=SEGV
 * and as JSON one object a line, the pairs as members. Role, slot, generation and pid are added
 * here. Values that may hold blanks or peers' bytes go through log_quote().
 * Lines are at most 4,096 bytes (PIPE_BUF, so that writers never tear each other's lines); what
 * does not fit a full pipe is counted and reported, never waited for.
 * Safe: any process, any thread (the line is built on the caller's stack); signal handlers: no. */
#ifndef REMUDA_BASE_LOG_H
#define REMUDA_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

extern const char *const log_level_names[]; /* index enum log_level */

/* Where lines go. fd is borrowed: the caller keeps it open. AUTO is text. */
void log_init(int fd, enum log_level level, enum log_format format);

/* Says who this process is, for every later line. slot or generation < 0: not shown.
 * role     static string such as "master", "web" */
void log_identify(const char *role, int slot, int generation);

bool log_is_on(enum log_level level);

/* One line. pairs_format may be "" for none. Prefer the macros below. */
void log_event(enum log_level level, const char *event, const char *pairs_format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_notice(...) log_event(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_is_on(LOG_LEVEL_DEBUG))                                                            \
            log_event(LOG_LEVEL_DEBUG, __VA_ARGS__);                                               \
    } while (0)

#define LOG_QUOTE_MAX 400

/* Escapes peers' bytes into a quoted value: "GET /a\x0d"; cut with … behind LOG_QUOTE_MAX bytes.
 * Returns  out */
const char *log_quote(char out[LOG_QUOTE_MAX + 8], const char *data, size_t len);

#define LOG_RING_BYTES 8192U

/* The last lines of a process, whatever became of them in the log. In memory that outlives it, for
 * who looks into its death. All zero: empty. */
struct log_ring {
    _Atomic uint64_t at; /* octets ever written */
    char text[LOG_RING_BYTES];
};

/* From now on every line is kept there too; NULL: no more. */
void log_set_ring(struct log_ring *ring);

/* The lines of a ring, oldest first, the first of them whole; control characters other than the
 * newline become "?". Nothing in it is believed.
 * out      LOG_RING_BYTES
 * Returns  bytes */
size_t log_read_ring(const struct log_ring *ring, char *out);

/* Writes whole lines to a log descriptor without waiting: files in one write; pipes, sockets and
 * terminals only while poll(2) says writable, in pieces of at most PIPE_BUF that end at a line.
 * Returns  bytes taken; the rest was not written */
size_t log_write(int fd, const char *lines, size_t len);

#endif
