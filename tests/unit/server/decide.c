/* Tests of server/decide.c: the table of seats, the wait before a replacement, the stop. */
#include "server/decide.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S UINT64_C(1000000)
#define MS UINT64_C(1000)
#define NOW (1000 * S)

static const struct decide_rules rules = {.graceful_us = 30 * S, .timeout_us = 5 * S};

static struct seat seat_in(enum seat_phase phase)
{
    return (struct seat){.phase = phase,
                         .role = ROLE_WEB,
                         .pid = phase == SEAT_FORKING || phase == SEAT_LOST ? 0 : 4711,
                         .pool = -1,
                         .channel_fd = -1,
                         .deadline_us = SEAT_NEVER,
                         .heartbeat_us = NOW};
}

static void expect(enum seat_phase phase, enum decide_event event, enum decide_act act,
                   enum seat_phase next, uint64_t deadline_us)
{
    struct seat seat = seat_in(phase);
    struct decide_verdict v = decide(&seat, event, NOW, &rules);
    if (v.act != act || v.phase != next || v.deadline_us != deadline_us)
        fail_msg("%s, event %d: got %s and %s until %ju, want %s and %s until %ju",
                 slots_phase_names[phase], event, decide_act_names[v.act],
                 slots_phase_names[v.phase], (uintmax_t)v.deadline_us, decide_act_names[act],
                 slots_phase_names[next], (uintmax_t)deadline_us);
}

static void a_worker_lives_from_fork_to_burial(void **state)
{
    (void)state;
    expect(SEAT_FORKING, DECIDE_NAMED, DECIDE_NOTHING, SEAT_BOOTING, SEAT_NEVER);
    expect(SEAT_BOOTING, DECIDE_READY, DECIDE_WELCOME, SEAT_READY, SEAT_NEVER);
    expect(SEAT_READY, DECIDE_DRAIN, DECIDE_ASK_DRAIN, SEAT_DRAINING, NOW + 30 * S);
    expect(SEAT_DRAINING, DECIDE_DRAINED, DECIDE_NOTHING, SEAT_DRAINED, SEAT_NEVER);
    expect(SEAT_DRAINED, DECIDE_DIED, DECIDE_BURY, SEAT_FREE, SEAT_NEVER);
}

static void a_frame_out_of_turn_costs_the_life(void **state)
{
    (void)state;
    expect(SEAT_READY, DECIDE_READY, DECIDE_MURDER, SEAT_KILLED, SEAT_NEVER);
    expect(SEAT_BOOTING, DECIDE_DRAINED, DECIDE_MURDER, SEAT_KILLED, SEAT_NEVER);
    expect(SEAT_READY, DECIDE_BROKE, DECIDE_MURDER, SEAT_KILLED, SEAT_NEVER);
    expect(SEAT_DRAINED, DECIDE_BROKE, DECIDE_MURDER, SEAT_KILLED, SEAT_NEVER);
    expect(SEAT_FORKING, DECIDE_READY, DECIDE_CUT, SEAT_LOST, NOW + DECIDE_MUTE_US);
}

static void frames_that_crossed_with_a_stop_are_forgiven(void **state)
{
    (void)state;
    expect(SEAT_ENDING, DECIDE_READY, DECIDE_NOTHING, SEAT_ENDING, SEAT_NEVER);
    expect(SEAT_ENDING, DECIDE_DRAINED, DECIDE_NOTHING, SEAT_ENDING, SEAT_NEVER);
}

/* It may have begun to serve a moment ago, which nobody has heard yet. */
static void one_that_boots_is_asked_to_drain_not_to_cut_what_it_serves(void **state)
{
    (void)state;
    expect(SEAT_BOOTING, DECIDE_DRAIN, DECIDE_ASK_LEAVE, SEAT_ENDING, NOW + DECIDE_STOP_US);
    expect(SEAT_BOOTING, DECIDE_STOP, DECIDE_ASK_STOP, SEAT_ENDING, NOW + DECIDE_STOP_US);
}

static void a_worker_that_drains_unasked_is_relieved(void **state)
{
    (void)state;
    expect(SEAT_READY, DECIDE_DRAINED, DECIDE_RELIEVE, SEAT_DRAINED, NOW + 30 * S);
}

