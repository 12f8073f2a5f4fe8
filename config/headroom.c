/* Memory that is left. Files of /proc and of the cgroup are read anew each time: this is asked
 * before a process is made that might not fit, which is rare. */
#include "config/headroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"

#define FILE_MAX (1U << 16) /* more than any file that is read here has */

/* The number behind a word at the beginning of a line. */
static uint64_t read_line(const char *path, const char *word)
{
    char *text = NULL;
    size_t len = 0;
    uint64_t number = HEADROOM_UNKNOWN;
    if (fd_read_file(path, FILE_MAX, &text, &len) < 0)
        return HEADROOM_UNKNOWN;
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, word, strlen(word)) != 0)
            continue;
        const char *digits = line + strlen(word) + strspn(line + strlen(word), " \t");
        if (str_parse_u64(str_make(digits, strcspn(digits, " \n")), UINT64_MAX, &number) < 0)
            number = HEADROOM_UNKNOWN;
        break;
    }
    free(text);
    return number;
}

static uint64_t read_kib(const char *path, const char *word)
{
    uint64_t kib = read_line(path, word);
    return kib > UINT64_MAX / 1024 ? HEADROOM_UNKNOWN : kib * 1024;
}

/* Both versions of cgroups keep usage and statistics beside the limit. */
static const struct {
    const char *limit, *usage, *inactive;
} names[] = {{"memory.max", "memory.current", "inactive_file "},
             {"memory.high", "memory.current", "inactive_file "},
             {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "}};

/* What is left below one limit. */
static uint64_t read_left(const struct machine_limit *limit, size_t name)
{
    char path[MACHINE_PATH_MAX + 32];
    int folder_len = (int)(strrchr(limit->path, '/') - limit->path);
    (void)snprintf(path, sizeof path, "%.*s/%s", folder_len, limit->path, names[name].usage);
    uint64_t usage = read_line(path, "");
    (void)snprintf(path, sizeof path, "%.*s/memory.stat", folder_len, limit->path);
    uint64_t inactive = read_line(path, names[name].inactive);
    if (usage == HEADROOM_UNKNOWN)
        return HEADROOM_UNKNOWN;
    if (inactive != HEADROOM_UNKNOWN)
        usage -= inactive < usage ? inactive : usage;
    return usage < limit->bytes ? limit->bytes - usage : 0;
}

/* Below which limit the least is left is not said by which of them is the lowest: others may be in
 * the cgroups above ours. */
static uint64_t read_cgroups(const struct machine *m)
{
    uint64_t least = HEADROOM_UNKNOWN;
    for (uint32_t k = 0; k < m->n_limits; k++) {
        const char *slash = strrchr(m->limits[k].path, '/');
        for (size_t i = 0; slash && i < sizeof names / sizeof names[0]; i++) {
            if (strcmp(slash + 1, names[i].limit) != 0)
                continue;
            uint64_t left = read_left(&m->limits[k], i);
            least = left < least ? left : least;
        }
    }
    return least;
}

uint64_t headroom_bytes(const struct machine *machine, const char *proc_root)
{
    char path[MACHINE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/meminfo", proc_root);
    uint64_t available = read_kib(path, "MemAvailable:");
    uint64_t cgroup = read_cgroups(machine);
    return cgroup < available ? cgroup : available;
}

uint64_t headroom_of_process(const char *proc_root, pid_t pid)
{
    char path[MACHINE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%d/status", proc_root, (int)pid);
    return read_kib(path, "RssAnon:");
}
