/* The controller. Process: master. Everything here is arithmetic on what it is given, so that a
 * simulated plant can try it (tests/unit/server/adapt.c), for which the numbers below were chosen.
 *
 * Growing is quick, since a queue costs everybody: within two looks, up to twice as many. Shrinking
 * is slow, since spare units cost little: only what was not needed for a while goes, a quarter of
 * it at a time. A step is on trial: when fewer jobs are completed afterwards, or they take longer,
 * although no more or other jobs came, it is undone, and not tried again for a while. */
#include "server/adapt.h"

#include <stddef.h>

#define MS UINT64_C(1000)
#define SECOND UINT64_C(1000000)
#define FAST_US 500e3           /* memory of what growing looks at */
#define SLOW_US 10e6            /* and shrinking */
#define KNOWN_JOBS 5.0          /* as many say what a job is like, */
#define KNOWN_US 20e3           /* or so much time of fewer */
#define FULL_SHARE 0.97         /* of the CPUs: nobody can compute more */
#define COMPUTES_SHARE 0.1      /* of S: such jobs need CPUs */
#define ROUNDS_UP_AT 0.7        /* of a unit that CPUs could keep busy; less is noise */
#define PRESSURE_MAX 20.0       /* percent of the time somebody waits for memory */
#define TRIAL_JOBS 50.0         /* judge a step, */
#define TRIAL_LONGEST 5         /* or it stands, after so many times the shortest trial */
#define FEWER_SHARE 0.9         /* of the jobs before: the step is undone */
#define SLOWER_SHARE 1.5        /* of p99 before: likewise, */
#define SLOWER_US 2000.0        /* and by so much at least */
#define SWITCHES_SHARE 2.0      /* of the switches before, and no more jobs: likewise */
#define GAIN_SHARE 1.02         /* of the jobs before is more */
#define MORE_SHARE 1.1          /* of arrivals before is another load, */
#define OTHER_SHARE 1.3         /* of C before other work */
#define MISSING_US (5 * SECOND) /* several tries, with their delays */
#define PAST_US (60 * SECOND)
#define REGRET_US (120 * SECOND) /* growing so soon after shrinking: that was undone, too */
#define PAST_DOUBLES 3           /* up to eight minutes */
#define SHRINKS_BY 4             /* a quarter of what is spare, */
#define EXCESS_BY 2              /* half of what only gets into each other's way */
#define EXCESS_FROM 8            /* an eighth beyond what CPUs can run is noise */
#define QUEUED_LOOKS 4           /* jobs wait when they do at one of four looks */
#define LONG_QUEUE 4             /* of a quarter of the units: all of those are busy */
#define WAITS_WEIGH 1.5
#define NO_WAIT_SHARE 0.125 /* of C and delay: less than that may be delay that nobody counted */
#define BACKLOG_SHARE 0.5   /* of the load: a queue, however long, wants no more than that */
#define GONE_SOON_US 2e6    /* a queue that is to be gone by then needs nobody else */
#define NOISE 3.0           /* standard deviations */

/* What differs between the three: all guesses but where a test says otherwise. */
static const struct pace {
    double bound;           /* of utilisation */
    double drain_us;        /* a queue should be gone after so long, or after one job's time */
    uint64_t interval_us;   /* between looks */
    uint64_t queue_us;      /* jobs wait for so long: grow */
    uint64_t load_us;       /* nearly all are busy for so long: grow */
    uint64_t grow_us;       /* cool-down after any step, before growing */
    uint64_t spare_us;      /* some have nothing to do for so long: shrink */
    uint64_t shrink_us;     /* cool-down after any step, before shrinking */
    uint64_t trial_us;      /* a step is judged after so long; a third of it is left out */
    bool is_lower_priority; /* CPUs that others fill leave it something all the same */
} paces[ADAPT_KINDS] = {
    [ADAPT_THREADS] = {0.9, 100e3, 100 * MS, 100 * MS, 500 * MS, 100 * MS, 15 * SECOND, 3 * SECOND,
                       1500 * MS, false},
    [ADAPT_COMPUTE] = {0.9, 100e3, 100 * MS, 200 * MS, SECOND, 300 * MS, 30 * SECOND, 5 * SECOND,
                       3 * SECOND, true},
    [ADAPT_WEB] = {0.75, 1e6, 500 * MS, SECOND, 2 * SECOND, 3 * SECOND, 60 * SECOND, 15 * SECOND,
                   6 * SECOND, false},
};

