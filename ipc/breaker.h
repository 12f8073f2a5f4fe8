/* Circuit breakers: one word for each route, on a page that all web workers of a generation write
 * and compute workers, which run what may break, have not. A word changes by compare-and-swap only,
 * from what was judged to what follows from it; who loses the swap judges anew. So there is no lock
 * that a dead worker could hold, and each transition has one who made it, and says so.
 *
 *     closed ── so many failures in a row ──→ open ── reset_timeout ──→ probing, by one request
 *        ↑                                      ↑                          │
 *        └─────────── it was answered ──────────│──────────────────────────┤
 *                                               └── it failed, or the web worker died that sent it
 *
 * What is 0 is closed and has not failed. */
#ifndef REMUDA_IPC_BREAKER_H
#define REMUDA_IPC_BREAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

#define BREAKER_WORDS_MAX 65536U
#define BREAKER_FAILURES_MAX ((1U << 20) - 1)
#define BREAKER_PROBING_MAX ((1U << 19) - 1)

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING, BREAKER_STATES };
extern const char *const breaker_state_names[BREAKER_STATES];

/* A word, read. What its state has no use for is 0. */
struct breaker {
    enum breaker_state state;
    uint32_t
        failures; /* in a row, up to BREAKER_FAILURES_MAX; PROBING: up to BREAKER_PROBING_MAX */
    uint64_t since_ms; /* OPEN: by base/clock.h; below 2^42 */
    uint32_t seat;     /* PROBING: of the web worker that sent the probe, below 2048, */
    uint32_t epoch;    /* and its occupant */
};

uint64_t breaker_pack(const struct breaker *breaker);

/* Of any word, also one that nobody has packed: that one is taken for closed. */
struct breaker breaker_unpack(uint64_t word);

struct breaker_rules {
    uint64_t failures; /* in a row that open it; 0: it never opens */
    uint64_t reset_us; /* for so long */
};

/* ---- what to do with a request ---- */

enum breaker_verdict {
    BREAKER_PASSES, /* let it in */
    BREAKER_TRIES,  /* let it in, as the probe: breaker_begin_probe() */
    BREAKER_REFUSES
};

/* out_wait_us  REFUSES: until another request may get in, as far as that is known; else 0 */
enum breaker_verdict breaker_judge(uint64_t word, const struct breaker_rules *rules,
                                   uint64_t now_us, uint64_t *out_wait_us);

/* The word while this occupant's probe is out. word: of before */
uint64_t breaker_begin_probe(uint64_t word, uint32_t seat, uint32_t epoch);

/* ---- what became of it ---- */

enum breaker_event {
    BREAKER_ANSWERED, /* whatever the answer */
    BREAKER_FAILED,   /* it crashed, took too long, or wanted too much memory */
    BREAKER_UNTRIED   /* neither: it was not run, or nobody waited for the end */
};

/* The word that follows.
 * is_probe  it was the one that was let in to try; others count only while it is closed, since they
 *           were sent before it opened */
uint64_t breaker_after(uint64_t word, enum breaker_event event, bool is_probe,
                       const struct breaker_rules *rules, uint64_t now_us);

/* ---- the page ---- */

/* Makes it, sparse, with BREAKER_WORDS_MAX words. Returns 0; -errno, *err */
int breaker_create(int *out_fd, struct err *err) __attribute__((warn_unused_result));

/* Maps the first words for writing. n  1 … BREAKER_WORDS_MAX. Returns 0; -errno, *err */
int breaker_map(int fd, uint32_t n, _Atomic uint64_t **out_words, struct err *err)
    __attribute__((warn_unused_result));
void breaker_unmap(_Atomic uint64_t *words, uint32_t n);

/* Copies words without mapping them. first + n at most BREAKER_WORDS_MAX. Returns 0; -errno */
int breaker_read(int fd, uint32_t first, uint32_t n, uint64_t *out_words)
    __attribute__((warn_unused_result));

#endif
