/* `remuda scale`: more or fewer web workers in the running server. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/json_value.h"
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

static int scale(struct ctl *ctl)
{
    char request[96];
    struct str answer;
    uint64_t workers;
    bool is_relative, is_signalled;
    int n;
    const char *text =
        ctl->merge.n_rest > 0 ? read_wish(ctl->merge.rest[0], &is_relative, &n) : NULL;
    if (!text) {
        (void)fprintf(
            stderr,
            "remuda scale: to how many? workers=N from 1 to 512, workers=+N or workers=-N\n");
        return CLI_USAGE;
    }
    (void)snprintf(request, sizeof request, "{\"request\":\"scale\",\"workers\":\"%s\"}", text);
    /* A signal adds or takes one. */
    int number = is_relative && n == 1 ? SIGTTIN : is_relative && n == -1 ? SIGTTOU : 0;
    int code = ctl_order(ctl, request, number, &answer, &is_signalled);
    if (code != 0 || is_signalled)
        return code;
    if (json_value_u64(json_value_find(answer, "workers"), UINT64_MAX, &workers) == 0)
        (void)printf("workers: %" PRIu64 "\n", workers);
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
    if (ctl_begin(&ctl, "scale", argc, argv, NULL, 1, &code))
        code = scale(&ctl);
    ctl_end(&ctl);
    return code;
}