const char *const adapt_kind_names[ADAPT_KINDS] = {"threads", "compute", "web"};
const char *const adapt_reason_names[ADAPT_REASONS] = {
    [ADAPT_STAYS] = "as it should be",
    [ADAPT_BOUNDS] = "outside of its bounds",
    [ADAPT_QUEUE] = "jobs wait",
    [ADAPT_LOAD] = "nearly all are busy",
    [ADAPT_SPARE] = "some are not needed",
    [ADAPT_CPU_BOUND] = "more compute than CPUs can run",
    [ADAPT_UNDONE_FEWER] = "undone: fewer jobs completed",
    [ADAPT_UNDONE_SLOWER] = "undone: p99 rose",
    [ADAPT_UNDONE_MISSING] = "undone: they can't be had",
    [ADAPT_UNDONE_SWITCHES] = "undone: no gain but more involuntary switches",
    [ADAPT_HELD_BY_ROOM] = "memory has no room for another",
    [ADAPT_HELD_BY_PRESSURE] = "memory is short",
    [ADAPT_HELD_BY_CPU] = "the CPUs are full",
    [ADAPT_HELD_BY_PAST] = "undone a while ago",
    [ADAPT_HELD_BY_MAX] = "as many as may be",
};

/* ---- figures ---- */

static void fade(struct adapt_sums *sums, double memory_us, double elapsed_us)
{
    double *numbers = (double *)sums;
    double keep = memory_us / (memory_us + elapsed_us);
    for (size_t i = 0; i < sizeof *sums / sizeof *numbers; i++)
        numbers[i] *= keep;
}

static void add(struct adapt_sums *sums, const struct adapt_look *look, double elapsed_us)
{
    sums->time_us += elapsed_us;
    sums->arrivals += (double)look->arrivals;
    sums->completions += (double)look->completions;
    sums->wall_us += (double)look->wall_ns / 1e3;
    sums->measured_us += (double)look->measured_wall_ns / 1e3;
    sums->cpu_us += (double)look->cpu_ns / 1e3;
    sums->delay_us += (double)look->delay_ns / 1e3;
    sums->busy_us += look->busy * elapsed_us;
    sums->switches += (double)look->switches;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static double per_second(double n, const struct adapt_sums *sums)
{
    return sums->time_us > 0 ? n * 1e6 / sums->time_us : 0;
}

static bool is_known(const struct adapt_sums *sums)
{
    return sums->completions >= KNOWN_JOBS || (sums->completions > 0.1 && sums->wall_us > KNOWN_US);
}

static double service_us(const struct adapt_sums *sums)
{
    return is_known(sums) ? sums->wall_us / sums->completions : 0;
}

/* C of a job: that of the measured, in proportion. 0: not known */
static double cpu_us(const struct adapt_sums *sums)
{
    return is_known(sums) && sums->measured_us > 0
               ? service_us(sums) * sums->cpu_us / sums->measured_us
               : 0;
}

/* Without a job that ended, units that are busy say how much there is to do. */
static double load_of(const struct adapt_sums *sums)
{
    double by_law = per_second(sums->arrivals, sums) * service_us(sums) / 1e6;
    double seen = sums->time_us > 0 ? sums->busy_us / sums->time_us : 0;
    return by_law > seen ? by_law : seen;
}

static double root(double x)
{
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 20; i++)
        r = (r + x / r) / 2;
    return x > 0 ? r : 0;
}

static uint32_t whole(double x)
{
    if (x >= 1e9)
        return 1000000000;
    uint32_t n = x > 0 ? (uint32_t)x : 0;
    return n + (x > n);
}

/* Units for a load: below the bound, and with the square root of it to spare, since jobs do not
 * come evenly (the rule of staffing for M/M/c). */
