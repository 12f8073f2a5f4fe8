/* Needs a function that nobody has. */
#include <remuda.h>

int function_that_nobody_has(void);

static int init(void)
{
    return function_that_nobody_has();
}

RMD_APP(.name = "unresolved", .init = init);
