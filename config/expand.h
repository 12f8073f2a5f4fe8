/* Variables of the environment inside values: ${NAME}, ${NAME:-what to take when it is unset or
 * empty}, $$ for a dollar. A dollar before anything else is just a dollar. */
#ifndef REMUDA_CONFIG_EXPAND_H
#define REMUDA_CONFIG_EXPAND_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

struct err;

/* The value of a variable. environment: NAME=VALUE …, ended by NULL; NULL: empty.
 * Returns  borrowed text; NULL when there is none */
const char *expand_find_variable(char *const *environment, struct str name);

/* Expands a value.
 * out_text       NUL-terminated, in the arena
 * out_is_secret  set to true (never to false) when a variable whose name says so was used
 * Returns        0; -EINVAL, *err says what is wrong; -ENOMEM */
int expand_text(struct arena *arena, struct str text, char *const *environment,
                struct str *out_text, bool *out_is_secret, struct err *err)
    __attribute__((warn_unused_result));

#endif
