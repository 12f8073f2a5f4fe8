/* Fuzz target: a configuration file. Whatever the file says, it is accepted or its mistakes are
 * told, at once and within bounds; and what is accepted is rendered to a file that is accepted too
 * and rendered the same. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/panic.h"
#include "config/machine.h"
#include "config/merge.h"
#include "config/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Loads text as a file. Returns what merge_settings() gave */
static int load(const void *text, size_t len, struct merge_result *out)
{
    static const struct machine machine = {.affinity_cpus = 2, .cpus = 2};
    static char *environment[] = {"NAME=demo", "EMPTY=", NULL};
    char path[64];
    int fd = memfd_create("config", MFD_CLOEXEC);
    RMD_ASSERT(fd >= 0 && fd_write_all(fd, text, len) == 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct merge_input in = {.argc = 3,
                             .argv = (char *[]){"check", "-c", path, NULL},
                             .environment = environment,
                             .machine = &machine};
    int rc = merge_settings(&in, out);
    fd_close(&fd);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Other files are not the question here, and some of them would wait for someone to write. */
    if (memmem(data, size, "_file", 5))
        return 0;
    struct merge_result first;
    struct merge_result second;
    int rc = load(data, size, &first);
    RMD_ASSERT(rc != 0 || (first.settings && mistakes_is_empty(&first.mistakes)));
    RMD_ASSERT(rc == 0 || (!first.settings && !mistakes_is_empty(&first.mistakes)));
    if (rc == 0) {
        struct buf page = {0};
        struct buf again = {0};
        RMD_ASSERT(render_settings(&page, first.settings, false) == 0);
        RMD_ASSERT(page.len > (1 << 20) || load(page.data, page.len, &second) == 0);
        if (page.len <= (1 << 20)) {
            RMD_ASSERT(render_settings(&again, second.settings, false) == 0);
            RMD_ASSERT(again.len == page.len && memcmp(again.data, page.data, page.len) == 0);
            merge_fini(&second);
        }
        buf_fini(&page);
        buf_fini(&again);
    }
    merge_fini(&first);
    return 0;
}
