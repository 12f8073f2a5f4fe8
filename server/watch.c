/* Process: master. For development only, so it may do what the master else does not: look at the
 * file system in its loop, and allocate after the first fork.
 *
 * inotify only wakes us. What has changed is found by looking at all files, and with every look
 * all watches are asked for again (one that is there stays, inotify(7)): so it does not matter
 * which folder was replaced, which link switched, which event was lost in an overflow or meant
 * what; and without inotify (its limits, a network file system) the same looks by the clock do,
 * later. A file is watched itself and with it every folder on the way to it, also along symbolic
 * links. Watches on what was moved away stay until it is deleted, and wake us for nothing.
 *
 * Linkers and copies write in steps, so a reload waits until two looks in a row saw the same, and
 * the app until it is as long as it says. */
#include "server/watch.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "config/settings.h"

#define NEVER UINT64_MAX
#define EVENTS                                                                                     \
    (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ATTRIB |            \
     IN_DELETE_SELF | IN_MOVE_SELF)
#define GATHER_US (50 * UINT64_C(1000)) /* events come in swarms: one look for each of these */
#define LINKS_MAX 40                    /* on the way to a file, as the kernel allows */
#define FOLDER_MAX 10000 /* entries of a folder that are looked at, with those below */

/* ---- What a file looks like ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *octets = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ octets[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return hash;
}

static uint64_t look_of_stat(const struct stat *st, const char *name)
{
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), name, strlen(name));
    hash = mix(hash, &st->st_dev, sizeof st->st_dev);
    hash = mix(hash, &st->st_ino, sizeof st->st_ino);
    hash = mix(hash, &st->st_size, sizeof st->st_size);
    hash = mix(hash, &st->st_mtim, sizeof st->st_mtim);
    return hash ? hash : 1; /* 0 means that there is none */
}

/* Editors' backups and swap files, and what version control writes. */
static bool is_by_the_way(const char *name)
{
    size_t len = strlen(name);
    return name[0] == '.' || (len > 0 && name[len - 1] == '~');
}

/* Sums up, so that the order in which a folder is read says nothing. A folder's own time is left
 * out: it changes with every swap file. Without descriptors or memory for it nothing is new. */
static uint64_t look_of_folder(const char *path, uint64_t before)
{
    char *paths[] = {(char *)(uintptr_t)path, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
    uint64_t sum = 1;
    size_t n = 0;
    bool is_refused = false;
    if (!walk)
        return before;
    for (FTSENT *entry = fts_read(walk); entry && n < FOLDER_MAX; entry = fts_read(walk)) {
        int code = entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR ? entry->fts_errno : 0;
        is_refused |= code == EMFILE || code == ENFILE || code == ENOMEM;
        if (entry->fts_level > 0 && is_by_the_way(entry->fts_name))
            (void)fts_set(walk, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_F || entry->fts_info == FTS_SL)
            sum += look_of_stat(entry->fts_statp, entry->fts_path);
        n++;
    }
    (void)fts_close(walk);
    return is_refused ? before : sum ? sum : 1;
}

/* before  what it looked like last */
static uint64_t look_of(const char *path, uint64_t before)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return 0;
    return S_ISDIR(st.st_mode) ? look_of_folder(path, before) : look_of_stat(&st, path);
}

/* ---- Whole ELF files ---- */

static bool is_within(uint64_t at, uint64_t n, uint64_t each, uint64_t size)
{
    return at <= size && n * each <= size - at;
}

static bool is_whole_64(int fd, uint64_t size)
{
    Elf64_Ehdr head;
    if (pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        !is_within(head.e_shoff, head.e_shnum, head.e_shentsize, size) ||
        !is_within(head.e_phoff, head.e_phnum, head.e_phentsize, size))
        return false;
    for (unsigned i = 0; i < head.e_phnum && head.e_phentsize == sizeof(Elf64_Phdr); i++) {
        Elf64_Phdr part;
        off_t at = (off_t)(head.e_phoff + i * sizeof part);
        if (pread(fd, &part, sizeof part, at) != (ssize_t)sizeof part ||
            !is_within(part.p_offset, part.p_filesz, 1, size))
            return false;
    }
    return head.e_phnum > 0;
}

