/* The disk under the logs is full: requests are answered as before, nobody dies, and the server
 * stops as it should. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
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

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        (void)close(fd);
    return is_done;
}

/* A user namespace in which this user is root (user_namespaces(7)). */
static bool become_root(void)
{
    char users[64], groups[64];
    (void)snprintf(users, sizeof users, "0 %u 1", (unsigned)geteuid());
    (void)snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getegid());
    return unshare(CLONE_NEWUSER) == 0 && write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups);
}

/* In a mount namespace of its own: root, or a user who may make one. */
static void mount_small_disk(void *arg)
{
    if ((geteuid() != 0 && !become_root()) || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", arg, "tmpfs", 0, "size=64k") != 0)
        _Exit(99);
}

static void disk_of_64_kib(void **state)
{
    (void)state;
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
                         .args = args, .prepare = mount_small_disk, .prepare_arg = folder});
    /* The log is where nobody else can see it: the socket says when the server is there. */
    (void)snprintf(s->addresses[0], sizeof s->addresses[0], "%s", unix_bind);
    s->n_addresses = 1;
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (client_try(unix_bind) != 0) {
        if (procs_state(s->pid) == 'Z') {
            CHECK_EQ(server_run(s), 99);
            const char *ci = getenv("CI");
            CHECK_SAYING(!ci || strcmp(ci, "true") != 0, "no mount namespace in CI");
            s->n_addresses = 0;
            skip();
        }
        CHECK(patience_turn(deadline));
    }
    struct load *load = load_start(unix_bind, 16, "/hello/somebody-with-a-long-name",
                                   "hello, somebody-with-a-long-name\n");
    load_wait_answers(load, 5000); /* some 100 octets each: the disk is full after 700 */
    struct load_result result = load_stop(load);
    load_check(&result, 0);
}

SERVER_MAIN(SERVER_TEST(access_log_that_takes_nothing), SERVER_TEST(disk_of_64_kib))
