/* Process: master. What must fit together is written between ledger_begin() and ledger_end(); of
 * numbers that stand for themselves see tally.c. */
#include "server/books.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "config/schema.h"
#include "config/value.h"
#include "ipc/breaker.h"
#include "server/admins.h"

#define TELL_US (CLOCK_US_PER_S / 2)

/* ---- seats ---- */

static struct ledger_seat make_seat(const struct herd *herd, const struct seat *seat)
{
    static const enum ledger_state states[SEAT_PHASES] = {
        [SEAT_FREE] = LEDGER_FREE,         [SEAT_FORKING] = LEDGER_BOOTING,
        [SEAT_BOOTING] = LEDGER_BOOTING,   [SEAT_READY] = LEDGER_READY,
        [SEAT_DRAINING] = LEDGER_DRAINING, [SEAT_DRAINED] = LEDGER_DRAINING,
        [SEAT_ENDING] = LEDGER_ENDING,     [SEAT_MUTE] = LEDGER_ENDING,
        [SEAT_ABORTED] = LEDGER_ENDING,    [SEAT_KILLED] = LEDGER_ENDING,
        [SEAT_LOST] = LEDGER_ENDING,       [SEAT_BURIED] = LEDGER_BURIED};
    struct ledger_seat told;
    memset(&told, 0, sizeof told); /* its padding is compared, too */
    if (seat->phase == SEAT_FREE)
        return told;
    bool is_relieved = seat->phase == SEAT_READY && seat->dismissed_us != 0; /* of its slot, too */
    told.role = (uint8_t)seat->role;
    told.state = (uint8_t)(is_relieved ? LEDGER_DRAINING : states[seat->phase]);
    told.slot = (int16_t)seat->slot;
    told.is_full = seat->is_full;
    told.pid = seat->pid;
    told.generation = seat->generation;
    told.epoch = seat->epoch;
    const char *pool = pools_name(&herd_generation(herd, seat)->pools, seat->pool);
    if (pool)
        (void)snprintf(told.pool, sizeof told.pool, "%s", pool);
    return told;
}

static bool have_seats_changed(const struct herd *herd)
{
    const struct ledger_seat *told = ledger_seats(herd->ledger);
    if (herd->ledger->page.n_seats != herd->slots.n_used)
        return true;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct ledger_seat now = make_seat(herd, &herd->slots.seats[i]);
        if (memcmp(&now, &told[i], sizeof now) != 0)
            return true;
    }
    return false;
}

/* ---- the rest ---- */

static void write_pools(const struct herd *herd, struct ledger_page *page)
{
    const struct pools *pools = &herd->current->pools;
    page->n_pools = 0;
    for (uint32_t i = 0; i < pools->n && i < LEDGER_POOLS; i++) {
        const struct pool *pool = &pools->items[i];
        struct ledger_pool *told = &page->pools[page->n_pools++];
        bool is_used = pools_is_used(pools, (int)i);
        int n_queued = is_used ? task_count_queued(&pool->queue) : 0;
        *told = (struct ledger_pool){.n_workers = is_used ? pool->n_workers : 0,
                                     .n_min = pool->n_min,
                                     .n_max = pool->n_max,
                                     .n_queued = n_queued > 0 ? (uint32_t)n_queued : 0,
                                     .queue = is_used ? pool->queue.limit : 0,
                                     .memory_limit_bytes = pool->settings->memory_limit_bytes};
        (void)snprintf(told->name, sizeof told->name, "%s", pool->settings->name);
    }
}

static void write_breakers(const struct herd *herd, struct ledger *ledger)
{
    uint32_t n = herd->board.n_routes < LEDGER_BREAKERS ? herd->board.n_routes : LEDGER_BREAKERS;
    int fd = herd->current->pools.breaker_fd;
    ledger->page.n_breakers = fd >= 0 && breaker_read(fd, 0, n, ledger->breakers) == 0 ? n : 0;
}

/* One of each at most comes out in a turn. */
static void count_outcomes(struct admins *a, struct ledger_page *page)
{
    const struct reload_result *reload = reload_last(a->reload);
    if (reload->number != a->reload_seen && reload->outcome != RELOAD_NONE) {
        bool is_done = reload->outcome == RELOAD_DONE;
        page->reloads[is_done ? LEDGER_DONE : LEDGER_REFUSED]++;
        page->is_last_reload_good = is_done;
        if (is_done)
            page->reloaded_wall_us = reload->ended_wall_us;
        a->reload_seen = reload->number;
    }
    const struct upgrade_result *upgrade = &a->upgrade->last;
    if (upgrade->number != a->upgrade_seen) {
        page->upgrades[upgrade->outcome == UPGRADE_DONE ? LEDGER_DONE : LEDGER_REFUSED]++;
        a->upgrade_seen = upgrade->number;
    }
}

/* Name, value and source, each with a NUL; nothing where there is no room for all of them. */
static void put(struct ledger *ledger, struct str name, struct str value, const char *origin)
{
    const struct str texts[] = {name, value, str_of(origin)};
    uint32_t *used = &ledger->page.settings_len;
    size_t left = LEDGER_SETTINGS_BYTES - *used;
    for (int i = 0; i < 3; i++) {
        if (texts[i].len >= left)
            return;
        left -= texts[i].len + 1;
    }
    for (int i = 0; i < 3; i++) {
        memcpy(ledger->settings + *used, texts[i].p, texts[i].len);
        *used += (uint32_t)texts[i].len;
        ledger->settings[(*used)++] = '\0';
    }
}

