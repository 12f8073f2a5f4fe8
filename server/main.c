/* Where the process begins. */
#include <signal.h>

#include "base/title.h"
#include "server/cli.h"

int main(int argc, char **argv)
{
    argv = title_take(argc, argv);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow (ulimit -f): write(2) says so */
    return cli_main(argc, argv);
}
