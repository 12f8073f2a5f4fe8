/* Reads /proc. Numbers only, no guesses: a process is what the kernel lists, a socket listens when
 * /proc/net says so. What vanishes while it is read counts as gone. */
#include "tests/harness/procs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/check.h"
#include "tests/harness/patience.h"

struct stat_line {
    char state;
    pid_t parent;
    unsigned long user_ticks, system_ticks;
};

/* The command name of /proc/PID/stat may hold blanks and parentheses: fields start behind the last
 * one (proc(5)). */
static bool read_stat(pid_t pid, struct stat_line *out)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    int parent;
    if (!at || sscanf(at + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &out->state,
                      &parent, &out->user_ticks, &out->system_ticks) != 4)
        return false;
    out->parent = parent;
    return true;
}

void procs_adopt_orphans(void)
{
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
}

char procs_state(pid_t pid)
{
    struct stat_line line;
    return read_stat(pid, &line) ? line.state : '\0';
}

bool procs_is_alive(pid_t pid)
{
    char state = procs_state(pid);
    return state != '\0' && state != 'Z' && state != 'X';
}

unsigned long procs_cpu_ticks(pid_t pid)
{
    struct stat_line line;
    return read_stat(pid, &line) ? line.user_ticks + line.system_ticks : 0;
}

static size_t count_entries(pid_t pid, const char *folder)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, folder);
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    size_t n = 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        n += entry->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

unsigned procs_thread_count(pid_t pid)
{
    return (unsigned)count_entries(pid, "task");
}

size_t procs_fd_count(pid_t pid)
{
    return count_entries(pid, "fd");
}

/* Counts descriptors, and those that lead to where one of the texts is in the name. *out_n_gone:
 * those closed meanwhile. */
static size_t scan_fds(pid_t pid, const char *const texts[2], size_t *out_n_like,
                       size_t *out_n_gone)
{
    char path[64], target[512];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    size_t n = 0;
    *out_n_like = *out_n_gone = 0;
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        target[len < 0 ? 0 : len] = '\0';
        n++;
        *out_n_gone += len < 0;
        *out_n_like += strstr(target, texts[0]) || (texts[1] && strstr(target, texts[1]));
    }
    if (dir)
        (void)closedir(dir);
    return n;
}

size_t procs_fd_count_like(pid_t pid, const char *text)
{
    size_t n_like, n_gone;
    (void)scan_fds(pid, (const char *const[2]){text}, &n_like, &n_gone);
    return n_like;
}

size_t procs_fd_count_at_rest(pid_t pid)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    size_t n, n_reading, n_gone;
    do
        n = scan_fds(pid, (const char *const[2]){"/proc/", "/sys/"}, &n_reading, &n_gone);
    while (n_reading + n_gone > 0 && patience_turn(deadline));
    CHECK_EQ(n_reading + n_gone, 0);
    return n;
}

void procs_wait_fds(pid_t master, size_t n)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    size_t seen;
    while ((seen = procs_fd_count_at_rest(master)) != n)
        CHECK_SAYING(patience_turn(deadline), "%zu descriptors are open, expected %zu", seen, n);
}

/* The sum of the lines of a file of /proc/PID that begin so: "Private_Clean: 12 kB". */
static unsigned long sum_kib(pid_t pid, const char *file_name, const char *begin)
{
    char path[64], line[256];
    unsigned long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file_name);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (colon && strncmp(line, begin, strlen(begin)) == 0)
            kib += strtoul(colon + 1, NULL, 10);
    }
    if (file)
        (void)fclose(file);
    return kib;
}

unsigned long procs_memory_kib(pid_t pid, const char *name)
{
    char begin[64];
    (void)snprintf(begin, sizeof begin, "%s:", name);
    return sum_kib(pid, "status", begin);
}

unsigned long procs_private_kib(pid_t pid)
{
    return sum_kib(pid, "smaps_rollup", "Private_");
}

/* Everybody, with their parents: one pass over /proc. */
static size_t list_all(pid_t *pids, struct stat_line *lines, size_t cap)
{
    DIR *dir = opendir("/proc");
    size_t n = 0;
    CHECK(dir != NULL);
    for (struct dirent *entry = readdir(dir); entry && n < cap; entry = readdir(dir)) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        pids[n] = (pid_t)atoi(entry->d_name);
        if (read_stat(pids[n], &lines[n]))
            n++;
    }
    (void)closedir(dir);
    return n;
}

size_t procs_below(pid_t root, pid_t out_pids[PROCS_MAX])
{
    enum { CAP = 8192 };
    static pid_t pids[CAP];
    static struct stat_line lines[CAP];
    static bool is_below[CAP];
    size_t n = list_all(pids, lines, CAP);
    memset(is_below, 0, sizeof is_below);
    for (bool has_grown = true; has_grown;) {
        has_grown = false;
        for (size_t i = 0; i < n; i++) {
            bool is_child = lines[i].parent == root;
            for (size_t k = 0; k < n && !is_child; k++)
                is_child = is_below[k] && pids[k] == lines[i].parent;
            has_grown = has_grown || (is_child && !is_below[i]);
            is_below[i] = is_child;
        }
    }
    size_t found = 0;
    for (size_t i = 0; i < n && found < PROCS_MAX; i++)
        if (is_below[i] && lines[i].state != 'Z' && lines[i].state != 'X')
            out_pids[found++] = pids[i];
    return found;
}