/* Twenty orders may be before its own in the loader's queue, and each takes its time. */
static void one_that_is_stopped_before_its_birth_has_two_seconds_from_then_on(void **state)
{
    (void)state;
    static const enum decide_event ends[] = {DECIDE_STOP, DECIDE_DRAIN};
    static const enum decide_act acts[] = {DECIDE_ASK_STOP, DECIDE_ASK_LEAVE};
    for (size_t i = 0; i < 2; i++) {
        struct seat seat = seat_in(SEAT_FORKING);
        seat.deadline_us = NOW + 60 * S; /* boot_timeout: a loader that hangs gets no longer */
        struct decide_verdict v = decide(&seat, ends[i], NOW, &rules);
        assert_int_equal(v.act, acts[i]);
        assert_int_equal(v.phase, SEAT_ENDING);
        assert_int_equal(v.deadline_us, NOW + 60 * S);
        seat.phase = v.phase;
        assert_int_equal(decide(&seat, DECIDE_TIME, NOW + 60 * S, &rules).act, DECIDE_FORGET);
        seat.pid = 4711;
        v = decide(&seat, DECIDE_NAMED, NOW + 59 * S, &rules);
        assert_int_equal(v.act, DECIDE_NOTHING);
        assert_int_equal(v.phase, SEAT_ENDING);
        assert_int_equal(v.deadline_us, NOW + 59 * S + DECIDE_STOP_US);
        seat.deadline_us = v.deadline_us;
        assert_int_equal(decide(&seat, DECIDE_TIME, v.deadline_us, &rules).act, DECIDE_MURDER);
    }
}

static void a_closed_channel_gives_one_second_to_die(void **state)
{
    (void)state;
    expect(SEAT_READY, DECIDE_CLOSED, DECIDE_NOTHING, SEAT_MUTE, NOW + S);
    struct seat seat = seat_in(SEAT_MUTE);
    seat.deadline_us = NOW + S;
    assert_int_equal(decide(&seat, DECIDE_TIME, NOW + S - 1, &rules).act, DECIDE_NOTHING);
    assert_int_equal(decide(&seat, DECIDE_TIME, NOW + S, &rules).act, DECIDE_MURDER);
}

static void a_closed_channel_never_lengthens_a_deadline(void **state)
{
    (void)state;
    struct seat seat = seat_in(SEAT_ENDING);
    seat.deadline_us = NOW + 10 * MS;
    struct decide_verdict v = decide(&seat, DECIDE_CLOSED, NOW, &rules);
    assert_int_equal(v.phase, SEAT_MUTE);
    assert_int_equal(v.deadline_us, NOW + 10 * MS);
}

static void a_boot_that_takes_too_long_is_aborted_then_killed(void **state)
{
    (void)state;
    struct seat seat = seat_in(SEAT_BOOTING);
    seat.deadline_us = NOW;
    struct decide_verdict v = decide(&seat, DECIDE_TIME, NOW, &rules);
    assert_int_equal(v.act, DECIDE_ABORT);
    assert_string_equal(v.doom, "boot_timeout");
    assert_int_equal(v.deadline_us, NOW + DECIDE_STOP_US);
    seat.phase = v.phase;
    seat.deadline_us = v.deadline_us;
    assert_int_equal(decide(&seat, DECIDE_TIME, v.deadline_us, &rules).act, DECIDE_MURDER);
}

static void a_silent_worker_is_aborted_when_its_time_is_over(void **state)
{
    (void)state;
    struct seat seat = seat_in(SEAT_READY);
    assert_int_equal(decide(&seat, DECIDE_TIME, NOW + 5 * S - 1, &rules).act, DECIDE_NOTHING);
    assert_int_equal(decide_next_us(&seat, &rules), NOW + 5 * S);
    struct decide_verdict v = decide(&seat, DECIDE_TIME, NOW + 5 * S, &rules);
    assert_int_equal(v.act, DECIDE_ABORT);
    assert_int_equal(v.phase, SEAT_ABORTED);
    assert_string_equal(v.doom, "timeout");
}

static void a_master_that_was_away_judges_later(void **state)
{
    (void)state;
    struct seat seat = seat_in(SEAT_READY);
    struct decide_rules away = rules;
    away.excuse_us = NOW + 60 * S;
    assert_int_equal(decide(&seat, DECIDE_TIME, NOW + 59 * S, &away).act, DECIDE_NOTHING);
    assert_int_equal(decide_next_us(&seat, &away), NOW + 60 * S);
    assert_int_equal(decide(&seat, DECIDE_TIME, NOW + 60 * S, &away).act, DECIDE_ABORT);
}

