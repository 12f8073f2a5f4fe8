/* Bump allocator: many small allocations, given back all at once.
 * Advantages: an allocation is an addition and a compare; nothing to free one by one.
 * Disadvantages: nothing can be freed one by one; a pointer outlives the reset unnoticed
 * (address sanitizer builds poison what was reset). */
#ifndef REMUDA_BASE_ARENA_H
#define REMUDA_BASE_ARENA_H

#include <stddef.h>
#include <stdarg.h>

struct arena_block;

/* Where blocks come from, if not from the heap: memory that others read, too. */
struct arena_source {
    /* At least so many bytes, aligned for any type; *out_bytes: how many there are. NULL: none */
    void *(*take)(void *owner, size_t bytes, size_t *out_bytes);
    void (*give)(void *owner, void *memory, size_t bytes); /* as many as it took */
    void *owner;
};

struct arena {
    char *at;                          /* next free byte of the current block */
    char *end;                         /* its end */
    struct arena_block *block;         /* current block, newest first */
    char *begin;                       /* of its data, when a reset keeps it as it is; else NULL */
    size_t first_bytes;                /* size of the block that a reset keeps */
    const struct arena_source *source; /* outlives the arena; NULL: the heap */
};

/* Starts an empty arena; the first allocation fetches a block of first_bytes (≥ 256). */
void arena_init(struct arena *a, size_t first_bytes);

/* Likewise, with blocks of another source. */
void arena_init_from(struct arena *a, size_t first_bytes, const struct arena_source *source);

/* Memory aligned for any type, not zeroed, valid until arena_reset() or arena_fini().
 * Returns  pointer; NULL when memory is refused. bytes may be 0 */
void *arena_alloc(struct arena *a, size_t bytes) __attribute__((malloc, warn_unused_result));

/* Like arena_alloc() without alignment, for text. */
char *arena_alloc_text(struct arena *a, size_t bytes) __attribute__((malloc, warn_unused_result));

/* A NUL-terminated copy. NULL when memory is refused. */
char *arena_strndup(struct arena *a, const char *text, size_t len)
    __attribute__((warn_unused_result));

/* Formatted, NUL-terminated text; *out_len (may be NULL) gets its length without the NUL. */
char *arena_printf(struct arena *a, size_t *out_len, const char *format, ...)
    __attribute__((format(printf, 3, 4), warn_unused_result));
char *arena_vprintf(struct arena *a, size_t *out_len, const char *format, va_list args)
    __attribute__((format(printf, 3, 0), warn_unused_result));

/* Forgets every allocation. Keeps the first block, frees the others. */
void arena_reset_blocks(struct arena *a);
static inline void arena_reset(struct arena *a)
{
    if (__builtin_expect(a->begin != NULL, 1))
        a->at = a->begin;
    else
        arena_reset_blocks(a);
}

/* Frees everything; the arena is as after arena_init(). */
void arena_fini(struct arena *a);

#endif
