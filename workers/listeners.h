/* The listening sockets of an event worker: accepting, standing back while the worker is full, and
 * giving sockets up without losing who waits in their queues. */
#ifndef REMUDA_WORKERS_LISTENERS_H
#define REMUDA_WORKERS_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/msg.h"
#include "workers/client.h"

#define LISTENERS_MAX 1024 /* own slots and covered ones */

struct ev_timer;
struct listener;

struct listeners {
    struct clients *clients; /* for whom they accept */
    size_t max_clients;
    struct ev_timer *pause;             /* after the descriptors ran out */
    struct ev_timer *last_look;         /* at those that are given up */
    void (*on_full)(enum msg_full how); /* that has changed */
    void (*on_empty)(void);             /* the last socket of a drain was closed */
    struct listener *items[LISTENERS_MAX];
    size_t n;
    bool is_open;  /* accepts */
    bool is_full;  /* at max_clients */
    bool is_short; /* may open no more descriptors */
    enum msg_full told;
    bool has_warned_full;
    bool is_draining;
};

/* Lifetime of everything: until listeners_close(). clients: initialised.
 * Returns  0; -ENOMEM, then listeners_close() is due all the same */
int listeners_init(struct listeners *all, struct clients *clients, size_t max_clients,
                   void (*on_full)(enum msg_full how), void (*on_empty)(void))
    __attribute__((warn_unused_result));

/* Closes all of them. */
void listeners_close(struct listeners *all);

/* Takes over a listening socket. id: the master's name for it */
void listeners_add(struct listeners *all, int fd, int64_t id);

/* Others look after it: closes our copy at once. */
void listeners_remove(struct listeners *all, int64_t id);

/* Nobody else will look after it: accepts for a moment more (DRAIN_LAST_LOOK_US), then until its
 * queue is empty, and closes it. */
void listeners_retire(struct listeners *all, int64_t id);

/* Accepts from now on. */
void listeners_open(struct listeners *all);

/* Gives up all of them, in the one way or the other, whatever the worker is full of; on_empty
 * follows, maybe at once. Twice is fine, and may make it more urgent: then those that were retired
 * are closed as well. */
void listeners_drain(struct listeners *all, bool do_others_go_on);

/* A socket came that this process may not have: it pauses, as when it can't accept for that. */
void listeners_on_short(struct listeners *all);

/* For clients: one was closed, or could be. */
void listeners_on_client_closed(struct listeners *all);
void listeners_on_client_idle(struct listeners *all);

#endif
