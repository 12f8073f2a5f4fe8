/* Decisions. Process: master, but nothing here knows it: everything is an argument.
 *
 * THE table of seats below is states × events, as in s6-supervise: a row that is not there means
 * that nothing is done and nothing changes. Whoever wonders what happens when a worker that drains
 * loses its channel reads it there. The tests walk through all pairs and through random walks. */
#include "server/decide.h"

#include <signal.h>
#include <stddef.h>

enum limit { KEEP, NEVER, GRACE, STOP, MUTE }; /* what becomes of the deadline */

struct row {
    enum seat_phase phase;
    enum decide_event event;
    enum decide_act act;
    enum seat_phase next;
    enum limit limit;
    const char *doom;
};

const char *const decide_act_names[DECIDE_ACTS] = {
    [DECIDE_NOTHING] = "nothing",   [DECIDE_WELCOME] = "welcome",
    [DECIDE_RELIEVE] = "relieve",   [DECIDE_ASK_DRAIN] = "ask_drain",
    [DECIDE_ASK_STOP] = "ask_stop", [DECIDE_ASK_LEAVE] = "ask_leave",
    [DECIDE_ABORT] = "abort",       [DECIDE_MURDER] = "murder",
    [DECIDE_CUT] = "cut",           [DECIDE_FORGET] = "forget",
    [DECIDE_BURY] = "bury"};

/* What several phases do. */
#define BROKE DECIDE_MURDER, SEAT_KILLED, NEVER, "protocol"
#define KILL DECIDE_MURDER, SEAT_KILLED, NEVER, "stop"
#define CONDEMNED DECIDE_MURDER, SEAT_KILLED, NEVER, NULL /* who condemns says why */
#define BURY DECIDE_BURY, SEAT_FREE, NEVER, NULL
#define DEAF DECIDE_NOTHING, SEAT_MUTE, MUTE, NULL

