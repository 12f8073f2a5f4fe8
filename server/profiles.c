/* See profiles.h. Process: master, on a control client's request. */
#include "server/profiles.h"

#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "config/settings.h"
#include "server/sums.h"

void profiles_tell_sums(const struct profile_sums *sums, struct json_out *out)
{
    json_out_u64(out, "calls", sums->calls);
    json_out_u64(out, "wait_us", sums->wait_ns / CLOCK_NS_PER_US);
    json_out_u64(out, "wall_us", sums->wall_ns / CLOCK_NS_PER_US);
    json_out_u64(out, "measured", sums->measured);
    json_out_u64(out, "measured_wall_us", sums->measured_wall_ns / CLOCK_NS_PER_US);
    json_out_u64(out, "cpu_us", sums->cpu_ns / CLOCK_NS_PER_US);
    json_out_u64(out, "delay_us", sums->delay_ns / CLOCK_NS_PER_US);
    json_out_u64(out, "waited_us", profile_waited_ns(sums) / CLOCK_NS_PER_US);
}

/* As far as there is something in them. */
static void tell_counts(const char *name, const uint64_t counts[METER_BUCKETS],
                        struct json_out *out)
{
    size_t n = METER_BUCKETS;
    while (n > 0 && counts[n - 1] == 0)
        n--;
    json_out_open(out, name, '[');
    for (size_t i = 0; i < n; i++)
        json_out_u64(out, NULL, counts[i]);
    json_out_close(out, ']');
}

static void count_answers(const struct totals_route *route, int lane, uint64_t *out_answers,
                          uint64_t *out_errors)
{
    *out_answers = *out_errors = 0;
    for (int method = 0; method < PROFILE_METHODS; method++) {
        const uint64_t *classes = route->answers[lane][method];
        for (int class = 0; class < PROFILE_CLASSES; class ++)
            *out_answers += classes[class];
        *out_errors += classes[0] + classes[5];
    }
}

static void tell_lane(const struct totals_route *route, int lane, struct json_out *out)
{
    const struct profile_sums *sums = &route->lanes[lane];
    uint64_t answers, errors;
    count_answers(route, lane, &answers, &errors);
    if (sums->calls == 0 && answers == 0)
        return;
    json_out_open(out, profile_lane_names[lane], '{');
    json_out_u64(out, "answers", answers);
    json_out_u64(out, "errors", errors);
    profiles_tell_sums(sums, out);
    tell_counts("wall_counts", sums->wall, out);
    tell_counts("wait_counts", sums->wait, out);
    json_out_close(out, '}');
}

/* The slowest of those that the living workers keep. index: of its block, most likely */
static bool find_exemplar(const struct herd *herd, const struct totals_route *route, uint32_t index,
                          struct route_exemplar *out)
{
    bool is_found = false;
    for (uint32_t i = 0; index < herd->board.n_routes && i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        struct route_exemplar one;
        if (seat->role != ROLE_WEB || seat->phase == SEAT_FREE || seat->phase == SEAT_BURIED)
            continue;
        const struct route_stats *stats = &scoreboard_peek(&herd->board, i).routes[index];
        if (strncmp(stats->name, route->name, sizeof stats->name - 1) != 0 ||
            !scoreboard_read_exemplar(&stats->exemplar, &one) ||
            (is_found && one.latency_us <= out->latency_us))
            continue;
        *out = one;
        is_found = true;
    }
    return is_found;
}

static void tell_exemplar(const struct route_exemplar *exemplar, struct json_out *out)
{
    int64_t age_us = (int64_t)clock_wall_us() - exemplar->wall_us;
    json_out_open(out, "exemplar", '{');
    json_out_text(out, "trace", str_make(exemplar->trace, exemplar->trace_len));
    json_out_u64(out, "latency_us", exemplar->latency_us);
    json_out_u64(out, "age_ms", age_us > 0 ? (uint64_t)age_us / CLOCK_US_PER_MS : 0);
    json_out_close(out, '}');
}

static void tell_route(const struct herd *herd, uint32_t index, struct json_out *out)
{
    const struct totals_route *route = &herd->sums->routes[index];
    struct route_exemplar exemplar;
    json_out_open(out, NULL, '{');
    json_out_text(out, "route", str_of(route->name));
    json_out_u64(out, "requests", route->requests);
    json_out_u64(out, "errors", route->errors);
    tell_counts("latency_counts", route->latency, out);
    json_out_open(out, "lanes", '{');
    for (int lane = 0; lane < PROFILE_LANES; lane++)
        tell_lane(route, lane, out);
    json_out_close(out, '}');
    if (find_exemplar(herd, route, index, &exemplar))
        tell_exemplar(&exemplar, out);
    else
        json_out_null(out, "exemplar");
    json_out_close(out, '}');
}

void profiles_tell(const struct herd *herd, struct json_out *out)
{
    (void)sums_add_up(herd);
    json_out_u64(out, "generation", (uint64_t)herd->current->number);
    json_out_bool(out, "has_loop", herd->current->settings->worker_class == WORKER_CLASS_EVENT);
    json_out_open(out, "routes", '[');
    for (uint32_t i = 0; i < herd->sums->n_routes; i++)
        if (totals_is_used(&herd->sums->routes[i]))
            tell_route(herd, i, out);
    json_out_close(out, ']');
}
