/* Which file is the answer. The usual request is openat2(2), fstat(2), and the same once more for
 * each compressed sibling that the client would take; nothing is cached here, since the kernel
 * caches what these need, and a cache would have to find out about changes.
 *
 * First the path is decoded and looked at, without a system call; then something is opened; what
 * was opened, and not its name, is asked what it is. http/opened.c makes the answer. */
#include "http/files.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "http/beneath.h"
#include "http/listing.h"
#include "http/mime.h"
#include "http/negotiate.h"
#include "http/opened.h"
#include "http/path.h"

#define ALLOW "GET, HEAD, OPTIONS"

/* One request on its way. */
struct call {
    const struct files *files;
    int64_t wall_s;
    struct rmd_request *req;
    struct rmd_response *res;
    struct err *err;
};

/* ---- Failures ---- */

/* Which status says what went wrong. What is not here is 500. */
static const struct {
    int code;
    int status;
} statuses[] = {
    {ENOENT, 404}, {ENOTDIR, 404}, {ELOOP, 404},  {EXDEV, 404}, {ENAMETOOLONG, 404},
    {ENXIO, 404},  {ENODEV, 404},  {EACCES, 403}, {EPERM, 403}, {EMFILE, 503},
    {ENFILE, 503}, {ENOMEM, 503},  {EAGAIN, 503}, {EBUSY, 503},
};

static int fail(const struct call *call, int rc, const char *step)
{
    int status = 500;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].code == -rc)
            status = statuses[i].status;
    if (status >= 500)
        err_set(call->err, -rc, "%s: %s", step, strerror(-rc));
    return status;
}

static bool is_method(const struct call *call, const char *method)
{
    return strcmp(call->req->method, method) == 0;
}

/* ---- Path ---- */

/* "%2F" becomes a slash when it is decoded, and then would cut a segment in two. */
static bool has_hidden_slash(struct str encoded)
{
    for (size_t i = 0; i + 2 < encoded.len; i++)
        if (encoded.p[i] == '%' && encoded.p[i + 1] == '2' && (encoded.p[i + 2] | 0x20) == 'f')
            return true;
    return false;
}

static bool is_segment_good(struct str segment, bool has_dotfiles)
{
    if (segment.len == 0 || str_is_equal(segment, STR(".")) || str_is_equal(segment, STR("..")))
        return false;
    return has_dotfiles || segment.p[0] != '.';
}

/* Every segment must be good, but for an empty one at the end. */
static bool is_path_good(const char *path, size_t len, bool has_dotfiles)
{
    for (size_t at = 0; at < len;) {
        const char *slash = memchr(path + at, '/', len - at);
        size_t segment_len = slash ? (size_t)(slash - path) - at : len - at;
        if (!is_segment_good(str_make(path + at, segment_len), has_dotfiles))
            return false;
        at += segment_len + (slash ? 1 : 0);
    }
    return true;
}

/* Decodes and looks.
 * Returns  the path, in the arena; NULL: no file has such a path, or memory is refused */
static const char *read_path(const struct call *call, struct str rest, size_t *out_len)
{
    if (has_hidden_slash(rest))
        return NULL;
    const char *path = path_decode(rest, false, call->req->arena, out_len);
    return path && is_path_good(path, *out_len, call->files->has_dotfiles) ? path : NULL;
}

/* Opens and asks what it is. Returns 0; -errno */
static int open_found(const struct call *call, const char *path, struct opened *out)
{
    struct opened found = {.fd = -1};
    int rc = beneath_open(call->files->root_fd, path, call->files->is_following, &found.fd);
    if (rc == 0 && fstat(found.fd, &found.st) < 0)
        rc = -errno;
    if (rc < 0)
        fd_close(&found.fd);
    else
        *out = found;
    return rc;
}

/* ---- Content codings ---- */

static bool is_older(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec != b->st_mtim.tv_sec ? a->st_mtim.tv_sec < b->st_mtim.tv_sec
                                                  : a->st_mtim.tv_nsec < b->st_mtim.tv_nsec;
}

