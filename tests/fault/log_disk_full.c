/* The disk under the logs is full: requests are answered as before, nobody dies, and the server
 * stops as it should. */
#include <stdio.h>
#include <sys/stat.h>

#include "tests/harness/client.h"
#include "tests/harness/disk.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

/* /dev/full refuses every octet with ENOSPC, without any privilege. */
static void access_log_that_takes_nothing(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--set", "accesslog=/dev/full", NULL);
    struct load *load = load_start(server_address(s, 0), 16, "/", "hello\n");
    load_wait_answers(load, 3000);
    struct load_result result = load_stop(load);
    load_check(&result, 0);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
}

static void disk_of_64_kib(void **state)
{
    (void)state;
    disk_must_be_possible();
    struct server *s = server_new();
    char folder[256], access_log[300], error_log[300];
    (void)snprintf(folder, sizeof folder, "%s", server_path(s, "disk"));
    (void)snprintf(access_log, sizeof access_log, "accesslog=%s/access.log", folder);
    (void)snprintf(error_log, sizeof error_log, "errorlog=%s/error.log", folder);
    CHECK(mkdir(folder, 0755) == 0);
    char unix_bind[256];
    (void)snprintf(unix_bind, sizeof unix_bind, "unix:%s", server_path(s, "socket"));
    const char *args[] = {"run",     REMUDA_DEMO_SO,   "--workers", "2",     "--bind",
                          unix_bind, "--set",          access_log,  "--set", error_log,
                          "--set",   "loglevel=debug", NULL};
    server_launch(s, &(struct server_options){
                         .args = args, .prepare = disk_mount_small, .prepare_arg = folder});
    /* The log is where nobody else can see it: the socket says when the server is there. */
    (void)snprintf(s->addresses[0], sizeof s->addresses[0], "%s", unix_bind);
    s->n_addresses = 1;
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (client_try(unix_bind) != 0)
        CHECK(patience_turn(deadline));
    struct load *load = load_start(unix_bind, 16, "/hello/somebody-with-a-long-name",
                                   "hello, somebody-with-a-long-name\n");
    load_wait_answers(load, 5000); /* some 100 octets each: the disk is full after 700 */
    struct load_result result = load_stop(load);
    load_check(&result, 0);
}

SERVER_MAIN(SERVER_TEST(access_log_that_takes_nothing), SERVER_TEST(disk_of_64_kib))
