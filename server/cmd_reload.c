/* `remuda reload`: has the running server build a new generation, and waits for how that ends. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "base/json_value.h"
#include "server/cli.h"
#include "server/ctl.h"
#include "server/plain.h"

enum { NO_WAIT };

static uint64_t number(struct str answer, const char *name)
{
    uint64_t n;
    return json_value_u64(json_value_find(answer, name), UINT64_MAX, &n) == 0 ? n : 0;
}

static int tell(struct str answer)
{
    char text[1024];
    uint64_t generation = number(answer, "generation");
    if (str_is_equal(json_value_find(answer, "ok"), STR("true"))) {
        (void)printf("reloaded: generation %" PRIu64 " serves, after %s\n", generation,
                     plain_us(text, number(answer, "ms") * 1000));
        return CLI_OK;
    }
    (void)fprintf(stderr, "remuda reload: refused, generation %" PRIu64 " serves on: %s\n",
                  generation,
                  plain_text(text, sizeof text, json_value_find(answer, "error"), PLAIN_ANY));
    return CLI_CONFIG;
}

static int reload(struct ctl *ctl, bool waits)
{
    struct str answer;
    bool is_signalled;
    int code = ctl_order(
        ctl, waits ? "{\"request\":\"reload\"}" : "{\"request\":\"reload\",\"wait\":false}", SIGHUP,
        &answer, &is_signalled);
    if (is_signalled)
        return code;
    if (code == 0 && !waits)
        (void)puts("reloading; `remuda status` says how it ends");
    if (code != 0 || !waits)
        return code;
    code = ctl_receive(ctl, CTL_FOREVER, &answer);
    return code == 0 ? tell(answer) : code;
}

int cmd_reload(int argc, char **argv)
{
    struct merge_option options[] = {[NO_WAIT] = {.name = "--no-wait"}, {.name = NULL}};
    struct ctl ctl;
    int code;
    if (ctl_begin(&ctl, "reload", argc, argv, options, 0, &code))
        code = reload(&ctl, options[NO_WAIT].n_given == 0);
    ctl_end(&ctl);
    return code;
}
