/* Mounted folders. Each web worker opens them for itself, as the user that it has become: a folder
 * that it may not enter is told at its start and not at the first request. The descriptor stays the
 * folder that it was, also when the path leads to another one later (a deploy that turns a symbolic
 * link round): that takes a reload, and then the mount changes as a whole. */
#include "workers/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "http/path.h"

/* ---- Opening ---- */

static int open_mount(const struct setting_mount *from, const struct mime *mime, struct mount *out,
                      struct err *err)
{
    int fd = open(from->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno, "static: %s: cannot open the folder %s: %s", from->path,
                       from->folder, strerror(errno));
    out->files = (struct files){
        .root_fd = fd,
        .prefix = str_of(from->path),
        .index = from->index,
        .n_index = from->n_index,
        .is_listed = from->listing,
        .has_dotfiles = from->dotfiles,
        .is_following = from->follow,
        .is_br = from->br,
        .is_gzip = from->gzip,
        .cache_control = str_of(from->cache_control),
        .mime = mime,
    };
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct mount *x = a;
    const struct mount *y = b;
    return x->files.prefix.len < y->files.prefix.len   ? 1
           : x->files.prefix.len > y->files.prefix.len ? -1
                                                       : 0;
}

int mounts_open(struct mounts *out, const struct settings *settings, const struct mime *mime,
                struct err *err)
{
    const struct setting_mounts *from = &settings->static_mounts;
    *out = (struct mounts){0};
    if (from->n == 0)
        return 0;
    out->items = calloc(from->n, sizeof *out->items);
    if (!out->items)
        return err_set(err, ENOMEM, "static: out of memory");
    for (size_t i = 0; i < from->n; i++, out->n++) {
        int rc = open_mount(&from->items[i], mime, &out->items[i], err);
        if (rc < 0) {
            mounts_close(out);
            return rc;
        }
    }
    qsort(out->items, out->n, sizeof *out->items, compare);
    return 0;
}

void mounts_close(struct mounts *mounts)
{
    for (size_t i = 0; i < mounts->n; i++)
        fd_close(&mounts->items[i].files.root_fd);
    free(mounts->items);
    *mounts = (struct mounts){0};
}

/* ---- Finding ---- */

/* "/assets" is the mount's too: it becomes "/assets/". */
static bool is_bare(const struct mount *mount, struct str path)
{
    return path.len + 1 == mount->files.prefix.len;
}

const struct mount *mounts_find(const struct mounts *mounts, struct str path)
{
    for (size_t i = 0; i < mounts->n; i++) {
        const struct mount *mount = &mounts->items[i];
        struct str prefix = mount->files.prefix;
        if (is_bare(mount, path) && path.len > 0)
            prefix.len--;
        if (str_has_prefix(path, prefix))
            return mount;
    }
    return NULL;
}

/* Bytes of a pattern before its first parameter; all of it when there is none. A parameter is a
 * whole segment (http/router.h). */
static size_t static_length(const char *pattern)
{
    for (size_t i = 1; pattern[0] && pattern[i]; i++)
        if (pattern[i - 1] == '/' && (pattern[i] == ':' || pattern[i] == '*'))
            return i;
    return strlen(pattern);
}

static bool is_route_special(const struct route *route, const struct mount *mount)
{
    size_t len = static_length(route->pattern);
    return route->pattern[len] == '\0' || len > mount->files.prefix.len;
}

const struct mount *mounts_choose(const struct mounts *mounts, const struct rmd_request *req)
{
    const struct mount *mount = mounts->n > 0 ? mounts_find(mounts, req->match.path) : NULL;
    if (!mount || req->outcome == ROUTER_BAD_PATH)
        return NULL;
    if (req->outcome == ROUTER_FOUND)
        return is_route_special(req->match.route, mount) ? NULL : mount;
    bool is_reading = strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;
    return is_reading || req->outcome == ROUTER_NOT_FOUND ? mount : NULL;
}

/* ---- Answering ---- */

/* What is behind the mount's path in the encoded form of the request's, which has the same segments
 * (http/path.h): as many as the mount's path has slashes are passed over. */
static struct str rest_of(const struct mount *mount, struct str encoded)
{
    size_t at = 0;
    for (size_t i = 0; i < mount->files.prefix.len; i++) {
        if (mount->files.prefix.p[i] != '/')
            continue;
        const char *slash = at < encoded.len ? memchr(encoded.p + at, '/', encoded.len - at) : NULL;
        at = slash ? (size_t)(slash - encoded.p) + 1 : encoded.len;
    }
    return str_make(encoded.p + at, encoded.len - at);
}

int mounts_answer(const struct mount *mount, struct rmd_request *req, struct rmd_response *res,
                  struct err *err)
{
    struct str path;
    struct str encoded;
    *err = (struct err){0};
    if (is_bare(mount, req->match.path))
        return files_redirect(&mount->files, req, res, err);
    int rc = path_resolve(req->raw_path, req->arena, &path, &encoded);
    if (rc < 0) {
        err_set(err, -rc, "resolving a path: %s", strerror(-rc));
        return rc == -ENOMEM ? 503 : 500; /* the router has seen that it is well-formed */
    }
    int64_t wall_s = (int64_t)(clock_wall_us() / CLOCK_US_PER_S);
    return files_answer(&mount->files, rest_of(mount, encoded), wall_s, req, res, err);
}
