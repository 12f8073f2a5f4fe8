/* `remuda upgrade`: has the running server start its program anew beside itself, and leave to the
 * new one when that serves; waits for both. */
#include <inttypes.h>
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

/* How it came out; then the old master's end is a moment away. */
static int wait_outcome(struct ctl *ctl)
{
    char text[1024];
    char took[PLAIN_MAX];
    struct str answer;
    int code = ctl_receive(ctl, CTL_FOREVER, &answer);
    if (code != 0)
        return code;
    if (!str_is_equal(json_value_find(answer, "ok"), STR("true"))) {
        (void)fprintf(stderr, "remuda upgrade: refused, pid %d serves on: %s\n",
                      (int)ctl->server_pid,
                      plain_text(text, sizeof text, json_value_find(answer, "error"), PLAIN_ANY));
        return CLI_CONFIG;
    }
    uint64_t pid = number(answer, "pid");
    (void)plain_us(took, number(answer, "ms") * 1000);
    code = ctl_wait_end(ctl);
    if (code == 0)
        (void)printf("upgraded: pid %" PRIu64 " serves, ready after %s; pid %d has ended\n", pid,
                     took, (int)ctl->server_pid);
    return code;
}

static int upgrade(struct ctl *ctl, bool waits)
{
    struct str answer;
    int code = ctl_connect(ctl);
    if (code == 0)
        code = ctl_ask(
            ctl, waits ? "{\"request\":\"upgrade\"}" : "{\"request\":\"upgrade\",\"wait\":false}",
            &answer);
    if (code == 0 && !waits)
        (void)puts("upgrading; the log says how it ends");
    return code != 0 || !waits ? code : wait_outcome(ctl);
}

int cmd_upgrade(int argc, char **argv)
{
    struct merge_option options[] = {[NO_WAIT] = {.name = "--no-wait"}, {.name = NULL}};
    struct ctl ctl;
    int code;
    if (ctl_begin(&ctl, "upgrade", argc, argv, options, 0, &code))
        code = upgrade(&ctl, options[NO_WAIT].n_given == 0);
    ctl_end(&ctl);
    return code;
}
