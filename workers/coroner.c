/* ROOM: the coroner.
 *
 * What it does: tells in the log through which calls a dead process came to its end, and leaves all
 * that is known of it in crash_dir.
 * Who starts it: the master, one for each such death, with a single fork.
 * Inherits: standard streams, log, a copy of what the dead process left, the app's sealed copy.
 * May never: read a file whose contents an app can choose. Names come out of such files, so they
 * are read by a child of its own, which gives up privileges first and may crash or hang: then the
 * frames stay without names.
 * When the master dies it is killed; when it dies, the master says so, and nobody else notices. */
#include "workers/coroner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/title.h"
#include "config/settings.h"
#include "ipc/inquest.h"
#include "ipc/spawn.h"
#include "workers/bundle.h"
#include "workers/reader.h"
#include "workers/symbols.h"

#define NICE 10 /* as a compute worker: a crash loop must not take the CPU of who serves */

static struct {
    const struct heritage *heritage;
    const struct inquest *inquest;
    const struct remains *remains;
    uint32_t n_named; /* places that are there: those of the first frames */
    struct symbols_place places[REMAINS_FRAMES];
} room;

static void find_names(void);
static void tell_backtrace(void);
static void leave_bundle(void);
static void read_names(const struct heritage *heritage);

void coroner_main(const struct heritage *heritage)
{
    (void)setpriority(PRIO_PROCESS, 0, NICE); /* nobody waits for it, and others serve */
    room.heritage = heritage;
    room.inquest = heritage->inquest;
    room.remains = heritage->inquest->remains;
    log_identify("coroner", heritage->slot, heritage->generation);
    title_set_comm("remuda-coroner");
    title_set(heritage->settings->proc_name, NULL, "coroner of slot %d gen %d", heritage->slot,
              heritage->generation);
    log_set_ring(NULL); /* the master's, which goes into the bundle as it was */
    if (room.remains->kind != REMAINS_NONE) {
        find_names();
        tell_backtrace();
    }
    if (heritage->settings->crash_dir)
        leave_bundle();
    _exit(EXIT_SUCCESS);
}

/* ---- names ---- */

