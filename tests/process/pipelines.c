/* The property of tests/unit/http/pipelines.c through a running worker of each class: the answers to
 * cases behind each other, cut at random, are those to each case alone and whole. Each piece is sent
 * when the worker has read the one before. REMUDA_TEST_SEED and REMUDA_TEST_ROUNDS as there. */
#include "tests/harness/pipelines.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/classes.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"

#define ROUNDS 200U
#define SEED 20240608U

/* Ends every exchange, so that all that is answered is known to have come. */
static const char last_request[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

static const struct classes_class *class_now;
static struct server *server;
static struct cases_list list;
static uint64_t seed, rounds;

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t number = text ? strtoull(text, NULL, 10) : 0;
    return number > 0 ? number : otherwise;
}

/* Sends all of it, cut at random (mix is NULL: whole), and appends the masked answers. */
static void exchange(const char *octets, size_t len, bool closes, const struct pipelines_mix *mix,
                     struct buf *out_answers)
{
    struct client *c = client_open(server_address(server, 1));
    bool is_open = true;
    for (size_t sent = 0; is_open && sent < len;) {
        size_t n = mix ? pipelines_cut(mix, len - sent, &seed) : len;
        is_open = client_send(c, octets + sent, n);
        client_wait_taken(c);
        sent += n;
    }
    if (is_open && !closes)
        is_open = client_send(c, last_request, sizeof last_request - 1);
    CHECK(is_open || closes);
    client_read_all(c);
    cases_mask(&c->in);
    CHECK(buf_append(out_answers, c->in.data, c->in.len) == 0);
    client_close(c);
}

/* The answers to each case alone; without that to the last request, but for the last case. */
static void expect(const struct pipelines_mix *mix, size_t last_len, struct buf *out_answers)
{
    out_answers->len = 0;
    for (size_t i = 0; i < mix->n; i++) {
        const struct cases_case *one = &list.items[mix->index[i]];
        exchange(one->octets, one->len, one->closes, NULL, out_answers);
        if (i + 1 < mix->n)
            out_answers->len -= last_len;
    }
}

static void answers_to_a_pipeline_are_those_to_its_requests_alone(void **state)
{
    (void)state;
    struct pipelines_mix mix = {0};
    struct buf last = {0}, seen = {0}, expected = {0};
    exchange(last_request, sizeof last_request - 1, true, NULL, &last);
    for (uint64_t round = 0; round < rounds / patience_factor() + 1; round++) {
        uint64_t seed_of_round = seed;
        pipelines_make(&mix, &list, &seed);
        check_context("%s, REMUDA_TEST_SEED=%llu: %s", class_now->name,
                      (unsigned long long)seed_of_round, pipelines_text(&mix, &list));
        seen.len = 0;
        exchange(mix.octets.data, mix.octets.len, list.items[mix.index[mix.n - 1]].closes, &mix,
                 &seen);
        expect(&mix, last.len, &expected);
        CHECK_BYTES(seen.data, seen.len, expected.data, expected.len);
    }
    buf_fini(&mix.octets);
    buf_fini(&last);
    buf_fini(&seen);
    buf_fini(&expected);
}

static int start(void **state)
{
    (void)server_setup_group(state);
    server = classes_start(class_now, REMUDA_DEMO_SO);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SERVER_SHARED_TEST(answers_to_a_pipeline_are_those_to_its_requests_alone),
    };
    struct err err;
    if (cases_load_all(&list, &err) < 0) {
        print_error("%s\n", err.text);
        return 1;
    }
    seed = number_of("REMUDA_TEST_SEED", SEED);
    rounds = number_of("REMUDA_TEST_ROUNDS", ROUNDS);
    int failed = 0;
    server_choose_tests();
    for (size_t i = 0; i < classes_n; i++) {
        class_now = &classes[i];
        failed += _cmocka_run_group_tests(class_now->name, tests, 1, start, server_teardown);
    }
    cases_free(&list);
    return failed;
}
