/* Metrics as text, in two formats: Prometheus' (0.0.4) and OpenMetrics (1.0.0), which say nearly
 * the same. A family is begun, then its samples follow, label by label, each ended by its value.
 *
 *     exposition_family(&e, "remuda_requests", EXPOSITION_COUNTER, NULL, "Requests answered.");
 *     exposition_sample(&e, "");
 *     exposition_label(&e, "route", "GET /");
 *     exposition_u64(&e, 12);
 */
#ifndef REMUDA_WORKERS_EXPOSITION_H
#define REMUDA_WORKERS_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/meter.h"
#include "base/str.h"

enum exposition_type {
    EXPOSITION_COUNTER, /* its samples end in _total */
    EXPOSITION_GAUGE,
    EXPOSITION_HISTOGRAM,
    EXPOSITION_INFO, /* its samples end in _info and are 1 */
};

/* The time of a recent request, to be shown with the bucket that it fell into. */
struct exposition_exemplar {
    struct str trace_id; /* empty: there is none */
    uint64_t us;
    int64_t wall_us; /* when, since 1970 */
};

struct exposition {
    struct buf *out;
    bool is_open; /* OpenMetrics */
    int rc;       /* -ENOMEM once memory was refused; then nothing more is written */
    const char *name;
    enum exposition_type type;
    bool has_labels; /* of the sample that is being written */
};

/* Content-Type of either. */
extern const char exposition_text_type[];
extern const char exposition_open_type[];

void exposition_begin(struct exposition *e, struct buf *out, bool is_open);
void exposition_end(struct exposition *e);

/* name  without _total or _info, with its unit; unit: "seconds", "bytes", NULL none; help: one
 *       sentence. All three: static text */
void exposition_family(struct exposition *e, const char *name, enum exposition_type type,
                       const char *unit, const char *help);

/* suffix  of a histogram: "_sum"; else "" */
void exposition_sample(struct exposition *e, const char *suffix);

/* value  any octets: what the format can't have is escaped, what is no text becomes "?" */
void exposition_label(struct exposition *e, const char *name, const char *value);

/* The value of the sample, which is complete then. */
void exposition_u64(struct exposition *e, uint64_t value);
void exposition_us(struct exposition *e, uint64_t us); /* as seconds */
void exposition_ns(struct exposition *e, uint64_t ns);

/* Buckets, sum and count of a histogram in seconds, with up to two labels.
 * sum_us    of all that were counted
 * exemplar  NULL: none */
struct exposition_labels {
    const char *name, *value; /* NULL: none */
    const char *name2, *value2;
};
void exposition_histogram(struct exposition *e, const struct exposition_labels *labels,
                          const uint64_t counts[METER_BUCKETS], uint64_t sum_ns,
                          const struct exposition_exemplar *exemplar);

#endif
