/* How many web workers there are, where the settings leave a range: as many as the work needs, by
 * how busy their loops are (class sync: they), and how many connections wait to be accepted. What
 * follows from that is server/adapt.h. */
#ifndef REMUDA_SERVER_GROWTH_WEB_H
#define REMUDA_SERVER_GROWTH_WEB_H

#include <stdint.h>

struct gauge_room;
struct generation;
struct herd;
struct listen_set;

/* A generation that comes begins with as many as the one before has grown to, within its bounds and
 * as far as memory has room for that beside the old ones.
 * room  without what its least number takes; what more of them take is taken out */
void growth_web_inherit(const struct herd *herd, struct generation *g, struct gauge_room *room);

/* Looks at the generation that serves, and changes the number of its posts; not while another one
 * comes up. To be called before herd_fill(), and not while another master has the same sockets. */
void growth_web_turn(struct herd *herd, const struct listen_set *listeners);

/* When to look again; SEAT_NEVER: their number is fixed. */
uint64_t growth_web_next_us(const struct herd *herd);

#endif
