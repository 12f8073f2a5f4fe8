/* See blocks.h. The records of blocks are on the heap: what is in the slice is anybody's to
 * read. */
#include "workers/blocks.h"

#include <stdlib.h>

#define ROOM_BYTES (UINT64_C(16) << 20) /* for one that may grow: uploads are rarely larger */

struct lent {
    struct block block;
    struct segment_run run;
};

static struct lent *lent_of(struct block *block)
{
    return (struct lent *)(void *)block; /* its first member */
}

/* Half of it is left to what must have room here: images, records, answers' beginnings. */
static bool may(void *owner, uint64_t bytes)
{
    const struct segment_slice *slice = owner;
    uint64_t half = slice->n_pages / 2;
    return slice->n_used < half && bytes / SEGMENT_PAGE < half - slice->n_used;
}

/* Up to where the next one begins that grows: with more, a station would not be free beside one
 * that is taken. */
static uint64_t room_behind(const struct segment_slice *slice, uint64_t bytes)
{
    uint64_t most = slice->n_pages / SEGMENT_STATIONS * SEGMENT_PAGE;
    most = most < ROOM_BYTES ? most : ROOM_BYTES;
    return bytes < most ? most - bytes : 0;
}

/* The loop's input is one that grows: every request that outlives its turn keeps it, also where no
 * other process will ever read it, and as long as its client likes. */
static struct block *take(void *owner, size_t bytes, bool grows)
{
    struct segment_slice *slice = owner;
    if (grows && !may(slice, bytes))
        return NULL;
    struct lent *lent = calloc(1, sizeof *lent);
    if (!lent)
        return NULL;
    int rc = segment_take(slice, bytes, grows ? room_behind(slice, bytes) : 0, &lent->run);
    if (rc == 0 && grows && segment_ready(slice, &lent->run, 0, lent->run.bytes) < 0) {
        segment_give(slice, &lent->run);
        rc = -1;
    }
    if (rc < 0) {
        free(lent);
        return NULL;
    }
    lent->block.at = segment_own(slice, &lent->run);
    lent->block.bytes = (size_t)lent->run.bytes;
    lent->block.refs = 1;
    return &lent->block;
}

static bool extend(void *owner, struct block *block, size_t bytes)
{
    struct lent *lent = lent_of(block);
    if (segment_extend(owner, &lent->run, bytes) < 0)
        return false;
    block->bytes = (size_t)lent->run.bytes;
    return true;
}

static bool ready(void *owner, struct block *block, size_t from, size_t bytes)
{
    return segment_ready(owner, &lent_of(block)->run, from, bytes) == 0;
}

static void filled(void *owner, struct block *block, size_t from, size_t bytes)
{
    segment_filled(owner, &lent_of(block)->run, from, bytes);
}

static void give(void *owner, struct block *block)
{
    segment_give(owner, &lent_of(block)->run);
    free(lent_of(block));
}

struct block_source blocks_source(struct segment_slice *slice)
{
    return (struct block_source){.take = take,
                                 .may = may,
                                 .extend = extend,
                                 .ready = ready,
                                 .filled = filled,
                                 .give = give,
                                 .owner = slice};
}

uint64_t blocks_at(const struct block *block, const char *octet)
{
    const struct lent *lent = (const void *)block;
    return lent->run.at + (uint64_t)(octet - block->at);
}