static uint32_t units_for(double load, double bound)
{
    double by_bound = load / bound;
    double by_root = load + root(load);
    return whole(by_bound > by_root ? by_bound : by_root);
}

/* CPUs × (1 + W/C), and some more of what waits: jobs don't take turns in computing. UINT32_MAX:
 * not known */
static uint32_t cpu_limit(const struct adapt_rules *rules, const struct adapt_sums *sums)
{
    double c = sums->cpu_us;
    double w = sums->measured_us - c - sums->delay_us;
    if (!is_known(sums) || sums->measured_us <= 0)
        return UINT32_MAX;
    if (w < (c + sums->delay_us) * NO_WAIT_SHARE)
        w = 0;
    double limit = c < 1 ? 1e9 : rules->cpus * (1 + (w > 0 ? w / c * WAITS_WEIGH : 0));
    uint32_t n = limit >= 1e9 ? 1000000000 : (uint32_t)limit;
    n += limit - n >= ROUNDS_UP_AT;
    return n > 0 ? n : 1;
}

/* Since when something holds at every look; 0: it does not. */
static void note(uint64_t *since_us, bool holds, uint64_t now_us)
{
    *since_us = !holds ? 0 : *since_us != 0 ? *since_us : now_us;
}

static bool lasts(uint64_t since_us, uint64_t for_us, uint64_t now_us)
{
    return since_us != 0 && now_us - since_us >= for_us;
}

/* ---- steps on trial ---- */

static void begin_trial(struct adapt_state *state, const struct adapt_look *look, uint32_t to)
{
    struct adapt_trial *trial = &state->trial;
    const struct adapt_sums *before = &state->fast;
    double rate = per_second(before->completions, before);
    bool goes_on = trial->from != 0 && (to > look->units) == (trial->to > trial->from);
    /* Of several steps in a row the last is compared with the best before it. */
    if (!goes_on || rate > trial->before_rate * GAIN_SHARE)
        *trial = (struct adapt_trial){.from = look->units,
                                      .before_rate = rate,
                                      .before_jobs = before->completions,
                                      .before_arrivals = per_second(before->arrivals, before),
                                      .before_service_us = service_us(before),
                                      .before_cpu_us = cpu_us(before),
                                      .before_p99_us = state->p99_us,
                                      .before_switches = per_second(before->switches, before)};
    trial->to = to;
    trial->since_us = look->now_us;
    trial->after = (struct adapt_sums){0};
    trial->after_p99_us = trial->after_p99_jobs = 0;
    trial->looks = trial->queued = 0;
}

/* p99_jobs  whose p99 this look has; 0: it has none */
static void watch_trial(struct adapt_trial *trial, const struct adapt_look *look,
                        const struct pace *pace, double elapsed_us, double p99_jobs)
{
    if (look->now_us - trial->since_us < pace->trial_us / 3 || look->ready < look->units)
        return; /* what comes now still belongs to what was before */
    add(&trial->after, look, elapsed_us);
    trial->looks++;
    trial->queued += look->queued > 0;
    trial->after_p99_us += (double)look->latency_p99_us * p99_jobs;
    trial->after_p99_jobs += p99_jobs;
}

/* Without work that is alike there is nothing to compare. */
static bool is_other_work(double before_cpu_us, double after_cpu_us)
{
    return before_cpu_us > after_cpu_us * OTHER_SHARE || after_cpu_us > before_cpu_us * OTHER_SHARE;
}

/* Fewer by a set share, and by more than chance would have it. */
static bool are_fewer(const struct adapt_trial *trial, double rate)
{
    double n = trial->before_jobs > 1 ? trial->before_jobs : 1;
    double m = trial->after.completions > 1 ? trial->after.completions : 1;
    double noise = NOISE * trial->before_rate * root(1 / n + 1 / m);
    return rate < trial->before_rate * FEWER_SHARE && rate < trial->before_rate - noise;
}

/* p99 alone jumps; when units are too many their jobs get into each other's way, and when they are
 * too few jobs wait. */