static const struct row table[] = {
    {SEAT_FORKING, DECIDE_NAMED, DECIDE_NOTHING, SEAT_BOOTING, KEEP, NULL},
    {SEAT_FORKING, DECIDE_READY, DECIDE_CUT, SEAT_LOST, MUTE, "protocol"},
    {SEAT_FORKING, DECIDE_FAILED, DECIDE_NOTHING, SEAT_ENDING, STOP, NULL},
    {SEAT_FORKING, DECIDE_DRAINED, DECIDE_CUT, SEAT_LOST, MUTE, "protocol"},
    {SEAT_FORKING, DECIDE_BROKE, DECIDE_CUT, SEAT_LOST, MUTE, "protocol"},
    {SEAT_FORKING, DECIDE_CLOSED, DECIDE_NOTHING, SEAT_LOST, MUTE, NULL},
    {SEAT_FORKING, DECIDE_LATE, DECIDE_CUT, SEAT_LOST, STOP, "boot_timeout"},
    /* Its order may be far back in the loader's queue: it is not late until it has been born. */
    {SEAT_FORKING, DECIDE_DRAIN, DECIDE_ASK_LEAVE, SEAT_ENDING, KEEP, NULL},
    {SEAT_FORKING, DECIDE_STOP, DECIDE_ASK_STOP, SEAT_ENDING, KEEP, NULL},
    {SEAT_FORKING, DECIDE_KILL, DECIDE_CUT, SEAT_LOST, MUTE, "stop"},

    {SEAT_BOOTING, DECIDE_READY, DECIDE_WELCOME, SEAT_READY, NEVER, NULL},
    {SEAT_BOOTING, DECIDE_FAILED, DECIDE_NOTHING, SEAT_ENDING, STOP, NULL},
    {SEAT_BOOTING, DECIDE_DRAINED, BROKE},
    {SEAT_BOOTING, DECIDE_BROKE, BROKE},
    {SEAT_BOOTING, DECIDE_CLOSED, DEAF},
    {SEAT_BOOTING, DECIDE_DIED, BURY},
    {SEAT_BOOTING, DECIDE_LATE, DECIDE_ABORT, SEAT_ABORTED, STOP, "boot_timeout"},
    {SEAT_BOOTING, DECIDE_DRAIN, DECIDE_ASK_LEAVE, SEAT_ENDING, STOP, NULL},
    {SEAT_BOOTING, DECIDE_STOP, DECIDE_ASK_STOP, SEAT_ENDING, STOP, NULL},
    {SEAT_BOOTING, DECIDE_KILL, KILL},

    {SEAT_READY, DECIDE_READY, BROKE},
    {SEAT_READY, DECIDE_FAILED, DECIDE_NOTHING, SEAT_ENDING, STOP, NULL},
    {SEAT_READY, DECIDE_DRAINED, DECIDE_RELIEVE, SEAT_DRAINED, GRACE, NULL},
    {SEAT_READY, DECIDE_BROKE, BROKE},
    {SEAT_READY, DECIDE_CLOSED, DEAF},
    {SEAT_READY, DECIDE_DIED, BURY},
    {SEAT_READY, DECIDE_HUNG, DECIDE_ABORT, SEAT_ABORTED, STOP, "timeout"},
    {SEAT_READY, DECIDE_DRAIN, DECIDE_ASK_DRAIN, SEAT_DRAINING, GRACE, NULL},
    {SEAT_READY, DECIDE_STOP, DECIDE_ASK_STOP, SEAT_ENDING, STOP, NULL},
    {SEAT_READY, DECIDE_KILL, KILL},
    {SEAT_READY, DECIDE_CONDEMNED, CONDEMNED},

    {SEAT_DRAINING, DECIDE_READY, BROKE},
    {SEAT_DRAINING, DECIDE_FAILED, DECIDE_NOTHING, SEAT_ENDING, STOP, NULL},
    {SEAT_DRAINING, DECIDE_DRAINED, DECIDE_NOTHING, SEAT_DRAINED, KEEP, NULL},
    {SEAT_DRAINING, DECIDE_BROKE, BROKE},
    {SEAT_DRAINING, DECIDE_CLOSED, DEAF},
    {SEAT_DRAINING, DECIDE_DIED, BURY},
    {SEAT_DRAINING, DECIDE_LATE, DECIDE_MURDER, SEAT_KILLED, NEVER, "graceful_timeout"},
    {SEAT_DRAINING, DECIDE_STOP, DECIDE_ASK_STOP, SEAT_ENDING, STOP, NULL},
    {SEAT_DRAINING, DECIDE_KILL, KILL},
    {SEAT_DRAINING, DECIDE_CONDEMNED, CONDEMNED},

    {SEAT_DRAINED, DECIDE_READY, BROKE},
    {SEAT_DRAINED, DECIDE_BROKE, BROKE},
    {SEAT_DRAINED, DECIDE_CLOSED, DEAF},
    {SEAT_DRAINED, DECIDE_DIED, BURY},
    {SEAT_DRAINED, DECIDE_LATE, DECIDE_MURDER, SEAT_KILLED, NEVER, "graceful_timeout"},
    {SEAT_DRAINED, DECIDE_STOP, DECIDE_ASK_STOP, SEAT_ENDING, STOP, NULL},
    {SEAT_DRAINED, DECIDE_KILL, KILL},

    /* Frames may have crossed with what it was told: only a broken one counts. */
    {SEAT_ENDING, DECIDE_NAMED, DECIDE_NOTHING, SEAT_ENDING, STOP, NULL},
    {SEAT_ENDING, DECIDE_BROKE, BROKE},
    {SEAT_ENDING, DECIDE_CLOSED, DEAF},
    {SEAT_ENDING, DECIDE_DIED, BURY},
    {SEAT_ENDING, DECIDE_LATE, DECIDE_MURDER, SEAT_KILLED, NEVER, "did not end"},
    {SEAT_ENDING, DECIDE_KILL, KILL},

    {SEAT_MUTE, DECIDE_DIED, BURY},
    {SEAT_MUTE, DECIDE_LATE, DECIDE_MURDER, SEAT_KILLED, NEVER, "closed its channel"},
    {SEAT_MUTE, DECIDE_KILL, KILL},

    {SEAT_ABORTED, DECIDE_BROKE, BROKE},
    {SEAT_ABORTED, DECIDE_DIED, BURY},
    {SEAT_ABORTED, DECIDE_LATE, DECIDE_MURDER, SEAT_KILLED, NEVER, NULL},
    {SEAT_ABORTED, DECIDE_KILL, KILL},

    {SEAT_KILLED, DECIDE_DIED, BURY},

    {SEAT_LOST, DECIDE_NAMED, DECIDE_MURDER, SEAT_KILLED, NEVER, NULL},
    {SEAT_LOST, DECIDE_LATE, DECIDE_FORGET, SEAT_FREE, NEVER, NULL},
};

