/* For fuzz_conn.c: the sources that get memory, descriptors and mappings, once more, with functions
 * that a script can make fail, and that count what is given back. */
#ifndef REMUDA_TESTS_FUZZ_CONN_REFUSE_H
#define REMUDA_TESTS_FUZZ_CONN_REFUSE_H

/* All that the sources include, before their functions get other names. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fd.h"
#include "http/exchange.h"

static struct {
    unsigned memory_in; /* the allocation of that number, from now, is refused; 0: none */
    bool memfd;         /* the next one is */
    bool map;
    bool write;
    long n_fds;  /* open */
    long n_maps; /* mapped */
} refuse;

static int refuse_memory(void)
{
    return refuse.memory_in > 0 && --refuse.memory_in == 0;
}

static bool refuse_once(bool *is_refused)
{
    bool was = *is_refused;
    *is_refused = false;
    return was;
}

static void *try_malloc(size_t bytes)
{
    return refuse_memory() ? NULL : malloc(bytes);
}

static void *try_calloc(size_t n, size_t bytes)
{
    return refuse_memory() ? NULL : calloc(n, bytes);
}

static void *try_realloc(void *data, size_t bytes)
{
    return refuse_memory() ? NULL : realloc(data, bytes);
}

static int try_memfd_create(const char *name, unsigned flags)
{
    errno = EMFILE;
    int fd = refuse_once(&refuse.memfd) ? -1 : memfd_create(name, flags);
    refuse.n_fds += fd >= 0;
    return fd;
}

static int try_close(int fd)
{
    int rc = close(fd);
    if (rc < 0)
        abort(); /* closed twice */
    refuse.n_fds--;
    return rc;
}

static ssize_t try_write(int fd, const void *data, size_t len)
{
    errno = ENOSPC;
    return refuse_once(&refuse.write) ? -1 : write(fd, data, len);
}

static void *try_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    if (refuse_once(&refuse.map))
        return MAP_FAILED;
    refuse.n_maps++;
    return mmap(at, len, protection, flags, fd, offset);
}

static int try_munmap(void *at, size_t len)
{
    refuse.n_maps--;
    return munmap(at, len);
}

#define malloc try_malloc
#define calloc try_calloc
#define realloc try_realloc
#define memfd_create try_memfd_create
#define close try_close
#define mmap try_mmap
#define munmap try_munmap
#include "base/arena.c"
#include "base/buf.c"
#include "http/body.c"
#include "http/deferred.c"
#undef KEPT_BUFFER_BYTES
#include "http/exchange.c"
#define write try_write
#include "base/fd.c"
#undef malloc
#undef calloc
#undef realloc
#undef memfd_create
#undef close
#undef write
#undef mmap
#undef munmap

#endif
