/* The payload segment. Free room is found first-fit over a bitmap of pages, in private memory: a
 * slice of 256 MiB has 65,536 of them, 1,024 words. First-fit from the bottom is also what makes
 * memory that was used before be used again, so that a steady load touches no new page.
 *
 * Runs that may grow (the block that a loop reads into) would be shut in by the next small one
 * behind them. They begin at stations, of which a slice has 16: far apart, and the lowest that has
 * room, so that again the same ones are used.
 *
 * Whether a page has memory is noted, not asked: MADV_POPULATE_WRITE of 1 MiB that is there already
 * takes 80 to 100 us, more than the whole hand-off may. */
#include "ipc/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/panic.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* since Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#define WORD_BITS 64U

/* ---- the master's side ---- */

int segment_create(uint32_t n_seats, uint64_t slice_bytes, int *out_fd, struct err *err)
{
    RMD_ASSERT(n_seats > 0 && slice_bytes % SEGMENT_PAGE == 0);
    RMD_ASSERT(slice_bytes >= SEGMENT_SLICE_MIN && slice_bytes <= SEGMENT_SLICE_MAX);
    int fd = memfd_create("remuda-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(err, errno, "payload segment: memfd_create: %s", strerror(errno));
    int rc = ftruncate(fd, (off_t)(n_seats * slice_bytes)) < 0 ? -errno : 0;
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        rc = -errno;
    if (rc == 0) {
        *out_fd = fd;
        return 0;
    }
    fd_close(&fd);
    return err_set(err, -rc, "payload segment of %u seats with %llu bytes each: %s%s", n_seats,
                   (unsigned long long)slice_bytes, strerror(-rc),
                   rc == -EFBIG ? "; lower `segment`, or raise the limit on the size of files "
                                  "(ulimit -f), which it counts as, sparse as it is"
                                : "");
}

int segment_clear(int fd, uint64_t slice_bytes, uint32_t seat, uint64_t max_bytes)
{
    const off_t begin = (off_t)(seat * slice_bytes);
    const off_t end = begin + (off_t)slice_bytes;
    off_t data = lseek(fd, begin, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? 0 : -errno; /* ENXIO: holes up to the end of the file */
    if (data >= end)
        return 0;
    data -= data % (off_t)SEGMENT_PAGE;
    off_t len = end - data < (off_t)max_bytes ? end - data : (off_t)max_bytes;
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, data, len) < 0)
        return -errno;
    return data + len < end;
}

/* ---- mapping ---- */

/* With a quarter more, for the slice that is mapped twice and for what else a process maps. */
static bool has_room(uint64_t bytes)
{
    bytes += bytes / 4;
    void *base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return false;
    (void)munmap(base, bytes);
    return true;
}

int segment_fit(uint32_t n_seats, uint64_t wanted_bytes, uint64_t *out_bytes, struct err *err)
{
    uint64_t bytes = wanted_bytes;
    while (bytes / 2 >= SEGMENT_SLICE_MIN && !has_room(n_seats * bytes))
        bytes = bytes / 2 / SEGMENT_PAGE * SEGMENT_PAGE;
    if (!has_room(n_seats * bytes))
        return err_set(
            err, ENOMEM,
            "payload segment: no address space for %u slices of 1MiB; raise the limit on "
            "it (ulimit -v)",
            n_seats);
    *out_bytes = bytes;
    return 0;
}

static int check_size(int fd, uint64_t bytes, struct err *err)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return err_set(err, errno, "payload segment: fstat: %s", strerror(errno));
    if ((uint64_t)info.st_size != bytes)
        return err_set(err, EINVAL, "payload segment has %lld bytes, not %llu",
                       (long long)info.st_size, (unsigned long long)bytes);
    return 0;
}

/* NULL when refused. Never in a core dump: its size is that of the address space. */
static void *map(int fd, uint64_t bytes, int protection, off_t at)
{
    void *base = mmap(NULL, bytes, protection, MAP_SHARED, fd, at);
    if (base == MAP_FAILED)
        return NULL;
    (void)madvise(base, bytes, MADV_DONTDUMP); /* only spares disks */
    return base;
}

/* All slices, for reading: by a descriptor that can't do more, so that mprotect(2) can't make more
 * of the mapping either, whoever calls it. Without /proc it is the one that can. */
static void *map_all(int fd, uint64_t bytes)
{
    int read_fd = fd_reopen_to_read(fd);
    void *base = map(read_fd >= 0 ? read_fd : fd, bytes, PROT_READ, 0);
    fd_close(&read_fd);
    return base;
}

