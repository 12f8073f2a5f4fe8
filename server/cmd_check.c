/* `remuda check`: reads everything that `remuda run` would read, tells every mistake, starts
 * nothing. Does not load the app (this folder never does), but sees that it can be read. */
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "config/check.h"
#include "config/merge.h"
#include "server/cli.h"
#include "server/pools.h"
#include "workers/loader.h"

void cmd_check_settings(const struct settings *settings, struct mistakes *mistakes)
{
    struct err err;
    check_files(settings, mistakes);
    if (loader_check_format(settings, &err) < 0)
        check_complain(settings, SETTING_ID_access_log_format, mistakes, "%s", err.text);
    mistakes_sort(mistakes);
}

static int check(struct merge_result *r)
{
    if (r->is_help_wanted) {
        cli_print_help("check", stdout);
        return CLI_OK;
    }
    if (r->n_rest > 0)
        return cli_refuse_argument("check", r->rest[0]);
    cmd_check_settings(r->settings, &r->mistakes);
    pools_check_queues(r->settings, &r->warnings);
    if (!r->settings->app)
        mistakes_add(&r->warnings, "app: no app is named; set app, or give APP.so to `remuda run`");
    merge_print(r, stderr);
    if (!mistakes_is_empty(&r->mistakes))
        return CLI_CONFIG;
    (void)printf("%s: ok\n", r->config_path ? r->config_path : "configuration");
    return CLI_OK;
}

int cmd_check(int argc, char **argv)
{
    struct merge_input in = {.argc = argc, .argv = argv, .environment = environ};
    struct merge_result r;
    int code;
    if (merge_settings(&in, &r) < 0) {
        merge_print(&r, stderr);
        code = r.exit_code;
    } else {
        code = check(&r);
    }
    merge_fini(&r);
    return code;
}
