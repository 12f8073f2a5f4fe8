/* Tests of server/autolane.c: what is made of what workers say of their routes. */
#include "server/autolane.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "server/herd.h"
#include "tests/unit/server/crew.h"

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

#define LOOK_US (S / 2)
#define MS UINT64_C(1000000) /* in ns */

static void name_routes(struct crew *crew, const struct seat *web)
{
    struct scoreboard_part part = crew_map(crew, web);
    (void)snprintf(part.routes[0].name, sizeof part.routes[0].name, "GET /fixed");
    (void)snprintf(part.routes[1].name, sizeof part.routes[1].name, "GET /auto");
    atomic_store(&part.routes[1].auto_pool, 1);
    crew_unmap(crew, &part);
}

/* So many calls more, and what each has taken. */
static void call(struct crew *crew, const struct seat *web, uint64_t calls, uint64_t wall_ns,
                 uint64_t cpu_ns)
{
    struct scoreboard_part part = crew_map(crew, web);
    struct profile *p = &part.routes[1].lanes[PROFILE_IO];
    atomic_fetch_add(&p->measured, calls);
    atomic_fetch_add(&p->measured_wall_ns, calls * wall_ns);
    atomic_fetch_add(&p->cpu_ns, calls * cpu_ns);
    crew_unmap(crew, &part);
}

static void turn(struct crew *crew)
{
    crew->herd.now_us += LOOK_US;
    autolane_turn(&crew->herd);
}

static void who_names_no_routes_is_not_believed(void **state)
{
    struct crew *crew = *state;
    struct lane_table *lanes = &crew->herd.current->lanes;
    turn(crew);
    assert_false(lanes->is_read);
    assert_true(autolane_next_us(&crew->herd) != SEAT_NEVER);
    name_routes(crew, crew->web[1]);
    turn(crew);
    assert_true(lanes->is_read);
    assert_int_equal(lanes->n, 1);
    assert_string_equal(lanes->routes[0].name, "GET /auto");
}

/* What the dead one had waited would be taken off what the other waits, and its calls, too: what is
 * left would look like calls that compute. */
static void a_death_is_not_hidden_by_what_others_gain(void **state)
{
    struct crew *crew = *state;
    const struct lane_state *lane = &crew->herd.current->lanes.routes[0].state;
    for (int i = 0; i < 2; i++)
        name_routes(crew, crew->web[i]);
    call(crew, crew->web[0], 100, 20 * MS, 0);
    turn(crew);
    crew_kill(crew, crew->web[0]);
    call(crew, crew->web[1], 200, 20 * MS, 8 * MS);
    turn(crew);
    assert_true(lane->cpu_us <= 0); /* nothing was taken from it, */
    assert_int_equal(lane->lane, PROFILE_IO);
    call(crew, crew->web[1], 200, 20 * MS, 8 * MS);
    turn(crew);
    assert_true(lane->cpu_us > 7999 && lane->cpu_us < 8001); /* and the next says what is */
    assert_true(lane->wait_us > 11999 && lane->wait_us < 12001);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_open, crew_close)
    const struct CMUnitTest tests[] = {
        TEST(who_names_no_routes_is_not_believed),
        TEST(a_death_is_not_hidden_by_what_others_gain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
