/* `remuda reopen`: has the running server open its log files anew. */
#include <stdio.h>

#include "server/cli.h"
#include "server/ctl.h"

int cmd_reopen(int argc, char **argv)
{
    struct ctl ctl;
    struct str answer;
    int code;
    if (ctl_begin(&ctl, "reopen", argc, argv, NULL, 0, &code)) {
        code = ctl_connect(&ctl);
        if (code == 0)
            code = ctl_ask(&ctl, "{\"request\":\"reopen\"}", &answer);
        if (code == 0)
            (void)puts("log files are opened anew; the server's log says when everyone has them");
    }
    ctl_end(&ctl);
    return code;
}
