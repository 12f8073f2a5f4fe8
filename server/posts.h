/* Filling the posts of generations, and what follows when they lose who fills them. */
#ifndef REMUDA_SERVER_POSTS_H
#define REMUDA_SERVER_POSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/herd.h"

/* Who was to come next has the post to itself; else nobody has it. */
void posts_succeed(struct post *post);

/* Takes the loss of a post's process in.
 * post        NULL: it had none any more
 * seat        who is lost; NULL: nobody was made
 * out_ms      the delay until it is filled again, for the log
 * Returns     what it means for the whole: to be given to posts_take_fate() when the log has been
 *             written */
enum decide_fate posts_vacate(struct herd *herd, const struct generation *g, struct post *post,
                              const struct seat *seat, bool was_refused, uint64_t *out_ms);
void posts_take_fate(struct herd *herd, struct generation *g, struct post *post,
                     enum decide_fate fate);

/* Nobody could be made for a post. */
void posts_refuse(struct herd *herd, struct generation *g, struct post *post, const char *why);

/* The last ones of n that have no process that serves, and did not get the last one that was to: it
 * was refused, or died while it came up. Who crashes at its work could be had. */
uint32_t posts_count_missing(const struct post *posts, uint32_t n);

/* Has those filled that are due. */
void posts_fill(struct herd *herd, struct generation *g);

/* When one of them is; SEAT_NEVER: none will be. g may be NULL */
uint64_t posts_next_us(const struct herd *herd, const struct generation *g);

#endif
