/* Keeping what the server was started with. Process: master. */
#include "server/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "config/load.h"
#include "server/cli.h"

static void free_texts(char **texts)
{
    for (char **text = texts; text && *text; text++)
        free(*text);
    free(texts);
}

/* n texts and a NULL behind them; NULL when memory is refused. */
static char **copy_texts(char *const *texts, size_t n)
{
    char **copy = calloc(n + 1, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = strdup(texts[i]);
        if (!copy[i]) {
            free_texts(copy);
            return NULL;
        }
    }
    return copy;
}

/* ---- The program and the folder, by name */

static bool is_same_file(const char *a, const char *b)
{
    struct stat one;
    struct stat other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* The name by which the shell came here, where links are kept ("current", which a deployment
 * changes); else the true one. */
static char *find_folder(void)
{
    const char *name = getenv("PWD");
    return name && name[0] == '/' && is_same_file(name, ".") ? strdup(name) : getcwd(NULL, 0);
}

static char *join(const char *folder, size_t folder_len, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%.*s/%s", (int)folder_len, folder, name) < 0 ? NULL : path;
}

/* What execvp(3) found. NULL: nothing that is this program */
static char *search_path(const char *name)
{
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t len = strcspn(at, ":");
        char *path = len > 0 ? join(at, len, name) : NULL;
        if (path && path[0] == '/' && is_same_file(path, "/proc/self/exe"))
            return path;
        free(path);
        at += len + (at[len] == ':');
    }
    return NULL;
}

/* As it was called, so that a link leads to what it leads to by then. Under another name than its
 * own (a script, a loader) its own is taken, unless there is no /proc to tell. */
static char *find_program(const char *folder)
{
    const char *name = program_invocation_name;
    char *path = !strchr(name, '/') ? search_path(name)
                 : name[0] == '/'   ? strdup(name)
                                    : join(folder, strlen(folder), name);
    bool is_known = access("/proc/self/exe", F_OK) == 0;
    if (path && (!is_known || is_same_file(path, "/proc/self/exe")))
        return path;
    free(path);
    return realpath("/proc/self/exe", NULL);
}

int origin_init(struct origin *origin, int argc, char **argv, char **environment,
                const struct merge_option *options, struct err *err)
{
    size_t n = 0;
    while (environment[n])
        n++;
    *origin = (struct origin){.argc = argc,
                              .argv = copy_texts(argv, (size_t)argc),
                              .environment = copy_texts(environment, n),
                              .options = options,
                              .folder_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    origin->folder = find_folder();
    if (!origin->argv || !origin->environment)
        return err_set(err, ENOMEM, "out of memory");
    origin->program = origin->folder ? find_program(origin->folder) : NULL;
    if (!origin->program)
        return err_set(err, errno, "the program's own path can't be found: %s", strerror(errno));
    if (origin->folder_fd < 0)
        return err_set(err, errno, "the working folder can't be opened: %s", strerror(errno));
    return 0;
}

void origin_fini(struct origin *origin)
{
    free_texts(origin->argv);
    free_texts(origin->environment);
    fd_close(&origin->folder_fd);
    free(origin->folder);
    free(origin->program);
    *origin = (struct origin){.folder_fd = -1};
}

static void check(const struct settings *start, const struct settings *running,
                  struct merge_result *r)
{
    struct settings *s = r->settings;
    if (s->file && s->is_file_empty && running->file && !running->is_file_empty)
        mistakes_add(&r->mistakes, LOAD_EMPTY, s->file);
    if (start->file && !s->file)
        mistakes_add(&r->mistakes, "%s: this file was read at the start, and is gone", start->file);
    if (!s->app)
        mistakes_add(&r->mistakes, "app: no app is named any more");
    cmd_check_settings(s, &r->mistakes);
    if (mistakes_is_empty(&r->mistakes) && s->chdir && chdir(s->chdir) < 0)
        mistakes_add(&r->mistakes, "chdir: %s: %s", s->chdir, strerror(errno));
}

int origin_read(const struct origin *origin, const struct settings *start,
                const struct settings *running, struct merge_result *out)
{
    struct merge_option options[ORIGIN_OPTIONS_MAX + 1] = {0};
    for (size_t i = 0; i < ORIGIN_OPTIONS_MAX && origin->options[i].name; i++)
        options[i] = (struct merge_option){.name = origin->options[i].name,
                                           .letter = origin->options[i].letter,
                                           .takes_value = origin->options[i].takes_value};
    struct merge_input in = {.argc = origin->argc,
                             .argv = origin->argv,
                             .environment = origin->environment,
                             .options = options,
                             .is_again = true};
    if (fchdir(origin->folder_fd) < 0) {
        *out = (struct merge_result){0};
        mistakes_add(&out->mistakes, "the folder that the server was started in: %s",
                     strerror(errno));
        return -EINVAL;
    }
    if (merge_settings(&in, out) == 0)
        check(start, running, out);
    return mistakes_is_empty(&out->mistakes) ? 0 : -EINVAL;
}
