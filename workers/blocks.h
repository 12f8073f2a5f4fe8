/* Blocks (http/block.h) of a slice of the segment: where a web worker receives what compute workers
 * read. */
#ifndef REMUDA_WORKERS_BLOCKS_H
#define REMUDA_WORKERS_BLOCKS_H

#include "http/block.h"
#include "ipc/segment.h"

/* slice  outlives the source and all its blocks */
struct block_source blocks_source(struct segment_slice *slice);

/* Where an octet of a block lies, from the beginning of the slice. */
uint64_t blocks_at(const struct block *block, const char *octet);

#endif