static uint64_t *new_bits(uint64_t n_pages)
{
    return calloc((n_pages + WORD_BITS - 1) / WORD_BITS, sizeof(uint64_t));
}

int segment_map(int fd, uint32_t n_seats, uint64_t slice_bytes, uint32_t seat,
                struct segment *out_segment, struct err *err)
{
    if (seat >= n_seats)
        return err_set(err, ERANGE, "payload segment: seat %u of %u", seat, n_seats);
    if (slice_bytes < SEGMENT_SLICE_MIN || slice_bytes > SEGMENT_SLICE_MAX ||
        slice_bytes % SEGMENT_PAGE)
        return err_set(err, EINVAL, "payload segment: slices of %llu bytes",
                       (unsigned long long)slice_bytes);
    int rc = check_size(fd, n_seats * slice_bytes, err);
    if (rc < 0)
        return rc;
    struct segment s = {.slice_bytes = slice_bytes, .n_seats = n_seats, .seat = seat};
    s.base = FAULT("segment_map") ? NULL : map_all(fd, n_seats * slice_bytes);
    if (s.base)
        s.slice.base = map(fd, slice_bytes, PROT_READ | PROT_WRITE, (off_t)(seat * slice_bytes));
    s.slice.n_pages = slice_bytes / SEGMENT_PAGE;
    s.slice.used = new_bits(s.slice.n_pages);
    s.slice.resident = new_bits(s.slice.n_pages);
    if (!s.base || !s.slice.base || !s.slice.used || !s.slice.resident) {
        segment_unmap(&s);
        return err_set(err, ENOMEM,
                       "payload segment: no address space for %u slices of %llu bytes; lower "
                       "`segment`, or raise the limit on address space (ulimit -v)",
                       n_seats, (unsigned long long)slice_bytes);
    }
    *out_segment = s;
    return 0;
}

void segment_unmap(struct segment *segment)
{
    if (segment->base)
        (void)munmap((void *)(uintptr_t)segment->base, segment->n_seats * segment->slice_bytes);
    if (segment->slice.base)
        (void)munmap(segment->slice.base, segment->slice_bytes);
    free(segment->slice.used);
    free(segment->slice.resident);
    *segment = (struct segment){0};
}

const char *segment_at(const struct segment *segment, struct segment_ref ref)
{
    if (ref.seat >= segment->n_seats || ref.at > segment->slice_bytes ||
        ref.len > segment->slice_bytes - ref.at)
        return NULL;
    return segment->base + ref.seat * segment->slice_bytes + ref.at;
}

/* EFAULT: touching it would be SIGBUS, madvise(2). An older kernel can't say beforehand. */
static int populate(char *from, uint64_t bytes, int advice)
{
    int failure = FAULT("segment_populate");
    if (failure == 0 && madvise(from, bytes, advice) < 0)
        failure = errno;
    return failure == 0 || failure == EINVAL ? 0 : -ENOMEM;
}

int segment_copy(struct segment *segment, struct segment_ref ref, void *out)
{
    const char *at = segment_at(segment, ref);
    if (!at)
        return -ERANGE;
    if (ref.len == 0)
        return 0;
    size_t before = (uintptr_t)at % SEGMENT_PAGE;
    int rc = populate((char *)(uintptr_t)(at - before), before + ref.len, MADV_POPULATE_READ);
    if (rc < 0)
        return rc;
    memcpy(out, at, ref.len);
    (void)__atomic_fetch_add(&segment->copied, ref.len, __ATOMIC_RELAXED);
    return 0;
}

/* ---- bits ---- */

static bool has_bit(const uint64_t *bits, uint64_t i)
{
    return bits[i / WORD_BITS] >> (i % WORD_BITS) & 1U;
}

/* Those of a word that lie in [from, end). */
static uint64_t mask_of(uint64_t word, uint64_t from, uint64_t end)
{
    uint64_t mask = UINT64_MAX;
    if (word == from / WORD_BITS)
        mask &= UINT64_MAX << (from % WORD_BITS);
    if (word == end / WORD_BITS)
        mask &= ~(UINT64_MAX << (end % WORD_BITS));
    return mask;
}

/* Returns how many were not set before. */
static uint64_t set_bits(uint64_t *bits, uint64_t from, uint64_t end)
{
    uint64_t n = 0;
    for (uint64_t word = from / WORD_BITS; word * WORD_BITS < end; word++) {
        uint64_t more = mask_of(word, from, end) & ~bits[word];
        n += (uint64_t)__builtin_popcountll(more);
        bits[word] |= more;
    }
    return n;
}

