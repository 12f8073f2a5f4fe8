/* SipHash-2-4 (Aumasson, Bernstein): who does not know the key can't find what has the same
 * hash. */
#ifndef REMUDA_BASE_SIPHASH_H
#define REMUDA_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* data may be NULL where len is 0. Safe: anywhere */
uint64_t siphash(const uint64_t key[2], const void *data, size_t len);

#endif
