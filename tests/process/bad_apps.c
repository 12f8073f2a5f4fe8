/* Applications that can't be served: each is refused with the exit code of its kind and a sentence
 * that names the reason, and nothing is left running. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define APP(name) REMUDA_TEST_APPS_DIR "/" name ".so"

static struct server *run_app(const char *app, const char *setting)
{
    struct server *s = server_start_args("run", app, "--bind", "127.0.0.1:0", "--workers", "2",
                                         setting ? "--set" : NULL, setting, NULL);
    s->is_violent = true;
    return s;
}

/* Serves nothing, says why, leaves nobody. */
static void check_refused(const char *app, const char *setting, int code, const char *const *words)
{
    check_context("%s", app);
    struct server *s = run_app(app, setting);
    CHECK_EQ(server_run(s), code);
    for (size_t i = 0; words[i]; i++)
        CHECK_HAS(lines_text(&s->log), words[i]);
    CHECK_EQ(lines_count(&s->log, "ready"), 0);
    server_check_gone(s, true);
}

#define CHECK_REFUSED(app, setting, code, ...)                                                     \
    check_refused(app, setting, code, (const char *const[]){__VA_ARGS__, NULL})

static void missing_file(void **state)
{
    (void)state;
    CHECK_REFUSED("/nonexistent/app.so", NULL, 1, "/nonexistent/app.so", "No such file");
}

static void folder_instead_of_a_file(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *path = server_path(s, "folder.so");
    CHECK(mkdir(path, 0755) == 0);
    CHECK_REFUSED(path, NULL, 1, "folder.so");
}

static void file_that_is_no_elf(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *path = server_write_file(s, "text.so", "this is no shared object\n");
    CHECK_REFUSED(path, NULL, 1, "text.so");
}

static void empty_file(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *path = server_write_file(s, "empty.so", "");
    CHECK_REFUSED(path, NULL, 1, "empty.so");
}

static void shared_object_without_entry(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("no_entry"), NULL, 1, "rmd_app_entry", "RMD_APP");
}

static void other_abi_version(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("other_abi"), NULL, 1, "version 44", "version 3", "remuda.h");
}

static void symbol_that_nobody_has(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("unresolved"), NULL, 1, "function_that_nobody_has");
}

static void pattern_that_is_none(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("bad_pattern"), NULL, 1, "/users/:/posts");
}

static void init_that_fails(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("init_fails"), NULL, 1, "the moon is in the wrong phase", "init", "-7");
}

static void init_that_starts_a_thread_is_told_where_to_start_it(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("init_thread"), NULL, 1, "thread", "worker_init");
}

static void init_that_crashes(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("init_crashes"), NULL, 1, "SEGV");
}

static void init_that_exits(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("init_exits"), NULL, 1, "loader");
}

static void init_that_hangs_is_ended_by_boot_timeout(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("init_hangs"), "boot_timeout=1s", 1, "boot_timeout");
}

static void worker_init_that_fails(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("worker_init_fails"), NULL, 4, "no database here", "worker_init");
}

static void worker_init_that_crashes(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("worker_init_crashes"), NULL, 4, "SEGV");
}

static void worker_init_that_hangs_is_ended_by_boot_timeout(void **state)
{
    (void)state;
    CHECK_REFUSED(APP("worker_init_hangs"), "boot_timeout=1s", 4, "boot_timeout");
}

/* Not bad at all: its functions have names that the server also uses inside. */
static void app_keeps_functions_that_are_named_as_the_servers(void **state)
{
    (void)state;
    struct server *s = server_start_app(APP("own_names"), NULL);
    char *body = client_get(s, "/", 200);
    CHECK_TEXT(body, "mine 111\n");
    free(body);
}

SERVER_MAIN(SERVER_TEST(missing_file), SERVER_TEST(folder_instead_of_a_file),
            SERVER_TEST(file_that_is_no_elf), SERVER_TEST(empty_file),
            SERVER_TEST(shared_object_without_entry), SERVER_TEST(other_abi_version),
            SERVER_TEST(symbol_that_nobody_has), SERVER_TEST(pattern_that_is_none),
            SERVER_TEST(init_that_fails),
            SERVER_TEST(init_that_starts_a_thread_is_told_where_to_start_it),
            SERVER_TEST(init_that_crashes), SERVER_TEST(init_that_exits),
            SERVER_TEST(init_that_hangs_is_ended_by_boot_timeout),
            SERVER_TEST(worker_init_that_fails), SERVER_TEST(worker_init_that_crashes),
            SERVER_TEST(worker_init_that_hangs_is_ended_by_boot_timeout),
            SERVER_TEST(app_keeps_functions_that_are_named_as_the_servers))
