/* What the server was started with, kept so that a reload reads the same again: command line,
 * environment, working folder and the path of the program. Copies: argv and environ themselves may
 * be changed since. */
#ifndef REMUDA_SERVER_ORIGIN_H
#define REMUDA_SERVER_ORIGIN_H

#include <stdbool.h>

#include "config/merge.h"

struct err;
struct settings;

#define ORIGIN_OPTIONS_MAX 8

struct origin {
    int argc;
    char **argv; /* of the sub-command, as for merge_settings(); own heap */
    char **environment;
    const struct merge_option *options; /* as given; n_given and values are not looked at */
    int folder_fd;
    char *folder;  /* by its name, which an upgrade uses: that may lead to another by then */
    char *program; /* path of the program, as it was started and not as links resolved then */
};

/* Keeps copies.
 * options  of the sub-command, ended by a zeroed one, at most ORIGIN_OPTIONS_MAX; borrowed
 * Returns  0; -errno, *err; then origin_fini() is due all the same */
int origin_init(struct origin *origin, int argc, char **argv, char **environment,
                const struct merge_option *options, struct err *err)
    __attribute__((warn_unused_result));
void origin_fini(struct origin *origin);

/* Reads file, environment and command line again, as the first start did, and checks them as `run`
 * does: relative paths begin where the server was started. When all is well this process is in the
 * folder that `chdir` names, else anywhere.
 * start    the settings of the first start: a file that was read then must still be there
 * running  those that are in force: a file that had settings then must not be without any
 * Returns  0, *out has settings and warnings; -EINVAL, *out has the mistakes. Both times
 *          merge_fini(out) is due
 * Safe     may block: on the file system */
int origin_read(const struct origin *origin, const struct settings *start,
                const struct settings *running, struct merge_result *out)
    __attribute__((warn_unused_result));

#endif
