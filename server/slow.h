/* Requests that take long: found in the shared table, where workers say what they are at, each told
 * once, with the calls that its thread is in. */
#ifndef REMUDA_SERVER_SLOW_H
#define REMUDA_SERVER_SLOW_H

#include <stdbool.h>
#include <stdint.h>

struct herd;

#define SLOW_PER_MINUTE 30U /* that are told: a guess. The others are counted */
#define SLOW_SETS 256U
#define SLOW_WAYS 8U

/* Which ones are known already. Fixed room: of more than eight at once that share a set the last
 * ones are left out, as if they were known. */
struct slow_book {
    struct {
        uint64_t print; /* hash of who and when; 0: free */
        uint32_t look;  /* the last one that saw it */
        bool is_owed;   /* to be told as soon as somebody has the time */
    } known[SLOW_SETS][SLOW_WAYS];
    uint32_t look;
    uint32_t n_owed; /* of known */
    uint64_t n_seen;
    uint64_t n_traced;
    uint64_t n_untold;       /* over SLOW_PER_MINUTE, or they ended while others were told */
    uint64_t n_untold_since; /* since the last one that was told */
    uint64_t minute_us;      /* when the present minute began */
    unsigned n_minute;       /* told in it */
};

struct slow {
    struct slow_book book;
    uint64_t look_us;               /* the next one; 0: now */
    uint64_t began_us, began_ticks; /* to measure what a tick is */
    bool is_refusal_told;
};

enum slow_verdict {
    SLOW_PASS, /* it is known, or not to be told */
    SLOW_TRACE /* tell it now */
};

/* A look at all requests begins; those that the last one has not seen have ended. */
void slow_book_begin(struct slow_book *book);

/* One that is over its limit.
 * print    of it, never 0
 * is_busy  another is being told: it waits for the next look */
enum slow_verdict slow_book_judge(struct slow_book *book, uint64_t print, bool is_busy,
                                  uint64_t now_us) __attribute__((warn_unused_result));

/* Once a turn: looks when it is time. */
void slow_turn(struct herd *herd);

/* When to look again; SEAT_NEVER: no generation wants it. */
uint64_t slow_next_us(const struct herd *herd);

#endif
