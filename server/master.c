/* ROOM of the master: keeps processes, so that a fresh one is always at hand.
 *
 * Started by `remuda run`; nobody's child but the shell's or the service manager's. It owns the
 * listening sockets, the seats and the signals, has children forked (through the loader), lends
 * them sockets, watches their heartbeats, kills what hangs, replaces what died, and writes down
 * what a dead worker could not. It never loads app code, never reads HTTP, never waits for anything
 * but its one ppoll(2), and needs no memory after set-up but for a reload, which is refused where
 * there is none. What happens is heard here; what follows is decided in decide.c and done by herd.c
 * and reload.c; who watches which socket is planned in cover.c and sent by steer.c; who goes when
 * others have come, relief.c knows.
 *
 * When it dies, however, all others die: by the parent-death signal, and because their channels
 * end. */
#include "server/master.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/title.h"
#include "config/settings.h"
#include "ipc/msg.h"
#include "ipc/signals.h"
#include "ipc/spawn.h"
#include "server/admins.h"
#include "server/autolane.h"
#include "server/cli.h"
#include "server/daemon.h"
#include "server/frames.h"
#include "server/growth.h"
#include "server/growth_web.h"
#include "server/herd.h"
#include "server/inherit.h"
#include "server/listen.h"
#include "server/mend.h"
#include "server/nofile.h"
#include "server/orders.h"
#include "server/relief.h"
#include "server/reload.h"
#include "server/renew.h"
#include "server/reopen.h"
#include "server/scale.h"
#include "server/sizing.h"
#include "server/slow.h"
#include "server/steer.h"
#include "server/strangers.h"
#include "server/succession.h"
#include "server/tally.h"
#include "server/tasks.h"
#include "server/threads.h"
#include "server/watch.h"

#define AWAY_US CLOCK_US_PER_S   /* a turn that begins so late: we were stopped or suspended */
#define EXCUSE_US CLOCK_US_PER_S /* one heartbeat period, then all have had their chance */

/* Which descriptors are where in master.polls. */
enum {
    POLL_SIGNALS,
    POLL_SUCCESSION,
    POLL_CONTROL = POLL_SUCCESSION + SUCCESSION_POLLS,
    POLL_ADMIN = POLL_CONTROL + CONTROL_POLLS,
    POLL_CHANNELS,
};

struct master {
    struct settings *settings; /* of the first start */
    struct inherit *inherit;
    struct herd herd;
    struct listen_set listeners;
    struct steer steer;
    struct reopen reopen;
    struct reload reload;
    struct scale scale;
    struct renew renew;
    struct succession succession;
    struct orders orders;
    struct admins admins;
    int n_strangers; /* that were killed in the last turn; negative: could not be looked for */
    int signal_fd;
    struct watch watch;
    int followed;         /* generation whose files and name these are */
    struct pollfd *polls; /* POLL_…, from POLL_CHANNELS on the seats', then watched files, queues */
    struct seat **polled; /* whose channel each is */
    nfds_t n_polls;       /* as far as the seats */
    size_t n_queues;
    uint64_t wake_us; /* when the present wait was to end at the latest; SEAT_NEVER: open end */
};

static const int heard_signals[] = {SIGTERM, SIGINT,  SIGQUIT, SIGCHLD, SIGHUP,
                                    SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH};

/* Set-up and tear-down. */
static int set_up(struct master *m, const struct master_start *start);
static void tear_down(struct master *m, struct master_start *start);
/* One turn, in order. */
static void wait_for_events(struct master *m);
static void hear_signals(struct master *m);
static void hear_channels(struct master *m);
static void judge_seats(struct master *m);
static void reap_children(struct master *m);
static void kill_strangers(struct master *m);
static void follow_succession(struct master *m);
static void turn_generations(struct master *m);
static void look_at_files(struct master *m);
static void close_listeners(struct master *m);
static bool has_ended(const struct master *m);
static void stop(struct master *m, enum decide_stage stage, const char *why);
static unsigned ask_reload(struct master *m, const char *who);

