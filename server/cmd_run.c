/* `remuda run`: settings, logs, then the master; or with --single the one process that serves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "config/merge.h"
#include "ipc/signals.h"
#include "server/cli.h"
#include "server/control_path.h"
#include "server/daemon.h"
#include "server/inherit.h"
#include "server/listen.h"
#include "server/logfile.h"
#include "server/master.h"
#include "server/nofile.h"
#include "server/origin.h"
#include "server/reopen.h"
#include "server/sizing.h"
#include "server/successor.h"
#include "workers/loader.h"

enum { SINGLE };

/* The master that started this one for an upgrade: it is told why that comes to nothing. */
static struct successor old_master = {.talk_fd = -1};

static int refuse(int code, const char *what)
{
    (void)fprintf(stderr, "remuda run: %s\n", what);
    daemon_fail(code, what);
    successor_tell(&old_master, "failed", what);
    return code;
}

static void log_warnings(const struct mistakes *warnings)
{
    char quoted[LOG_QUOTE_MAX + 8];
    for (size_t i = 0; i < warnings->n; i++)
        log_warn("configuration", "text=%s",
                 log_quote(quoted, warnings->items[i].text, strlen(warnings->items[i].text)));
}

static int cannot_start(int code, const struct err *err)
{
    char quoted[LOG_QUOTE_MAX + 8];
    log_error("cannot start", "exit=%d why=%s", code,
              log_quote(quoted, err->text, strlen(err->text)));
    daemon_fail(code, err->text);
    successor_tell(&old_master, "failed", err->text);
    return code;
}

/* The logs of the one process of --single, for whom nobody else opens them. */
static struct {
    const struct settings *settings;
    int log_fd;
    int access_fd;
    struct listen_set listeners;
} single;

static void reopen_single(void)
{
    log_notice("reopening logs", "%s", "");
    if (reopen_files(single.settings, single.log_fd, single.access_fd) > 0)
        log_notice("logs reopened", "processes=1");
}

/* Also when the app's threads can't be waited for, and the process ends in the middle. */
static void close_single(void)
{
    listen_close(&single.listeners);
}

/* One process for everything: what a debugger wants to see. */
static int run_single(struct settings *settings, struct inherit *inherit, int log_fd, int access_fd)
{
    struct err err;
    struct listen_set *listeners = &single.listeners;
    single.settings = settings;
    single.log_fd = log_fd;
    single.access_fd = access_fd;
    log_identify("single", -1, 1);
    if (settings->reload)
        log_warn("reload has no effect with --single", "%s", "");
    if (settings->admin_bind)
        log_warn("admin has no effect with --single", "bind=%s", settings->admin_bind->text);
    if (nofile_raise(settings, 0, &err) < 0)
        return cannot_start(CLI_CONFIG, &err);
    if (inherit_listen(inherit, settings, 1, listeners, &err) < 0)
        return cannot_start(CLI_BIND, &err);
    int *fds = calloc(listeners->n, sizeof *fds);
    if (!fds || at_quick_exit(close_single) != 0) {
        free(fds);
        close_single();
        (void)err_set(&err, ENOMEM, "out of memory");
        return cannot_start(CLI_NO_BOOT, &err);
    }
    for (uint32_t i = 0; i < listeners->n; i++) {
        fds[i] = listeners->items[i].fd;
        listeners->items[i].fd = -1; /* closed over there */
    }
    sizing_tell(settings, NULL, 1);
    for (uint32_t i = 0; i < listeners->n_addresses; i++)
        log_notice("listening", "address=%s", listeners->addresses[i].text);
    int rc = loader_run_single(settings, access_fd, reopen_single, fds, listeners->n, &err);
    free(fds);
    close_single();
    return rc < 0 ? cannot_start(CLI_CONFIG, &err) : CLI_OK;
}

/* Before the folder is changed, since it may name the socket. Without a path the server runs all
 * the same. */
static void find_control(const struct settings *settings, struct control_path *out)
{
    struct err err;
    char quoted[LOG_QUOTE_MAX + 8];
    if (control_path_find(settings, out, &err) == 0)
        return;
    log_warn("no control socket", "why=%s", log_quote(quoted, err.text, strlen(err.text)));
    *out = (struct control_path){.is_off = true};
}

static int run_master(struct settings *settings, struct inherit *inherit,
                      const struct origin *origin, int *log_fd, int *access_fd,
                      const struct control_path *control)
{
    struct master_start start = {.inherit = inherit,
                                 .origin = origin,
                                 .control = control,
                                 .log_fd = *log_fd,
                                 .access_fd = *access_fd};
    int code = master_run(settings, &start);
    *log_fd = start.log_fd;
    *access_fd = start.access_fd;
    return code;
}

