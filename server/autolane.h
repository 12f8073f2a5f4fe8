/* Where routes of the lane auto run: the master adds up what the web workers of a generation have
 * measured of them, decides (server/lane.h), and tells all of these workers. Those that come later
 * are told before they serve, and a new generation begins with what the one before has found out
 * of routes of the same names. */
#ifndef REMUDA_SERVER_AUTOLANE_H
#define REMUDA_SERVER_AUTOLANE_H

#include <stdint.h>

struct herd;

/* Looks at the routes of the generation that serves when it is time, and moves them. To be called
 * before herd_fill(). */
void autolane_turn(struct herd *herd);

/* When to look again; SEAT_NEVER: no route may be moved. */
uint64_t autolane_next_us(const struct herd *herd);

#endif
