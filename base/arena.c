/* Bump allocator: a chain of heap blocks, each twice as large as needed to stay few. The first
 * block survives a reset, so a steady load allocates nothing from the heap. */
#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_POISON true
#include <sanitizer/asan_interface.h>
#define POISON(p, n) __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define HAS_POISON false
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

struct arena_block {
    struct arena_block *older;
    size_t bytes; /* of data; all that its source gave */
    _Alignas(16) char data[];
};

void arena_init(struct arena *a, size_t first_bytes)
{
    *a = (struct arena){.first_bytes = first_bytes};
}

void arena_init_from(struct arena *a, size_t first_bytes, const struct arena_source *source)
{
    *a = (struct arena){.first_bytes = first_bytes, .source = source};
}

/* bytes  of data, at least. Returns NULL when memory is refused */
static struct arena_block *take_block(const struct arena *a, size_t bytes)
{
    struct arena_block *block;
    size_t total = sizeof *block + bytes;
    block = a->source ? a->source->take(a->source->owner, total, &total) : malloc(total);
    if (block)
        block->bytes = total - sizeof *block;
    return block;
}

static void give_block(const struct arena *a, struct arena_block *block)
{
    UNPOISON(block->data, block->bytes);
    if (a->source)
        a->source->give(a->source->owner, block, sizeof *block + block->bytes);
    else
        free(block);
}

/* How much the block that is kept may have: a source rounds up. */
static bool is_kept(const struct arena *a, const struct arena_block *block)
{
    return a->source ? block->bytes < 2 * a->first_bytes : block->bytes <= a->first_bytes;
}

static bool add_block(struct arena *a, size_t need)
{
    size_t bytes = a->first_bytes;
    if (a->block && need > bytes / 4)
        bytes = need; /* large: a block of its own size, so that little is wasted */
    else if (need > bytes)
        bytes = need;
    if (bytes > SIZE_MAX / 2)
        return false;
    struct arena_block *block = take_block(a, bytes);
    if (!block)
        return false;
    block->older = a->block;
    a->block = block;
    a->at = block->data;
    a->end = block->data + block->bytes;
    a->begin = !HAS_POISON && !block->older && is_kept(a, block) ? block->data : NULL;
    POISON(block->data, block->bytes);
    return true;
}

char *arena_alloc_text(struct arena *a, size_t bytes)
{
    if ((size_t)(a->end - a->at) < bytes || !a->at) {
        if (!add_block(a, bytes))
            return NULL;
    }
    char *p = a->at;
    a->at += bytes;
    UNPOISON(p, bytes);
    return p;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    size_t pad = (size_t)(-(uintptr_t)a->at) & 15U;
    if (a->at && (size_t)(a->end - a->at) >= pad && (size_t)(a->end - a->at) - pad >= bytes)
        a->at += pad;
    else if (!add_block(a, bytes))
        return NULL;
    char *p = a->at;
    a->at += bytes;
    UNPOISON(p, bytes);
    return p;
}

char *arena_strndup(struct arena *a, const char *text, size_t len)
{
    char *copy = arena_alloc_text(a, len + 1);
    if (!copy)
        return NULL;
    if (len > 0)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *arena_vprintf(struct arena *a, size_t *out_len, const char *format, va_list args)
{
    char small[512];
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    char *text = n < 0 ? NULL : arena_alloc_text(a, (size_t)n + 1);
    if (text && (size_t)n < sizeof small)
        memcpy(text, small, (size_t)n + 1);
    else if (text)
        (void)vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    if (text && out_len)
        *out_len = (size_t)n;
    return text;
}

char *arena_printf(struct arena *a, size_t *out_len, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(a, out_len, format, args);
    va_end(args);
    return text;
}

void arena_reset_blocks(struct arena *a)
{
    while (a->block && (a->block->older || !is_kept(a, a->block))) {
        struct arena_block *older = a->block->older;
        give_block(a, a->block);
        a->block = older;
    }
    a->at = a->block ? a->block->data : NULL;
    a->end = a->block ? a->block->data + a->block->bytes : NULL;
    a->begin = HAS_POISON ? NULL : a->at;
    if (a->block)
        POISON(a->block->data, a->block->bytes);
}

void arena_fini(struct arena *a)
{
    arena_reset_blocks(a);
    if (a->block)
        give_block(a, a->block);
    *a = (struct arena){.first_bytes = a->first_bytes, .source = a->source};
}