static void nobody_is_judged_who_owes_no_heartbeat(void **state)
{
    (void)state;
    struct seat seat = seat_in(SEAT_READY);
    struct decide_rules never = rules;
    never.timeout_us = 0;
    assert_int_equal(decide(&seat, DECIDE_TIME, NOW + 3600 * S, &never).act, DECIDE_NOTHING);
    assert_true(decide_next_us(&seat, &never) == SEAT_NEVER);
    seat.role = ROLE_SINGLE;
    assert_int_equal(decide(&seat, DECIDE_TIME, NOW + 3600 * S, &rules).act, DECIDE_NOTHING);
}

static void a_loader_that_leaves_an_order_unanswered_is_aborted(void **state)
{
    (void)state;
    struct seat seat = seat_in(SEAT_READY);
    seat.role = ROLE_LOADER;
    seat.heartbeat_us = NOW; /* when the order was given */
    assert_int_equal(decide(&seat, DECIDE_TIME, NOW + 5 * S - 1, &rules).act, DECIDE_NOTHING);
    assert_int_equal(decide(&seat, DECIDE_TIME, NOW + 5 * S, &rules).act, DECIDE_ABORT);
}

static void a_seat_without_a_pid_is_never_signalled(void **state)
{
    (void)state;
    for (int phase = 0; phase < SEAT_PHASES; phase++)
        for (int event = 0; event < DECIDE_EVENTS; event++) {
            struct seat seat = seat_in((enum seat_phase)phase);
            seat.pid = 0;
            seat.deadline_us = NOW;
            if (phase != SEAT_FORKING && phase != SEAT_ENDING && phase != SEAT_MUTE &&
                phase != SEAT_LOST)
                continue; /* the others are only reached with a pid */
            if (event == DECIDE_NAMED)
                continue; /* then there is one */
            enum decide_act act = decide(&seat, (enum decide_event)event, NOW, &rules).act;
            assert_true(act != DECIDE_MURDER && act != DECIDE_ABORT);
        }
}

/* One that ends, or was killed, is on its way out whatever it has in hand. */
static void only_one_that_works_is_killed_for_its_task(void **state)
{
    (void)state;
    for (int phase = 0; phase < SEAT_PHASES; phase++) {
        struct seat seat = seat_in((enum seat_phase)phase);
        bool is_at_work = phase == SEAT_READY || phase == SEAT_DRAINING;
        struct decide_verdict v = decide(&seat, DECIDE_CONDEMNED, NOW, &rules);
        assert_int_equal(v.act, is_at_work ? DECIDE_MURDER : DECIDE_NOTHING);
        assert_int_equal(v.phase, is_at_work ? SEAT_KILLED : phase);
        assert_null(v.doom); /* who condemns has said why */
    }
}

static void a_lost_one_that_turns_up_is_killed(void **state)
{
    (void)state;
    struct seat seat = seat_in(SEAT_LOST);
    seat.pid = 4711; /* herd_name() sets it before it asks */
    assert_int_equal(decide(&seat, DECIDE_NAMED, NOW, &rules).act, DECIDE_MURDER);
}

