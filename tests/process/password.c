/* examples/password, served with its own YAML: accounts, sessions, and what nobody may learn. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/harness/client.h"
#include "tests/harness/post.h"
#include "tests/harness/server.h"

#define WRONG "{\"error\":\"name or password is wrong\"}\n"

static struct reply r;

/* Serves it on a database in the server's own folder, with further settings; NULL: no more. Skips
 * the test where it was not built. */
static struct server *start_with(const char *more, const char *another)
{
    if (EXAMPLE_MISSING[0] != '\0') {
        print_message("skipped: examples/password was not built without " EXAMPLE_MISSING "\n");
        skip();
    }
    return server_start_app(EXAMPLE_SO, "-c", EXAMPLE_YAML, "--accesslog", "-", "--set", more,
                            another ? "--set" : NULL, another, NULL);
}

static struct server *start(const char *more)
{
    return start_with(more, NULL);
}

static void post(struct server *s, const char *target, const char *form)
{
    struct client *c = client_to(s);
    CHECK(post_send(c, target, "Content-Type: application/x-www-form-urlencoded\r\n", form,
                    strlen(form)));
    client_read(c, &r, false);
    client_close(c);
}

static void show(struct server *s, const char *method, const char *target, const char *token)
{
    char request[256];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request,
                   "%s %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n", method, target,
                   token);
    client_exchange(c, &r, request);
    client_close(c);
}

static void check_answer(int status, const char *body)
{
    CHECK_EQ(r.status, status);
    CHECK_TEXT(r.body.len > 0 ? r.body.data : "", body);
}

static void log_in(struct server *s, const char *form, char out_token[65])
{
    post(s, "/login", form);
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(reply_field(&r, "Cache-Control"), "no-store");
    CHECK_EQ(sscanf(r.body.data, "{\"token\":\"%64[0-9a-f]\"}", out_token), 1);
    CHECK_EQ(strlen(out_token), 64);
}

static void accounts_and_sessions(void **state)
{
    (void)state;
    char token[65];
    char another[65];
    struct server *s = start("loglevel=debug");
    post(s, "/signup", "name=ann&password=correct+horse");
    check_answer(201, "{\"name\":\"ann\"}\n");
    post(s, "/signup", "name=ann&password=battery+staple");
    check_answer(409, "{\"error\":\"this name is taken\"}\n");
    log_in(s, "name=ann&password=correct+horse", token);
    log_in(s, "name=ann&password=correct%20horse", another);
    CHECK(strcmp(token, another) != 0);
    show(s, "GET", "/me", token);
    check_answer(200, "{\"name\":\"ann\"}\n");
    show(s, "POST", "/logout", token);
    check_answer(204, "");
    show(s, "GET", "/me", token);
    check_answer(401, "{\"error\":\"this token is not valid any more\"}\n");
    show(s, "GET", "/me", another);
    check_answer(200, "{\"name\":\"ann\"}\n");

    struct stat st;
    CHECK_EQ(stat(server_path(s, "password.db"), &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    (void)lines_finish(&s->log, UINT64_MAX);
    (void)lines_finish(&s->out, UINT64_MAX);
    const char *const secrets[] = {"ann", "horse", "staple", token, another};
    CHECK_HAS(lines_text(&s->out), "POST /login");
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        CHECK_HAS_NOT(lines_text(&s->out), secrets[i]);
        CHECK_HAS_NOT(lines_text(&s->log), secrets[i]);
    }
}

/* To the octet the same answer. */
static void unknown_names_look_like_wrong_passwords(void **state)
{
    (void)state;
    struct server *s = start("pools.argon2.workers=1");
    post(s, "/signup", "name=ann&password=correct+horse");
    CHECK_EQ(r.status, 201);
    static const char *const forms[] = {
        "name=ann&password=incorrect",
        "name=bob&password=correct+horse",
        "name=ann&password=",
        "name=&password=correct+horse",
        "name=ANN&password=correct+horse",
        "name=ann'+or+'1'='1&password=correct+horse",
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        check_context("%s", forms[i]);
        post(s, "/login", forms[i]);
        check_answer(401, WRONG);
        CHECK(reply_field(&r, "Cache-Control") == NULL);
    }
}

/* CPU time that the pool's only worker has used when it ends, after a signup of ann's and eight
 * logins of this name. */
static long cpu_ms_of_logins(const char *name)
{
    char form[64];
    struct server *s = start("pools.argon2.workers=1");
    post(s, "/signup", "name=ann&password=correct+horse");
    CHECK_EQ(r.status, 201);
    (void)snprintf(form, sizeof form, "name=%s&password=incorrect", name);
    for (int i = 0; i < 8; i++) {
        post(s, "/login", form);
        check_answer(401, WRONG);
    }
    server_signal(s, SIGTERM);
    return lines_number(server_wait_log(s, "compute worker ended"), "cpu_ms");
}

/* Not of the clock, which says more of the machine: ten hashes each, where it would be two. */
static void unknown_names_cost_as_much(void **state)
{
    (void)state;
    long known = cpu_ms_of_logins("ann");
    long unknown = cpu_ms_of_logins("bob");
    CHECK_SAYING(unknown * 2 > known, "%ld ms of CPU time for a name that exists, %ld for another",
                 known, unknown);
}

static void what_is_not_allowed_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *target, *form, *error;
        int status;
    } rows[] = {
        {"/signup", "name=ann", "send name and password as a form in the body", 400},
        {"/login", "", "send name and password as a form in the body", 400},
        {"/login?name=ann&password=x", "", "send name and password as a form in the body", 400},
        {"/signup", "name=&password=correct+horse", "name must be 1 to 32", 400},
        {"/signup", "name=Ann&password=correct+horse", "name must be 1 to 32", 400},
        {"/signup", "name=ann&password=seven77", "password must be 8 to 256 bytes", 400},
        {"/nowhere", "", "there is no such resource", 404},
    };
    struct server *s = start("pools.argon2.workers=1");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s %s", rows[i].target, rows[i].form);
        post(s, rows[i].target, rows[i].form);
        CHECK_EQ(r.status, rows[i].status);
        CHECK_TEXT(reply_field(&r, "Content-Type"), "application/json");
        CHECK_HAS(r.body.data, rows[i].error);
    }
    check_context("%s", "");
    show(s, "GET", "/me", "0123");
    CHECK_EQ(r.status, 401);
    CHECK_TEXT(reply_field(&r, "WWW-Authenticate"), "Bearer");
}

