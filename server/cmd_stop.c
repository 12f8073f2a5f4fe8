/* `remuda stop`: tells the running server to stop, and waits until it has. */
#include <signal.h>
#include <stdio.h>

#include "server/cli.h"
#include "server/ctl.h"

enum { QUICK, NO_WAIT };

static int stop(struct ctl *ctl, bool is_quick, bool waits)
{
    char request[96];
    struct str answer;
    (void)snprintf(request, sizeof request, "{\"request\":\"stop\",\"how\":\"%s\",\"wait\":%s}",
                   is_quick ? "quick" : "graceful", waits ? "true" : "false");
    bool is_signalled;
    int code = ctl_order(ctl, request, is_quick ? SIGQUIT : SIGTERM, &answer, &is_signalled);
    if (code == 0 && waits)
        code = ctl_wait_end(ctl);
    if (code == 0)
        (void)printf(waits ? "stopped (pid %d)\n" : "stopping (pid %d)\n", (int)ctl->server_pid);
    return code;
}

int cmd_stop(int argc, char **argv)
{
    struct merge_option options[] = {
        [QUICK] = {.name = "--quick"}, [NO_WAIT] = {.name = "--no-wait"}, {.name = NULL}};
    struct ctl ctl;
    int code;
    if (ctl_begin(&ctl, "stop", argc, argv, options, 0, &code))
        code = stop(&ctl, options[QUICK].n_given > 0, options[NO_WAIT].n_given == 0);
    ctl_end(&ctl);
    return code;
}
