/* See classes.h. */
#include "tests/harness/classes.h"

#include <stdio.h>

const struct classes_class classes[] = {
    {"event", {"--workers", "1"}, 1},
    {"sync", {"--workers", "1", "--set", "worker_class=sync"}, 2},
    {"single", {"--single"}, 5}, /* the event worker without its master */
};
const size_t classes_n = sizeof classes / sizeof classes[0];

struct server *classes_start(const struct classes_class *class, const char *app)
{
    struct server *s = server_new();
    char unix_bind[256];
    (void)snprintf(unix_bind, sizeof unix_bind, "unix:%s", server_path(s, "socket"));
    const char *args[16] = {"run", app, "--bind", "127.0.0.1:0", "--bind", unix_bind};
    for (size_t i = 0; class->args[i]; i++)
        args[6 + i] = class->args[i];
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    CHECK_EQ(s->n_addresses, 2);
    return s;
}
