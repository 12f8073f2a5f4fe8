/* A server that sees no /proc, in a chroot(2) or a bare sandbox: what it lacks it does without. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define CANNOT 125

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NEEDS_PROC true /* sanitizers read /proc/self/maps */
#else
#define NEEDS_PROC false
#endif

static void hide_proc(void *unused)
{
    (void)unused;
    if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/proc", "tmpfs", 0, NULL) < 0)
        _exit(CANNOT);
}

static void serves_without_proc(void **state)
{
    (void)state;
    if (NEEDS_PROC)
        skip(); /* the sanitizer does, to begin with */
    const char *const args[] = {"run",   REMUDA_DEMO_SO,           "-b", "127.0.0.1:0", "-w", "2",
                                "--set", "compute.memory_limit=0", NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .prepare = hide_proc});
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (!lines_find_last(&s->log, "ready") && s->log.fd >= 0 && patience_turn(deadline))
        (void)lines_take(&s->log);
    if (s->log.fd < 0 && s->log.text.len == 0) {
        CHECK_EQ(server_wait_exit(s), CANNOT);
        s->is_violent = true;
        print_message("skipped: no mount namespace can be made here\n");
        skip();
    }
    server_wait_ready(s);
    CHECK_HAS(lines_text(&s->log), "app loaded from its path");
    free(client_get(s, "/", 200));
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* A limit that can't be set is no limit: better no server. */
static void memory_can_not_be_limited_without_proc(void **state)
{
    (void)state;
    if (NEEDS_PROC)
        skip(); /* the sanitizer does, to begin with */
    const char *const args[] = {"run", REMUDA_DEMO_SO, "-b", "127.0.0.1:0", "-w", "1", NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .prepare = hide_proc});
    s->is_violent = true;
    int code = server_wait_exit(s);
    if (code == CANNOT)
        skip(); /* no mount namespace can be made here */
    CHECK_EQ(code, 4);
    CHECK_HAS(lines_text(&s->log), "mount /proc, or say memory_limit: 0");
}

SERVER_MAIN(SERVER_TEST(serves_without_proc), SERVER_TEST(memory_can_not_be_limited_without_proc))
