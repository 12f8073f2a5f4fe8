/* Lists of folders. Names are other people's text: in the page they are escaped for HTML, in links
 * for URLs, every octet but the unreserved ones (RFC 3986 §2.3), so that no name can be taken for a
 * scheme, a query or an attribute's end.
 *
 * The page is put together at once, within a bound: a folder that nobody can look through anyway is
 * cut rather than streamed. As in config/render.c the first failure is kept and looked at once. */
#include "http/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "http/date.h"
#include "http/path.h"

#define NAMES_BLOCK_BYTES 16384 /* some hundred names */

struct entry {
    const char *name;
    const char *link; /* the name, escaped for URLs */
    int64_t changed_s;
    uint64_t bytes;
    mode_t mode;
};

struct page {
    struct buf *out;
    int rc;
};

static void put(struct page *page, const char *data, size_t len)
{
    if (page->rc == 0)
        page->rc = buf_append(page->out, data, len);
}

#define PUT(page, literal) put((page), (literal), sizeof(literal) - 1)

/* Text of a page (HTML) in UTF-8; what is none, and controls, become U+FFFD. */
static void put_text(struct page *page, struct str text)
{
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.p[i];
        size_t len = c < 0x80 ? 1 : str_utf8_length(text.p + i, text.len - i);
        if (c == '&')
            PUT(page, "&amp;");
        else if (c == '<')
            PUT(page, "&lt;");
        else if (c == '>')
            PUT(page, "&gt;");
        else if (c == '"')
            PUT(page, "&quot;");
        else if (c == '\'')
            PUT(page, "&#39;");
        else if (len == 0 || c < 0x20 || c == 0x7f)
            PUT(page, "\xef\xbf\xbd");
        else
            put(page, text.p + i, len);
        i += len > 0 ? len : 1;
    }
}

static void put_entry(struct page *page, const struct entry *entry)
{
    char changed[DATE_LEN + 1];
    char bytes[24];
    bool is_folder = S_ISDIR(entry->mode);
    struct str name = str_of(entry->name);
    int n = S_ISREG(entry->mode) ? snprintf(bytes, sizeof bytes, "%" PRIu64, entry->bytes) : 0;
    date_format(changed, entry->changed_s);
    PUT(page, "<tr><td><a href=\"");
    put(page, entry->link, strlen(entry->link));
    put(page, "/", is_folder ? 1 : 0);
    PUT(page, "\">");
    put_text(page, name);
    put(page, "/", is_folder ? 1 : 0);
    PUT(page, "</a></td><td align=\"right\">");
    put(page, bytes, (size_t)n);
    PUT(page, "</td><td>");
    put(page, changed, DATE_LEN);
    PUT(page, "</td></tr>\n");
}

static void put_page(struct page *page, const struct listing_options *options,
                     const struct entry *entries, size_t n, bool is_cut)
{
    PUT(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Index of ");
    put_text(page, options->path);
    PUT(page, "</title>\n</head>\n<body>\n<h1>Index of ");
    put_text(page, options->path);
    PUT(page, "</h1>\n<table cellpadding=\"4\">\n"
              "<tr><th>Name</th><th>Bytes</th><th>Changed</th></tr>\n");
    if (options->has_parent)
        PUT(page, "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    for (size_t i = 0; i < n; i++)
        put_entry(page, &entries[i]);
    PUT(page, "</table>\n");
    if (is_cut)
        PUT(page, "<p>There are more names here than are shown.</p>\n");
    PUT(page, "</body>\n</html>\n");
}

/* Folders first. */
static int compare(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    if (S_ISDIR(x->mode) != S_ISDIR(y->mode))
        return S_ISDIR(x->mode) ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Whether a name is shown; then *out_entry is filled but for name and link. A file that vanished
 * since it was read is not. */
static bool look(int fd, const char *name, const struct listing_options *options,
                 struct entry *out_entry)
{
    struct stat st;
    if ((name[0] == '.' && !options->has_dotfiles) ||
        fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) &&
        !(S_ISLNK(st.st_mode) && options->has_links))
        return false;
    *out_entry = (struct entry){
        .changed_s = st.st_mtim.tv_sec, .bytes = (uint64_t)st.st_size, .mode = st.st_mode};
    return true;
}

static int read_folder(DIR *folder, const struct listing_options *options, struct arena *arena,
                       struct buf *entries, bool *out_is_cut)
{
    for (size_t n_read = 0;;) {
        errno = 0;
        const struct dirent *found = readdir(folder);
        if (!found)
            return -errno;
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        if (n_read++ == LISTING_NAMES_MAX) {
            *out_is_cut = true;
            return 0;
        }
        struct entry entry;
        if (!look(dirfd(folder), found->d_name, options, &entry))
            continue;
        entry.name = arena_strndup(arena, found->d_name, strlen(found->d_name));
        if (entry.name)
            entry.link = path_encode(str_of(entry.name), arena);
        if (!entry.name || !entry.link || buf_append(entries, &entry, sizeof entry) < 0)
            return -ENOMEM;
    }
}

int listing_render(int fd, const struct listing_options *options, struct buf *out)
{
    DIR *folder = fdopendir(fd);
    if (!folder) {
        int rc = -errno;
        fd_close(&fd);
        return rc;
    }
    struct arena arena; /* names */
    struct buf entries = {0};
    bool is_cut = false;
    arena_init(&arena, NAMES_BLOCK_BYTES);
    struct page page = {.out = out};
    page.rc = read_folder(folder, options, &arena, &entries, &is_cut);
    (void)closedir(folder); /* fails only for a descriptor that is none */
    if (page.rc == 0) {
        struct entry *list = (struct entry *)(void *)entries.data;
        size_t n = entries.len / sizeof *list;
        if (n > 0)
            qsort(list, n, sizeof *list, compare);
        put_page(&page, options, list, n, is_cut);
    }
    buf_fini(&entries);
    arena_fini(&arena);
    return page.rc;
}
