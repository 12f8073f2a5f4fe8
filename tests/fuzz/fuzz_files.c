/* Fuzz target: a path below a mount, and the fields of the request. Whatever they say, what is
 * answered is one of the files of the folder, whole or in ranges that lie inside it; never the file
 * beside the folder, and no redirect to anywhere but below the mount. Also a database of MIME
 * types, which is read whatever it says.
 *
 * Input: the path behind the mount's, still encoded; then, behind a newline each, the values of
 * Accept-Encoding, If-None-Match and Range; all that follows is a database. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/panic.h"
#include "http/files.h"
#include "http/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFIX "/m/"
#define N_FIELDS 3

static char folder[64];
static struct files files;
static struct stat secret;

static void put(const char *path, const char *text)
{
    int fd = openat(files.root_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    RMD_ASSERT(fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0);
    fd_close(&fd);
}

static void remove_folder(void)
{
    static const char *const names[] = {"a.txt", "a.txt.gz", "b/index.html", "b/.c",     "b/up",
                                        "out",   "b/x y",    "%2e",          "../secret"};
    static const char *const folders[] = {"b", "e"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlinkat(files.root_fd, names[i], 0); /* nothing else can be done */
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        (void)unlinkat(files.root_fd, folders[i], AT_REMOVEDIR);
    char root[80];
    (void)snprintf(root, sizeof root, "%s/root", folder);
    (void)rmdir(root);
    (void)rmdir(folder);
}

static void make_folder(void)
{
    static const char *const index_names[] = {"index.html"};
    char root[80];
    (void)snprintf(folder, sizeof folder, "/tmp/remuda-fuzz-%s%s", "XXX", "XXX");
    RMD_ASSERT(mkdtemp(folder));
    (void)snprintf(root, sizeof root, "%s/root", folder);
    RMD_ASSERT(mkdir(root, 0755) == 0);
    files = (struct files){.root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC),
                           .prefix = STR(PREFIX),
                           .index = index_names,
                           .n_index = 1,
                           .is_gzip = true,
                           .is_br = true};
    RMD_ASSERT(files.root_fd >= 0);
    RMD_ASSERT(mkdirat(files.root_fd, "b", 0755) == 0 && mkdirat(files.root_fd, "e", 0755) == 0);
    put("../secret", "secret");
    put("a.txt", "0123456789");
    put("a.txt.gz", "packed");
    put("b/index.html", "index");
    put("b/.c", "dot");
    put("b/x y", "blank");
    put("%2e", "percent");
    RMD_ASSERT(symlinkat("../a.txt", files.root_fd, "b/up") == 0);
    RMD_ASSERT(symlinkat("../secret", files.root_fd, "out") == 0);
    RMD_ASSERT(fstatat(files.root_fd, "../secret", &secret, 0) == 0);
    RMD_ASSERT(atexit(remove_folder) == 0);
}

static void check_file(const struct rmd_response *res)
{
    struct stat st;
    uint64_t len = 0;
    RMD_ASSERT(res->status == 200 || res->status == 206);
    RMD_ASSERT(fstat(res->fd, &st) == 0 && S_ISREG(st.st_mode));
    RMD_ASSERT(st.st_dev == secret.st_dev && st.st_ino != secret.st_ino);
    for (uint32_t i = 0; i < res->n_parts; i++) {
        const struct response_part *part = &res->parts[i];
        len += part->len;
        RMD_ASSERT(part->data || part->offset + part->len <= (uint64_t)st.st_size);
    }
    RMD_ASSERT(len == res->body_len && len > 0);
}

static void check_redirect(const struct rmd_response *res)
{
    const struct response_field *location = response_find(res, STR("Location"));
    RMD_ASSERT(location && str_has_prefix(location->value, STR(PREFIX)));
    RMD_ASSERT(location->value.p[location->value.len - 1] == '/');
    for (size_t i = 1; i < location->value.len; i++)
        RMD_ASSERT(location->value.p[i] != '/' || location->value.p[i - 1] != '/');
}

static void answer(struct str rest, const struct str fields[N_FIELDS])
{
    static const char *const names[N_FIELDS] = {"Accept-Encoding", "If-None-Match", "Range"};
    struct field table[N_FIELDS];
    char octets[4096];
    struct arena arena;
    struct rmd_request req = {.method = "GET", .base = octets, .arena = &arena};
    struct rmd_response res;
    struct err err;
    size_t at = 0;
    for (size_t i = 0; i < N_FIELDS; i++) {
        size_t len = strlen(names[i]);
        if (!fields[i].p || at + len + fields[i].len > sizeof octets)
            continue;
        memcpy(octets + at, names[i], len);
        memcpy(octets + at + len, fields[i].p, fields[i].len);
        table[req.head.n_fields++] = (struct field){(uint32_t)at, (uint32_t)len,
                                                    (uint32_t)(at + len), (uint32_t)fields[i].len};
        at += len + fields[i].len;
    }
    req.head.fields = table;
    arena_init(&arena, 4096);
    response_begin(&res, &req);
    int rc = files_answer(&files, rest, 1700000000, &req, &res, &err);
    RMD_ASSERT(rc == 0 || rc == 404 || rc == 403 || rc == 416);
    if (rc == 0 && res.kind == RESPONSE_FILE)
        check_file(&res);
    else if (rc == 0 && res.status == 301)
        check_redirect(&res);
    else if (rc == 0)
        RMD_ASSERT(res.status == 304 || res.kind == RESPONSE_BYTES);
    response_drop_body(&res);
    arena_fini(&arena);
}

static void read_database(struct str text)
{
    struct mime m;
    char path[64];
    int fd = memfd_create("types", MFD_CLOEXEC);
    RMD_ASSERT(fd >= 0 && fd_write_all(fd, text.p, text.len) == 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (mime_load(path, &m) == 0) {
        struct str type = mime_find(&m, STR("page.x"));
        RMD_ASSERT(m.n <= MIME_ENTRIES_MAX && type.len > 2 && memchr(type.p, '/', type.len));
        RMD_ASSERT(!str_has_control(type) && type.len <= MIME_TYPE_MAX + sizeof "; charset=utf-8");
        mime_fini(&m);
    }
    fd_close(&fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str pieces[2 + N_FIELDS] = {{0}};
    struct str rest = str_make((const char *)data, size);
    if (!files.prefix.p)
        make_folder();
    for (size_t i = 0; i < 2 + N_FIELDS && rest.p; i++) {
        const char *newline = rest.len > 0 && i <= N_FIELDS ? memchr(rest.p, '\n', rest.len) : NULL;
        size_t len = newline ? (size_t)(newline - rest.p) : rest.len;
        pieces[i] = str_make(rest.p, len);
        rest = newline ? str_make(newline + 1, rest.len - len - 1) : (struct str){0};
    }
    files.has_dotfiles = size % 2;
    files.is_following = size / 2 % 2;
    files.is_listed = size / 4 % 2;
    answer(pieces[0], pieces + 1);
    read_database(pieces[1 + N_FIELDS]);
    return 0;
}
