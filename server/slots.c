/* The seats. Process: master.
 *
 * A seat is taken when a process is asked for and freed when it has been reaped, so between the two
 * its pid cannot be another's: nothing here ever signals a pid that the kernel may have given away.
 * The lowest free seat is taken first, which keeps the pages of the shared table that are in use
 * together, and lets a walk over the table end at the highest that is taken: it has room for the
 * most workers that there may ever be, since a reload may ask for more. The epoch tells occupants
 * apart.
 *
 * A worker is a grandchild, so its death can be seen before anybody has said which seat it sits in.
 * Such statuses wait in a short list until HELLO or FORKED names them. Orphans that app code leaves
 * behind come to the master as well (it is a subreaper) and end up in the same list, unnamed. */
#include "server/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/panic.h"

#define SETS 3 /* of bits that a seat has: holds, retires, wants */

const char *const slots_phase_names[SEAT_PHASES] = {
    [SEAT_FREE] = "free",     [SEAT_FORKING] = "forking",   [SEAT_BOOTING] = "booting",
    [SEAT_READY] = "ready",   [SEAT_DRAINING] = "draining", [SEAT_DRAINED] = "drained",
    [SEAT_ENDING] = "ending", [SEAT_MUTE] = "mute",         [SEAT_ABORTED] = "aborted",
    [SEAT_KILLED] = "killed", [SEAT_LOST] = "lost",         [SEAT_BURIED] = "buried"};

static void place_bits(struct seat *seat, uint64_t *bits, uint32_t n_words)
{
    seat->holds = bits + (size_t)seat->number * SETS * n_words;
    seat->retires = seat->holds + n_words;
    seat->wants = seat->retires + n_words;
}

int slots_init(struct slots *slots, uint32_t n_seats, uint32_t n_listeners)
{
    uint32_t n_words = (n_listeners + 63) / 64;
    if (n_words == 0)
        n_words = 1;
    *slots = (struct slots){.n_seats = n_seats, .n_words = n_words};
    slots->seats = calloc(n_seats, sizeof *slots->seats);
    slots->bits = calloc((size_t)n_seats * SETS * n_words, sizeof *slots->bits);
    if (!slots->seats || !slots->bits) {
        slots_fini(slots);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n_seats; i++) {
        slots->seats[i].number = i;
        slots->seats[i].channel_fd = -1;
        place_bits(&slots->seats[i], slots->bits, n_words);
    }
    return 0;
}

int slots_grow(struct slots *slots, uint32_t n_listeners)
{
    uint32_t n_words = (n_listeners + 63) / 64;
    if (n_words <= slots->n_words)
        return 0;
    uint64_t *bits = calloc((size_t)slots->n_seats * SETS * n_words, sizeof *bits);
    if (!bits)
        return -ENOMEM;
    for (uint32_t i = 0; i < slots->n_seats; i++) {
        struct seat *seat = &slots->seats[i];
        const struct seat old = *seat;
        place_bits(seat, bits, n_words);
        memcpy(seat->holds, old.holds, slots->n_words * sizeof *bits);
        memcpy(seat->retires, old.retires, slots->n_words * sizeof *bits);
        memcpy(seat->wants, old.wants, slots->n_words * sizeof *bits);
    }
    free(slots->bits);
    slots->bits = bits;
    slots->n_words = n_words;
    return 0;
}

void slots_fini(struct slots *slots)
{
    for (uint32_t i = 0; slots->seats && i < slots->n_seats; i++)
        fd_close(&slots->seats[i].channel_fd);
    free(slots->seats);
    free(slots->bits);
    *slots = (struct slots){0};
}

static void empty_seat(const struct slots *slots, struct seat *seat)
{
    memset(seat->holds, 0, slots->n_words * sizeof *seat->holds);
    memset(seat->retires, 0, slots->n_words * sizeof *seat->retires);
    slots_want_none(slots, seat);
    *seat = (struct seat){.number = seat->number,
                          .epoch = seat->epoch,
                          .channel_fd = -1,
                          .slot = -1,
                          .pool = -1,
                          .deadline_us = SEAT_NEVER,
                          .holds = seat->holds,
                          .retires = seat->retires,
                          .wants = seat->wants};
}

struct seat *slots_take(struct slots *slots, enum role role, int slot, uint64_t now_us)
{
    for (uint32_t i = 0; i < slots->n_seats; i++) {
        struct seat *seat = &slots->seats[i];
        if (seat->phase != SEAT_FREE)
            continue;
        empty_seat(slots, seat);
        seat->epoch++;
        seat->phase = SEAT_FORKING;
        seat->role = role;
        seat->slot = slot;
        seat->born_us = now_us;
        if (i >= slots->n_used)
            slots->n_used = i + 1;
        return seat;
    }
    return NULL;
}