int master_run(struct settings *settings, struct master_start *start)
{
    struct master m = {.settings = settings,
                       .inherit = start->inherit,
                       .orders = {.control = {.listen_fd = -1}},
                       .signal_fd = -1,
                       .watch = {.fd = -1},
                       .admins = {.channel_fd = -1},
                       .herd = {.board_fd = -1, .ledger_fd = -1}};
    reload_init(&m.reload, start->origin, settings);
    succession_init(&m.succession, settings, &m.herd, &m.listeners, &m.admins.listeners, &m.scale,
                    start->origin, start->inherit);
    m.orders.herd = &m.herd;
    m.orders.listeners = &m.listeners;
    m.orders.reload = &m.reload;
    m.orders.reopen = &m.reopen;
    m.orders.scale = &m.scale;
    m.orders.succession = &m.succession;
    m.herd.exit_code = set_up(&m, start);
    bool is_running = m.herd.exit_code == CLI_OK;
    while (is_running) {
        wait_for_events(&m);
        hear_signals(&m);
        succession_leave_when_due(&m.succession);
        control_serve(&m.orders.control, m.polls + POLL_CONTROL, m.herd.now_us);
        hear_channels(&m);
        mend_turn(&m.herd, m.polls + m.n_polls + 1, m.n_queues);
        judge_seats(&m);
        reap_children(&m); /* behind all that may still name a seat */
        kill_strangers(&m);
        look_at_files(&m);
        follow_succession(&m);
        turn_generations(&m);
        herd_fill(&m.herd);
        if (!succession_is_waiting(&m.succession))
            steer_workers(&m.steer, &m.herd, &m.listeners);
        relief_workers(&m.herd, &m.steer);
        relief_rear(&m.herd);
        reopen_tell(&m.reopen, &m.herd);
        close_listeners(&m);
        admins_turn(&m.admins, succession_is_answering(&m.succession));
        succession_report(&m.succession, m.reload.n_begun);
        control_report(&m.orders.control, m.herd.now_us);
        is_running = !has_ended(&m);
    }
    succession_fail(&m.succession, m.herd.exit_code == CLI_OK ? "" : m.herd.reason);
    tear_down(&m, start);
    return m.herd.exit_code;
}

/* ---- Set-up */

static int refuse_start(const struct master *m, int code, const struct err *err)
{
    char quoted[LOG_QUOTE_MAX + 8];
    log_error("cannot start", "exit=%d why=%s", code,
              log_quote(quoted, err->text, strlen(err->text)));
    daemon_fail(code, err->text);
    succession_fail(&m->succession, err->text);
    return code;
}

/* Where the number of workers comes from, for the log. */
static const char *explain_workers(const struct settings *s)
{
    const struct setting_source *source = &s->sources[SETTING_ID_workers];
    return source->derived ? source->derived : source->where ? source->where : "default";
}

static void announce(struct master *m)
{
    const struct settings *s = m->settings;
    char why[LOG_QUOTE_MAX + 8];
    char app[LOG_QUOTE_MAX + 8];
    const char *source = explain_workers(s);
    log_notice("starting",
               "version=" REMUDA_VERSION " workers=%" PRIu32
               " workers_from=%s app=%s generation=%d",
               s->workers.n, log_quote(why, source, strlen(source)),
               log_quote(app, s->app, strlen(s->app)), m->herd.current->number);
    sizing_tell(s, NULL, m->herd.current->number);
    listen_announce(&m->listeners);
    if (geteuid() == 0 && !s->user)
        log_warn("workers run as root", "capabilities=%s does=\"set user\"",
                 s->capabilities == CAPABILITIES_DROP ? "none" : "kept");
}

