/* Times counted by their size: bucket 0 holds 0 µs, bucket i those from 2^(i-1) up to 2^i µs, the
 * last all that are longer. Adding is a handful of instructions; what is read off is right to a
 * factor of two, and better where many fall into one bucket. */
#ifndef REMUDA_BASE_METER_H
#define REMUDA_BASE_METER_H

#include <stdatomic.h>
#include <stdint.h>

/* Adds to a counter in shared memory that one thread writes and other processes read: one
 * instruction, where a load and a store of an atomic are three, of which every request would pay
 * for a dozen. Readers may see it before or after, and never half of it, since it is aligned and of
 * the machine's word. */
static inline void meter_add(_Atomic uint64_t *counter, uint64_t n)
{
    *(uint64_t *)counter += n;
}

#define METER_BUCKETS 28U /* the last begins at 2^26 µs, 67 s */

static inline unsigned meter_bucket(uint64_t us)
{
    unsigned bits = us == 0 ? 0 : 64U - (unsigned)__builtin_clzll(us);
    return bits < METER_BUCKETS ? bits : METER_BUCKETS - 1;
}

/* The time that so many of a thousand do not exceed, taken as spread evenly over their bucket.
 * permille  1 … 1000
 * Returns   µs; 0 when nothing was counted */
uint64_t meter_quantile(const uint64_t counts[METER_BUCKETS], unsigned permille);

#endif
