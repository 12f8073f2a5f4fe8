/* `remuda routes`: loads the app, without its init, and lists what it answers. With --live it asks
 * the running server instead (server/routes_live.c). */
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "config/merge.h"
#include "server/cli.h"
#include "server/routes_live.h"
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

/* What only a running server can be asked. */
static int refuse_live(const struct merge_option *options)
{
    for (const struct merge_option *o = options; o->name; o++)
        if (o->n_given > 0) {
            (void)fprintf(stderr, "remuda routes: %s needs --live\n", o->name);
            return CLI_USAGE;
        }
    return CLI_OK;
}

int cmd_routes(int argc, char **argv)
{
    if (routes_live_is_asked(argc, argv))
        return routes_live_run(argc, argv);
    struct merge_option live[] = {
        {.name = "--json"}, {.name = "--interval", .takes_value = true}, {.name = NULL}};
    struct merge_input in = {.argc = argc, .argv = argv, .environment = environ, .options = live};
    struct merge_result r;
    int code;
    if (merge_settings(&in, &r) < 0) {
        merge_print(&r, stderr);
        code = r.exit_code;
    } else {
        code = refuse_live(live);
        if (code == CLI_OK)
            code = print_routes(&r);
    }
    merge_fini(&r);
    return code;
}
