/* server/watch.c: which changes call for a reload, when, and which are not seen as one. Real files
 * in a folder of the test's own and real inotify; time is an argument, so nothing waits but for
 * events of the kernel. */
#include "server/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/settings.h"
#include "tests/harness/check.h"
#include "tests/harness/patience.h"

#define MS UINT64_C(1000)

static struct watch watch;
static struct settings *settings;
static char folder[] = "/tmp/remuda-watch.XXXXXX";
static uint64_t now_us;

static void write_file(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    CHECK(fd_write_all(fd, data, len) == 0);
    fd_close(&fd);
}

static void put(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

static void run(const char *command)
{
    CHECK_EQ(system(command), 0);
}

/* The folder with an app, a configuration and a folder of templates, and a watch on all of it. */
static int setup(void **state)
{
    static const char *extra[] = {"templates", "extra.txt"};
    (void)state;
    memcpy(folder, "/tmp/remuda-watch.XXXXXX", sizeof folder);
    if (!mkdtemp(folder) || chdir(folder) < 0)
        return -1;
    run("mkdir -p app templates/deep && cp " REMUDA_HELLO_SO " app/app.so");
    put("remuda.yaml", "app: app/app.so\n");
    put("templates/deep/a.html", "a");
    put("extra.txt", "extra");
    settings = settings_new();
    settings->reload = true;
    settings->app = "app/app.so";
    settings->file = "remuda.yaml";
    settings->reload_extra_files = (struct setting_paths){extra, 2};
    watch = (struct watch){0};
    now_us = 1000 * MS;
    return watch_set(&watch, settings, folder, now_us);
}

static int teardown(void **state)
{
    char command[64];
    (void)state;
    watch_close(&watch);
    settings_free(settings);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") < 0 ? -1 : system(command);
}

/* Waits for the kernel to tell, as the master's ppoll does. */
static void await_event(void)
{
    CHECK(watch.fd >= 0);
    CHECK(patience_poll(watch.fd, POLLIN, patience_until(PATIENCE_MS)));
}

/* Goes on in time, as the master does, until nothing is due any more, or for 20 s.
 * Returns the path of the file that a reload is due for; NULL: for none */
static const char *let_time_pass(void)
{
    uint64_t end_us = now_us + 20000 * MS;
    const char *changed = watch_turn(&watch, now_us);
    while (!changed && watch_next_us(&watch) < end_us) {
        now_us = watch_next_us(&watch) > now_us ? watch_next_us(&watch) : now_us;
        changed = watch_turn(&watch, now_us);
    }
    return changed;
}

/* That a reload is due, because of this file, and only one. */
static void expect_reload(const char *name)
{
    char path[PATH_MAX];
    await_event();
    const char *changed = let_time_pass();
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK_SAYING(changed, "no reload for %s", name);
    CHECK_TEXT(changed, path);
    CHECK(let_time_pass() == NULL);
}

static void expect_none(void)
{
    const char *changed = let_time_pass();
    CHECK_SAYING(!changed, "a reload for %s", changed);
}

static void an_untouched_server_is_left_alone(void **state)
{
    (void)state;
    expect_none();
    CHECK_EQ(watch_next_us(&watch), UINT64_MAX); /* and it sleeps */
}

static void nothing_is_watched_unless_asked_for(void **state)
{
    (void)state;
    settings->reload = false;
    CHECK_EQ(watch_set(&watch, settings, folder, now_us), 0);
    CHECK_EQ(watch.fd, -1);
    put("remuda.yaml", "workers: 2\n");
    expect_none();
    CHECK_EQ(watch_next_us(&watch), UINT64_MAX);
}

static void each_kind_of_file_counts(void **state)
{
    (void)state;
    put("remuda.yaml", "workers: 2\n");
    expect_reload("remuda.yaml");
    put("extra.txt", "other");
    expect_reload("extra.txt");
    put("templates/deep/a.html", "b");
    expect_reload("templates");
    put("templates/new.html", "new");
    expect_reload("templates");
    run("mkdir templates/more && echo c > templates/more/c.html");
    expect_reload("templates");
    put("templates/more/d.html", "in a folder that was not there before");
    expect_reload("templates");
    run("rm templates/new.html");
    expect_reload("templates");
}

static void each_way_to_replace_an_app_counts(void **state)
{
    (void)state;
    static const char *const ways[] = {
        "cp " REMUDA_HELLO_SO " app/app.so",                            /* in place */
        "cp " REMUDA_HELLO_SO " new && mv new app/app.so",              /* renamed over */
        "rm app/app.so && cp " REMUDA_HELLO_SO " app/app.so",           /* deleted, and back */
        "touch -d '2001-01-01' app/app.so",                             /* only its time */
        "cp -r app other && rm -rf app && mv other app",                /* its folder, too */
        "mv app old && mkdir app && cp " REMUDA_HELLO_SO " app/app.so", /* under another name */
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        check_context("%s", ways[i]);
        run(ways[i]);
        expect_reload("app/app.so");
    }
}

static void links_are_followed_as_they_are_switched(void **state)
{
    (void)state;
    run("mkdir -p releases/1/lib releases/2/lib && ln -s releases/1 current && "
        "cp " REMUDA_HELLO_SO " releases/1/lib/app.so && cp " REMUDA_HELLO_SO
        " releases/2/lib/app.so");
    settings->app = "current/lib/app.so";
    CHECK_EQ(watch_set(&watch, settings, folder, now_us), 0);
    expect_none();
    run("ln -sfn releases/2 next && mv -T next current");
    expect_reload("current/lib/app.so");
    run("touch -d '2001-01-01' releases/1/lib/app.so"); /* the old one is nobody's business */
    expect_none();
    run("touch -d '2001-01-01' releases/2/lib/app.so");
    expect_reload("current/lib/app.so");
}

static void what_is_by_the_way_does_not_count(void **state)
{
    (void)state;
    put("templates/.a.html.swp", "vim");
    put("templates/a.html~", "emacs");
    put("unrelated", "nobody watches this");
    run("mkdir -p templates/.git && echo x > templates/.git/index");
    run("chmod 600 extra.txt && cat remuda.yaml > /dev/null");
    expect_none();
}

/* Written in steps, each within the quiet time of the one before: one reload, after the last. */
static void a_swarm_of_changes_is_one_reload(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "step %d", i);
        put("extra.txt", text);
        await_event();
        now_us += 100 * MS;
        CHECK(watch_turn(&watch, now_us) == NULL);
        now_us += 50 * MS;
        CHECK(watch_turn(&watch, now_us) == NULL);
    }
    const char *changed = let_time_pass();
    CHECK(changed && strstr(changed, "extra.txt"));
    CHECK(let_time_pass() == NULL);
}

