/* How many event loops the CPUs have room for that others leave free. One for each CPU is right
 * where the server has them to itself. Where others compute as well, a proxy or a database beside
 * it or its own clients, loops beyond what is left get into each other's way: each is woken for a
 * request or two and waits for a CPU, where fewer would find many at a time.
 *
 * A pure function, as server/adapt.h is: what was seen goes in, a number and the reason come
 * out. */
#ifndef REMUDA_SERVER_CROWD_H
#define REMUDA_SERVER_CROWD_H

#include <stdint.h>

/* What was seen since the last look. */
struct crowd_look {
    uint64_t now_us;
    uint32_t units;     /* loops that there are to be, as of now */
    uint32_t ready;     /* that there are */
    double free_cpus;   /* idle, or in use by this server; below 0: not known */
    double load;        /* CPUs that the loops had or would have had, together */
    double delay_share; /* of that, what they would have had: 0 … 1 */
    double rate;        /* requests answered, a second */
    uint64_t p99_us;    /* of them; 0: not known */
};

enum crowd_reason {
    CROWD_STAYS,
    CROWD_FULL,         /* fewer: others have the CPUs */
    CROWD_ROOM,         /* more: they have left them */
    CROWD_UNDONE_FEWER, /* back: fewer were answered */
    CROWD_UNDONE_SLOWER /* back: p99 rose */
};
extern const char *const crowd_reason_names[]; /* in words, for a log line */

/* Means over several looks. */
struct crowd_means {
    double looks;
    double rate;
    double p99_us; /* of p99_looks */
    double p99_looks;
};

/* What is remembered from look to look. All zero at first. */
struct crowd_state {
    uint64_t changed_us; /* the last step; 0: never */
    uint64_t full_us;    /* at every look since then there were too many; 0: not at the last one */
    uint64_t room_us;    /* likewise: there was room for more */
    uint64_t grown_us;   /* the last step to more; 0: never */
    unsigned returns;    /* in a row: how often that was too many again soon */
    uint64_t until_us;   /* no step to fewer before: the last one was undone, */
    unsigned times;      /* so often in a row */
    uint32_t from;       /* a step to fewer is on trial, from so many; 0: there is none */
    struct crowd_means before, after;
};

/* What still holds for the loops of a generation that comes. */
struct crowd_state crowd_inherit(const struct crowd_state *state);

/* Decides, and remembers.
 * most     loops at most: one for each CPU that is granted
 * Returns  how many there are to be, 1 … most; look->units: *out_reason is CROWD_STAYS */
uint32_t crowd_decide(uint32_t most, struct crowd_state *state, const struct crowd_look *look,
                      enum crowd_reason *out_reason);

#endif
