/* YAML in, a tree of scalars, lists and maps with their places out. Knows YAML and what we allow of
 * it, but no setting (config/merge.c does).
 *
 * Allowed is what people write by hand: one document, a map at its top, scalars plain or quoted.
 * Refused: anchors, aliases and tags (a file of settings is to be read, not evaluated), the same
 * key twice, keys that are no scalars, more than LOAD_DEPTH_MAX levels. Variables in scalars are
 * expanded here (config/expand.h), and below app_config a key NAME_file, where NAME is a secret's,
 * becomes NAME with what the file holds. */
#ifndef REMUDA_CONFIG_LOAD_H
#define REMUDA_CONFIG_LOAD_H

#include "base/arena.h"
#include "base/str.h"
#include "config/mistakes.h"
#include "config/settings.h"

#define LOAD_FILE_MAX (1U << 20)    /* bytes of a configuration file */
#define LOAD_SECRET_MAX (64U << 10) /* bytes of a file that NAME_file names */
#define LOAD_DEPTH_MAX 32           /* levels of maps and lists */
#define LOAD_NODES_MAX 10000        /* values in a file; keeps looking for equal keys cheap */

/* A mistake only where a server runs by what the file said before; %s: its path. */
#define LOAD_EMPTY "%s: the file is empty: is it half written? A reload needs a setting in it"

/* Reads a file.
 * arena        gets the tree; the caller's
 * environment  for ${VAR}; NULL: empty
 * mistakes     gets a line for everything that is wrong, "path:line:column: key: …"
 * out_root     a map, never NULL: what could be read also when something was wrong, empty when
 *              nothing could
 * Returns      0, also with mistakes in the text; -errno when the file cannot be read (told in
 *              mistakes too, as "path: …"); -ENOMEM */
int load_file(struct arena *arena, const char *path, char *const *environment,
              struct mistakes *mistakes, const struct settings_node **out_root)
    __attribute__((warn_unused_result));

/* The same for a server that runs already: nothing but a regular file is read, so that nobody who
 * waits for a writer holds it up, and one without a single byte is a mistake. The same goes for the
 * files of secrets. */
int load_file_again(struct arena *arena, const char *path, char *const *environment,
                    struct mistakes *mistakes, const struct settings_node **out_root)
    __attribute__((warn_unused_result));

/* The same as load_file() for text that is already there; name stands for the path.
 * Returns  0; -ENOMEM */
int load_text(struct arena *arena, const char *name, struct str text, char *const *environment,
              struct mistakes *mistakes, const struct settings_node **out_root)
    __attribute__((warn_unused_result));

/* libyaml's version, such as "0.2.5". */
const char *load_yaml_version(void);

#endif
