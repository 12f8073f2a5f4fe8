/* workers/codel.c against a queue that is simulated: arrivals at random, a few servers, first come
 * first served. What is asked of it: a burst passes, a standing queue is bounded and costs no
 * throughput, nothing swings, and it ends when the load does. Random, but from fixed seeds. */
#include "workers/codel.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/harness/check.h"

#define TARGET_US UINT64_C(50000)
#define INTERVAL_US (10 * TARGET_US)
#define SERVERS 4
#define SERVICE_US 10000.0 /* on average: 400 requests a second are what it can do */
#define QUEUE_MAX 1000000
#define PATIENT_US (60 * CLOCK_US_PER_S)

struct sim {
    struct codel codel;
    uint64_t target_us;
    uint64_t now_us;
    uint64_t free_us[SERVERS]; /* when each is free again */
    uint64_t *queue;           /* when each of those that wait came */
    size_t head, tail;
    uint64_t next_us; /* arrival */
    size_t patient;   /* every so many-th has PATIENT_US; 0: none */
    double random;
    bool is_constant;
    /* of the period that is looked at; those that are patient apart */
    unsigned came, served, shed;
    uint64_t longest_us, least_us; /* wait of those that were served */
    unsigned patient_served, patient_shed;
    double sum_us;
};

/* Of an exponential distribution, by comparisons alone: von Neumann 1951. */
static double draw(double mean)
{
    for (double whole = 0;; whole++) {
        double first = drand48(), last = first;
        unsigned n = 1; /* in a row, each less than the one before */
        for (double next = drand48(); next < last; next = drand48(), n++)
            last = next;
        if (n % 2 == 1)
            return mean * (whole + first);
    }
}

static void begin_period(struct sim *s)
{
    s->came = s->served = s->shed = s->patient_served = s->patient_shed = 0;
    s->longest_us = 0;
    s->least_us = UINT64_MAX;
    s->sum_us = 0;
}

static struct sim *begin(long seed, uint64_t target_us)
{
    struct sim *s = calloc(1, sizeof *s);
    s->queue = calloc(QUEUE_MAX, sizeof *s->queue);
    s->target_us = target_us;
    s->now_us = 1000000;
    srand48(seed);
    begin_period(s);
    return s;
}

static void end(struct sim *s)
{
    free(s->queue);
    free(s);
}

static void note_served(struct sim *s, uint64_t wait_us)
{
    s->served++;
    s->sum_us += (double)wait_us;
    s->longest_us = wait_us > s->longest_us ? wait_us : s->longest_us;
    s->least_us = wait_us < s->least_us ? wait_us : s->least_us;
}

/* A server takes what comes next; what is shed costs it no time. */
static void serve(struct sim *s, size_t server)
{
    while (s->head < s->tail) {
        bool is_patient = s->patient > 0 && s->head % s->patient == 0;
        uint64_t wait_us = s->now_us - s->queue[s->head++];
        const struct codel_turn turn = {.target_us = is_patient ? PATIENT_US : s->target_us,
                                        .wait_us = wait_us,
                                        .now_us = s->now_us,
                                        .is_last = s->head == s->tail};
        if (codel_judge(&s->codel, &turn)) {
            *(is_patient ? &s->patient_shed : &s->shed) += 1;
            continue;
        }
        if (is_patient)
            s->patient_served++;
        else
            note_served(s, wait_us);
        s->free_us[server] = s->now_us + (uint64_t)draw(SERVICE_US) + 1;
        return;
    }
}

/* rate  arrivals a second, of what 400 can be served; 0: none */
static void run(struct sim *s, double rate, uint64_t for_us)
{
    uint64_t end_us = s->now_us + for_us;
    s->next_us = rate > 0 ? s->now_us + (uint64_t)draw(1e6 / rate) : UINT64_MAX;
    for (;;) {
        uint64_t at_us = s->next_us < end_us ? s->next_us : end_us;
        size_t server = 0;
        for (size_t i = 1; i < SERVERS; i++)
            if (s->free_us[i] < s->free_us[server])
                server = i;
        if (s->head < s->tail && s->free_us[server] <= at_us) {
            s->now_us = s->free_us[server] > s->now_us ? s->free_us[server] : s->now_us;
            serve(s, server);
            continue;
        }
        s->now_us = at_us;
        if (at_us == end_us)
            return;
        s->came++;
        s->queue[s->tail++] = at_us;
        s->next_us = at_us + (uint64_t)draw(1e6 / rate) + 1;
    }
}

static void a_burst_passes(void **state)
{
    (void)state;
    struct sim *s = begin(1, TARGET_US);
    run(s, 200, 5 * CLOCK_US_PER_S);
    for (int i = 0; i < 150; i++) /* for which it takes longer than seven times the target */
        s->queue[s->tail++] = s->now_us;
    run(s, 10, 5 * CLOCK_US_PER_S);
    CHECK(s->longest_us > 3 * TARGET_US);
    CHECK_EQ(s->shed, 0);
    end(s);
}

