/* Carries out what is decided about seats and posts. Process: master. Allocates nothing after
 * herd_init(); what the kernel refuses (fork, a full channel) is tried again later. */
#include "server/herd.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/panic.h"
#include "config/settings.h"
#include "ipc/msg.h"
#include "ipc/signals.h"
#include "server/accounts.h"
#include "server/cli.h"
#include "server/last_words.h"
#include "server/obituary.h"
#include "server/posts.h"
#include "server/sizing.h"
#include "server/strangers.h"
#include "server/tally.h"
#include "server/tasks.h"

#define RETRY_US (10 * CLOCK_US_PER_MS) /* a full channel empties in less, usually */

int herd_init(struct herd *herd, const struct settings *settings, uint32_t n_seats,
              uint32_t n_listeners, struct err *err)
{
    const uint32_t n_routes = settings->limit_routes + SCOREBOARD_MORE_ROUTES;
    herd->due_us = SEAT_NEVER;
    herd->ledger_fd = -1;
    /* One part more is the admin process's. */
    int rc = scoreboard_create(n_seats + 1, settings->inflight, n_routes, &herd->board_fd,
                               &herd->board, err);
    if (rc == 0)
        rc = ledger_create(n_seats, n_routes + 1, &herd->ledger_fd, &herd->ledger, err);
    if (rc < 0)
        return rc;
    oom_open(&herd->oom, "/proc", "/sys/fs/cgroup");
    rc = coroners_init(&herd->coroners);
    if (rc == 0)
        rc = graves_init(&herd->graves, n_seats);
    if (rc == 0)
        rc = slots_init(&herd->slots, n_seats, n_listeners);
    totals_init_in(&herd->totals, n_routes, ledger_routes(herd->ledger));
    herd->sums = calloc(1, sizeof *herd->sums);
    if (rc == 0)
        rc = herd->sums ? totals_init(herd->sums, n_routes) : -ENOMEM;
    return rc < 0 ? err_set(err, -rc, "out of memory") : 0;
}

void herd_fini(struct herd *herd)
{
    if (herd->board.base)
        (void)munmap((void *)(uintptr_t)herd->board.base, herd->board.bytes);
    herd->board.base = NULL;
    fd_close(&herd->board_fd);
    coroners_fini(&herd->coroners);
    generation_free(herd->candidate);
    generation_free(herd->leaving);
    generation_free(herd->current);
    herd->current = herd->candidate = herd->leaving = NULL;
    totals_fini(&herd->totals);
    ledger_close(herd->ledger, &herd->ledger_fd);
    herd->ledger = NULL;
    if (herd->sums)
        totals_fini(herd->sums);
    free(herd->sums);
    herd->sums = NULL;
    slots_fini(&herd->slots);
    graves_fini(&herd->graves);
}

struct generation *herd_generation(const struct herd *herd, const struct seat *seat)
{
    struct generation *all[] = {herd->current, herd->candidate, herd->leaving};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i] && all[i]->number == seat->generation)
            return all[i];
    RMD_ASSERT(false && "a generation outlives its seats");
    return herd->current;
}

uint32_t herd_count(const struct herd *herd, const struct generation *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < herd->slots.n_used; i++)
        n +=
            herd->slots.seats[i].phase != SEAT_FREE && herd->slots.seats[i].generation == g->number;
    return n;
}

uint32_t herd_count_web(const struct herd *herd, const struct generation *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        n += seat->role == ROLE_WEB && seat->phase != SEAT_FREE && seat->phase != SEAT_BURIED &&
             seat->generation == g->number;
    }
    return n;
}

bool herd_is_rear(const struct herd *herd, const struct seat *seat)
{
    bool can_be = seat->role == ROLE_COMPUTE || seat->role == ROLE_LOADER;
    return can_be && seat->phase != SEAT_FREE && seat->phase != SEAT_BURIED &&
           pools_are_used(&herd_generation(herd, seat)->pools);
}

/* Who leaves last has what is left of the time in which all of its generation have to. */
struct decide_rules herd_rules(const struct herd *herd, const struct seat *seat)
{
    const struct generation *g = herd_generation(herd, seat);
    struct decide_rules rules = g->rules;
    rules.excuse_us = herd->excuse_us;
    if (seat->role == ROLE_COMPUTE && g->leaves_us != 0) {
        uint64_t gone_us = herd->now_us - g->leaves_us;
        uint64_t left_us = rules.graceful_us > gone_us ? rules.graceful_us - gone_us : 0;
        rules.graceful_us = left_us > DECIDE_STOP_US ? left_us : DECIDE_STOP_US;
    }
    return rules;
}

