/* Process: master. The kernel counts its kills in memory.events (cgroup v2) or memory.oom_control
 * (v1, Linux 4.13), in the cgroup of the process killed, before it sends the signal; so when the
 * master reaps that process, the counter has risen. Whose death it counted it does not say: a kill
 * of some other process in the same cgroup would be taken for ours, once. */
#include "server/oom.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define FILE_MAX 4096

/* Where a version keeps its counter, below the root of the cgroups; %s is the path of ours. */
static const struct {
    const char *controllers; /* second field of /proc/self/cgroup (cgroups(7)) */
    const char *place;
} places[] = {
    {"", "%s/memory.events.local"},
    {"", "%s/memory.events"},
    {"", "/unified%s/memory.events.local"},
    {"memory", "/memory%s/memory.oom_control"},
};

static bool read_text(const char *path, char out[FILE_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out, FILE_MAX - 1);
    (void)close(fd);
    if (n < 0)
        return false;
    out[n] = '\0';
    return true;
}

/* Reads the line `oom_kill N`. */
static bool read_count(const char *path, uint64_t *out)
{
    static const char key[] = "oom_kill ";
    char text[FILE_MAX];
    if (!read_text(path, text))
        return false;
    const char *line = text;
    while (line && strncmp(line, key, sizeof key - 1) != 0) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (!line)
        return false;
    const char *number = line + sizeof key - 1;
    return str_parse_u64(str_make(number, strcspn(number, "\n")), UINT64_MAX, out) == 0;
}

/* Tries the path that /proc names, then the root: in a container without a namespace of its own
 * that is where its cgroup is mounted. */
static bool try_places(struct oom *oom, const char *cgroup_root, const char *controllers,
                       const char *cgroup)
{
    const char *paths[] = {strcmp(cgroup, "/") == 0 ? "" : cgroup, ""};
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            const char *place = places[i].place;
            const char *at = strstr(place, "%s");
            if (strcmp(places[i].controllers, controllers) != 0)
                continue;
            int n = snprintf(oom->path, sizeof oom->path, "%s%.*s%s%s", cgroup_root,
                             (int)(at - place), place, paths[p], at + 2);
            if (n < (int)sizeof oom->path && read_count(oom->path, &oom->accounted))
                return true;
        }
    return false;
}

void oom_open(struct oom *oom, const char *proc_root, const char *cgroup_root)
{
    char path[PATH_MAX];
    char text[FILE_MAX];
    oom->accounted = 0;
    (void)snprintf(path, sizeof path, "%s/self/cgroup", proc_root);
    char *next = read_text(path, text) ? text : NULL;
    while (next && *next) { /* "4:memory:/path" or "0::/path" */
        char *line = next;
        char *end = strchr(line, '\n');
        next = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        char *controllers = strchr(line, ':');
        char *cgroup = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!cgroup)
            continue;
        *cgroup = '\0';
        if (try_places(oom, cgroup_root, controllers + 1, cgroup + 1))
            return;
    }
    oom->path[0] = '\0';
}

bool oom_take(struct oom *oom)
{
    uint64_t now;
    if (!oom->path[0] || !read_count(oom->path, &now) || now <= oom->accounted)
        return false;
    oom->accounted++;
    return true;
}
