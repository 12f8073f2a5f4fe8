/* A command line, taken apart: which settings it gives, which options of the sub-command, what is
 * left. Says nothing about values. See config/merge.h for what is understood. */
#ifndef REMUDA_CONFIG_ARGUMENTS_H
#define REMUDA_CONFIG_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "config/merge.h"
#include "config/mistakes.h"
#include "config/schema.h"

/* One setting as the command line gives it. */
struct argument {
    const struct setting_spec *spec;
    const char *flag;  /* as written: "--workers", "-w", "--set workers", "APP.so" */
    const char *value; /* as written, never NULL */
    const char *path;  /* below a TREE, "db.url"; NULL: the setting itself */
};

struct arguments {
    struct argument *items; /* n of them, in the order written */
    size_t n;
    const char **rest; /* what is neither */
    size_t n_rest;
    const char *config_path; /* of -c, the last one; NULL: none */
    const char *config_flag; /* "-c" or "--config" */
    bool is_help_wanted;
};

/* Takes argv apart and fills in->options. Everything but flag texts is borrowed from argv.
 * mistakes  gets what has the wrong form: unknown options, values missing
 * Returns   0, also with mistakes; -ENOMEM */
int arguments_parse(struct arena *arena, const struct merge_input *in, struct mistakes *mistakes,
                    struct arguments *out) __attribute__((warn_unused_result));

#endif