bool watch_is_whole(const char *path)
{
    unsigned char ident[EI_NIDENT] = {0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    bool is_whole = fstat(fd, &st) == 0 && st.st_size > 0;
    ssize_t n = is_whole ? pread(fd, ident, sizeof ident, 0) : 0;
    if (n >= SELFMAG && memcmp(ident, ELFMAG, SELFMAG) == 0)
        is_whole = ident[EI_CLASS] != ELFCLASS64 || is_whole_64(fd, (uint64_t)st.st_size);
    fd_close(&fd);
    return is_whole;
}

/* ---- inotify ---- */

static int watch_one(const struct watch *w, const char *path)
{
    if (inotify_add_watch(w->fd, path, EVENTS) >= 0)
        return 0;
    return errno == ENOSPC || errno == ENOMEM ? -errno : 0; /* not there: its folder will tell */
}

/* Where a symbolic link leads, from where it lies. Returns false: it is none */
static bool read_link(const char *path, char out[PATH_MAX])
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    int folder_len = target[0] == '/' ? 0 : (int)(strrchr(path, '/') - path) + 1;
    return snprintf(out, PATH_MAX, "%.*s%s", folder_len, path, target) < PATH_MAX;
}

/* Every folder on the way to a path, and what is at its end; along links, too. */
static int watch_way(const struct watch *w, const char *path, unsigned *n_links)
{
    char way[PATH_MAX];
    char target[PATH_MAX];
    int rc = watch_one(w, "/");
    for (const char *end = path; *end && rc == 0;) {
        end = strchrnul(end + 1, '/');
        if (snprintf(way, sizeof way, "%.*s", (int)(end - path), path) >= (int)sizeof way)
            break;
        if (read_link(way, target) && (*n_links)++ < LINKS_MAX)
            rc = watch_way(w, target, n_links);
        if (rc == 0)
            rc = watch_one(w, way);
    }
    return rc;
}

/* Folders below a folder: files in them are told by theirs. */
static int watch_below(const struct watch *w, const char *path)
{
    char *paths[] = {(char *)(uintptr_t)path, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
    int rc = 0;
    size_t n = 0;
    if (!walk)
        return 0;
    for (FTSENT *entry = fts_read(walk); entry && n < FOLDER_MAX && rc == 0;
         entry = fts_read(walk)) {
        if (entry->fts_level > 0 && is_by_the_way(entry->fts_name))
            (void)fts_set(walk, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_D)
            rc = watch_one(w, entry->fts_path);
        n++;
    }
    (void)fts_close(walk);
    return rc;
}

static void go_by_the_clock(struct watch *w, int code)
{
    if (!w->has_warned)
        log_warn("inotify does not watch all files",
                 "why=\"%s\" does=\"look at them every %" PRIu64 " ms\" "
                 "remedy=\"raise %s, or take folders out of reload_extra_files\"",
                 strerror(code), WATCH_CLOCK_US / 1000,
                 code == ENOSPC ? "sysctl fs.inotify.max_user_watches"
                                : "sysctl fs.inotify.max_user_instances");
    w->has_warned = true;
    fd_close(&w->fd);
}

/* Before a look, so that what changes behind it is told. The instance is kept, since closing one
 * takes the kernel some 20 ms. */
static void renew_watches(struct watch *w)
{
    if (w->fd < 0)
        w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0) {
        go_by_the_clock(w, errno);
        return;
    }
    for (size_t i = 0; i < w->n; i++) {
        unsigned n_links = 0;
        int rc = watch_way(w, w->items[i].path, &n_links);
        if (rc == 0)
            rc = watch_below(w, w->items[i].path);
        if (rc < 0) {
            go_by_the_clock(w, -rc);
            return;
        }
    }
}

static bool take_events(const struct watch *w)
{
    char events[4096];
    bool is_any = false;
    while (w->fd >= 0 && read(w->fd, events, sizeof events) > 0)
        is_any = true;
    return is_any;
}

/* ---- Which files ---- */

/* The first that does not look as it was read; NULL: all do. */
static const struct watch_item *find_changed(const struct watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->items[i].seen != w->items[i].known)
            return &w->items[i];
    return NULL;
}

static void forget_items(struct watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->items[i].path);
    free(w->items);
    w->items = NULL;
    w->n = 0;
}

/* folder  NULL: the working directory */
static int add_item(struct watch *w, const char *path, const char *folder, bool is_app,
                    bool is_needed)
{
    char here[PATH_MAX];
    struct watch_item *item = &w->items[w->n];
    if (path[0] != '/' && !folder && !getcwd(here, sizeof here))
        return -errno;
    int rc = path[0] == '/' ? asprintf(&item->path, "%s", path)
                            : asprintf(&item->path, "%s/%s", folder ? folder : here, path);
    if (rc < 0)
        return -ENOMEM;
    item->is_app = is_app;
    item->is_needed = is_needed;
    w->n++;
    return 0;
}

