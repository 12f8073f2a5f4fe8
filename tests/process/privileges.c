/* What the processes of the app are and may do: their environment, user and groups, capabilities,
 * no_new_privs; as the kernel says, from within and from outside. */
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define SELF_SO REMUDA_TEST_APPS_DIR "/self.so"
#define CAP_NET_BIND_SERVICE 10 /* linux/capability.h */

static void only_as_root(void)
{
    if (geteuid() != 0)
        skip();
}

/* /proc/PID/status, to be freed. */
static char *status_of(pid_t pid)
{
    char path[64];
    char *text = calloc(1, 8192);
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    CHECK(text != NULL && file != NULL);
    CHECK(fread(text, 1, 8191, file) > 0);
    (void)fclose(file);
    return text;
}

/* All five sets are empty, or as asked. */
static void check_capabilities(const char *status, const char *bounding)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapAmb"};
    char line[64];
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        (void)snprintf(line, sizeof line, "%s:\t0000000000000000\n", sets[i]);
        CHECK_HAS(status, line);
    }
    if (bounding) {
        (void)snprintf(line, sizeof line, "CapBnd:\t%s\n", bounding);
        CHECK_HAS(status, line);
    }
}

/* Of a worker that answers, and of its loader, which is the same as seen from outside. */
static void check_both(struct server *s, const char *line)
{
    char *worker = client_get(s, "/status", 200);
    char *loader = status_of((pid_t)lines_number(lines_find_last(&s->log, "loader ready"), "pid"));
    CHECK_HAS(worker, line);
    CHECK_HAS(loader, line);
    free(worker);
    free(loader);
}

static void variables_are_there_before_the_app_is_loaded(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *path =
        server_write_file(s, "env.yaml", "env: {SELF_TEST: from the file, A: one}\n");
    const char *const args[] = {"run", SELF_SO, "-c",  path, "-b", "127.0.0.1:0", "-w",
                                "1",   "--env", "A=2", "-e", "B=", NULL};
    const char *const env[] = {"SELF_TEST=from outside", "C=inherited", NULL};
    server_launch(s, &(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    static const char *const expected[][2] = {
        {"A", "value=2 load=from the file init=from the file\n"},
        {"B", "value= load="},
        {"C", "value=inherited load="},
        {"D", "value=unset load="},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        char target[64];
        (void)snprintf(target, sizeof target, "/environment?name=%s", expected[i][0]);
        char *answer = client_get(s, target, 200);
        CHECK_HAS(answer, expected[i][1]);
        free(answer);
    }
}

static void the_app_called_without_a_server_has_them_too(void **state)
{
    (void)state;
    struct server *s = server_start_args("call", "-e", "SELF_TEST=called", SELF_SO, "GET",
                                         "/environment?name=SELF_TEST", NULL);
    CHECK_EQ(server_run(s), 0);
    CHECK_HAS(lines_text(&s->out), "value=called load=called init=called");
}

static void nothing_gets_more_rights_than_the_app_has(void **state)
{
    (void)state;
    struct server *s = server_start_app(SELF_SO, "--workers", "1", NULL);
    check_both(s, "NoNewPrivs:\t1\n");
    char *master = status_of(s->pid);
    CHECK_HAS(master, "NoNewPrivs:\t0\n"); /* else an upgrade could not */
    free(master);
}

static void unless_the_app_needs_it(void **state)
{
    (void)state;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0)
        skip(); /* it was forbidden to us already */
    struct server *s = server_start_app(SELF_SO, "--workers", "1", "--no-no-new-privs", NULL);
    check_both(s, "NoNewPrivs:\t0\n");
}

static void a_worker_has_no_capabilities_not_even_as_root(void **state)
{
    (void)state;
    only_as_root();
    struct server *s = server_start_app(SELF_SO, "--workers", "1", NULL);
    CHECK_HAS(lines_text(&s->log), "workers run as root capabilities=none");
    char *worker = client_get(s, "/status", 200);
    CHECK_HAS(worker, "Uid:\t0\t0\t0\t0\n");
    check_capabilities(worker, "0000000000000000");
    char *master = status_of(s->pid);
    CHECK_HAS_NOT(master, "CapEff:\t0000000000000000\n");
    free(worker);
    free(master);
}

static void unless_they_are_to_be_kept(void **state)
{
    (void)state;
    only_as_root();
    struct server *s = server_start_app(SELF_SO, "--workers", "1", "--capabilities", "keep", NULL);
    CHECK_HAS(lines_text(&s->log), "workers run as root capabilities=kept");
    char *worker = client_get(s, "/status", 200);
    CHECK_HAS_NOT(worker, "CapEff:\t0000000000000000\n");
    CHECK_HAS_NOT(worker, "CapBnd:\t0000000000000000\n");
    free(worker);
}

static void another_user_has_its_own_groups_and_nothing_else(void **state)
{
    (void)state;
    only_as_root();
    struct server *s = server_start_app(SELF_SO, "--workers", "1", "--user", "61234", "--group",
                                        "61235", "--loglevel", "debug", NULL);
    check_both(s, "Uid:\t61234\t61234\t61234\t61234\n");
    check_both(s, "Gid:\t61235\t61235\t61235\t61235\n");
    check_both(s, "Groups:\t61235 \n");
    CHECK_HAS_NOT(lines_text(&s->log), "workers run as root");
    CHECK_HAS(lines_text(&s->log), "privileges uid=61234 gid=61235 groups=1 effective=0");
    char *worker = client_get(s, "/status", 200);
    check_capabilities(worker, "0000000000000000");
    free(worker);
    pid_t pid = server_worker_pid(s, 0); /* the master still has the right to end it */
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(!procs_is_alive(pid));
}

/* As systemd's AmbientCapabilities= and User= do: a user with the one capability that it takes. */
static void become_one_who_may_bind(void *unused)
{
    (void)unused;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(61235, 61235, 61235) < 0)
        _exit(125);
    const char *const args[] = {"setpriv",
                                "--reuid=61234",
                                "--inh-caps=-all,+net_bind_service",
                                "--ambient-caps=-all,+net_bind_service",
                                REMUDA_BINARY,
                                "run",
                                SELF_SO,
                                "-b",
                                "127.0.0.1:81",
                                "-w",
                                "1",
                                NULL};
    (void)execvp("setpriv", (char *const *)args);
}

