/* What a dead worker could not say itself, read out of its part of the shared table. */
#ifndef REMUDA_SERVER_LAST_WORDS_H
#define REMUDA_SERVER_LAST_WORDS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "ipc/scoreboard.h"

#define LAST_WORDS_BYTES sizeof(((struct seat_head *)0)->last_words)

#define LAST_WORDS_REQUEST_BYTES (4 * LOG_QUOTE_MAX)

struct access_format; /* http/access.h; here only carried */

struct last_words_about {
    const struct scoreboard *board;
    int board_fd;
    uint32_t seat;
    int slot;
    pid_t pid;
    const char *note;             /* what became of the worker, for the access log */
    int access_fd;                /* where access-log lines go; -1: there is no access log */
    struct access_format *access; /* how they look; NULL: there is no access log */
    uint64_t now_us;
};

/* Writes what the worker's access-log batch still holds, then for each of its unfinished requests
 * a warning and, when there is an access log, a line of it, without the status that nobody sent.
 * Nothing of the part is believed: all is copied, then checked.
 * Returns  unfinished requests */
uint32_t last_words_write(const struct last_words_about *about);

/* A request as pairs for a log line, with a blank in front:
 * ` route="GET /:name" method="GET" target="/x" elapsed_ms=3 trace=…`.
 * entry    of the occupant of that seat, or a copy
 * Returns  out; "" when there is none */
const char *last_words_print(const struct scoreboard *board, uint32_t seat,
                             const struct request_entry *entry, uint64_t now_us,
                             char out[LAST_WORDS_REQUEST_BYTES]);

/* The same of the request whose handler runs (or ran) on the main thread. */
const char *last_words_request(const struct scoreboard *board, uint32_t seat, uint64_t now_us,
                               char out[LAST_WORDS_REQUEST_BYTES]);

/* Of that only ` method="GET" target="/x"`: the rest is told already. */
const char *last_words_target(const struct scoreboard *board, uint32_t seat, uint64_t now_us,
                              char out[LAST_WORDS_REQUEST_BYTES]);

/* What a failed assertion left, NUL-terminated. Returns out; "" for none, or nonsense */
const char *last_words_panic(const struct scoreboard *board, uint32_t seat,
                             char out[LAST_WORDS_BYTES]);

#endif
