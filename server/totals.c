/* Totals by name. Process: master. Names, not indexes: two generations may number their routes and
 * pools differently. A route is mostly found where it has its index, else tables are searched. */
#include "server/totals.h"

#include <errno.h>
#include <stdio.h>
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

static struct totals_route *add_route(struct totals *totals, const char *name)
{
    struct totals_route *route;
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

/* index  where it is, most likely */
static struct totals_route *find_or_add(struct totals *totals, const char *name, uint32_t index)
{
    if (index < totals->n_routes && strcmp(totals->routes[index].name, name) == 0)
        return &totals->routes[index];
    struct totals_route *route = find(totals, name);
    return route ? route : add_route(totals, name);
}

static struct totals_pool *find_or_add_pool(struct totals *totals, const char *name)
{
    uint32_t i = 0;
    while (i < totals->n_pools && strcmp(totals->pools[i].name, name) != 0)
        i++;
    if (i < totals->n_pools)
        return &totals->pools[i];
    if (i == TOTALS_POOLS - 1)
        name = "other";
    if (i == TOTALS_POOLS)
        return &totals->pools[TOTALS_POOLS - 1];
    (void)snprintf(totals->pools[i].name, sizeof totals->pools[i].name, "%s", name);
    totals->n_pools++;
    return &totals->pools[i];
}

static void read_name(const struct route_stats *stats, char out[NAME_BYTES])
{
    memcpy(out, stats->name, NAME_BYTES);
    out[NAME_BYTES - 1] = '\0';
}

void totals_clear(struct totals *totals, const struct scoreboard_part *part, uint32_t n_routes)
{
    struct totals_route *routes = totals->routes;
    char name[NAME_BYTES];
    memset(routes, 0, totals->cap * sizeof *routes);
    *totals = (struct totals){.routes = routes, .cap = totals->cap};
    for (uint32_t i = 0; part && i < n_routes && part->routes[i].name[0]; i++) {
        read_name(&part->routes[i], name);
        (void)find_or_add(totals, name, i);
    }
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
    totals->refused += read_u64(&head->refused);
    totals->overdue += read_u64(&head->overdue);
    totals->slow += read_u64(&head->slow);
    totals->copied += read_u64(&head->copied);
    for (uint32_t i = 0; i < n_routes && part->routes[i].name[0]; i++) {
        char name[NAME_BYTES];
        uint64_t requests = read_u64(&part->routes[i].requests);
        uint64_t errors = read_u64(&part->routes[i].errors);
        if (requests == 0 && errors == 0)
            continue;
        read_name(&part->routes[i], name);
        struct totals_route *route = find_or_add(totals, name, i);
        route->requests += requests;
        route->errors += errors;
    }
}

static uint64_t read_believable(const _Atomic uint64_t *counter)
{
    uint64_t n = read_u64(counter);
    return n <= ACCOUNT_BELIEVABLE_MAX ? n : 0;
}

/* All workers of a generation number their blocks alike. */
static bool is_name(const char *name, const struct route_stats *names, uint32_t index)
{
    if (names)
        return name[0] && strncmp(name, names[index].name, NAME_BYTES - 1) == 0;
    for (const char *p = name; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            return false;
    return name[0] != '\0';
}

void totals_add_tasks(struct totals *totals, const struct scoreboard_part *part,
                      const struct route_stats *names, uint32_t n_routes, const char *pool)
{
    const struct seat_head *head = part->head;
    uint32_t n = atomic_load_explicit(&head->n_account_routes, memory_order_relaxed);
    totals->tasks += read_believable(&head->tasks);
    totals->copied += read_believable(&head->copied);
    account_add(&find_or_add_pool(totals, pool)->account, &head->account);
    for (uint32_t i = 0; i < n && i < n_routes; i++) {
        char name[NAME_BYTES];
        read_name(&part->routes[i], name);
        if (is_name(name, names, i))
            account_add(&find_or_add(totals, name, i)->account, &part->routes[i].account);
    }
}

void totals_count_lost(struct totals *totals, const char *route, const char *pool,
                       enum account_number end, const struct account_used *used)
{
    account_count(&find_or_add_pool(totals, pool)->account, end, used);
    if (route[0])
        account_count(&find_or_add(totals, route, 0)->account, end, used);
}

void totals_add_totals(struct totals *totals, const struct totals *others)
{
    totals->accepted += others->accepted;
    totals->requests += others->requests;
    for (unsigned i = 0; i < 6; i++)
        totals->responses[i] += others->responses[i];
    totals->bytes_in += others->bytes_in;
    totals->bytes_out += others->bytes_out;
    totals->log_dropped += others->log_dropped;
    totals->refused += others->refused;
    totals->overdue += others->overdue;
    totals->slow += others->slow;
    totals->tasks += others->tasks;
    totals->copied += others->copied;
    for (uint32_t i = 0; i < others->n_routes; i++) {
        struct totals_route *route = find_or_add(totals, others->routes[i].name, i);
        route->requests += others->routes[i].requests;
        route->errors += others->routes[i].errors;
        account_merge(&route->account, &others->routes[i].account);
    }
    for (uint32_t i = 0; i < others->n_pools; i++)
        account_merge(&find_or_add_pool(totals, others->pools[i].name)->account,
                      &others->pools[i].account);
}

const struct totals_route *totals_find(const struct totals *totals, const char *name)
{
    return find(totals, name);
}

const struct totals_pool *totals_find_pool(const struct totals *totals, const char *name)
{
    for (uint32_t i = 0; i < totals->n_pools; i++)
        if (strcmp(totals->pools[i].name, name) == 0)
            return &totals->pools[i];
    return NULL;
}