static int open_signals(struct master *m, struct err *err)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a reader of the log that left is no reason to die */
    m->signal_fd = signals_open(heard_signals, sizeof heard_signals / sizeof heard_signals[0]);
    if (m->signal_fd < 0)
        return err_set(err, -m->signal_fd, "signals: %s", strerror(-m->signal_fd));
    int rc = spawn_adopt_orphans();
    return rc < 0 ? err_set(err, -rc, "prctl(PR_SET_CHILD_SUBREAPER): %s", strerror(-rc)) : 0;
}

/* The first generation. */
static int build(struct master *m, int log_fd, int access_fd, struct err *err)
{
    struct generation_plan plan = {.number = ++m->herd.n_generations,
                                   .settings = m->settings,
                                   .log_fd = log_fd,
                                   .access_fd = access_fd,
                                   .board = &m->herd.board,
                                   .now_us = m->herd.now_us};
    return generation_new(&plan, &m->herd.current, err);
}

static int set_up(struct master *m, const struct master_start *start)
{
    struct err err;
    struct settings *s = m->settings;
    uint32_t n_slots = s->workers.n;
    uint32_t n_files = n_slots * (uint32_t)s->bind.n + 2 * n_slots + 8; /* sockets, channels */
    n_files += m->inherit->set.n + pools_count_files(s);
    n_files += s->admin_bind ? ADMINS_FILES : 0;
    m->herd.n_generations = m->inherit->handover.generation; /* numbers go on */
    log_identify("master", -1, m->herd.n_generations + 1);
    title_set(s->proc_name, NULL, "master");
    m->herd.now_us = clock_now_us();
    if (nofile_raise(s, n_files, &err) < 0)
        return refuse_start(m, CLI_CONFIG, &err);
    if (herd_init(&m->herd, s, HERD_SEATS, n_slots * (uint32_t)s->bind.n, &err) < 0)
        return refuse_start(m, CLI_NO_BOOT, &err);
    if (build(m, start->log_fd, start->access_fd, &err) < 0)
        return refuse_start(m, CLI_CONFIG, &err);
    if (succession_open(&m->succession, &err) < 0)
        return refuse_start(m, err.code == EEXIST ? CLI_BIND : CLI_CONFIG, &err);
    if (inherit_listen(m->inherit, s, n_slots, &m->listeners, &err) < 0)
        return refuse_start(m, CLI_BIND, &err);
    if (admins_open(&m->admins, s, &m->herd, &m->reload, &m->succession.upgrade, &m->inherit->admin,
                    &err) < 0)
        return refuse_start(m, CLI_BIND, &err);
    m->herd.now_us = clock_now_us(); /* names were looked up, addresses perhaps waited for */
    if (open_signals(m, &err) < 0)
        return refuse_start(m, CLI_NO_BOOT, &err);
    m->polls = calloc(HERD_SEATS + POLL_CHANNELS + 1 + MEND_POLLS, sizeof *m->polls);
    m->polled = calloc(HERD_SEATS + POLL_CHANNELS, sizeof *m->polled);
    if (!m->polls || !m->polled || steer_init(&m->steer, LISTEN_SLOTS_MAX) < 0 ||
        slots_grow(&m->herd.slots, m->listeners.n) < 0 || orders_init(&m->orders) < 0) {
        (void)err_set(&err, ENOMEM, "out of memory");
        return refuse_start(m, CLI_NO_BOOT, &err);
    }
    orders_open(&m->orders, start->control);
    succession_begin(&m->succession);
    announce(m);
    herd_fill(&m->herd);
    succession_report(&m->succession, m->reload.n_begun);
    return m->herd.exit_code;
}

