/* For fuzz_conn.c: blocks that input is received into, as a worker with a compute lane has them.
 * Some can be made longer where they lie, some can't, and now and then there is none. */
#ifndef REMUDA_TESTS_FUZZ_CONN_BLOCKS_H
#define REMUDA_TESTS_FUZZ_CONN_BLOCKS_H

#include "http/block.h"
#include "tests/fuzz/conn_world.h"

#define BLOCK_SPARE_BYTES 20000U /* behind every other one */

struct fuzz_block {
    struct block block;
    size_t cap; /* bytes that there are */
};

static struct {
    long n; /* held */
    unsigned n_taken;
} blocks;

static struct block *block_new(void *owner, size_t bytes, bool grows)
{
    (void)owner;
    struct fuzz_block *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->cap = bytes + (grows && blocks.n_taken++ % 2 ? BLOCK_SPARE_BYTES : 0);
    b->block = (struct block){.at = malloc(b->cap), .bytes = bytes, .refs = 1};
    if (!b->block.at) {
        free(b);
        return NULL;
    }
    blocks.n++;
    return &b->block;
}

static bool block_may(void *owner, uint64_t bytes)
{
    (void)owner;
    return bytes <= 1U << 20;
}

static bool block_extend(void *owner, struct block *block, size_t bytes)
{
    (void)owner;
    struct fuzz_block *b = (struct fuzz_block *)(void *)block;
    if (bytes <= b->cap && bytes > block->bytes)
        block->bytes = bytes;
    return bytes <= b->cap;
}

static bool block_ready(void *owner, struct block *block, size_t from, size_t bytes)
{
    (void)owner;
    RMD_ASSERT(from <= block->bytes && bytes <= block->bytes - from);
    return !refuse_memory();
}

static void block_filled(void *owner, struct block *block, size_t from, size_t bytes)
{
    (void)owner;
    RMD_ASSERT(from <= block->bytes && bytes <= block->bytes - from);
}

static void block_free(void *owner, struct block *block)
{
    (void)owner;
    RMD_ASSERT(block->refs == 0);
    blocks.n--;
    free(block->at);
    free(block);
}

static const struct block_source block_source = {.take = block_new,
                                                 .may = block_may,
                                                 .extend = block_extend,
                                                 .ready = block_ready,
                                                 .filled = block_filled,
                                                 .give = block_free};

#endif
