/* From a command line to settings: defaults < file < environment < command line. Every
 * sub-command that needs settings calls merge_settings() with its argc and argv, so that all of
 * them understand the same things:
 *
 *   -c FILE, --config FILE      the file; else REMUDA_CONFIG; else ./remuda.yaml if it exists
 *   --set KEY=VALUE             any setting; app_config.a.b=VALUE sets a scalar of the tree
 *   --NAME VALUE, --NAME=VALUE  any setting, `_` written `-`; --NAME, --no-NAME for truth values
 *   -b ADDR, -w N               short forms of the table; --bind repeats and replaces the file's
 *   -e NAME=VALUE, --env …      a member of a map that has a short form
 *   -h, --help                  is_help_wanted
 *   --                          everything behind it is an argument
 *   APP.so                      the first argument that ends in .so is the setting `app`
 *
 * and the options of their own that they pass in. Typical use:
 *
 *   struct merge_option options[] = {{.name = "--single"}, {0}};
 *   struct merge_result r;
 *   if (merge_settings(&(struct merge_input){argc, argv, environ, options, NULL}, &r) < 0) {
 *       merge_print(&r, stderr);           (every mistake and warning, a line each)
 *       int code = r.exit_code;            (1 configuration, 2 usage)
 *       merge_fini(&r);
 *       return code;
 *   }
 *   … r.settings …; a master that outlives this takes them: s = merge_take_settings(&r)
 *
 * For a reload call it again with the same argc and argv: nothing of argv is changed. */
#ifndef REMUDA_CONFIG_MERGE_H
#define REMUDA_CONFIG_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config/mistakes.h"
#include "config/settings.h"

struct machine;

#define MERGE_VALUES_MAX 32 /* how often an option with a value may be repeated */

/* An option of one sub-command, beside those that all share. */
struct merge_option {
    const char *name; /* with dashes: "--single"; NULL ends the table */
    char letter;      /* 'd' for -d; 0: none. Not b, c, e, h, w: these are everyone's */
    bool takes_value; /* --name VALUE, --name=VALUE, -d VALUE */

    unsigned n_given;                     /* filled: how often it was there, 0: not */
    const char *values[MERGE_VALUES_MAX]; /* filled: n_given of them, borrowed from argv */
};

struct merge_input {
    int argc;
    char **argv;                   /* argv[0] is the sub-command's name and is not looked at */
    char **environment;            /* NAME=VALUE …, ended by NULL; NULL: none */
    struct merge_option *options;  /* ended by a zeroed one; NULL: none */
    const struct machine *machine; /* NULL: this one (tests bring their own) */
    bool is_again;       /* a server runs already: see load_file_again() in config/load.h */
    bool keeps_settings; /* there are settings also after mistakes in the file or the environment:
                            what was refused has the value of the layer below */
};

struct merge_result {
    struct settings *settings; /* NULL after a mistake, but see keeps_settings */
    struct mistakes mistakes;  /* empty on success */
    struct mistakes warnings;  /* may be there on success */
    const char **rest;         /* arguments that are no option and not the app, from argv */
    size_t n_rest;
    const char *config_path; /* file that was read or looked for; NULL: none. Borrowed from argv,
                                environment or static */
    bool is_help_wanted;     /* -h: nothing was read, settings is NULL, merge_settings() gives 0 */
    int exit_code;           /* what to exit with after a mistake: 1 configuration, 2 usage */
};

/* Reads everything and resolves `auto`. Warnings are mistakes when the setting `strict` is on.
 * Returns  0; -EINVAL mistakes, all of them in out->mistakes; -ENOMEM (also told in mistakes).
 *          *out is filled in every case and needs merge_fini()
 * Safe     threads: no · may block: on the file system */
int merge_settings(const struct merge_input *in, struct merge_result *out)
    __attribute__((warn_unused_result));

/* The settings become the caller's (settings_free()). NULL when there are none. */
struct settings *merge_take_settings(struct merge_result *r);

/* Prints every mistake, then every warning behind "warning: ". */
void merge_print(const struct merge_result *r, FILE *to);

void merge_fini(struct merge_result *r);

#endif
