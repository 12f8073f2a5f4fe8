/* `remuda top`: a live view of the running server. The model and its rendering are in top_view.c;
 * here are the clock, the keys, the signals and the socket. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_value.h"
#include "config/settings.h"
#include "config/value.h"
#include "ipc/signals.h"
#include "server/cli.h"
#include "server/ctl.h"
#include "server/plain.h"
#include "server/terminal.h"
#include "server/top_view.h"

#define FIRST_US (250 * CLOCK_US_PER_MS) /* the first interval: something to see soon */
#define MESSAGE_US (8 * CLOCK_US_PER_S)  /* that a message stays */
#define PATIENCE_US (2 * CLOCK_US_PER_S) /* with a master that does not answer */
#define INTERVAL_MIN_US (100 * CLOCK_US_PER_MS)
#define INTERVAL_MAX_US (3600 * CLOCK_US_PER_S)
#define BATCH_COLUMNS 160

enum { ONCE, BATCH, INTERVAL };

struct top {
    struct ctl *ctl;
    uint64_t interval_us;
    struct view views[2]; /* the present one, and the one before */
    int present;          /* index in views; -1: none */
    bool is_answered;     /* by the latest question */
    struct top_view model;
    struct top_view_page page;
    char clock[16];
    char name[256];
    char message[512];
    uint64_t message_until_us; /* 0: until something better is known */
    uint64_t reload_number;    /* of the last reload whose outcome was told */
    uint64_t next_us;          /* when to ask again */
    int signal_fd;
    bool is_over;
};

static const int heard[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

/* ---- The server */

static void say(struct top *top, bool is_bad, uint64_t for_us, const char *text)
{
    (void)snprintf(top->message, sizeof top->message, "%s", text);
    top->model.is_message_bad = is_bad;
    top->message_until_us = for_us > 0 ? clock_now_us() + for_us : 0;
}

/* One question on a connection of its own. Returns 0; an exit code, the reason is in ctl->why */
static int ask(struct top *top, const char *request, struct str *out_answer)
{
    top->ctl->is_quiet = true;
    int code = ctl_connect(top->ctl);
    if (code == 0)
        code = ctl_send(top->ctl, request);
    if (code == 0)
        code = ctl_receive(top->ctl, PATIENCE_US, out_answer);
    return code == 0 ? ctl_check(top->ctl, *out_answer) : code;
}

/* A reload that this or anybody else began has ended. */
static void tell_reload(struct top *top, const struct view *view, bool is_first)
{
    char text[400];
    bool is_over = view->has_reload && strcmp(view->reload_outcome, "running") != 0;
    if (!is_over || view->reload_number == top->reload_number)
        return;
    bool is_refused = strcmp(view->reload_outcome, "done") != 0;
    top->reload_number = view->reload_number;
    if (is_first)
        return;
    if (is_refused)
        (void)snprintf(text, sizeof text, "reload refused: %s", view->reload_why);
    else
        (void)snprintf(text, sizeof text, "reloaded: generation %" PRIu64 " serves",
                       view->generation);
    say(top, is_refused, MESSAGE_US, text);
}

static void take_status(struct top *top, struct str answer)
{
    int next = top->present == 0;
    struct view *now = &top->views[next];
    bool is_first = top->present < 0;
    view_fini(now);
    if (view_read(now, answer) < 0)
        return;
    if (!is_first)
        view_compare(now, &top->views[!next]);
    top->present = next;
    tell_reload(top, now, is_first);
    if (!top->is_answered && top->message_until_us == 0)
        top->message[0] = '\0';
    top->is_answered = true;
}

/* Returns 0; an exit code */
static int refresh(struct top *top)
{
    struct str answer;
    uint64_t now_us = clock_now_us();
    bool is_first = top->present < 0;
    int code = ask(top, "{\"request\":\"status\"}", &answer);
    if (code == 0) {
        take_status(top, answer);
    } else {
        top->is_answered = false;
        say(top, true, 0, top->ctl->why);
    }
    ctl_disconnect(top->ctl);
    if (top->message_until_us > 0 && now_us > top->message_until_us) {
        top->message[0] = '\0';
        top->message_until_us = 0;
    }
    uint64_t interval_us = is_first && top->interval_us > FIRST_US ? FIRST_US : top->interval_us;
    top->next_us = now_us + interval_us;
    return code;
}

static void order(struct top *top, const char *request, const char *done)
{
    struct str answer;
    int code = ask(top, request, &answer);
    say(top, code != 0, MESSAGE_US, code == 0 ? done : top->ctl->why);
    ctl_disconnect(top->ctl);
    top->next_us = clock_now_us() + FIRST_US;
}

static void scale(struct top *top, bool is_up)
{
    char text[64] = "";
    uint64_t workers;
    struct str answer;
    int code = ask(top,
                   is_up ? "{\"request\":\"scale\",\"workers\":\"+1\"}"
                         : "{\"request\":\"scale\",\"workers\":\"-1\"}",
                   &answer);
    if (code == 0 && json_value_u64(json_value_find(answer, "workers"), UINT64_MAX, &workers) == 0)
        (void)snprintf(text, sizeof text, "workers: %" PRIu64, workers);
    say(top, code != 0, MESSAGE_US, code == 0 ? text : top->ctl->why);
    ctl_disconnect(top->ctl);
    top->next_us = clock_now_us() + FIRST_US;
}

/* ---- Drawing */

static void fill_model(struct top *top)
{
    time_t now = time(NULL);
    struct tm tm;
    (void)strftime(top->clock, sizeof top->clock, "%H:%M:%S", localtime_r(&now, &tm));
    top->model.view = top->is_answered ? &top->views[top->present] : NULL;
    top->model.name = top->name;
    top->model.clock = top->clock;
    top->model.message = top->message;
}

static void keep_in_range(struct top *top, unsigned height)
{
    size_t n = top->model.view ? top->model.view->n_workers : 0;
    size_t rows = top_view_rows(&top->model, height);
    size_t last = n > rows ? n - rows : 0;
    if (top->model.first > last)
        top->model.first = last;
}

/* From the top, each line over the old one and to the right edge: nothing flickers. */
static int paint(const struct top_view_page *page, unsigned width, struct buf *out)
{
    static const char *const colours[] = {
        [TOP_VIEW_PLAIN] = "\033[0m",   [TOP_VIEW_TITLE] = "\033[0;1m",
        [TOP_VIEW_HEAD] = "\033[0;7m",  [TOP_VIEW_QUIET] = "\033[0;2m",
        [TOP_VIEW_WARN] = "\033[0;33m", [TOP_VIEW_BAD] = "\033[0;1;31m"};
    bool has_colour = terminal_has_colour();
    const char *p = page->text.data;
    const char *end = p + page->text.len;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < page->n; i++) {
        char line[4 * TOP_VIEW_COLUMNS_MAX + 1];
        int len = (int)((const char *)memchr(p, '\n', (size_t)(end - p)) - p);
        (void)snprintf(line, sizeof line, "%.*s", len, p);
        size_t columns = plain_columns(line);
        /* Bold and inverse are no colours: without any, the heads still stand out. */
        enum top_view_style style = page->styles[i];
        if (!has_colour && style > TOP_VIEW_HEAD)
            style = TOP_VIEW_PLAIN;
        rc = buf_printf(out, "\033[%zu;1H%s%s%*s\033[0m", i + 1, colours[style], line,
                        columns < width ? (int)(width - columns) : 0, "");
        p += len + 1;
    }
    return rc;
}

