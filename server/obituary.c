/* Process: master, while a seat's occupant hangs, and when it is buried. */
#include "server/obituary.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/signals.h"
#include "server/accounts.h"
#include "server/last_words.h"

#define USED_MAX 192

const char *obituary_noun(const struct seat *seat)
{
    return seat->role == ROLE_WEB       ? "worker"
           : seat->role == ROLE_COMPUTE ? role_table[ROLE_COMPUTE].title
                                        : role_table[seat->role].name;
}

static void print_who(const struct seat *seat, char out[48])
{
    if (seat->slot >= 0)
        (void)snprintf(out, 48, "slot=%d pid=%d", seat->slot, (int)seat->pid);
    else
        (void)snprintf(out, 48, "pid=%d", (int)seat->pid);
}

/* ---- alive, but not answering ---- */

static size_t read_proc(pid_t pid, const char *name, char *out, size_t cap)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, cap - 1);
    if (fd >= 0)
        (void)close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

const char *obituary_print_state(pid_t pid, char out[OBITUARY_STATE_MAX])
{
    char stat[512];
    char where[64];
    out[0] = '\0';
    if (read_proc(pid, "stat", stat, sizeof stat) == 0)
        return out;
    const char *name_end = strrchr(stat, ')'); /* the name may hold anything (proc(5)) */
    if (!name_end || strlen(name_end) < 3)
        return out;
    size_t n = read_proc(pid, "wchan", where, sizeof where);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)where[i]) && where[i] != '_')
            n = 0;
    where[n] = '\0';
    bool is_known = n > 0 && strcmp(where, "0") != 0;
    (void)snprintf(out, OBITUARY_STATE_MAX, " state=%c%s%s", name_end[2], is_known ? " wchan=" : "",
                   is_known ? where : "");
    return out;
}

void obituary_tell_hang(const struct herd *herd, const struct seat *seat)
{
    char who[48];
    char event[32];
    char state[OBITUARY_STATE_MAX];
    char silent[48] = "";
    char request[LAST_WORDS_REQUEST_BYTES];
    print_who(seat, who);
    (void)snprintf(event, sizeof event, "%s hangs", obituary_noun(seat));
    if (seat->heartbeat_us > 0)
        (void)snprintf(silent, sizeof silent, " silent_ms=%" PRIu64,
                       (herd->now_us - seat->heartbeat_us) / CLOCK_US_PER_MS);
    log_error(event, "%s why=\"%s\"%s%s%s does=\"SIGABRT, then another\"", who, seat->doom, silent,
              obituary_print_state(seat->pid, state),
              last_words_request(&herd->board, seat->number, herd->now_us, request));
}

/* ---- dead ---- */

static uint32_t gather_facts(struct herd *herd, const struct seat *seat, bool has_remains)
{
    const struct remains *left = herd->coroners.remains;
    char words[LAST_WORDS_BYTES];
    uint32_t facts = cause_facts_of(seat->status);
    facts |= seat->is_leaving ? CAUSE_LEAVING : 0;
    facts |= seat->doom ? CAUSE_DOOMED : 0;
    facts |= seat->reason[0] ? CAUSE_SAID_WHY : 0;
    facts |= last_words_panic(&herd->board, seat->number, words)[0] ? CAUSE_PANIC : 0;
    if (has_remains)
        facts |= left->kind == REMAINS_EXIT ? CAUSE_LEFT_EXIT : CAUSE_LEFT_FAULT;
    if (has_remains && seat->role == ROLE_COMPUTE && left->error == ENOMEM)
        facts |= CAUSE_ENOMEM;
    if (has_remains && remains_was_sent(left) && left->sender_pid != seat->pid)
        facts |= CAUSE_SENT;
    /* Each count is used up by one death, but not by one of our own making. */
    if (facts & CAUSE_KILL && !(facts & CAUSE_DOOMED) && oom_take(&herd->oom))
        facts |= CAUSE_OOM;
    return facts;
}

/* What the handler saw: ` code=MAPERR address=0x0 thread=main`. */
static void print_fault(const struct remains *r, char out[LOG_QUOTE_MAX + 128])
{
    char quoted[LOG_QUOTE_MAX + 8];
    size_t len = (size_t)snprintf(out, LOG_QUOTE_MAX + 128, " code=%s",
                                  remains_code_name(r->signal, r->code));
    if (r->code > 0)
        len += (size_t)snprintf(out + len, 64, " address=0x%" PRIx64, r->address);
    bool is_main = r->tid == r->pid;
    (void)snprintf(out + len, LOG_QUOTE_MAX + 128 - len, " thread=%s",
                   is_main ? "main" : log_quote(quoted, r->thread, strlen(r->thread)));
}

