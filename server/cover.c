/* The plan of cover. Process: master. Pure. A healthy herd costs a few passes over the slots, each
 * slot in trouble that nobody covers yet one more. */
#include "server/cover.h"

/* A sharer makes room for another when it holds more than twice the other's connections and this
 * many; below that a move would cost more than the imbalance (a guess). */
#define LOPSIDED_MIN 16

static void count_covers(struct cover_duty *duties, uint32_t n_slots)
{
    for (uint32_t i = 0; i < n_slots; i++)
        duties[i].n_covers = 0;
    for (uint32_t i = 0; i < n_slots; i++)
        if (duties[i].covered_by != COVER_NOBODY)
            duties[duties[i].covered_by].n_covers++;
}

static void set_cover(struct cover_duty *duties, uint32_t slot, int32_t by)
{
    if (duties[slot].covered_by != COVER_NOBODY)
        duties[duties[slot].covered_by].n_covers--;
    duties[slot].covered_by = by;
    if (by != COVER_NOBODY)
        duties[by].n_covers++;
}

/* The able worker with the fewest slots to cover; of equals the next one behind the slot, so that
 * the load of several lost workers spreads. */
static int32_t choose_cover(const struct cover_worker *workers, const struct cover_duty *duties,
                            uint32_t n_slots, uint32_t slot)
{
    int32_t best = COVER_NOBODY;
    uint32_t best_covers = 0;
    for (uint32_t step = 1; step < n_slots; step++) {
        uint32_t i = (slot + step) % n_slots;
        if (!workers[i].is_able)
            continue;
        uint32_t covers = duties[i].n_covers;
        if (best == COVER_NOBODY || covers < best_covers) {
            best = (int32_t)i;
            best_covers = covers;
        }
        if (best_covers == 0)
            break;
    }
    return best;
}

static bool plan_slots(const struct cover_worker *workers, struct cover_duty *duties,
                       uint32_t n_slots)
{
    bool is_changed = false;
    count_covers(duties, n_slots);
    for (uint32_t slot = 0; slot < n_slots; slot++) {
        int32_t by = duties[slot].covered_by;
        if (workers[slot].is_able)
            by = COVER_NOBODY;
        else if (by == COVER_NOBODY && workers[slot].is_excused)
            continue;
        else if (by == COVER_NOBODY || !workers[by].is_able) {
            set_cover(duties, slot, COVER_NOBODY); /* not to be counted as one of its covers */
            by = choose_cover(workers, duties, n_slots, slot);
        }
        is_changed |= by != duties[slot].covered_by;
        set_cover(duties, slot, by);
    }
    return is_changed;
}

/* The slot whose worker has the most (or the fewest) connections among those that are able and do
 * (or don't) share. COVER_NOBODY: there is none. */
static int32_t find_extreme(const struct cover_worker *workers, const struct cover_duty *duties,
                            uint32_t n_slots, bool is_sharing)
{
    int32_t best = COVER_NOBODY;
    for (uint32_t i = 0; i < n_slots; i++) {
        if (!workers[i].is_able || duties[i].is_sharing != is_sharing)
            continue;
        if (best == COVER_NOBODY ||
            (is_sharing ? workers[i].connections > workers[best].connections
                        : workers[i].connections < workers[best].connections))
            best = (int32_t)i;
    }
    return best;
}

static bool plan_shared(const struct cover_worker *workers, struct cover_duty *duties,
                        uint32_t n_slots)
{
    bool is_changed = false;
    uint32_t n_able = 0;
    for (uint32_t i = 0; i < n_slots; i++)
        n_able += workers[i].is_able;
    /* Those that can't go on leave; when nobody can, those that live may stay. */
    uint32_t n_sharing = 0;
    for (uint32_t i = 0; i < n_slots; i++) {
        bool may_stay = n_able > 0 ? workers[i].is_able : workers[i].is_alive;
        if (duties[i].is_sharing && !may_stay) {
            duties[i].is_sharing = false;
            is_changed = true;
        }
        n_sharing += duties[i].is_sharing;
    }
    while (n_sharing < COVER_SHARED_MAX) {
        int32_t next = find_extreme(workers, duties, n_slots, false);
        if (next == COVER_NOBODY)
            return is_changed;
        duties[next].is_sharing = true;
        n_sharing++;
        is_changed = true;
    }
    int32_t busiest = find_extreme(workers, duties, n_slots, true);
    int32_t idlest = find_extreme(workers, duties, n_slots, false);
    if (busiest != COVER_NOBODY && idlest != COVER_NOBODY &&
        workers[busiest].connections > LOPSIDED_MIN &&
        workers[busiest].connections / 2 > workers[idlest].connections) {
        duties[busiest].is_sharing = false;
        duties[idlest].is_sharing = true;
        is_changed = true;
    }
    return is_changed;
}

bool cover_plan(const struct cover_worker *workers, struct cover_duty *duties, uint32_t n_slots)
{
    bool is_changed = plan_slots(workers, duties, n_slots);
    return plan_shared(workers, duties, n_slots) || is_changed;
}