/* ---- Acts */

/* A line about a seat: "<noun> <verb> pool=… slot=… pid=… <pairs>"; no pid where none is known. */
__attribute__((format(printf, 5, 6))) static void tell(const struct herd *herd,
                                                       enum log_level level,
                                                       const struct seat *seat, const char *verb,
                                                       const char *format, ...)
{
    char event[64];
    char pairs[LAST_WORDS_REQUEST_BYTES + LAST_WORDS_BYTES];
    char pool[48] = "";
    char slot[32] = "";
    char pid[32] = "";
    const char *pool_name = pools_name(&herd_generation(herd, seat)->pools, seat->pool);
    if (pool_name)
        (void)snprintf(pool, sizeof pool, "pool=%s ", pool_name);
    (void)snprintf(event, sizeof event, "%s %s", obituary_noun(seat), verb);
    if (seat->slot >= 0)
        (void)snprintf(slot, sizeof slot, "slot=%d ", seat->slot);
    if (seat->pid != 0)
        (void)snprintf(pid, sizeof pid, "pid=%d ", (int)seat->pid);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(pairs, sizeof pairs, format, args);
    va_end(args);
    log_event(level, event, "%s%s%sgeneration=%d%s", pool, slot, pid, seat->generation, pairs);
}

/* Sockets that it is to give up, before anything else that it is told: their ids are given to
 * others. Returns whether none is owed any more. */
static bool send_retires(struct herd *herd, struct seat *seat)
{
    while (seat->n_retires > 0) {
        struct msg msg = msg_make(MSG_RETIRE);
        msg.value = (int64_t)slots_peek_retire(seat);
        if (seat->channel_fd >= 0 && msg_send(seat->channel_fd, &msg, NULL, 0) == -EAGAIN) {
            herd->due_us = herd->now_us + RETRY_US;
            return false;
        }
        slots_set_retire(seat, (uint32_t)msg.value, false); /* or its end will be seen */
    }
    return true;
}

void herd_retire(struct herd *herd, struct seat *seat, uint32_t listener)
{
    slots_set_held(seat, listener, false);
    slots_set_retire(seat, listener, true);
    (void)send_retires(herd, seat); /* else it is owed */
}

/* While the server goes on, or has a successor, others go on with the sockets of who drains. A full
 * channel is that of a process that is busy: it is asked again, while its deadline runs. */
static void send_order(struct herd *herd, struct seat *seat, enum msg_type type)
{
    struct msg msg = msg_make(type);
    if (type == MSG_DRAIN && (herd->stage == DECIDE_RUNNING || herd->leaves_sockets))
        msg.value = MSG_DRAIN_LEAVE;
    seat->is_leaving = true;
    seat->owed_order = 0;
    int rc = send_retires(herd, seat) ? msg_send(seat->channel_fd, &msg, NULL, 0) : -EAGAIN;
    if (rc == -EAGAIN) {
        seat->owed_order = type;
        herd->due_us = herd->now_us + RETRY_US;
    } else if (rc < 0) {
        log_debug("order not sent", "seat=%" PRIu32 " order=%s why=\"%s\"", seat->number,
                  msg_names[type], strerror(-rc)); /* its end will be seen */
    }
}

void herd_owe_pools(struct herd *herd, struct seat *web, bool is_all, uint64_t at_us)
{
    web->owes_pools = is_all || web->owes_pools == 2 ? 2 : 1;
    web->pools_again_us = at_us;
    herd->due_us = at_us < herd->due_us ? at_us : herd->due_us;
}

void herd_owe_queues(struct herd *herd, const struct generation *g)
{
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct seat *web = &herd->slots.seats[i];
        if (web->role == ROLE_WEB && web->generation == g->number && web->channel_fd >= 0)
            herd_owe_pools(herd, web, false, herd->now_us);
    }
}

static void send_pools(struct herd *herd, struct seat *seat)
{
    const struct pools *pools = &herd_generation(herd, seat)->pools;
    if (seat->pools_again_us > herd->now_us ||
        pools_send_again(pools, seat->channel_fd, seat->owes_pools == 2) == -EAGAIN)
        herd_owe_pools(herd, seat, false,
                       seat->pools_again_us > herd->now_us ? seat->pools_again_us
                                                           : herd->now_us + RETRY_US);
    else
        seat->owes_pools = 0; /* or its end will be seen */
}

