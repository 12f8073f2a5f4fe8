/* See routes_live.h. Process: the command. The table and its reading are in routes_view.c; here are
 * the clock and the socket. There are no keys: who has seen enough ends it with Ctrl-C, which needs
 * no care, since nothing of the terminal is changed. */
#include "server/routes_live.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/value.h"
#include "server/cli.h"
#include "server/ctl.h"
#include "server/routes_view.h"
#include "server/terminal.h"

#define INTERVAL_MIN_US (100 * CLOCK_US_PER_MS)
#define INTERVAL_MAX_US (3600 * CLOCK_US_PER_S)
#define PATIENCE_US (2 * CLOCK_US_PER_S) /* with a master that does not answer */

enum { LIVE, ONCE, JSON, INTERVAL };

struct live {
    struct ctl *ctl;
    bool is_once;
    bool is_json;
    bool is_drawn; /* over what was drawn before; else one table follows the other */
    uint64_t interval_us;
    uint64_t asked_us;  /* the last time */
    uint64_t before_us; /* and the time before; 0: it is the first */
    struct routes_view views[2];
    int present;
};

bool routes_live_is_asked(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--live") == 0 || strcmp(argv[i], "--once") == 0)
            return true;
    return false;
}

/* Returns 0; an exit code */
static int ask(struct live *live, struct str *out_answer)
{
    int code = ctl_connect(live->ctl);
    if (code == 0)
        code = ctl_send(live->ctl, "{\"request\":\"routes\"}");
    if (code == 0)
        code = ctl_receive(live->ctl, PATIENCE_US, out_answer);
    if (code == 0)
        code = ctl_check(live->ctl, *out_answer);
    live->before_us = live->asked_us;
    live->asked_us = clock_now_us();
    return code;
}

static int print_table(const struct live *live)
{
    unsigned width = 0, height = 0;
    struct buf out = {0};
    const struct routes_view *now = &live->views[live->present];
    const struct routes_view *before = &live->views[!live->present];
    uint64_t interval_us = live->asked_us - live->before_us;
    if (live->is_drawn)
        terminal_size(&width, &height);
    int rc = live->is_drawn ? buf_append(&out, "\033[H\033[J", 6) : 0;
    if (rc == 0)
        rc = routes_view_render(now, before, interval_us, live->is_once, width, &out);
    if (rc == 0 && !live->is_once && !live->is_drawn)
        rc = buf_append(&out, "\n", 1);
    if (rc == 0)
        (void)fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
    return rc == 0 && fflush(stdout) == 0 ? 0 : CLI_CONFIG;
}

/* One look. The first is only what the next is compared with. Returns 0; an exit code */
static int look(struct live *live)
{
    struct str answer;
    int code = ask(live, &answer);
    if (code != 0)
        return code;
    if (live->is_json) {
        (void)printf("%.*s\n", STR_ARG(answer));
        ctl_disconnect(live->ctl);
        return fflush(stdout) == 0 ? 0 : CLI_CONFIG;
    }
    live->present = !live->present;
    routes_view_fini(&live->views[live->present]);
    int rc = routes_view_read(&live->views[live->present], answer);
    ctl_disconnect(live->ctl);
    if (rc < 0)
        return CLI_CONFIG;
    return live->before_us > 0 ? print_table(live) : 0;
}

static void sleep_until(uint64_t at_us)
{
    struct timespec at = {.tv_sec = (time_t)(at_us / CLOCK_US_PER_S),
                          .tv_nsec = (long)(at_us % CLOCK_US_PER_S) * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static int run(struct live *live)
{
    int code = look(live);
    bool is_over = live->is_once && live->is_json;
    while (code == 0 && !is_over) {
        sleep_until(live->asked_us + live->interval_us);
        code = look(live);
        is_over = live->is_once;
    }
    routes_view_fini(&live->views[0]);
    routes_view_fini(&live->views[1]);
    return code;
}

static bool read_interval(struct live *live, const struct merge_option *option)
{
    live->interval_us = CLOCK_US_PER_S;
    for (unsigned i = 0; i < option->n_given; i++) {
        uint64_t us;
        if (value_parse_duration(str_of(option->values[i]), &us) < 0 || us < INTERVAL_MIN_US ||
            us > INTERVAL_MAX_US) {
            (void)fprintf(stderr,
                          "remuda routes: --interval is \"%s\"; allowed: 100ms to 1h, as 2s or "
                          "500ms\n",
                          option->values[i]);
            return false;
        }
        live->interval_us = us;
    }
    return true;
}

int routes_live_run(int argc, char **argv)
{
    struct merge_option options[] = {[LIVE] = {.name = "--live"},
                                     [ONCE] = {.name = "--once"},
                                     [JSON] = {.name = "--json"},
                                     [INTERVAL] = {.name = "--interval", .takes_value = true},
                                     {.name = NULL}};
    struct ctl ctl;
    int code;
    if (ctl_begin(&ctl, "routes", argc, argv, options, 0, &code)) {
        struct live live = {.ctl = &ctl,
                            .is_once = options[ONCE].n_given > 0,
                            .is_json = options[JSON].n_given > 0};
        live.is_drawn = !live.is_once && !live.is_json && terminal_is_usable();
        code = read_interval(&live, &options[INTERVAL]) ? run(&live) : CLI_USAGE;
    }
    ctl_end(&ctl);
    return code;
}
