/* What the orders that come over the control socket mean to the master: between control.h, which
 * knows sockets and lines, and those who carry them out. */
#ifndef REMUDA_SERVER_ORDERS_H
#define REMUDA_SERVER_ORDERS_H

#include "server/control.h"

struct herd;
struct listen_set;
struct reload;
struct reopen;
struct scale;
struct succession;

struct orders {
    struct herd *herd; /* this and the others: borrowed from the master, set before orders_init() */
    struct listen_set *listeners;
    struct reload *reload;
    struct reopen *reopen;
    struct scale *scale;
    struct succession *succession;
    struct control control;
};

/* Allocates everything; makes no socket yet. Returns 0; -ENOMEM */
int orders_init(struct orders *orders) __attribute__((warn_unused_result));

/* Makes the socket in the first place that can be had. None: a warning. */
void orders_open(struct orders *orders, const struct control_path *places);

#endif
