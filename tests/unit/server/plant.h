/* A simulated plant for the controller: jobs that come, wait for a unit, wait (W), and compute (C)
 * on CPUs that those who compute share evenly; in steps of a millisecond, by a random generator of
 * its own, so that a test sees the same each time. Included once by a test. */
#ifndef REMUDA_TESTS_UNIT_SERVER_PLANT_H
#define REMUDA_TESTS_UNIT_SERVER_PLANT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/adapt.h"

#define PLANT_UNITS 1024
#define PLANT_QUEUE 8192
#define PLANT_SAMPLES 65536
#define MS_US 1000.0

struct plant_unit {
    bool is_busy;
    double waits_ms, computes_ms; /* that are left */
    double delay_ms, cpu_ms;
    uint64_t began_ms, came_ms;
};

struct plant {
    struct adapt_rules rules;
    struct adapt_state state;
    /* What comes. */
    double rate;            /* jobs a second; 0: */
    uint32_t closed;        /* so many clients, each of which asks again at once */
    double wait_ms, cpu_ms; /* means of exponential distributions */
    double cpus;
    double drag_ms; /* each unit beyond `comfort` makes every job wait so much longer */
    uint32_t comfort;
    uint32_t starts_ms; /* until a new unit is there */
    double delay_known; /* share of it that the kernel tells */
    /* How it stands. */
    uint64_t now_ms;
    uint32_t units;
    uint64_t ready_ms[PLANT_UNITS];
    struct plant_unit unit[PLANT_UNITS];
    uint64_t queue[PLANT_QUEUE]; /* when each came */
    uint32_t first, n_queued, n_inside;
    uint64_t seed;
    double due_ms; /* the next arrival */
    /* Since the last look. */
    struct adapt_look look;
    double latency_ms[PLANT_SAMPLES];
    uint32_t n_latency;
    double used_ms; /* of CPUs */
    /* For the test. */
    uint64_t completed, refused;
    uint32_t most, least, steps, turns, undone;
    int direction;
    uint64_t last_step_ms;
    uint32_t n_used; /* no unit from here on has ever been */
};

static struct plant plant;

static double plant_random(void)
{
    plant.seed = plant.seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(plant.seed >> 11) / 9007199254740992.0;
}

/* Of what lies above 0 and up to 1, without a library for it: ln(m·2^-n), by its series. */
static double plant_logarithm(double x)
{
    double sum = 0;
    for (; x < 0.5; x *= 2)
        sum -= 0.69314718055994531;
    double ratio = (x - 1) / (x + 1);
    double power = ratio;
    for (int i = 1; i < 40; i += 2, power *= ratio * ratio)
        sum += 2 * power / i;
    return sum;
}

static double plant_root(double x)
{
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 40; i++)
        r = (r + x / r) / 2;
    return r;
}

static double plant_exponential(double mean)
{
    return mean <= 0 ? 0 : -mean * plant_logarithm(1 - plant_random());
}

static void plant_open(enum adapt_kind kind, uint32_t min, uint32_t max, uint32_t units,
                       double cpus)
{
    plant = (struct plant){.rules = {kind, min, max, cpus},
                           .cpus = cpus,
                           .units = units,
                           .n_used = units,
                           .comfort = PLANT_UNITS,
                           .seed = 42,
                           .delay_known = 1,
                           .most = units,
                           .least = units};
}

/* From here on. */
static void plant_forget_extremes(void)
{
    plant.most = plant.least = plant.units;
    plant.steps = plant.turns = plant.undone = 0;
    plant.direction = 0;
    plant.completed = 0;
}

static void plant_come(uint64_t came_ms)
{
    plant.look.arrivals++;
    if (plant.n_queued == PLANT_QUEUE) {
        plant.refused++;
        return;
    }
    plant.queue[(plant.first + plant.n_queued++) % PLANT_QUEUE] = came_ms;
    plant.n_inside++;
}

static void plant_arrive(void)
{
    while (plant.closed > plant.n_inside)
        plant_come(plant.now_ms);
    if (plant.rate <= 0) {
        plant.due_ms = 0;
        return;
    }
    if (plant.due_ms <= 0)
        plant.due_ms = (double)plant.now_ms + plant_exponential(1000 / plant.rate);
    while (plant.due_ms <= (double)plant.now_ms) {
        plant_come(plant.now_ms);
        plant.due_ms += plant_exponential(1000 / plant.rate);
    }
}

static void plant_begin(struct plant_unit *unit)
{
    uint32_t over = plant.units > plant.comfort ? plant.units - plant.comfort : 0;
    *unit = (struct plant_unit){.is_busy = true,
                                .waits_ms = plant_exponential(plant.wait_ms + plant.drag_ms * over),
                                .computes_ms = plant_exponential(plant.cpu_ms),
                                .began_ms = plant.now_ms,
                                .came_ms = plant.queue[plant.first]};
    plant.first = (plant.first + 1) % PLANT_QUEUE;
    plant.n_queued--;
}

