/* A request over slow_request is told with the calls that it is in, in whatever lane, once, and its
 * answer is what it would be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

static struct server *start(const char *setting)
{
    return server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "slow_callback=0", "--set",
                            "compute.workers=1", "--set", setting, NULL);
}

static const struct {
    const char *target;
    const char *body;
    const char *lane;
    const char *function;
} lanes[] = {
    {"/sleep?ms=2500", "slept 2500\n", "lane=io", "sleep_a_while"},
    {"/block?ms=2500", "blocked 2500\n", "lane=inline", "block"},
    {"/burn?ms=600", "burned 600\n", "lane=compute", "burn"},
};

/* Reads the frames behind a line; one of them is of this function, where names can be found. */
static void check_frames(struct server *s, const char *line, const char *function)
{
    char name[64];
    long shown = lines_number(line, "shown");
    bool has_library = !strstr(line, "libdw");
    bool is_found = false;
    (void)snprintf(name, sizeof name, "function=\"%s+0x", function);
    for (long i = 0; i < shown; i++)
        is_found |= strstr(server_wait_log(s, "frame"), name) != NULL;
    CHECK(is_found || !has_library);
}

static void each_lane_is_told_with_its_calls(void **state)
{
    (void)state;
    struct server *s = start("slow_request=100ms");
    for (size_t i = 0; i < sizeof lanes / sizeof lanes[0]; i++) {
        check_context("%s", lanes[i].target);
        server_skip_log(s);
        char *body = client_get(s, lanes[i].target, 200);
        CHECK_TEXT(body, lanes[i].body);
        free(body);
        const char *line = server_wait_log(s, "slow request");
        CHECK_HAS(line, lanes[i].lane);
        CHECK_HAS(line, lanes[i].target);
        CHECK_HAS(line, "slow_request_ms=100 ");
        CHECK_HAS(line, " stopped_us=");
        CHECK(lines_number(line, "running_ms") >= 100);
        check_frames(s, line, lanes[i].function);
        CHECK_EQ(lines_count(&s->log, "slow request"), i + 1);
    }
}

static void sync_worker_is_told_likewise(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--worker-class", "sync",
                                        "--set", "slow_request=100ms", NULL);
    free(client_get(s, "/sleep?ms=2500", 200));
    const char *line = server_wait_log(s, "slow request");
    CHECK_HAS(line, "lane=sync");
    check_frames(s, line, "sleep_a_while");
}

/* A route's own limit wins, here over none at all; quick ones are not told. */
static void a_route_has_its_own(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *file = server_write_file(s, "remuda.yaml",
                                         "bind: 127.0.0.1:0\nworkers: 1\n"
                                         "routes:\n"
                                         "  \"GET /sleep\": {slow_request: 100ms}\n");
    const char *args[] = {"run", "-c", file, REMUDA_DEMO_SO, NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    free(client_get(s, "/sleep?ms=1", 200));
    free(client_get(s, "/block?ms=400", 200));
    free(client_get(s, "/sleep?ms=2500", 200));
    CHECK_HAS(server_wait_log(s, "slow request"), "target=\"/sleep?ms=2500\"");
    CHECK_EQ(lines_count(&s->log, "slow request"), 1);
}

static void a_slow_log_of_its_own_gets_all_of_it(void **state)
{
    (void)state;
    char text[16384] = "";
    char setting[160];
    struct server *s = server_new();
    const char *path = server_path(s, "slow.log");
    (void)snprintf(setting, sizeof setting, "slowlog=%s", path);
    const char *args[] = {"run",   REMUDA_DEMO_SO,       "--bind", "127.0.0.1:0", "-w", "1",
                          "--set", "slow_request=100ms", "--set",  setting,       NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    free(client_get(s, "/sleep?ms=2500", 200));
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (!strstr(text, "slow request") || !strstr(text, "n=")) {
        FILE *file = fopen(path, "re");
        size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
        text[n] = '\0';
        if (file)
            (void)fclose(file);
        CHECK(patience_turn(deadline));
    }
    CHECK_HAS(text, "target=\"/sleep?ms=2500\"");
    CHECK_EQ(lines_count(&s->log, "slow request"), 0);
}

static void without_the_setting_nothing_is(void **state)
{
    (void)state;
    struct server *s = start("slow_request=0");
    free(client_get(s, "/sleep?ms=600", 200));
    CHECK_EQ(lines_count(&s->log, "slow request"), 0);
}

SERVER_MAIN(SERVER_TEST(each_lane_is_told_with_its_calls),
            SERVER_TEST(sync_worker_is_told_likewise), SERVER_TEST(a_route_has_its_own),
            SERVER_TEST(a_slow_log_of_its_own_gets_all_of_it),
            SERVER_TEST(without_the_setting_nothing_is))