/* Returns how many were set before. */
static uint64_t clear_bits(uint64_t *bits, uint64_t from, uint64_t end)
{
    uint64_t n = 0;
    for (uint64_t word = from / WORD_BITS; word * WORD_BITS < end; word++) {
        uint64_t less = mask_of(word, from, end) & bits[word];
        n += (uint64_t)__builtin_popcountll(less);
        bits[word] &= ~less;
    }
    return n;
}

/* The first bit of [from, end) that is set (or is not); end: none. */
static uint64_t find_bit(const uint64_t *bits, uint64_t from, uint64_t end, bool is_set)
{
    for (uint64_t word = from / WORD_BITS; word * WORD_BITS < end; word++) {
        uint64_t found = (is_set ? bits[word] : ~bits[word]) & mask_of(word, from, end);
        if (found)
            return word * WORD_BITS + (uint64_t)__builtin_ctzll(found);
    }
    return end;
}

/* ---- room ---- */

static uint64_t pages_of(uint64_t bytes)
{
    return bytes / SEGMENT_PAGE + (bytes % SEGMENT_PAGE > 0);
}

/* The first stretch of n free pages; n_pages: none. */
static uint64_t find_free(const struct segment_slice *slice, uint64_t n)
{
    uint64_t at = find_bit(slice->used, slice->first_free, slice->n_pages, false);
    while (slice->n_pages - at >= n) {
        uint64_t taken = find_bit(slice->used, at, at + n, true);
        if (taken == at + n)
            return at;
        at = find_bit(slice->used, taken, slice->n_pages, false);
    }
    return slice->n_pages;
}

/* The first station but the lowest, which is left to runs that do not grow; n_pages: none. */
static uint64_t find_station(const struct segment_slice *slice, uint64_t n)
{
    for (uint64_t i = 1; i < SEGMENT_STATIONS; i++) {
        uint64_t at = slice->n_pages / SEGMENT_STATIONS * i;
        if (slice->n_pages - at >= n && find_bit(slice->used, at, at + n, true) == at + n)
            return at;
    }
    return slice->n_pages;
}

static void mark_used(struct segment_slice *slice, uint64_t from, uint64_t end)
{
    uint64_t n = set_bits(slice->used, from, end);
    RMD_ASSERT(n == end - from);
    slice->n_used += n;
    if (from == slice->first_free)
        slice->first_free = end;
    if (slice->n_used > slice->peak)
        slice->peak = slice->n_used;
    if (slice->n_used > slice->peak_ever)
        slice->peak_ever = slice->n_used;
}

int segment_take(struct segment_slice *slice, uint64_t bytes, uint64_t room,
                 struct segment_run *out_run)
{
    RMD_ASSERT(bytes > 0);
    const uint64_t n = pages_of(bytes);
    const uint64_t behind = pages_of(room);
    uint64_t at = slice->n_pages;
    if (n > slice->n_pages - slice->n_used)
        return -ENOSPC;
    if (behind > 0 && behind <= slice->n_pages)
        at = find_station(slice, n + behind);
    if (at == slice->n_pages)
        at = find_free(slice, n);
    if (at == slice->n_pages)
        return -ENOSPC;
    mark_used(slice, at, at + n);
    *out_run = (struct segment_run){at * SEGMENT_PAGE, n * SEGMENT_PAGE};
    return 0;
}

int segment_extend(struct segment_slice *slice, struct segment_run *run, uint64_t bytes)
{
    const uint64_t n = pages_of(bytes);
    const uint64_t at = run->at / SEGMENT_PAGE;
    const uint64_t end = at + run->bytes / SEGMENT_PAGE;
    if (n <= end - at)
        return 0;
    if (n > slice->n_pages - at || find_bit(slice->used, end, at + n, true) != at + n)
        return -ENOSPC;
    mark_used(slice, end, at + n);
    run->bytes = n * SEGMENT_PAGE;
    return 0;
}

void segment_trim(struct segment_slice *slice, struct segment_run *run, uint64_t bytes)
{
    const uint64_t at = run->at / SEGMENT_PAGE;
    const uint64_t from = at + pages_of(bytes);
    const uint64_t end = at + run->bytes / SEGMENT_PAGE;
    if (from >= end)
        return;
    uint64_t n = clear_bits(slice->used, from, end);
    RMD_ASSERT(n == end - from); /* else it was given back before */
    slice->n_used -= n;
    if (from < slice->first_free)
        slice->first_free = from;
    run->bytes = (from - at) * SEGMENT_PAGE;
}

