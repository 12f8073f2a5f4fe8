/* `remuda routes --live`: what the routes of the running server do, again and again. */
#ifndef REMUDA_SERVER_ROUTES_LIVE_H
#define REMUDA_SERVER_ROUTES_LIVE_H

#include <stdbool.h>

/* Is it that which the command line asks for? */
bool routes_live_is_asked(int argc, char **argv);

/* Returns  an exit code */
int routes_live_run(int argc, char **argv);

#endif
