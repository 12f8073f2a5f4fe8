/* Process: master, which asks and forks; and the dumper, which is a copy of it: so it has the
 * master's tables as they were in that moment, and all the time that it wants. Whatever it does,
 * or allocates, is nothing to the master but a child that ends, or is killed after a minute.
 *
 * Workers that answer write into a file of which each has its place (ipc/report.h); those that
 * hang, or have a task in hand, just don't. What they wrote is printed with its control characters
 * replaced. */
#include "server/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/title.h"
#include "base/usage.h"
#include "config/render.h"
#include "config/settings.h"
#include "ipc/msg.h"
#include "ipc/report.h"
#include "ipc/totals.h"
#include "server/control.h"
#include "server/herd.h"
#include "server/last_words.h"
#include "server/obituary.h"
#include "server/status.h"
#include "server/tasks.h"
#include "workers/stacks.h"

#define STACKS_US (40 * CLOCK_US_PER_S) /* for all of them; then the rest of it is written */
#define REPORT_US (1 * CLOCK_US_PER_S)  /* for workers to have answered, behind the stacks */
#define CLIENT_MS 5000                  /* for a client to take some of it */
#define FLUSH_BYTES (64U * 1024U)

static struct {
    struct herd *herd;
    struct totals_route *dead_routes; /* the herd's totals', copied */
    struct status_about about;
    struct heritage heritage;
    int out_fd;
    int reports_fd; /* -1: nobody was asked */
    struct buf text;
    bool has_remedy; /* what to change so that stacks can be taken was told */
    uint64_t began_us;
} room;

/* ---- the master's side ---- */

static bool is_living(const struct seat *seat)
{
    return seat->phase != SEAT_FREE && seat->phase != SEAT_BURIED && !seat->is_dead &&
           seat->pid > 0;
}

static bool may_answer(const struct seat *seat)
{
    return is_living(seat) && seat->channel_fd >= 0 &&
           (seat->role == ROLE_WEB || seat->role == ROLE_COMPUTE) && seat->phase != SEAT_BOOTING;
}

/* Without the file, or with a channel that is full, a dump lacks what only they know. */
static int ask_workers(const struct herd *herd)
{
    int fd = memfd_create("remuda-dump", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, (off_t)herd->slots.n_used * REPORT_BYTES) < 0)
        fd_close(&fd);
    for (uint32_t i = 0; fd >= 0 && i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        struct msg msg = msg_make(MSG_DUMP);
        msg.value = (int64_t)i * REPORT_BYTES;
        msg.about = REPORT_BYTES;
        if (may_answer(seat) && msg_send(seat->channel_fd, &msg, &fd, 1) < 0)
            log_debug("dump", "not asked: pid=%d", (int)seat->pid);
    }
    return fd;
}

/* What the dead have counted by route lies in the ledger, which no child has. Returns NULL: out of
 * memory */
static struct totals_route *copy_routes(const struct totals *totals)
{
    struct totals_route *copy = calloc(totals->n_routes + 1, sizeof *copy);
    if (copy)
        memcpy(copy, totals->routes, totals->n_routes * sizeof *copy);
    return copy;
}

static void write_all(const struct heritage *heritage);

int dump_send(struct herd *herd, const struct status_about *about, int client_fd, struct err *err)
{
    const struct generation *g = herd->current;
    if (herd->coroners.open[CORONERS_DUMPER].pid > 0)
        return err_set(err, EBUSY, "a dump is being written already");
    room.dead_routes = copy_routes(&herd->totals);
    if (!room.dead_routes)
        return err_set(err, ENOMEM, "out of memory");
    int reports_fd = ask_workers(herd);
    struct heritage child = g->heritage;
    child.role = ROLE_TRACER;
    child.slot = -1;
    child.channel_fd = client_fd;
    child.access_fd = reports_fd; /* it has no access log, and this stays open in it */
    child.app_fd = g->app_fd < 0 ? 0 : g->app_fd;
    room.herd = herd;
    room.about = *about;
    room.out_fd = client_fd;
    room.reports_fd = reports_fd;
    int rc = coroners_dump(&herd->coroners, &child, write_all, herd->now_us, err);
    free(room.dead_routes);
    room.dead_routes = NULL;
    fd_close(&reports_fd);
    return rc;
}

/* ---- text ---- */