static void what_is_needed_is_waited_for(void **state)
{
    (void)state;
    static const char *const needed[][2] = {{"app/app.so", "cp " REMUDA_HELLO_SO ""},
                                            {"remuda.yaml", "echo 'workers: 1' | tee"}};
    for (size_t i = 0; i < 2; i++) {
        char command[128];
        check_context("%s", needed[i][0]);
        CHECK(unlink(needed[i][0]) == 0);
        await_event();
        expect_none();
        (void)snprintf(command, sizeof command, "%s %s > /dev/null", needed[i][1], needed[i][0]);
        run(command);
        expect_reload(needed[i][0]);
    }
    CHECK(unlink("extra.txt") == 0); /* this the app may do without */
    expect_reload("extra.txt");
}

static void an_app_is_read_only_when_all_of_it_is_there(void **state)
{
    (void)state;
    char *text;
    size_t len;
    CHECK(fd_read_file(REMUDA_HELLO_SO, 1 << 28, &text, &len) == 0);
    write_file("app/app.so", text, len / 2);
    await_event();
    uint64_t began_us = now_us;
    while (now_us < began_us + WATCH_PATIENCE_US / 2) { /* not while it may still grow */
        CHECK(watch_turn(&watch, now_us) == NULL);
        now_us += 50 * MS;
    }
    write_file("app/app.so", text, len);
    expect_reload("app/app.so");
    write_file("app/app.so", text, len / 2); /* but one that stays so is told in the end */
    began_us = now_us;
    expect_reload("app/app.so");
    CHECK(now_us >= began_us + WATCH_PATIENCE_US);
    free(text);
}