static void tear_down(struct master *m, struct master_start *start)
{
    listen_close(&m->listeners);
    admins_close(&m->admins);
    reload_fini(&m->reload, &m->herd);
    if (m->herd.stage != DECIDE_RUNNING) {
        unsigned strangers = strangers_kill_all();
        log_notice("stopped", "exit=%d requests=%" PRIu64 " strangers_killed=%u", m->herd.exit_code,
                   m->herd.totals.requests, strangers);
    }
    control_fini(&m->orders.control); /* who waits for the end sees it, now that all is gone */
    if (m->herd.current) {
        start->log_fd = m->herd.current->heritage.log_fd;
        start->access_fd = m->herd.current->heritage.access_fd;
    }
    steer_fini(&m->steer);
    herd_fini(&m->herd);
    free(m->polls);
    free(m->polled);
    succession_close(&m->succession);
    watch_close(&m->watch);
}

/* ---- Waiting */

static void excuse_heartbeats(struct master *m, const char *why)
{
    m->herd.excuse_us = m->herd.now_us + EXCUSE_US;
    log_warn("master was away", "why=%s does=\"judges no heartbeat for a second\"", why);
}

static void forget_events(struct master *m)
{
    for (nfds_t i = 0; i < m->n_polls + 1 + m->n_queues; i++)
        m->polls[i].revents = 0;
}

static void wait_for_events(struct master *m)
{
    uint64_t before_us = clock_now_us();
    if (before_us > m->herd.now_us + AWAY_US && m->wake_us != 0)
        excuse_heartbeats(m, "turn");
    uint64_t next_us[] = {
        herd_next_us(&m->herd),
        succession_is_waiting(&m->succession) ? SEAT_NEVER : steer_next_us(&m->steer, &m->herd),
        tasks_next_us(&m->herd),
        slow_next_us(&m->herd),
        growth_next_us(&m->herd),
        autolane_next_us(&m->herd),
        threads_next_us(&m->herd),
        succession_is_alone(&m->succession) ? growth_web_next_us(&m->herd) : SEAT_NEVER,
        mend_next_us(&m->herd),
        reopen_next_us(&m->reopen),
        relief_next_us(&m->herd),
        m->herd.leaves_us ? m->herd.leaves_us : SEAT_NEVER,
        reload_next_us(&m->reload, &m->herd),
        renew_next_us(&m->renew, &m->herd),
        watch_next_us(&m->watch),
        succession_next_us(&m->succession),
        control_next_us(&m->orders.control),
        admins_next_us(&m->admins)};
    m->wake_us = SEAT_NEVER;
    for (size_t i = 0; i < sizeof next_us / sizeof next_us[0]; i++)
        m->wake_us = next_us[i] < m->wake_us ? next_us[i] : m->wake_us;
    uint64_t wait_us = m->wake_us > before_us ? m->wake_us - before_us : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait_us / CLOCK_US_PER_S),
                               .tv_nsec = (long)(wait_us % CLOCK_US_PER_S * 1000)};
    m->polls[POLL_SIGNALS] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
    succession_watch(&m->succession, m->polls + POLL_SUCCESSION);
    control_watch(&m->orders.control, before_us, m->polls + POLL_CONTROL);
    admins_watch(&m->admins, m->polls + POLL_ADMIN);
    m->n_polls = POLL_CHANNELS;
    for (uint32_t i = 0; i < m->herd.slots.n_used; i++) {
        struct seat *seat = &m->herd.slots.seats[i];
        if (seat->channel_fd < 0)
            continue;
        m->polls[m->n_polls] = (struct pollfd){.fd = seat->channel_fd, .events = POLLIN};
        m->polled[m->n_polls++] = seat;
    }
    m->polls[m->n_polls] = (struct pollfd){.fd = m->watch.fd, .events = POLLIN};
    m->n_queues = mend_watch(&m->herd, m->polls + m->n_polls + 1);
    nfds_t n = m->n_polls + 1 + m->n_queues;
    if (ppoll(m->polls, n, m->wake_us == SEAT_NEVER ? NULL : &timeout, NULL) < 0)
        forget_events(m); /* EINTR: the next turn asks again; the signal itself is in the pipe */
    m->herd.now_us = clock_now_us();
    uint64_t planned_us = before_us + wait_us;
    if (m->wake_us < SEAT_NEVER - AWAY_US && m->herd.now_us > planned_us + AWAY_US)
        excuse_heartbeats(m, "stopped");
}

