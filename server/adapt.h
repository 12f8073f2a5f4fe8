/* How many units of something there should be: threads of a worker's io lane, workers of a compute
 * pool, web workers. One pure function for all three: what was seen since the last look and what
 * is remembered go in, a number and the reason come out. Who calls it counts, carries out, logs.
 *
 * A unit has one job at a time. Of a job's time from begin to end (S, its service time) it computes
 * some (C), is ready to while others have the CPUs some more (delay), and waits for the rest (W).
 * By Little's law λ jobs a second keep λ·S units busy; there are to be so many more that few jobs
 * find none, and never many more than keep the CPUs busy: CPUs × (1 + 1.5 × W/C). */
#ifndef REMUDA_SERVER_ADAPT_H
#define REMUDA_SERVER_ADAPT_H

#include <stdbool.h>
#include <stdint.h>

enum adapt_kind { ADAPT_THREADS, ADAPT_COMPUTE, ADAPT_WEB, ADAPT_KINDS };
extern const char *const adapt_kind_names[ADAPT_KINDS];

/* What does not change from look to look. */
struct adapt_rules {
    enum adapt_kind kind;
    uint32_t min; /* 1 …, and */
    uint32_t max; /* not less */
    double cpus;  /* for these units: those granted, divided by who else has such units */
};

/* What was seen since the last look. */
struct adapt_look {
    uint64_t now_us;
    uint32_t units;   /* that there are to be, as of now */
    uint32_t ready;   /* that there are */
    uint32_t busy;    /* of them, at this moment */
    uint32_t queued;  /* jobs that wait for one, likewise */
    uint32_t missing; /* of units, the last ones: could not be had so far */
    uint64_t arrivals;
    uint64_t completions;
    uint64_t wall_ns; /* S of all that were completed, together */
    /* Of those whose CPU time is known, together; all 0: of none. */
    uint64_t measured_wall_ns;
    uint64_t cpu_ns;
    uint64_t delay_ns;
    uint64_t wait_p99_us;    /* in the queue, of those completed since it was last known; 0: not */
    uint64_t latency_p99_us; /* of them, in all; likewise */
    uint64_t switches;       /* involuntary, of all units together */
    double cpu_share;        /* of the CPUs granted, in use: 0 … 1; below 0: not known */
    double memory_pressure;  /* PSI, memory, some, avg10, in percent; below 0: not known */
    uint32_t room;           /* units that memory has room for, beside these; UINT32_MAX: any */
};

enum adapt_reason {
    ADAPT_STAYS,
    ADAPT_BOUNDS,           /* it was outside of min and max */
    ADAPT_QUEUE,            /* grows: jobs wait */
    ADAPT_LOAD,             /* grows: nearly all are busy */
    ADAPT_SPARE,            /* shrinks: some have had nothing to do for a while */
    ADAPT_CPU_BOUND,        /* shrinks: more compute than CPUs can run */
    ADAPT_UNDONE_FEWER,     /* goes back: fewer jobs were completed than before the step */
    ADAPT_UNDONE_SLOWER,    /* goes back: p99 rose */
    ADAPT_UNDONE_MISSING,   /* goes back: those that were to come can't be had */
    ADAPT_UNDONE_SWITCHES,  /* goes back: no more jobs, but more involuntary switches */
    ADAPT_HELD_BY_ROOM,     /* would grow, but memory has no room for another */
    ADAPT_HELD_BY_PRESSURE, /* … but memory is short (PSI) */
    ADAPT_HELD_BY_CPU,      /* … but the CPUs are full already */
    ADAPT_HELD_BY_PAST,     /* … but that was undone a while ago */
    ADAPT_HELD_BY_MAX,      /* … but there are as many as may be */
    ADAPT_REASONS
};
extern const char *const adapt_reason_names[ADAPT_REASONS]; /* in words, for a log line */

/* Sums in which what is older weighs less. */
struct adapt_sums {
    double time_us;
    double arrivals;
    double completions;
    double wall_us;
    double measured_us;
    double cpu_us;
    double delay_us;
    double busy_us; /* units × time */
    double switches;
};

/* A step that has not proved itself yet. */
struct adapt_trial {
    uint32_t from; /* 0: there is none */
    uint32_t to;
    uint64_t since_us;
    double before_rate; /* completions a second, */
    double before_jobs; /* of so many */
    double before_arrivals;
    double before_service_us; /* S and */
    double before_cpu_us;     /* C of a job, */
    double before_p99_us;
    double before_switches; /* a second */
    struct adapt_sums after;
    double after_p99_us; /* weighed by completions */
    double after_p99_jobs;
    uint32_t looks;  /* since, and */
    uint32_t queued; /* at how many of them jobs waited */
};

/* A step that was undone: not to be taken again for a while. */
struct adapt_past {
    uint32_t units; /* growing: so many or more; shrinking: so many or fewer; 0: none */
    uint64_t until_us;
    double cpu_us;   /* C of a job then: with other work it means nothing */
    double arrivals; /* a second, then */
    unsigned times;  /* in a row: remembered longer each time */
};

/* What is remembered from look to look. All zero at first. */
struct adapt_state {
    uint64_t looked_us; /* 0: never */
    uint64_t changed_us;
    uint64_t shrunk_us;  /* and did not grow since; 0: did */
    uint64_t queued_us;  /* at every look since then jobs waited; 0: not at the last one */
    uint64_t loaded_us;  /* likewise: nearly all were busy */
    uint64_t spare_us;   /* likewise: fewer would do */
    uint64_t excess_us;  /* likewise: more compute than CPUs can run */
    uint64_t missing_us; /* likewise: some could not be had, */
    uint32_t missing;    /* so many at least */
    uint32_t queued;     /* at the last look */
    uint32_t units;      /* as decided then */
    double p99_us;       /* moving average, */
    uint64_t p99_jobs;   /* completed since it was last known */
    struct adapt_sums fast;
    struct adapt_sums slow;
    struct adapt_trial trial;
    struct adapt_past grown;
    struct adapt_past shrunk;
};

/* What is to be, and the figures that decided. */
struct adapt_verdict {
    uint32_t units;
    enum adapt_reason reason;
    uint32_t wanted;     /* by Little's law and the bound, before limits */
    uint32_t cpu_limit;  /* that CPUs can keep busy; UINT32_MAX: not known */
    double arrival_rate; /* a second */
    double rate;         /* completions a second */
    double service_us;   /* S; 0: not known */
    double cpu_us;       /* C of a job; 0: not known */
    double waiting_us;   /* W of a job */
    double load;         /* λ·S: units that are busy */
};

/* Decides, and remembers. Pure but for *state, which belongs to the caller alone; any interval
 * between looks will do, 100 ms … 1 s is meant. */
struct adapt_verdict adapt_decide(const struct adapt_rules *rules, struct adapt_state *state,
                                  const struct adapt_look *look);

/* What is remembered loses its meaning: another generation, other bounds, somebody asked for a
 * number. Figures stay, steps and what was undone don't. */
void adapt_forget(struct adapt_state *state);

/* Who carries it out found that there can be no more than so many units: back to those, and not
 * beyond them for a while. */
void adapt_refuse(struct adapt_state *state, uint32_t units, uint64_t now_us);

/* Whether units change by it. */
bool adapt_is_step(enum adapt_reason reason);

/* After so long another look is worth it. */
uint64_t adapt_interval_us(enum adapt_kind kind);

#endif