/* Takes the compressed sibling in place of the file, where there is a good one. One that can't be
 * opened, for whatever reason, is as good as none: the file itself is open already. */
static bool take_sibling(const struct call *call, const char *path, const char *coding,
                         struct opened *file)
{
    const char *suffix = strcmp(coding, "br") == 0 ? "br" : "gz";
    const char *name = arena_printf(call->req->arena, NULL, "%s.%s", path, suffix);
    struct opened sibling;
    if (!name || open_found(call, name, &sibling) < 0)
        return false;
    if (!S_ISREG(sibling.st.st_mode) || is_older(&sibling.st, &file->st)) {
        fd_close(&sibling.fd);
        return false;
    }
    sibling.coding = coding;
    sibling.varies = true;
    fd_close(&file->fd);
    *file = sibling;
    return true;
}

/* Chooses among what the client likes, best first; a sibling is looked for only when it would be
 * the choice. */
static int choose_coding(const struct call *call, const char *path, struct opened *file)
{
    const char *offers[3];
    size_t n = 0;
    if (call->files->is_br)
        offers[n++] = "br";
    if (call->files->is_gzip)
        offers[n++] = "gzip";
    offers[n++] = "identity";
    struct str accepted = {0};
    int rc = n > 1 ? request_join(call->req, STR("accept-encoding"), &accepted) : 0;
    if (rc < 0)
        return rc;
    while (n > 1) {
        int i = negotiate_encoding(accepted, offers, n);
        if (i < 0 || (size_t)i == n - 1) { /* as it is, also to who says that it must not be */
            file->varies = true;
            return 0;
        }
        if (take_sibling(call, path, offers[i], file))
            return 0;
        for (n--; (size_t)i < n; i++)
            offers[i] = offers[i + 1];
    }
    return 0; /* each was looked for: there is none */
}

/* A file by its path, with a sibling in its place where the client prefers one. */
static int give(const struct call *call, struct opened *file, const char *path)
{
    int rc = choose_coding(call, path, file);
    if (rc < 0) {
        fd_close(&file->fd);
        return fail(call, rc, "reading fields");
    }
    file->type = mime_find(call->files->mime, str_of(path));
    file->cache_control = call->files->cache_control;
    return opened_answer(file, call->wall_s, call->req, call->res, call->err);
}

/* ---- Folders ---- */

/* To the same path with a slash. Made from the decoded one, which was looked at, so that "//host"
 * and "/\host" can't come out of it. */
static int redirect(const struct call *call, const char *path)
{
    const char *slash = path[0] != '\0' ? "/" : "";
    struct arena *arena = call->req->arena;
    const char *prefix = path_encode(call->files->prefix, arena);
    const char *encoded = path_encode(str_of(path), arena);
    struct str query = call->req->query;
    size_t len = 0;
    const char *location = prefix && encoded
                               ? arena_printf(arena, &len, "%s%s%s%s%.*s", prefix, encoded, slash,
                                              query.p ? "?" : "", STR_ARG(query))
                               : NULL;
    int rc = location
                 ? response_set(call->res, arena, STR("Location"), str_make(location, len), true)
                 : -ENOMEM;
    if (rc < 0)
        return fail(call, rc, "making a redirect");
    call->res->status = 301;
    call->res->kind = RESPONSE_BYTES;
    call->res->body = "";
    call->res->body_len = 0;
    return 0;
}

static int list(const struct call *call, int fd, const char *path)
{
    size_t len;
    const char *shown =
        arena_printf(call->req->arena, &len, "%.*s%s", STR_ARG(call->files->prefix), path);
    struct buf page = {0};
    struct listing_options options = {
        .path = shown ? str_make(shown, len) : (struct str){0},
        .has_parent = path[0] != '\0',
        .has_dotfiles = call->files->has_dotfiles,
        .has_links = call->files->is_following,
    };
    int rc = listing_render(fd, &options, &page);
    if (rc < 0) {
        buf_fini(&page);
        return fail(call, rc, "reading a folder");
    }
    call->res->status = 200;
    call->res->kind = RESPONSE_BYTES;
    call->res->type = STR("text/html; charset=utf-8");
    call->res->body = page.data;
    call->res->body_len = page.len;
    call->res->done = free;
    call->res->done_arg = page.data;
    return 0;
}

