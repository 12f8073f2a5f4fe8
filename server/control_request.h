/* Requests on the control socket: one JSON object a line. Read strictly, so that a misspelt member
 * is told and not passed over. */
#ifndef REMUDA_SERVER_CONTROL_REQUEST_H
#define REMUDA_SERVER_CONTROL_REQUEST_H

#include <stdbool.h>

#include "base/str.h"

struct err;

enum control_request_kind {
    CONTROL_REQUEST_STATUS,
    CONTROL_REQUEST_RELOAD,
    CONTROL_REQUEST_STOP,
    CONTROL_REQUEST_SCALE,
    CONTROL_REQUEST_UPGRADE,
    CONTROL_REQUEST_REOPEN,
    CONTROL_REQUEST_ROUTES,
    CONTROL_REQUEST_DUMP,
    CONTROL_REQUEST_KINDS
};
extern const char *const control_request_names[CONTROL_REQUEST_KINDS];

#define CONTROL_REQUEST_WORKERS_MAX 512 /* of `workers`, and of a step up or down */

struct control_request {
    enum control_request_kind kind;
    bool wants_outcome; /* reload, upgrade, stop: `wait`, true unless it says false */
    bool is_quick;      /* stop: `how` is "quick" */
    bool is_relative;   /* scale: workers is a difference */
    int workers;        /* scale: -512 … 512; 1 … when it is no difference */
    char pool[32];      /* scale: compute pool; "": web workers */
};

/* Reads a line without its newline.
 * Returns  0; -EINVAL, *err: what is wrong and what is allowed */
int control_request_parse(struct str line, struct control_request *out, struct err *err)
    __attribute__((warn_unused_result));

/* "4", "+1", "-2": what `scale` is given.
 * Returns  0; -EINVAL */
int control_request_parse_workers(struct str text, bool *out_is_relative, int *out_workers)
    __attribute__((warn_unused_result));

#endif
