/* See fingerprint.h. Process: web workers. */
#include "workers/fingerprint.h"

#include <string.h>

#include "base/siphash.h"

static const struct scoreboard_head *head_of(const struct scoreboard *board)
{
    return (const void *)board->base;
}

uint64_t fingerprint_of(const struct scoreboard *board, const struct rmd_request *req)
{
    const uint64_t *key = head_of(board)->key;
    struct str target = request_target(req);
    uint64_t parts[3] = {siphash(key, req->method, strlen(req->method)),
                         siphash(key, target.p, target.len),
                         siphash(key, req->body.p, req->body.p ? req->body.len : 0)};
    uint64_t print = siphash(key, parts, sizeof parts);
    return print != 0 ? print : 1;
}

enum task_loss fingerprint_look_up(const struct scoreboard *board, const struct rmd_request *req,
                                   uint64_t now_us)
{
    const struct scoreboard_head *head = head_of(board);
    uint64_t print = 0;
    for (uint32_t i = 0; i < SCOREBOARD_POISONS; i++) {
        const struct scoreboard_poison *poison = &head->poisons[i];
        uint64_t known = atomic_load_explicit(&poison->print, memory_order_relaxed);
        if (known == 0 || atomic_load_explicit(&poison->until_us, memory_order_relaxed) <= now_us)
            continue;
        if (print == 0)
            print = fingerprint_of(board, req);
        if (print == known)
            return (enum task_loss)atomic_load_explicit(&poison->loss, memory_order_relaxed);
    }
    return (enum task_loss)0;
}
