/* What a web worker is told, whatever its class: the frames of its master, and its signals. */
#ifndef REMUDA_WORKERS_COMMANDS_H
#define REMUDA_WORKERS_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "workers/web.h"

struct commands {
    struct web *web;
    const struct heritage *heritage; /* NULL in single mode */
    void (*reopen_logs)(void);       /* single mode: at USR1 */
    bool is_without_lane;            /* told in the log */
    /* what each class does in its own way */
    void (*listen)(int fd, int64_t id); /* takes over a listening socket, or closes it when
                                           it drains; id: the master's name */
    void (*unlisten)(int64_t id);       /* others look after it: closes its copy */
    void (*retire)(int64_t id);         /* nobody will: accepts who waits there, then closes it */
    void (*start)(void);                /* everything was sent: may accept */
    void (*drain)(bool do_others_go_on);
    void (*on_short)(void); /* a listening socket came that the worker may not have: it may open no
                               more descriptors */
    void (*stop)(const char *why); /* now. why: static text, for the log */
    void (*tell_connections)(const void *connections, struct buf *out); /* for a dump */
    const void *connections;
};

/* Obeys all frames that are there, without waiting. The end of the channel stops the worker. */
void commands_on_channel(struct commands *c);

/* Obeys the signals that have come (ipc/signals.h). Who drains already is stopped by another TERM,
 * if there is no master to say so. */
void commands_on_signal(struct commands *c, bool is_draining);

#endif