/* ---- Signals */

static void stop(struct master *m, enum decide_stage stage, const char *why)
{
    succession_leave(&m->succession, stage, why);
}

static void ask_upgrade(struct master *m, const char *who)
{
    struct err err;
    char quoted[LOG_QUOTE_MAX + 8];
    uint64_t number;
    if (succession_ask(&m->succession, who, false, &number, &err) < 0)
        log_warn("upgrade refused", "why=%s", log_quote(quoted, err.text, strlen(err.text)));
}

static unsigned ask_reload(struct master *m, const char *who)
{
    scale_on_reload_asked(&m->scale);
    return reload_ask(&m->reload, who);
}

/* Each of them is one worker, also in a storm. */
static void hear_scaling(struct master *m)
{
    int more = (int)signals_count(SIGTTIN);
    int fewer = (int)signals_count(SIGTTOU);
    struct scale_wish wish = {.is_relative = true, .n = more - fewer};
    if (more != fewer)
        (void)scale_workers(&m->scale, &m->herd, wish, more > fewer ? "TTIN" : "TTOU");
}

static void hear_signals(struct master *m)
{
    static const int stops[] = {SIGTERM, SIGINT, SIGQUIT};
    uint64_t taken = signals_take();
    if (signals_has(taken, SIGUSR1))
        reopen_logs(&m->reopen, &m->herd);
    if (signals_has(taken, SIGHUP))
        (void)ask_reload(m, signals_name(SIGHUP));
    if (signals_has(taken, SIGTTIN) || signals_has(taken, SIGTTOU))
        hear_scaling(m);
    /* A terminal sends WINCH whenever its window changes. */
    if (signals_has(taken, SIGWINCH) && !isatty(STDIN_FILENO))
        scale_to_nothing(&m->scale, &m->herd, signals_name(SIGWINCH));
    if (signals_has(taken, SIGUSR2))
        ask_upgrade(m, signals_name(SIGUSR2));
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++)
        if (signals_has(taken, stops[i]))
            stop(m, decide_stage(m->herd.stage, stops[i]), signals_name(stops[i]));
}

/* ---- Channels */

static void hear_channels(struct master *m)
{
    for (nfds_t i = POLL_CHANNELS; i < m->n_polls; i++)
        if (m->polls[i].revents != 0 && m->polls[i].fd == m->polled[i]->channel_fd)
            frames_hear(&m->herd, m->polled[i]);
}

/* ---- Time */

static void read_heartbeat(struct master *m, struct seat *seat)
{
    const struct seat_head *head = scoreboard_peek(&m->herd.board, seat->number).head;
    uint64_t beat_us = atomic_load_explicit(&head->heartbeat_us, memory_order_relaxed);
    if (beat_us > m->herd.now_us)
        beat_us = m->herd.now_us; /* read before its turn ended, or nonsense */
    if (beat_us > seat->heartbeat_us)
        seat->heartbeat_us = beat_us;
    seat->is_hung = steer_is_hung(&m->herd, seat);
}

static uint64_t oldest_order_us(const struct master *m, const struct seat *loader)
{
    uint64_t oldest_us = m->herd.now_us;
    for (uint32_t i = 0; i < m->herd.slots.n_used; i++) {
        const struct seat *seat = &m->herd.slots.seats[i];
        bool is_unanswered =
            seat->phase == SEAT_FORKING || (seat->phase == SEAT_ENDING && !seat->pid);
        bool is_its = seat->generation == loader->generation && seat->born_us >= loader->born_us;
        if (is_unanswered && is_its && seat->born_us < oldest_us)
            oldest_us = seat->born_us;
    }
    return oldest_us;
}

