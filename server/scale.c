/* Scaling. Process: master. Posts are added and taken away at the end, so slots stay without gaps;
 * who leaves is handled by relief.c, who comes by herd_fill(). A slot's sockets are never closed:
 * what is left without a worker is covered (cover.c), and has its own worker again at the next
 * scaling up. */
#include "server/scale.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "server/scale_pool.h"

/* ---- Wishes */

int scale_parse(const char *text, struct scale_wish *out, struct err *err)
{
    char *end;
    bool is_relative = text[0] == '+' || text[0] == '-';
    const char *digits = text + is_relative;
    long n = strtol(digits, &end, 10);
    bool is_number = digits[0] >= '0' && digits[0] <= '9' && *end == '\0';
    if (!is_number || n > SCALE_MOST || (!is_relative && n < SCALE_LEAST))
        return err_set(err, EINVAL,
                       "workers: \"%.32s\" is not a number of workers; allowed: %d to %d, or +N or "
                       "-N for so many more or fewer",
                       text, SCALE_LEAST, SCALE_MOST);
    *out = (struct scale_wish){is_relative, text[0] == '-' ? -(int)n : (int)n};
    return 0;
}

static int clamp(int n)
{
    return n < SCALE_LEAST ? SCALE_LEAST : n > SCALE_MOST ? SCALE_MOST : n;
}

uint32_t scale_target(struct scale_wish wish, uint32_t present)
{
    if (present == 0 && wish.is_relative && wish.n <= 0)
        return 0; /* there were none on purpose: fewer is no reason to begin */
    return (uint32_t)clamp(wish.is_relative ? (int)present + wish.n : wish.n);
}

struct scale_wish scale_join(struct scale_wish first, struct scale_wish second)
{
    if (!second.is_relative)
        return second;
    if (!first.is_relative)
        return (struct scale_wish){false, (int)scale_target(second, (uint32_t)first.n)};
    int sum = first.n + second.n;
    return (struct scale_wish){true, sum < -SCALE_MOST  ? -SCALE_MOST
                                     : sum > SCALE_MOST ? SCALE_MOST
                                                        : sum};
}

/* ---- Posts */

static void add_posts(struct herd *herd, struct generation *g, uint32_t n)
{
    for (uint32_t slot = g->n_workers; slot < n; slot++)
        g->workers[slot] =
            (struct post){.role = ROLE_WEB, .slot = (int)slot, .pool = -1, .due_us = herd->now_us};
    g->n_workers = n;
}

static void remove_posts(struct herd *herd, struct generation *g, uint32_t n, const char *why)
{
    for (uint32_t slot = n; slot < g->n_workers; slot++) {
        struct post *post = &g->workers[slot];
        if (post->next)
            herd_dismiss(herd, post->next, why);
        if (post->seat)
            herd_dismiss(herd, post->seat, why);
    }
    g->n_workers = n;
}

void scale_resize(struct herd *herd, uint32_t n, const char *why)
{
    struct generation *g = herd->current;
    herd->is_changed = true;
    if (n > g->n_workers)
        add_posts(herd, g, n);
    else
        remove_posts(herd, g, n, why);
}

/* From now on it is just that: who asks for a number means it. */
static void set_number(struct herd *herd, uint32_t n, const char *who, const char *why)
{
    struct generation *g = herd->current;
    g->web.n_min = g->web.n_max = n;
    g->web.is_by_cpus = false;
    if (n == g->n_workers) {
        log_notice("number of workers stays", "workers=%" PRIu32 " allowed=%d…%d why=%s", n,
                   SCALE_LEAST, SCALE_MOST, who);
        return;
    }
    log_notice("scaling", "workers=%" PRIu32 " from=%" PRIu32 " why=%s", n, g->n_workers, who);
    scale_resize(herd, n, why);
}

/* ---- Acts */

static void remember(struct scale *scale, struct scale_wish wish)
{
    scale->since = scale->is_set ? scale_join(scale->since, wish) : wish;
    scale->is_set = true;
}

