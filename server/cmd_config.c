/* `remuda config`: what settings hold, where they came from, what there is. Prints to standard
 * output; starts nothing and does not load the app. */
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/merge.h"
#include "config/reference.h"
#include "config/render.h"
#include "server/cli.h"

enum { WHY, DEFAULTS, REFERENCE };

/* Returns CLI_OK; CLI_CONFIG when there was no memory for it or nobody to read it */
static int print_page(struct buf *page, int rc)
{
    bool is_printed =
        rc == 0 && fwrite(page->data, 1, page->len, stdout) == page->len && fflush(stdout) == 0;
    if (rc < 0)
        (void)fprintf(stderr, "remuda config: out of memory\n");
    buf_fini(page);
    return is_printed ? CLI_OK : CLI_CONFIG;
}

static int print_settings(const struct merge_result *r, const struct merge_option *options)
{
    struct buf page = {0};
    if (r->is_help_wanted) {
        cli_print_help("config", stdout);
        return CLI_OK;
    }
    if (r->n_rest > 0)
        return cli_refuse_argument("config", r->rest[0]);
    mistakes_print(&r->warnings, "warning: ", stderr);
    return print_page(&page, render_settings(&page, r->settings, options[WHY].n_given > 0));
}

int cmd_config(int argc, char **argv)
{
    struct merge_option options[] = {
        [WHY] = {.name = "--why"},
        [DEFAULTS] = {.name = "--defaults"},
        [REFERENCE] = {.name = "--reference"},
        {.name = NULL},
    };
    struct merge_input in = {
        .argc = argc, .argv = argv, .environment = environ, .options = options};
    struct merge_result r;
    struct buf page = {0};
    int code;
    int rc = merge_settings(&in, &r);
    /* These two say what there is, not what holds here: a broken file is no reason to refuse. */
    if (r.exit_code != CLI_USAGE && !r.is_help_wanted && options[REFERENCE].n_given > 0) {
        code = print_page(&page, reference_render(&page));
    } else if (r.exit_code != CLI_USAGE && !r.is_help_wanted && options[DEFAULTS].n_given > 0) {
        code = print_page(&page, render_defaults(&page));
    } else if (rc < 0) {
        merge_print(&r, stderr);
        code = r.exit_code;
    } else {
        code = print_settings(&r, options);
    }
    merge_fini(&r);
    return code;
}