/* To the client, who may be slow; without one there is nothing left to do. */
static void flush(void)
{
    size_t sent = 0;
    while (sent < room.text.len) {
        struct pollfd ready = {.fd = room.out_fd, .events = POLLOUT};
        if (poll(&ready, 1, CLIENT_MS) <= 0)
            _exit(EXIT_FAILURE);
        ssize_t n = write(room.out_fd, room.text.data + sent, room.text.len - sent);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            _exit(EXIT_FAILURE);
        sent += n > 0 ? (size_t)n : 0;
    }
    buf_consume(&room.text, room.text.len);
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[REMAINS_LINE_MAX + 512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    if (buf_append(&room.text, line, len) < 0)
        _exit(EXIT_FAILURE);
    if (room.text.len > FLUSH_BYTES)
        flush();
}

/* What another process has written. */
static void say_foreign(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' && text[i] != '\n')
            text[i] = '?';
    if (buf_append(&room.text, text, len) < 0)
        _exit(EXIT_FAILURE);
    flush();
}

/* ---- sections ---- */

static void say_answer(void)
{
    struct json_out out = {.buf = &room.text};
    json_out_open(&out, NULL, '{');
    json_out_bool(&out, "ok", true);
    json_out_u64(&out, "protocol", CONTROL_PROTOCOL);
    json_out_text(&out, "version", STR(REMUDA_VERSION));
    json_out_text(&out, "outcome", STR("done"));
    json_out_close(&out, '}');
    say("\n");
    flush();
}

static void say_head(void)
{
    struct utsname kernel = {0};
    struct tm tm;
    time_t now = (time_t)(clock_wall_us() / CLOCK_US_PER_S);
    (void)gmtime_r(&now, &tm);
    (void)uname(&kernel);
    say("== remuda " REMUDA_VERSION "\npid=%d time=%04d-%02d-%02dT%02d:%02d:%02dZ kernel=\"%s %s\" "
        "generation=%d\n",
        (int)room.heritage.master_pid, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
        tm.tm_min, tm.tm_sec, kernel.sysname, kernel.release, room.herd->current->number);
}

static void say_status(void)
{
    struct json_out out = {.buf = &room.text};
    say("\n== status\n");
    json_out_open(&out, NULL, '{');
    status_tell(&room.about, &out);
    json_out_close(&out, '}');
    say("\n");
    flush();
}

static void say_settings(const struct settings *s)
{
    struct buf page = {0};
    say("\n== settings\n");
    if (render_settings(&page, s, true) == 0 && page.len > 0)
        (void)!buf_append(&room.text, page.data, page.len);
    buf_fini(&page);
    flush();
}

static void say_allocator(void)
{
    struct mallinfo2 m = mallinfo2();
    say("allocator arena_bytes=%zu mapped_bytes=%zu used_bytes=%zu free_bytes=%zu top_bytes=%zu\n",
        m.arena, m.hblkhd, m.uordblks, m.fordblks, m.keepcost);
}

/* ---- a process ---- */

static void say_requests(const struct seat *seat)
{
    char request[LAST_WORDS_REQUEST_BYTES];
    struct request_entry entry;
    const struct scoreboard *board = &room.herd->board;
    struct scoreboard_part part = scoreboard_peek(board, seat->number);
    if (scoreboard_read_entry(&part.head->current, &entry))
        say("request place=current phase=%s%s\n", scoreboard_phase(&entry),
            last_words_print(board, seat->number, &entry, room.herd->now_us, request));
    uint32_t n = part.head->n_inflight;
    for (uint32_t i = 0; seat->role == ROLE_WEB && n > 0 && i < board->n_inflight; i++) {
        if (!scoreboard_read_entry(&part.inflight[i], &entry))
            continue;
        n--;
        say("request place=%u phase=%s", i, scoreboard_phase(&entry));
        if (entry.phase == ENTRY_IO)
            say(" tid=%d", (int)entry.tid);
        say("%s\n", last_words_print(board, seat->number, &entry, room.herd->now_us, request));
    }
}

static void say_frames(const struct stacks_thread *t)
{
    char line[REMAINS_LINE_MAX];
    const struct remains *r = t->remains;
    uint32_t same;
    for (uint32_t i = 0; i < r->n_frames; i += same) {
        same = remains_count_same(r, i, r->n_frames);
        say("  %s", stacks_print(t, i, room.herd->current->settings->app, line));
        if (same > 1)
            say(" times=%u", same);
        say("\n");
    }
}

static void say_thread(const struct stacks_thread *t)
{
    char name[LOG_QUOTE_MAX + 8];
    say("thread tid=%d name=%s state=%c", (int)t->tid, log_quote(name, t->name, strlen(t->name)),
        t->state > ' ' && t->state <= '~' ? t->state : '?');
    if (t->wchan[0])
        say(" wchan=%s", t->wchan);
    if (t->rc < 0)
        say(" frames=0 why=\"%s\"\n", strerror(-t->rc));
    else
        say(" stopped_us=%" PRIu64 " frames=%u\n", t->stopped_us, t->remains->n_frames);
    if (t->rc == 0)
        say_frames(t);
}

static void say_no_stacks(pid_t pid, int rc)
{
    char remedy[STACKS_REMEDY_MAX];
    say("stacks=no why=\"%s\"", strerror(-rc));
    if (rc == -EPERM && !room.has_remedy)
        say(" remedy=\"%s\"", stacks_remedy(pid, remedy));
    room.has_remedy |= rc == -EPERM;
    say("\n");
}

static void say_stacks(pid_t pid)
{
    struct stacks stacks = {0};
    struct stacks_ask ask = {.heritage = &room.heritage, .pid = pid};
    int rc = clock_now_us() - room.began_us > STACKS_US ? -ETIME : stacks_take(&ask, &stacks);
    if (rc < 0) {
        say_no_stacks(pid, rc);
        return;
    }
    say("threads=%u left_out=%u libdw=%s\n", stacks.n_threads, stacks.n_left_out,
        stacks.has_library ? "yes" : "no");
    for (uint32_t i = 0; i < stacks.n_threads; i++)
        say_thread(&stacks.threads[i]);
    stacks_free(&stacks);
}

static void say_process(const struct seat *seat)
{
    char state[OBITUARY_STATE_MAX];
    char task[TASKS_TEXT_MAX];
    struct scoreboard_part part = scoreboard_peek(&room.herd->board, seat->number);
    uint64_t beat_us = part.head->heartbeat_us;
    say("\n== %s slot=%d pid=%d generation=%d seat=%u epoch=%u\n", role_table[seat->role].title,
        seat->slot, (int)seat->pid, seat->generation, seat->number, seat->epoch);
    say("hung=%s silent_ms=%" PRIu64 "%s%s\n", seat->is_hung ? "yes" : "no",
        beat_us > 0 && beat_us < room.herd->now_us ? (room.herd->now_us - beat_us) / CLOCK_US_PER_MS
                                                   : 0,
        obituary_print_state(seat->pid, state), tasks_print(room.herd, seat, task));
    if (seat->role == ROLE_WEB || seat->role == ROLE_COMPUTE)
        say_requests(seat);
    flush();
    say_stacks(seat->pid);
    flush();
}

/* ---- what they say themselves ---- */

static bool is_answered(uint32_t place, struct report_head *head)
{
    return pread(room.reports_fd, head, sizeof *head, (off_t)place * REPORT_BYTES) ==
               (ssize_t)sizeof *head &&
           head->done == REPORT_DONE;
}

static void say_report(const struct seat *seat, uint64_t until_us)
{
    static char text[REPORT_BYTES];
    const struct timespec nap = {.tv_nsec = 5000000};
    struct report_head head;
    bool is_there = is_answered(seat->number, &head);
    while (!is_there && clock_now_us() < until_us) {
        (void)nanosleep(&nap, NULL);
        is_there = is_answered(seat->number, &head);
    }
    say("\n== of itself: %s slot=%d pid=%d\n", role_table[seat->role].title, seat->slot,
        (int)seat->pid);
    if (!is_there) {
        say("no answer: it hangs, is stopped, or has a task in hand\n");
        return;
    }
    size_t len = head.len < sizeof text ? head.len : sizeof text;
    ssize_t n =
        pread(room.reports_fd, text, len, (off_t)seat->number * REPORT_BYTES + (off_t)sizeof head);
    say_foreign(text, n > 0 ? (size_t)n : 0);
}

static void say_reports(void)
{
    uint64_t until_us = clock_now_us() + REPORT_US;
    for (uint32_t i = 0; i < room.herd->slots.n_used; i++) {
        const struct seat *seat = &room.herd->slots.seats[i];
        if (room.reports_fd >= 0 && may_answer(seat))
            say_report(seat, until_us);
    }
}

/* ---- all ---- */

static void write_all(const struct heritage *heritage)
{
    room.heritage = *heritage;
    room.herd->totals.routes = room.dead_routes;
    room.began_us = clock_now_us();
    log_identify("dumper", -1, heritage->generation);
    title_set_comm("remuda-dumper");
    title_set(heritage->settings->proc_name, NULL, "dumper");
    log_set_ring(NULL);
    say_answer();
    say_head();
    say_status();
    say_settings(room.herd->current->settings);
    say("\n== master pid=%d\n", (int)heritage->master_pid);
    say_allocator();
    for (uint32_t i = 0; i < room.herd->slots.n_used; i++)
        if (is_living(&room.herd->slots.seats[i]))
            say_process(&room.herd->slots.seats[i]);
    say_reports();
    say("\n" DUMP_END "\n");
    flush();
    _exit(EXIT_SUCCESS);
}
