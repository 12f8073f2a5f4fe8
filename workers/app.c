/* The functions of remuda.h that have nothing to do with a request: settings, process, log. Those
 * of requests are in workers/app_request.c and app_body.c, those of answers in app_response.c: a
 * thin layer over http/ that keeps the application from ever holding anything but opaque pointers
 * and text in the request's arena. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "config/settings.h"
#include "include/remuda.h"
#include "workers/chain.h"

static const struct settings_node *find_config(const char *key)
{
    return settings_node_get(chain_get_process()->config, key);
}

static void warn_of_type(const char *key, const struct settings_node *node, const char *wanted)
{
    const char *file = chain_get_process()->config_file;
    log_warn("app_config has another type than the app asks for",
             "key=\"%s\" wanted=\"%s\" at=%s:%u:%u", key, wanted, file ? file : "?", node->line,
             node->column);
}

const char *rmd_config_string(const char *key, const char *fallback)
{
    const struct settings_node *node = find_config(key);
    const char *text = fallback;
    if (node && settings_node_to_text(node, &text) < 0)
        warn_of_type(key, node, "text");
    return text;
}

long long rmd_config_int(const char *key, long long fallback)
{
    const struct settings_node *node = find_config(key);
    int64_t value = fallback;
    if (node && settings_node_to_int(node, &value) < 0)
        warn_of_type(key, node, "whole number");
    return value;
}

bool rmd_config_bool(const char *key, bool fallback)
{
    const struct settings_node *node = find_config(key);
    bool value = fallback;
    if (node && settings_node_to_bool(node, &value) < 0)
        warn_of_type(key, node, "yes or no");
    return value;
}

double rmd_config_double(const char *key, double fallback)
{
    const struct settings_node *node = find_config(key);
    double value = fallback;
    if (node && settings_node_to_double(node, &value) < 0)
        warn_of_type(key, node, "number");
    return value;
}

long long rmd_config_duration_ms(const char *key, long long fallback_ms)
{
    const struct settings_node *node = find_config(key);
    uint64_t value_us = 0;
    if (!node)
        return fallback_ms;
    if (settings_node_to_duration(node, &value_us) < 0) {
        warn_of_type(key, node, "duration such as 30s");
        return fallback_ms;
    }
    return (long long)(value_us / 1000U);
}

long long rmd_config_bytes(const char *key, long long fallback_bytes)
{
    const struct settings_node *node = find_config(key);
    uint64_t value = 0;
    if (!node)
        return fallback_bytes;
    if (settings_node_to_size(node, &value) < 0 || value > LLONG_MAX) {
        warn_of_type(key, node, "size such as 64MiB");
        return fallback_bytes;
    }
    return (long long)value;
}

const char *rmd_role(void)
{
    return chain_get_process()->role;
}

int rmd_slot(void)
{
    return chain_get_process()->slot;
}

int rmd_generation(void)
{
    return chain_get_process()->generation;
}

void rmd_log(enum rmd_log_level level, const char *format, ...)
{
    if ((unsigned)level > RMD_LOG_DEBUG)
        level = RMD_LOG_ERROR;
    if (!log_is_on((enum log_level)level))
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_event((enum log_level)level, text, "%s", "");
}
