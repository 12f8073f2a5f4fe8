/* Strangers. Process: master. It is a subreaper, so whatever a worker forks and leaves behind
 * becomes its child. Such a process may hold copies of listening sockets, so an orderly stop that
 * let it live would keep the port taken. */
#include "server/strangers.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/fd.h"

#define ROUNDS 8 /* a stranger's own children come to us when it dies, so once is not enough */
#define LIST_MAX (64U * 1024U)

static pid_t spared;

void strangers_spare(pid_t pid)
{
    spared = pid;
}

bool strangers_is_child(pid_t pid)
{
    siginfo_t info;
    return pid > 1 && pid != spared &&
           waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static bool is_nobody(const void *context, pid_t pid)
{
    (void)context, (void)pid;
    return false;
}

/* proc(5): /proc/[pid]/task/[tid]/children, where the kernel was built with it. */
unsigned strangers_kill(bool (*is_ours)(const void *context, pid_t pid), const void *context)
{
    char *list;
    size_t len;
    unsigned n = 0;
    if (fd_read_file("/proc/thread-self/children", LIST_MAX, &list, &len) < 0)
        return 0;
    char *at = list;
    for (;;) {
        char *end;
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        if (pid > 1 && (pid_t)pid != spared && !is_ours(context, (pid_t)pid) &&
            kill((pid_t)pid, SIGKILL) == 0)
            n++;
        at = end;
    }
    free(list);
    return n;
}

unsigned strangers_kill_all(void)
{
    unsigned total = 0;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned n = strangers_kill(is_nobody, NULL);
        if (n == 0)
            break;
        total += n;
        for (unsigned i = 0; i < n; i++)
            while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
                ;
    }
    return total;
}