static void plant_end(struct plant_unit *unit)
{
    double wall_ms = (double)(plant.now_ms - unit->began_ms) + 1;
    unit->is_busy = false;
    plant.look.completions++;
    plant.look.wall_ns += (uint64_t)(wall_ms * 1e6);
    plant.look.measured_wall_ns += (uint64_t)(wall_ms * 1e6);
    plant.look.cpu_ns += (uint64_t)(unit->cpu_ms * 1e6);
    plant.look.delay_ns += (uint64_t)(plant.delay_known * unit->delay_ms * 1e6);
    if (plant.n_latency < PLANT_SAMPLES)
        plant.latency_ms[plant.n_latency++] = (double)(plant.now_ms - unit->came_ms) + 1;
    plant.n_inside--;
    plant.completed++;
}

static void plant_work(void)
{
    uint32_t computing = 0;
    for (uint32_t i = 0; i < plant.n_used; i++) {
        struct plant_unit *unit = &plant.unit[i];
        if (!unit->is_busy && i < plant.units && plant.ready_ms[i] <= plant.now_ms &&
            plant.n_queued > 0)
            plant_begin(unit);
        computing += unit->is_busy && unit->waits_ms <= 0;
    }
    double share = computing > plant.cpus ? plant.cpus / computing : 1;
    for (uint32_t i = 0; i < plant.n_used; i++) {
        struct plant_unit *unit = &plant.unit[i];
        if (!unit->is_busy)
            continue;
        if (unit->waits_ms > 0) {
            unit->waits_ms -= 1;
        } else {
            unit->computes_ms -= share;
            unit->cpu_ms += share;
            unit->delay_ms += 1 - share;
            plant.used_ms += share;
            plant.look.switches += share < 1;
        }
        if (unit->waits_ms <= 0 && unit->computes_ms <= 0)
            plant_end(unit);
    }
}

static int plant_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void plant_step(uint32_t to)
{
    int direction = to > plant.units ? 1 : -1;
    for (uint32_t i = plant.units; i < to; i++)
        plant.ready_ms[i] = plant.now_ms + plant.starts_ms;
    plant.n_used = to > plant.n_used ? to : plant.n_used;
    plant.turns += plant.direction != 0 && plant.direction != direction;
    plant.direction = direction;
    plant.steps++;
    plant.last_step_ms = plant.now_ms;
    plant.units = to;
    plant.most = to > plant.most ? to : plant.most;
    plant.least = to < plant.least ? to : plant.least;
}

static void plant_look(void)
{
    struct adapt_look *look = &plant.look;
    double interval_ms = (double)adapt_interval_us(plant.rules.kind) / MS_US;
    look->now_us = (plant.now_ms + 1) * 1000;
    look->units = plant.units;
    look->ready = look->busy = 0;
    for (uint32_t i = 0; i < plant.n_used; i++) {
        look->ready += i < plant.units && plant.ready_ms[i] <= plant.now_ms;
        look->busy += plant.unit[i].is_busy;
    }
    look->queued = plant.n_queued;
    look->cpu_share = plant.used_ms / (plant.cpus * interval_ms);
    look->memory_pressure = -1;
    look->room = UINT32_MAX;
    qsort(plant.latency_ms, plant.n_latency, sizeof *plant.latency_ms, plant_compare);
    if (plant.n_latency > 0)
        look->latency_p99_us = (uint64_t)(plant.latency_ms[plant.n_latency * 99 / 100] * MS_US);
    struct adapt_verdict v = adapt_decide(&plant.rules, &plant.state, look);
    assert_true(v.units >= plant.rules.min && v.units <= plant.rules.max);
    assert_true((v.units != plant.units) == adapt_is_step(v.reason));
    if (v.units != plant.units) {
        plant.undone += v.reason >= ADAPT_UNDONE_FEWER && v.reason <= ADAPT_UNDONE_SWITCHES;
        if (getenv("PLANT_TELLS")) /* for whoever changes the controller */
            (void)printf("%8.1f s: %u -> %u, %s (wanted %u, load %.2f, S %.1f ms, W %.1f, C %.1f, "
                         "%.0f/s of %.0f/s, queued %u, p99 %.0f ms)\n",
                         (double)plant.now_ms / 1000, plant.units, v.units,
                         adapt_reason_names[v.reason], v.wanted, v.load, v.service_us / MS_US,
                         v.waiting_us / MS_US, v.cpu_us / MS_US, v.rate, v.arrival_rate,
                         look->queued, (double)look->latency_p99_us / MS_US);
        plant_step(v.units);
    }
    plant.look = (struct adapt_look){0};
    plant.n_latency = 0;
    plant.used_ms = 0;
}

static void plant_run(double seconds)
{
    const uint64_t interval_ms = adapt_interval_us(plant.rules.kind) / 1000;
    for (uint64_t end_ms = plant.now_ms + (uint64_t)(seconds * 1000); plant.now_ms < end_ms;
         plant.now_ms++) {
        plant_arrive();
        plant_work();
        if ((plant.now_ms + 1) % interval_ms == 0)
            plant_look();
    }
}

#endif
