/* A property of the connection machine: the answers to cases of tests/cases behind each other, cut
 * at random, are octet by octet those to each case alone and whole. Date stands still here.
 * REMUDA_TEST_SEED and REMUDA_TEST_ROUNDS in the environment: other mixes, more of them. */
#include "tests/harness/pipelines.h"

#include "tests/unit/http/wire.h"

#define ROUNDS 3000U
#define SEED 20240607U

static struct wire wire;
static struct cases_list list;
static struct buf *alone; /* masked answers to each case alone */

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t number = text ? strtoull(text, NULL, 10) : 0;
    return number > 0 ? number : otherwise;
}

static bool is_closed(void)
{
    return wire.conn.state == CONN_LINGER || wire.conn.state == CONN_CLOSED;
}

/* Feeds all of it, cut at random; mix is NULL: whole. */
static void deliver(const char *octets, size_t len, const struct pipelines_mix *mix, uint64_t *seed)
{
    wire_reopen(&wire);
    for (size_t fed = 0; fed < len && !is_closed();) {
        size_t n = mix ? pipelines_cut(mix, len - fed, seed) : len;
        CHECK(wire_feed(&wire, octets + fed, n) == n || is_closed());
        fed += n;
    }
    cases_mask(&wire.sent);
}

static void answers_to_a_pipeline_are_those_to_its_requests_alone(void **state)
{
    (void)state;
    uint64_t seed = number_of("REMUDA_TEST_SEED", SEED);
    uint64_t rounds = number_of("REMUDA_TEST_ROUNDS", ROUNDS);
    struct pipelines_mix mix = {0};
    struct buf expected = {0};
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t seed_of_round = seed;
        pipelines_make(&mix, &list, &seed);
        check_context("REMUDA_TEST_SEED=%llu: %s", (unsigned long long)seed_of_round,
                      pipelines_text(&mix, &list));
        expected.len = 0;
        for (size_t i = 0; i < mix.n; i++)
            CHECK(buf_append(&expected, alone[mix.index[i]].data, alone[mix.index[i]].len) == 0);
        deliver(mix.octets.data, mix.octets.len, &mix, &seed);
        CHECK_BYTES(wire.sent.data, wire.sent.len, expected.data, expected.len);
        CHECK_EQ(is_closed(), list.items[mix.index[mix.n - 1]].closes);
    }
    buf_fini(&mix.octets);
    buf_fini(&expected);
}

static int open_all(void **state)
{
    (void)state;
    struct err err;
    if (cases_load_all(&list, &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    wire_open(&wire);
    alone = calloc(list.n, sizeof *alone);
    if (!alone)
        return -1;
    for (size_t i = 0; i < list.n; i++) {
        deliver(list.items[i].octets, list.items[i].len, NULL, NULL);
        CHECK(buf_append(&alone[i], wire.sent.data, wire.sent.len) == 0);
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < list.n; i++)
        buf_fini(&alone[i]);
    free(alone);
    wire_close(&wire);
    cases_free(&list);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_to_a_pipeline_are_those_to_its_requests_alone),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
