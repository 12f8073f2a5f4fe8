/* The payload segment of a generation: one sparse memfd with a slice for every seat. Each process
 * maps the whole of it read-only (for good: mprotect(2) is refused) and its own slice read-write,
 * so a payload goes from one process to another by three numbers (seat, offset, length), nothing is
 * copied in user space, and a wild write hurts only its writer. Pages come when they are touched
 * and go when they are shed.
 *
 * Who takes room in its slice is the only one who gives it back: what is free is noted in private
 * memory, so nothing that another process does can confuse it. How one learns that another has
 * finished with a payload is not this file's matter (ipc/task.h).
 *
 * A page for which there is no memory is SIGBUS for who touches it. So room is taken first and made
 * ready before the CPU writes there (segment_ready()), or it is read into from a descriptor: there
 * the kernel's failure is an error code. Likewise what another process says lies in its slice may
 * be a hole: give such memory to write(2), where that is EFAULT, or copy it by segment_copy(). */
#ifndef REMUDA_IPC_SEGMENT_H
#define REMUDA_IPC_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

struct err;

#define SEGMENT_PAGE 4096U
#define SEGMENT_STATIONS 16U /* of a slice: where runs that grow begin, so far from each other */
#define SEGMENT_SLICE_MIN (UINT64_C(1) << 20) /* bytes of a slice */
#define SEGMENT_SLICE_MAX (UINT64_C(1) << 36)

/* Octets in the slice of a seat. Comes from other processes: segment_at() checks it. */
struct segment_ref {
    uint64_t at; /* from the beginning of the slice */
    uint64_t len;
    uint32_t seat;
};

/* Room that was taken in one's own slice: whole pages. */
struct segment_run {
    uint64_t at; /* from the beginning of the slice */
    uint64_t bytes;
};

/* One's own slice, and what is known of it. */
struct segment_slice {
    char *base;           /* read-write, slice_bytes */
    uint64_t *used;       /* heap: a bit for each page that is taken */
    uint64_t *resident;   /* heap: likewise, that is known to have memory */
    uint64_t n_pages;     /* of the slice */
    uint64_t n_used;      /* pages */
    uint64_t n_resident;  /* pages */
    uint64_t peak;        /* most pages used, in this period */
    uint64_t peak_before; /* in the one before */
    uint64_t peak_ever;
    uint64_t first_free; /* no page below it is free */
    uint64_t populated;  /* pages that were given memory by segment_ready(), ever */
};

struct segment {
    const char *base; /* all slices, read-only */
    uint64_t slice_bytes;
    uint32_t n_seats;
    uint32_t seat;              /* one's own */
    uint64_t copied;            /* octets copied by segment_copy(), ever */
    struct segment_slice slice; /* one's own */
};

/* ---- the master's side: it maps nothing ---- */

/* Makes the memfd, of fixed size.
 * n_seats      1 …
 * slice_bytes  SEGMENT_SLICE_MIN … SEGMENT_SLICE_MAX, rounded up to whole pages by the caller
 * Returns      0; -errno, *err says which step */
int segment_create(uint32_t n_seats, uint64_t slice_bytes, int *out_fd, struct err *err)
    __attribute__((warn_unused_result));

/* How large slices may be so that a process can map all of them in one piece and its own once more,
 * and has addresses left for what it does: ulimit -v, and kernels with small address spaces.
 * wanted_bytes  as for segment_create()
 * Returns       0, *out_bytes: wanted_bytes halved as often as it takes; -ENOMEM, *err: there is no
 *               room for slices of SEGMENT_SLICE_MIN */
int segment_fit(uint32_t n_seats, uint64_t wanted_bytes, uint64_t *out_bytes, struct err *err)
    __attribute__((warn_unused_result));

/* Gives memory of a seat's slice back, which then reads as zeros: for a seat whose occupant is dead
 * and of which nobody holds anything. Freeing 256 MiB takes 150 ms, so a turn of a loop does a
 * part.
 * max_bytes  1 …; 4 MiB take about 3 ms
 * Returns    0 the slice is empty; 1 there is more; -errno */
int segment_clear(int fd, uint64_t slice_bytes, uint32_t seat, uint64_t max_bytes)
    __attribute__((warn_unused_result));

/* ---- everyone else's ---- */