void herd_owe_lanes(struct herd *herd, struct seat *web)
{
    web->owes_lanes = true;
    herd->due_us = herd->now_us;
}

static void send_lanes(struct herd *herd, struct seat *seat)
{
    seat->owes_lanes =
        lane_table_send(&herd_generation(herd, seat)->lanes, seat->channel_fd) == -EAGAIN;
    if (seat->owes_lanes)
        herd->due_us = herd->now_us + RETRY_US;
}

static void send_owed(struct herd *herd)
{
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        if (seat->phase == SEAT_FREE || seat->channel_fd < 0 || !send_retires(herd, seat))
            continue;
        if (seat->owes_pools != 0)
            send_pools(herd, seat);
        if (seat->owes_lanes)
            send_lanes(herd, seat);
        if (seat->owed_order != 0)
            send_order(herd, seat, seat->owed_order);
    }
}

static void send_signal(struct herd *herd, struct seat *seat, int number)
{
    if (seat->is_dead)
        return; /* its pid may be another's by now */
    char request[LAST_WORDS_REQUEST_BYTES];
    char task[TASKS_TEXT_MAX];
    char state[OBITUARY_STATE_MAX];
    bool has_task = tasks_print(herd, seat, task)[0] != '\0'; /* with its route and trace */
    if (number == SIGABRT)
        obituary_tell_hang(herd, seat);
    else if (seat->doom)
        tell(herd, LOG_LEVEL_WARN, seat, "killed", " signal=%s why=\"%s\"%s%s%s%s",
             signals_name(number), seat->doom, task,
             seat->was_aborted ? " backtrace=\"none: SIGABRT did not end it\"" : "",
             obituary_print_state(seat->pid, state),
             (has_task ? last_words_target : last_words_request)(&herd->board, seat->number,
                                                                 herd->now_us, request));
    seat->was_aborted |= number == SIGABRT;
    (void)kill(seat->pid, number); /* ours and not reaped yet, so it is there */
    if (seat->role == ROLE_COMPUTE && number == SIGKILL)
        (void)kill(-seat->pid, number); /* and its group, once it has made one */
}

void herd_dismiss(struct herd *herd, struct seat *seat, const char *why)
{
    struct post *post = generation_find_post(herd_generation(herd, seat), seat);
    if (post && post->next == seat) {
        post->next = NULL;
    } else if (post) {
        post->seat = NULL;
        post->due_us = SEAT_NEVER;
    }
    seat->dismissed_us = herd->now_us;
    herd->is_changed = true;
    tell(herd, LOG_LEVEL_INFO, seat, "leaves", " why=\"%s\"", why);
}

/* The next one is ready, so the worn one may go. */
static void take_over(struct herd *herd, struct post *post)
{
    struct seat *worn = post->seat;
    posts_succeed(post);
    tally_count_restart(herd, worn->role, LEDGER_WORN);
    herd_dismiss(herd, worn, "worn, and replaced");
}

static void welcome(struct herd *herd, struct seat *seat)
{
    struct generation *g = herd_generation(herd, seat);
    seat->ready_us = herd->now_us;
    seat->heartbeat_us = herd->now_us;
    tell(herd, LOG_LEVEL_INFO, seat, "ready", " boot_ms=%" PRIu64,
         (herd->now_us - seat->born_us) / CLOCK_US_PER_MS);
    struct post *post = generation_find_post(g, seat);
    if (post && post->is_degraded) {
        post->is_degraded = false;
        tell(herd, LOG_LEVEL_NOTICE, seat, "recovered", " after=%u", post->failures);
    }
    if (post && post->next == seat)
        take_over(herd, post);
    if (g != herd->current || g->has_been_ready || !generation_is_complete(g))
        return; /* of a candidate it is told when it serves */
    g->has_been_ready = true;
    char compute[32] = "";
    if (pools_are_used(&g->pools))
        (void)snprintf(compute, sizeof compute, " compute_workers=%" PRIu32,
                       pools_count_wanted(&g->pools));
    log_notice("ready", "workers=%" PRIu32 "%s generation=%d boot_ms=%" PRIu64, g->n_workers,
               compute, g->number, (herd->now_us - g->started_us) / CLOCK_US_PER_MS);
}

/* It drains because somebody else told it to. For its post that is a loss like any other: at once
 * the first time, but a worker that does so whenever it is ready is not replaced in a frenzy. */
