/* Addresses as text, and the answer to "who has my port?". Process: master, mostly when it can't
 * start: the answer is for a person, so whatever can't be found out is left out. */
#include "server/endpoint.h"

#include <ctype.h>
#include <dirent.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define INODES_MAX 16       /* listening sockets at one address: a group of SO_REUSEPORT has many */
#define HOLDERS_MAX 64      /* processes that have one of them */
#define STATE_LISTEN 0x0aU  /* TCP_LISTEN, /proc/net/tcp */
#define FLAG_LISTEN 0x10000 /* __SO_ACCEPTCON, /proc/net/unix */

/* ---- Text */

static const char *print_unix(char out[ENDPOINT_TEXT_MAX], const struct sockaddr_un *un,
                              socklen_t len)
{
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    if (len <= offset)
        (void)snprintf(out, ENDPOINT_TEXT_MAX, "unix:(unnamed)");
    else if (un->sun_path[0] == '\0')
        (void)snprintf(out, ENDPOINT_TEXT_MAX, "unix:@%.*s", (int)(len - offset - 1),
                       un->sun_path + 1);
    else
        (void)snprintf(out, ENDPOINT_TEXT_MAX, "unix:%.*s", (int)sizeof un->sun_path, un->sun_path);
    return out;
}

const char *endpoint_print(char out[ENDPOINT_TEXT_MAX], const struct sockaddr_storage *address,
                           socklen_t len)
{
    const struct sockaddr *any = (const struct sockaddr *)(const void *)address;
    char host[NI_MAXHOST];
    char port[8];
    if (address->ss_family == AF_UNIX)
        return print_unix(out, (const void *)address, len);
    int rc = getnameinfo(any, len, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV);
    if (rc != 0)
        (void)snprintf(out, ENDPOINT_TEXT_MAX, "(family %d)", (int)address->ss_family);
    else
        (void)snprintf(out, ENDPOINT_TEXT_MAX,
                       address->ss_family == AF_INET6 ? "http://[%.100s]:%s" : "http://%.100s:%s",
                       host, port);
    return out;
}

/* ---- Sockets that listen there */

struct inodes {
    unsigned long items[INODES_MAX];
    size_t n;
};

static void add_inode(struct inodes *inodes, unsigned long inode)
{
    if (inode > 0 && inodes->n < INODES_MAX)
        inodes->items[inodes->n++] = inode;
}

/* Address and port as /proc/net/tcp writes them: words of the address in the machine's order. */
static void print_hex(char out[40], const struct sockaddr_storage *address, unsigned *out_port)
{
    const void *any = address;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = any;
        (void)snprintf(out, 40, "%08X", v4->sin_addr.s_addr);
        *out_port = ntohs(v4->sin_port);
        return;
    }
    const struct sockaddr_in6 *v6 = any;
    uint32_t words[4];
    memcpy(words, &v6->sin6_addr, sizeof words);
    (void)snprintf(out, 40, "%08X%08X%08X%08X", words[0], words[1], words[2], words[3]);
    *out_port = ntohs(v6->sin6_port);
}

static bool is_wildcard(const char *hex)
{
    return hex[strspn(hex, "0")] == '\0';
}

static void find_tcp(const char *table, const struct sockaddr_storage *address, struct inodes *out)
{
    char line[512];
    char wanted[40];
    unsigned wanted_port;
    FILE *file = fopen(table, "re");
    if (!file)
        return;
    print_hex(wanted, address, &wanted_port);
    while (fgets(line, sizeof line, file)) {
        char host[40];
        unsigned port;
        unsigned state;
        unsigned long inode;
        if (sscanf(line, " %*u: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu", host,
                   &port, &state, &inode) == 4 &&
            state == STATE_LISTEN && port == wanted_port &&
            (strcmp(host, wanted) == 0 || is_wildcard(host) || is_wildcard(wanted)))
            add_inode(out, inode);
    }
    (void)fclose(file);
}

static void find_unix(const struct sockaddr_un *un, struct inodes *out)
{
    char line[512];
    FILE *file = fopen("/proc/net/unix", "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        char path[sizeof un->sun_path + 1];
        unsigned flags;
        unsigned long inode;
        if (sscanf(line, "%*x: %*x %*x %x %*x %*x %lu %108[^\n]", &flags, &inode, path) == 3 &&
            (flags & FLAG_LISTEN) && strcmp(path, un->sun_path) == 0)
            add_inode(out, inode);
    }
    (void)fclose(file);
}

