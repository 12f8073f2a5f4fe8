/* MIME types: two sorted tables and a binary search. The database becomes one block of texts and an
 * array of offsets into it, some 60 KiB for Debian's; a type is there once a line, however many
 * extensions it has.
 *
 * A database is a file of the administrator's, but any file may be put in its place: what is too
 * long is passed over, what is too much is left out, nothing is repaired. */
#include "http/mime.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/fd.h"

#define CHARSET "; charset=utf-8"
#define UNKNOWN "application/octet-stream"

struct mime_entry {
    uint32_t extension_at; /* in texts: lower case, NUL behind it */
    uint32_t type_at;      /* in texts: with its charset, NUL behind it */
};

/* What is served on the web and is not in every database; sorted. "br" has no type of its own. */
static const struct {
    const char *extension;
    const char *type;
} built_in[] = {
    {"7z", "application/x-7z-compressed"},
    {"aac", "audio/aac"},
    {"apng", "image/apng"},
    {"atom", "application/atom+xml"},
    {"avi", "video/x-msvideo"},
    {"avif", "image/avif"},
    {"bin", "application/octet-stream"},
    {"bmp", "image/bmp"},
    {"br", "application/octet-stream"},
    {"bz2", "application/x-bzip2"},
    {"cjs", "text/javascript; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"doc", "application/msword"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"eot", "application/vnd.ms-fontobject"},
    {"epub", "application/epub+zip"},
    {"flac", "audio/flac"},
    {"geojson", "application/geo+json"},
    {"gif", "image/gif"},
    {"glb", "model/gltf-binary"},
    {"gltf", "model/gltf+json"},
    {"gz", "application/gzip"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/vnd.microsoft.icon"},
    {"ics", "text/calendar; charset=utf-8"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"jsonld", "application/ld+json"},
    {"jxl", "image/jxl"},
    {"log", "text/plain; charset=utf-8"},
    {"m3u8", "application/vnd.apple.mpegurl"},
    {"m4a", "audio/mp4"},
    {"m4v", "video/mp4"},
    {"map", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"mpd", "application/dash+xml"},
    {"mpeg", "video/mpeg"},
    {"oga", "audio/ogg"},
    {"ogg", "audio/ogg"},
    {"ogv", "video/ogg"},
    {"opus", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"ppt", "application/vnd.ms-powerpoint"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"rss", "application/rss+xml"},
    {"rtf", "application/rtf"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tiff", "image/tiff"},
    {"ts", "video/mp2t"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain; charset=utf-8"},
    {"vtt", "text/vtt; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"weba", "audio/webm"},
    {"webm", "video/webm"},
    {"webmanifest", "application/manifest+json"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xhtml", "application/xhtml+xml"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

/* ---- The database ---- */

/* Characters of a type and an extension (RFC 6838 §4.2), and the slash between the halves. */
static bool is_name(struct str word, size_t max)
{
    for (size_t i = 0; i < word.len; i++) {
        char c = word.p[i];
        char lower = (char)(c | 0x20);
        bool is_alnum = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
        if (!is_alnum && (c == '\0' || !strchr("!#$&-^_+./", c)))
            return false;
    }
    return word.len > 0 && word.len <= max;
}

static bool is_type(struct str word)
{
    const char *slash = word.len > 0 ? memchr(word.p, '/', word.len) : NULL;
    return slash && slash > word.p && slash < word.p + word.len - 1 && is_name(word, MIME_TYPE_MAX);
}

/* Lower case in out, NUL behind it. Only for what is_name() took, or for lookups. */
static void fold(char out[MIME_EXTENSION_MAX + 1], struct str extension)
{
    for (size_t i = 0; i < extension.len; i++) {
        char c = extension.p[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    out[extension.len] = '\0';
}

static bool is_text(struct str type)
{
    if (str_is_equal_nocase(type, STR("text/xml")))
        return false;
    return (type.len > 5 && str_is_equal_nocase(str_make(type.p, 5), STR("text/"))) ||
           str_is_equal_nocase(type, STR("application/javascript"));
}

/* Cuts the next word off a line. Empty at its end, and where a comment begins. */
static struct str take_word(struct str *line)
{
    size_t from = 0;
    while (from < line->len && (line->p[from] == ' ' || line->p[from] == '\t'))
        from++;
    size_t to = from;
    while (to < line->len && line->p[to] != ' ' && line->p[to] != '\t')
        to++;
    struct str word = str_make(line->p + from, to - from);
    *line = str_make(line->p + to, line->len - to);
    return word.len > 0 && word.p[0] == '#' ? str_make(word.p, 0) : word;
}

static int append_type(struct buf *texts, struct str type)
{
    int rc = buf_append(texts, type.p, type.len);
    if (rc == 0 && is_text(type))
        rc = buf_append(texts, CHARSET, sizeof CHARSET - 1);
    return rc < 0 ? rc : buf_append(texts, "", 1);
}

/* One line: a type and the extensions that mean it. */
static int read_line(struct str line, struct buf *texts, struct buf *entries)
{
    struct str type = take_word(&line);
    if (!is_type(type))
        return 0;
    bool is_there = false; /* the type, in texts */
    struct mime_entry entry = {.type_at = (uint32_t)texts->len};
    for (;;) {
        char extension[MIME_EXTENSION_MAX + 1];
        struct str word = take_word(&line);
        if (word.len == 0 || entries->len >= MIME_ENTRIES_MAX * sizeof entry)
            return 0;
        if (!is_name(word, MIME_EXTENSION_MAX) || memchr(word.p, '.', word.len))
            continue;
        fold(extension, word);
        int rc = is_there ? 0 : append_type(texts, type);
        is_there = true;
        entry.extension_at = (uint32_t)texts->len;
        if (rc == 0)
            rc = buf_append(texts, extension, word.len + 1);
        if (rc == 0)
            rc = buf_append(entries, &entry, sizeof entry);
        if (rc < 0)
            return rc;
    }
}

static int read_lines(struct str text, struct buf *texts, struct buf *entries)
{
    int rc = 0;
    while (text.len > 0 && rc == 0) {
        const char *newline = memchr(text.p, '\n', text.len);
        size_t len = newline ? (size_t)(newline - text.p) : text.len;
        rc = read_line(str_make(text.p, len), texts, entries);
        len += newline ? 1 : 0;
        text = str_make(text.p + len, text.len - len);
    }
    return rc;
}

/* By extension, and among the same by their order in the file. */
static int compare(const void *a, const void *b, void *texts)
{
    const struct mime_entry *x = a;
    const struct mime_entry *y = b;
    int order =
        strcmp((const char *)texts + x->extension_at, (const char *)texts + y->extension_at);
    if (order != 0)
        return order;
    return x->extension_at < y->extension_at ? -1 : 1;
}

static size_t drop_repeated(struct mime_entry *entries, size_t n, const char *texts)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 ||
            strcmp(texts + entries[i].extension_at, texts + entries[kept - 1].extension_at) != 0)
            entries[kept++] = entries[i];
    return kept;
}

int mime_load(const char *path, struct mime *out)
{
    char *text = NULL;
    size_t len = 0;
    int rc = fd_read_file(path, MIME_FILE_MAX, &text, &len);
    if (rc < 0)
        return rc;
    struct buf texts = {0};
    struct buf entries = {0};
    rc = read_lines(str_make(text, len), &texts, &entries);
    free(text);
    if (rc < 0) {
        buf_fini(&texts);
        buf_fini(&entries);
        return rc;
    }
    struct mime m = {.entries = (struct mime_entry *)(void *)entries.data, .texts = texts.data};
    size_t n = entries.len / sizeof *m.entries;
    if (n > 0) { /* else both are NULL */
        qsort_r(m.entries, n, sizeof *m.entries, compare, m.texts);
        m.n = drop_repeated(m.entries, n, m.texts);
    }
    *out = m;
    return 0;
}

void mime_fini(struct mime *m)
{
    free(m->entries);
    free(m->texts);
    *m = (struct mime){0};
}

/* ---- Looking up ---- */

static const char *find_loaded(const struct mime *m, const char *extension)
{
    size_t low = 0;
    size_t high = m->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(extension, m->texts + m->entries[middle].extension_at);
        if (order == 0)
            return m->texts + m->entries[middle].type_at;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static const char *find_built_in(const char *extension)
{
    size_t low = 0;
    size_t high = sizeof built_in / sizeof built_in[0];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(extension, built_in[middle].extension);
        if (order == 0)
            return built_in[middle].type;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* What stands behind the last dot of the last segment; empty: none. */
static struct str extension_of(struct str name)
{
    size_t at = name.len;
    while (at > 0 && name.p[at - 1] != '.' && name.p[at - 1] != '/')
        at--;
    bool has_one = at > 1 && name.p[at - 1] == '.' && name.p[at - 2] != '/';
    return has_one ? str_make(name.p + at, name.len - at) : (struct str){0};
}

struct str mime_find(const struct mime *m, struct str name)
{
    char extension[MIME_EXTENSION_MAX + 1];
    struct str raw = extension_of(name);
    if (raw.len == 0 || raw.len > MIME_EXTENSION_MAX || memchr(raw.p, '\0', raw.len))
        return STR(UNKNOWN);
    fold(extension, raw);
    const char *type = m ? find_loaded(m, extension) : NULL;
    if (!type)
        type = find_built_in(extension);
    return type ? str_of(type) : STR(UNKNOWN);
}