static void relieve(struct herd *herd, struct seat *seat)
{
    static const char why[] = "it drains of its own accord";
    uint64_t ms;
    struct generation *g = herd_generation(herd, seat);
    struct post *post = generation_find_post(g, seat);
    seat->is_leaving = true;
    if (!post)
        return;
    enum decide_fate fate = posts_vacate(herd, g, post, seat, false, &ms);
    if (herd->exit_code == CLI_OK)
        (void)snprintf(herd->reason, sizeof herd->reason,
                       "a worker was ready, then drained of its "
                       "own accord: it got TERM, or sent it");
    tally_count_restart(herd, seat->role, LEDGER_OUTSIDE);
    tell(herd, LOG_LEVEL_INFO, seat, "leaves", " why=\"%s\" respawn_ms=%" PRIu64, why, ms);
    posts_take_fate(herd, g, post, fate);
}

void herd_release(struct herd *herd, struct seat *seat)
{
    if (seat->role == ROLE_WEB)
        graves_forget(herd, seat);
    int rc = scoreboard_clear(&herd->board, herd->board_fd, seat->number);
    if (rc < 0) /* its next occupant starts with counts that are not its own */
        log_warn("seat not cleared", "seat=%" PRIu32 " why=\"%s\"", seat->number, strerror(-rc));
    slots_release(&herd->slots, seat);
    rc = scoreboard_tell_used(herd->board_fd, herd->slots.n_used);
    (void)rc; /* then some that are free are looked at, too */
    herd->is_changed = true;
}

bool herd_use_pools(struct herd *herd, struct seat *loader, uint32_t used)
{
    struct err err;
    struct generation *g = herd_generation(herd, loader);
    bool is_first = !pools_are_used(&g->pools);
    if (pools_open(&g->pools, used, herd->slots.n_seats, &err) == 0 &&
        (!is_first || sizing_check_pools(&g->pools, g->settings, &err) == 0)) {
        if (is_first && pools_are_used(&g->pools) && g->pools.slice_bytes < g->pools.wanted_bytes)
            log_warn("segment smaller than configured",
                     "segment_bytes=%" PRIu64 " configured_bytes=%" PRIu64
                     " why=\"no address space for %" PRIu32 " slices: ulimit -v, or the kernel's\" "
                     "does=\"larger bodies and answers go by files, larger payloads of "
                     "rmd_offload() are refused\"",
                     g->pools.slice_bytes, g->pools.wanted_bytes, g->pools.n_seats);
        return true;
    }
    (void)snprintf(loader->reason, sizeof loader->reason, "%s", err.text);
    herd_happen(herd, loader, DECIDE_STOP);
    loader->is_leaving = false; /* its end is a failure */
    return false;
}

/* Nobody ever said the pid of this seat's occupant: most likely there was none. */
static void forget(struct herd *herd, struct seat *seat)
{
    uint64_t ms;
    struct generation *g = herd_generation(herd, seat);
    struct post *post = generation_find_post(g, seat);
    enum decide_fate fate = posts_vacate(herd, g, post, seat, false, &ms);
    (void)snprintf(herd->reason, sizeof herd->reason, "a process was lost before it had a pid");
    if ((seat->is_leaving && !seat->doom) || herd->stage == DECIDE_AT_ONCE)
        tell(herd, LOG_LEVEL_INFO, seat, "ended", " why=\"it was told to before it had a pid\"");
    else
        tell(herd, LOG_LEVEL_WARN, seat, "lost", " why=\"%s\" respawn_ms=%" PRIu64,
             seat->doom ? seat->doom : "its channel ended before it had a pid", ms);
    herd_release(herd, seat);
    posts_take_fate(herd, g, post, fate);
}

void herd_refuse(struct herd *herd, struct seat *seat, int code)
{
    struct generation *g = herd_generation(herd, seat);
    struct post *post = generation_find_post(g, seat);
    bool is_next = post && post->next == seat;
    if (is_next)
        post->next = NULL;
    herd_release(herd, seat);
    if (is_next)
        log_warn("fork refused", "for=worker slot=%d why=\"%s\"", post->slot, strerror(code));
    else if (post)
        posts_refuse(herd, g, post, strerror(code));
}

