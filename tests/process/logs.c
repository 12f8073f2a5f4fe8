/* Both logs: the server's own as text and JSON, and the access log in Gunicorn's format, to files
 * and streams, with lines that no request can forge. */
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static struct reply r;

static char *read_file(const char *path)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        (void)fclose(file);
    text[n] = '\0';
    return text;
}

/* Waits until a file holds a text. Returns its contents */
static const char *wait_file_has(const char *path, const char *part)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (!strstr(read_file(path), part))
        CHECK_SAYING(patience_turn(deadline), "%s lacks \"%s\" and is:\n%s", path, part,
                     read_file(path));
    return read_file(path);
}

static void check_json_lines(const char *text)
{
    static const char *const always[] = {"time", "level", "pid", "role", "event"};
    char value[512];
    unsigned lines = 0;
    for (const char *line = text; *line; lines++) {
        size_t len = strcspn(line, "\n");
        char copy[LINES_LINE_MAX];
        CHECK(len < sizeof copy && line[len] == '\n');
        memcpy(copy, line, len);
        copy[len] = '\0';
        json_must(copy, len);
        for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
            CHECK_SAYING(json_member(copy, always[i], value, sizeof value), "no %s in: %s",
                         always[i], copy);
        if (strstr(copy, "\"role\":\"web\"")) {
            CHECK_EQ(json_number(copy, "slot"), 0);
            CHECK_EQ(json_number(copy, "generation"), 1);
        }
        line += len + 1;
    }
    CHECK(lines >= 5);
}

/* With JSON the harness can't read addresses from events: it takes them from the members. */
static struct server *start_json(const char *app)
{
    struct server *s = server_start_args("run", app, "--bind", "127.0.0.1:0", "--workers", "1",
                                         "--set", "log_format=json", NULL);
    const char *line = server_wait_log_text(s, "\"event\":\"listening\"");
    CHECK(json_member(line, "address", s->addresses[0], sizeof s->addresses[0]));
    s->n_addresses = 1;
    (void)server_wait_log_text(s, "\"event\":\"ready\"");
    return s;
}

static void json_log_is_one_valid_object_a_line(void **state)
{
    (void)state;
    struct server *s = start_json(PROBE_SO);
    free(client_get(s, "/say?text=plain", 200));
    free(client_get(s, "/say?text=%22quotes%22%20and%20%5Cbackslash%5C", 200));
    free(client_get(s, "/say?text=control%0D%0A%01%1B%7F%09characters", 200));
    free(client_get(s, "/say?text=J%C3%BCrgen%20%E2%82%AC%20%F0%9F%90%8E", 200));
    free(client_get(s, "/say?text=bad%FF%C0%80%ED%A0%80utf8", 200));
    free(client_get(s, "/say?text=%22%2C%22role%22%3A%22master", 200));
    server_signal(s, SIGTERM);
    CHECK_EQ(server_run(s), 0);
    check_json_lines(lines_text(&s->log));
    CHECK_HAS(lines_text(&s->log), "J\xc3\xbcrgen");
}

static void death_of_a_worker_is_valid_json_too(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s = start_json(PROBE_SO);
    s->is_violent = true;
    struct client *c = client_to(s);
    client_send_text(c, "GET /crash?\\x=%ff HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_close(c);
    const char *died = server_wait_log_text(s, "\"event\":\"worker died\"");
    CHECK_HAS(died, "\"signal\":\"SEGV\"");
    (void)server_wait_log_text(s, "\"event\":\"worker ready\"");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_run(s), 0);
    CHECK_HAS(lines_text(&s->log), "\"event\":\"worker crashed\"");
    CHECK_HAS(lines_text(&s->log), "\"event\":\"backtrace\"");
    CHECK_HAS(lines_text(&s->log), "\"event\":\"frame\"");
    for (const char *line = lines_text(&s->log); *line; line += strcspn(line, "\n") + 1)
        if (*line == '{') /* a sanitizer or backtrace may add text of its own */
            json_must(line, strcspn(line, "\n"));
}