void segment_give(struct segment_slice *slice, struct segment_run *run)
{
    segment_trim(slice, run, 0);
}

/* ---- memory ---- */

int segment_ready(struct segment_slice *slice, const struct segment_run *run, uint64_t from,
                  uint64_t bytes)
{
    RMD_ASSERT(from <= run->bytes && bytes <= run->bytes - from);
    const uint64_t end = pages_of(run->at + from + bytes);
    uint64_t at = (run->at + from) / SEGMENT_PAGE;
    while ((at = find_bit(slice->resident, at, end, false)) < end) {
        uint64_t until = find_bit(slice->resident, at, end, true);
        int rc = populate(slice->base + at * SEGMENT_PAGE, (until - at) * SEGMENT_PAGE,
                          MADV_POPULATE_WRITE);
        if (rc < 0)
            return rc;
        uint64_t n = set_bits(slice->resident, at, until);
        slice->n_resident += n;
        slice->populated += n;
        at = until;
    }
    return 0;
}

void segment_filled(struct segment_slice *slice, const struct segment_run *run, uint64_t from,
                    uint64_t bytes)
{
    RMD_ASSERT(from <= run->bytes && bytes <= run->bytes - from);
    if (bytes > 0)
        slice->n_resident += set_bits(slice->resident, (run->at + from) / SEGMENT_PAGE,
                                      pages_of(run->at + from + bytes));
}

bool segment_find(const struct segment *segment, const void *octets, uint64_t len,
                  struct segment_ref *out_ref)
{
    uintptr_t base = (uintptr_t)segment->slice.base;
    uint64_t at = (uintptr_t)octets - base; /* below it: larger than any slice */
    if ((uintptr_t)octets < base || at > segment->slice_bytes || len > segment->slice_bytes - at)
        return false;
    *out_ref = (struct segment_ref){.at = at, .len = len, .seat = segment->seat};
    return true;
}

static void *take_block(void *owner, size_t bytes, size_t *out_bytes)
{
    struct segment_slice *slice = owner;
    struct segment_run run;
    if (segment_take(slice, bytes, 0, &run) < 0)
        return NULL;
    if (segment_ready(slice, &run, 0, run.bytes) < 0) {
        segment_give(slice, &run);
        return NULL;
    }
    *out_bytes = run.bytes;
    return segment_own(slice, &run);
}

static void give_block(void *owner, void *memory, size_t bytes)
{
    struct segment_slice *slice = owner;
    struct segment_run run = {.at = (uint64_t)((char *)memory - slice->base), .bytes = bytes};
    segment_give(slice, &run);
}

struct arena_source segment_source(struct segment_slice *slice)
{
    return (struct arena_source){take_block, give_block, slice};
}

void segment_turn(struct segment_slice *slice)
{
    slice->peak_before = slice->peak;
    slice->peak = slice->n_used;
}

static bool is_idle(const struct segment_slice *slice, uint64_t page)
{
    return has_bit(slice->resident, page) && !has_bit(slice->used, page);
}

/* Behind the last page of [0, end) that has memory and is not taken; 0: there is none. */
static uint64_t find_idle_end(const struct segment_slice *slice, uint64_t end)
{
    for (uint64_t word = (end + WORD_BITS - 1) / WORD_BITS; word-- > 0;) {
        uint64_t idle = slice->resident[word] & ~slice->used[word] & mask_of(word, 0, end);
        if (idle)
            return (word + 1) * WORD_BITS - (uint64_t)__builtin_clzll(idle);
    }
    return 0;
}

/* The highest pages go: the lowest are the next to be taken. */
bool segment_shed(struct segment_slice *slice, uint64_t max_bytes)
{
    const uint64_t keep = slice->peak > slice->peak_before ? slice->peak : slice->peak_before;
    uint64_t left = pages_of(max_bytes);
    uint64_t end = slice->n_pages;
    while (slice->n_resident > keep && left > 0) {
        end = find_idle_end(slice, end);
        if (end == 0)
            return false;
        uint64_t most = slice->n_resident - keep < left ? slice->n_resident - keep : left;
        uint64_t from = end - 1;
        while (from > 0 && end - from < most && is_idle(slice, from - 1))
            from--;
        if (madvise(slice->base + from * SEGMENT_PAGE, (end - from) * SEGMENT_PAGE, MADV_REMOVE) <
            0)
            return false; /* it stays, which harms nobody */
        slice->n_resident -= clear_bits(slice->resident, from, end);
        left -= end - from;
        end = from;
    }
    return slice->n_resident > keep && find_idle_end(slice, end) > 0;
}
