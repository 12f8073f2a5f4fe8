/* `reload: yes`, for development: sees that a file of the server has changed, and when it may be
 * read. Watched are the app, the configuration file and reload_extra_files. */
#ifndef REMUDA_SERVER_WATCH_H
#define REMUDA_SERVER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings;

#define WATCH_QUIET_US (200 * UINT64_C(1000))  /* so long nothing may change before a reload */
#define WATCH_CLOCK_US (1000 * UINT64_C(1000)) /* how often files are looked at without inotify */
#define WATCH_PATIENCE_US                                                                          \
    (5000 * UINT64_C(1000)) /* an app that stays cut off is told all the same */

/* One file or folder. */
struct watch_item {
    char *path;     /* absolute */
    uint64_t known; /* what it looked like when it was last read; 0: it was not there */
    uint64_t seen;  /* what it looked like last */
    bool is_app;    /* must be a whole ELF file */
    bool is_needed; /* without it no reload can go well: it is waited for */
};

struct watch {
    int fd; /* inotify, to be polled; -1: none */
    struct watch_item *items;
    size_t n;
    bool is_on;
    bool has_warned;   /* that inotify does not do, which is said once */
    uint64_t look_us;  /* when files are looked at; UINT64_MAX: not before an event */
    uint64_t quiet_us; /* when the present state has lasted long enough; UINT64_MAX: no change */
    uint64_t since_us; /* when that state began */
};

/* Begins to watch, or, with the settings of a reload, goes on with what these name. What files look
 * like that were not watched yet counts as known.
 * watch    zeroed the first time
 * folder   where the server was started: `file` of the settings is relative to it, the other paths
 *          to the working directory
 * Returns  0, also when `reload` is off: then nothing is watched; -errno: all is as before */
int watch_set(struct watch *watch, const struct settings *settings, const char *folder,
              uint64_t now_us) __attribute__((warn_unused_result));
void watch_close(struct watch *watch);

/* Takes events and looks at the files when that is due.
 * Returns  the path of a file that has changed, when a reload is due because of it, borrowed; NULL:
 *          none is
 * Safe     may block: on the file system */
const char *watch_turn(struct watch *watch, uint64_t now_us);

/* When watch_turn() is due though no event came; UINT64_MAX: never. */
uint64_t watch_next_us(const struct watch *watch);

/* Whether a file is as long as its own ELF headers say, so that a linker is done with it. What is
 * no ELF file at all is whole: that is for others to tell. */
bool watch_is_whole(const char *path);

#endif
