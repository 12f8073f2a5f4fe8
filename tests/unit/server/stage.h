/* What tests of a herd need around it: a log to read, a herd with its first generation, and an
 * app's side that does nothing. Included once by a test, which has its own loader_main(). */
#ifndef REMUDA_TESTS_UNIT_SERVER_STAGE_H
#define REMUDA_TESTS_UNIT_SERVER_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/settings.h"
#include "server/herd.h"
#include "workers/coroner.h"
#include "workers/tracer.h"
#include "workers/loader.h"

#define STAGE_NOW UINT64_C(1000000000)

/* No access log here, and whoever dies leaves nothing to look into. */

size_t loader_render_lost(struct access_format *format, const struct loader_lost *lost, char *out,
                          size_t cap)
{
    (void)format, (void)lost, (void)out, (void)cap;
    return 0;
}

int loader_open_format(const struct settings *settings, struct access_format **out_format,
                       struct err *err)
{
    (void)settings, (void)out_format, (void)err;
    return 0;
}

void loader_close_format(struct access_format *format)
{
    (void)format;
}

void coroner_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

void tracer_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

static int stage_log_fd = -1;

/* What was logged since stage_open_log(). */
static inline const char *stage_log(void)
{
    static char text[16384];
    ssize_t n = pread(stage_log_fd, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static inline void stage_open_log(void)
{
    stage_log_fd = memfd_create("log", MFD_CLOEXEC);
    log_init(stage_log_fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
}

static inline void stage_close_log(void)
{
    log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    fd_close(&stage_log_fd);
}

/* Returns 0; -1 when it can't be made */
static inline int stage_open_herd(struct herd *herd, struct settings **out_settings,
                                  uint32_t n_workers, uint32_t n_seats)
{
    struct err err;
    struct settings *settings = settings_new();
    if (!settings)
        return -1;
    settings->workers.n = n_workers;
    settings->app = "/dev/null";
    settings->app_copy = false;
    *herd = (struct herd){.board_fd = -1, .now_us = STAGE_NOW};
    *out_settings = settings;
    struct generation_plan plan = {.number = 1,
                                   .settings = settings,
                                   .log_fd = STDERR_FILENO,
                                   .access_fd = -1,
                                   .board = &herd->board,
                                   .now_us = STAGE_NOW};
    bool is_made = herd_init(herd, settings, n_seats, 2, &err) == 0 &&
                   generation_new(&plan, &herd->current, &err) == 0;
    return is_made ? 0 : -1;
}

#endif