void slots_release(struct slots *slots, struct seat *seat)
{
    fd_close(&seat->channel_fd);
    empty_seat(slots, seat);
    while (slots->n_used > 0 && slots->seats[slots->n_used - 1].phase == SEAT_FREE)
        slots->n_used--;
}

struct seat *slots_find_by_pid(struct slots *slots, pid_t pid)
{
    for (uint32_t i = 0; i < slots->n_used; i++)
        if (slots->seats[i].phase != SEAT_FREE && slots->seats[i].phase != SEAT_BURIED &&
            slots->seats[i].pid == pid)
            return &slots->seats[i];
    return NULL;
}

struct seat *slots_find_occupant(struct slots *slots, uint32_t number, uint32_t epoch)
{
    if (number >= slots->n_seats)
        return NULL;
    struct seat *seat = &slots->seats[number];
    return seat->phase != SEAT_FREE && seat->epoch == epoch ? seat : NULL;
}

uint32_t slots_count(const struct slots *slots)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < slots->n_used; i++)
        count += slots->seats[i].phase != SEAT_FREE;
    return count;
}

static void forget_unclaimed(struct slots *slots, uint32_t at)
{
    slots->n_unclaimed--;
    memmove(&slots->unclaimed[at], &slots->unclaimed[at + 1],
            (slots->n_unclaimed - at) * sizeof slots->unclaimed[0]);
}

pid_t slots_keep_unclaimed(struct slots *slots, pid_t pid, int status)
{
    pid_t forgotten = 0;
    if (slots->n_unclaimed == SLOTS_UNCLAIMED_MAX) {
        forgotten = slots->unclaimed[0].pid;
        forget_unclaimed(slots, 0);
    }
    slots->unclaimed[slots->n_unclaimed].pid = pid;
    slots->unclaimed[slots->n_unclaimed].status = status;
    slots->n_unclaimed++;
    return forgotten;
}

bool slots_take_unclaimed(struct slots *slots, pid_t pid, int *out_status)
{
    for (uint32_t i = slots->n_unclaimed; i-- > 0;) {
        if (slots->unclaimed[i].pid != pid)
            continue;
        *out_status = slots->unclaimed[i].status;
        forget_unclaimed(slots, i);
        return true;
    }
    return false;
}

static bool get_bit(const uint64_t *words, uint32_t at)
{
    return (words[at / 64] >> (at % 64)) & 1U;
}

static void set_bit(uint64_t *words, uint32_t at, bool is_set)
{
    uint64_t bit = UINT64_C(1) << (at % 64);
    if (is_set)
        words[at / 64] |= bit;
    else
        words[at / 64] &= ~bit;
}

bool slots_holds(const struct seat *seat, uint32_t listener)
{
    return get_bit(seat->holds, listener);
}

void slots_set_held(struct seat *seat, uint32_t listener, bool is_held)
{
    set_bit(seat->holds, listener, is_held);
}

void slots_want_none(const struct slots *slots, struct seat *seat)
{
    memset(seat->wants, 0, slots->n_words * sizeof *seat->wants);
}

void slots_set_wanted(struct seat *seat, uint32_t listener)
{
    set_bit(seat->wants, listener, true);
}

/* A word at a time: there are as many sockets as workers, and a look at each of them by each worker
 * was most of the master's time in a reload of hundreds. */
uint32_t slots_find_unlike(const struct slots *slots, const struct seat *seat, uint32_t from)
{
    uint64_t mask = UINT64_MAX << (from % 64);
    for (uint32_t i = from / 64; i < slots->n_words; i++, mask = UINT64_MAX) {
        uint64_t unlike = (seat->holds[i] ^ seat->wants[i]) & mask;
        if (unlike != 0)
            return i * 64 + (uint32_t)__builtin_ctzll(unlike);
    }
    return SLOTS_NO_LISTENER;
}

uint32_t slots_peek_retire(const struct seat *seat)
{
    uint32_t listener = 0;
    RMD_ASSERT(seat->n_retires > 0);
    while (!get_bit(seat->retires, listener))
        listener++;
    return listener;
}

void slots_set_retire(struct seat *seat, uint32_t listener, bool is_owed)
{
    if (get_bit(seat->retires, listener) == is_owed)
        return;
    set_bit(seat->retires, listener, is_owed);
    seat->n_retires += is_owed ? 1 : UINT32_MAX;
}
