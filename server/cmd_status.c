/* `remuda status`: what the running server is doing, for people or, with --json, for programs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/cli.h"
#include "server/ctl.h"
#include "server/plain.h"
#include "server/view.h"

enum { JSON };

static void print_server(const struct view *view)
{
    char up[PLAIN_MAX], age[PLAIN_MAX], n[PLAIN_MAX], rss[PLAIN_MAX], cpu[PLAIN_MAX];
    (void)printf("remuda %s  pid %" PRIu64 "  %s  up %s  generation %" PRIu64 "\n", view->version,
                 view->pid, view->state, plain_age(up, view->uptime_ms), view->generation);
    (void)printf("app      %s\n", view->app);
    if (view->config[0])
        (void)printf("config   %s\n", view->config);
    (void)printf("binds    %s\n", view->binds);
    (void)printf("workers  %" PRIu64 " of %" PRIu64 " ready; master: memory %s, CPU %s\n",
                 view->workers_ready, view->workers_wanted, plain_bytes(rss, view->rss_bytes),
                 plain_us(cpu, view->cpu_ms * 1000));
    (void)printf("served   %s requests", plain_count(n, view->requests));
    (void)printf(", of them %s answered 5xx; ", plain_count(n, view->errors));
    (void)printf("%s connections open\n", plain_count(n, view->connections));
    if (view->log_dropped > 0)
        (void)printf("log      %s bytes of the access log were dropped: nobody read them\n",
                     plain_count(n, view->log_dropped));
    if (view->has_reload)
        (void)printf("reload   the last one: %s, %s ago%s%s\n", view->reload_outcome,
                     plain_age(age, view->reload_age_ms), view->reload_why[0] ? ": " : "",
                     view->reload_why);
}

static void print_worker(const struct view_worker *w)
{
    char up[PLAIN_MAX], cpu[PLAIN_MAX], rss[PLAIN_MAX], p50[PLAIN_MAX], p99[PLAIN_MAX];
    char lag[PLAIN_MAX], requests[PLAIN_MAX], elapsed[PLAIN_MAX];
    (void)printf("%4" PRIu64 " %7" PRIu64 " %4" PRIu64 " %-8s %6" PRIu64 " %11s %6s %6s %6s %6s "
                 "%6s %6s",
                 w->slot, w->pid, w->generation, w->state, w->connections,
                 plain_count(requests, w->requests), plain_us(p50, meter_quantile(w->recent, 500)),
                 plain_us(p99, meter_quantile(w->recent, 990)), plain_us(lag, w->lag_us),
                 plain_bytes(rss, w->rss_bytes), plain_us(cpu, w->cpu_ms * 1000),
                 plain_age(up, w->uptime_ms));
    if (w->has_request)
        (void)printf("  %s, for %s", w->request, plain_us(elapsed, w->elapsed_ms * 1000));
    if (w->inflight > 1)
        (void)printf(" (%" PRIu64 " wait)", w->inflight);
    (void)putchar('\n');
}

/* "18 answered, 2 crash; each waited 1.2ms, ran 20.1ms, took 19.9ms of CPU; memory at most 12M" */
static void print_account(const struct account_sums *account)
{
    char n[PLAIN_MAX], wait[PLAIN_MAX], wall[PLAIN_MAX], cpu[PLAIN_MAX], peak[PLAIN_MAX];
    const uint64_t *numbers = account->numbers;
    uint64_t n_tasks = account_tasks(account);
    bool is_first = true;
    for (size_t i = 0; i < ACCOUNT_ENDS; i++) {
        if (numbers[i] > 0)
            (void)printf("%s%s %s", is_first ? "" : ", ", plain_count(n, numbers[i]),
                         account_names[i]);
        is_first &= numbers[i] == 0;
    }
    (void)printf("; on average %s waiting, %s running, %s of CPU; memory at most %s\n",
                 plain_us(wait, numbers[ACCOUNT_WAIT_US] / n_tasks),
                 plain_us(wall, numbers[ACCOUNT_WALL_US] / n_tasks),
                 plain_us(cpu, numbers[ACCOUNT_CPU_US] / n_tasks),
                 plain_bytes(peak, numbers[ACCOUNT_PEAK_BYTES]));
}