/* A loader that forks nothing any more (stopped, or stuck in the app's atfork handler) shows by its
 * oldest order that nobody has answered. While it answers others it is at work (frames.c), however
 * long its queue is. */
static void read_loader(const struct master *m, struct seat *loader)
{
    uint64_t oldest_us = oldest_order_us(m, loader);
    if (oldest_us > loader->heartbeat_us)
        loader->heartbeat_us = oldest_us;
}

static void judge_seats(struct master *m)
{
    for (uint32_t i = 0; i < m->herd.slots.n_used; i++) {
        struct seat *seat = &m->herd.slots.seats[i];
        if (seat->phase == SEAT_FREE)
            continue;
        if (seat->phase == SEAT_READY && seat->role == ROLE_LOADER)
            read_loader(m, seat);
        else if (seat->phase == SEAT_READY && role_table[seat->role].owes_heartbeat)
            read_heartbeat(m, seat);
        tasks_judge(&m->herd, seat);
        relief_judge(&m->herd, seat);
        herd_happen(&m->herd, seat, DECIDE_TIME);
    }
    slow_turn(&m->herd);
    coroners_on_time(&m->herd.coroners, m->herd.now_us);
}

/* ---- The dead */

/* The next one to be reaped. What a handler has forked goes with it: before its worker is reaped,
 * since until then no other group can have that number. Returns 0: there is none */
static pid_t find_dead(struct master *m)
{
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid <= 1)
        return 0;
    const struct seat *seat = slots_find_by_pid(&m->herd.slots, info.si_pid);
    if (seat && seat->role == ROLE_COMPUTE)
        (void)kill(-info.si_pid, SIGKILL);
    return info.si_pid;
}

static uint64_t to_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * CLOCK_US_PER_S + (uint64_t)t.tv_usec;
}

static void reap_children(struct master *m)
{
    for (;;) {
        int status;
        struct rusage used;
        pid_t pid = find_dead(m);
        if (pid > 0)
            ledger_bury(m->herd.ledger); /* from now on /proc does not tell what it used */
        if (pid <= 0 || wait4(pid, &status, WNOHANG, &used) != pid)
            break;
        struct seat *seat = slots_find_by_pid(&m->herd.slots, pid);
        if (!seat && coroners_reap(&m->herd.coroners, pid, status))
            continue;
        if (pid == m->herd.admin_pid)
            tally_count_used(&m->herd, ROLE_ADMIN, &used);
        if (!seat && admins_reap(&m->admins, pid, status))
            continue;
        if (seat) {
            tally_count_used(&m->herd, seat->role, &used);
            seat->is_dead = true;
            seat->status = status;
            seat->life =
                (struct account_used){.cpu_us = to_us(used.ru_utime) + to_us(used.ru_stime),
                                      .faults = (uint64_t)used.ru_minflt + (uint64_t)used.ru_majflt,
                                      .peak_bytes = (uint64_t)used.ru_maxrss * 1024};
            continue;
        }
        if (succession_bury(&m->succession, pid, status))
            continue;
        pid_t forgotten = slots_keep_unclaimed(&m->herd.slots, pid, status);
        if (forgotten > 0)
            log_debug("stranger gone", "pid=%d", (int)forgotten);
    }
    for (uint32_t i = 0; i < m->herd.slots.n_used; i++) {
        struct seat *seat = &m->herd.slots.seats[i];
        if (!seat->is_dead)
            continue;
        frames_hear(&m->herd, seat); /* what it said before it died, FAILED above all */
        herd_bury(&m->herd, seat);
    }
}

/* Who is in a seat, or is to be: whose pid is not known yet may be any. */
static bool is_ours(const void *context, pid_t pid)
{
    struct herd *herd = (struct herd *)(uintptr_t)context;
    return slots_find_by_pid(&herd->slots, pid) || coroners_is_one(&herd->coroners, pid) ||
           pid == herd->admin_pid;
}

