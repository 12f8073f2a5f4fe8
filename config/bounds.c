/* Ranges. */
#include "config/bounds.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "config/value.h"

#define DOTS ".."

static int refuse(struct err *err, const struct setting_spec *spec, struct str text,
                  const char *wrong)
{
    char quoted[VALUE_QUOTE_MAX];
    struct buf allowed = {0};
    bool is_described = value_describe(&allowed, spec) == 0;
    (void)err_set(err, EINVAL, "%s %s; allowed: %s", value_quote(quoted, text), wrong,
                  is_described ? allowed.data : "see remuda config --reference");
    buf_fini(&allowed);
    return -EINVAL;
}

int bounds_parse(const struct setting_spec *spec, struct str text, struct setting_range *out,
                 struct err *err)
{
    uint64_t min;
    uint64_t max = 0;
    const char *dots = memmem(text.p, text.len, DOTS, strlen(DOTS));
    if (str_is_equal(text, STR("auto"))) {
        *out = (struct setting_range){.is_auto = true};
        return 0;
    }
    struct str first = dots ? str_make(text.p, (size_t)(dots - text.p)) : text;
    if (dots && (first.len == 0 || dots + strlen(DOTS) == text.p + text.len))
        return refuse(err, spec, text, "lacks an end");
    int rc = value_parse_number(spec, first, &min, err);
    if (rc < 0)
        return rc;
    if (!dots) {
        *out =
            (struct setting_range){.n = (uint32_t)min, .min = (uint32_t)min, .max = (uint32_t)min};
        return 0;
    }
    struct str last = str_make(dots + strlen(DOTS), text.len - first.len - strlen(DOTS));
    bool is_max_auto = str_is_equal(last, STR("auto"));
    rc = is_max_auto ? 0 : value_parse_number(spec, last, &max, err);
    if (rc < 0)
        return rc;
    if (!is_max_auto && min > max)
        return refuse(err, spec, text, "ends below where it begins");
    *out = (struct setting_range){.is_max_auto = is_max_auto,
                                  .n = min == max ? (uint32_t)min : 0,
                                  .min = (uint32_t)min,
                                  .max = (uint32_t)max};
    return 0;
}

struct ends {
    uint64_t min, max;
};

/* max: 0 stands for auto. */
static bool read_ends(struct keys_reader *r, const struct settings_node *map,
                      const struct setting_spec *spec, struct ends *out)
{
    const struct keys_row rows[] = {{.spec = {.name = "min",
                                              .type = SETTING_COUNT,
                                              .default_text = "1",
                                              .min = spec->min,
                                              .max = spec->max,
                                              .unit = spec->unit},
                                     .offset = offsetof(struct ends, min)},
                                    {.spec = {.name = "max",
                                              .type = SETTING_COUNT_AUTO,
                                              .default_text = "auto",
                                              .min = spec->min,
                                              .max = spec->max,
                                              .unit = spec->unit},
                                     .offset = offsetof(struct ends, max)}};
    const size_t n = sizeof rows / sizeof rows[0];
    const size_t at = strlen(r->place);
    bool was_bad = r->is_bad;
    r->is_bad = false;
    for (const struct settings_node *member = map->first; member; member = member->next) {
        const struct keys_row *key = keys_find(rows, n, member->key);
        (void)keys_enter(r, at, member->key);
        if (!key)
            keys_refuse_key(r, member, rows, n);
        else if (key->spec.type != SETTING_COUNT_AUTO || member->kind != SETTINGS_SCALAR ||
                 strcmp(member->text, "auto") != 0)
            keys_read(r, member, key, out);
    }
    r->place[at] = '\0';
    if (!r->is_bad && out->max != 0 && out->min > out->max)
        keys_complain(r, map->line, map->column,
                      "min is %" PRIu64 " and max %" PRIu64 "; allowed: min at most max", out->min,
                      out->max);
    bool is_good = !r->is_bad;
    r->is_bad |= was_bad;
    return is_good;
}

void bounds_read(struct keys_reader *r, const struct settings_node *node,
                 const struct setting_spec *spec, struct setting_range *out)
{
    struct err err;
    if (node->kind == SETTINGS_MAP) {
        struct ends ends = {.min = spec->min};
        if (read_ends(r, node, spec, &ends))
            *out = (struct setting_range){.is_max_auto = ends.max == 0,
                                          .n = ends.min == ends.max ? (uint32_t)ends.min : 0,
                                          .min = (uint32_t)ends.min,
                                          .max = (uint32_t)ends.max};
        return;
    }
    const char *wrong = value_check_node(SETTING_RANGE, node);
    if (wrong)
        keys_complain(r, node->line, node->column, "%s", wrong);
    else if (bounds_parse(spec, str_make(node->text, node->len), out, &err) < 0)
        keys_complain(r, node->line, node->column, "%s", err.text);
}

int bounds_print(struct buf *out, const struct setting_range *range)
{
    if (range->is_auto)
        return buf_printf(out, "auto");
    if (range->is_max_auto)
        return buf_printf(out, "%" PRIu32 DOTS "auto", range->min);
    if (range->min < range->max)
        return buf_printf(out, "%" PRIu32 DOTS "%" PRIu32, range->min, range->max);
    return buf_printf(out, "%" PRIu32, range->n);
}

void bounds_resolve(struct setting_range *range, uint32_t begin, uint32_t least, uint32_t most)
{
    if (range->is_auto)
        range->min = least;
    if (range->is_auto || range->is_max_auto)
        range->max = most > range->min ? most : range->min;
    if (range->min < range->max)
        range->n = begin < range->min ? range->min : begin > range->max ? range->max : begin;
    else if (range->max > 0)
        range->n = range->max;
}
