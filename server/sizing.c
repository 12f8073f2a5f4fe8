/* A changed quota changes nothing by itself: what runs was sized for the old one until somebody
 * reloads. So the line of a reload has both numbers, the new one and the one before. */
#include "server/sizing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "config/settings.h"

static const char *quote(char out[LOG_QUOTE_MAX + 8], const char *why)
{
    return why ? log_quote(out, why, strlen(why)) : "\"\"";
}

void sizing_tell(const struct settings *settings, const struct settings *before, int generation)
{
    char cpus_why[LOG_QUOTE_MAX + 8];
    char memory_why[LOG_QUOTE_MAX + 8];
    char was[96] = "";
    if (before && before->cpus == settings->cpus && before->memory_bytes == settings->memory_bytes)
        return;
    if (before)
        (void)snprintf(was, sizeof was, " cpus_before=%" PRIu32 " memory_bytes_before=%" PRIu64,
                       before->cpus, before->memory_bytes);
    log_notice("sized",
               "generation=%d cpus=%" PRIu32 " memory_bytes=%" PRIu64 "%s cpus_from=%s "
               "memory_from=%s",
               generation, settings->cpus, settings->memory_bytes, was,
               quote(cpus_why, settings->cpus_why), quote(memory_why, settings->memory_why));
}

/* Of the workers that are always there: before one more is made, it is looked whether there is room
 * (server/growth.h). */
static uint64_t count_memory(const struct pools *pools, uint64_t *out_workers)
{
    uint64_t sum = 0;
    *out_workers = 0;
    for (uint32_t i = 0; i < pools->n; i++) {
        const struct pool *pool = &pools->items[i];
        if (!pools_is_used(pools, (int)i) || pool->settings->memory_limit_bytes == 0)
            continue;
        *out_workers += pool->n_min;
        sum += pool->n_min * pool->settings->memory_limit_bytes; /* below 2^63, config/pool.c */
    }
    return sum;
}

int sizing_check_pools(const struct pools *pools, const struct settings *settings, struct err *err)
{
    const double gib = 1 << 30;
    uint64_t n_workers;
    uint64_t need = count_memory(pools, &n_workers);
    if (settings->memory_bytes == 0 || need <= settings->memory_bytes ||
        settings->sources[SETTING_ID_compute].origin != SETTING_FROM_DEFAULT ||
        settings->sources[SETTING_ID_pools].origin != SETTING_FROM_DEFAULT)
        return 0;
    if (settings->strict)
        return err_set(err, ENOMEM,
                       "%" PRIu64 " compute workers x memory_limit is %.2f GiB, more than the "
                       "memory there is, %.2f GiB; set compute.workers or compute.memory_limit",
                       n_workers, (double)need / gib, (double)settings->memory_bytes / gib);
    log_warn("compute workers may need more memory than there is",
             "workers=%" PRIu64 " need_bytes=%" PRIu64 " memory_bytes=%" PRIu64
             " does=\"serves all the same; set compute.workers or compute.memory_limit\"",
             n_workers, need, settings->memory_bytes);
    return 0;
}