static bool is_anyone_unnamed(const struct herd *herd)
{
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (seat->phase != SEAT_FREE && seat->phase != SEAT_BURIED && seat->pid == 0)
            return true;
    }
    return false;
}

/* Handlers that may fork can leave children behind, also in groups of their own. */
static void kill_strangers(struct master *m)
{
    if (!m->herd.has_strangers || is_anyone_unnamed(&m->herd))
        return; /* who is born will be named, and heard */
    int n = strangers_kill(is_ours, &m->herd);
    m->herd.has_strangers = n != 0; /* they may leave others behind: their ends are heard */
    if (n > m->n_strangers)         /* one that can't end just now is told once */
        log_notice("processes killed", "n=%d why=\"left behind by handlers of compute workers\"",
                   n);
    else if (n < 0 && m->n_strangers >= 0)
        log_warn("processes not killed", "why=\"children can't be listed: %s\" does=\"try again\"",
                 strerror(-n));
    m->n_strangers = n;
}

/* ---- Upgrades */

static void follow_succession(struct master *m)
{
    const char *why = succession_turn(&m->succession);
    m->reload.is_held = succession_is_passing(&m->succession);
    if (why)
        stop(m, DECIDE_GRACEFUL, why);
}

/* ---- Generations, and how many workers */

static void turn_generations(struct master *m)
{
    if (reload_turn(&m->reload, &m->herd, &m->listeners))
        scale_on_commit(&m->scale, &m->herd);
    if (succession_is_alone(&m->succession))
        scale_open_slots(&m->herd, &m->listeners);
    renew_turn(&m->renew, &m->herd);
    growth_turn(&m->herd);
    autolane_turn(&m->herd);
    threads_turn(&m->herd);
    if (succession_is_alone(&m->succession))
        growth_web_turn(&m->herd, &m->listeners);
}

/* ---- The stop */

/* Once all have been told to drain, our copies only do harm: a socket lives on through its worker's
 * copy until that has accepted what waits, and is gone the moment the worker closes it. With ours
 * still open, whoever connects in between would wait for nobody and be reset in the end. */
static void close_listeners(struct master *m)
{
    if (m->herd.stage == DECIDE_RUNNING || m->listeners.n == 0)
        return;
    listen_close(&m->listeners);
    log_debug("sockets closed", "%s", "");
}

/* ---- Files that call for a reload */

/* Another generation serves: its files are watched from now on, and its name is the server's. */
static void follow_generation(struct master *m)
{
    const struct generation *g = m->herd.current;
    char started_in[PATH_MAX] = ".";
    m->followed = g->number;
    title_set(g->settings->proc_name, NULL, "master");
    if (fchdir(m->reload.origin->folder_fd) == 0 && !getcwd(started_in, sizeof started_in))
        log_debug("folder of the start has no path", "why=\"%s\"", strerror(errno));
    generation_enter_folder(g);
    int rc = watch_set(&m->watch, g->settings, started_in, m->herd.now_us);
    if (rc < 0)
        log_warn("files of this generation are not watched", "why=\"%s\"", strerror(-rc));
}

static void look_at_files(struct master *m)
{
    char quoted[LOG_QUOTE_MAX + 8];
    if (m->herd.stage != DECIDE_RUNNING)
        return;
    if (m->followed != m->herd.current->number)
        follow_generation(m);
    const char *changed = watch_turn(&m->watch, m->herd.now_us);
    if (!changed)
        return;
    log_notice("file changed", "path=%s", log_quote(quoted, changed, strlen(changed)));
    (void)ask_reload(m, "file");
}

static bool has_ended(const struct master *m)
{
    return m->herd.stage != DECIDE_RUNNING && slots_count(&m->herd.slots) == 0 &&
           (m->herd.stage == DECIDE_AT_ONCE || coroners_count(&m->herd.coroners) == 0) &&
           admins_have_ended(&m->admins);
}