uint32_t scale_workers(struct scale *scale, struct herd *herd, struct scale_wish wish,
                       const char *who)
{
    uint32_t n = scale_target(wish, herd->current->n_workers);
    if (herd->stage != DECIDE_RUNNING)
        return herd->current->n_workers;
    remember(scale, wish);
    set_number(herd, n, who, "fewer workers are wanted");
    return n;
}

void scale_to_nothing(struct scale *scale, struct herd *herd, const char *who)
{
    if (herd->stage != DECIDE_RUNNING)
        return;
    remember(scale, (struct scale_wish){false, 0});
    if (herd->current->n_workers > 0)
        set_number(herd, 0, who, "no workers are wanted");
}

void scale_for_upgrade(struct herd *herd, uint32_t n)
{
    if (herd->stage != DECIDE_RUNNING)
        return;
    log_notice("scaling", "workers=%" PRIu32 " from=%" PRIu32 " why=upgrade", n,
               herd->current->n_workers);
    scale_resize(herd, n, "no workers are wanted");
}

void scale_on_reload_asked(struct scale *scale)
{
    *scale = (struct scale){0};
}

void scale_on_commit(struct scale *scale, struct herd *herd)
{
    struct scale_wish wish = scale->since;
    scale_pool_on_commit(scale, herd);
    if (!scale->is_set)
        return;
    bool is_nothing = !wish.is_relative && wish.n == 0;
    uint32_t n = is_nothing ? 0 : scale_target(wish, herd->current->n_workers);
    set_number(herd, n, "asked for during the reload", "fewer workers are wanted");
}

/* Where the settings leave a range, it is tried again when the work asks for it, in a while. */
static void take_back(struct herd *herd, uint32_t n)
{
    static const char why[] = "there are no sockets for it";
    struct generation *g = herd->current;
    char from[DECISIONS_VALUE_BYTES], to[DECISIONS_VALUE_BYTES];
    if (g->web.n_min == g->web.n_max) {
        set_number(herd, n, "no sockets", why);
        return;
    }
    (void)snprintf(from, sizeof from, "%" PRIu32, g->n_workers);
    (void)snprintf(to, sizeof to, "%" PRIu32, n);
    const struct decisions_entry entry = {.event = "web workers shrink",
                                          .kind = "workers",
                                          .about = "web",
                                          .from = from,
                                          .to = to,
                                          .why = "undone: no sockets for them"};
    decisions_note(&herd->decisions, herd->now_us, &entry, "min=%" PRIu32 " max=%" PRIu32,
                   g->web.n_min, g->web.n_max);
    if (g->web.n_min > n)
        g->web.n_min = n;
    adapt_refuse(&g->web.adapt, n, herd->now_us);
    scale_resize(herd, n, why);
}

static bool is_due(const struct herd *herd, const struct listen_set *listeners, uint32_t slot)
{
    const struct seat *seat = generation_worker(herd->current, slot);
    return seat && seat->phase == SEAT_READY && !listeners->has_slot[slot];
}

void scale_open_slots(struct herd *herd, struct listen_set *listeners)
{
    char quoted[LOG_QUOTE_MAX + 8];
    struct err err;
    if (herd->stage != DECIDE_RUNNING || listen_is_shared(listeners))
        return; /* a socket that another master does not have would be closed with this one */
    for (uint32_t slot = 0; slot < herd->current->n_workers; slot++) {
        if (!is_due(herd, listeners, slot))
            continue;
        int rc = slots_grow(&herd->slots, listeners->n + listeners->n_addresses);
        if (rc < 0)
            (void)err_set(&err, -rc, "out of memory");
        else
            rc = listen_open_slot(listeners, slot, &err);
        herd->is_changed = true;
        if (rc == 0)
            continue;
        log_error("no sockets for more workers", "slot=%" PRIu32 " why=%s", slot,
                  log_quote(quoted, err.text, strlen(err.text)));
        take_back(herd, slot);
    }
}
