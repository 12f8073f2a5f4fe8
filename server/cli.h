/* The command line: a table of sub-commands, each in a file of its own (cmd_<name>.c). */
#ifndef REMUDA_SERVER_CLI_H
#define REMUDA_SERVER_CLI_H

#include <stdio.h>

/* Exit codes of `remuda`, all of them. */
enum cli_exit {
    CLI_OK = 0,      /* done, or stopped as asked */
    CLI_CONFIG = 1,  /* invalid configuration or app; `call`: answered 400 or above; commands to a
                        running server: it refused, or the order failed */
    CLI_USAGE = 2,   /* wrong arguments */
    CLI_BIND = 3,    /* cannot listen */
    CLI_NO_BOOT = 4, /* workers cannot boot */
    CLI_NOBODY = 5,  /* no server is running that could be asked */
};

/* What main() does. Returns an exit code. */
int cli_main(int argc, char **argv);

/* Prints how one sub-command is used. name must be in the table. */
void cli_print_help(const char *name, FILE *to);

/* Says that an argument is one too many and where help is. Returns CLI_USAGE */
int cli_refuse_argument(const char *name, const char *argument);

/* The sub-commands. argv[0] is the sub-command's name. Return an exit code. */
int cmd_call(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_reopen(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_routes(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_scale(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_upgrade(int argc, char **argv);
int cmd_version(int argc, char **argv);

/* Everything that `check` finds and `run` refuses besides what merge_settings() told: files that
 * are not there, formats that can't be compiled. Sorts the mistakes. */
struct settings;
struct mistakes;
void cmd_check_settings(const struct settings *settings, struct mistakes *mistakes);

#endif
