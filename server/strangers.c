/* Strangers. Process: master. It is a subreaper, so whatever a worker forks and leaves behind
 * becomes its child. Such a process may hold copies of listening sockets, so an orderly stop that
 * let it live would keep the port taken. */
#include "server/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define ROUNDS 1000 /* a stranger's own children come to us when it dies, so once is not enough */
#define PIECE_BYTES 4096U
#define PIDS_MAX (1L << 23) /* above the kernel's: 2^22 */

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

int strangers_read(int fd, void (*on_pid)(void *context, pid_t pid), void *context)
{
    char piece[PIECE_BYTES];
    long pid = 0;
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        for (ssize_t i = 0; i < n; i++) {
            bool is_digit = piece[i] >= '0' && piece[i] <= '9';
            if (!is_digit && pid > 0)
                on_pid(context, (pid_t)pid);
            pid = !is_digit ? 0 : pid < PIDS_MAX ? pid * 10 + (piece[i] - '0') : pid;
        }
        if (n > 0)
            continue;
        if (pid > 0)
            on_pid(context, (pid_t)pid);
        return n < 0 ? -errno : 0;
    }
}

struct hunt {
    bool (*is_ours)(const void *context, pid_t pid);
    const void *context;
    int n;
};

static void kill_one(void *context, pid_t pid)
{
    struct hunt *hunt = context;
    if (pid > 1 && pid != spared && !hunt->is_ours(hunt->context, pid) && kill(pid, SIGKILL) == 0)
        hunt->n++;
}

/* proc(5): /proc/[pid]/task/[tid]/children, where the kernel was built with it. Who is killed stays
 * in the list until it is reaped, so nobody is passed over. */
int strangers_kill(bool (*is_ours)(const void *context, pid_t pid), const void *context)
{
    struct hunt hunt = {.is_ours = is_ours, .context = context};
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int rc = strangers_read(fd, kill_one, &hunt);
    fd_close(&fd);
    return rc < 0 && hunt.n == 0 ? rc : hunt.n;
}

unsigned strangers_kill_all(void)
{
    unsigned total = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int n = strangers_kill(is_nobody, NULL);
        if (n <= 0)
            break;
        total += (unsigned)n;
        for (int i = 0; i < n; i++)
            while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
                ;
    }
    return total;
}