static void whole_means_as_long_as_the_headers_say(void **state)
{
    (void)state;
    char *text;
    size_t len;
    CHECK(fd_read_file(REMUDA_HELLO_SO, 1 << 28, &text, &len) == 0);
    write_file("whole", text, len);
    CHECK(watch_is_whole("whole"));
    for (size_t cut = 16; cut < len; cut += len / 17) {
        write_file("cut", text, cut);
        CHECK_SAYING(!watch_is_whole("cut"), "%zu of %zu octets are whole", cut, len);
    }
    write_file("cut", text, len - 1);
    CHECK(!watch_is_whole("cut"));
    memset(text + 32, 0xff, 16); /* where headers are: beyond everything */
    write_file("cut", text, len);
    CHECK(!watch_is_whole("cut"));
    put("empty", "");
    CHECK(!watch_is_whole("empty") && !watch_is_whole("absent"));
    put("other", "no ELF file: the loader will say so");
    CHECK(watch_is_whole("other"));
    free(text);
}

/* A reload reads files and takes a while; what changes meanwhile is not lost. */
static void other_settings_keep_what_is_not_read_yet(void **state)
{
    (void)state;
    put("remuda.yaml", "workers: 2\n");
    expect_reload("remuda.yaml");
    put("remuda.yaml", "workers: 3\n");
    CHECK_EQ(watch_set(&watch, settings, folder, now_us), 0);
    const char *changed = let_time_pass();
    CHECK(changed && strstr(changed, "remuda.yaml"));
    settings->reload_extra_files.n = 0;
    CHECK_EQ(watch_set(&watch, settings, folder, now_us), 0);
    put("extra.txt", "no longer watched");
    expect_none();
}

/* Without inotify the clock does it. */
static void without_inotify_files_are_looked_at(void **state)
{
    (void)state;
    struct rlimit limit, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    none = limit;
    none.rlim_cur = 3; /* inotify_init1(2) finds no descriptor */
    put("extra.txt", "another");
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_EQ(watch_set(&watch, settings, folder, now_us), 0);
    const char *changed = let_time_pass();
    CHECK(changed && strstr(changed, "extra.txt")); /* and not what can't be read just now */
    CHECK_EQ(watch.fd, -1);
    CHECK(watch.has_warned);
    CHECK(watch_next_us(&watch) <= now_us + WATCH_CLOCK_US);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    put("extra.txt", "looked at");
    changed = let_time_pass();
    CHECK(changed && strstr(changed, "extra.txt"));
    CHECK(watch.fd >= 0); /* and inotify is back */
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IN_FOLDER(an_untouched_server_is_left_alone),
        IN_FOLDER(nothing_is_watched_unless_asked_for),
        IN_FOLDER(each_kind_of_file_counts),
        IN_FOLDER(each_way_to_replace_an_app_counts),
        IN_FOLDER(links_are_followed_as_they_are_switched),
        IN_FOLDER(what_is_by_the_way_does_not_count),
        IN_FOLDER(a_swarm_of_changes_is_one_reload),
        IN_FOLDER(what_is_needed_is_waited_for),
        IN_FOLDER(an_app_is_read_only_when_all_of_it_is_there),
        IN_FOLDER(whole_means_as_long_as_the_headers_say),
        IN_FOLDER(other_settings_keep_what_is_not_read_yet),
        IN_FOLDER(without_inotify_files_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
