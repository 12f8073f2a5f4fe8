/* An application inside a worker: its tables, checked, and the chain of calls that answers a
 * request: app.before, group.before, handler, group.after, app.after; for a path that belongs to a
 * folder which the settings mount: app.before, file, app.after. */
#ifndef REMUDA_WORKERS_CHAIN_H
#define REMUDA_WORKERS_CHAIN_H

#include <stdbool.h>

#include "http/mime.h"
#include "http/request.h"
#include "http/response.h"
#include "http/router.h"
#include "include/remuda.h"

struct err;
struct mounts;
struct settings_node;

struct app {
    const rmd_app *decl;   /* the application's; as long as it is loaded */
    struct router *router; /* owned */
    size_t n_tasks;        /* in decl->tasks */
    struct mime mime;      /* of the system, where the loader has read them; else empty */
};

/* Checks ABI and tables and builds the router. where: path of the app, for messages.
 * Returns  0; -EINVAL, -ENOMEM with the reason in *err */
int chain_open(struct app *app, const rmd_app *decl, size_t limit_routes, const char *where,
               struct err *err) __attribute__((warn_unused_result));
void chain_close(struct app *app);

/* A row of the app's task table. NULL: there are not so many */
const rmd_task *chain_task(const struct app *app, size_t index);

/* The hooks of the connection machine (struct conn_hooks) that run application code. */
void chain_handle(const struct app *app, struct rmd_request *req, struct rmd_response *res);
void chain_consume(const struct app *app, struct rmd_request *req, struct rmd_response *res,
                   struct str piece);
void chain_answer(const struct app *app, struct rmd_request *req, struct rmd_response *res,
                  const struct rmd_deferred *ticket);
void chain_error(const struct app *app, struct rmd_request *req, struct rmd_response *res,
                 int status);

/* Likewise. why: what the server's own page says behind the status; NULL: nothing */
void chain_error_why(const struct app *app, struct rmd_request *req, struct rmd_response *res,
                     int status, const char *why);

/* What rmd_role(), rmd_slot(), rmd_generation(), rmd_config_…() and rmd_error() tell the
 * application; set once per process, before any of its code runs.
 * role, config, config_file, app: borrowed for the life of the process. config may be NULL */
struct chain_process {
    const char *role;
    int slot;
    int generation;
    const struct settings_node *config;
    const char *config_file;     /* for messages, NULL none */
    const struct app *app;       /* whose error page rmd_error() asks */
    const struct mounts *mounts; /* folders that the settings mount; NULL: none */
};
void chain_set_process(const struct chain_process *process);
const struct chain_process *chain_get_process(void);

/* Folders are opened later than the rest is known. */
void chain_set_mounts(const struct mounts *mounts);

/* What files_answer() and its like returned: makes the page of a status that is not 0, and says in
 * the log what it was where that is the server's trouble. */
void chain_finish_file(struct rmd_request *req, struct rmd_response *res, int status,
                       const struct err *err);

/* A line about an app's mistake in the log, with the request it happened in. */
void chain_complain(struct rmd_request *req, const char *what);

#endif
