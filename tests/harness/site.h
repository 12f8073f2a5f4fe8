/* A folder of files for tests of static files, in a server's own folder, with something outside of
 * it that nobody may get. */
#ifndef REMUDA_TESTS_HARNESS_SITE_H
#define REMUDA_TESTS_HARNESS_SITE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/harness/server.h"

#define SITE_SECRET "what lies outside\n" /* all that is in "secret", beside "public" */

/* Makes the folder "public" of a server that is not started yet: hello.txt ("hello"),
 * sub/index.html ("<p>sub"), bare/ (empty), "a b&c.txt" ("blank"), .env and .git/config
 * (SITE_SECRET), in (a link to hello.txt), out and away (links to secret and to the folder that
 * public is in), fifo. */
struct server *site_new(void);

/* Serves it with an app (its .so), one worker, access log off. The mount is "public" at /files/, by
 * the flag; or as a text of YAML says, in which $ stands for the server's folder.
 * yaml  of the whole file; NULL: the flag */
void site_launch(struct server *s, const char *app, const char *yaml);

/* Whether symbolic links that stay inside can be followed here: that takes openat2(2), which
 * valgrind and kernels before 5.6 do not have (docs/static.md). */
bool site_follows_links(void);

/* Writes a file into "public", beneath it. */
void site_write(const struct server *s, const char *name, const void *data, size_t len);

#endif
