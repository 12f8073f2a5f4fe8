/* Accepting. Process: event workers. A socket is watched while the worker has room; one that is
 * given up, because its address or the worker goes, is closed when its queue is empty and nobody
 * can be on the way any more. */
#include "workers/listeners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ev.h>

#include "base/fd.h"
#include "base/log.h"
#include "workers/accept.h"
#include "workers/drain.h"

#define ACCEPT_BATCH 64    /* connections a turn from one socket, so that others get theirs */
#define ACCEPT_PAUSE_S 0.1 /* after the descriptors ran out */

struct listener {
    ev_io io;
    int64_t id;        /* the master's name for it */
    bool is_given_up;  /* by us and everybody */
    bool is_last_look; /* and its handshakes have had their time */
};

static void on_accept(struct ev_loop *loop, ev_io *watcher, int events);
static void on_pause(struct ev_loop *loop, ev_timer *watcher, int events);
static void on_last_look(struct ev_loop *loop, ev_timer *watcher, int events);

int listeners_init(struct listeners *all, struct clients *clients, size_t max_clients,
                   void (*on_full)(enum msg_full how), void (*on_empty)(void))
{
    *all = (struct listeners){.clients = clients,
                              .max_clients = max_clients,
                              .on_full = on_full,
                              .on_empty = on_empty,
                              .pause = calloc(1, sizeof *all->pause),
                              .last_look = calloc(1, sizeof *all->last_look)};
    if (!all->pause || !all->last_look)
        return -ENOMEM;
    ev_timer_init(all->pause, on_pause, ACCEPT_PAUSE_S, 0);
    ev_timer_init(all->last_look, on_last_look, (double)DRAIN_LAST_LOOK_US / 1e6, 0);
    all->pause->data = all->last_look->data = all;
    return 0;
}

static void remove_at(struct listeners *all, size_t i)
{
    struct listener *listener = all->items[i];
    ev_io_stop(all->clients->loop, &listener->io);
    (void)close(listener->io.fd);
    free(listener);
    all->items[i] = all->items[--all->n];
}

void listeners_close(struct listeners *all)
{
    all->is_open = false;
    while (all->n > 0)
        remove_at(all, 0);
    if (all->pause)
        ev_timer_stop(all->clients->loop, all->pause);
    if (all->last_look)
        ev_timer_stop(all->clients->loop, all->last_look);
    free(all->pause);
    free(all->last_look);
    all->pause = all->last_look = NULL;
}

/* Who was in the queue of one that is given up may have gone to another worker meanwhile: it is
 * looked at, or only its next connection would have it closed. */
static void watch(struct listeners *all, bool is_on)
{
    for (size_t i = 0; i < all->n; i++) {
        struct listener *listener = all->items[i];
        if (is_on)
            ev_io_start(all->clients->loop, &listener->io);
        else
            ev_io_stop(all->clients->loop, &listener->io);
        if (is_on && listener->is_given_up)
            ev_feed_event(all->clients->loop, &listener->io, EV_READ);
    }
}

/* A drain takes what is in the queue also when the worker is full. */
static bool can_accept(const struct listeners *all)
{
    return all->is_open && (!all->is_full || all->is_draining) && !ev_is_active(all->pause);
}

void listeners_open(struct listeners *all)
{
    all->is_open = true;
    if (can_accept(all))
        watch(all, true);
}

void listeners_add(struct listeners *all, int fd, int64_t id)
{
    struct listener *listener = all->n < LISTENERS_MAX ? calloc(1, sizeof *listener) : NULL;
    if (!listener) {
        log_error("no room for a listening socket", "id=%lld", (long long)id);
        (void)close(fd);
        return;
    }
    listener->id = id;
    ev_io_init(&listener->io, on_accept, fd, EV_READ);
    listener->io.data = all;
    all->items[all->n++] = listener;
    if (can_accept(all))
        ev_io_start(all->clients->loop, &listener->io);
}

void listeners_remove(struct listeners *all, int64_t id)
{
    for (size_t i = all->n; i-- > 0;)
        if (all->items[i]->id == id)
            remove_at(all, i);
}

/* ---- as many as there is room for ---- */

/* The master hears of each change once. */
static void show_full(struct listeners *all)
{
    enum msg_full how = all->is_short  ? MSG_FULL_DESCRIPTORS
                        : all->is_full ? MSG_FULL_CONNECTIONS
                                       : MSG_FULL_NOT;
    if (how == all->told)
        return;
    all->told = how;
    atomic_store_explicit(&all->clients->web->part.head->is_full, how != MSG_FULL_NOT,
                          memory_order_relaxed);
    all->on_full(how);
}

static void set_full(struct listeners *all, bool is_full)
{
    all->is_full = is_full;
    show_full(all);
}

void listeners_on_client_closed(struct listeners *all)
{
    if (!all->is_full)
        return;
    if (all->clients->n > all->max_clients - all->max_clients / 8 - 1) {
        listeners_on_client_idle(
            all); /* one place, for whoever waits; the neighbours still cover */
        return;
    }
    all->clients->wants_idle = false;
    set_full(all, false);
    if (can_accept(all))
        watch(all, true);
}

/* Someone may be waiting for a place: looks, and is full again if it finds no idle one then. */
void listeners_on_client_idle(struct listeners *all)
{
    if (all->is_open && !ev_is_active(all->pause))
        watch(all, true);
}

