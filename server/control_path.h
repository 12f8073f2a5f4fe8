/* Where the control socket lies: the same answer for the server, which makes it, and for the
 * commands, which look for it. */
#ifndef REMUDA_SERVER_CONTROL_PATH_H
#define REMUDA_SERVER_CONTROL_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

struct err;
struct settings;

#define CONTROL_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)
#define CONTROL_PATH_PLACES 3

struct control_path {
    bool is_off;      /* `control_socket: off` */
    bool is_explicit; /* the setting names it: one place only */
    size_t n;         /* places, in the order in which they are tried */
    char places[CONTROL_PATH_PLACES][CONTROL_PATH_MAX];
    char folders[CONTROL_PATH_PLACES][CONTROL_PATH_MAX]; /* of the places; "" when explicit */
};

/* Works out the places from `control_socket`. For auto the name of the socket comes from the
 * configuration file, or from the present folder where there is none: so call it before chdir.
 * Relative paths that the setting names are meant from `chdir` on, and are kept as they are.
 * Returns  0; -ENAMETOOLONG, *err; -errno, *err: the file or the folder has no real path */
int control_path_find(const struct settings *settings, struct control_path *out, struct err *err)
    __attribute__((warn_unused_result));

/* Whether others than its owner and root could put something into a folder.
 * Returns  NULL when they could not; else why it is not to be trusted: static text */
const char *control_path_distrust(const char *folder);

/* For servers: makes the first of the folders that can be made and trusted.
 * Returns  the place within it, of *path; NULL, *err tells about the last one */
const char *control_path_prepare(const struct control_path *path, struct err *err);

#endif