static bool are_slower(const struct adapt_trial *trial)
{
    const struct adapt_sums *after = &trial->after;
    double p99_us = trial->after_p99_jobs > 0 ? trial->after_p99_us / trial->after_p99_jobs : 0;
    bool has_reason = trial->to > trial->from
                          ? service_us(after) > trial->before_service_us * OTHER_SHARE
                          : trial->queued * QUEUED_LOOKS > trial->looks;
    return has_reason && trial->before_p99_us > 0 && p99_us > trial->before_p99_us * SLOWER_SHARE &&
           p99_us > trial->before_p99_us + SLOWER_US &&
           per_second(after->arrivals, after) < trial->before_arrivals * MORE_SHARE;
}

static enum adapt_reason judge(const struct adapt_trial *trial)
{
    const struct adapt_sums *after = &trial->after;
    double rate = per_second(after->completions, after);
    double switches = per_second(after->switches, after);
    bool has_queue = trial->queued == trial->looks;
    if (trial->before_rate <= 0 || is_other_work(trial->before_cpu_us, cpu_us(after)))
        return ADAPT_STAYS;
    if (has_queue && are_fewer(trial, rate))
        return ADAPT_UNDONE_FEWER;
    if (are_slower(trial))
        return ADAPT_UNDONE_SLOWER;
    if (trial->to > trial->from && has_queue && rate < trial->before_rate * GAIN_SHARE &&
        switches > trial->before_switches * SWITCHES_SHARE && switches > rate)
        return ADAPT_UNDONE_SWITCHES;
    return ADAPT_STAYS;
}

static void remember(struct adapt_past *past, uint32_t units, const struct adapt_sums *sums,
                     uint64_t now_us)
{
    unsigned times = past->times;
    past->units = units;
    past->until_us = now_us + (PAST_US << (times < PAST_DOUBLES ? times : PAST_DOUBLES));
    past->cpu_us = cpu_us(sums);
    past->arrivals = per_second(sums->arrivals, sums);
    past->times = times + 1;
}

/* Returns why a step is undone; ADAPT_STAYS: it is not, or not yet */
static enum adapt_reason end_trial(struct adapt_state *state, const struct adapt_look *look,
                                   const struct pace *pace)
{
    struct adapt_trial *trial = &state->trial;
    if (trial->from == 0 || look->now_us - trial->since_us < pace->trial_us)
        return ADAPT_STAYS;
    bool is_long = look->now_us - trial->since_us >= TRIAL_LONGEST * pace->trial_us;
    if (trial->after.completions < TRIAL_JOBS && !is_long)
        return ADAPT_STAYS;
    enum adapt_reason reason = trial->after.completions < TRIAL_JOBS ? ADAPT_STAYS : judge(trial);
    if (reason == ADAPT_STAYS)
        trial->from = 0;
    return reason;
}

/* Whether a step to n was undone a while ago. It counts as long as the work is alike, and for
 * shrinking as long as there is as much of it. */
static bool is_past(struct adapt_past *past, bool is_growth, uint32_t n,
                    const struct adapt_state *state, uint64_t now_us)
{
    if (past->units == 0)
        return false;
    bool is_less =
        !is_growth && per_second(state->slow.arrivals, &state->slow) * OTHER_SHARE < past->arrivals;
    if (now_us >= past->until_us)
        past->units = 0;
    else if (is_less || is_other_work(past->cpu_us, cpu_us(&state->slow)))
        *past = (struct adapt_past){0};
    return past->units != 0 && (is_growth ? n >= past->units : n <= past->units);
}

/* ---- steps ---- */

static bool is_cool(const struct adapt_state *state, const struct adapt_look *look,
                    uint64_t cool_us)
{
    return state->changed_us == 0 || look->now_us - state->changed_us >= cool_us;
}

/* What growing by queue needs: work off what waits within a while, unless it is about to go. */
static double backlog_of(const struct adapt_state *state, const struct adapt_look *look,
                         double drain_us, double elapsed_us)
{
    double s = service_us(&state->fast);
    double within_us = s > drain_us ? s : drain_us;
    uint32_t gone = look->queued < state->queued ? state->queued - look->queued : 0;
    if (gone * GONE_SOON_US > look->queued * elapsed_us)
        return 0;
    uint32_t n = least(look->queued, state->queued);
    return s <= 0 ? n : n * s / within_us;
}

