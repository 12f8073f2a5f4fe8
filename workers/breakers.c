/* See breakers.h. Process: web workers. Whoever swaps a word from one state to another writes the
 * line about it, so each transition is told once, by one worker. */
#include "workers/breakers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "http/router.h"

#define FAULT_SHARE 10U /* one in so many parts of its time may have been waiting: a guess */

int breakers_open(struct desk *d, int fd, struct err *err)
{
    if (d->n_subjects == 0 || d->breakers)
        return err_set(err, EINVAL, "breakers of %u routes and tasks", d->n_subjects);
    int rc = breaker_map(fd, d->n_subjects, &d->breakers, err);
    d->n_breakers = rc == 0 ? d->n_subjects : 0;
    return rc;
}

void breakers_close(struct desk *d)
{
    if (d->breakers)
        breaker_unmap(d->breakers, d->n_breakers);
    d->breakers = NULL;
    d->n_breakers = 0;
}

/* ---- transitions ---- */

static const struct setting_pool *pool_of(const struct desk *d, uint16_t subject)
{
    return &d->web->settings->compute_pools.items[d->pool_of[subject]];
}

#define NAME_BYTES 200

/* "GET /thumbnail", or of a task "TASK resize" */
static const char *name_of(const struct desk *d, uint16_t subject, char out[NAME_BYTES])
{
    const struct app *app = d->web->app;
    if (subject < d->n_routes) {
        const struct route *route = router_route(app->router, subject);
        (void)snprintf(out, NAME_BYTES, "%s %s", route->method, route->pattern);
    } else {
        (void)snprintf(out, NAME_BYTES, "TASK %s", chain_task(app, subject - d->n_routes)->name);
    }
    return out;
}

static const char *effect_of(const struct desk *d, uint16_t subject)
{
    if (subject >= d->n_routes)
        return "refuse it to handlers";
    return router_route(d->web->app->router, subject)->decl->fallback ? "its fallback answers"
                                                                      : "answer 503";
}

static struct breaker_rules rules_of(const struct desk *d, uint16_t subject)
{
    const struct setting_pool *pool = pool_of(d, subject);
    return (struct breaker_rules){pool->breaker_failures, pool->breaker_reset_us};
}

static void tell_open(const struct desk *d, uint16_t index, bool was_probing, uint32_t failures,
                      const char *cause)
{
    const struct setting_pool *pool = pool_of(d, index);
    char name[NAME_BYTES];
    log_warn(was_probing ? "circuit breaker opened again" : "circuit breaker opened",
             "route=\"%s\" pool=%s cause=\"%s\" failures=%" PRIu32 " reset_ms=%" PRIu64
             " does=\"%s\"",
             name_of(d, index, name), pool->name, cause, failures,
             pool->breaker_reset_us / CLOCK_US_PER_MS, effect_of(d, index));
}

static void tell(const struct desk *d, uint16_t index, uint64_t from, uint64_t to,
                 enum breaker_event event, const char *cause)
{
    enum breaker_state was = breaker_unpack(from).state, is = breaker_unpack(to).state;
    char name[NAME_BYTES];
    if (was == is)
        return;
    if (is == BREAKER_OPEN && event == BREAKER_FAILED)
        tell_open(d, index, was == BREAKER_PROBING, breaker_unpack(to).failures, cause);
    else
        log_info(is == BREAKER_CLOSED    ? "circuit breaker closed"
                 : is == BREAKER_PROBING ? "circuit breaker lets a request try"
                                         : "circuit breaker lets another request try",
                 "route=\"%s\" pool=%s cause=\"%s\"", name_of(d, index, name),
                 pool_of(d, index)->name, cause);
}

/* Returns whether it was swapped; else *word is what is there instead. */
static bool swap(struct desk *d, uint16_t subject, uint64_t *word, uint64_t next)
{
    return atomic_compare_exchange_strong(&d->breakers[subject], word, next);
}

static void happen(struct desk *d, uint16_t subject, enum breaker_event event, bool is_probe,
                   const char *cause)
{
    struct breaker_rules rules = rules_of(d, subject);
    uint64_t word = atomic_load(&d->breakers[subject]), next;
    do {
        next = breaker_after(word, event, is_probe, &rules, d->web->env.now_us);
        if (next == word)
            return; /* as mostly */
    } while (!swap(d, subject, &word, next));
    tell(d, subject, word, next, event, cause);
}

