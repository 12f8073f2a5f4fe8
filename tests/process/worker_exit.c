/* worker_exit is the last that an application hears of in a worker: by then it has got back what it
 * lent to answers under way. */
#include <signal.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static struct reply r;

static void check_order(struct server *s)
{
    struct client *c = client_to(s);
    client_send_text(c, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read_head(c, &r);
    CHECK_EQ(r.status, 200);
    server_skip_log(s);
    server_signal(s, SIGINT);
    (void)server_wait_log_text(s, "probe stream done");
    (void)server_wait_log_text(s, "probe worker exits"); /* searched from there on */
    CHECK_EQ(server_wait_exit(s), 0);
}

static void worker_exit_comes_behind_done(void **state)
{
    (void)state;
    check_order(server_start_app(PROBE_SO, "--workers", "1", NULL));
}

SERVER_MAIN(SERVER_TEST(worker_exit_comes_behind_done))