/* ---- Processes that have them */

static bool has_inode(const char *link, const struct inodes *inodes)
{
    unsigned long inode;
    if (sscanf(link, "socket:[%lu]", &inode) != 1)
        return false;
    for (size_t i = 0; i < inodes->n; i++)
        if (inodes->items[i] == inode)
            return true;
    return false;
}

static bool is_holding(const char *pid, const struct inodes *inodes)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
    DIR *folder = opendir(path);
    bool is = false;
    if (!folder)
        return false; /* gone, or of another user */
    for (struct dirent *entry = readdir(folder); entry && !is; entry = readdir(folder)) {
        char link[64];
        ssize_t n = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);
        if (n > 0) {
            link[n] = '\0';
            is = has_inode(link, inodes);
        }
    }
    (void)closedir(folder);
    return is;
}

static size_t find_holders(const struct inodes *inodes, pid_t out_pids[HOLDERS_MAX])
{
    size_t n = 0;
    DIR *folder = opendir("/proc");
    if (!folder)
        return 0;
    for (struct dirent *entry = readdir(folder); entry && n < HOLDERS_MAX; entry = readdir(folder))
        if (isdigit((unsigned char)entry->d_name[0]) && is_holding(entry->d_name, inodes))
            out_pids[n++] = (pid_t)atoi(entry->d_name);
    (void)closedir(folder);
    return n;
}

/* A line of a file of /proc/PID, printable. "" when there is none */
static void read_line(pid_t pid, const char *name, char *out, size_t cap)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (!fgets(out, (int)cap, file))
        out[0] = '\0';
    (void)fclose(file);
    out[strcspn(out, "\n")] = '\0';
    for (char *c = out; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = '?';
}

static pid_t parent_of(pid_t pid)
{
    char line[512];
    int parent;
    read_line(pid, "stat", line, sizeof line);
    const char *at = strrchr(line, ')'); /* the name may hold blanks and parentheses */
    return at && sscanf(at + 1, " %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

static bool is_same_program(pid_t pid)
{
    char path[64];
    struct stat theirs;
    struct stat ours;
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return stat(path, &theirs) == 0 && stat("/proc/self/exe", &ours) == 0 &&
           theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

bool endpoint_find_holder(const struct sockaddr_storage *address, struct endpoint_holder *out)
{
    struct inodes inodes = {.n = 0};
    pid_t pids[HOLDERS_MAX];
    if (address->ss_family == AF_UNIX) {
        find_unix((const void *)address, &inodes);
    } else {
        find_tcp(address->ss_family == AF_INET6 ? "/proc/net/tcp6" : "/proc/net/tcp", address,
                 &inodes);
        if (inodes.n == 0) /* [::] takes the port of IPv4 as well, and the other way round */
            find_tcp(address->ss_family == AF_INET6 ? "/proc/net/tcp" : "/proc/net/tcp6", address,
                     &inodes);
    }
    size_t n = inodes.n > 0 ? find_holders(&inodes, pids) : 0;
    for (size_t i = 0; i < n; i++) {
        pid_t parent = parent_of(pids[i]);
        bool is_topmost = true;
        for (size_t k = 0; k < n; k++)
            is_topmost = is_topmost && pids[k] != parent;
        if (!is_topmost)
            continue;
        *out = (struct endpoint_holder){.pid = pids[i]};
        read_line(pids[i], "comm", out->name, sizeof out->name);
        out->is_remuda = strncmp(out->name, "remuda", 6) == 0 || is_same_program(pids[i]);
        return true;
    }
    return false;
}

/* ---- Descriptors that others passed */

static const char *kind_of_file(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return "not open";
    return S_ISFIFO(st.st_mode)   ? "a FIFO"
           : S_ISREG(st.st_mode)  ? "a file"
           : S_ISDIR(st.st_mode)  ? "a folder"
           : S_ISSOCK(st.st_mode) ? NULL
                                  : "no socket";
}

static int option_of(int fd, int option)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

const char *endpoint_find_fault(int fd)
{
    const char *kind = kind_of_file(fd);
    if (kind)
        return kind;
    if (option_of(fd, SO_TYPE) != SOCK_STREAM)
        return "a datagram socket";
    if (option_of(fd, SO_ACCEPTCONN) != 1)
        return "a socket that does not listen (a connection, as Accept=yes passes them)";
    int family = option_of(fd, SO_DOMAIN);
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX
               ? NULL
               : "a socket of another family than IPv4, IPv6 and unix";
}
