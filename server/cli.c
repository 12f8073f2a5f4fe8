/* THE table of sub-commands, with the text of their help. Only this file prints usage, so all
 * commands explain themselves alike; what each does is in cmd_<name>.c. */
#include "server/cli.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *arguments; /* behind the name, in the usage line */
    const char *summary;   /* one line */
    const char *details;   /* further help; "" for none */
    bool has_settings;     /* takes -c, --set and a flag for each setting */
};

/* Of all commands that talk to a running server. */
#define FINDING                                                                                    \
    "The server is found by what it was started with: the same -c, or the same folder, or\n"       \
    "--control-socket PATH.\n"                                                                     \
    "Exit codes: 0 done, 1 refused or failed (the reason is on standard error), 2 usage,\n"        \
    "5 no server is running.\n"

static const struct command commands[] = {
    {"run", cmd_run, "[-c FILE] [--bind ADDR]... [--workers N] [--set KEY=VALUE]... [APP.so]",
     "serve an app",
     "  --reload         reload when the app or the configuration has changed: for development\n"
     "  --daemon         serve in the background, and come back when it is ready\n"
     "  --single         one process, no fork, no watchdog: for gdb, valgrind and sanitizers\n"
     "\n"
     "Stop it with TERM (requests in flight are finished) or INT, QUIT (at once).\n"
     "Exit codes: 0 stopped as asked, 1 invalid configuration or app, 2 usage, 3 cannot listen,\n"
     "4 workers cannot boot.\n",
     true},
    {"call", cmd_call, "[-i] [-H 'Name: value']... [-d BODY|@FILE] [APP.so] METHOD TARGET",
     "answer one request without a socket, on standard output",
     "  -i, --include    print the head of the answer too\n"
     "  -H, --header     a header field\n"
     "  -d, --data       the body; @FILE: from a file, @-: from standard input\n"
     "      --replay BUNDLE   no METHOD and TARGET, but the request that a crash left in\n"
     "                   crash_dir: gdb --args remuda call --replay BUNDLE ./app.so\n"
     "\n"
     "Exit codes: 0 answered below 400, 1 answered 400 or above, or the app can't be loaded.\n",
     true},
    {"check", cmd_check, "[-c FILE] [--set KEY=VALUE]... [APP.so]",
     "tell every mistake in the configuration, start nothing",
     "The app is not loaded, only looked for: what its own tables say of lanes, pools and\n"
     "tasks, `remuda routes` and `remuda run` tell.\n",
     true},
    {"config", cmd_config, "[--why | --defaults | --reference] [-c FILE] [--set KEY=VALUE]...",
     "show the settings in effect",
     "  --why            also where each comes from, and how `auto` came to its number\n"
     "  --defaults       what holds when nothing is set\n"
     "  --reference      the manual of all settings, in Markdown\n",
     true},
    {"routes", cmd_routes, "[--live [--once] [--json] [--interval TIME]] [-c FILE] [APP.so]",
     "list the app's routes and their lanes, or what they do right now",
     "  --live           of the running server: rates, latency, how long calls wait and compute, "
     "and\n"
     "                   what to do about it; again and again, until Ctrl-C\n"
     "  --once           the same once, of all that was counted\n"
     "  --json           as JSON, one line each time, whose members docs/control.md lists\n"
     "  --interval TIME  between two looks, 100ms to 1h; else 1s\n\n" FINDING,
     true},
    {"status", cmd_status, "[--decisions] [--json] [-c FILE]", "what the running server is doing",
     "  --json           as one JSON object, whose members docs/control.md lists\n\n" FINDING,
     true},
    {"top", cmd_top, "[--once | --batch] [--interval TIME] [-c FILE]",
     "watch the running server: a live view, keys to reload, scale and stop",
     "  --once           one plain table, and end; so also without a terminal\n"
     "  --batch          plain tables for ever\n"
     "  --interval TIME  between two looks, 100ms to 1h; else 1s\n\n"
     "NO_COLOR in the environment leaves colours out.\n" FINDING,
     true},
    {"reload", cmd_reload, "[--no-wait] [-c FILE]",
     "configuration and app anew, beside the running ones, which go on if that fails",
     "  --no-wait        come back when it has begun, not when it has ended\n\n" FINDING, true},
    {"scale", cmd_scale, "[-c FILE] workers=N|+N|-N | pool NAME N|+N|-N",
     "more or fewer workers, until the next reload",
     "  remuda scale workers=4      so many web workers\n"
     "  remuda scale +1             one more\n"
     "  remuda scale -1             one fewer\n"
     "  remuda scale pool images 4  so many workers in a compute pool; +1 and -1 "
     "likewise\n\n" FINDING,
     true},
    {"upgrade", cmd_upgrade, "[--no-wait] [-c FILE]",
     "the program itself anew, beside the running one, which then leaves, or goes on if that fails",
     "  --no-wait        come back when it has begun, not when the old one has gone\n\n" FINDING,
     true},
    {"stop", cmd_stop, "[--quick] [--no-wait] [-c FILE]",
     "stop the running server, when requests in flight are finished",
     "  --quick          at once, whatever is in flight\n"
     "  --no-wait        come back when it has been told, not when it has gone\n\n" FINDING,
     true},
    {"reopen", cmd_reopen, "[-c FILE]",
     "have the running server open its log files anew, after logrotate moved them", FINDING, true},
    {"doctor", cmd_doctor, "[--json] [-c FILE] | --handoff [--json] [-c FILE]",
     "is this machine fit for what is configured, and what should be changed",
     "  --handoff        measure what handing work to a compute worker costs here, some seconds\n"
     "  --json           as one JSON object\n"
     "\n"
     "Exit codes: 0 nothing is bad, 1 something is: the rows that say so come with what to "
     "change.\n",
     true},
    {"dump", cmd_dump, "[-c FILE] [FILE]",
     "all that can be seen of the running server, into a file, while it serves",
     "Stacks of all threads of all processes, requests in hand, connections, queues, counters,\n"
     "allocators, settings; also of workers that hang or are stopped. Without FILE it gets a name\n"
     "of its own in this folder, which is printed; - is standard output. Targets of requests and\n"
     "addresses of clients are in it, so only its owner can read it.\n\n" FINDING,
     true},
    {"version", cmd_version, "", "print versions of the server and of the libraries it uses", "",
     false},
};