static uint64_t add(uint64_t now_us, uint64_t span_us)
{
    return span_us > SEAT_NEVER - now_us ? SEAT_NEVER : now_us + span_us;
}

static uint64_t deadline_of(enum limit limit, const struct seat *seat, uint64_t now_us,
                            const struct decide_rules *rules)
{
    switch (limit) {
    case NEVER:
        return SEAT_NEVER;
    case GRACE:
        return add(now_us, rules->graceful_us);
    case STOP:
        return add(now_us, DECIDE_STOP_US);
    case MUTE: /* never longer than what it had left */
        return seat->deadline_us < add(now_us, DECIDE_MUTE_US) ? seat->deadline_us
                                                               : add(now_us, DECIDE_MUTE_US);
    case KEEP:
        break;
    }
    return seat->deadline_us;
}

/* When an untouched heartbeat becomes too old. A loader's is not in the shared table: it counts as
 * beating while no order to fork waits for it (see read_loader() in master.c). */
static uint64_t hung_at(const struct seat *seat, const struct decide_rules *rules)
{
    bool owes = role_table[seat->role].owes_heartbeat || seat->role == ROLE_LOADER;
    if (seat->phase != SEAT_READY || rules->timeout_us == 0 || !owes)
        return SEAT_NEVER;
    uint64_t at = add(seat->heartbeat_us, rules->timeout_us);
    return at < rules->excuse_us ? rules->excuse_us : at;
}

static const struct row *find_row(enum seat_phase phase, enum decide_event event)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].phase == phase && table[i].event == event)
            return &table[i];
    return NULL;
}

/* Without a pid there is nothing to signal. Its channel is cut, so that it ends by itself, and
 * after a while it is forgotten. */
static struct row nobody_to_kill(const struct seat *seat, enum decide_event event, struct row row)
{
    bool is_deaf = seat->phase == SEAT_ENDING || seat->phase == SEAT_MUTE;
    if (event == DECIDE_LATE && is_deaf)
        return (struct row){row.phase, event, DECIDE_FORGET, SEAT_FREE, NEVER, NULL};
    return (struct row){row.phase, event, DECIDE_CUT, SEAT_LOST, MUTE, row.doom};
}

struct decide_verdict decide(const struct seat *seat, enum decide_event event, uint64_t now_us,
                             const struct decide_rules *rules)
{
    if (event == DECIDE_TIME) {
        if (now_us >= seat->deadline_us)
            event = DECIDE_LATE;
        else if (now_us >= hung_at(seat, rules))
            event = DECIDE_HUNG;
    }
    const struct row *found = find_row(seat->phase, event);
    if (!found)
        return (struct decide_verdict){DECIDE_NOTHING, seat->phase, seat->deadline_us, NULL};
    struct row row = *found;
    if (row.act == DECIDE_MURDER && seat->pid == 0)
        row = nobody_to_kill(seat, event, row);
    return (struct decide_verdict){.act = row.act,
                                   .phase = row.next,
                                   .deadline_us = deadline_of(row.limit, seat, now_us, rules),
                                   .doom = row.doom};
}

