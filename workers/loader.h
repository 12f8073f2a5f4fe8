/* The loader process, and the ways to use an application without one (single, call, routes). */
#ifndef REMUDA_WORKERS_LOADER_H
#define REMUDA_WORKERS_LOADER_H

#include <stddef.h>
#include <stdio.h>

#include "base/str.h"
#include "ipc/heritage.h"

struct access_format; /* http/access.h; here only carried */
struct err;
struct settings;

/* The loader: drops privileges, loads and initialises the app, says READY (or FAILED and exits 1),
 * then forks what the master asks for until its channel closes. Never returns. */
void loader_main(const struct heritage *heritage);

/* Serves in this process, without fork, limits or watchdog, until TERM, INT or QUIT.
 * access_fd    borrowed; -1: no access log
 * reopen_logs  called at USR1: opens log files anew, under the same numbers
 * fds      listening sockets, non-blocking; closed before it returns
 * Returns  0 stopped as asked; -errno, *err: the app can't be loaded or initialised */
int loader_run_single(const struct settings *settings, int access_fd, void (*reopen_logs)(void),
                      const int *fds, size_t n_fds, struct err *err)
    __attribute__((warn_unused_result));

struct loader_call {
    const char *replay; /* a crash bundle, whose request it is; NULL: what follows */
    const char *method;
    const char *target;
    struct str headers; /* further fields, each "Name: value\r\n" */
    struct str body;
};

/* Runs one request through connection machine, router, filters and handler, in this process; writes
 * the answer's octets (head and body; body only without is_head_shown) to out.
 * Returns  the status, 100 … 599; -errno, *err: the app can't be loaded or initialised */
int loader_call(const struct settings *settings, const struct loader_call *call, int is_head_shown,
                FILE *out, struct err *err) __attribute__((warn_unused_result));

/* Loads the app (without its init) and prints its routes: method and pattern, as the setting
 * `routes` names them, lane, notes with the limits of their own.
 * Returns  0; -errno, *err: also when `routes` names one that isn't there, then with the list
 *          printed */
int loader_print_routes(const struct settings *settings, FILE *out, struct err *err)
    __attribute__((warn_unused_result));

/* What of the settings only this side can judge: access_log_format, which http/ compiles.
 * Returns  0; -EINVAL, *err: what is wrong with it; -ENOMEM */
int loader_check_format(const struct settings *settings, struct err *err)
    __attribute__((warn_unused_result));

/* access_log_format for loader_render_lost().
 * Returns  0; as loader_check_format() */
int loader_open_format(const struct settings *settings, struct access_format **out_format,
                       struct err *err) __attribute__((warn_unused_result));
void loader_close_format(struct access_format *format);

/* A request that a worker had in hand when it died. All borrowed for the call. */
struct loader_lost {
    struct str peer;           /* empty: not known */
    struct str method, target; /* as the peer sent them, maybe cut */
    struct str trace_id;       /* empty: not known */
    struct str note;           /* what became of the worker; not empty */
    uint64_t elapsed_us;       /* from its first byte to its worker's death */
    int64_t wall_us;           /* now, since 1970 */
    pid_t pid;                 /* the worker */
};

/* Its line of the access log, as all others but for a status, and with the note.
 * cap      ≥ 512
 * Returns  bytes written, with the newline */
size_t loader_render_lost(struct access_format *format, const struct loader_lost *lost, char *out,
                          size_t cap);

/* Versions of what is linked, a line each, for `remuda version`. */
void loader_print_versions(FILE *out);

#endif
