/* Memory for what is received, from somewhere that others read, too: a process that runs a handler
 * then has the octets where they were received, and nobody copies them. A block is held by whoever
 * still needs it, and may grow where it lies. The loop's input buffer is one, where there is a
 * source of them. */
#ifndef REMUDA_HTTP_BLOCK_H
#define REMUDA_HTTP_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_source;

struct block {
    char *at;
    size_t bytes;
    uint32_t refs;
    const struct block_source *source;
};

struct block_source {
    /* Held once by the caller; NULL: there is no room. grows: there should be room behind it, all
     * of it may be written to at once, and it is refused where may() says no */
    struct block *(*take)(void *owner, size_t bytes, bool grows);
    /* Is there as much room as a body of so many octets should find? */
    bool (*may)(void *owner, uint64_t bytes);
    /* Makes it so many bytes long where it lies. Returns whether it is */
    bool (*extend)(void *owner, struct block *block, size_t bytes);
    /* Octets of it may be written to by the CPU. Returns whether they may */
    bool (*ready)(void *owner, struct block *block, size_t from, size_t bytes);
    /* Octets were read into it. */
    void (*filled)(void *owner, struct block *block, size_t from, size_t bytes);
    /* Nobody holds it any more. */
    void (*give)(void *owner, struct block *block);
    void *owner;
};

static inline struct block *block_take(const struct block_source *source, size_t bytes, bool grows)
{
    struct block *block = source->take(source->owner, bytes, grows);
    if (block)
        block->source = source;
    return block;
}

static inline struct block *block_hold(struct block *block)
{
    block->refs++;
    return block;
}

/* Lets go of it; NULL is fine. */
static inline void block_drop(struct block **block)
{
    struct block *b = *block;
    *block = NULL;
    if (b && --b->refs == 0)
        b->source->give(b->source->owner, b);
}

/* Does it hold all of these octets? NULL: no */
static inline bool block_has(const struct block *block, const char *octets, size_t len)
{
    return block && octets >= block->at && octets <= block->at + block->bytes &&
           len <= (size_t)(block->at + block->bytes - octets);
}

#endif