static int add_items(struct watch *w, const struct settings *s, const char *folder)
{
    w->items = calloc(s->reload_extra_files.n + 2, sizeof *w->items);
    int rc = w->items ? 0 : -ENOMEM;
    if (rc == 0 && s->app)
        rc = add_item(w, s->app, NULL, true, true);
    if (rc == 0 && s->file)
        rc = add_item(w, s->file, folder, false, true);
    for (size_t i = 0; rc == 0 && i < s->reload_extra_files.n; i++)
        rc = add_item(w, s->reload_extra_files.items[i], NULL, false, false);
    if (rc < 0)
        forget_items(w);
    return rc;
}

/* NULL: that path is not watched. */
static const struct watch_item *find_item(const struct watch *w, const char *path)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->items[i].path, path) == 0)
            return &w->items[i];
    return NULL;
}

/* What was watched before is known as it was read then: it may have changed meanwhile. */
static void look_first(struct watch *w, const struct watch *before)
{
    for (size_t i = 0; i < w->n; i++) {
        struct watch_item *item = &w->items[i];
        const struct watch_item *old = find_item(before, item->path);
        item->seen = look_of(item->path, old ? old->seen : 1);
        item->known = old ? old->known : item->seen;
    }
}

int watch_set(struct watch *w, const struct settings *s, const char *folder, uint64_t now_us)
{
    struct watch new = {.fd = -1,
                        .look_us = NEVER,
                        .quiet_us = NEVER,
                        .since_us = now_us,
                        .has_warned = w->is_on && w->has_warned};
    int rc = s->reload ? add_items(&new, s, folder) : 0;
    if (rc < 0)
        return rc;
    if (s->reload) {
        new.is_on = true;
        renew_watches(&new);
        look_first(&new, w->is_on ? w : &(struct watch){0});
        if (new.fd < 0 || find_changed(&new))
            new.look_us = now_us + (new.fd < 0 ? WATCH_CLOCK_US : GATHER_US);
    }
    watch_close(w);
    *w = new; /* commit */
    return 0;
}

void watch_close(struct watch *w)
{
    if (!w->is_on)
        return;
    fd_close(&w->fd);
    forget_items(w);
    w->is_on = false;
}

/* ---- Looking ---- */

/* Returns whether anything looks other than it did at the last look */
static bool look(struct watch *w)
{
    bool is_other = false;
    renew_watches(w);
    for (size_t i = 0; i < w->n; i++) {
        uint64_t seen = look_of(w->items[i].path, w->items[i].seen);
        is_other |= seen != w->items[i].seen;
        w->items[i].seen = seen;
    }
    return is_other;
}

/* Whether everything is there to be read; an app that stays too short will not grow any more. */
static bool is_readable(const struct watch *w, uint64_t now_us)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct watch_item *item = &w->items[i];
        if (item->is_needed && item->seen == 0)
            return false;
        if (item->is_app && item->seen != item->known && !watch_is_whole(item->path) &&
            now_us < w->since_us + WATCH_PATIENCE_US)
            return false;
    }
    return true;
}

const char *watch_turn(struct watch *w, uint64_t now_us)
{
    if (!w->is_on)
        return NULL;
    if (take_events(w) && w->look_us > now_us + GATHER_US)
        w->look_us = now_us + GATHER_US;
    if (now_us < w->look_us && now_us < w->quiet_us)
        return NULL;
    bool is_other = look(w);
    w->look_us = w->fd < 0 ? now_us + WATCH_CLOCK_US : NEVER;
    const struct watch_item *changed = find_changed(w);
    if (is_other)
        w->since_us = now_us;
    bool is_quiet = now_us >= w->since_us + WATCH_QUIET_US;
    w->quiet_us = changed ? now_us + WATCH_QUIET_US : NEVER;
    if (!changed || !is_quiet || !is_readable(w, now_us))
        return NULL;
    w->quiet_us = NEVER;
    for (size_t i = 0; i < w->n; i++)
        w->items[i].known = w->items[i].seen;
    return changed->path;
}

uint64_t watch_next_us(const struct watch *w)
{
    if (!w->is_on)
        return NEVER;
    return w->look_us < w->quiet_us ? w->look_us : w->quiet_us;
}