static enum adapt_reason find_hold(const struct adapt_rules *rules, const struct adapt_state *state,
                                   const struct adapt_look *look, const struct pace *pace)
{
    bool computes = state->fast.measured_us > 0 &&
                    state->fast.cpu_us > state->fast.measured_us * COMPUTES_SHARE;
    if (look->units >= rules->max)
        return ADAPT_HELD_BY_MAX;
    if (look->room == 0)
        return ADAPT_HELD_BY_ROOM;
    if (look->memory_pressure > PRESSURE_MAX)
        return ADAPT_HELD_BY_PRESSURE;
    if (!pace->is_lower_priority && computes && look->cpu_share >= FULL_SHARE)
        return ADAPT_HELD_BY_CPU;
    return ADAPT_STAYS;
}

/* A short queue is gone soon, or there by chance: to be seen for two jobs' time. */
static uint64_t patience_us(const struct adapt_look *look, const struct adapt_verdict *verdict,
                            const struct pace *pace)
{
    uint64_t two_us =
        verdict->service_us * 2 < SECOND ? (uint64_t)(verdict->service_us * 2) : SECOND;
    return look->queued >= look->units || two_us < pace->queue_us ? pace->queue_us : two_us;
}

static void try_to_grow(const struct adapt_rules *rules, struct adapt_state *state,
                        const struct adapt_look *look, struct adapt_verdict *out)
{
    const struct pace *pace = &paces[rules->kind];
    bool is_queue = lasts(state->queued_us, patience_us(look, out, pace), look->now_us);
    bool is_load = lasts(state->loaded_us, pace->load_us, look->now_us);
    if (out->wanted <= look->units || (!is_queue && !is_load))
        return;
    if (look->ready < look->units || !is_cool(state, look, pace->grow_us))
        return;
    uint32_t n = least(least(out->wanted, rules->max), look->units * 2);
    n = least(n, out->cpu_limit > rules->min ? out->cpu_limit : rules->min);
    if (n <= look->units) {
        out->reason = look->units >= rules->max ? ADAPT_HELD_BY_MAX : ADAPT_HELD_BY_CPU;
        return;
    }
    out->reason = find_hold(rules, state, look, pace);
    if (out->reason != ADAPT_STAYS)
        return;
    if (look->room < n - look->units)
        n = look->units + look->room;
    if (is_past(&state->grown, true, n, state, look->now_us)) {
        n = state->grown.units - 1;
        out->reason = ADAPT_HELD_BY_PAST;
    }
    if (n <= look->units)
        return;
    out->reason = is_queue ? ADAPT_QUEUE : ADAPT_LOAD;
    out->units = n;
    if (state->shrunk_us != 0 && look->now_us - state->shrunk_us < REGRET_US &&
        !is_past(&state->shrunk, false, look->units, state, look->now_us))
        remember(&state->shrunk, look->units, &state->slow, look->now_us);
    state->shrunk_us = 0;
}

static void try_to_shrink(const struct adapt_rules *rules, struct adapt_state *state,
                          const struct adapt_look *look, uint32_t enough, struct adapt_verdict *out)
{
    const struct pace *pace = &paces[rules->kind];
    bool is_excess = lasts(state->excess_us, pace->shrink_us, look->now_us);
    bool is_spare = lasts(state->spare_us, pace->spare_us, look->now_us);
    if (out->units != look->units || look->units <= rules->min || (!is_excess && !is_spare))
        return;
    if (state->trial.from != 0 || !is_cool(state, look, pace->shrink_us))
        return;
    uint32_t limit = is_excess && out->cpu_limit < enough ? out->cpu_limit : enough;
    if (limit < rules->min)
        limit = rules->min;
    if (limit >= look->units)
        return;
    uint32_t surplus = look->units - limit;
    uint32_t by = is_excess ? EXCESS_BY : SHRINKS_BY;
    uint32_t n = look->units - (surplus > by ? surplus / by : 1);
    if (is_past(&state->shrunk, false, n, state, look->now_us))
        return;
    state->shrunk_us = look->now_us;
    out->reason = is_excess ? ADAPT_CPU_BOUND : ADAPT_SPARE;
    out->units = n;
}