/* All phases × events: what must hold everywhere. */
static void no_pair_breaks_what_must_always_hold(void **state)
{
    (void)state;
    for (int phase = 0; phase < SEAT_PHASES; phase++)
        for (int event = 0; event < DECIDE_EVENTS; event++) {
            struct seat seat = seat_in((enum seat_phase)phase);
            struct decide_verdict v = decide(&seat, (enum decide_event)event, NOW, &rules);
            bool is_freeing = v.act == DECIDE_BURY || v.act == DECIDE_FORGET;
            assert_true(v.phase < SEAT_PHASES && v.act < DECIDE_ACTS);
            assert_int_equal(is_freeing, phase != SEAT_FREE && v.phase == SEAT_FREE);
            if (phase == SEAT_FREE || phase == SEAT_BURIED) { /* nobody is there */
                assert_int_equal(v.act, DECIDE_NOTHING);
                assert_int_equal(v.phase, phase);
                continue;
            }
            if (phase == SEAT_KILLED) /* there is nothing more than KILL */
                assert_true(v.phase == SEAT_KILLED || v.act == DECIDE_BURY);
            if (phase >= SEAT_DRAINING)
                assert_true(v.phase != SEAT_READY && v.act != DECIDE_WELCOME);
            if (seat.pid != 0 && event == DECIDE_DIED && phase != SEAT_FREE)
                assert_int_equal(v.act, DECIDE_BURY);
            if (seat.pid != 0 && event == DECIDE_KILL && phase != SEAT_FREE)
                assert_int_equal(v.phase, SEAT_KILLED);
            if (v.act == DECIDE_MURDER || v.act == DECIDE_ABORT)
                assert_true(v.phase == SEAT_KILLED || v.phase == SEAT_ABORTED);
        }
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* Whatever happens to a seat, once it is told to stop and nothing more is heard of it, time alone
 * leads to KILL or to a free seat, and in a bounded time. */
static void every_walk_ends_after_a_stop(void **state)
{
    (void)state;
    uint64_t seed = 42;
    for (int walk = 0; walk < 20000; walk++) {
        struct seat seat = seat_in(SEAT_FORKING);
        uint64_t now = NOW;
        seat.deadline_us = NOW + 60 * S;
        unsigned steps = (unsigned)(next_random(&seed) % 12);
        for (unsigned i = 0; i < steps + 2; i++) {
            enum decide_event event = (enum decide_event)(next_random(&seed) % DECIDE_EVENTS);
            if (i == steps)
                event = DECIDE_STOP;
            if (event == DECIDE_DIED)
                continue; /* that would be too easy */
            if (event == DECIDE_NAMED)
                seat.pid = 4711;
            now += next_random(&seed) % (3 * S);
            struct decide_verdict v = decide(&seat, event, now, &rules);
            seat.phase = v.phase;
            seat.deadline_us = v.deadline_us;
        }
        for (int i = 0; i < 10 && seat.phase != SEAT_FREE && seat.phase != SEAT_KILLED; i++) {
            assert_true(seat.deadline_us != SEAT_NEVER);
            assert_true(seat.deadline_us <= now + rules.graceful_us + 3 * S ||
                        (seat.pid == 0 && seat.deadline_us == NOW + 60 * S));
            now = seat.deadline_us > now ? seat.deadline_us : now;
            struct decide_verdict v = decide(&seat, DECIDE_TIME, now, &rules);
            seat.phase = v.phase;
            seat.deadline_us = v.deadline_us;
        }
        assert_true(seat.phase == SEAT_FREE || seat.phase == SEAT_KILLED);
    }
}

static struct decide_loss lost_worker(unsigned failures, bool was_ready, uint64_t ready_us)
{
    return (struct decide_loss){.role = ROLE_WEB,
                                .failures = failures,
                                .was_ready = was_ready,
                                .ready_us = ready_us,
                                .is_anyone_serving = true};
}

static void a_steady_worker_is_replaced_at_once_and_forgiven(void **state)
{
    (void)state;
    struct decide_loss loss = lost_worker(9, true, DECIDE_STEADY_US);
    struct decide_replacement r = decide_replace(&loss);
    assert_int_equal(r.delay_us, 0);
    assert_int_equal(r.failures, 0);
    assert_int_equal(r.fate, DECIDE_REPLACE);
}

/* Requests set the pace: whoever waits in the queue does not wait for a back-off as well. */
static void one_that_died_of_a_task_is_replaced_at_once(void **state)
{
    (void)state;
    for (unsigned failures = 0; failures < 20; failures++) {
        struct decide_loss loss = lost_worker(failures, true, 0);
        loss.role = ROLE_COMPUTE;
        loss.had_task = true;
        struct decide_replacement r = decide_replace(&loss);
        assert_int_equal(r.delay_us, 0);
        assert_int_equal(r.failures, 0);
        loss.was_ready = false; /* it can't have had one */
        assert_true(decide_replace(&loss).delay_us > 0);
    }
}

/* … until it is nothing but deaths: then a CPU busy with forks helps nobody. */
static void a_row_of_first_tasks_that_kill_is_slowed_down(void **state)
{
    (void)state;
    struct decide_loss loss = lost_worker(0, true, 0);
    loss.role = ROLE_COMPUTE;
    loss.had_task = true;
    for (unsigned n = 1; n < 1100; n++) {
        struct decide_replacement r = decide_replace(&loss);
        assert_int_equal(r.delay_us, n > DECIDE_TASK_DEATHS ? DECIDE_TASK_BACKOFF_US : 0);
        assert_int_equal(r.failures, 0);
        assert_int_equal(r.fate, DECIDE_REPLACE);
        loss.task_deaths = r.task_deaths;
    }
    loss.has_done = true; /* it can do others */
    struct decide_replacement r = decide_replace(&loss);
    assert_int_equal(r.delay_us, 0);
    assert_int_equal(r.task_deaths, 0);
}

static void repeated_deaths_wait_twice_as_long_each_time(void **state)
{
    (void)state;
    static const uint64_t waits_ms[] = {100,  200,   400,   800,   1600, 3200,
                                        6400, 12800, 25600, 30000, 30000};
    unsigned failures = 0; /* one that never became ready waits from the first time on */
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        struct decide_loss loss = lost_worker(failures, false, 0);
        struct decide_replacement r = decide_replace(&loss);
        assert_int_equal(r.delay_us, waits_ms[i] * MS);
        failures = r.failures;
    }
}

