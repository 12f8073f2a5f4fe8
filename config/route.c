/* Overrides for single routes. The setting is a TREE, so that file, --set and `remuda config` treat
 * it as they treat every map; this reads the map once all of it is there.
 *
 * The keys of a route are a table of rows like those of config/schema.def, so that a value is read,
 * and refused, in the words of the setting that it overrides. */
#include "config/route.h"

#include <errno.h>
#include <stdarg.h>

#include "base/err.h"
#include "config/schema.h"
#include "config/value.h"

#define PLACE_MAX (2 * VALUE_QUOTE_MAX + 16)
#define US_PER_MS 1000U
#define LIMIT_BODY_MAX (UINT64_C(1) << 40)        /* as limit_request_body */
#define TIMEOUT_MAX_US (UINT64_C(3600) * 1000000) /* as request_timeout, and as remuda.h allows */

static const struct key {
    struct setting_spec spec;
    size_t offset;    /* of a uint64_t in struct setting_route */
    uint64_t step;    /* the value is a multiple of it */
    const char *part; /* what is wrong with one that is not */
} keys[] = {
    {.spec = {.name = "lane", .type = SETTING_ENUM_TYPE},
     .offset = offsetof(struct setting_route, lane)},
    {.spec = {.name = "limit_request_body",
              .type = SETTING_SIZE,
              .default_text = "0",
              .min = 1,
              .max = LIMIT_BODY_MAX},
     .offset = offsetof(struct setting_route, limit_request_body_bytes),
     .step = 1},
    {.spec = {.name = "request_timeout",
              .type = SETTING_DURATION,
              .default_text = "0",
              .min = US_PER_MS,
              .max = TIMEOUT_MAX_US},
     .offset = offsetof(struct setting_route, request_timeout_us),
     .step = US_PER_MS,
     .part = "has parts of a millisecond; allowed: 1ms to 1h, in whole milliseconds"},
};

#define N_KEYS (sizeof keys / sizeof keys[0])
#define KEYS_ALLOWED "lane, limit_request_body, request_timeout"

struct reader {
    struct settings *s;
    struct mistakes *mistakes;
    bool is_bad;
    char place[PLACE_MAX]; /* "routes.POST /upload.request_timeout" */
};

static void complain(struct reader *r, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* line  0: it came by --set */
static void complain(struct reader *r, unsigned line, unsigned column, const char *format, ...)
{
    struct err err;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    r->is_bad = true;
    if (line > 0)
        mistakes_add_at(r->mistakes, r->s->file, line, column, "%s: %s", r->place, err.text);
    else
        mistakes_add(r->mistakes, "command line: --set %s: %s", r->place, err.text);
}

/* Appends ".KEY", or puts it in place of what an earlier call has appended at `at`. */
static void set_place(struct reader *r, size_t at, const char *key)
{
    char quoted[VALUE_QUOTE_MAX];
    value_quote(quoted, str_of(key));
    (void)snprintf(r->place + at, sizeof r->place - at, ".%.*s", (int)strlen(quoted) - 2,
                   quoted + 1);
}

static void refuse_key(struct reader *r, const struct settings_node *node)
{
    unsigned best = 3; /* letters that may be wrong, and less than that: as in config/schema.c */
    const char *near = NULL;
    for (size_t i = 0; i < N_KEYS; i++) {
        unsigned distance = str_distance(node->key, keys[i].spec.name);
        if (distance < best) {
            best = distance;
            near = keys[i].spec.name;
        }
    }
    complain(r, node->key_line, node->key_column, "no such key; %s%s%sallowed: " KEYS_ALLOWED,
             near ? "did you mean " : "", near ? near : "", near ? "? " : "");
}

static void read_lane(struct reader *r, const struct settings_node *node, uint64_t *out_lane)
{
    char quoted[VALUE_QUOTE_MAX];
    bool is_later = strcmp(node->text, "compute") == 0 || strcmp(node->text, "auto") == 0;
    if (strcmp(node->text, "inline") == 0)
        *out_lane = SETTING_LANE_INLINE;
    else if (strcmp(node->text, "io") == 0)
        *out_lane = SETTING_LANE_IO;
    else
        complain(r, node->line, node->column, "%s %s; allowed: inline, io",
                 value_quote(quoted, str_make(node->text, node->len)),
                 is_later ? "needs a compute pool, which this version has not" : "is no lane");
}

static void read_value(struct reader *r, const struct settings_node *node, const struct key *key,
                       struct setting_route *out)
{
    struct err err;
    char quoted[VALUE_QUOTE_MAX];
    uint64_t value = 0;
    struct str text = str_make(node->text, node->len);
    const char *wrong = value_check_node(key->spec.type, node);
    if (wrong)
        complain(r, node->line, node->column, "%s", wrong);
    else if (key->spec.type == SETTING_ENUM_TYPE)
        read_lane(r, node, &out->lane);
    else if (value_parse_number(&key->spec, text, &value, &err) < 0)
        complain(r, node->line, node->column, "%s", err.text);
    else if (value % key->step != 0)
        complain(r, node->line, node->column, "%s %s", value_quote(quoted, text), key->part);
    else
        memcpy((char *)out + key->offset, &value, sizeof value);
}

static void read_member(struct reader *r, size_t at, const struct settings_node *node,
                        struct setting_route *out)
{
    set_place(r, at, node->key);
    for (size_t i = 0; i < N_KEYS; i++) {
        if (strcmp(node->key, keys[i].spec.name) == 0) {
            read_value(r, node, &keys[i], out);
            return;
        }
    }
    refuse_key(r, node);
}

/* Has it the form of a route: a word, one blank, a path? The rest the app's routes decide. */
static bool is_route(const char *key)
{
    size_t method = strcspn(key, " ");
    return method > 0 && key[method] == ' ' && key[method + 1] == '/' &&
           !str_has_control(str_of(key));
}

static void read_route(struct reader *r, const struct settings_node *node,
                       struct setting_route *out)
{
    char quoted[VALUE_QUOTE_MAX];
    size_t at = strlen("routes");
    *out = (struct setting_route){
        .route = node->key, .line = node->key_line, .column = node->key_column};
    (void)snprintf(r->place, sizeof r->place, "routes");
    if (!is_route(node->key)) {
        complain(r, node->key_line, node->key_column,
                 "%s is no route; allowed: METHOD PATTERN as remuda routes prints them, such as "
                 "\"POST /upload\" or \"* /echo\"",
                 value_quote(quoted, str_of(node->key)));
        return;
    }
    set_place(r, at, node->key);
    if (node->kind != SETTINGS_MAP) {
        complain(r, node->line, node->column, "is no map; allowed: a map with " KEYS_ALLOWED);
        return;
    }
    at = strlen(r->place);
    for (const struct settings_node *member = node->first; member; member = member->next)
        read_member(r, at, member, out);
}

int route_load(struct settings *s, struct mistakes *mistakes)
{
    struct reader r = {.s = s, .mistakes = mistakes};
    struct setting_route *items = arena_alloc(&s->arena, (s->routes->n + 1) * sizeof *items);
    if (!items)
        return -ENOMEM;
    size_t n = 0;
    for (const struct settings_node *node = s->routes->first; node; node = node->next)
        read_route(&r, node, &items[n++]);
    if (r.is_bad)
        s->sources[SETTING_ID_routes].is_bad = true;
    else
        s->route_overrides = (struct setting_routes){items, n};
    return 0;
}