static void text_lines_say_who_wrote_them(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    char expected[96];
    free(client_get(s, "/say?text=here", 200));
    (void)snprintf(expected, sizeof expected, "web[%d] slot=0 gen=1: probe says here",
                   (int)server_worker_pid(s, 0));
    (void)server_wait_log_text(s, expected);
}

static void peers_can_not_forge_lines(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    free(client_get(s, "/say?text=x%0A12%3A00%3A00.000%20error%20forged", 200));
    (void)server_wait_log(s, "probe says");
    CHECK_HAS_NOT(lines_text(&s->log), "\n12:00:00.000 error");
}

static void loglevel_decides_what_is_written(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(PROBE_SO, "--workers", "1", "--set", "loglevel=notice", NULL);
    free(client_get(s, "/say?text=one", 200));
    (void)server_wait_log(s, "probe says");
    CHECK_HAS_NOT(lines_text(&s->log), " info ");
    CHECK_HAS_NOT(lines_text(&s->log), " debug ");
}

static void errorlog_goes_to_a_file(void **state)
{
    (void)state;
    struct server *s = server_new();
    char setting[300];
    (void)snprintf(setting, sizeof setting, "errorlog=%s", server_path(s, "error.log"));
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--workers",
                          "1",   "--set",        setting,  NULL};
    server_launch(s, &(struct server_options){.args = args});
    (void)wait_file_has(server_path(s, "error.log"), ": ready ");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_run(s), 0);
    CHECK_HAS(read_file(server_path(s, "error.log")), ": stopped ");
    CHECK_EQ(s->log.text.len, 0);
}

static void access_log_is_off_by_default(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    for (int i = 0; i < 10; i++)
        free(client_get(s, "/hello/secret", 200));
    server_signal(s, SIGTERM);
    CHECK_EQ(server_run(s), 0);
    CHECK_EQ(s->out.text.len, 0);
    CHECK_HAS_NOT(lines_text(&s->log), "secret");
}

static void access_log_has_gunicorns_format(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "accesslog=-", NULL);
    struct client *c = client_to(s);
    client_exchange(c, &r,
                    "GET /hello/ann?x=1 HTTP/1.1\r\nHost: a\r\nReferer: http://r/\r\n"
                    "User-Agent: test \"agent\"\r\n\r\n");
    const char *line = lines_wait_text(&s->out, "/hello/ann", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    /* 127.0.0.1 - - [21/Nov/2026:13:00:00 +0000] "GET … HTTP/1.1" 200 11 "http://r/" "…" */
    CHECK_SAYING(strncmp(line, "127.0.0.1 - - [", 15) == 0, "%s", line);
    CHECK_SAYING(isdigit((unsigned char)line[15]) && line[17] == '/' && line[21] == '/', "%s",
                 line);
    CHECK_HAS(line, "] \"GET /hello/ann?x=1 HTTP/1.1\" 200 11 \"http://r/\" "
                    "\"test \\\"agent\\\"\"");
}