/* It can boot: nobody who only kills keeps the server without it for long. */
static void one_that_was_ready_is_never_missing_for_long(void **state)
{
    (void)state;
    static const uint64_t waits_ms[] = {0, 100, 200, 400, 800, 1000, 1000, 1000};
    unsigned failures = 0;
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        struct decide_loss loss = lost_worker(failures, true, DECIDE_STEADY_US - 1);
        struct decide_replacement r = decide_replace(&loss);
        assert_int_equal(r.delay_us, waits_ms[i] * MS);
        failures = r.failures;
    }
}

static void waits_stay_bounded_for_any_count(void **state)
{
    (void)state;
    for (unsigned failures = 0; failures < 5000; failures++) {
        struct decide_loss loss = lost_worker(failures, failures % 2 == 0, 0);
        struct decide_replacement r = decide_replace(&loss);
        assert_true(r.delay_us <= DECIDE_BACKOFF_MAX_US);
        assert_true(r.failures > 0 && r.failures <= failures + 1);
    }
}

static enum decide_fate fate_of(struct decide_loss loss)
{
    return decide_replace(&loss).fate;
}

static void a_first_start_gives_up_when_nothing_boots(void **state)
{
    (void)state;
    struct decide_loss loss = {.role = ROLE_WEB, .is_first_start = true, .failures = 1};
    assert_int_equal(fate_of(loss), DECIDE_REPLACE);
    loss.failures = 2;
    assert_int_equal(fate_of(loss), DECIDE_NO_BOOT);
    loss.is_anyone_serving = true;
    assert_int_equal(fate_of(loss), DECIDE_DEGRADED);
    loss.is_anyone_serving = false;
    loss.is_first_start = false;
    assert_int_equal(fate_of(loss), DECIDE_DEGRADED);
}

static void a_first_start_gives_up_when_the_app_is_refused(void **state)
{
    (void)state;
    struct decide_loss loss = {.role = ROLE_LOADER, .is_first_start = true};
    assert_int_equal(fate_of(loss), DECIDE_NO_APP);
    loss.was_refused = true; /* fork failed: not the app's fault, so it is tried again */
    assert_int_equal(fate_of(loss), DECIDE_REPLACE);
    loss.failures = 2;
    assert_int_equal(fate_of(loss), DECIDE_NO_BOOT);
}

static void a_loader_that_fails_later_degrades_the_generation(void **state)
{
    (void)state;
    struct decide_loss loss = {.role = ROLE_LOADER, .failures = 1, .is_anyone_serving = true};
    assert_int_equal(fate_of(loss), DECIDE_REPLACE);
    loss.failures = 2;
    assert_int_equal(fate_of(loss), DECIDE_DEGRADED);
}

static void one_failure_costs_a_candidate_its_chance(void **state)
{
    (void)state;
    struct decide_loss loss = {.role = ROLE_WEB, .is_candidate = true, .is_first_start = true};
    assert_int_equal(fate_of(loss), DECIDE_REFUSED);
    loss.role = ROLE_LOADER;
    assert_int_equal(fate_of(loss), DECIDE_REFUSED);
    loss.was_refused = true;
    assert_int_equal(fate_of(loss), DECIDE_REFUSED);
    loss = lost_worker(0, true, DECIDE_STEADY_US); /* one that was ready for long, too */
    loss.is_candidate = true;
    assert_int_equal(fate_of(loss), DECIDE_REFUSED);
}

