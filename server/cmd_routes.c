/* `remuda routes`: loads the app, without its init, and lists what it answers. */
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "config/merge.h"
#include "server/cli.h"
#include "workers/loader.h"

static int print_routes(const struct merge_result *r)
{
    struct err err;
    if (r->is_help_wanted) {
        cli_print_help("routes", stdout);
        return CLI_OK;
    }
    if (r->n_rest > 0)
        return cli_refuse_argument("routes", r->rest[0]);
    if (!r->settings->app) {
        (void)fprintf(stderr, "remuda routes: which app? remuda routes ./app.so\n");
        return CLI_USAGE;
    }
    if (loader_print_routes(r->settings, stdout, &err) < 0) {
        (void)fprintf(stderr, "remuda routes: %s\n", err.text);
        return CLI_CONFIG;
    }
    return CLI_OK;
}

int cmd_routes(int argc, char **argv)
{
    struct merge_input in = {.argc = argc, .argv = argv, .environment = environ};
    struct merge_result r;
    int code;
    if (merge_settings(&in, &r) < 0) {
        merge_print(&r, stderr);
        code = r.exit_code;
    } else {
        code = print_routes(&r);
    }
    merge_fini(&r);
    return code;
}
