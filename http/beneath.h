/* Opening files beneath a folder, whatever the path says: no "..", no link and no mount trick leads
 * out of it. */
#ifndef REMUDA_HTTP_BENEATH_H
#define REMUDA_HTTP_BENEATH_H

#include <stdbool.h>

/* Opens for reading. Does not wait for the other end of a FIFO, and makes no terminal ours.
 * root_fd       a folder; O_PATH is enough
 * path          relative, without empty, "." and ".." segments, which the caller refuses; "." alone
 *               is the folder itself
 * is_following  symbolic links are followed as long as they lead to something beneath root_fd
 *               (openat2(2), Linux 5.6). Where there is no openat2, because of the kernel or of a
 *               seccomp filter, none is followed
 * Returns       0, *out_fd belongs to the caller; -errno as openat2(2): -EXDEV a link that leads
 *               out, -ELOOP a link that is not followed */
int beneath_open(int root_fd, const char *path, bool is_following, int *out_fd)
    __attribute__((warn_unused_result));

/* The way without openat2: folder by folder, following nothing. -ELOOP or -ENOTDIR for a link. */
int beneath_walk(int root_fd, const char *path, int *out_fd) __attribute__((warn_unused_result));

#endif
