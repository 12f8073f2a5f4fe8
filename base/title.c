/* Titles in the memory of the command line.
 *
 * The kernel shows /proc/PID/cmdline from the bytes between arg_start and arg_end, and, when the
 * last of them is not NUL, takes it for a title: then it shows what lies there up to the first NUL,
 * into the environment if need be, which follows at once (fs/proc/base.c, get_mm_cmdline()). So
 * arguments and environment are copied away, and the whole room is the title's.
 *
 * Not by libbsd's setproctitle(3), which does the same: it formats the whole title anew for every
 * change (1,550 instructions, measured, where all of a request takes 4,000), keeps the room to
 * itself, and would be one more library to install. Not by prctl(PR_SET_MM_…) either: that takes
 * CAP_SYS_RESOURCE.
 *
 * Process: all. Children inherit the room with the memory it is in. */
#include "base/title.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define STATE_LEN (sizeof TITLE_IDLE - 1)
#define DETAIL_MAX 160 /* of a path: what is longer is cut, so that a request stays cheap */

static char nowhere[STATE_LEN]; /* what is marked when no state is shown */

static struct {
    char *at;            /* the room; NULL: none */
    size_t bytes;        /* of all of it */
    size_t argument_len; /* of the part that held the arguments */
    bool is_used;        /* it shows a title, no arguments any more */
} room;

char *title_state_at = nowhere;

static char **kept_arguments; /* on the heap for good, like the environment */
static char **kept_environment;

/* Where a list of strings ends that lie one behind the other from `at` on; NULL: they don't. */
static char *find_end(char **list, char *at)
{
    for (; *list && at; list++)
        at = *list == at ? at + strlen(at) + 1 : NULL;
    return at;
}

/* Copies a list, strings included, in one piece. NULL: no memory */
static char **copy_list(char **list)
{
    size_t n = 0;
    size_t bytes = 0;
    for (; list[n]; n++)
        bytes += strlen(list[n]) + 1;
    char **copy = malloc((n + 1) * sizeof *copy + bytes);
    if (!copy)
        return NULL;
    char *at = (char *)(copy + n + 1);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(list[i]) + 1;
        copy[i] = memcpy(at, list[i], len);
        at += len;
    }
    copy[n] = NULL;
    return copy;
}

char **title_take(int argc, char **argv)
{
    char *end = argc > 0 && environ ? find_end(argv, argv[0]) : NULL;
    char *environment_end = end ? find_end(environ, end) : NULL;
    if (!environment_end)
        return argv;
    kept_arguments = copy_list(argv);
    kept_environment = copy_list(environ);
    if (!kept_arguments || !kept_environment) {
        free(kept_arguments);
        free(kept_environment);
        kept_arguments = kept_environment = NULL;
        return argv;
    }
    room.at = argv[0];
    room.argument_len = (size_t)(end - argv[0]);
    room.bytes = (size_t)(environment_end - argv[0]);
    environ = kept_environment;
    program_invocation_name = kept_arguments[0]; /* the C library's, and error(3)'s */
    const char *slash = strrchr(kept_arguments[0], '/');
    program_invocation_short_name =
        slash ? kept_arguments[0] + (slash - kept_arguments[0]) + 1 : kept_arguments[0];
    return kept_arguments;
}

/* Ends the title behind `len` bytes, len < room.bytes. A title shorter than the arguments were
 * needs something at their end, or the kernel takes all of it for arguments. */
static void end_title(size_t len)
{
    room.at[len] = '\0';
    if (len + 1 < room.argument_len)
        room.at[room.argument_len - 1] = '.';
}

void title_set(const char *name, const char *state, const char *format, ...)
{
    char text[512];
    size_t len = 0;
    size_t state_at = 0;
    va_list args;
    if (room.bytes < 2)
        return;
    title_state_at = nowhere;
    if (!room.is_used)
        memset(room.at, 0, room.bytes); /* nothing of the environment shows behind a title */
    room.is_used = true;
    len += (size_t)snprintf(text, sizeof text, "remuda: ");
    va_start(args, format);
    int n = vsnprintf(text + len, sizeof text / 2, format, args);
    va_end(args);
    len += n < 0 ? 0 : (size_t)n < sizeof text / 2 ? (size_t)n : sizeof text / 2 - 1;
    if (name[0] != '\0')
        len += (size_t)snprintf(text + len, sizeof text / 4, " [%.100s]", name);
    if (state) {
        state_at = len + 2;
        len += (size_t)snprintf(text + len, sizeof text / 8, " (%.50s)", state);
    }
    bool is_cut = len + 1 > room.bytes;
    if (is_cut)
        len = room.bytes - 1;
    memcpy(room.at, text, len);
    end_title(len);
    if (state && !is_cut && strcmp(state, TITLE_IDLE) == 0)
        title_state_at = room.at + state_at;
}

void title_set_comm(const char *comm)
{
    (void)prctl(PR_SET_NAME, comm, 0, 0, 0);
}

static size_t put_word(size_t at, size_t end, struct str word)
{
    size_t n = word.len < DETAIL_MAX ? word.len : DETAIL_MAX;
    if (n > 0 && at < end)
        room.at[at++] = ' ';
    for (size_t i = 0; i < n && at < end; i++)
        room.at[at++] = (char)(word.p[i] > ' ' && word.p[i] <= '~' ? word.p[i] : '?');
    return at;
}

void title_set_detail(struct str a, struct str b)
{
    if (title_state_at == nowhere)
        return;
    size_t at = (size_t)(title_state_at - room.at) + STATE_LEN;
    size_t end = room.bytes - 2; /* room for the parenthesis and the end */
    at = put_word(at, end, a);
    at = put_word(at, end, b);
    room.at[at++] = ')';
    end_title(at);
}
