/* Orders over the control socket. Process: master. */
#include "server/orders.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "server/dump.h"
#include "server/herd.h"
#include "server/profiles.h"
#include "server/reload.h"
#include "server/reopen.h"
#include "server/scale_pool.h"
#include "server/status.h"
#include "server/succession.h"

static void status(void *context, struct json_out *out)
{
    const struct orders *o = context;
    const struct status_about about = {.pid = getpid(),
                                       .herd = o->herd,
                                       .listeners = o->listeners,
                                       .reload = o->reload,
                                       .upgrade = &o->succession->upgrade,
                                       .control_path = o->control.path};
    status_tell(&about, out);
}

static void routes(void *context, struct json_out *out)
{
    const struct orders *o = context;
    profiles_tell(o->herd, out);
}

static int stop(void *context, bool is_quick, struct err *err)
{
    struct orders *o = context;
    enum decide_stage stage = is_quick ? DECIDE_QUICK : DECIDE_GRACEFUL;
    (void)err;
    succession_leave(o->succession, stage, "control");
    return 0;
}

static int reopen(void *context, struct err *err)
{
    struct orders *o = context;
    (void)err;
    reopen_logs(o->reopen, o->herd);
    return 0;
}

static int dump(void *context, int client_fd, struct err *err)
{
    struct orders *o = context;
    const struct status_about about = {.pid = getpid(),
                                       .herd = o->herd,
                                       .listeners = o->listeners,
                                       .reload = o->reload,
                                       .upgrade = &o->succession->upgrade,
                                       .control_path = o->control.path};
    return dump_send(o->herd, &about, client_fd, err);
}

static int begin(void *context, enum control_order order, uint64_t *out_number, struct err *err)
{
    struct orders *o = context;
    if (o->herd->stage != DECIDE_RUNNING)
        return err_set(err, EBUSY, "the server is stopping");
    if (order == CONTROL_UPGRADE)
        return succession_ask(o->succession, "control", true, out_number, err);
    scale_on_reload_asked(o->scale);
    *out_number = reload_ask(o->reload, "control");
    return 0;
}

static int scale(void *context, const char *pool, bool is_relative, int workers,
                 uint32_t *out_workers, struct err *err)
{
    struct orders *o = context;
    const struct scale_wish wish = {is_relative, workers};
    if (o->herd->stage != DECIDE_RUNNING)
        return err_set(err, EBUSY, "the server is stopping");
    if (pool)
        return scale_pool(o->scale, o->herd, pool, wish, out_workers, err);
    *out_workers = scale_workers(o->scale, o->herd, wish, "control");
    return 0;
}

/* Of a reload that was asked for while another waited to begin, the other's is the outcome. */
static bool outcome(void *context, enum control_order order, uint64_t number,
                    struct control_outcome *out)
{
    const struct orders *o = context;
    const struct reload_result *reload = reload_last(o->reload);
    if (order == CONTROL_UPGRADE)
        return succession_outcome(o->succession, number, out);
    *out = (struct control_outcome){.generation = o->herd->current->number};
    if (reload->number >= number) {
        out->is_done = reload->outcome == RELOAD_DONE;
        out->ms = reload->took_us / CLOCK_US_PER_MS;
        out->why = reload->why;
    } else if (o->herd->stage != DECIDE_RUNNING) {
        out->why = "the server stops";
    } else {
        return false;
    }
    return true;
}

int orders_init(struct orders *orders)
{
    const struct control_host host = {.context = orders,
                                      .status = status,
                                      .routes = routes,
                                      .begin = begin,
                                      .outcome = outcome,
                                      .stop = stop,
                                      .reopen = reopen,
                                      .dump = dump,
                                      .scale = scale};
    return control_init(&orders->control, &host);
}

/* A server that cannot be asked serves all the same. */
void orders_open(struct orders *orders, const struct control_path *places)
{
    struct err err;
    char quoted[LOG_QUOTE_MAX + 8];
    if (places->is_off)
        return;
    const char *path = control_path_prepare(places, &err);
    if (path && succession_open_control(orders->succession, &orders->control, path, &err) == 0) {
        path = orders->control.path;
        log_info("control socket", "path=%s", log_quote(quoted, path, strlen(path)));
        return;
    }
    log_warn("no control socket", "why=%s does=\"serve without; name another: control_socket\"",
             log_quote(quoted, err.text, strlen(err.text)));
}