static void a_reload_goes_from_begin_to_sweep(void **state)
{
    (void)state;
    struct decide_turnover t = {.is_current_up = true};
    assert_int_equal(decide_turnover(&t), DECIDE_STAY);
    t.is_asked = true;
    assert_int_equal(decide_turnover(&t), DECIDE_BEGIN);
    t = (struct decide_turnover){.is_current_up = true, .has_candidate = true};
    assert_int_equal(decide_turnover(&t), DECIDE_STAY);
    t.is_candidate_ready = true;
    assert_int_equal(decide_turnover(&t), DECIDE_COMMIT);
    t = (struct decide_turnover){.is_current_up = true, .has_leaving = true};
    assert_int_equal(decide_turnover(&t), DECIDE_STAY);
    t.is_leaving_gone = true;
    assert_int_equal(decide_turnover(&t), DECIDE_SWEEP);
}

static void a_reload_waits_until_there_is_something_to_reload(void **state)
{
    (void)state;
    struct decide_turnover t = {.is_asked = true};
    assert_int_equal(decide_turnover(&t), DECIDE_STAY);
}

/* All combinations: what must hold everywhere. */
static void no_turnover_breaks_what_must_always_hold(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 256; bits++) {
        struct decide_turnover t = {.is_stopping = bits & 1,
                                    .is_asked = bits & 2,
                                    .is_current_up = bits & 4,
                                    .has_candidate = bits & 8,
                                    .is_candidate_ready = bits & 16,
                                    .has_failed = bits & 32,
                                    .has_leaving = bits & 64,
                                    .is_leaving_gone = bits & 128};
        enum decide_step step = decide_turnover(&t);
        if (step == DECIDE_BEGIN)
            assert_true(t.is_asked && !t.is_stopping && !t.has_candidate && !t.has_leaving);
        if (step == DECIDE_COMMIT)
            assert_true(t.has_candidate && t.is_candidate_ready && !t.has_failed &&
                        !t.is_stopping && !t.has_leaving);
        if (step == DECIDE_DISCARD)
            assert_true(t.has_candidate && !t.has_leaving && (t.has_failed || t.is_stopping));
        if (step == DECIDE_SWEEP)
            assert_true(t.has_leaving && t.is_leaving_gone);
        if (t.has_candidate && !t.has_leaving && t.is_stopping) /* a stop wins */
            assert_int_equal(step, DECIDE_DISCARD);
    }
}

struct world {
    struct decide_turnover t;
    unsigned n_asked_since_begin, n_begun;
};

static void take_step(struct world *w, enum decide_step step)
{
    switch (step) {
    case DECIDE_BEGIN:
        w->t.is_asked = false;
        w->t.has_candidate = true;
        w->t.is_candidate_ready = w->t.has_failed = false;
        w->n_asked_since_begin = 0;
        w->n_begun++;
        break;
    case DECIDE_COMMIT:
    case DECIDE_DISCARD:
        w->t.has_candidate = false;
        w->t.has_leaving = true;
        w->t.is_leaving_gone = false;
        break;
    case DECIDE_SWEEP:
        w->t.has_leaving = w->t.is_leaving_gone = false;
        break;
    case DECIDE_STAY:
        break;
    }
}

/* Whatever order things happen in: a reload that was asked for begins in the end, and a stop leaves
 * no candidate. */
static void no_request_for_a_reload_is_lost(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int walk = 0; walk < 20000; walk++) {
        struct world w = {.t = {.is_current_up = true}};
        for (int i = 0; i < 30; i++) {
            switch (next_random(&seed) % 4) {
            case 0:
                w.t.is_asked = true;
                w.n_asked_since_begin++;
                break;
            case 1:
                w.t.is_candidate_ready = w.t.has_candidate;
                break;
            case 2:
                w.t.has_failed = w.t.has_candidate;
                break;
            default:
                w.t.is_leaving_gone = w.t.has_leaving;
                break;
            }
            take_step(&w, decide_turnover(&w.t));
        }
        w.t.is_stopping = walk % 2 == 1;
        unsigned n_begun = w.n_begun;
        bool is_due = w.n_asked_since_begin > 0;
        for (int i = 0; i < 6; i++) {
            w.t.is_candidate_ready = w.t.has_candidate;
            w.t.is_leaving_gone = w.t.has_leaving;
            take_step(&w, decide_turnover(&w.t));
        }
        assert_int_equal(w.n_begun - n_begun, is_due && !w.t.is_stopping);
        assert_false(w.t.is_stopping && w.t.has_candidate);
    }
}

