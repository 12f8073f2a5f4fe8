/* Checks what an application declares, and runs it. Nothing here knows sockets or processes. */
#include "workers/chain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "http/deferred.h"
#include "http/router_build.h"
#include "workers/mounts.h"

#define TASKS_MAX 1000 /* a guess, far above any: they are told apart by 16 bits */

static struct chain_process current = {.role = "none", .slot = -1};

void chain_set_process(const struct chain_process *process)
{
    current = *process;
}

void chain_set_mounts(const struct mounts *mounts)
{
    current.mounts = mounts;
}

const struct chain_process *chain_get_process(void)
{
    return &current;
}

static int check_tasks(struct app *app, struct err *err)
{
    const rmd_task *tasks = app->decl->tasks;
    for (; tasks && tasks[app->n_tasks].name; app->n_tasks++) {
        const rmd_task *task = &tasks[app->n_tasks];
        if (app->n_tasks == TASKS_MAX)
            return err_set(err, EINVAL, "more than %d tasks", TASKS_MAX);
        if (!task->run)
            return err_set(err, EINVAL, "task \"%.80s\" has no function", task->name);
        if (task->timeout_ms > ROUTER_TIMEOUT_MAX_MS)
            return err_set(
                err, EINVAL,
                "task \"%.80s\": timeout_ms %u; allowed are 0 (the pool's setting) to %u",
                task->name, task->timeout_ms, ROUTER_TIMEOUT_MAX_MS);
        for (size_t i = 0; i < app->n_tasks; i++)
            if (strcmp(tasks[i].name, task->name) == 0)
                return err_set(err, EINVAL, "two tasks are called \"%.80s\"", task->name);
    }
    return 0;
}

int chain_open(struct app *app, const rmd_app *decl, size_t limit_routes, const char *where,
               struct err *err)
{
    *app = (struct app){.decl = decl};
    if (decl->abi != RMD_ABI_VERSION)
        return err_set(err, EINVAL,
                       "%s was built for version %u of remuda's application interface, this server "
                       "has version %d: rebuild it with this server's remuda.h",
                       where, decl->abi, RMD_ABI_VERSION);
    if (decl->app_size < sizeof(rmd_app) || decl->route_size < sizeof(rmd_route) ||
        decl->group_size < sizeof(rmd_group) || decl->task_size < sizeof(rmd_task))
        return err_set(err, EINVAL,
                       "%s: tables of %u, %u, %u and %u bytes where at least %zu, %zu, %zu and "
                       "%zu are needed: define the app with RMD_APP() and rebuild it",
                       where, decl->app_size, decl->route_size, decl->group_size, decl->task_size,
                       sizeof(rmd_app), sizeof(rmd_route), sizeof(rmd_group), sizeof(rmd_task));
    int rc = check_tasks(app, err);
    if (rc == 0)
        rc = router_new(decl, limit_routes, &app->router, err);
    return rc < 0 ? err_wrap(err, "%s", where) : 0;
}

const rmd_task *chain_task(const struct app *app, size_t index)
{
    return index < app->n_tasks ? &app->decl->tasks[index] : NULL;
}

void chain_close(struct app *app)
{
    router_free(app->router);
    app->router = NULL;
    mime_fini(&app->mime);
}

void chain_complain(struct rmd_request *req, const char *what)
{
    char target[LOG_QUOTE_MAX + 8];
    struct str raw = req->head.bytes > 0 ? request_target(req) : STR("");
    log_error("app made a mistake", "what=\"%s\" route=\"%s\" method=%s target=%s trace=%s", what,
              rmd_route_pattern(req), req->method, log_quote(target, raw.p, raw.len),
              rmd_trace_id(req));
}

static void set_allow(const struct app *app, struct rmd_request *req, struct rmd_response *res)
{
    const char *allow = router_allow(app->router, req->match.path, req->arena);
    if (!allow || response_set(res, req->arena, STR("Allow"), str_of(allow), true) < 0)
        log_warn("no memory for an Allow field", "%s", "");
}

