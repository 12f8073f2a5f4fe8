/* See compute_spool.h. Process: compute workers, on the thread of the room. A mapping in place of
 * another of the same size is no more address space (mmap(2), MAP_FIXED), which is all that
 * RLIMIT_AS counts. */
#include "workers/compute_spool.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "base/log.h"

static bool is_in_place(const struct compute_spool *spool)
{
    return spool->mapped.p == spool->base;
}

void compute_spool_open(struct compute_spool *spool, uint64_t bytes)
{
    *spool = (struct compute_spool){0};
    if (bytes == 0)
        return;
    void *base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        log_info("no addresses for bodies in spool files",
                 "bytes=%llu does=\"count them as memory\"", (unsigned long long)bytes);
        return;
    }
    spool->base = base;
    spool->bytes = bytes;
}

int compute_spool_map(struct compute_spool *spool, int fd, uint64_t len, struct str *out_octets)
{
    bool fits = len <= spool->bytes;
    void *at =
        mmap(fits ? spool->base : NULL, len, PROT_READ, MAP_SHARED | (fits ? MAP_FIXED : 0), fd, 0);
    if (at == MAP_FAILED)
        return fits || !spool->base ? -ENOMEM : -EMSGSIZE;
    spool->mapped = *out_octets = str_make(at, (size_t)len);
    return 0;
}

void compute_spool_unmap(struct compute_spool *spool)
{
    if (spool->mapped.len == 0)
        return;
    void *at = (void *)(uintptr_t)spool->mapped.p;
    /* Taken back in one step, so that nothing else gets in between. */
    if (is_in_place(spool))
        (void)!mmap(at, spool->mapped.len, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    else
        (void)munmap(at, spool->mapped.len);
    spool->mapped = (struct str){0};
}
