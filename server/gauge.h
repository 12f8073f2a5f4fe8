/* What decisions about numbers of workers and threads want to know of the machine and of the
 * server as a whole: CPUs in use, memory that is short, how long calls of a lane take. */
#ifndef REMUDA_SERVER_GAUGE_H
#define REMUDA_SERVER_GAUGE_H

#include <sched.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/meter.h"
#include "config/settings.h"
#include "ipc/profile.h"

struct herd;

struct gauge {
    uint64_t read_us; /* 0: never */
    uint64_t cpu_ms;  /* used by all processes of the server, so far */
    double cpu_share; /* of the CPUs granted, in the last second: 0 … 1; below 0: not known */
    uint64_t idle_ms; /* of the CPUs that may be used, together, so far; UINT64_MAX: not known */
    double free_cpus; /* in the last second, idle or in use by the server: what others left of the
                         CPUs that may be used; below 0: not known */
    double memory_pressure; /* PSI, some, avg10: percent of the time that somebody waits for memory;
                               below 0: not known */
};

/* Reads it anew where it is a second old: a file for each process, and the CPUs' times. */
void gauge_read(struct gauge *gauge, const struct herd *herd);

/* Milliseconds that these CPUs were idle, together, by the text of /proc/stat (proc(5)).
 * Returns  UINT64_MAX: it does not tell of all of them */
uint64_t gauge_parse_idle_ms(const char *text, const cpu_set_t *allowed, long ticks_a_second);

/* What a thread has had of the CPUs. */
struct gauge_thread {
    uint64_t run_ns;   /* computed */
    uint64_t delay_ns; /* was ready, while others had them */
};

/* Of a process's main thread, from /proc/PID/schedstat. Returns 0; -errno: not known */
int gauge_read_thread(pid_t pid, struct gauge_thread *out) __attribute__((warn_unused_result));

/* Involuntary context switches of a process's main thread so far, from /proc/PID/status. Returns as
 * gauge_read_thread() */
int gauge_read_switches(pid_t pid, uint64_t *out) __attribute__((warn_unused_result));

/* What memory has room for. */
struct gauge_room {
    uint64_t bytes;           /* that are left, were all to come to have what they may; UINT64_MAX:
                                 not known */
    uint64_t set_aside_bytes; /* for that, before */
    /* What one worker may come to have for itself; 0: not known */
    uint64_t web_bytes;
    uint64_t pool_bytes[SETTINGS_POOLS_MAX]; /* by the pool's index; 0 also: it is not in use */
};

/* Each worker may come to have what the largest of its kind has, and in a pool what a task of this
 * generation has had, up to its limit; where tasks run and none has ended yet, that limit. So much
 * is set aside for all of a pool, and for web workers that have not served for long, those that are
 * not there yet included. Reads a file or three for each. */
struct gauge_room gauge_read_room(const struct herd *herd);

/* How many more fit, of those that may come to have so much; 0: not known. */
uint32_t gauge_count_fit(const struct gauge_room *room, uint64_t needs_bytes);

/* Takes what some of a generation that comes will need, beside the present one, out of the room.
 * least    so many in any case, …
 * at_most  … and no more; not below least
 * Returns  how many they are */
uint32_t gauge_take(struct gauge_room *room, uint64_t needs_bytes, uint32_t least,
                    uint32_t at_most);

/* Calls of a lane, as counted so far. */
struct gauge_calls {
    uint64_t wall[METER_BUCKETS];
    uint64_t wait[METER_BUCKETS];
};

/* What was called since the last time, in all web workers that serve together.
 * seen  what was counted then; brought up to date */
struct gauge_calls gauge_calls_since(const struct herd *herd, enum profile_lane lane,
                                     struct gauge_calls *seen);

#endif