static void access_log_escapes_what_peers_send(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "accesslog=-", NULL);
    struct client *c = client_to(s);
    client_exchange(c, &r,
                    "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: a\tb\xff\" 200 6 \"\\\r\n\r\n");
    const char *line = lines_wait_text(&s->out, "GET / ", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    CHECK_HAS(line, "\\\" 200 6 \\\"\\\\\"");
    for (const char *at = line; *at; at++)
        CHECK((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f);
}

static void access_log_takes_a_format_of_its_own(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "accesslog=-", "--set",
                         "access_log_format=<%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%({X-One}i)s|%({"
                         "Content-Type}o)s|%(p)s>",
                         NULL);
    struct client *c = client_to(s);
    char pid[32];
    client_exchange(c, &r, "GET /json?a=b HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n\r\n");
    const char *line = lines_wait_text(&s->out, "<GET", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    CHECK_HAS(line, "<GET|/json|a=b|HTTP/1.1|200|19|1|application/json");
    (void)snprintf(pid, sizeof pid, "<%d>>", (int)server_worker_pid(s, 0));
    CHECK_HAS(line, pid);
}

static struct server *start_access_json(const char *app)
{
    return server_start_app(app, "--workers", "1", "--set", "accesslog=-", "--set",
                            "access_log_format=json", NULL);
}

static void check_member(const char *line, const char *name, const char *expected)
{
    char value[LINES_LINE_MAX];
    CHECK_SAYING(json_member(line, name, value, sizeof value), "no %s in: %s", name, line);
    CHECK_TEXT(value, expected);
}

static void access_log_is_json_when_asked(void **state)
{
    (void)state;
    struct server *s = start_access_json(REMUDA_DEMO_SO);
    struct client *c = client_to(s);
    client_exchange(
        c, &r,
        "GET /hello/J%C3%BCrgen?x=%22 HTTP/1.1\r\nHost: a\r\nUser-Agent: a\tb\xff\"\\\r\n"
        "Authorization: Basic YW5uOnNlY3JldA==\r\n\r\n");
    const char *line = lines_wait_text(&s->out, "/hello/", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    json_must(line, strlen(line));
    static const char *const members[][2] = {
        {"peer", "127.0.0.1"},
        {"user", "ann"},
        {"method", "GET"},
        {"target", "/hello/J%C3%BCrgen?x=%22"},
        {"path", "/hello/J\xc3\xbcrgen"},
        {"query", "x=%22"},
        {"protocol", "HTTP/1.1"},
        {"status", "200"},
        {"referer", "null"},
        {"user_agent", "a\\u0009b\\ufffd\\\"\\\\"},
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        check_member(line, members[i][0], members[i][1]);
    CHECK_EQ(json_number(line, "pid"), server_worker_pid(s, 0));
    CHECK_HAS_NOT(line, "\"note\"");
    client_send_text(c, "NONSENSE\r\n\r\n");
    line = lines_wait_text(&s->out, "\"status\":400", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    json_must(line, strlen(line));
    check_member(line, "target", "null");
}

static void last_words_have_the_format_of_all_other_lines(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s = start_access_json(PROBE_SO);
    s->is_violent = true;
    struct client *c = client_to(s);
    pid_t pid = server_worker_pid(s, 0);
    client_send_text(c, "GET /crash?x HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_close(c);
    const char *line = lines_wait_text(&s->out, "/crash?x", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    json_must(line, strlen(line));
    check_member(line, "status", "null");
    check_member(line, "method", "GET");
    check_member(line, "note", "worker died: SIGSEGV");
    CHECK_EQ(json_number(line, "pid"), pid);
}

/* Into a pipe a line must fit one write, or others would come between its parts; a file takes it as
 * it is. */
static void long_lines_are_cut_for_pipes_and_stay_valid(void **state)
{
    (void)state;
    static char request[9000];
    static char value[9000];
    memset(request, 'a', 8000);
    memcpy(request, "GET /", 5);
    memcpy(request + 8000, " HTTP/1.1\r\nHost: a\r\n\r\n", sizeof " HTTP/1.1\r\nHost: a\r\n\r\n");
    struct server *s = start_access_json(REMUDA_DEMO_SO);
    client_exchange(client_to(s), &r, request);
    const char *line = lines_wait_text(&s->out, "/aaa", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    json_must(line, strlen(line));
    CHECK(strlen(line) < 4096 && strlen(line) > 1024);
    CHECK(json_member(line, "target", value, sizeof value));
    CHECK_TEXT(value + strlen(value) - 3, "…");
    CHECK_EQ(json_number(line, "status"), 404);

    char setting[300];
    struct server *other = server_new();
    (void)snprintf(setting, sizeof setting, "accesslog=%s", server_path(other, "access.log"));
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--set", setting, NULL};
    server_launch(other, &(struct server_options){.args = args});
    server_wait_ready(other);
    client_exchange(client_to(other), &r, request);
    const char *text = wait_file_has(server_path(other, "access.log"), "\n");
    request[8000] = '\0';
    CHECK_HAS(text, request + 4);
}

/* Every answered request has its line, whoever answered it, when the server has stopped. */
static void access_log_has_a_line_for_each_request(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct server *s = server_new();
    char setting[300];
    (void)snprintf(setting, sizeof setting, "accesslog=%s", server_path(s, "access.log"));
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--workers",
                          "2",   "--set",        setting,  NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    for (int i = 0; i < COUNT; i++)
        free(client_get(s, i % 3 ? "/" : "/nowhere", i % 3 ? 200 : 404));
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    const char *text = read_file(server_path(s, "access.log"));
    unsigned lines = 0, missing = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1, lines++)
        missing += strncmp(line, "127.0.0.1 - - [", 15) == 0 &&
                   memmem(line, strcspn(line, "\n"), "\" 404 ", 6) != NULL;
    CHECK_EQ(lines, COUNT);
    CHECK_EQ(missing, COUNT / 3);
}

/* Requests that the worker finds in one turn of its loop: one kills it, and what it had answered
 * before, in whichever order, has lines in the batch only. The master writes the batch. */
static void lines_of_a_worker_that_died_in_the_same_turn_are_written(void **state)
{
    (void)state;
    enum { COUNT = 9, FATAL = 4 };
    server_let_crash();
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", "--set", "accesslog=-", NULL);
    s->is_violent = true;
    pid_t pid = server_worker_pid(s, 0);
    struct client *clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_to(s);
        client_exchange(clients[i], &r, "GET /counts HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    CHECK(kill(pid, SIGSTOP) == 0);
    for (int i = 0; i < COUNT; i++) {
        char request[96];
        (void)snprintf(request, sizeof request, "GET /%s?%d HTTP/1.1\r\nHost: a\r\n\r\n",
                       i == FATAL ? "crash" : "counts", i);
        client_send_text(clients[i], request);
    }
    CHECK(kill(pid, SIGCONT) == 0);
    unsigned answered = 0;
    for (int i = 0; i < COUNT; i++)
        answered += client_wait(clients[i]);
    CHECK(answered > 0 && answered < COUNT);
    (void)server_wait_log(s, "request lost");
    (void)lines_take(&s->out);
    for (int i = 0; i < COUNT; i++) {
        char part[96];
        if (clients[i]->in.len == 0)
            continue;
        (void)snprintf(part, sizeof part, "\"GET /counts?%d HTTP/1.1\" 200 ", i);
        CHECK_HAS(lines_text(&s->out), part);
    }
    const char *line = lines_wait_text(&s->out, "/crash?4", patience_until(PATIENCE_MS));
    CHECK(line != NULL);
    CHECK_HAS(line, "\" - - \"-\" \"-\" trace="); /* it never had a status */
    CHECK_HAS(line, " note=\"worker died: SIGSEGV\"");
}

static void bad_access_log_format_is_a_mistake_of_the_configuration(void **state)
{
    (void)state;
    struct server *s = server_start_args("run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--set",
                                         "accesslog=-", "--set", "access_log_format=%(zz)s", NULL);
    CHECK_EQ(server_run(s), 1);
    CHECK_HAS(lines_text(&s->log), "access_log_format");
}

SERVER_MAIN(SERVER_TEST(json_log_is_one_valid_object_a_line),
            SERVER_TEST(death_of_a_worker_is_valid_json_too),
            SERVER_TEST(text_lines_say_who_wrote_them), SERVER_TEST(peers_can_not_forge_lines),
            SERVER_TEST(loglevel_decides_what_is_written), SERVER_TEST(errorlog_goes_to_a_file),
            SERVER_TEST(access_log_is_off_by_default), SERVER_TEST(access_log_has_gunicorns_format),
            SERVER_TEST(access_log_escapes_what_peers_send),
            SERVER_TEST(access_log_takes_a_format_of_its_own),
            SERVER_TEST(access_log_is_json_when_asked),
            SERVER_TEST(last_words_have_the_format_of_all_other_lines),
            SERVER_TEST(long_lines_are_cut_for_pipes_and_stay_valid),
            SERVER_TEST(access_log_has_a_line_for_each_request),
            SERVER_TEST(lines_of_a_worker_that_died_in_the_same_turn_are_written),
            SERVER_TEST(bad_access_log_format_is_a_mistake_of_the_configuration))