/* origin NULL: --single */
static int serve(struct settings *settings, struct inherit *inherit,
                 const struct mistakes *warnings, const struct origin *origin)
{
    struct err err;
    int log_fd = -1;
    int access_fd = -1;
    struct control_path control_path;
    find_control(settings, &control_path);
    if (settings->chdir && chdir(settings->chdir) < 0) {
        (void)err_set(&err, errno, "chdir %s: %s", settings->chdir, strerror(errno));
        return refuse(CLI_CONFIG, err.text);
    }
    if (logfile_open(settings->errorlog ? settings->errorlog : "-", STDERR_FILENO, &log_fd, &err) <
        0)
        return refuse(CLI_CONFIG, err.text);
    log_init(log_fd, settings->loglevel, settings->log_format);
    log_identify("master", -1, -1);
    log_warnings(warnings);
    int code;
    if (logfile_open(settings->accesslog, STDOUT_FILENO, &access_fd, &err) < 0)
        code = cannot_start(CLI_CONFIG, &err);
    else
        code = origin ? run_master(settings, inherit, origin, &log_fd, &access_fd, &control_path)
                      : run_single(settings, inherit, log_fd, access_fd);
    logfile_close(&access_fd);
    log_init(STDERR_FILENO, settings->loglevel, settings->log_format);
    logfile_close(&log_fd);
    return code;
}

/* In the background, unless this is a successor, which is there already. Whoever started us waits
 * in here, and returns what to exit with. */
static int serve_detached(struct merge_result *r, struct inherit *inherit,
                          const struct origin *origin)
{
    struct err err;
    int code = CLI_OK;
    if (inherit->from == INHERIT_SYSTEMD)
        return refuse(CLI_CONFIG, "daemon: is on, but systemd has started this and watches it; "
                                  "say no");
    int rc = inherit->from == INHERIT_MASTER ? 0 : daemon_start(&code, &err);
    if (rc < 0)
        return refuse(CLI_NO_BOOT, err.text);
    if (rc > 0)
        return code;
    code = serve(r->settings, inherit, &r->warnings, origin);
    daemon_fail(code, "stopped before it was ready");
    return code;
}

static int run(struct merge_result *r, const struct merge_input *in, struct inherit *inherit)
{
    if (r->is_help_wanted) {
        cli_print_help("run", stdout);
        return CLI_OK;
    }
    if (r->n_rest > 0)
        return cli_refuse_argument("run", r->rest[0]);
    if (!r->settings->app)
        return refuse(CLI_USAGE,
                      "which app? `remuda run ./app.so`, or `app: ./app.so` in remuda.yaml");
    cmd_check_settings(r->settings, &r->mistakes);
    if (!mistakes_is_empty(&r->mistakes)) {
        mistakes_print(&r->mistakes, "", stderr);
        successor_tell(&old_master, "failed", r->mistakes.items[0].text);
        return CLI_CONFIG;
    }
    bool is_single = in->options[SINGLE].n_given > 0;
    if (r->settings->daemon && is_single)
        return refuse(CLI_USAGE, "daemon: is on, but --single serves in the foreground; say no, or "
                                 "leave --single out");
    if (is_single)
        return serve(r->settings, inherit, &r->warnings, NULL);
    struct err err;
    struct origin origin;
    int code;
    if (origin_init(&origin, in->argc, in->argv, in->environment, in->options, &err) < 0)
        code = refuse(CLI_NO_BOOT, err.text);
    else
        code = r->settings->daemon ? serve_detached(r, inherit, &origin)
                                   : serve(r->settings, inherit, &r->warnings, &origin);
    origin_fini(&origin);
    return code;
}

int cmd_run(int argc, char **argv)
{
    struct merge_option options[] = {[SINGLE] = {.name = "--single"}, {.name = NULL}};
    struct merge_input in = {
        .argc = argc, .argv = argv, .environment = environ, .options = options};
    struct merge_result r;
    struct inherit inherit;
    struct err err;
    int code;
    if (getpid() == 1)
        signals_hold();
    if (inherit_take(&inherit, &err) < 0) /* before anything is opened */
        return refuse(CLI_BIND, err.text);
    successor_init(&old_master, inherit.handover.talk_fd, inherit.handover.from);
    in.is_again = inherit.from == INHERIT_MASTER;
    if (merge_settings(&in, &r) < 0) {
        merge_print(&r, stderr);
        successor_tell(&old_master, "failed", r.mistakes.n > 0 ? r.mistakes.items[0].text : "");
        code = r.exit_code;
    } else {
        code = run(&r, &in, &inherit);
    }
    merge_fini(&r);
    inherit_fini(&inherit);
    return code;
}
