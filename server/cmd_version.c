/* `remuda version`: what this is made of. */
#include <stdio.h>

#include "config/load.h"
#include "server/cli.h"
#include "workers/loader.h"

int cmd_version(int argc, char **argv)
{
    if (argc > 1) {
        if (argv[1][0] != '-')
            return cli_refuse_argument("version", argv[1]);
        cli_print_help("version", stdout);
        return CLI_OK;
    }
    (void)printf("remuda " REMUDA_VERSION " (" REMUDA_BUILD_TYPE ")\n");
    if (sizeof REMUDA_SANITIZE > 1)
        (void)printf("sanitizers " REMUDA_SANITIZE "\n");
    loader_print_versions(stdout);
    (void)printf("libyaml %s\n", load_yaml_version());
    return CLI_OK;
}