/* Why a start fails, should this be the death that ends it: in its own words, or in ours. */
static void keep_reason(struct herd *herd, const struct seat *seat)
{
    if (herd->exit_code != CLI_OK)
        return; /* it has failed: this death only follows from that */
    const char *what = seat->role == ROLE_LOADER ? "the app's init" : "a worker's start";
    if (seat->reason[0])
        (void)snprintf(herd->reason, sizeof herd->reason, "%s", seat->reason);
    else if (seat->doom)
        (void)snprintf(herd->reason, sizeof herd->reason, "%s took longer than allowed: %s", what,
                       seat->doom);
    else if (WIFSIGNALED(seat->status))
        (void)snprintf(herd->reason, sizeof herd->reason, "%s crashed with signal %s", what,
                       signals_name(WTERMSIG(seat->status)));
    else
        (void)snprintf(herd->reason, sizeof herd->reason, "%s ended the process with exit code %d",
                       what, WEXITSTATUS(seat->status));
}

void herd_bury(struct herd *herd, struct seat *seat)
{
    char end[OBITUARY_END_MAX];
    char task[TASKS_TEXT_MAX];
    struct msg lost;
    uint64_t ms;
    struct generation *g = herd_generation(herd, seat);
    struct post *post = generation_find_post(g, seat);
    seat->has_task =
        tasks_peek(herd, seat, &(struct task){0}) != TASK_NONE || tasks_is_garbled(herd, seat);
    enum decide_fate fate = posts_vacate(herd, g, post, seat, false, &ms);
    struct obituary obituary;
    ledger_bury(herd->ledger);
    obituary_open(&obituary, herd, seat);
    (void)obituary_print_end(&obituary, herd, seat, end);
    keep_reason(herd, seat);
    bool is_replaced = post && !post->seat && post->due_us != SEAT_NEVER && fate <= DECIDE_DEGRADED;
    if (is_replaced)
        tally_count_restart(herd, seat->role, tally_reason(seat, obituary.cause));
    if (seat->is_leaving && seat->status == 0 && !seat->has_task)
        tell(herd, LOG_LEVEL_INFO, seat, "ended", "%s", end);
    else if (!is_replaced)
        tell(herd, LOG_LEVEL_WARN, seat, "died", "%s%s", end, tasks_print(herd, seat, task));
    else
        tell(herd, LOG_LEVEL_WARN, seat, "died", "%s%s respawn_ms=%" PRIu64, end,
             tasks_print(herd, seat, task), ms);
    obituary_close(&obituary, herd, seat);
    tasks_abandon(herd, seat);
    if (seat->role == ROLE_COMPUTE)
        herd->has_strangers |= g->pools.items[seat->pool].settings->fork != 0;
    bool has_lost =
        tasks_tell_loss(herd, seat, obituary.cause, obituary_why(&obituary, seat), &lost);
    if (has_lost)
        accounts_bury(herd, seat, &lost);
    if (!graves_open(herd, seat, has_lost ? &lost : NULL))
        herd_release(herd, seat);
    herd->is_changed = true;
    if (post)
        posts_take_fate(herd, g, post, fate);
}

/* ---- Events */

void herd_happen(struct herd *herd, struct seat *seat, enum decide_event event)
{
    struct decide_rules rules = herd_rules(herd, seat);
    struct decide_verdict verdict = decide(seat, event, herd->now_us, &rules);
    herd->is_changed |= seat->phase != verdict.phase;
    if (verdict.phase == SEAT_DRAINING && seat->phase != SEAT_DRAINING)
        seat->drains_us = herd->now_us;
    seat->phase = verdict.phase;
    seat->deadline_us = verdict.deadline_us;
    if (verdict.doom)
        seat->doom = verdict.doom;
    switch (verdict.act) {
    case DECIDE_WELCOME:
        welcome(herd, seat);
        break;
    case DECIDE_RELIEVE:
        relieve(herd, seat);
        break;
    case DECIDE_ASK_DRAIN:
        send_order(herd, seat, MSG_DRAIN);
        break;
    case DECIDE_ASK_STOP:
        send_order(herd, seat, MSG_STOP);
        break;
    case DECIDE_ASK_LEAVE:
        send_order(herd, seat, seat->role == ROLE_WEB ? MSG_DRAIN : MSG_STOP);
        break;
    case DECIDE_ABORT:
        send_signal(herd, seat, SIGABRT);
        break;
    case DECIDE_MURDER:
        send_signal(herd, seat, SIGKILL);
        break;
    case DECIDE_CUT:
        fd_close(&seat->channel_fd);
        break;
    case DECIDE_FORGET:
        forget(herd, seat);
        break;
    case DECIDE_BURY: /* by herd_bury(), when its channel has been read */
    case DECIDE_NOTHING:
    case DECIDE_ACTS:
        break;
    }
}

