/* See sums.h. Process: master, on a control client's request. */
#include "server/sums.h"

#include "server/accounts.h"

static uint64_t read_u64(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

bool sums_find_named(const struct herd *herd, struct scoreboard_part *out)
{
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (seat->role != ROLE_WEB || seat->phase != SEAT_READY ||
            seat->generation != herd->current->number)
            continue;
        *out = scoreboard_peek(&herd->board, i);
        return true;
    }
    return false;
}

uint64_t sums_add_up(const struct herd *herd)
{
    uint64_t connections = 0;
    struct scoreboard_part named;
    bool is_named = sums_find_named(herd, &named);
    totals_clear(herd->sums, is_named ? &named : NULL, herd->board.n_routes);
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (seat->phase == SEAT_FREE || seat->phase == SEAT_BURIED)
            continue;
        const struct scoreboard_part part = scoreboard_peek(&herd->board, i);
        if (seat->role == ROLE_COMPUTE) {
            const char *pool = pools_name(&herd_generation(herd, seat)->pools, seat->pool);
            totals_add_tasks(herd->sums, &part, accounts_names(herd, seat->generation),
                             herd->board.n_routes, pool ? pool : "");
        } else if (seat->role == ROLE_WEB) {
            totals_add(herd->sums, &part, herd->board.n_routes);
            connections += read_u64(&part.head->connections);
        }
    }
    totals_add_totals(herd->sums, &herd->totals);
    return connections;
}
