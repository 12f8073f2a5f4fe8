/* Workers that have done enough: they say so, once, and nobody who is served notices. */
#include <signal.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

/* One process has nobody to replace it: it is logged, and served on. */
static void single_mode_says_it_once_and_serves_on(void **state)
{
    (void)state;
    struct server *s = server_start_args("run", "--single", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0",
                                         "--set", "max_requests=3", NULL);
    server_wait_ready(s);
    for (int i = 0; i < 3; i++)
        free(client_get(s, "/", 200));
    const char *line = server_wait_log(s, "worker is worn");
    CHECK_HAS(line, "max_requests with its jitter is 3");
    CHECK_HAS(line, "nothing: there is no other process");
    for (int i = 0; i < 10; i++)
        free(client_get(s, "/", 200));
    CHECK_EQ(lines_count(&s->log, "worker is worn"), 1);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
}

SERVER_MAIN(SERVER_TEST(single_mode_says_it_once_and_serves_on))