static void tell_crash(const struct herd *herd, const struct seat *seat, bool has_remains)
{
    const struct remains *left = herd->coroners.remains;
    char who[48];
    char event[32];
    char fault[LOG_QUOTE_MAX + 128] = "";
    char request[LAST_WORDS_REQUEST_BYTES];
    print_who(seat, who);
    (void)snprintf(event, sizeof event, "%s crashed", obituary_noun(seat));
    if (has_remains)
        print_fault(left, fault);
    if (has_remains)
        (void)last_words_print(&herd->board, seat->number, &left->request, herd->now_us, request);
    else
        (void)last_words_request(&herd->board, seat->number, herd->now_us, request);
    log_error(event, "%s signal=%s%s%s", who, signals_name(WTERMSIG(seat->status)), fault, request);
}

void obituary_open(struct obituary *obituary, struct herd *herd, const struct seat *seat)
{
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    obituary->has_remains = coroners_take(&herd->coroners, &part, seat->pid, seat->status);
    uint32_t facts = gather_facts(herd, seat, obituary->has_remains);
    obituary->cause = cause_judge(facts);
    (void)cause_print(obituary->cause, facts, seat->status, obituary->why);
    const struct remains *left = herd->coroners.remains;
    if (obituary->cause == CAUSE_IS_OUTSIDE && obituary->has_remains)
        (void)snprintf(obituary->why, sizeof obituary->why,
                       "killed from outside, by process %d of user %u", (int)left->sender_pid,
                       (unsigned)left->sender_uid);
    if (WIFSIGNALED(seat->status) &&
        (obituary->cause == CAUSE_IS_CRASH || obituary->cause == CAUSE_IS_ASSERTION ||
         obituary->cause == CAUSE_IS_REFUSED))
        tell_crash(herd, seat, obituary->has_remains);
}

static void print_end(char out[32], int status)
{
    if (WIFSIGNALED(status))
        (void)snprintf(out, 32, " signal=%s", signals_name(WTERMSIG(status)));
    else
        (void)snprintf(out, 32, " exit=%d", WEXITSTATUS(status));
}

static void print_pair(char out[LOG_QUOTE_MAX + 32], const char *key, const char *text)
{
    char quoted[LOG_QUOTE_MAX + 8];
    out[0] = '\0';
    if (text[0])
        (void)snprintf(out, LOG_QUOTE_MAX + 32, " %s=%s", key,
                       log_quote(quoted, text, strlen(text)));
}

const char *obituary_why(const struct obituary *obituary, const struct seat *seat)
{
    return seat->reason[0] ? seat->reason : seat->doom ? seat->doom : obituary->why;
}

/* Its task's part, where it died of one, else of its life. */
static void print_used(char out[USED_MAX], const struct herd *herd, const struct seat *seat)
{
    struct account_used used;
    if (accounts_of(herd, seat, &used))
        (void)snprintf(out, USED_MAX,
                       " wait_ms=%" PRIu64 " wall_ms=%" PRIu64 " cpu_ms=%" PRIu64 " faults=%" PRIu64
                       " peak_rss_bytes=%" PRIu64,
                       used.wait_us / CLOCK_US_PER_MS, used.wall_us / CLOCK_US_PER_MS,
                       used.cpu_us / CLOCK_US_PER_MS, used.faults, used.peak_bytes);
    else
        (void)snprintf(out, USED_MAX, " cpu_ms=%" PRIu64 " peak_rss_bytes=%" PRIu64,
                       seat->life.cpu_us / CLOCK_US_PER_MS, seat->life.peak_bytes);
}

const char *obituary_print_end(const struct obituary *obituary, const struct herd *herd,
                               const struct seat *seat, char out[OBITUARY_END_MAX])
{
    char end[32];
    char limit[64] = "";
    char used[USED_MAX] = "";
    char reason[LOG_QUOTE_MAX + 32];
    char panic[LOG_QUOTE_MAX + 32];
    char words[LAST_WORDS_BYTES];
    print_end(end, seat->status);
    print_pair(reason, "why", obituary_why(obituary, seat));
    print_pair(panic, "last_words", last_words_panic(&herd->board, seat->number, words));
    if (obituary->cause == CAUSE_IS_REFUSED)
        (void)snprintf(
            limit, sizeof limit, " memory_limit_bytes=%" PRIu64,
            herd_generation(herd, seat)->pools.items[seat->pool].settings->memory_limit_bytes);
    if (seat->role == ROLE_COMPUTE && seat->life.peak_bytes > 0)
        print_used(used, herd, seat);
    (void)snprintf(out, OBITUARY_END_MAX, "%s%s%s%s%s", end, reason, limit, used, panic);
    return out;
}

