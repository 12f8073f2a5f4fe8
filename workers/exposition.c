/* See exposition.h. Both formats were written down by their authors: "Exposition formats" in
 * Prometheus' documentation, and the OpenMetrics specification, 1.0.0. */
#include "workers/exposition.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

const char exposition_text_type[] = "text/plain; version=0.0.4; charset=utf-8";
const char exposition_open_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/* Buckets that are told: what is below is of no interest, and each costs a line for each route. */
#define FIRST_BUCKET 4U /* up to 16 µs */

__attribute__((format(printf, 2, 3))) static void put(struct exposition *e, const char *format, ...)
{
    char text[512];
    va_list args;
    if (e->rc < 0)
        return;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    e->rc = buf_append(e->out, text, len);
}

void exposition_begin(struct exposition *e, struct buf *out, bool is_open)
{
    *e = (struct exposition){.out = out, .is_open = is_open};
}

void exposition_end(struct exposition *e)
{
    if (e->is_open)
        put(e, "# EOF\n");
}

/* What is behind the name of each sample of a family. */
static const char *suffix_of(enum exposition_type type)
{
    return type == EXPOSITION_COUNTER ? "_total" : type == EXPOSITION_INFO ? "_info" : "";
}

void exposition_family(struct exposition *e, const char *name, enum exposition_type type,
                       const char *unit, const char *help)
{
    static const char *const types[] = {[EXPOSITION_COUNTER] = "counter",
                                        [EXPOSITION_GAUGE] = "gauge",
                                        [EXPOSITION_HISTOGRAM] = "histogram",
                                        [EXPOSITION_INFO] = "info"};
    const char *suffix = e->is_open ? "" : suffix_of(type); /* there the family has none */
    const char *word = !e->is_open && type == EXPOSITION_INFO ? "gauge" : types[type];
    e->name = name;
    e->type = type;
    put(e, "# HELP %s%s %s\n", name, suffix, help);
    put(e, "# TYPE %s%s %s\n", name, suffix, word);
    if (e->is_open && unit)
        put(e, "# UNIT %s %s\n", name, unit);
}

void exposition_sample(struct exposition *e, const char *suffix)
{
    e->has_labels = false;
    put(e, "%s%s%s", e->name, suffix_of(e->type), suffix);
}

void exposition_label(struct exposition *e, const char *name, const char *value)
{
    char text[400];
    size_t len = 0;
    const struct str all = str_of(value);
    for (const char *p = all.p; *p && len < sizeof text - 8;) {
        size_t n = str_utf8_length(p, (size_t)(all.p + all.len - p));
        if (*p == '\\' || *p == '"' || *p == '\n') {
            text[len++] = '\\';
            text[len++] = *p == '\n' ? 'n' : *p;
            n = 1;
        } else if (n == 0 || str_has_control(str_make(p, 1))) {
            text[len++] = '?';
            n = 1;
        } else {
            memcpy(text + len, p, n);
            len += n;
        }
        p += n;
    }
    text[len] = '\0';
    put(e, "%s%s=\"%s\"", e->has_labels ? "," : "{", name, text);
    e->has_labels = true;
}

static void end_labels(struct exposition *e)
{
    put(e, e->has_labels ? "} " : " ");
    e->has_labels = false;
}

void exposition_u64(struct exposition *e, uint64_t value)
{
    end_labels(e);
    put(e, "%" PRIu64 "\n", value);
}

void exposition_ns(struct exposition *e, uint64_t ns)
{
    end_labels(e);
    put(e, "%" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000, ns % 1000000000);
}

void exposition_us(struct exposition *e, uint64_t us)
{
    end_labels(e);
    put(e, "%" PRIu64 ".%06" PRIu64 "\n", us / 1000000, us % 1000000);
}

static void put_labels(struct exposition *e, const struct exposition_labels *labels)
{
    if (labels->name)
        exposition_label(e, labels->name, labels->value);
    if (labels->name2)
        exposition_label(e, labels->name2, labels->value2);
}

static void put_exemplar(struct exposition *e, const struct exposition_exemplar *exemplar)
{
    put(e, " # {trace_id=\"%.*s\"} %" PRIu64 ".%06" PRIu64 " %" PRId64 ".%06" PRId64,
        (int)exemplar->trace_id.len, exemplar->trace_id.p, exemplar->us / 1000000,
        exemplar->us % 1000000, exemplar->wall_us / 1000000, exemplar->wall_us % 1000000);
}

static void put_bucket(struct exposition *e, const struct exposition_labels *labels,
                       const char *bound, uint64_t count,
                       const struct exposition_exemplar *exemplar)
{
    exposition_sample(e, "_bucket");
    put_labels(e, labels);
    exposition_label(e, "le", bound);
    put(e, "} %" PRIu64, count);
    if (e->is_open && exemplar)
        put_exemplar(e, exemplar);
    put(e, "\n");
}

/* Bucket i of a meter holds what is below 2^i µs. */
void exposition_histogram(struct exposition *e, const struct exposition_labels *labels,
                          const uint64_t counts[METER_BUCKETS], uint64_t sum_ns,
                          const struct exposition_exemplar *exemplar)
{
    char bound[32];
    uint64_t below = 0;
    bool has_exemplar = exemplar && exemplar->trace_id.len > 0;
    for (unsigned i = 0; i < METER_BUCKETS - 1; i++) {
        uint64_t bound_us = UINT64_C(1) << i;
        below += counts[i];
        if (i < FIRST_BUCKET)
            continue;
        bool is_its = has_exemplar && exemplar->us <= bound_us;
        (void)snprintf(bound, sizeof bound, "%.6f", (double)bound_us / 1e6);
        put_bucket(e, labels, bound, below, is_its ? exemplar : NULL);
        has_exemplar &= !is_its;
    }
    below += counts[METER_BUCKETS - 1];
    put_bucket(e, labels, "+Inf", below, has_exemplar ? exemplar : NULL);
    exposition_sample(e, "_sum");
    put_labels(e, labels);
    exposition_ns(e, sum_ns);
    exposition_sample(e, "_count");
    put_labels(e, labels);
    exposition_u64(e, below);
}
