/* What a process of the app is: its environment, its status as the kernel tells it; and processes
 * that it leaves behind. */
#include <remuda.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char at_load[64]; /* SELF_TEST when the library was loaded */
static char at_init[64];

__attribute__((constructor)) static void on_load(void)
{
    const char *value = getenv("SELF_TEST");
    snprintf(at_load, sizeof(at_load), "%s", value ? value : "unset");
}

static int init(void)
{
    const char *value = getenv("SELF_TEST");
    snprintf(at_init, sizeof(at_init), "%s", value ? value : "unset");
    return 0;
}

/* ?name=: its value, and what SELF_TEST was at load and at init. */
static void environment(rmd_request *req, rmd_response *res)
{
    const char *name = rmd_query(req, "name");
    const char *value = name ? getenv(name) : NULL;
    rmd_text(res, 200, "value=%s load=%s init=%s\n", value ? value : "unset", at_load, at_init);
}

static void send_file(rmd_response *res, const char *path)
{
    char text[8192];
    FILE *file = fopen(path, "r");
    if (!file) {
        rmd_error(res, 500);
        return;
    }
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    rmd_text(res, 200, "%s", text);
}

static void status(rmd_request *req, rmd_response *res)
{
    (void)req;
    send_file(res, "/proc/self/status");
}

/* Leaves a child's child behind, which ends once the file ?file= is there; answers its pid. */
static void leave_orphan(rmd_request *req, rmd_response *res)
{
    const char *path = rmd_query(req, "file");
    int ends[2];
    pid_t pid = 0;
    if (!path || pipe(ends) < 0) {
        rmd_error(res, 500);
        return;
    }
    pid_t between = fork();
    if (between == 0) {
        pid = fork();
        if (pid > 0) {
            _exit(write(ends[1], &pid, sizeof(pid)) == sizeof(pid) ? 0 : 1);
        } else if (pid == 0) {
            while (access(path, F_OK) != 0)
                usleep(2000);
            _exit(7);
        }
        _exit(1);
    }
    close(ends[1]);
    int is_told = read(ends[0], &pid, sizeof(pid)) == sizeof(pid);
    close(ends[0]);
    waitpid(between, NULL, 0);
    if (is_told)
        rmd_text(res, 200, "%d\n", (int)pid);
    else
        rmd_error(res, 500);
}

static const rmd_route routes[] = {
    {"GET", "/environment", environment, .lane = RMD_INLINE},
    {"GET", "/status", status, .lane = RMD_INLINE},
    {"GET", "/orphan", leave_orphan, .lane = RMD_INLINE},
    {0},
};

RMD_APP(.name = "self", .routes = routes, .init = init);