static void a_capability_of_the_master_is_not_passed_on(void **state)
{
    (void)state;
    only_as_root();
    struct server *s = server_new();
    CHECK(chown(s->folder, 61234, 61235) == 0);
    server_launch(s, &(struct server_options){.prepare = become_one_who_may_bind});
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (!lines_find_last(&s->log, "ready") && s->log.fd >= 0 && patience_turn(deadline))
        (void)lines_take(&s->log);
    const char *log = lines_text(&s->log);
    if (s->log.fd < 0 && (!*log || strstr(log, "in use") || strstr(log, "ermission denied"))) {
        (void)server_wait_exit(s);
        s->is_violent = true;
        skip(); /* no setpriv(1), a port that is taken, a tree that not everybody may read */
    }
    server_wait_ready(s);
    char *master = status_of(s->pid);
    char bit[32];
    (void)snprintf(bit, sizeof bit, "CapAmb:\t%016x\n", 1U << CAP_NET_BIND_SERVICE);
    CHECK_HAS(master, bit);
    char *worker = client_get(s, "/status", 200);
    CHECK_HAS(worker, "Uid:\t61234\t");
    check_capabilities(worker, NULL);
    free(worker);
    free(master);
}

/* umask is for unix sockets only; the app's files have the one that the server was started with. */
static void umask_is_that_of_unix_sockets(void **state)
{
    (void)state;
    struct server *s = server_new();
    struct stat st;
    char bind[128];
    (void)snprintf(bind, sizeof bind, "unix:%s", server_path(s, "app.sock"));
    const char *const args[] = {"run", SELF_SO,       "-w",      "1",   "-b", bind,
                                "-b",  "127.0.0.1:0", "--umask", "027", NULL};
    mode_t own = umask(022);
    server_launch(s, &(struct server_options){.args = args});
    (void)umask(own);
    server_wait_ready(s);
    CHECK(stat(server_path(s, "app.sock"), &st) == 0);
    CHECK_EQ(st.st_mode & 0777, 0750);
    char *worker = status_of(server_worker_pid(s, 0));
    CHECK_HAS(worker, "Umask:\t0022\n");
    free(worker);
}

SERVER_MAIN(SERVER_TEST(variables_are_there_before_the_app_is_loaded),
            SERVER_TEST(the_app_called_without_a_server_has_them_too),
            SERVER_TEST(nothing_gets_more_rights_than_the_app_has),
            SERVER_TEST(unless_the_app_needs_it),
            SERVER_TEST(a_worker_has_no_capabilities_not_even_as_root),
            SERVER_TEST(unless_they_are_to_be_kept),
            SERVER_TEST(another_user_has_its_own_groups_and_nothing_else),
            SERVER_TEST(a_capability_of_the_master_is_not_passed_on),
            SERVER_TEST(umask_is_that_of_unix_sockets))
