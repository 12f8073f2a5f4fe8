/* See poison.h. */
#include "server/poison.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/task.h"
#include "server/herd.h"

#define VICTIMS 2U

static bool is_fresh(uint64_t seen_us, uint64_t now_us)
{
    return now_us < seen_us || now_us - seen_us < POISON_FOR_US;
}

bool poison_note(struct poison *poison, uint64_t print, uint64_t now_us, uint32_t *out_index)
{
    uint32_t place = 0;
    for (uint32_t i = 0; i < SCOREBOARD_POISONS; i++) {
        if (poison->items[i].print == print) {
            place = i;
            break;
        }
        if (poison->items[i].seen_us < poison->items[place].seen_us)
            place = i;
    }
    bool is_known =
        poison->items[place].print == print && is_fresh(poison->items[place].seen_us, now_us);
    poison->items[place].n = is_known ? poison->items[place].n + 1 : 1;
    poison->items[place].print = print;
    poison->items[place].seen_us = now_us;
    *out_index = place;
    return poison->items[place].n >= VICTIMS;
}

static void tell(const struct herd *herd, uint32_t index, const struct scoreboard_poison *poison)
{
    int rc = scoreboard_tell_poison(herd->board_fd, index, poison);
    if (rc < 0)
        log_warn("poisonous request not made known", "reason=\"%s\"", strerror(-rc));
}

bool poison_hear(struct herd *herd, const struct seat *web, const struct msg *msg)
{
    static const struct scoreboard_poison none;
    char trace[LOG_QUOTE_MAX + 8];
    uint32_t index;
    uint64_t print = (uint64_t)msg->value;
    if (web->role != ROLE_WEB || print == 0 ||
        (msg->about != TASK_LOSS_CRASH && msg->about != TASK_LOSS_MEMORY &&
         msg->about != TASK_LOSS_STARVED))
        return false;
    if (web->generation != herd->current->number)
        return true; /* of an app that leaves */
    if (!poison_note(&herd->poison, print, herd->now_us, &index)) {
        tell(herd, index, &none); /* what was there is forgotten */
        return true;
    }
    tell(herd, index,
         &(struct scoreboard_poison){.print = print,
                                     .until_us = herd->now_us + POISON_FOR_US,
                                     .loss = (uint64_t)msg->about});
    log_warn("request is poison",
             "why=\"it has killed %u compute workers\" print=%016" PRIx64 " trace=%s cause=%s "
             "refused_for_ms=%" PRIu64,
             herd->poison.items[index].n, print, log_quote(trace, msg->text, strlen(msg->text)),
             msg->about == TASK_LOSS_CRASH ? "crash" : "memory", POISON_FOR_US / CLOCK_US_PER_MS);
    return true;
}

void poison_forget(struct herd *herd)
{
    static const struct scoreboard_poison none;
    for (uint32_t i = 0; i < SCOREBOARD_POISONS; i++)
        if (herd->poison.items[i].print != 0)
            tell(herd, i, &none);
    herd->poison = (struct poison){0};
}