size_t procs_zombies_of(pid_t parent)
{
    enum { CAP = 8192 };
    static pid_t pids[CAP];
    static struct stat_line lines[CAP];
    size_t n = list_all(pids, lines, CAP), dead = 0;
    for (size_t i = 0; i < n; i++)
        dead += lines[i].parent == parent && lines[i].state == 'Z';
    return dead;
}

/* A pidfd becomes readable when its process ends (pidfd_open(2)): no polling where there is one. */
bool procs_wait_gone(pid_t pid, unsigned deadline_ms)
{
    uint64_t deadline = patience_until(deadline_ms);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0) {
        bool is_gone = patience_poll(fd, POLLIN, deadline);
        (void)close(fd);
        return is_gone;
    }
    return !procs_is_alive(pid);
}

void procs_reap_strays(const pid_t *spared, size_t n_spared)
{
    siginfo_t info;
    pid_t pids[PROCS_MAX];
    /* One look at who is dead without reaping, so that the spared ones keep their status. */
    enum { CAP = 8192 };
    static pid_t all[CAP];
    static struct stat_line lines[CAP];
    size_t n = list_all(all, lines, CAP);
    size_t dead = 0;
    for (size_t i = 0; i < n && dead < PROCS_MAX; i++)
        if (lines[i].state == 'Z' && lines[i].parent == getpid())
            pids[dead++] = all[i];
    for (size_t i = 0; i < dead; i++) {
        bool is_spared = false;
        for (size_t k = 0; k < n_spared; k++)
            is_spared = is_spared || spared[k] == pids[i];
        if (!is_spared)
            (void)waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG);
    }
}

struct tcp_line {
    unsigned port, state; /* local port; as in the kernel's net/tcp_states.h */
    unsigned long inode;
};

/* The next line of /proc/net/tcp or tcp6. Returns false at the end */
static bool read_tcp(FILE *file, struct tcp_line *out)
{
    char line[512];
    while (fgets(line, sizeof line, file))
        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu",
                   &out->port, &out->state, &out->inode) == 3)
            return true;
    return false;
}

static size_t scan_tcp(const char *path, unsigned port, unsigned long *inodes, size_t n, size_t cap)
{
    FILE *file = fopen(path, "re");
    struct tcp_line line;
    if (!file)
        return n;
    while (read_tcp(file, &line))
        if (line.port == port && line.state == TCP_LISTEN && n < cap)
            inodes[n++] = line.inode;
    (void)fclose(file);
    return n;
}

size_t procs_listener_inodes(unsigned port, unsigned long *out_inodes, size_t cap)
{
    size_t n = scan_tcp("/proc/net/tcp", port, out_inodes, 0, cap);
    return scan_tcp("/proc/net/tcp6", port, out_inodes, n, cap);
}

bool procs_is_listening(unsigned port, const unsigned long *inodes, size_t n_inodes)
{
    unsigned long now[PROCS_MAX];
    size_t n = procs_listener_inodes(port, now, PROCS_MAX);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n_inodes; k++)
            if (now[i] == inodes[k])
                return true;
    return false;
}

static void count_tcp(const char *path, unsigned port, struct procs_sockets *sum)
{
    FILE *file = fopen(path, "re");
    struct tcp_line line;
    while (file && read_tcp(file, &line)) {
        if (line.port != port || line.state == TCP_TIME_WAIT)
            continue;
        line.state == TCP_LISTEN ? sum->listening++ : sum->connected++;
    }
    if (file)
        (void)fclose(file);
}

/* A socket that was accepted has the path of the one that listens. */
static void count_unix(const char *path, struct procs_sockets *sum)
{
    FILE *file = fopen("/proc/net/unix", "re");
    char line[512], name[300];
    unsigned flags;
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%*x: %*x %*x %x %*x %*x %*u %299s", &flags, name) != 2 ||
            strcmp(name, path) != 0)
            continue;
        flags & 0x10000 /* __SO_ACCEPTCON */ ? sum->listening++ : sum->connected++;
    }
    (void)fclose(file);
}

struct procs_sockets procs_sockets_at(unsigned port, const char *path)
{
    struct procs_sockets sum = {0};
    if (port == 0) {
        count_unix(path, &sum);
    } else {
        count_tcp("/proc/net/tcp", port, &sum);
        count_tcp("/proc/net/tcp6", port, &sum);
    }
    return sum;
}

bool procs_is_unix_listening(const char *path)
{
    return procs_sockets_at(0, path).listening > 0;
}

const char *procs_name(pid_t pid, char *out, size_t cap)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(out, (int)cap, file))
        out[0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (file)
        (void)fclose(file);
    return out;
}

const char *procs_command(pid_t pid, char *out, size_t cap)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "re");
    size_t n = 0;
    if (file) {
        n = fread(out, 1, cap - 1, file);
        (void)fclose(file);
    }
    for (size_t i = 0; i + 1 < n; i++)
        if (out[i] == '\0')
            out[i] = ' ';
    out[n] = '\0';
    return out;
}
