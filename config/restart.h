/* What a reload can't change: settings that take a restart keep the value of the start. */
#ifndef REMUDA_CONFIG_RESTART_H
#define REMUDA_CONFIG_RESTART_H

#include <stddef.h>

#include "config/settings.h"

#define RESTART_NAMES_MAX 512

/* Puts what `start` says into every setting of `next` that takes effect at a start only.
 * start      lives as long as next: texts and trees of it are borrowed
 * out_names  names of those that differed, "user, umask"; "" none. At least RESTART_NAMES_MAX bytes
 * Returns    how many differed */
size_t restart_keep(struct settings *next, const struct settings *start,
                    char out_names[RESTART_NAMES_MAX]);

#endif
