/* Totals by route name. Process: master. Names, not indexes: two generations may number their
 * routes differently. The table is searched in order, since a worker's death is rare. */
#include "server/totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES sizeof(((struct totals_route *)0)->name)

int totals_init(struct totals *totals, uint32_t max_routes)
{
    *totals = (struct totals){.cap = max_routes + 1};
    totals->routes = calloc(totals->cap, sizeof *totals->routes);
    return totals->routes ? 0 : -ENOMEM;
}

void totals_fini(struct totals *totals)
{
    free(totals->routes);
    *totals = (struct totals){0};
}

static uint64_t read_u64(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct totals_route *find(const struct totals *totals, const char *name)
{
    for (uint32_t i = 0; i < totals->n_routes; i++)
        if (strcmp(totals->routes[i].name, name) == 0)
            return &totals->routes[i];
    return NULL;
}

static struct totals_route *find_or_add(struct totals *totals, const char *name)
{
    struct totals_route *route = find(totals, name);
    if (route)
        return route;
    if (totals->n_routes + 1 >= totals->cap) { /* the last entry is for all that have no room */
        route = &totals->routes[totals->cap - 1];
        totals->n_routes = totals->cap;
        name = "other";
    } else {
        route = &totals->routes[totals->n_routes++];
    }
    (void)snprintf(route->name, NAME_BYTES, "%s", name);
    return route;
}

void totals_add(struct totals *totals, const struct scoreboard_part *part, uint32_t n_routes)
{
    const struct seat_head *head = part->head;
    totals->accepted += read_u64(&head->accepted);
    totals->requests += read_u64(&head->requests);
    for (unsigned i = 0; i < 6; i++)
        totals->responses[i] += read_u64(&head->responses[i]);
    totals->bytes_in += read_u64(&head->bytes_in);
    totals->bytes_out += read_u64(&head->bytes_out);
    totals->log_dropped += read_u64(&head->log_dropped);
    for (uint32_t i = 0; i < n_routes; i++) {
        uint64_t requests = read_u64(&part->routes[i].requests);
        uint64_t errors = read_u64(&part->routes[i].errors);
        if (requests == 0 && errors == 0)
            continue;
        char name[NAME_BYTES];
        memcpy(name, part->routes[i].name, sizeof name);
        name[sizeof name - 1] = '\0';
        struct totals_route *route = find_or_add(totals, name);
        route->requests += requests;
        route->errors += errors;
    }
}

void totals_add_tasks(struct totals *totals, const struct scoreboard_part *part)
{
    totals->tasks += read_u64(&part->head->tasks);
}

const struct totals_route *totals_find(const struct totals *totals, const char *name)
{
    return find(totals, name);
}
