/* `remuda reopen`: has the running server open its log files anew. */
#include <signal.h>
#include <stdio.h>

#include "server/cli.h"
#include "server/ctl.h"

int cmd_reopen(int argc, char **argv)
{
    struct ctl ctl;
    struct str answer;
    bool is_signalled;
    int code;
    if (ctl_begin(&ctl, "reopen", argc, argv, NULL, 0, &code)) {
        code = ctl_order(&ctl, "{\"request\":\"reopen\"}", SIGUSR1, &answer, &is_signalled);
        if (code == 0 && !is_signalled)
            (void)puts("log files are opened anew; the server's log says when everyone has them");
    }
    ctl_end(&ctl);
    return code;
}