static void draw(struct top *top)
{
    unsigned width, height;
    struct buf out = {0};
    terminal_size(&width, &height);
    fill_model(top);
    keep_in_range(top, height);
    int rc = top_view_render(&top->model, width, height, &top->page);
    if (rc == 0)
        rc = paint(&top->page, width, &out);
    if (rc == 0)
        terminal_write(out.data, out.len);
    buf_fini(&out);
}

/* ---- Keys and signals */

static void scroll(struct top *top, int by_rows, int by_pages)
{
    unsigned width, height;
    terminal_size(&width, &height);
    long page = (long)top_view_rows(&top->model, height);
    long first = (long)top->model.first + by_rows + by_pages * page;
    top->model.first = first > 0 ? (size_t)first : 0; /* the end is found when it is drawn */
}

static void on_key(struct top *top, int key)
{
    if (top->model.is_asking) {
        top->model.is_asking = false;
        if (key == 'y' || key == 'Y')
            order(top, "{\"request\":\"stop\",\"wait\":false}", "stopping, gracefully");
        return;
    }
    if (top->model.is_help && key != TERMINAL_END && key != 'q') {
        top->model.is_help = key == TERMINAL_NONE;
        return;
    }
    switch (key) {
    case 'q':
    case TERMINAL_END:
        top->is_over = true;
        break;
    case 'r':
        order(top, "{\"request\":\"reload\",\"wait\":false}", "reloading\u2026");
        break;
    case '+':
    case '-':
        scale(top, key == '+');
        break;
    case 's':
        top->model.is_asking = true;
        break;
    case '?':
    case 'h':
        top->model.is_help = true;
        break;
    case 'k':
    case TERMINAL_UP:
        scroll(top, -1, 0);
        break;
    case 'j':
    case TERMINAL_DOWN:
        scroll(top, 1, 0);
        break;
    case TERMINAL_PAGE_UP:
        scroll(top, 0, -1);
        break;
    case TERMINAL_PAGE_DOWN:
    case ' ':
        scroll(top, 0, 1);
        break;
    default:
        break;
    }
}

static int listen_to_signals(struct top *top)
{
    top->signal_fd = signals_open(heard, sizeof heard / sizeof heard[0]);
    return top->signal_fd < 0 ? top->signal_fd : 0;
}

