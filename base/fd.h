/* File descriptors: born close-on-exec, closed by who opened them, passed over unix sockets. */
#ifndef REMUDA_BASE_FD_H
#define REMUDA_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

#define FD_PASS_MAX 4 /* descriptors in one message; more were never needed */

/* Closes *fd when it is open and sets it to -1. Safe in signal handlers. */
void fd_close(int *fd);

/* Returns 0; -errno */
int fd_set_nonblock(int fd, bool is_on) __attribute__((warn_unused_result));

/* Writes everything, waiting as long as it takes (plain files, start-up output).
 * Returns 0; -errno */
int fd_write_all(int fd, const void *data, size_t len) __attribute__((warn_unused_result));

/* Opens the same file once more, for reading alone: whoever gets that descriptor, or a mapping by
 * it, can't change what is in it. Takes /proc.
 * Returns  the descriptor; -errno */
int fd_reopen_to_read(int fd) __attribute__((warn_unused_result));

/* Reads a whole file of at most max_bytes into a NUL-terminated heap string, to be freed.
 * Returns 0; -errno; -EFBIG when it is larger */
int fd_read_file(const char *path, size_t max_bytes, char **out_text, size_t *out_len)
    __attribute__((warn_unused_result));

/* The same of a regular file only, for who must not wait for a writer.
 * Returns 0; -errno; -EFBIG; -EISDIR; -ESPIPE when it is a pipe, a socket or a device */
int fd_read_regular(const char *path, size_t max_bytes, char **out_text, size_t *out_len)
    __attribute__((warn_unused_result));

/* Copies a file into an anonymous one whose bytes can never change again (memfd_create(2) with all
 * seals), executable, so that it can be loaded.
 * name     shows in /proc/PID/maps
 * Returns  0; -errno, *err says which step */
int fd_copy_sealed(const char *path, const char *name, int *out_fd, struct err *err)
    __attribute__((warn_unused_result));

/* Sends one datagram with n_fds descriptors (SCM_RIGHTS), never waiting.
 * n_fds    0 … FD_PASS_MAX; the caller keeps its own copies
 * Returns  0; -EAGAIN the peer's queue is full; -EPIPE nobody there; another -errno */
int fd_send(int socket_fd, const void *data, size_t len, const int *fds, size_t n_fds)
    __attribute__((warn_unused_result));

/* Receives one datagram, never waiting. Descriptors arrive close-on-exec and belong to the caller;
 * a message with more than FD_PASS_MAX, or cut by cap, is refused and its descriptors are closed. A
 * message whose descriptors this process may not have is not lost for that, only they are.
 * Returns  bytes, ≥ 1; 0 the peer is gone; -EAGAIN nothing there; -EMSGSIZE; -EMFILE exactly cap
 *          bytes are in data, without the descriptors that came with them; another -errno */
ssize_t fd_receive(int socket_fd, void *data, size_t cap, int fds[FD_PASS_MAX], size_t *out_n_fds)
    __attribute__((warn_unused_result));

/* Likewise, and whose it is, as the kernel says. The socket has SO_PASSCRED on.
 * out_pid        the sender's; 0 unknown. Also set for a message that is refused
 * out_is_bereft  it came with descriptors that this process may not have (EMFILE): there are none
 * Returns        as fd_receive(), but never -EMFILE */
ssize_t fd_receive_from(int socket_fd, void *data, size_t cap, int fds[FD_PASS_MAX],
                        size_t *out_n_fds, pid_t *out_pid, bool *out_is_bereft)
    __attribute__((warn_unused_result));

/* May this process open another descriptor? Asks the kernel by opening one. */
bool fd_has_room(void);

/* The lowest number that is free, which is the one that the kernel gives next: as many descriptors
 * are open at least.
 * fd       any that is open
 * Returns  0 …; INT_MAX none is free; 0 also when fd is not open */
int fd_lowest_free(int fd);

#endif