/* Who sent the probe has died, or another sits there: what became of it nobody will say. */
static uint64_t bury_probe(struct desk *d, uint16_t subject, uint64_t word)
{
    struct breaker b = breaker_unpack(word);
    struct breaker_rules rules = rules_of(d, subject);
    if (b.state != BREAKER_PROBING ||
        (b.seat < d->heritage->board.n_seats &&
         scoreboard_peek(&d->heritage->board, b.seat).head->epoch == b.epoch))
        return word;
    uint64_t next = breaker_after(word, BREAKER_FAILED, true, &rules, d->web->env.now_us);
    if (!swap(d, subject, &word, next))
        return word;
    tell(d, subject, word, next, BREAKER_FAILED, "the worker that let a request try is gone");
    return next;
}

/* ---- requests ---- */

static enum breaker_verdict judge(struct desk *d, uint16_t subject, uint64_t *out_word,
                                  uint64_t *out_wait_us)
{
    struct breaker_rules rules = rules_of(d, subject);
    *out_word = bury_probe(d, subject, atomic_load(&d->breakers[subject]));
    return breaker_judge(*out_word, &rules, d->web->env.now_us, out_wait_us);
}

enum breaker_verdict breakers_ask(struct desk *d, uint16_t subject, uint64_t *out_wait_us)
{
    uint64_t word;
    *out_wait_us = 0;
    if (subject >= d->n_breakers)
        return BREAKER_PASSES;
    return judge(d, subject, &word, out_wait_us);
}

bool breakers_enter(struct desk_slot *slot, uint64_t *out_wait_us)
{
    struct desk *d = slot->desk;
    uint64_t word;
    *out_wait_us = 0;
    if (slot->subject >= d->n_breakers)
        return true;
    for (;;) {
        enum breaker_verdict verdict = judge(d, slot->subject, &word, out_wait_us);
        if (verdict != BREAKER_TRIES)
            return verdict == BREAKER_PASSES;
        uint64_t next = breaker_begin_probe(word, d->heritage->seat, d->heritage->epoch);
        if (!swap(d, slot->subject, &word, next))
            continue;
        slot->is_probe = true;
        tell(d, slot->subject, word, next, BREAKER_UNTRIED, "reset_timeout is over");
        return true;
    }
}

void breakers_note(struct desk_slot *slot, enum breaker_event event, const char *cause)
{
    if (slot->subject >= slot->desk->n_breakers)
        return;
    happen(slot->desk, slot->subject, event, slot->is_probe, cause);
    slot->is_probe = false;
}

/* Does the queue bear a part in that its time was over? Where a pool has too much to do, tasks of
 * healthy handlers are begun late, and all at about the same moment of their time. */
static bool has_waited(uint64_t wait_us, uint64_t wall_us)
{
    return wait_us > wall_us / (FAULT_SHARE - 1);
}

void breakers_hear_reply(struct desk_slot *slot, const struct task_reply *reply)
{
    bool is_late = slot->deadline_us <= slot->desk->web->env.now_us;
    if (reply->kind == TASK_FAILED && reply->error == ENOMEM)
        breakers_note(slot, BREAKER_FAILED, "memory");
    else if (reply->kind == TASK_DROPPED || reply->kind == TASK_SHED || reply->kind == TASK_FAILED)
        breakers_note(slot, BREAKER_UNTRIED, "it was not run");
    else if (is_late && (reply->kind == TASK_ANSWER || reply->kind == TASK_RESULT) &&
             !has_waited(reply->wait_us, reply->wall_us))
        breakers_note(slot, BREAKER_FAILED, "timeout");
    else if (is_late || slot->cancelled_us > 0)
        breakers_note(slot, BREAKER_UNTRIED, "nobody waited for it");
    else
        breakers_note(slot, BREAKER_ANSWERED, "it was answered");
}

void breakers_hear_loss(struct desk_slot *slot, enum task_loss loss,
                        const struct account_used *used)
{
    static const char *const causes[TASK_LOSSES] = {[TASK_LOSS_CRASH] = "crash",
                                                    [TASK_LOSS_MEMORY] = "memory",
                                                    [TASK_LOSS_STARVED] = "memory",
                                                    [TASK_LOSS_TIMEOUT] = "timeout",
                                                    [TASK_LOSS_CPU] = "cpu_limit"};
    const char *cause = loss > 0 && loss < TASK_LOSSES ? causes[loss] : NULL;
    if (loss == TASK_LOSS_TIMEOUT && used->wall_us > 0 && has_waited(used->wait_us, used->wall_us))
        breakers_note(slot, BREAKER_UNTRIED, "it had waited for too long");
    else if (cause)
        breakers_note(slot, BREAKER_FAILED, cause);
    else
        breakers_note(slot, BREAKER_UNTRIED, "its worker was ended from outside");
}