/* For lines of the access log about requests that ended with their worker. */
static void print_note(char out[96], const struct obituary *obituary, const struct seat *seat)
{
    if (seat->doom)
        (void)snprintf(out, 96, "worker killed: %s", seat->doom);
    else if (obituary->cause == CAUSE_IS_MEMORY || obituary->cause == CAUSE_IS_OUTSIDE)
        (void)snprintf(out, 96, "worker %s: SIG%s", obituary->why,
                       signals_name(WTERMSIG(seat->status)));
    else if (WIFSIGNALED(seat->status))
        (void)snprintf(out, 96, "worker died: SIG%s", signals_name(WTERMSIG(seat->status)));
    else
        (void)snprintf(out, 96, "worker ended: exit code %d", WEXITSTATUS(seat->status));
}

/* The requests of a compute worker are a web worker's, which answers them and counts them. */
static void write_last_words(const struct obituary *obituary, struct herd *herd,
                             const struct seat *seat)
{
    char note[96];
    const struct generation *g = herd_generation(herd, seat);
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    if (seat->role == ROLE_COMPUTE) {
        accounts_close(herd, seat);
        return;
    }
    print_note(note, obituary, seat);
    struct last_words_about about = {.board = &herd->board,
                                     .board_fd = herd->board_fd,
                                     .seat = seat->number,
                                     .slot = seat->slot,
                                     .pid = seat->pid,
                                     .note = note,
                                     .access_fd = g->heritage.access_fd,
                                     .access = g->access,
                                     .now_us = herd->now_us};
    (void)last_words_write(&about);
    totals_add(&herd->totals, &part, herd->board.n_routes);
}

/* Everything about it that is not in the remains. */
static void fill_inquest(const struct obituary *obituary, struct herd *herd,
                         const struct seat *seat)
{
    static const char *const events[CAUSES] = {[CAUSE_IS_MASTER] = "hung",
                                               [CAUSE_IS_ASSERTION] = "crashed",
                                               [CAUSE_IS_REFUSED] = "crashed",
                                               [CAUSE_IS_CRASH] = "crashed",
                                               [CAUSE_IS_EXIT] = "exited"};
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    struct inquest *q = &herd->coroners.inquest;
    *q = (struct inquest){.role = seat->role,
                          .pid = seat->pid,
                          .status = seat->status,
                          .uptime_us = herd->now_us - seat->born_us,
                          .event = events[obituary->cause]};
    memcpy(&q->head, part.head, sizeof q->head);
    q->request = obituary->has_remains ? herd->coroners.remains->request : q->head.current;
    remains_bound_request(&q->request);
    if (q->request.route < herd->board.n_routes)
        memcpy(q->route, part.routes[q->request.route].name, sizeof q->route);
    if (q->request.started_us > 0 && q->request.started_us < herd->now_us)
        q->elapsed_us = herd->now_us - q->request.started_us;
    (void)snprintf(q->why, sizeof q->why, "%s", seat->doom ? seat->doom : obituary->why);
}

void obituary_close(const struct obituary *obituary, struct herd *herd, const struct seat *seat)
{
    static const bool is_told[CAUSES] = {[CAUSE_IS_MASTER] = true,
                                         [CAUSE_IS_ASSERTION] = true,
                                         [CAUSE_IS_REFUSED] = true,
                                         [CAUSE_IS_CRASH] = true,
                                         [CAUSE_IS_EXIT] = true};
    const struct generation *g = herd_generation(herd, seat);
    write_last_words(obituary, herd, seat);
    bool leaves_bundle =
        g->settings->crash_dir && (obituary->cause != CAUSE_IS_MASTER || seat->was_aborted);
    if (!is_told[obituary->cause] || (!obituary->has_remains && !leaves_bundle))
        return;
    fill_inquest(obituary, herd, seat);
    coroners_send(&herd->coroners, &g->heritage, g->app_fd, seat, herd->now_us);
}
