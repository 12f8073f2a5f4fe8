/* Requests that kill: what web workers report of those whose compute worker died, until one has
 * killed two. Then the shared table says so, and they refuse it for a while. Process: master. */
#ifndef REMUDA_SERVER_POISON_H
#define REMUDA_SERVER_POISON_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/msg.h"
#include "ipc/scoreboard.h"

struct herd;
struct seat;

#define POISON_FOR_US (600 * UINT64_C(1000000)) /* after its last victim */

struct poison {
    struct {
        uint64_t print;   /* 0: free */
        uint64_t seen_us; /* its last victim */
        uint32_t n;       /* victims */
    } items[SCOREBOARD_POISONS];
};

/* A request has killed a worker. The oldest makes room for one that was not known. Pure.
 * print      not 0
 * out_index  its place
 * Returns    whether it is poison now */
bool poison_note(struct poison *poison, uint64_t print, uint64_t now_us, uint32_t *out_index);

/* MSG_DEADLY. Returns false: it may not say that */
bool poison_hear(struct herd *herd, const struct seat *web, const struct msg *msg);

/* Another app serves from now on, in which it may be mended. */
void poison_forget(struct herd *herd);

#endif