/* A folder without index file: itself, without the slash behind it. */
static int answer_bare_folder(const struct call *call, const char *path, size_t len)
{
    struct opened folder;
    const char *name = len > 0 ? arena_strndup(call->req->arena, path, len - 1) : ".";
    int rc = name ? open_found(call, name, &folder) : -ENOMEM;
    if (rc < 0)
        return fail(call, rc, "opening a folder");
    bool is_folder = S_ISDIR(folder.st.st_mode);
    if (is_folder && call->files->is_listed)
        return list(call, folder.fd, path);
    fd_close(&folder.fd);
    return is_folder ? 403 : 404;
}

static int answer_folder(const struct call *call, const char *path, size_t len)
{
    for (size_t i = 0; i < call->files->n_index; i++) {
        struct opened file;
        const char *name =
            arena_printf(call->req->arena, NULL, "%s%s", path, call->files->index[i]);
        int rc = name ? open_found(call, name, &file) : -ENOMEM;
        if (rc == 0 && S_ISREG(file.st.st_mode))
            return give(call, &file, name);
        if (rc == 0)
            fd_close(&file.fd);
        int status = rc < 0 ? fail(call, rc, "opening a file") : 404;
        if (status != 404)
            return status;
    }
    return answer_bare_folder(call, path, len);
}

static int answer_file(const struct call *call, const char *path)
{
    struct opened file;
    int rc = open_found(call, path, &file);
    if (rc < 0)
        return fail(call, rc, "opening a file");
    if (S_ISREG(file.st.st_mode))
        return give(call, &file, path);
    fd_close(&file.fd);
    bool is_mounted = call->files->prefix.len > 0;
    return S_ISDIR(file.st.st_mode) && is_mounted ? redirect(call, path) : 404;
}

/* ---- Entry ---- */

static int answer_method(const struct call *call)
{
    int rc = response_set(call->res, call->req->arena, STR("Allow"), STR(ALLOW), true);
    if (rc < 0)
        return fail(call, rc, "setting fields");
    if (!is_method(call, "OPTIONS"))
        return 405;
    call->res->status = 204;
    call->res->kind = RESPONSE_EMPTY;
    return 0;
}

int files_answer(const struct files *files, struct str rest, int64_t wall_s,
                 struct rmd_request *req, struct rmd_response *res, struct err *err)
{
    const struct call call = {files, wall_s, req, res, err};
    *err = (struct err){0};
    if (!is_method(&call, "GET") && !is_method(&call, "HEAD"))
        return answer_method(&call);
    size_t len;
    const char *path = read_path(&call, rest, &len);
    if (!path)
        return 404;
    if (len == 0 || path[len - 1] == '/')
        return answer_folder(&call, path, len);
    return answer_file(&call, path);
}

int files_answer_one(const struct files *files, const char *path, int64_t wall_s,
                     struct rmd_request *req, struct rmd_response *res, struct err *err)
{
    const struct call call = {files, wall_s, req, res, err};
    size_t len = strlen(path);
    *err = (struct err){0};
    if (!is_method(&call, "GET") && !is_method(&call, "HEAD"))
        return answer_method(&call);
    if (len == 0 || path[len - 1] == '/' || !is_path_good(path, len, files->has_dotfiles))
        return 404;
    return answer_file(&call, path);
}

int files_redirect(const struct files *files, struct rmd_request *req, struct rmd_response *res,
                   struct err *err)
{
    const struct call call = {.files = files, .req = req, .res = res, .err = err};
    *err = (struct err){0};
    if (!is_method(&call, "GET") && !is_method(&call, "HEAD"))
        return answer_method(&call);
    return redirect(&call, "");
}