/* Maps all slices for reading and one's own for writing, and begins with an empty one. To be done
 * before limits on address space are set.
 * fd           may be closed afterwards, and should be where app code runs: through it all slices
 *              can be written
 * n_seats, slice_bytes  as it was made; another size of fd is refused
 * Returns      0; -EINVAL; -ERANGE no such seat; -errno, *err says which step. segment_unmap()
 *              undoes it */
int segment_map(int fd, uint32_t n_seats, uint64_t slice_bytes, uint32_t seat,
                struct segment *out_segment, struct err *err) __attribute__((warn_unused_result));
void segment_unmap(struct segment *segment);

/* The octets that a reference means, for reading.
 * Returns  NULL when they do not lie in one slice as a whole; never NULL for len 0 within it
 * Safe     threads: any · signal handlers: yes */
const char *segment_at(const struct segment *segment, struct segment_ref ref);

/* Copies octets of any slice into private memory, where they can't change under a check.
 * out      room for ref.len
 * Returns  0; -ERANGE they do not lie in one slice; -ENOMEM a hole, and no memory to fill it
 * Safe     threads: any */
int segment_copy(struct segment *segment, struct segment_ref ref, void *out)
    __attribute__((warn_unused_result));

/* ---- room in one's own slice. Safe: threads: one at a time, the caller sees to that ---- */

/* Takes the first room there is. It has memory as far as it had been used before: segment_ready().
 * bytes    1 …, rounded up to pages
 * room     bytes that should be free behind it, for segment_extend(): it is then put to one of a
 *          few places that lie far apart, where there is one, else anywhere; 0: it will not grow.
 *          Nothing is reserved
 * Returns  0; -ENOSPC the slice has no such stretch */
int segment_take(struct segment_slice *slice, uint64_t bytes, uint64_t room,
                 struct segment_run *out_run) __attribute__((warn_unused_result));

/* Makes a run longer where it lies.
 * bytes    in all, from its beginning; less than it has: nothing to do
 * Returns  0; -ENOSPC what is behind it is taken (the run is as before) */
int segment_extend(struct segment_slice *slice, struct segment_run *run, uint64_t bytes)
    __attribute__((warn_unused_result));

/* Gives back what is behind the first bytes of a run, rounded up to pages; 0: all of it. The run is
 * as long as it then is. */
void segment_trim(struct segment_slice *slice, struct segment_run *run, uint64_t bytes);

/* Gives it back; the run is empty. One that is empty already is fine. Its memory stays for the next
 * who takes it, until it is shed. */
void segment_give(struct segment_slice *slice, struct segment_run *run);

/* Sees to it that octets of a run may be written by the CPU. A page that has memory costs nothing,
 * one that has none about half a microsecond, and more where the machine is short of it.
 * from, bytes  within the run
 * Returns      0; -ENOMEM */
int segment_ready(struct segment_slice *slice, const struct segment_run *run, uint64_t from,
                  uint64_t bytes) __attribute__((warn_unused_result));

/* Octets of a run were read into by the kernel, so there is memory. */
void segment_filled(struct segment_slice *slice, const struct segment_run *run, uint64_t from,
                    uint64_t bytes);

/* For one's own use: where an octet of a run lies. */
static inline char *segment_own(const struct segment_slice *slice, const struct segment_run *run)
{
    return slice->base + run->at;
}

/* The reference of memory that one writes oneself, such as a body that shall be sent from here.
 * Returns  false: not all of it lies in one's own slice, so nobody else can read it there */
bool segment_find(const struct segment *segment, const void *octets, uint64_t len,
                  struct segment_ref *out_ref) __attribute__((warn_unused_result));

/* A source of blocks for arenas (base/arena.h), ready to be written. slice: outlives them */
struct arena_source segment_source(struct segment_slice *slice);

/* A period is over, of some seconds: memory that neither it nor the one before needed may be shed.
 * So a steady load takes no page faults, and what was large once does not stay for ever. */
void segment_turn(struct segment_slice *slice);

/* Gives memory back that was not needed. To be called when there is nothing better to do.
 * max_bytes  1 …; 1 MiB takes some 0.2 ms
 * Returns    whether there is more to shed */
bool segment_shed(struct segment_slice *slice, uint64_t max_bytes);

#endif