static const char *origin_of(const struct settings *s, const struct setting_spec *spec)
{
    static const char *const origins[] = {[SETTING_FROM_DEFAULT] = "default",
                                          [SETTING_FROM_FILE] = "file",
                                          [SETTING_FROM_ENVIRONMENT] = "environment",
                                          [SETTING_FROM_COMMAND_LINE] = "command line"};
    return origins[s->sources[schema_id(spec)].origin];
}

static void put_setting(struct ledger *ledger, const struct settings *s,
                        const struct setting_spec *spec, struct buf *value)
{
    int rc = 0;
    value->len = 0;
    for (size_t i = 0; rc == 0 && i < value_count(s, spec); i++) {
        if (i > 0)
            rc = buf_append(value, ",", 1);
        if (rc == 0)
            rc = value_print(value, s, spec, i);
    }
    if (rc == 0)
        put(ledger, str_of(spec->name), str_make(value->data ? value->data : "", value->len),
            origin_of(s, spec));
}

/* What was given in a map: "compute.timeout", "routes.GET /a.lane". path: of the map */
static void put_leaves(struct ledger *ledger, const struct settings_node *map, const char *origin,
                       struct buf *path)
{
    const size_t len = path->len;
    unsigned n = 0;
    for (const struct settings_node *node = map->first; node; node = node->next, n++) {
        path->len = len;
        if ((node->key ? buf_printf(path, ".%s", node->key) : buf_printf(path, ".%u", n)) < 0)
            continue;
        if (node->kind != SETTINGS_SCALAR)
            put_leaves(ledger, node, origin, path);
        else
            put(ledger, str_make(path->data, path->len),
                node->is_secret ? STR("***") : str_make(node->text, node->len), origin);
    }
}

static void put_map(struct ledger *ledger, const struct settings *s,
                    const struct setting_spec *spec, struct buf *path)
{
    const struct settings_node *const *map = schema_peek_field(s, spec);
    path->len = 0;
    if (buf_printf(path, "%s", spec->name) == 0)
        put_leaves(ledger, *map, origin_of(s, spec), path);
}

/* Maps in which anything may stand may hold what is secret. */
static bool is_told(const struct setting_spec *spec)
{
    return spec != &schema_specs[SETTING_ID_env] && spec != &schema_specs[SETTING_ID_app_config] &&
           spec != &schema_specs[SETTING_ID_secure_scheme_headers];
}

static void put_all(struct ledger *ledger, const struct settings *s, bool are_maps)
{
    struct buf text = {0};
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting_spec *spec = &schema_specs[i];
        if (is_told(spec) && (spec->type == SETTING_TREE) == are_maps)
            (are_maps ? put_map : put_setting)(ledger, s, spec, &text);
    }
    buf_fini(&text);
}

/* Maps last: they may be larger than the room for all. A refused allocation costs a value. */
void books_tell_settings(struct ledger *ledger, const struct settings *s)
{
    ledger->page.settings_len = 0;
    ledger->page.settings_number++;
    put_all(ledger, s, false);
    put_all(ledger, s, true);
}

static void write_page(struct admins *a, struct ledger *ledger)
{
    const struct herd *herd = a->herd;
    const struct scoreboard_head *board = (const void *)herd->board.base;
    struct ledger_page *page = &ledger->page;
    if (page->started_wall_us == 0)
        page->started_wall_us =
            (int64_t)clock_wall_us() - (int64_t)(herd->now_us - board->started_us);
    page->generation = herd->current->number;
    page->leaving = herd->leaving ? herd->leaving->number : 0;
    page->n_web = herd->current->n_workers;
    page->n_seats = herd->slots.n_used;
    page->decisions = herd->decisions.n;
    struct ledger_seat *seats = ledger_seats(ledger);
    for (uint32_t i = 0; i < herd->slots.n_used; i++)
        seats[i] = make_seat(herd, &herd->slots.seats[i]);
    count_outcomes(a, page);
    write_pools(herd, page);
    write_breakers(herd, ledger);
    if (a->settings_told != herd->current->number)
        books_tell_settings(ledger, herd->current->settings);
    a->settings_told = herd->current->number;
    page->totals = herd->totals;
}

static bool is_behind(const struct ledger *ledger)
{
    return ledger->page.n_burials != atomic_load_explicit(&ledger->n_burials, memory_order_relaxed);
}

void books_write(struct admins *a)
{
    struct herd *herd = a->herd;
    struct ledger *ledger = herd->ledger;
    atomic_store_explicit(&ledger->beat_us, herd->now_us, memory_order_relaxed);
    bool is_due = herd->now_us >= a->told_us + TELL_US || a->told_us == 0 ||
                  reload_last(a->reload)->number != a->reload_seen;
    if (!is_due && !is_behind(ledger) && !have_seats_changed(herd))
        return;
    ledger_begin(ledger);
    write_page(a, ledger);
    ledger_end(ledger, herd->now_us);
    a->told_us = herd->now_us;
}
