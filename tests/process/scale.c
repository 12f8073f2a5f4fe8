/* TTIN, TTOU and WINCH: one worker more, one fewer, none, and no client notices. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/server.h"

#define CHURN_SO REMUDA_TEST_APPS_DIR "/churn.so"

static struct load *load_on(struct server *s)
{
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 50);
    return l;
}

static void end_load(struct load *l)
{
    load_wait_answers(l, 50);
    struct load_result result = load_finish(l);
    load_check(&result, 0);
}

static long signal_and_wait(struct server *s, int number)
{
    server_signal(s, number);
    return lines_number(server_wait_log(s, "scaling"), "workers");
}

static void one_more_and_one_fewer_under_load(void **state)
{
    (void)state;
    struct server *s = server_start_app(CHURN_SO, "--workers", "2", NULL);
    struct load *l = load_on(s);
    for (int round = 0; round < 5; round++) {
        CHECK_EQ(signal_and_wait(s, SIGTTIN), 3);
        (void)server_wait_log(s, "worker ready slot=2");
        load_wait_answers(l, 30);
        CHECK_EQ(signal_and_wait(s, SIGTTOU), 2);
        (void)server_wait_log(s, "worker ended slot=2");
        load_wait_answers(l, 30);
    }
    end_load(l);
    server_wait_processes(s, 3);
}

/* The sockets of a slot without a worker go on: someone has to accept from them. */
static void slots_without_workers_are_served(void **state)
{
    (void)state;
    struct server *s = server_start_app(CHURN_SO, "--workers", "4", NULL);
    struct load *l = load_on(s);
    for (int n = 3; n >= 1; n--) {
        CHECK_EQ(signal_and_wait(s, SIGTTOU), n);
        (void)server_wait_log(s, "worker ended");
        load_wait_answers(l, 50);
    }
    server_wait_processes(s, 2);
    end_load(l);
    server_signal(s, SIGTTOU);
    (void)server_wait_log(s, "number of workers stays");
    free(client_get(s, "/bytes?n=1", 200));
    server_wait_processes(s, 2);
}

/* Each of them counts, unless the kernel makes one of two. */
static void storm_ends_where_it_began(void **state)
{
    (void)state;
    struct server *s = server_start_app(CHURN_SO, "--workers", "3", NULL);
    struct load *l = load_on(s);
    for (int i = 0; i < 40; i++)
        (void)signal_and_wait(s, i % 2 ? SIGTTOU : SIGTTIN);
    server_wait_processes(s, 4);
    end_load(l);
}

static void reload_goes_back_to_the_configured_number(void **state)
{
    (void)state;
    struct server *s = server_start_app(CHURN_SO, "--workers", "1", NULL);
    struct load *l = load_on(s);
    CHECK_EQ(signal_and_wait(s, SIGTTIN), 2);
    (void)server_wait_log(s, "worker ready slot=1");
    CHECK_EQ(signal_and_wait(s, SIGTTIN), 3);
    (void)server_wait_log(s, "worker ready slot=2");
    server_signal(s, SIGHUP);
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "workers"), 1);
    (void)server_wait_log(s, "generation gone");
    server_wait_processes(s, 2);
    load_wait_answers(l, 50);
    server_signal(s, SIGTTIN);
    (void)server_wait_log(s, "worker ready slot=1");
    end_load(l);
    server_wait_processes(s, 3);
}

static void upgrade_goes_back_to_the_configured_number(void **state)
{
    (void)state;
    struct server *s = server_start_app(CHURN_SO, "--workers", "1", NULL);
    CHECK_EQ(signal_and_wait(s, SIGTTIN), 2);
    (void)server_wait_log(s, "worker ready slot=1");
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master ready");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_succession(s), 0);
    server_wait_processes(s, 2);
    free(client_get(s, "/bytes?n=1", 200));
}

static void winch_leaves_the_master_and_a_reload_brings_workers_back(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "2", NULL);
    struct client *c = client_to(s); /* answered in full */
    client_send_text(c, "GET /stream?n=10&ms=20 HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)client_wait(c);
    CHECK_EQ(signal_and_wait(s, SIGWINCH), 0);
    struct reply r;
    reply_init(&r);
    client_read(c, &r, false);
    CHECK_EQ(r.chunks, 10);
    server_wait_processes(s, 1); /* the loader */
    struct client *waiting = client_to(s);
    client_send_text(waiting, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    client_read(waiting, &r, false);
    CHECK_TEXT(r.body.data, "hello\n");
    server_wait_processes(s, 3);
    CHECK_EQ(signal_and_wait(s, SIGWINCH), 0);
    server_wait_processes(s, 1);
    CHECK_EQ(signal_and_wait(s, SIGTTIN), 1);
    server_wait_processes(s, 2);
    free(client_get(s, "/", 200));
    reply_fini(&r);
}

static void fewer_while_a_worker_dies(void **state)
{
    (void)state;
    struct server *s = server_start_app(CHURN_SO, "--workers", "3", NULL);
    s->is_violent = true;
    for (int round = 0; round < 5; round++) {
        CHECK(kill(server_worker_pid(s, 2), SIGKILL) == 0);
        CHECK_EQ(signal_and_wait(s, SIGTTOU), 2);
        free(client_get(s, "/bytes?n=1", 200));
        CHECK_EQ(signal_and_wait(s, SIGTTIN), 3);
        (void)server_wait_log(s, "worker ready slot=2");
    }
    server_wait_processes(s, 4);
}

SERVER_MAIN(SERVER_TEST(one_more_and_one_fewer_under_load),
            SERVER_TEST(slots_without_workers_are_served), SERVER_TEST(storm_ends_where_it_began),
            SERVER_TEST(reload_goes_back_to_the_configured_number),
            SERVER_TEST(upgrade_goes_back_to_the_configured_number),
            SERVER_TEST(winch_leaves_the_master_and_a_reload_brings_workers_back),
            SERVER_TEST(fewer_while_a_worker_dies))
