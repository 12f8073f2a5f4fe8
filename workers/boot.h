/* The first and the last things that a worker does, whatever its class. */
#ifndef REMUDA_WORKERS_BOOT_H
#define REMUDA_WORKERS_BOOT_H

#include "ipc/heritage.h"
#include "workers/web.h"

struct err;

/* What a worker makes ready, before the app's worker_init, from what is its own. Returns 0; -errno,
 * *err */
typedef int boot_set_up(const struct settings *settings, const struct app *app,
                        const struct scoreboard_part *part, uint32_t n_inflight, uint32_t n_routes,
                        int access_fd, struct err *err);

/* Says HELLO, receives the shared table, takes its seat. What fails ends the process, with the
 * reason told to the master. */
void boot_take_seat(const struct heritage *heritage, const struct app *app,
                    struct scoreboard_part *out_part);

/* Runs the app's worker_init; likewise. */
void boot_init_app(const struct heritage *heritage, const struct app *app);

/* Web workers: takes the seat, sets the worker up, runs the app's worker_init; likewise. */
void boot_begin(const struct heritage *heritage, const struct app *app, boot_set_up *set_up,
                struct scoreboard_part *out_part);
_Noreturn void boot_fail(const struct heritage *heritage, const char *reason);

/* Says READY, to the master and in the shared table. */
void boot_ready(const struct heritage *heritage, const struct scoreboard_part *part);

/* Signals that workers obey come out of the descriptor (ipc/signals.h), the others harm nobody. In
 * a terminal INT and QUIT reach the whole group: with a master they are the master's to act on.
 * Returns  the descriptor; -errno, *err */
int boot_open_signals(bool has_master, struct err *err) __attribute__((warn_unused_result));

/* Single mode: a part of a table that nobody else sees.
 * Returns  0, for boot_free_part(); -ENOMEM, *err */
int boot_make_part(const struct settings *settings, struct scoreboard_part *out_part,
                   struct err *err) __attribute__((warn_unused_result));
void boot_free_part(struct scoreboard_part *part);

/* Behind web_fini(): runs the app's worker_exit. */
void boot_end_app(const struct app *app, struct web *web);

#endif
