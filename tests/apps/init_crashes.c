/* init writes where nothing is. */
#include <remuda.h>

#include <signal.h>
#include <stdlib.h>

static int init(void)
{
    (void)raise(SIGSEGV);
    return 0;
}

RMD_APP(.name = "init_crashes", .init = init);