/* A flood of logins finds a bounded queue, and the answer to what is too much is JSON, too. */
static void logins_beyond_the_queue_are_told_to_come_back(void **state)
{
    (void)state;
    enum { COUNT = 8 };
    static const char form[] = "name=ann&password=incorrect";
    struct client *clients[COUNT];
    int busy = 0;
    struct server *s = start_with("pools.argon2.queue=1", "pools.argon2.timeout=1m");
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_to(s);
        CHECK(post_send(clients[i], "/login", "Content-Type: application/x-www-form-urlencoded\r\n",
                        form, strlen(form)));
    }
    for (int i = 0; i < COUNT; i++) {
        client_read(clients[i], &r, false);
        if (r.status == 503) {
            busy++;
            CHECK(reply_field(&r, "Retry-After") != NULL);
            check_answer(503, "{\"error\":\"too busy; try again later\"}\n");
        } else {
            check_answer(401, WRONG);
        }
    }
    CHECK(busy > 0 && busy < COUNT);
}

/* Accounts outlive the server, sessions what is left of their time. */
static void accounts_outlive_the_server(void **state)
{
    (void)state;
    char token[65];
    struct server *s = start("pools.argon2.workers=1");
    post(s, "/signup", "name=ann&password=correct+horse");
    CHECK_EQ(r.status, 201);
    log_in(s, "name=ann&password=correct+horse", token);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    server_relaunch(s, "run", EXAMPLE_SO, "-c", EXAMPLE_YAML, "--bind", "127.0.0.1:0", NULL);
    show(s, "GET", "/me", token);
    check_answer(200, "{\"name\":\"ann\"}\n");
    log_in(s, "name=ann&password=correct+horse", token);
}

/* Found when the pool begins, not by the first who logs in. */
static void hash_that_takes_more_than_the_pool_may_have(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)state;
    skip(); /* no memory_limit there */
#else
    (void)state;
    if (EXAMPLE_MISSING[0] != '\0')
        skip(); /* start_with() says what it was not built without */
    struct server *s = server_start_args("run", EXAMPLE_SO, "-c", EXAMPLE_YAML, "--bind",
                                         "127.0.0.1:0", "--set", "app_config.memory=128MiB", NULL);
    s->is_violent = true;
    (void)server_wait_log_text(s, "see pools.argon2.memory_limit");
#endif
}

SERVER_MAIN(SERVER_TEST(accounts_and_sessions),
            SERVER_TEST(unknown_names_look_like_wrong_passwords),
            SERVER_TEST(unknown_names_cost_as_much), SERVER_TEST(what_is_not_allowed_is_told),
            SERVER_TEST(logins_beyond_the_queue_are_told_to_come_back),
            SERVER_TEST(accounts_outlive_the_server),
            SERVER_TEST(hash_that_takes_more_than_the_pool_may_have))
