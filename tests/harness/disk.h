/* A disk of 64 KiB that only a server of the test sees: a tmpfs in a mount namespace of its own,
 * for root or a user who may make one (user_namespaces(7)). */
#ifndef REMUDA_TESTS_HARNESS_DISK_H
#define REMUDA_TESTS_HARNESS_DISK_H

#include <stddef.h>
#include <sys/types.h>

#define DISK_BYTES (64 * 1024)

/* For server_options.prepare: mounts it on the folder that arg names. Ends the process with 99 when
 * the machine does not allow that. */
void disk_mount_small(void *folder);

/* Skips the test where the machine does not allow it; in CI, fails it. */
void disk_must_be_possible(void);

/* A path of a folder as the process sees it, for who has another view. Returns out */
const char *disk_path_of(pid_t pid, const char *path, char *out, size_t cap);

#endif
