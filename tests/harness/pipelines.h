/* Cases of tests/cases behind each other on one connection, at random: what is sent, and which
 * cases it is made of. The answers to it must be those to the cases alone, in order. */
#ifndef REMUDA_TESTS_HARNESS_PIPELINES_H
#define REMUDA_TESTS_HARNESS_PIPELINES_H

#include <stddef.h>
#include <stdint.h>

#include "tests/harness/cases.h"

#define PIPELINES_CASES_MAX 6
#define PIPELINES_CASE_BYTES_MAX 1500 /* longer cases take no part: they cost too much */

struct pipelines_mix {
    size_t n;
    size_t index[PIPELINES_CASES_MAX]; /* of each case in the list */
    struct buf octets;
    size_t piece; /* how the octets are cut: pieces of at most this many, at random; ≥ 1 */
};

/* A random number; xorshift64, the same on every machine. *seed: not 0 */
uint64_t pipelines_random(uint64_t *seed);

/* Fills mix anew: cases that leave the connection open, then any one. mix was zeroed, or filled
 * before. */
void pipelines_make(struct pipelines_mix *mix, const struct cases_list *list, uint64_t *seed);

/* Length of the next piece, at most left. */
size_t pipelines_cut(const struct pipelines_mix *mix, size_t left, uint64_t *seed);

/* "a + b + c, pieces of at most 7": for check_context(). Static text. */
const char *pipelines_text(const struct pipelines_mix *mix, const struct cases_list *list);

#endif
