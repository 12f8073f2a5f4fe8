#include "tests/harness/wrk.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/check.h"

#undef fork /* tests start processes of their own; the ban is for the server's code */

void wrk_start(struct wrk *w, const char *address, const char *target)
{
    char url[512];
    int out[2];
    (void)snprintf(url, sizeof url, "%s%s", address, target);
    CHECK(pipe2(out, O_CLOEXEC) == 0);
    (void)fflush(NULL);
    w->pid = fork();
    CHECK(w->pid >= 0);
    if (w->pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && dup2(out[1], STDOUT_FILENO) >= 0 &&
            dup2(out[1], STDERR_FILENO) >= 0)
            (void)execlp("wrk", "wrk", "-t1", "-c8", "-d24h", "--timeout", "60s", url, NULL);
        _exit(127);
    }
    (void)close(out[1]);
    w->out_fd = out[0];
}

static unsigned long number_behind(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at ? strtoul(at + strlen(word), NULL, 10) : 0;
}

static void read_report(const char *text, struct wrk_result *r)
{
    const char *errors = strstr(text, "Socket errors:");
    const char *requests = strstr(text, " requests in ");
    const char *from = requests;
    while (from && from > text && from[-1] != '\n')
        from--;
    r->requests = from ? strtoul(from, NULL, 10) : 0;
    r->errors = number_behind(text, "Non-2xx or 3xx responses: ");
    if (!errors)
        return;
    r->errors += number_behind(errors, "connect ") + number_behind(errors, "read ") +
                 number_behind(errors, "write ") + number_behind(errors, "timeout ");
    (void)snprintf(r->first, sizeof r->first, "%.*s", (int)strcspn(errors, "\n"), errors);
}

struct wrk_result wrk_stop(struct wrk *w)
{
    struct wrk_result r = {0};
    char text[8192];
    size_t len = 0;
    int status = 0;
    if (w->pid == 0)
        return r;
    (void)kill(w->pid, SIGINT); /* it stops, and reports */
    for (ssize_t n = 1; n > 0 && len<sizeof text - 1; len += n> 0 ? (size_t)n : 0)
        n = read(w->out_fd, text + len, sizeof text - 1 - len);
    text[len] = '\0';
    CHECK(waitpid(w->pid, &status, 0) == w->pid);
    (void)close(w->out_fd);
    *w = (struct wrk){0};
    r.has_run = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (r.has_run)
        read_report(text, &r);
    return r;
}
