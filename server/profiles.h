/* What the calls of all routes take, in each lane, as the members of one JSON object, for `remuda
 * routes --live`; their names are promised in docs/control.md. */
#ifndef REMUDA_SERVER_PROFILES_H
#define REMUDA_SERVER_PROFILES_H

#include "server/herd.h"

struct json_out;

/* Appends the members. Nothing that workers wrote is believed: it is copied, then checked. */
void profiles_tell(const struct herd *herd, struct json_out *out);

/* Of one lane of a route: what the status tells, too. */
void profiles_tell_sums(const struct profile_sums *sums, struct json_out *out);

#endif
