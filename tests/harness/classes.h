/* The worker classes there are, for tests that hold for each of them. A class that is added to the
 * table gets all of these tests. */
#ifndef REMUDA_TESTS_HARNESS_CLASSES_H
#define REMUDA_TESTS_HARNESS_CLASSES_H

#include <stddef.h>

#include "tests/harness/server.h"

struct classes_class {
    const char *name;
    const char *args[8]; /* of `remuda run`, NULL-terminated */
    unsigned thinned;    /* tests that try very many things try so many times fewer; ≥ 1 */
};

extern const struct classes_class classes[];
extern const size_t classes_n;

/* Serves an app with one worker of a class, on TCP (address 0) and on a unix socket (address 1),
 * and waits until it is ready. Never returns NULL. */
struct server *classes_start(const struct classes_class *class, const char *app);

#endif
