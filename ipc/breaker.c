/* See breaker.h. Two bits of a word are its state; what the others mean depends on it:
 *
 *     CLOSED   failures: 20 bits
 *     OPEN     failures: 20 bits, since_ms: 42 bits
 *     PROBING  failures: 19 bits, epoch: 32 bits, seat: 11 bits */
#include "ipc/breaker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/panic.h"

#define STATE_SHIFT 62U
#define REST_MASK ((UINT64_C(1) << STATE_SHIFT) - 1)
#define SEAT_BITS 11U
#define SEAT_MASK ((1U << SEAT_BITS) - 1)
#define EPOCH_BITS 32U
#define SINCE_BITS 42U /* of ms: 139 years */
#define SINCE_MASK ((UINT64_C(1) << SINCE_BITS) - 1)
#define BYTES(n) ((size_t)(n) * sizeof(uint64_t))

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words that processes share have no lock");

const char *const breaker_state_names[BREAKER_STATES] = {"closed", "open", "probing"};

/* ---- words ---- */

static uint64_t at_most(uint64_t n, uint64_t most)
{
    return n < most ? n : most;
}

uint64_t breaker_pack(const struct breaker *b)
{
    uint64_t rest = 0;
    if (b->state == BREAKER_CLOSED)
        rest = at_most(b->failures, BREAKER_FAILURES_MAX);
    else if (b->state == BREAKER_OPEN)
        rest =
            at_most(b->failures, BREAKER_FAILURES_MAX) << SINCE_BITS | (b->since_ms & SINCE_MASK);
    else
        rest = at_most(b->failures, BREAKER_PROBING_MAX) << (SEAT_BITS + EPOCH_BITS) |
               (uint64_t)b->epoch << SEAT_BITS | (b->seat & SEAT_MASK);
    return (uint64_t)b->state << STATE_SHIFT | rest;
}

struct breaker breaker_unpack(uint64_t word)
{
    uint64_t rest = word & REST_MASK;
    switch (word >> STATE_SHIFT) {
    case BREAKER_CLOSED:
        return (struct breaker){.failures = (uint32_t)(rest & BREAKER_FAILURES_MAX)};
    case BREAKER_OPEN:
        return (struct breaker){.state = BREAKER_OPEN,
                                .failures = (uint32_t)(rest >> SINCE_BITS),
                                .since_ms = rest & SINCE_MASK};
    case BREAKER_PROBING:
        return (struct breaker){.state = BREAKER_PROBING,
                                .failures = (uint32_t)(rest >> (SEAT_BITS + EPOCH_BITS)),
                                .seat = (uint32_t)(rest & SEAT_MASK),
                                .epoch = (uint32_t)(rest >> SEAT_BITS)};
    default:
        return (struct breaker){0};
    }
}

/* ---- decisions ---- */

static uint64_t until_us(const struct breaker *b, const struct breaker_rules *rules)
{
    return b->since_ms * CLOCK_US_PER_MS + rules->reset_us;
}

enum breaker_verdict breaker_judge(uint64_t word, const struct breaker_rules *rules,
                                   uint64_t now_us, uint64_t *out_wait_us)
{
    struct breaker b = breaker_unpack(word);
    *out_wait_us = 0;
    if (b.state == BREAKER_CLOSED)
        return BREAKER_PASSES;
    if (b.state == BREAKER_PROBING)
        return BREAKER_REFUSES; /* how long that takes nobody knows */
    if (until_us(&b, rules) <= now_us)
        return BREAKER_TRIES;
    *out_wait_us = until_us(&b, rules) - now_us;
    return BREAKER_REFUSES;
}

uint64_t breaker_begin_probe(uint64_t word, uint32_t seat, uint32_t epoch)
{
    return breaker_pack(&(struct breaker){.state = BREAKER_PROBING,
                                          .failures = breaker_unpack(word).failures,
                                          .seat = seat,
                                          .epoch = epoch});
}

static uint64_t open_word(uint32_t failures, uint64_t now_us)
{
    return breaker_pack(&(struct breaker){
        .state = BREAKER_OPEN, .failures = failures, .since_ms = now_us / CLOCK_US_PER_MS});
}

static uint64_t after_probe(uint32_t failures, enum breaker_event event,
                            const struct breaker_rules *rules, uint64_t now_us)
{
    if (event == BREAKER_ANSWERED)
        return 0;
    if (event == BREAKER_FAILED)
        return open_word(failures + 1, now_us);
    /* The next tries. */
    return open_word(failures, now_us > rules->reset_us ? now_us - rules->reset_us : 0);
}

uint64_t breaker_after(uint64_t word, enum breaker_event event, bool is_probe,
                       const struct breaker_rules *rules, uint64_t now_us)
{
    struct breaker b = breaker_unpack(word);
    if (is_probe)
        return b.state == BREAKER_PROBING ? after_probe(b.failures, event, rules, now_us) : word;
    if (b.state != BREAKER_CLOSED || event == BREAKER_UNTRIED || rules->failures == 0)
        return word;
    if (event == BREAKER_ANSWERED)
        return 0;
    b.failures++;
    return b.failures >= rules->failures ? open_word(b.failures, now_us) : breaker_pack(&b);
}

/* ---- the page ---- */

int breaker_create(int *out_fd, struct err *err)
{
    int fd = memfd_create("remuda-breakers", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(err, errno, "breakers: memfd_create: %s", strerror(errno));
    if (ftruncate(fd, (off_t)BYTES(BREAKER_WORDS_MAX)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int rc = err_set(err, errno, "breakers: %s", strerror(errno));
        fd_close(&fd);
        return rc;
    }
    *out_fd = fd;
    return 0;
}

int breaker_map(int fd, uint32_t n, _Atomic uint64_t **out_words, struct err *err)
{
    RMD_ASSERT(n > 0 && n <= BREAKER_WORDS_MAX);
    void *words = mmap(NULL, BYTES(n), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED)
        return err_set(err, errno, "breakers: mmap: %s", strerror(errno));
    /* So that there is room for them now, and touching them later is no SIGBUS. */
    if (madvise(words, BYTES(n), MADV_POPULATE_WRITE) < 0 && errno != EINVAL) {
        int rc = err_set(err, errno, "breakers: %s", strerror(errno));
        (void)munmap(words, BYTES(n));
        return rc;
    }
    *out_words = words;
    return 0;
}

void breaker_unmap(_Atomic uint64_t *words, uint32_t n)
{
    (void)munmap((void *)words, BYTES(n));
}

int breaker_read(int fd, uint32_t first, uint32_t n, uint64_t *out_words)
{
    RMD_ASSERT(first + n <= BREAKER_WORDS_MAX);
    ssize_t got = pread(fd, out_words, BYTES(n), (off_t)BYTES(first));
    return got < 0 ? -errno : got == (ssize_t)BYTES(n) ? 0 : -EIO;
}