static void observe(const struct adapt_rules *rules, struct adapt_state *state,
                    const struct adapt_look *look, const struct adapt_verdict *verdict,
                    uint32_t enough)
{
    const struct pace *pace = &paces[rules->kind];
    bool is_loaded = look->units > 0 && verdict->load > look->units * pace->bound;
    note(&state->queued_us, look->queued > 0, look->now_us);
    state->missing = state->missing_us == 0 ? look->missing : least(state->missing, look->missing);
    note(&state->missing_us, look->missing > 0, look->now_us);
    note(&state->loaded_us, is_loaded, look->now_us);
    note(&state->spare_us, look->queued == 0 && enough < look->units, look->now_us);
    uint32_t noise = verdict->cpu_limit / EXCESS_FROM; /* of UINT32_MAX, too: no overflow below */
    note(&state->excess_us, look->units > noise && verdict->cpu_limit < look->units - noise,
         look->now_us);
}

static void gather(struct adapt_state *state, const struct adapt_look *look,
                   const struct pace *pace, double elapsed_us)
{
    if (elapsed_us > 0) {
        fade(&state->fast, FAST_US, elapsed_us);
        fade(&state->slow, SLOW_US, elapsed_us);
        add(&state->fast, look, elapsed_us);
        add(&state->slow, look, elapsed_us);
    }
    state->p99_jobs += look->completions;
    double jobs = look->latency_p99_us > 0 ? (double)state->p99_jobs : 0;
    if (state->trial.from != 0)
        watch_trial(&state->trial, look, pace, elapsed_us, jobs);
    if (jobs > 0) {
        state->p99_us += state->p99_us <= 0 ? (double)look->latency_p99_us
                                            : jobs / (jobs + TRIAL_JOBS) *
                                                  ((double)look->latency_p99_us - state->p99_us);
        state->p99_jobs = 0;
    }
    state->looked_us = look->now_us;
}

static struct adapt_verdict figure(const struct adapt_rules *rules, const struct adapt_state *state,
                                   const struct adapt_look *look, double elapsed_us)
{
    const struct pace *pace = &paces[rules->kind];
    const struct adapt_sums *fast = &state->fast;
    const struct adapt_sums *slow = is_known(fast) ? fast : &state->slow;
    /* The longer is remembered, the less is noise; but of other work it says nothing. */
    bool is_alike = !is_other_work(cpu_us(&state->slow), cpu_us(slow)) &&
                    !is_other_work(service_us(&state->slow), service_us(slow));
    struct adapt_verdict verdict = {.units = look->units,
                                    .reason = ADAPT_STAYS,
                                    .arrival_rate = per_second(fast->arrivals, fast),
                                    .rate = per_second(fast->completions, fast),
                                    .service_us = service_us(slow),
                                    .cpu_us = cpu_us(slow),
                                    .load = load_of(fast),
                                    .cpu_limit = cpu_limit(rules, is_alike ? &state->slow : slow)};
    if (slow->measured_us > 0) {
        double share = 1 - (slow->cpu_us + slow->delay_us) / slow->measured_us;
        verdict.waiting_us = share > 0 ? share * verdict.service_us : 0;
    }
    double backlog = backlog_of(state, look, pace->drain_us, elapsed_us);
    if (backlog > 0 && look->queued * LONG_QUEUE >= look->units && verdict.load < look->busy)
        verdict.load = look->busy; /* averages lag behind what has just begun */
    if (verdict.load > 0 && backlog > verdict.load * BACKLOG_SHARE)
        backlog = verdict.load * BACKLOG_SHARE; /* so that it overshoots by no more than that */
    verdict.wanted = units_for(verdict.load + backlog, pace->bound);
    return verdict;
}