#define N_COMMANDS (sizeof commands / sizeof commands[0])

static const char common_options[] =
    "  -c, --config FILE     configuration (else REMUDA_CONFIG, else ./remuda.yaml if it is "
    "there)\n"
    "  -b, --bind ADDR       host:port, [ipv6]:port, :port or unix:/path; may be repeated\n"
    "  -w, --workers N       number of web workers, or auto\n"
    "  -e, --env NAME=VALUE  a variable for the app; may be repeated\n"
    "      --set KEY=VALUE   any setting; also --KEY VALUE, or REMUDA_KEY in the environment\n"
    "  -h, --help            this text\n"
    "`remuda config --reference` explains every setting.\n";

static const char how_to_start[] =
    "remuda serves an HTTP application that is a shared object.\n"
    "\n"
    "    remuda run ./app.so                       on http://127.0.0.1:8000\n"
    "    remuda run --bind :8080 ./app.so          elsewhere\n"
    "    remuda run -c remuda.yaml                 as a file says (app: ./app.so)\n"
    "\n"
    "An app is one C file (see examples/hello), built with\n"
    "    cc -shared -fPIC app.c -o app.so $(pkg-config --cflags remuda)\n"
    "\n"
    "More: remuda --help\n";

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_overview(FILE *to)
{
    (void)fprintf(to, "usage: remuda COMMAND [ARGUMENT]...\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        (void)fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
    (void)fprintf(to, "\nremuda COMMAND --help says more about each.\n");
}

static void print_command(const struct command *command, FILE *to)
{
    (void)fprintf(to, "usage: remuda %s %s\n\n%s\n", command->name, command->arguments,
                  command->summary);
    if (command->details[0])
        (void)fprintf(to, "\n%s", command->details);
    if (command->has_settings)
        (void)fprintf(to, "\n%s", common_options);
}

void cli_print_help(const char *name, FILE *to)
{
    const struct command *command = find(name);
    if (command)
        print_command(command, to);
}

int cli_refuse_argument(const char *name, const char *argument)
{
    (void)fprintf(stderr,
                  "remuda %s: unexpected argument \"%s\"; `remuda %s --help` says what it takes\n",
                  name, argument, name);
    return CLI_USAGE;
}

static int refuse_command(const char *name)
{
    const char *nearest = NULL;
    unsigned best = UINT_MAX;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        unsigned distance = str_distance(name, commands[i].name);
        if (name[0] && strncmp(name, commands[i].name, strlen(name)) == 0)
            distance = 0; /* cut short */
        if (distance < best) {
            best = distance;
            nearest = commands[i].name;
        }
    }
    struct str given = str_make(name, strlen(name));
    struct str suffix = STR(".so");
    (void)fprintf(stderr, "remuda: there is no command \"%s\"", name);
    if (given.len > suffix.len &&
        str_has_prefix(str_make(given.p + given.len - suffix.len, suffix.len), suffix))
        (void)fprintf(stderr, "; to serve it: remuda run %s\n", name);
    else if (best <= 2)
        (void)fprintf(stderr, "; did you mean \"%s\"?\n", nearest);
    else
        (void)fprintf(stderr, "; `remuda --help` lists them\n");
    return CLI_USAGE;
}

/* No command: with a configuration here it is clear what is wanted; without one, say how. */
static int run_default(void)
{
    static char run_name[] = "run";
    static char *run_arguments[] = {run_name, NULL};
    if (access("remuda.yaml", F_OK) == 0)
        return cmd_run(1, run_arguments);
    (void)fputs(how_to_start, stderr);
    return CLI_USAGE;
}

static int help(int argc, char **argv)
{
    const struct command *command = argc > 1 ? find(argv[1]) : NULL;
    if (argc > 1 && !command)
        return refuse_command(argv[1]);
    if (command)
        print_command(command, stdout);
    else
        print_overview(stdout);
    return CLI_OK;
}

static bool is_any(const char *text, const char *a, const char *b)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0;
}

int cli_main(int argc, char **argv)
{
    if (argc < 2)
        return run_default();
    if (strcmp(argv[1], "help") == 0 || is_any(argv[1], "-h", "--help"))
        return help(argc - 1, argv + 1);
    if (is_any(argv[1], "-V", "--version"))
        return cmd_version(argc - 1, argv + 1);
    const struct command *command = find(argv[1]);
    return command ? command->run(argc - 1, argv + 1) : refuse_command(argv[1]);
}