uint64_t decide_next_us(const struct seat *seat, const struct decide_rules *rules)
{
    uint64_t at = hung_at(seat, rules);
    return seat->deadline_us < at ? seat->deadline_us : at;
}

/* 100 ms, 200 ms, 400 ms … for step 1, 2, 3 …, up to a limit. */
static uint64_t backoff_us(unsigned step, uint64_t limit_us)
{
    if (step == 0)
        return 0;
    unsigned shift = step - 1 < 10 ? step - 1 : 10;
    uint64_t us = DECIDE_BACKOFF_US << shift;
    return us < limit_us ? us : limit_us;
}

uint64_t decide_backoff_us(unsigned step)
{
    return backoff_us(step, DECIDE_BACKOFF_MAX_US);
}

struct decide_replacement decide_replace(const struct decide_loss *loss)
{
    struct decide_replacement r = {.fate = DECIDE_REPLACE};
    if (!loss->is_candidate && loss->was_ready && loss->ready_us >= DECIDE_STEADY_US)
        return r; /* it served well: at once, and the count starts anew */
    /* It died of a task, and the next one hardly will: whoever waits in the queue should not wait
     * for longer. It is requests that set the pace here, and a breaker that stops it; without one a
     * route that only crashes must not keep a CPU busy with forks. */
    if (!loss->is_candidate && loss->was_ready && loss->had_task) {
        r.task_deaths = loss->has_done ? 0 : loss->task_deaths + (loss->task_deaths < 1000);
        r.delay_us = r.task_deaths > DECIDE_TASK_DEATHS ? DECIDE_TASK_BACKOFF_US : 0;
        return r;
    }
    r.failures = loss->failures < 1000 ? loss->failures + 1 : loss->failures;
    /* Once ready, the first death is no reason to wait: whoever killed it may not do it again. And
     * it can boot, so that the next one would serve: half a minute without it, or, where it was the
     * loader, without a replacement for anybody, costs more than a fork a second. */
    r.delay_us = loss->was_ready ? backoff_us(r.failures - 1, DECIDE_BACKOFF_READY_MAX_US)
                                 : backoff_us(r.failures, DECIDE_BACKOFF_MAX_US);
    bool is_hopeless = r.failures >= DECIDE_TRIES;
    if (loss->is_candidate)
        r.fate = DECIDE_REFUSED;
    else if (loss->is_first_start && loss->role == ROLE_LOADER && !loss->was_refused &&
             !loss->was_ready)
        r.fate = DECIDE_NO_APP;
    else if (loss->is_first_start && is_hopeless && !loss->is_anyone_serving)
        r.fate = DECIDE_NO_BOOT;
    else if (is_hopeless)
        r.fate = DECIDE_DEGRADED;
    return r;
}

enum decide_step decide_turnover(const struct decide_turnover *t)
{
    if (t->has_leaving)
        return t->is_leaving_gone ? DECIDE_SWEEP : DECIDE_STAY;
    if (t->has_candidate && (t->has_failed || t->is_stopping))
        return DECIDE_DISCARD;
    if (t->has_candidate)
        return t->is_candidate_ready ? DECIDE_COMMIT : DECIDE_STAY;
    return t->is_asked && t->is_current_up && !t->is_stopping ? DECIDE_BEGIN : DECIDE_STAY;
}

enum decide_stage decide_stage(enum decide_stage stage, int signal_number)
{
    if (signal_number == SIGTERM)
        return stage < DECIDE_GRACEFUL ? DECIDE_GRACEFUL : stage;
    if (signal_number == SIGINT || signal_number == SIGQUIT)
        return stage < DECIDE_QUICK ? DECIDE_QUICK : DECIDE_AT_ONCE;
    return stage;
}
