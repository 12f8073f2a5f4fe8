/* Growable bytes. Lifetime: whoever calls buf_fini(); a zeroed struct is a valid empty buffer. */
#ifndef REMUDA_BASE_BUF_H
#define REMUDA_BASE_BUF_H

#include <stddef.h>

struct buf {
    char *data; /* heap, NULL while cap is 0 */
    size_t len; /* bytes in use, always ≤ cap */
    size_t cap;
};

/* Makes room for `more` bytes behind len.
 * Returns  0; -ENOMEM (the buffer is as before) */
int buf_reserve(struct buf *b, size_t more) __attribute__((warn_unused_result));

/* Appends a copy. Returns 0; -ENOMEM (nothing appended) */
int buf_append(struct buf *b, const void *data, size_t len) __attribute__((warn_unused_result));

/* Appends formatted text; a NUL follows it but does not count in len.
 * Returns  0; -ENOMEM (nothing appended) */
int buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

/* Drops the first n bytes, n ≤ len. */
void buf_consume(struct buf *b, size_t n);

/* Gives the memory back; the buffer is empty and usable again. */
void buf_fini(struct buf *b);

#endif