static void without_a_target_nothing_is_shed(void **state)
{
    (void)state;
    struct sim *s = begin(2, 0);
    run(s, 800, 10 * CLOCK_US_PER_S);
    CHECK(s->longest_us > CLOCK_US_PER_S);
    CHECK_EQ(s->shed, 0);
    end(s);
}

/* Twice as much as it can do: half of it is shed, the rest waits for twice the target at most. */
static void a_standing_queue_is_bounded(void **state)
{
    (void)state;
    struct sim *s = begin(3, TARGET_US);
    run(s, 800, 2 * INTERVAL_US);
    CHECK(s->shed > 0);
    begin_period(s);
    run(s, 800, 20 * CLOCK_US_PER_S);
    (void)printf("> rate 2.00: served %u of %u, shed %u, wait %.0f ms, at most %.0f\n", s->served,
                 s->came, s->shed, s->sum_us / s->served / 1e3, (double)s->longest_us / 1e3);
    CHECK(s->longest_us <= 2 * TARGET_US);
    CHECK(s->served > 20 * 400 * 0.96); /* not a server had nothing to do for it */
    CHECK(s->shed > s->came * 0.45 && s->shed < s->came * 0.55);
    end(s);
}

/* One in ten can wait for a minute: all others are shed as if it were not there. */
static void a_longer_target_is_only_for_whom_it_is(void **state)
{
    (void)state;
    struct sim *s = begin(3, TARGET_US);
    s->patient = 10;
    run(s, 800, 2 * INTERVAL_US);
    CHECK(s->shed > 0);
    begin_period(s);
    run(s, 800, 20 * CLOCK_US_PER_S);
    (void)printf("> one in ten is patient: served %u of %u, shed %u, at most %.0f ms; %u patient\n",
                 s->served, s->came, s->shed, (double)s->longest_us / 1e3, s->patient_served);
    CHECK(s->longest_us <= 2 * TARGET_US);
    CHECK_EQ(s->patient_shed, 0);
    CHECK(s->served + s->patient_served > 20 * 400 * 0.96);
    CHECK(s->shed > s->came * 0.45 && s->shed < s->came * 0.55);
    run(s, 200, 2 * INTERVAL_US);
    CHECK(!s->codel.is_shedding);
    end(s);
}

/* Fifths of a second, one by one: who is served does not wait for hardly anything in one and for
 * long in the next, there is always work, and no more are shed in one than that there are too many
 * and chance. A tenth too much is less than what chance makes of arrivals. */
static void check_steady(double rate, bool is_clear)
{
    struct sim *s = begin(4, TARGET_US);
    unsigned least = UINT32_MAX, most = 0, served = 0;
    uint64_t shortest_us = UINT64_MAX, longest_us = 0;
    run(s, rate, 5 * CLOCK_US_PER_S);
    for (int i = 0; i < 100; i++) {
        begin_period(s);
        run(s, rate, CLOCK_US_PER_S / 5);
        least = s->shed < least ? s->shed : least;
        most = s->shed > most ? s->shed : most;
        shortest_us = s->longest_us < shortest_us ? s->longest_us : shortest_us;
        longest_us = s->longest_us > longest_us ? s->longest_us : longest_us;
        served += s->served;
    }
    (void)printf("> rate %.2f: served %u, shed %u to %u in a fifth of a second, longest wait of "
                 "one %.0f to %.0f ms\n",
                 rate / 400, served, least, most, (double)shortest_us / 1e3,
                 (double)longest_us / 1e3);
    CHECK(longest_us <= 2 * TARGET_US);
    CHECK(!is_clear || shortest_us > TARGET_US * 3 / 4);
    CHECK(served > 20 * 400 * 0.96);
    CHECK(most < (rate - 400) / 5 + 60);
    end(s);
}

static void under_a_steady_overload_nothing_swings(void **state)
{
    (void)state;
    check_steady(440, false);
    check_steady(520, true);
    check_steady(800, true);
    check_steady(2000, true);
}

static void it_ends_with_the_overload(void **state)
{
    (void)state;
    struct sim *s = begin(5, TARGET_US);
    run(s, 800, 5 * CLOCK_US_PER_S);
    CHECK(s->codel.is_shedding);
    run(s, 200, 2 * INTERVAL_US);
    CHECK(!s->codel.is_shedding);
    begin_period(s);
    run(s, 200, 10 * CLOCK_US_PER_S);
    CHECK_EQ(s->shed, 0);
    end(s);
}

/* As much as it can do, nearly: it waits now and then, and hardly anybody is shed for that. */
static void a_high_load_is_no_overload(void **state)
{
    (void)state;
    struct sim *s = begin(6, TARGET_US);
    run(s, 340, 60 * CLOCK_US_PER_S);
    (void)printf("> rate 0.85: shed %u of %u\n", s->shed, s->came);
    CHECK(s->shed * 200 < s->came);
    end(s);
}

