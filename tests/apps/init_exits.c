/* init ends the process as if all were well. */
#include <remuda.h>

#include <stdlib.h>

static int init(void)
{
    exit(0);
}

RMD_APP(.name = "init_exits", .init = init);