static void print_pool(const struct view_pool *pool)
{
    char waiting[PLAIN_MAX], limit[PLAIN_MAX];
    (void)printf("pool     %s: %" PRIu64 " of %" PRIu64
                 " compute workers ready; %s of %s tasks wait\n",
                 pool->name, pool->workers_ready, pool->workers_wanted,
                 plain_count(waiting, pool->queued), plain_count(limit, pool->queue));
    if (account_tasks(&pool->account) > 0) {
        (void)printf("         ");
        print_account(&pool->account);
    }
}

static void print_breaker(const struct view_breaker *breaker)
{
    char failures[PLAIN_MAX], age[PLAIN_MAX];
    (void)printf("breaker  %s: %s", breaker->route, breaker->state);
    if (breaker->open_ms > 0)
        (void)printf(" for %s", plain_age(age, breaker->open_ms));
    if (breaker->failures > 0)
        (void)printf(", %s failure%s in a row", plain_count(failures, breaker->failures),
                     breaker->failures == 1 ? "" : "s");
    (void)putchar('\n');
}

static void print_compute_worker(const struct view_worker *w)
{
    char up[PLAIN_MAX], cpu[PLAIN_MAX], rss[PLAIN_MAX], tasks[PLAIN_MAX], elapsed[PLAIN_MAX];
    (void)printf("%-12s %4" PRIu64 " %7" PRIu64 " %4" PRIu64 " %-8s %11s %6s %6s %6s", w->pool,
                 w->slot, w->pid, w->generation, w->state, plain_count(tasks, w->requests),
                 plain_bytes(rss, w->rss_bytes), plain_us(cpu, w->cpu_ms * 1000),
                 plain_age(up, w->uptime_ms));
    if (w->has_request)
        (void)printf("  %s, for %s", w->request, plain_us(elapsed, w->elapsed_ms * 1000));
    (void)putchar('\n');
}

static void print_view(const struct view *view)
{
    print_server(view);
    for (size_t i = 0; i < view->n_pools; i++)
        print_pool(&view->pools[i]);
    for (size_t i = 0; i < view->n_routes; i++) {
        (void)printf("tasks    %s: ", view->routes[i].name);
        print_account(&view->routes[i].account);
    }
    for (size_t i = 0; i < view->n_breakers; i++)
        print_breaker(&view->breakers[i]);
    (void)printf("\n%4s %7s %4s %-8s %6s %11s %6s %6s %6s %6s %6s %6s  %s\n", "SLOT", "PID", "GEN",
                 "STATE", "CONN", "REQUESTS", "P50", "P99", "LAG", "MEM", "CPU", "UP", "REQUEST");
    for (size_t i = 0; i < view->n_web; i++)
        print_worker(&view->workers[i]);
    if (view->n_workers > view->n_web)
        (void)printf("\n%-12s %4s %7s %4s %-8s %11s %6s %6s %6s  %s\n", "POOL", "SLOT", "PID",
                     "GEN", "STATE", "TASKS", "MEM", "CPU", "UP", "REQUEST");
    for (size_t i = view->n_web; i < view->n_workers; i++)
        print_compute_worker(&view->workers[i]);
}

static int print_answer(struct str answer, bool wants_json)
{
    struct view view;
    if (wants_json) {
        (void)printf("%.*s\n", STR_ARG(answer));
        return CLI_OK;
    }
    if (view_read(&view, answer) < 0) {
        (void)fprintf(stderr, "remuda status: %s\n", strerror(ENOMEM));
        return CLI_CONFIG;
    }
    print_view(&view);
    view_fini(&view);
    return CLI_OK;
}

int cmd_status(int argc, char **argv)
{
    struct merge_option options[] = {[JSON] = {.name = "--json"}, {.name = NULL}};
    struct ctl ctl;
    struct str answer;
    int code;
    if (ctl_begin(&ctl, "status", argc, argv, options, 0, &code)) {
        code = ctl_connect(&ctl);
        if (code == 0)
            code = ctl_ask(&ctl, "{\"request\":\"status\"}", &answer);
        if (code == 0)
            code = print_answer(answer, options[JSON].n_given > 0);
    }
    ctl_end(&ctl);
    return code;
}
