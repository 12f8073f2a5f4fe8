/* Totals by name. Process: master, and whoever tells them. Names, not indexes: two generations may
 * number their routes and pools differently. A route is mostly found where it has its index, else
 * tables are searched. */
#include "ipc/totals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define NAME_BYTES sizeof(((struct totals_route *)0)->name)
#define OTHER "other"

int totals_init(struct totals *totals, uint32_t max_routes)
{
    *totals = (struct totals){.cap = max_routes + 1};
    totals->routes = calloc(totals->cap, sizeof *totals->routes);
    return totals->routes ? 0 : -ENOMEM;
}

void totals_init_in(struct totals *totals, uint32_t max_routes, struct totals_route *routes)
{
    *totals = (struct totals){.cap = max_routes + 1, .routes = routes, .is_borrowed = true};
}

void totals_fini(struct totals *totals)
{
    if (!totals->is_borrowed)
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
        name = OTHER;
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
        name = OTHER;
    if (i == TOTALS_POOLS)
        return &totals->pools[TOTALS_POOLS - 1];
    (void)snprintf(totals->pools[i].name, sizeof totals->pools[i].name, "%s", name);
    totals->n_pools++;
    return &totals->pools[i];
}

/* What else may stand there a stray write has left, and it would stay in the totals for good.
 * Returns whether it is a name */
static bool read_name(const struct route_stats *stats, char out[NAME_BYTES])
{
    memcpy(out, stats->name, NAME_BYTES);
    out[NAME_BYTES - 1] = '\0';
    const struct str name = str_of(out);
    for (size_t i = 0, n; i < name.len; i += n) {
        n = str_utf8_length(name.p + i, name.len - i);
        if (n == 0)
            return false;
    }
    return name.len > 0 && !str_has_control(name) && strcmp(out, OTHER) != 0;
}

void totals_clear_counts(struct totals *totals, uint32_t n_names)
{
    struct totals_route *routes = totals->routes;
    for (uint32_t i = 0; i < totals->n_routes; i++) { /* the others are zero */
        struct totals_route named = {0};
        if (i < n_names)
            memcpy(named.name, routes[i].name, NAME_BYTES);
        routes[i] = named;
    }
    *totals = (struct totals){.routes = routes,
                              .n_routes = n_names < totals->n_routes ? n_names : totals->n_routes,
                              .cap = totals->cap,
                              .is_borrowed = totals->is_borrowed};
}

void totals_clear(struct totals *totals, const struct scoreboard_part *part, uint32_t n_routes)
{
    char name[NAME_BYTES];
    totals_clear_counts(totals, 0);
    for (uint32_t i = 0; part && i < n_routes && part->routes[i].name[0]; i++) {
        if (!read_name(&part->routes[i], name) || find(totals, name))
            (void)snprintf(name, sizeof name, "route~%u", i); /* those behind keep their index */
        (void)add_route(totals, name);
    }
}

static void add_counts(uint64_t *to, const _Atomic uint64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += read_u64(&from[i]);
}

#define ANSWERS (PROFILE_LANES * PROFILE_METHODS * PROFILE_CLASSES)

/* A stream may be one of calls for long before it is one of answers. */
static bool is_used(const struct route_stats *stats)
{
    for (int lane = 0; lane < PROFILE_LANES; lane++)
        if (read_u64(&stats->lanes[lane].calls) > 0)
            return true;
    return read_u64(&stats->requests) > 0 || read_u64(&stats->errors) > 0;
}

static void add_block(struct totals_route *route, const struct route_stats *stats)
{
    route->requests += read_u64(&stats->requests);
    route->errors += read_u64(&stats->errors);
    add_counts(&route->answers[0][0][0], &stats->answers[0][0][0], ANSWERS);
    add_counts(route->latency, stats->latency, METER_BUCKETS);
    route->latency_us += read_u64(&stats->latency_us);
    for (int lane = 0; lane < PROFILE_LANES; lane++)
        profile_add(&route->lanes[lane], &stats->lanes[lane]);
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
    totals->shed += read_u64(&head->shed);
    totals->overdue += read_u64(&head->overdue);
    totals->slow += read_u64(&head->slow);
    totals->copied += read_u64(&head->copied);
    add_counts(totals->latency, head->latency, METER_BUCKETS);
    add_counts(totals->handoff, head->handoff, METER_BUCKETS);
    totals->handoff_us += read_u64(&head->handoff_us);
    add_counts(totals->drift, head->drift, METER_BUCKETS);
    totals->drift_us += read_u64(&head->drift_sum_us);
    for (uint32_t i = 0; i < n_routes && part->routes[i].name[0]; i++) {
        char name[NAME_BYTES];
        if (is_used(&part->routes[i]) && read_name(&part->routes[i], name))
            add_block(find_or_add(totals, name, i), &part->routes[i]);
    }
}

static uint64_t read_believable(const _Atomic uint64_t *counter)
{
    uint64_t n = read_u64(counter);
    return n <= ACCOUNT_BELIEVABLE_MAX ? n : 0;
}

/* All workers of a generation number their blocks alike. */
static bool is_named(const struct route_stats *names, uint32_t index, const char *name)
{
    return !names || strncmp(name, names[index].name, NAME_BYTES - 1) == 0;
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
        if (read_name(&part->routes[i], name) && is_named(names, i, name))
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

static void merge_counts(uint64_t *to, const uint64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
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
    totals->shed += others->shed;
    totals->overdue += others->overdue;
    totals->slow += others->slow;
    totals->tasks += others->tasks;
    totals->copied += others->copied;
    merge_counts(totals->latency, others->latency, METER_BUCKETS);
    merge_counts(totals->handoff, others->handoff, METER_BUCKETS);
    totals->handoff_us += others->handoff_us;
    merge_counts(totals->drift, others->drift, METER_BUCKETS);
    totals->drift_us += others->drift_us;
    for (uint32_t i = 0; i < others->n_routes; i++) {
        struct totals_route *route = find_or_add(totals, others->routes[i].name, i);
        route->requests += others->routes[i].requests;
        route->errors += others->routes[i].errors;
        merge_counts(&route->answers[0][0][0], &others->routes[i].answers[0][0][0], ANSWERS);
        merge_counts(route->latency, others->routes[i].latency, METER_BUCKETS);
        route->latency_us += others->routes[i].latency_us;
        for (int lane = 0; lane < PROFILE_LANES; lane++)
            profile_merge(&route->lanes[lane], &others->routes[i].lanes[lane]);
        account_merge(&route->account, &others->routes[i].account);
    }
    for (uint32_t i = 0; i < others->n_pools; i++)
        account_merge(&find_or_add_pool(totals, others->pools[i].name)->account,
                      &others->pools[i].account);
}

bool totals_is_used(const struct totals_route *route)
{
    for (int lane = 0; lane < PROFILE_LANES; lane++)
        if (route->lanes[lane].calls > 0)
            return true;
    return route->requests > 0 || route->errors > 0;
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
