/* MIME types by the extension of a file's name: the system's database (mime.types(5), which Debian
 * has from media-types), and a table of what matters on the web for what that lacks.
 *
 * "; charset=utf-8" is part of the types that are text to a browser: text/ and
 * application/javascript. Not of XML, which says its own encoding and would be overruled
 * (RFC 7303 §3.2), and not of JSON, which has no such parameter (RFC 8259 §11). */
#ifndef REMUDA_HTTP_MIME_H
#define REMUDA_HTTP_MIME_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define MIME_DATABASE "/etc/mime.types"
#define MIME_FILE_MAX (1U << 20) /* bytes of a database; Debian's has 72 KiB */
#define MIME_ENTRIES_MAX 8192    /* extensions; Debian's has 1,500 */
#define MIME_EXTENSION_MAX 31    /* bytes; words of a database over it, or over the next, are */
#define MIME_TYPE_MAX 127        /* passed over (RFC 6838 §4.2: 127 and 127) */

/* The database. Zeroed: none, then only the built-in table is asked. Read-only once loaded: one
 * serves every thread of a process and survives fork. */
struct mime {
    struct mime_entry *entries; /* sorted by extension; heap */
    size_t n;
    char *texts; /* extensions and types, each ended by NUL; heap */
};

/* Reads a database. Lines that make no sense are passed over; of an extension that is there twice
 * the first holds.
 * path     MIME_DATABASE, or another of its form
 * Returns  0; -errno: cannot be read; -EFBIG more than MIME_FILE_MAX; -ENOMEM. Then *out is as
 *          before
 * Safe     may block: on the file system */
int mime_load(const char *path, struct mime *out) __attribute__((warn_unused_result));
void mime_fini(struct mime *m);

/* The Content-Type of a file by its name, or by a path. The extension is what stands behind the
 * last dot (of "a.tar.gz" "gz"), compared without case; a name that begins with its only dot has
 * none.
 * m        NULL: the built-in table
 * Returns  text that is as long as m; "application/octet-stream" for an unknown extension */
struct str mime_find(const struct mime *m, struct str name);

#endif
