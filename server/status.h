/* Everything that is known about the running server, as the members of one JSON object; their names
 * are promised in docs/control.md. */
#ifndef REMUDA_SERVER_STATUS_H
#define REMUDA_SERVER_STATUS_H

#include <stdint.h>
#include <sys/types.h>

#include "server/herd.h"

struct json_out;
struct listen_set;
struct reload;
struct upgrade;

struct status_about {
    pid_t pid; /* the master's, which a dump is not written by */
    const struct herd *herd;
    const struct listen_set *listeners;
    const struct reload *reload;
    const struct upgrade *upgrade;
    const char *control_path; /* "" when there is none */
};

/* Appends the members. Nothing that workers wrote is believed: it is copied, then checked. */
void status_tell(const struct status_about *about, struct json_out *out);

/* The word for what a worker is doing.
 * has_request  it has at least one in hand */
const char *status_word(const struct seat *seat, bool has_request);

#endif