static void finish(struct adapt_state *state, const struct adapt_look *look,
                   const struct adapt_verdict *verdict)
{
    state->queued = look->queued;
    state->units = verdict->units;
    if (verdict->units == look->units)
        return;
    state->changed_us = look->now_us;
    state->queued_us = state->loaded_us = state->excess_us = state->missing_us = 0;
}

/* After a step that did harm. Where that was a smaller number, what went may find its memory in use
 * by others now, so that going back is bound by what bounds growing. */
static void undo(const struct adapt_rules *rules, struct adapt_state *state,
                 const struct adapt_look *look, enum adapt_reason why, struct adapt_verdict *out)
{
    struct adapt_trial *trial = &state->trial;
    bool was_growth = trial->to > trial->from;
    remember(was_growth ? &state->grown : &state->shrunk, trial->to, &trial->after, look->now_us);
    out->units = least(trial->from, rules->max);
    out->reason = why;
    trial->from = 0;
    if (out->units <= look->units)
        return;
    enum adapt_reason hold = find_hold(rules, state, look, &paces[rules->kind]);
    if (hold != ADAPT_STAYS) {
        out->units = look->units;
        out->reason = hold;
    } else if (look->room < out->units - look->units) {
        out->units = look->units + look->room;
    }
}

/* A step that can't be carried out: it would stand in the way of all others. */
static bool give_up(const struct adapt_rules *rules, struct adapt_state *state,
                    const struct adapt_look *look, struct adapt_verdict *out)
{
    uint32_t n = state->missing < look->units ? look->units - state->missing : 0;
    n = n > rules->min ? n : rules->min;
    if (n >= look->units || !lasts(state->missing_us, MISSING_US, look->now_us))
        return false;
    adapt_refuse(state, n, look->now_us);
    out->units = n;
    out->reason = ADAPT_UNDONE_MISSING;
    return true;
}

struct adapt_verdict adapt_decide(const struct adapt_rules *rules, struct adapt_state *state,
                                  const struct adapt_look *look)
{
    const struct pace *pace = &paces[rules->kind];
    if (state->looked_us != 0 && state->units != look->units)
        adapt_forget(state); /* somebody else has changed it */
    double elapsed_us = state->looked_us == 0 ? 0 : (double)(look->now_us - state->looked_us);
    gather(state, look, pace, elapsed_us);
    struct adapt_verdict verdict = figure(rules, state, look, elapsed_us);
    uint32_t enough = units_for(load_of(&state->slow), pace->bound);
    observe(rules, state, look, &verdict, enough);
    if (look->units < rules->min || look->units > rules->max) {
        verdict.units = look->units < rules->min ? rules->min : rules->max;
        verdict.reason = ADAPT_BOUNDS;
        finish(state, look, &verdict);
        return verdict;
    }
    if (give_up(rules, state, look, &verdict)) {
        finish(state, look, &verdict);
        return verdict;
    }
    enum adapt_reason undone = end_trial(state, look, pace);
    if (undone != ADAPT_STAYS) {
        undo(rules, state, look, undone, &verdict);
        finish(state, look, &verdict);
        return verdict;
    }
    try_to_grow(rules, state, look, &verdict);
    try_to_shrink(rules, state, look, enough, &verdict);
    if (verdict.units != look->units)
        begin_trial(state, look, verdict.units);
    finish(state, look, &verdict);
    return verdict;
}

void adapt_forget(struct adapt_state *state)
{
    state->trial = (struct adapt_trial){0};
    state->grown = state->shrunk = (struct adapt_past){0};
    state->queued_us = state->loaded_us = state->spare_us = state->excess_us = 0;
    state->changed_us = state->missing_us = 0;
}

void adapt_refuse(struct adapt_state *state, uint32_t units, uint64_t now_us)
{
    remember(&state->grown, units + 1, &state->slow, now_us);
    state->trial.from = 0;
    state->units = units;
    state->changed_us = now_us;
}

bool adapt_is_step(enum adapt_reason reason)
{
    return reason >= ADAPT_BOUNDS && reason <= ADAPT_UNDONE_SWITCHES;
}

uint64_t adapt_interval_us(enum adapt_kind kind)
{
    return paces[kind].interval_us;
}
