#include "tests/harness/churn.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/harness/patience.h"

#define CHURN_CLIENTS 20
#define CHURN_CLIENTS_SYNC 8 /* a worker serves one at a time */
#define CHURN_PACE_US 8000

/* Never a half-written file: a reload may look at any moment. drain_keepalive is short, so that
 * resting connections meet its end: some are closed unasked, as they may be. */
void churn_configure(struct churn *c, const char *yaml)
{
    char text[2048];
    const char *folder = c->s->folder;
    (void)snprintf(text, sizeof text,
                   "bind: [\"127.0.0.1:0\", \"unix:%s/socket\"]\nworker_class: %s\n"
                   "drain_keepalive: 150ms\npidfile: %s/pid\naccesslog: %s/access.log\n"
                   "access_log_format: \"%%(s)s %%(U)s\"\n%s",
                   folder, c->worker_class, folder, folder, yaml);
    char path[256];
    (void)snprintf(path, sizeof path, "%s", server_path(c->s, "remuda.yaml"));
    CHECK(rename(server_write_file(c->s, "remuda.yaml.new", text), path) == 0);
}

void churn_begin(struct churn *c, const char *what, const char *worker_class, const char *yaml)
{
    *c = (struct churn){.what = what, .worker_class = worker_class, .s = server_new()};
    churn_configure(c, yaml);
    const char *args[] = {"run", "-c", server_path(c->s, "remuda.yaml"),
                          REMUDA_TEST_APPS_DIR "/churn.so", NULL};
    server_launch(c->s, &(struct server_options){.args = args});
    server_wait_ready(c->s);
    c->begun_us = clock_now_us();
    unsigned clients = strcmp(worker_class, "sync") == 0 ? CHURN_CLIENTS_SYNC : CHURN_CLIENTS;
    uint64_t seed = c->begun_us;
    for (size_t i = 0; i < CHURN_LOADS; i++)
        c->loads[i] = load_start_mixed(server_address(c->s, i), clients, seed + i, CHURN_PACE_US);
    if (patience_is_long())
        wrk_start(&c->wrk, server_address(c->s, 0), "/hello/wrk");
    churn_wait_answers(c, 100);
}

void churn_wait_answers(struct churn *c, unsigned long more)
{
    for (size_t i = 0; i < CHURN_LOADS; i++)
        load_wait_answers(c->loads[i], more);
    (void)lines_take(&c->s->log);
}

void churn_wait_workers(struct churn *c, unsigned n)
{
    server_wait_processes(c->s, n + 1);
}

/* Lines of the access log: of answers with 200, others, and wrk's. */
static unsigned long count_lines(const struct server *s, unsigned long *out_others)
{
    char line[512];
    unsigned long right = 0;
    FILE *file = fopen(server_path(s, "access.log"), "re");
    CHECK(file != NULL);
    *out_others = 0;
    while (fgets(line, sizeof line, file))
        if (!strstr(line, "/hello/wrk"))
            strncmp(line, "200 ", 4) == 0 ? right++ : ++*out_others;
    (void)fclose(file);
    return right;
}

static void print_row(const struct churn *c, const struct load_result *r,
                      const struct wrk_result *wrk)
{
    char of_wrk[64] = "–";
    if (wrk->has_run)
        (void)snprintf(of_wrk, sizeof of_wrk, "%lu, %lu failed", wrk->requests, wrk->errors);
    (void)printf("| %s | %s | %u | %lu | %lu | %lu | %lu | %lu | %lu | %lu | %lu | %lu | %s | "
                 "%llu s |\n",
                 c->what, c->worker_class, c->times, r->answered, r->opened, r->broken + r->refused,
                 r->truncated, r->unasked, r->wrong, r->raced, r->parted, r->put_back, of_wrk,
                 (unsigned long long)((clock_now_us() - c->begun_us) / CLOCK_US_PER_S));
    (void)fflush(stdout);
}

void churn_end(struct churn *c)
{
    static struct load_result results[CHURN_LOADS];
    static struct load_result sum;
    unsigned long others;
    memset(&sum, 0, sizeof sum);
    churn_wait_answers(c, 100);
    struct wrk_result wrk = wrk_stop(&c->wrk);
    for (size_t i = 0; i < CHURN_LOADS; i++) {
        results[i] = load_finish(c->loads[i]);
        load_add(&sum, &results[i]);
    }
    print_row(c, &sum, &wrk);
    for (size_t i = 0; i < CHURN_LOADS; i++)
        load_check_victims(&results[i], NULL, 0);
    CHECK_SAYING(wrk.errors == 0, "wrk: %lu failed, %s", wrk.errors, wrk.first);
    server_signal(c->s, SIGTERM);
    CHECK_EQ(server_wait_exit(c->s), 0);
    CHECK_EQ(count_lines(c->s, &others), sum.answered);
    CHECK_EQ(others, 0);
}