/* Ctrl-Z: the shell gets its terminal back as it was, and we ours when we go on. */
static void suspend(struct top *top)
{
    terminal_close();
    (void)signal(SIGTSTP, SIG_DFL);
    (void)raise(SIGTSTP);
    if (listen_to_signals(top) < 0 || terminal_open() < 0)
        top->is_over = true;
    top->next_us = 0;
}

static void on_signals(struct top *top)
{
    uint64_t taken = signals_take();
    if (signals_has(taken, SIGTSTP))
        suspend(top);
    if (signals_has(taken, SIGINT) || signals_has(taken, SIGTERM) || signals_has(taken, SIGHUP) ||
        signals_has(taken, SIGQUIT))
        top->is_over = true;
}

static void wait_for_something(struct top *top)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = top->signal_fd, .events = POLLIN}};
    uint64_t now_us = clock_now_us();
    int ms = top->next_us > now_us ? (int)((top->next_us - now_us) / 1000 + 1) : 0;
    if (terminal_has_keys())
        ms = 0;
    if (poll(fds, 2, ms) < 0)
        fds[0].revents = 0;
    on_signals(top);
    if (fds[0].revents != 0 || terminal_has_keys())
        on_key(top, terminal_read_key());
}

static int complain(const struct top *top, int code)
{
    (void)fprintf(stderr, "remuda top: %s\n", top->ctl->why);
    return code;
}

static int run_live(struct top *top)
{
    int code = refresh(top);
    if (code != 0) /* at the start that is an error; later it is news */
        return complain(top, code);
    if (listen_to_signals(top) < 0 || terminal_open() < 0) {
        (void)fprintf(stderr, "remuda top: terminal: %s\n", strerror(errno));
        return CLI_CONFIG;
    }
    top->model.is_utf8 = terminal_is_utf8();
    while (!top->is_over) {
        draw(top);
        wait_for_something(top);
        if (!top->is_over && clock_now_us() >= top->next_us)
            (void)refresh(top);
    }
    terminal_close();
    return CLI_OK;
}

/* ---- Without a terminal */

static void sleep_until(uint64_t at_us)
{
    struct timespec at = {.tv_sec = (time_t)(at_us / CLOCK_US_PER_S),
                          .tv_nsec = (long)(at_us % CLOCK_US_PER_S) * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

/* Rates take two looks: the first is not shown. */
static int run_plain(struct top *top, bool is_once)
{
    int code = refresh(top);
    while (code == 0) {
        sleep_until(top->next_us);
        code = refresh(top);
        if (code != 0)
            break;
        fill_model(top);
        if (top_view_render(&top->model, BATCH_COLUMNS, 0, &top->page) < 0)
            return CLI_CONFIG;
        (void)printf("%.*s%s", (int)top->page.text.len, top->page.text.data, is_once ? "" : "\n");
        if (fflush(stdout) != 0 || is_once)
            break;
    }
    return code == 0 ? code : complain(top, code);
}

/* ---- */

static bool read_interval(struct top *top, const struct merge_option *option)
{
    top->interval_us = CLOCK_US_PER_S;
    for (unsigned i = 0; i < option->n_given; i++) {
        uint64_t us;
        if (value_parse_duration(str_of(option->values[i]), &us) < 0 || us < INTERVAL_MIN_US ||
            us > INTERVAL_MAX_US) {
            (void)fprintf(
                stderr, "remuda top: --interval is \"%s\"; allowed: 100ms to 1h, as 2s or 500ms\n",
                option->values[i]);
            return false;
        }
        top->interval_us = us;
    }
    return true;
}

static int run(struct ctl *ctl, const struct merge_option *options)
{
    struct top top = {.ctl = ctl, .present = -1, .signal_fd = -1};
    const char *file = ctl->merge.settings->file;
    if (!read_interval(&top, &options[INTERVAL]))
        return CLI_USAGE;
    if (options[ONCE].n_given > 0 && options[BATCH].n_given > 0) {
        (void)fprintf(stderr, "remuda top: --once and --batch; allowed: one of them\n");
        return CLI_USAGE;
    }
    (void)plain_clean(top.name, sizeof top.name,
                      file                    ? file
                      : ctl->path.is_explicit ? ctl->path.places[0]
                                              : "",
                      PLAIN_NARROW);
    bool is_plain = options[ONCE].n_given > 0 || options[BATCH].n_given > 0;
    int code = !is_plain && terminal_is_usable() ? run_live(&top)
                                                 : run_plain(&top, options[BATCH].n_given == 0);
    top_view_fini(&top.page);
    view_fini(&top.views[0]);
    view_fini(&top.views[1]);
    return code;
}

int cmd_top(int argc, char **argv)
{
    struct merge_option options[] = {[ONCE] = {.name = "--once"},
                                     [BATCH] = {.name = "--batch"},
                                     [INTERVAL] = {.name = "--interval", .takes_value = true},
                                     {.name = NULL}};
    struct ctl ctl;
    int code;
    if (ctl_begin(&ctl, "top", argc, argv, options, 0, &code))
        code = run(&ctl, options);
    ctl_end(&ctl);
    return code;
}