/* Takes what the reader finds, in order, until it ends or time is up. */
static void take_places(int fd)
{
    uint64_t end_us = clock_now_us() + READER_US;
    size_t at = 0;
    while (at < sizeof room.places) {
        uint64_t now_us = clock_now_us();
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (now_us >= end_us ||
            poll(&ready, 1, (int)((end_us - now_us) / CLOCK_US_PER_MS) + 1) <= 0)
            break;
        ssize_t n = read(fd, (char *)room.places + at, sizeof room.places - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    room.n_named = (uint32_t)(at / sizeof room.places[0]);
    for (uint32_t i = 0; i < room.n_named; i++) { /* it read what an app may have made */
        struct symbols_place *place = &room.places[i];
        place->function[sizeof place->function - 1] = '\0';
        place->file[sizeof place->file - 1] = '\0';
    }
}

static void find_names(void)
{
    struct err err;
    struct heritage reader = *room.heritage;
    int ends[2];
    pid_t pid;
    if (room.remains->n_frames == 0 || pipe2(ends, O_CLOEXEC) < 0)
        return; /* frames without names are told all the same */
    reader.master_pid = getpid();
    reader.channel_fd = ends[1];
    int rc = spawn_child(&reader, read_names, &pid, &err);
    fd_close(&ends[1]);
    if (rc == 0) {
        take_places(ends[0]);
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    fd_close(&ends[0]);
}

/* ---- the reader ---- */

static void add_modules(void)
{
    const struct remains *r = room.remains;
    for (uint32_t i = 0; i < r->n_modules; i++) {
        const struct remains_module *module = &r->modules[i];
        bool is_copy = remains_is_app(module) && room.heritage->app_fd > 0;
        if (module->path[0] != '/')
            continue; /* [vdso] */
        struct symbols_object object = {.path =
                                            is_copy ? room.heritage->settings->app : module->path,
                                        .fd = is_copy ? room.heritage->app_fd : -1,
                                        .base = module->base,
                                        .build_id = module->build_id,
                                        .build_id_len = module->build_id_len};
        (void)!symbols_add(&object); /* its frames stay without names */
    }
}

/* Writes a place for each frame into the pipe. */
static void read_names(const struct heritage *heritage)
{
    if (reader_begin(heritage) < 0)
        _exit(EXIT_FAILURE);
    add_modules();
    symbols_begin();
    for (uint32_t i = 0; i < room.remains->n_frames; i++) {
        const struct remains_frame *frame = &room.remains->frames[i];
        struct symbols_place place;
        /* A return address is behind its call, maybe in the next line or function. */
        symbols_find(frame->address - (frame->is_exact ? 0 : 1), &place);
        if (place.function[0] && !frame->is_exact)
            place.offset++;
        if (fd_write_all(heritage->channel_fd, &place, sizeof place) < 0)
            _exit(EXIT_FAILURE);
    }
    _exit(EXIT_SUCCESS);
}

/* ---- the log ---- */

static void print_failed(char out[128])
{
    size_t len = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < REMAINS_STEPS; i++)
        if (room.remains->failed & (1U << i))
            len += (size_t)snprintf(out + len, 128 - len, "%s%s",
                                    len > 0 ? "," : " not_read=", remains_step_names[i]);
}

/* The build id of the app, by which its debug information is found. */
static void print_build_id(char out[64])
{
    char id[2 * REMAINS_BUILD_ID_MAX + 1];
    out[0] = '\0';
    for (uint32_t i = 0; i < room.remains->n_modules; i++)
        if (remains_is_of_app(&room.remains->modules[i], room.heritage->settings->app) &&
            room.remains->modules[i].build_id_len > 0)
            (void)snprintf(out, 64, " build_id=%s",
                           remains_build_id(&room.remains->modules[i], id));
}

static const char *print_frame(uint32_t i, char out[REMAINS_LINE_MAX])
{
    const struct symbols_place *place = &room.places[i];
    char function[SYMBOLS_NAME_MAX + 16] = "";
    char at[SYMBOLS_FILE_MAX + 16] = "";
    if (i < room.n_named && place->function[0])
        (void)snprintf(function, sizeof function, "%s+0x%x", place->function, place->offset);
    if (i < room.n_named && place->file[0])
        (void)snprintf(at, sizeof at, "%s:%u", place->file, place->line);
    return remains_print_frame(room.remains, i, room.heritage->settings->app, function, at, out);
}

static void tell_frame(uint32_t i, uint32_t times)
{
    char line[REMAINS_LINE_MAX];
    char more[32] = "";
    if (times > 1)
        (void)snprintf(more, sizeof more, " times=%u", times);
    log_error("frame", "pid=%d %s%s", (int)room.inquest->pid, print_frame(i, line), more);
}

static void tell_backtrace(void)
{
    const struct remains *r = room.remains;
    const char *path = room.heritage->settings->app;
    char app[LOG_QUOTE_MAX + 8];
    char id[64];
    char failed[128];
    uint32_t first = remains_first_frame(r);
    uint32_t end = remains_last_frame(r, path);
    uint32_t shown = 0;
    print_build_id(id);
    print_failed(failed);
    for (uint32_t i = first; i < end; i += remains_count_same(r, i, end))
        shown++;
    log_error("backtrace", "pid=%d frames=%u%s shown=%u app=%s%s%s%s", (int)room.inquest->pid,
              r->n_frames - first, r->n_frames == REMAINS_FRAMES ? " cut=yes" : "", shown,
              log_quote(app, path, strlen(path)), id, failed,
              room.n_named < r->n_frames ? " names=no" : "");
    for (uint32_t i = first; i < end; i += remains_count_same(r, i, end))
        tell_frame(i, remains_count_same(r, i, end));
}

/* ---- the bundle ---- */

static void leave_bundle(void)
{
    struct err err;
    struct buf backtrace = {0};
    char line[REMAINS_LINE_MAX];
    char name[64];
    char quoted[LOG_QUOTE_MAX + 8];
    int rc = 0;
    const struct remains *r = room.remains;
    for (uint32_t i = remains_first_frame(r); rc == 0 && i < r->n_frames; i++)
        rc = buf_printf(&backtrace, "%s\n", print_frame(i, line));
    rc = bundle_write(room.heritage, &backtrace, name, sizeof name, &err);
    buf_fini(&backtrace);
    const char *folder = room.heritage->settings->crash_dir;
    if (rc < 0)
        log_error("crash bundle not written", "pid=%d crash_dir=\"%s\" why=%s",
                  (int)room.inquest->pid, folder, log_quote(quoted, err.text, strlen(err.text)));
    else
        log_notice("crash bundle written", "pid=%d path=\"%s/%s\"", (int)room.inquest->pid, folder,
                   name);
}
