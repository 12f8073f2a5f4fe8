/* Nobody who finds names for a backtrace, because a fork is refused or there is no libdw: the
 * frames are told all the same, by module and offset. Injected, so in debug builds only. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define CRASHES_SO REMUDA_TEST_APPS_DIR "/crashes.so"

static struct server *start_with_fault(const char *fault)
{
#ifndef REMUDA_DEBUG
    skip(); /* fault points exist only in debug builds */
#endif
    char variable[64];
    server_let_crash();
    (void)snprintf(variable, sizeof variable, "REMUDA_FAULT=%s", fault);
    const char *args[] = {"run", CRASHES_SO, "--bind", "127.0.0.1:0", "-w", "1", NULL};
    const char *env[] = {variable, NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    s->is_violent = true;
    return s;
}

static void check_told_without_names(struct server *s)
{
    struct client *c = client_to(s);
    client_send_text(c, "GET /null HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_close(c);
    CHECK_HAS(server_wait_log(s, "backtrace"), "names=no");
    const char *frame = server_wait_log(s, "frame");
    CHECK_HAS(frame, "n=0 module=\"" CRASHES_SO "\" offset=0x");
    CHECK_HAS_NOT(frame, "function=");
    free(client_get(s, "/fork", 200));
}

/* In the master the second fork is the coroner's; the loader has one fork refused, too, and tries
 * again. */
static void coroner_can_not_be_forked(void **state)
{
    (void)state;
    struct server *s = start_with_fault("spawn.fork:11:1:1");
    check_told_without_names(s);
    CHECK_HAS(lines_text(&s->log), "names=no why=\"fork: ");
}

static void library_is_not_there(void **state)
{
    (void)state;
    check_told_without_names(start_with_fault("symbols.open:2"));
}

SERVER_MAIN(SERVER_TEST(coroner_can_not_be_forked), SERVER_TEST(library_is_not_there))
