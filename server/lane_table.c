/* See lane_table.h. Process: master. */
#include "server/lane_table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/msg.h"

/* From mmap(2), not calloc(3): most of it is never used, and what comes back from the heap would
 * all be written to. */
int lane_table_init(struct lane_table *lanes, uint32_t limit_routes)
{
    *lanes = (struct lane_table){.cap = limit_routes};
    void *routes = mmap(NULL, limit_routes * sizeof *lanes->routes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (routes == MAP_FAILED)
        return -ENOMEM;
    lanes->routes = routes;
    return 0;
}

void lane_table_fini(struct lane_table *lanes)
{
    if (lanes->routes)
        (void)munmap(lanes->routes, lanes->cap * sizeof *lanes->routes);
    *lanes = (struct lane_table){0};
}

const struct lane_route *lane_table_find(const struct lane_table *lanes, const char *name)
{
    for (uint32_t i = 0; i < lanes->n; i++)
        if (strcmp(lanes->routes[i].name, name) == 0)
            return &lanes->routes[i];
    return NULL;
}

/* ---- telling ---- */

/* Returns whether there is anything to tell of them */
static bool mark(const struct lane_table *lanes, uint32_t first, struct msg *out)
{
    bool has_any = false;
    *out = msg_make(MSG_LANES);
    out->value = (int64_t)first;
    for (uint32_t i = 0; i < lanes->n; i++) {
        uint32_t at = lanes->routes[i].index - first;
        if (lanes->routes[i].index < first || at >= MSG_LANES_ROUTES)
            continue;
        has_any = true;
        if (lanes->routes[i].state.lane == PROFILE_COMPUTE)
            out->text[at / 8] = (char)((unsigned char)out->text[at / 8] | 1U << at % 8);
    }
    return has_any;
}

int lane_table_send(const struct lane_table *lanes, int channel_fd)
{
    int rc = 0;
    for (uint32_t first = 0; rc == 0 && first < lanes->cap; first += MSG_LANES_ROUTES) {
        struct msg msg;
        if (mark(lanes, first, &msg))
            rc = msg_send(channel_fd, &msg, NULL, 0);
    }
    return rc;
}