bool herd_name(struct herd *herd, struct seat *seat, pid_t pid)
{
    if (pid <= 1)
        return false;
    if (seat->pid != 0)
        return seat->pid == pid; /* HELLO and FORKED both say it, in either order */
    int status;
    bool is_child = strangers_is_child(pid);
    /* A death that was kept is another's, long ago, when there is a child with that pid now. */
    bool is_dead = slots_take_unclaimed(&herd->slots, pid, &status) && !is_child;
    if (!is_dead && (!is_child || slots_find_by_pid(&herd->slots, pid) ||
                     coroners_is_one(&herd->coroners, pid) || pid == herd->admin_pid))
        return false; /* believed, it would be a way to have us kill anybody */
    seat->pid = pid;
    if (is_dead) {
        seat->is_dead = true;
        seat->status = status;
    }
    herd_happen(herd, seat, DECIDE_NAMED);
    return true;
}

void herd_fill(struct herd *herd)
{
    herd->due_us = SEAT_NEVER;
    send_owed(herd);
    graves_turn(herd);
    if (herd->stage <= DECIDE_GRACEFUL)
        posts_fill(herd, herd->current);
    if (herd->stage <= DECIDE_GRACEFUL && herd->leaving)
        posts_fill(herd, herd->leaving);
    if (herd->stage == DECIDE_RUNNING && herd->candidate && herd->candidate->failure.code == 0)
        posts_fill(herd, herd->candidate);
    generation_enter_folder(herd->current);
}

static void tell_stage(const struct herd *herd, enum board_stage stage)
{
    int rc = scoreboard_tell_stage(herd->board_fd, stage);
    if (rc < 0) /* a memfd that takes no four octets: whoever asks takes us for alive */
        log_warn("stage not told", "why=\"%s\"", strerror(-rc));
}

void herd_leave(struct herd *herd, uint64_t delay_us, const char *why)
{
    herd->leaves_us = herd->now_us + delay_us;
    tell_stage(herd, BOARD_LEAVING);
    log_notice("leaving", "why=%s drain_delay_ms=%" PRIu64 " does=\"serve on until then\"", why,
               delay_us / CLOCK_US_PER_MS);
}

bool herd_is_leaving(const struct herd *herd)
{
    return herd->stage != DECIDE_RUNNING || herd->leaves_us != 0;
}

void herd_stop(struct herd *herd, enum decide_stage stage, const char *why)
{
    static const char *const how[] = {"running", "graceful", "quick", "at once"};
    static const enum decide_event events[] = {[DECIDE_GRACEFUL] = DECIDE_DRAIN,
                                               [DECIDE_QUICK] = DECIDE_STOP,
                                               [DECIDE_AT_ONCE] = DECIDE_KILL};
    RMD_ASSERT(stage != DECIDE_RUNNING);
    if (stage < herd->stage || (stage == herd->stage && stage != DECIDE_AT_ONCE))
        return;
    if (stage != herd->stage)
        log_notice("stopping", "how=\"%s\" why=%s", how[stage], why);
    herd->stage = stage;
    herd->leaves_us = 0;
    tell_stage(herd, BOARD_STOPPING);
    struct generation *all[] = {herd->current, herd->candidate, herd->leaving};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i] && all[i]->leaves_us == 0)
            all[i]->leaves_us = herd->now_us;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        bool can_drain = role_table[seat->role].gets_listeners;
        if (seat->phase == SEAT_FREE || (stage == DECIDE_GRACEFUL && herd_is_rear(herd, seat)))
            continue;
        herd_happen(herd, seat,
                    stage == DECIDE_GRACEFUL && !can_drain ? DECIDE_STOP : events[stage]);
    }
}

uint64_t herd_next_us(const struct herd *herd)
{
    uint64_t next = coroners_next_us(&herd->coroners);
    next = herd->due_us < next ? herd->due_us : next;
    next = herd->graves.n_open > 0 && herd->graves.due_us < next ? herd->graves.due_us : next;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (seat->phase == SEAT_FREE)
            continue;
        struct decide_rules rules = herd_rules(herd, seat);
        uint64_t at = seat->is_dead ? 0 : decide_next_us(seat, &rules); /* dead: to be buried */
        next = at < next ? at : next;
    }
    if (herd->stage > DECIDE_GRACEFUL)
        return next;
    const struct generation *all[] = {herd->current, herd->candidate, herd->leaving};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        uint64_t at = posts_next_us(herd, all[i]);
        next = at < next ? at : next;
    }
    return next;
}
