/* Bodies. The spool file is written with write(2) as the octets come, and mapped when the body is
 * complete: write(2) says when there is no room (ENOSPC, EDQUOT, ENOMEM), which a store into a
 * mapping would answer with SIGBUS. Its pages exist before anyone looks at them, nobody else has
 * the file and nobody shortens it, so reading the mapping is safe.
 *
 * Without a folder the file is a memfd: a page of memory all the same, but one that can be handed
 * on by descriptor, and that goes back to the system when the request is over. */
#include "http/body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/panic.h"

#define KEPT_BUFFER_BYTES 65536U /* larger buffers are freed when the request is over */

void body_init(struct body *b)
{
    *b = (struct body){.fd = -1};
}

/* For file systems without O_TMPFILE: a name that lives for a moment. */
static int open_named(const char *folder)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/remuda-XXXXXX", folder);
    if (n < 0 || (size_t)n >= sizeof path)
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    (void)unlink(path);
    return fd;
}

static int open_spool(const char *folder)
{
    if (!folder || folder[0] == '\0') {
        int fd = memfd_create("remuda-body", MFD_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    bool is_unsupported = errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL;
    return is_unsupported ? open_named(folder) : -errno;
}

/* What is in memory moves to the file. */
static int begin_spool(struct body *b, const struct http_limits *limits)
{
    int fd = open_spool(limits->spool_dir);
    if (fd < 0)
        return fd;
    int rc = fd_write_all(fd, b->memory.data, b->memory.len);
    if (rc < 0) {
        fd_close(&fd);
        return rc;
    }
    b->fd = fd;
    buf_fini(&b->memory);
    return 0;
}

int body_append(struct body *b, const struct http_limits *limits, const char *data, size_t len)
{
    int rc = 0;
    if (b->fd < 0 && b->memory.len + len <= limits->body_buffer) {
        rc = buf_append(&b->memory, data, len);
    } else {
        if (b->fd < 0)
            rc = begin_spool(b, limits);
        if (rc == 0)
            rc = fd_write_all(b->fd, data, len);
    }
    if (rc == 0)
        b->len += len;
    return rc;
}

int body_reserve(struct body *b, size_t want, char **out_space, size_t *out_room)
{
    RMD_ASSERT(b->fd < 0);
    if (b->memory.cap - b->memory.len < want && buf_reserve(&b->memory, want) < 0)
        return -ENOMEM;
    *out_space = b->memory.data + b->memory.len;
    *out_room = b->memory.cap - b->memory.len;
    return 0;
}

void body_commit(struct body *b, size_t n)
{
    b->memory.len += n;
    b->len += n;
}

int body_view(struct body *b, struct str *out_octets)
{
    if (b->fd < 0) {
        *out_octets = str_make(b->memory.data, b->memory.len);
        return 0;
    }
    if (!b->map) {
        void *map = mmap(NULL, (size_t)b->len, PROT_READ, MAP_SHARED, b->fd, 0);
        if (map == MAP_FAILED)
            return -ENOMEM;
        b->map = map;
    }
    *out_octets = str_make(b->map, (size_t)b->len);
    return 0;
}

void body_reset(struct body *b)
{
    if (b->map)
        (void)munmap(b->map, (size_t)b->len);
    b->map = NULL;
    fd_close(&b->fd);
    b->len = 0;
    b->memory.len = 0;
    if (b->memory.cap > KEPT_BUFFER_BYTES)
        buf_fini(&b->memory);
}

void body_fini(struct body *b)
{
    body_reset(b);
    buf_fini(&b->memory);
}

int body_status(int error)
{
    return error == -ENOSPC || error == -EDQUOT || error == -EFBIG ? 507 : 503;
}
