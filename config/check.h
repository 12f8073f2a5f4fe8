/* Rules about several settings at once, and about the files that they name. Single values were
 * checked when they were read (config/value.h). */
#ifndef REMUDA_CONFIG_CHECK_H
#define REMUDA_CONFIG_CHECK_H

#include "config/mistakes.h"
#include "config/settings.h"

/* Adds "place: key: what is wrong" for one setting. The place is that of its source: file, line
 * and column, or the variable, or the flag; a default's is just the key. */
void check_complain(const struct settings *s, enum setting_id id, struct mistakes *m,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Settings that contradict each other go to mistakes, settings that have no effect to warnings.
 * Each line names both keys and stands where the later of them was given. Settings whose value
 * was refused are left out. Pure. */
void check_settings(const struct settings *s, struct mistakes *mistakes, struct mistakes *warnings);

/* Files and folders: that `chdir` is a folder, that the app can be read, that logs and unix
 * sockets have a folder to be in, that mounted folders exist. Relative paths are taken from
 * `chdir`.
 * Safe  may block: on the file system */
void check_files(const struct settings *s, struct mistakes *mistakes);

#endif