static void signals_only_make_the_stop_more_urgent(void **state)
{
    (void)state;
    assert_int_equal(decide_stage(DECIDE_RUNNING, SIGTERM), DECIDE_GRACEFUL);
    assert_int_equal(decide_stage(DECIDE_RUNNING, SIGINT), DECIDE_QUICK);
    assert_int_equal(decide_stage(DECIDE_RUNNING, SIGQUIT), DECIDE_QUICK);
    assert_int_equal(decide_stage(DECIDE_GRACEFUL, SIGINT), DECIDE_QUICK);
    assert_int_equal(decide_stage(DECIDE_QUICK, SIGINT), DECIDE_AT_ONCE);
    assert_int_equal(decide_stage(DECIDE_QUICK, SIGTERM), DECIDE_QUICK);
    for (int stage = DECIDE_RUNNING; stage <= DECIDE_AT_ONCE; stage++)
        for (int number = 1; number < 64; number++)
            assert_true((int)decide_stage((enum decide_stage)stage, number) >= stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_lives_from_fork_to_burial),
        cmocka_unit_test(a_frame_out_of_turn_costs_the_life),
        cmocka_unit_test(frames_that_crossed_with_a_stop_are_forgiven),
        cmocka_unit_test(one_that_boots_is_asked_to_drain_not_to_cut_what_it_serves),
        cmocka_unit_test(a_worker_that_drains_unasked_is_relieved),
        cmocka_unit_test(one_that_is_stopped_before_its_birth_has_two_seconds_from_then_on),
        cmocka_unit_test(a_closed_channel_gives_one_second_to_die),
        cmocka_unit_test(a_closed_channel_never_lengthens_a_deadline),
        cmocka_unit_test(a_boot_that_takes_too_long_is_aborted_then_killed),
        cmocka_unit_test(a_silent_worker_is_aborted_when_its_time_is_over),
        cmocka_unit_test(a_master_that_was_away_judges_later),
        cmocka_unit_test(nobody_is_judged_who_owes_no_heartbeat),
        cmocka_unit_test(a_loader_that_leaves_an_order_unanswered_is_aborted),
        cmocka_unit_test(a_seat_without_a_pid_is_never_signalled),
        cmocka_unit_test(only_one_that_works_is_killed_for_its_task),
        cmocka_unit_test(one_that_died_of_a_task_is_replaced_at_once),
        cmocka_unit_test(a_row_of_first_tasks_that_kill_is_slowed_down),
        cmocka_unit_test(a_lost_one_that_turns_up_is_killed),
        cmocka_unit_test(no_pair_breaks_what_must_always_hold),
        cmocka_unit_test(every_walk_ends_after_a_stop),
        cmocka_unit_test(a_steady_worker_is_replaced_at_once_and_forgiven),
        cmocka_unit_test(repeated_deaths_wait_twice_as_long_each_time),
        cmocka_unit_test(one_that_was_ready_is_never_missing_for_long),
        cmocka_unit_test(waits_stay_bounded_for_any_count),
        cmocka_unit_test(a_first_start_gives_up_when_nothing_boots),
        cmocka_unit_test(a_first_start_gives_up_when_the_app_is_refused),
        cmocka_unit_test(a_loader_that_fails_later_degrades_the_generation),
        cmocka_unit_test(one_failure_costs_a_candidate_its_chance),
        cmocka_unit_test(a_reload_goes_from_begin_to_sweep),
        cmocka_unit_test(a_reload_waits_until_there_is_something_to_reload),
        cmocka_unit_test(no_turnover_breaks_what_must_always_hold),
        cmocka_unit_test(no_request_for_a_reload_is_lost),
        cmocka_unit_test(signals_only_make_the_stop_more_urgent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
