/* The ring of decisions. Process: master. Of fixed size, like all that it keeps. */
#include "server/decisions.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "server/adapt.h"

static void keep(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text);
}

void decisions_note(struct decisions *decisions, uint64_t now_us,
                    const struct decisions_entry *entry, const char *figures, ...)
{
    struct decision *d = &decisions->kept[decisions->n % DECISIONS_KEPT];
    char about[LOG_QUOTE_MAX + 8];
    va_list args;
    *d = (struct decision){.number = ++decisions->n, .at_us = now_us};
    keep(d->kind, sizeof d->kind, entry->kind);
    keep(d->about, sizeof d->about, entry->about);
    keep(d->from, sizeof d->from, entry->from);
    keep(d->to, sizeof d->to, entry->to);
    keep(d->why, sizeof d->why, entry->why);
    va_start(args, figures);
    (void)vsnprintf(d->figures, sizeof d->figures, figures, args);
    va_end(args);
    log_notice(entry->event, "%s=%s from=%s to=%s why=\"%s\" %s",
               entry->number ? entry->number
               : entry->text ? entry->text
                             : d->kind,
               entry->number ? d->about : log_quote(about, d->about, strlen(d->about)), d->from,
               d->to, d->why, d->figures);
}

const char *decisions_figures(struct decisions_figures *out, const struct adapt_look *look,
                              const struct adapt_verdict *v)
{
    int n = snprintf(out->text, sizeof out->text,
                     " busy=%" PRIu32 " queued=%" PRIu32 " load=%.2f wanted=%" PRIu32
                     " arrivals_s=%.1f completions_s=%.1f service_us=%.0f cpu_us=%.0f wait_us=%.0f",
                     look->busy, look->queued, v->load, v->wanted, v->arrival_rate, v->rate,
                     v->service_us, v->cpu_us, v->waiting_us);
    const struct {
        const char *name;
        double value;
        bool is_known;
    } more[] = {{"cpu_limit", v->cpu_limit, v->cpu_limit != UINT32_MAX},
                {"p99_us", (double)look->latency_p99_us, look->latency_p99_us > 0},
                {"queue_p99_us", (double)look->wait_p99_us, look->latency_p99_us > 0},
                {"cpu_percent", look->cpu_share * 100, look->cpu_share >= 0},
                {"switches", (double)look->switches, look->switches > 0},
                {"pressure_percent", look->memory_pressure, look->memory_pressure >= 0},
                {"room", look->room, look->room != UINT32_MAX}};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        if (more[i].is_known && n > 0 && (size_t)n < sizeof out->text)
            n += snprintf(out->text + n, sizeof out->text - (size_t)n, " %s=%.0f", more[i].name,
                          more[i].value);
    return out->text;
}

const struct decision *decisions_peek(const struct decisions *decisions, uint64_t i)
{
    if (i >= decisions->n || i >= DECISIONS_KEPT)
        return NULL;
    return &decisions->kept[(decisions->n - 1 - i) % DECISIONS_KEPT];
}