void chain_error_why(const struct app *app, struct rmd_request *req, struct rmd_response *res,
                     int status, const char *why)
{
    response_drop_body(res);
    res->status = status;
    res->kind = RESPONSE_NONE;
    if (status == 405 && !response_find(res, STR("Allow"))) /* owed: RFC 9110 §15.5.6 */
        set_allow(app, req, res);
    if (app->decl->error_page && !res->is_error_page) {
        res->is_error_page = true;
        app->decl->error_page(req, res, status);
        res->is_error_page = false;
        if (res->status < 200 || res->status > 599)
            res->status = status;
    }
    if (res->kind == RESPONSE_NONE || res->kind == RESPONSE_EMPTY) /* fields that it set stay */
        response_error_page_why(res, req->arena, res->status, why);
}

void chain_error(const struct app *app, struct rmd_request *req, struct rmd_response *res,
                 int status)
{
    chain_error_why(app, req, res, status, NULL);
}

static void answer_without_route(const struct app *app, struct rmd_request *req,
                                 struct rmd_response *res)
{
    switch (req->outcome) {
    case ROUTER_NOT_ALLOWED:
        chain_error(app, req, res, 405);
        break;
    case ROUTER_OPTIONS:
        set_allow(app, req, res);
        res->status = 204;
        res->kind = RESPONSE_EMPTY;
        break;
    default:
        chain_error(app, req, res, 404);
        break;
    }
}

void chain_finish_file(struct rmd_request *req, struct rmd_response *res, int status,
                       const struct err *err)
{
    if (status == 0)
        return;
    if (err->code != 0) {
        char target[LOG_QUOTE_MAX + 8];
        struct str raw = request_target(req);
        log_error("can't send a file", "reason=\"%s\" target=%s status=%d trace=%s", err->text,
                  log_quote(target, raw.p, raw.len), status, rmd_trace_id(req));
    }
    rmd_error(res, status);
}

static void answer_with_file(const struct mount *mount, struct rmd_request *req,
                             struct rmd_response *res)
{
    struct err err;
    int status = mounts_answer(mount, req, res, &err);
    chain_finish_file(req, res, status, &err);
}

/* What the handler left must be something that can be sent. */
static void check_answer(const struct app *app, struct rmd_request *req, struct rmd_response *res)
{
    if (res->kind == RESPONSE_NONE && res->status == 0) {
        chain_complain(req, "the handler returned without an answer");
        chain_error(app, req, res, 500);
    } else if (res->status < 200 || res->status > 599) {
        chain_complain(req, "status outside 200 to 599");
        chain_error(app, req, res, 500);
    }
}

/* The answer is there: checks it and runs the filters behind it. */
static void complete(const struct app *app, struct rmd_request *req, struct rmd_response *res)
{
    const rmd_app *decl = app->decl;
    const rmd_group *group = req->match.route ? req->match.route->group : NULL;
    req->is_answered = true;
    if (__builtin_expect(res->kind <= RESPONSE_EMPTY || res->status < 200 || res->status > 599, 0))
        check_answer(app, req, res);
    if (group && group->after)
        group->after(req, res);
    if (decl->after)
        decl->after(req, res);
    if ((group && group->after) || decl->after)
        check_answer(app, req, res);
}

void chain_handle(const struct app *app, struct rmd_request *req, struct rmd_response *res)
{
    const rmd_app *decl = app->decl;
    const struct mount *mount = current.mounts ? mounts_choose(current.mounts, req) : NULL;
    if (mount)
        req->match.route = NULL; /* neither its handler nor its group's filters */
    const struct route *route = req->match.route;
    const rmd_group *group = route ? route->group : NULL;
    if (decl->before && decl->before(req, res) != 0)
        ;
    else if (mount)
        answer_with_file(mount, req, res);
    else if (group && group->before && group->before(req, res) != 0)
        ;
    else if (route)
        (req->is_fallback ? route->decl->fallback : route->decl->handler)(req, res);
    else
        answer_without_route(app, req, res);
    if (__builtin_expect(!request_is_put_off(req), 1))
        complete(app, req, res);
}

void chain_consume(const struct app *app, struct rmd_request *req, struct rmd_response *res,
                   struct str piece)
{
    req->consume(req, res, (rmd_slice){piece.p, piece.len}, req->consume_state);
    if (!request_is_put_off(req))
        complete(app, req, res);
}

void chain_answer(const struct app *app, struct rmd_request *req, struct rmd_response *res,
                  const struct rmd_deferred *ticket)
{
    ticket->answer(req, res, ticket->arg);
    if (!request_is_put_off(req))
        complete(app, req, res);
}
