/* `remuda status`: what the running server is doing, for people or, with --json, for programs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json_value.h"
#include "server/cli.h"
#include "server/ctl.h"
#include "server/decisions.h"
#include "server/plain.h"
#include "server/view.h"

enum { JSON, DECISIONS };

static void print_server(const struct view *view)
{
    char up[PLAIN_MAX], age[PLAIN_MAX], n[PLAIN_MAX], rss[PLAIN_MAX], cpu[PLAIN_MAX];
    (void)printf("remuda %s  pid %" PRIu64 "  %s  up %s  generation %" PRIu64 "\n", view->version,
                 view->pid, view->state, plain_age(up, view->uptime_ms), view->generation);
    (void)printf("app      %s\n", view->app);
    if (view->config[0])
        (void)printf("config   %s\n", view->config);
    (void)printf("binds    %s\n", view->binds);
    if (view->admin_pid > 0)
        (void)printf("admin    %s (pid %" PRIu64 ", memory %s)\n", view->admin, view->admin_pid,
                     plain_bytes(rss, view->admin_rss_bytes));
    else if (view->admin[0])
        (void)printf("admin    %s: its process is down\n", view->admin);
    (void)printf("workers  %" PRIu64 " of %" PRIu64 " ready", view->workers_ready,
                 view->workers_wanted);
    if (view->workers_hung > 0)
        (void)printf(", %" PRIu64 " hung", view->workers_hung);
    (void)printf("; master: memory %s, CPU %s\n", plain_bytes(rss, view->rss_bytes),
                 plain_us(cpu, view->cpu_ms * 1000));
    (void)printf("served   %s requests", plain_count(n, view->requests));
    (void)printf(", of them %s answered 5xx; ", plain_count(n, view->errors));
    (void)printf("%s connections open\n", plain_count(n, view->connections));
    if (view->shed > 0)
        (void)printf("shed     %s (queue_target)\n", plain_count(n, view->shed));
    if (view->refused > 0)
        (void)printf("refused  %s (queue full)\n", plain_count(n, view->refused));
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
                 plain_us(p99, meter_quantile(w->recent, 990)),
                 w->has_loop ? plain_us(lag, view_lag_us(w)) : "-", plain_bytes(rss, w->rss_bytes),
                 plain_us(cpu, w->cpu_ms * 1000), plain_age(up, w->uptime_ms));
    if (w->has_request)
        (void)printf("  %s, for %s", w->request, plain_us(elapsed, w->elapsed_ms * 1000));
    if (w->inflight > 1)
        (void)printf(" (%" PRIu64 " wait)", w->inflight);
    if (w->call_us >= VIEW_LONG_CALL_US)
        (void)printf("; %s has held its loop for %s", w->call, plain_us(elapsed, w->call_us));
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

/* The last one first, each with the figures that decided below it. */
static void print_decisions(struct str array)
{
    struct str at = {0};
    struct str value;
    char texts[6][DECISIONS_FIGURES_BYTES];
    static const char *const names[6] = {"kind", "about", "from", "to", "why", "figures"};
    char age[PLAIN_MAX];
    bool is_any = false;
    while (json_value_next(array, &at, NULL, &value)) {
        uint64_t age_ms;
        if (json_value_u64(json_value_find(value, "age_ms"), UINT64_MAX, &age_ms) < 0)
            age_ms = 0;
        for (size_t i = 0; i < 6; i++)
            (void)plain_text(texts[i], sizeof texts[i], json_value_find(value, names[i]),
                             PLAIN_ANY);
        (void)printf("%8s ago  %s %s: %s -> %s, %s\n              %s\n", plain_age(age, age_ms),
                     texts[0], texts[1], texts[2], texts[3], texts[4], texts[5]);
        is_any = true;
    }
    if (!is_any)
        (void)printf("nothing has been decided since the start\n");
}

static int print_part(struct str answer, bool wants_json)
{
    struct str decisions = json_value_find(answer, "decisions");
    if (wants_json)
        (void)printf("%.*s\n", STR_ARG(decisions));
    else
        print_decisions(decisions);
    return CLI_OK;
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
    struct merge_option options[] = {
        [JSON] = {.name = "--json"}, [DECISIONS] = {.name = "--decisions"}, {.name = NULL}};
    struct ctl ctl;
    struct str answer;
    int code;
    if (ctl_begin(&ctl, "status", argc, argv, options, 0, &code)) {
        code = ctl_connect(&ctl);
        if (code == 0)
            code = ctl_ask(&ctl, "{\"request\":\"status\"}", &answer);
        if (code == 0)
            code = (options[DECISIONS].n_given > 0 ? print_part : print_answer)(
                answer, options[JSON].n_given > 0);
    }
    ctl_end(&ctl);
    return code;
}