static void become_full(struct listeners *all)
{
    all->clients->wants_idle = true;
    watch(all, false);
    if (all->is_full)
        return;
    set_full(all, true);
    if (!all->has_warned_full)
        log_warn("worker is full: it accepts no more until connections close",
                 "worker_connections=%zu", all->max_clients);
    all->has_warned_full = true;
}

/* At worker_connections the connection that has been idle longest makes room, if there is one. */
static bool has_room(struct listeners *all)
{
    if (all->clients->n < all->max_clients || all->is_draining || client_has_idle(all->clients))
        return true;
    become_full(all);
    return false;
}

static void make_room(struct listeners *all)
{
    while (all->clients->n >= all->max_clients && client_has_idle(all->clients))
        client_close_oldest_idle(all->clients);
}

/* ---- accepting ---- */

/* The neighbours accept for a worker that can't, once the master knows. */
static void pause_accepting(struct listeners *all)
{
    ev_timer_stop(all->clients->loop, all->pause); /* it may be set only while it stands still */
    ev_timer_set(all->pause, ACCEPT_PAUSE_S, 0);
    ev_timer_start(all->clients->loop, all->pause);
    watch(all, false);
}

static void become_short(struct listeners *all, int error)
{
    accept_log_short(error, all->clients->web->env.now_us);
    all->is_short = true;
    show_full(all);
    pause_accepting(all);
}

void listeners_on_short(struct listeners *all)
{
    become_short(all, EMFILE);
}

static enum accept_outcome accept_one(struct listeners *all, int fd)
{
    struct sockaddr_storage address;
    int client_fd;
    if (ev_is_active(all->pause) || !has_room(all))
        return ACCEPT_FAILED;
    enum accept_outcome outcome = accept_take(fd, &client_fd, &address);
    if (outcome == ACCEPT_CLIENT) {
        if (all->is_draining)
            drain_lift_sieve(client_fd, address.ss_family);
        make_room(all);
        client_open(all->clients, client_fd, &address);
    } else if (outcome == ACCEPT_SHORT) {
        become_short(all, errno);
    } else if (outcome == ACCEPT_FAILED) {
        log_error("can't accept, trying again in a moment", "reason=\"%s\" connections=%zu",
                  strerror(errno), all->clients->n);
        pause_accepting(all);
    }
    return outcome;
}

/* Returns  what came last: with ACCEPT_CLIENT or ACCEPT_GONE there may be more */
static enum accept_outcome accept_some(struct listeners *all, int fd)
{
    enum accept_outcome last = ACCEPT_CLIENT;
    for (int i = 0; i < ACCEPT_BATCH && (last == ACCEPT_CLIENT || last == ACCEPT_GONE); i++)
        last = accept_one(all, fd);
    return last;
}

static void look_last(struct listeners *all);

static void on_accept(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct listener *listener = (struct listener *)(void *)watcher;
    struct listeners *all = watcher->data;
    (void)loop;
    (void)events;
    if (listener->is_given_up)
        look_last(all);
    else
        (void)accept_some(all, watcher->fd);
}

static void on_pause(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct listeners *all = watcher->data;
    (void)events;
    ev_timer_stop(loop, watcher);
    if (all->is_short && !fd_has_room()) {
        pause_accepting(all);
        return;
    }
    all->is_short = false;
    show_full(all);
    if (can_accept(all))
        watch(all, true);
}

/* ---- giving up ---- */

/* Closes those given up that are empty for good. From the end of the list, since removing one puts
 * the last in its place. */
static void look_last(struct listeners *all)
{
    for (size_t i = all->n; i-- > 0;) {
        const struct listener *listener = all->items[i];
        int fd = listener->io.fd;
        if (!listener->is_given_up)
            continue;
        /* A worker that can't accept now, or that has taken a whole batch, asks the socket. */
        bool is_empty = accept_some(all, fd) == ACCEPT_EMPTY || !accept_is_waiting(fd);
        if (is_empty && (listener->is_last_look || accept_is_shut(fd)))
            remove_at(all, i);
    }
    if (all->is_draining && all->n == 0)
        all->on_empty();
}

static void on_last_look(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct listeners *all = watcher->data;
    (void)loop;
    (void)events;
    for (size_t i = 0; i < all->n; i++)
        all->items[i]->is_last_look = all->items[i]->is_given_up;
    look_last(all);
}

/* A timer that runs already was started for others: it starts anew, for the good of all. */
static void give_up(struct listeners *all, struct listener *listener)
{
    if (listener->is_given_up)
        return;
    listener->is_given_up = true;
    ev_timer_stop(all->clients->loop, all->last_look);
    ev_timer_set(all->last_look, (double)DRAIN_LAST_LOOK_US / 1e6, 0);
    ev_timer_start(all->clients->loop, all->last_look);
}

void listeners_retire(struct listeners *all, int64_t id)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->items[i]->id == id)
            give_up(all, all->items[i]);
    look_last(all);
}

/* With those that were retired before nobody goes on. */
void listeners_drain(struct listeners *all, bool do_others_go_on)
{
    bool is_urgent = all->is_draining;
    all->is_draining = true;
    for (size_t i = all->n; do_others_go_on && i-- > 0;)
        if (is_urgent || !all->items[i]->is_given_up)
            remove_at(all, i);
    for (size_t i = 0; i < all->n; i++)
        give_up(all, all->items[i]);
    look_last(all);
    if (can_accept(all))
        watch(all, true);
}
