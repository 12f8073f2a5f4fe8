/* `remuda scale`: more or fewer workers in the running server. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/json_value.h"
#include "config/value.h"
#include "server/cli.h"
#include "server/control_request.h"
#include "server/ctl.h"

/* "workers=4", "workers=+1", or without the name. Returns NULL: it is neither */
static const char *read_wish(const char *argument, bool *out_is_relative, int *out_workers)
{
    static const char name[] = "workers=";
    const char *text =
        strncmp(argument, name, sizeof name - 1) == 0 ? argument + sizeof name - 1 : argument;
    return control_request_parse_workers(str_of(text), out_is_relative, out_workers) == 0 ? text
                                                                                          : NULL;
}

/* given  NULL: nothing */
static int refuse(const char *given)
{
    char quoted[VALUE_QUOTE_MAX];
    (void)fprintf(stderr,
                  "remuda scale: %s%s workers=N from 1 to 512, workers=+N or workers=-N; of a "
                  "compute pool: pool NAME and the same\n",
                  given ? value_quote(quoted, str_of(given)) : "to how many?",
                  given ? " is no number of workers; allowed:" : "");
    return CLI_USAGE;
}

/* Names of pools are letters, digits, _ and -: anything else is nobody's, and would need quotes. */
static bool is_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len < 32 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len;
}

static int scale(struct ctl *ctl)
{
    char request[160];
    char member[64] = "";
    struct str answer;
    uint64_t workers;
    bool is_relative, is_signalled;
    int n;
    bool is_pool = ctl->merge.n_rest > 0 && strcmp(ctl->merge.rest[0], "pool") == 0;
    const char *pool = is_pool && ctl->merge.n_rest > 1 ? ctl->merge.rest[1] : "";
    size_t at = is_pool ? 2 : 0;
    const char *text =
        ctl->merge.n_rest == at + 1 ? read_wish(ctl->merge.rest[at], &is_relative, &n) : NULL;
    if (!text)
        return refuse(ctl->merge.n_rest > at ? ctl->merge.rest[ctl->merge.n_rest - 1] : NULL);
    if (is_pool && !is_name(pool)) {
        (void)fprintf(stderr, "remuda scale: there can be no pool of that name; allowed: up to 31 "
                              "letters, digits, _ and -\n");
        return CLI_USAGE;
    }
    if (is_pool)
        (void)snprintf(member, sizeof member, ",\"pool\":\"%s\"", pool);
    (void)snprintf(request, sizeof request, "{\"request\":\"scale\",\"workers\":\"%s\"%s}", text,
                   member);
    /* A signal adds or takes one. */
    int number = is_pool                  ? 0
                 : is_relative && n == 1  ? SIGTTIN
                 : is_relative && n == -1 ? SIGTTOU
                                          : 0;
    int code = ctl_order(ctl, request, number, &answer, &is_signalled);
    if (code != 0 || is_signalled)
        return code;
    if (json_value_u64(json_value_find(answer, "workers"), UINT64_MAX, &workers) == 0)
        (void)printf("%s%s%sworkers: %" PRIu64 "\n", is_pool ? "pool " : "", pool,
                     is_pool ? " " : "", workers);
    return CLI_OK;
}

/* "-2" looks like an option to those who read the command line. */
static void name_wish(int argc, char **argv)
{
    static char named[32];
    bool is_relative;
    int n;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' ||
            control_request_parse_workers(str_of(argv[i]), &is_relative, &n) < 0)
            continue;
        (void)snprintf(named, sizeof named, "workers=%d", n);
        argv[i] = named;
        return;
    }
}

int cmd_scale(int argc, char **argv)
{
    struct ctl ctl;
    int code;
    name_wish(argc, argv);
    if (ctl_begin(&ctl, "scale", argc, argv, NULL, 3, &code))
        code = scale(&ctl);
    ctl_end(&ctl);
    return code;
}