static bool judge(struct codel *c, uint64_t wait_us, uint64_t now_us, bool is_last)
{
    const struct codel_turn turn = {
        .target_us = TARGET_US, .wait_us = wait_us, .now_us = now_us, .is_last = is_last};
    return codel_judge(c, &turn);
}

/* Whoever is last is served, however long it waited: else servers would stand idle. */
static void the_last_one_is_served(void **state)
{
    (void)state;
    struct codel c = {0};
    for (uint64_t t = 1; t < 100; t++)
        CHECK(!judge(&c, 20 * TARGET_US, t * INTERVAL_US, true));
}

/* One that waited for less within the interval: then it was a burst. */
static void one_short_wait_is_enough(void **state)
{
    (void)state;
    struct codel c = {0};
    CHECK(!judge(&c, 2 * TARGET_US, 1000, false));
    CHECK(!judge(&c, TARGET_US - 1, 1000 + INTERVAL_US / 2, false));
    CHECK(!judge(&c, 2 * TARGET_US, 1000 + INTERVAL_US, false));
    CHECK(!judge(&c, 2 * TARGET_US, 999 + 2 * INTERVAL_US, false));
    CHECK(judge(&c, 2 * TARGET_US, 1000 + 2 * INTERVAL_US, false));
}

/* The law: an interval, then an interval ÷ √2, √3 … */
static void the_pace_is_codels(void **state)
{
    (void)state;
    struct codel c = {0};
    static const double roots[] = {1, 1.41421, 1.73205};
    uint64_t at[4], n = 0;
    for (uint64_t t = 1; n < 4; t += 100)
        if (judge(&c, TARGET_US, t, false))
            at[n++] = t;
    CHECK(at[0] >= INTERVAL_US && at[0] <= INTERVAL_US + 200);
    for (int i = 0; i < 3; i++) {
        uint64_t pause_us = at[i + 1] - at[i];
        double law = (double)INTERVAL_US / roots[i];
        CHECK((double)pause_us > law - 200 && (double)pause_us < law * 1.02 + 200);
    }
}

static bool judge_patient(struct codel *c, uint64_t now_us)
{
    const struct codel_turn turn = {
        .target_us = PATIENT_US, .wait_us = PATIENT_US, .now_us = now_us};
    return codel_judge(c, &turn);
}

/* Every 100 us one that has waited for its target. Returns when the first of them is shed; by then
 * an interval is over at most */
static uint64_t run_until_shed(struct codel *c, uint64_t now_us)
{
    const uint64_t end_us = now_us + INTERVAL_US + 200;
    while (now_us < end_us && !judge(c, TARGET_US, now_us, false))
        now_us += 100;
    CHECK(now_us < end_us);
    return now_us;
}

/* The first to miss after a pause can wait for a minute, and has: the others' pace is their own. */
static void after_a_pause_a_longer_target_changes_nothing(void **state)
{
    (void)state;
    struct codel c = {0};
    uint64_t now_us = run_until_shed(&c, 1000);
    CHECK(!judge(&c, TARGET_US - 1, now_us + 100, false));
    CHECK(!judge_patient(&c, now_us + 200));
    now_us = run_until_shed(&c, now_us + 300);
    CHECK(!judge(&c, TARGET_US - 1, now_us + 100, false));
    CHECK(!judge_patient(&c, now_us + 200));
    CHECK(!judge(&c, TARGET_US - 1, now_us + 300, false));
    CHECK(c.is_shedding);
    CHECK(!judge(&c, TARGET_US - 1, now_us + 200 + INTERVAL_US, false));
    CHECK(!c.is_shedding);
}

/* It began with those that can wait for a minute. */
static void a_shorter_target_has_its_own_pace_at_once(void **state)
{
    (void)state;
    struct codel c = {0};
    CHECK(!judge_patient(&c, 1000));
    CHECK(judge_patient(&c, 1000 + 10 * PATIENT_US));
    (void)run_until_shed(&c, 1100 + 10 * PATIENT_US);
}

static void a_small_target_has_an_interval_all_the_same(void **state)
{
    (void)state;
    CHECK_EQ(codel_interval_us(1000), 100000);
    CHECK_EQ(codel_interval_us(100000), 1000000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        TEST(a_burst_passes),
        TEST(without_a_target_nothing_is_shed),
        TEST(a_standing_queue_is_bounded),
        TEST(a_longer_target_is_only_for_whom_it_is),
        TEST(under_a_steady_overload_nothing_swings),
        TEST(it_ends_with_the_overload),
        TEST(a_high_load_is_no_overload),
        TEST(the_last_one_is_served),
        TEST(one_short_wait_is_enough),
        TEST(the_pace_is_codels),
        TEST(after_a_pause_a_longer_target_changes_nothing),
        TEST(a_shorter_target_has_its_own_pace_at_once),
        TEST(a_small_target_has_an_interval_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
