/* `remuda dump`: what is in it of requests in every lane, of connections and allocators; and that
 * it comes also from a server whose workers all stand still, who stay as they were. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define LANES_SO REMUDA_TEST_APPS_DIR "/lanes.so"

static struct server *start(void)
{
    return server_start_app(LANES_SO, "--workers", "1", "--set", "compute.workers=1", NULL);
}

/* Runs `remuda dump FILE` in the server's folder. Returns the text; free() */
static char *dump(struct server *s, const char *file)
{
    struct stat st;
    const char *path = server_path(s, file);
    struct server *command =
        server_start_args("dump", "--control-socket", server_path(s, "control"), path, NULL);
    CHECK_EQ(server_run(command), 0);
    CHECK_HAS(lines_text(&command->out), path);
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    char *text = calloc(1, (size_t)st.st_size + 1);
    FILE *f = fopen(path, "re");
    CHECK(text && f && fread(text, 1, (size_t)st.st_size, f) == (size_t)st.st_size);
    (void)fclose(f);
    CHECK_HAS(text, "\n== end\n");
    return text;
}

static struct client *send_waiting(struct server *s)
{
    char request[512];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request,
                   "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\nX-Request-ID: sleeper\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(c, request);
    (void)server_wait_log(s, "lanes waits");
    return c;
}

static void expect_answer(struct server *s, struct client *c)
{
    struct reply r;
    reply_init(&r);
    (void)server_write_file(s, "go", "");
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "it came, in time\n");
    reply_fini(&r);
}

static void everything_is_in_it(void **state)
{
    (void)state;
    struct server *s = start();
    struct client *c = send_waiting(s);
    char *text = dump(s, "d");
    char head[64];
    (void)snprintf(head, sizeof head, "== status\n{\"pid\":%d,", (int)s->pid);
    CHECK_HAS(text, head);
    CHECK_HAS(text, "== settings\n");
    CHECK_HAS(text, "== web worker slot=0 ");
    CHECK_HAS(text, "== compute worker slot=0 ");
    CHECK_HAS(text, "== loader ");
    CHECK_HAS(text, "phase=io tid=");
    CHECK_HAS(text, "connection peer=127.0.0.1:");
    CHECK_HAS(text, "state=away");
    CHECK_HAS(text, "connections open=1 told=1\n");
    CHECK_HAS(text, "allocator arena_bytes=");
    if (strstr(text, "libdw=yes"))
        CHECK_HAS(text, "lanes.so\" offset=0x"); /* names may be late where everything is */
    free(text);
    expect_answer(s, c);
}

/* The allocator and the connections are missing then, and it says so. */
static void it_comes_from_workers_that_stand_still(void **state)
{
    (void)state;
    pid_t pids[PROCS_MAX];
    struct server *s = start();
    struct client *c = send_waiting(s);
    size_t n = procs_below(s->pid, pids);
    for (size_t i = 0; i < n; i++)
        (void)kill(pids[i], SIGSTOP);
    char *text = dump(s, "d");
    CHECK_HAS(text, "no answer: it hangs, is stopped, or has a task in hand");
    CHECK_HAS(text, " state=T");
    if (strstr(text, "libdw=yes"))
        CHECK_HAS(text, "lanes.so\" offset=0x"); /* names may be late where everything is */
    free(text);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(procs_state(pids[i]), 'T');
        (void)kill(pids[i], SIGCONT);
    }
    expect_answer(s, c);
}

/* What the dead have counted lies where the master's children can't read. */
static void the_dead_are_counted_in_it(void **state)
{
    (void)state;
    struct server *s = start();
    free(client_get(s, "/loop", 200));
    s->is_violent = true;
    CHECK_EQ(kill(server_worker_pid(s, 0), SIGKILL), 0);
    (void)server_wait_log(s, "worker died");
    (void)server_wait_log(s, "worker ready");
    char *text = dump(s, "d");
    CHECK_HAS(text, "\"requests\":1,");
    free(text);
}

/* A file that is there is somebody's. */
static void it_overwrites_nothing(void **state)
{
    (void)state;
    struct server *s = start();
    (void)server_write_file(s, "d", "mine");
    struct server *command = server_start_args(
        "dump", "--control-socket", server_path(s, "control"), server_path(s, "d"), NULL);
    CHECK_EQ(server_run(command), 1);
    CHECK_HAS(lines_text(&command->log), "File exists");
}

static void half_of_it_is_in_nobodys_way(void **state)
{
    (void)state;
    struct stat st;
    pid_t pids[PROCS_MAX];
    struct server *s = start();
    size_t n = procs_below(s->pid, pids);
    const char *path = server_path(s, "d");
    uint64_t deadline = patience_until(PATIENCE_MS);
    CHECK_EQ(kill(s->pid, SIGSTOP), 0);
    struct server *command =
        server_start_args("dump", "--control-socket", server_path(s, "control"), path, NULL);
    while (stat(path, &st) < 0)
        CHECK(patience_turn(deadline));
    server_signal(command, SIGINT);
    CHECK_EQ(server_wait_exit(command), 128 + SIGINT);
    CHECK(stat(path, &st) < 0);
    CHECK_EQ(kill(s->pid, SIGCONT), 0);
    do { /* the first one's request was in the master's queue: it may be at that just now */
        while (procs_below(s->pid, pids) > n)
            CHECK(patience_turn(deadline));
        command =
            server_start_args("dump", "--control-socket", server_path(s, "control"), path, NULL);
    } while (server_run(command) != 0 && strstr(lines_text(&command->log), "written already"));
    CHECK_EQ(stat(path, &st), 0);
}

SERVER_MAIN(SERVER_TEST(everything_is_in_it), SERVER_TEST(it_comes_from_workers_that_stand_still),
            SERVER_TEST(the_dead_are_counted_in_it), SERVER_TEST(it_overwrites_nothing),
            SERVER_TEST(half_of_it_is_in_nobodys_way))
