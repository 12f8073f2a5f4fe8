/* What others make of /metrics: promtool, which reads the text format and knows what names should
 * look like, and a real Prometheus, which asks for OpenMetrics. Skipped where they are not
 * installed. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#undef fork /* a helper of the test's own; the ban is for the server's code */

static bool is_installed(const char *program)
{
    char path[128];
    (void)snprintf(path, sizeof path, "/usr/bin/%s", program);
    if (access(path, X_OK) == 0)
        return true;
    (void)snprintf(path, sizeof path, "/usr/local/bin/%s", program);
    if (access(path, X_OK) == 0)
        return true;
    (void)printf("skipped: %s is not installed (Debian's package prometheus)\n", program);
    return false;
}

static char address[160]; /* of the admin process */

/* A server in which something of everything has happened. */
static struct server *start(void)
{
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--set", "admin.bind=127.0.0.1:0", NULL);
    const char *line = lines_find_last(&s->log, "admin listening");
    CHECK(line && lines_pair(line, "address", address, sizeof address));
    s->is_violent = true;
    free(client_get(s, "/", 200));
    free(client_get(s, "/nowhere", 404));
    free(client_get(s, "/sleep?ms=1", 200));
    free(client_get(s, "/burn?ms=1", 200));
    free(client_get(s, "/crash", 500));
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "generation gone");
    free(client_get(s, "/json", 200));
    return s;
}

static void save_metrics(const char *path)
{
    struct reply r;
    struct client *c = client_open(address);
    reply_init(&r);
    client_exchange(c, &r, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
    FILE *file = fopen(path, "we");
    CHECK(file && fwrite(r.body.data, 1, r.body.len, file) == r.body.len && fclose(file) == 0);
    reply_fini(&r);
}

/* Reads a child's output to its end. Returns what waitpid(2) says */
static int read_all(pid_t pid, int fd, char *out, size_t cap)
{
    size_t len = 0;
    ssize_t n;
    while (len + 1 < cap && (n = read(fd, out + len, cap - len - 1)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    (void)close(fd);
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

/* Starts a program with its output in a pipe; it ends with the test. */
static pid_t start_program(const char *const *argv, const char *input, int *out_fd)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int in = open(input, O_RDONLY);
        if (in < 0 || dup2(in, 0) < 0 || dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0)
            _exit(126);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(ends[1]);
    *out_fd = ends[0];
    return pid;
}

static void promtool_finds_nothing_to_complain_about(void **state)
{
    (void)state;
    static char said[65536];
    static const char *const argv[] = {"promtool", "check", "metrics", NULL};
    if (!is_installed("promtool"))
        skip(); /* nobody else can say; ./test installs it where it can be had */
    struct server *s = start();
    char path[256];
    (void)snprintf(path, sizeof path, "%s", server_path(s, "metrics.txt"));
    save_metrics(path);
    int fd;
    pid_t pid = start_program(argv, path, &fd);
    int status = read_all(pid, fd, said, sizeof said);
    CHECK_TEXT(said, "");
    CHECK_EQ(status, 0);
}

/* One number from Prometheus' API; -1: it has none yet. */
static double ask(const char *where, const char *query)
{
    char request[512];
    struct reply r;
    struct client *c = client_open(where);
    reply_init(&r);
    (void)snprintf(request, sizeof request,
                   "GET /api/v1/query?query=%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                   query);
    client_exchange(c, &r, request);
    client_close(c);
    /* {"status":"success","data":{…,"result":[{"metric":{…},"value":[1700000000.1,"1"]}]}} */
    const char *value = r.body.data ? strstr(r.body.data, "\"value\":[") : NULL;
    const char *number = value ? strstr(value, ",\"") : NULL;
    double n = number ? strtod(number + 2, NULL) : -1;
    reply_fini(&r);
    return n;
}

static void wait_for(const char *where, const char *query, double expected)
{
    uint64_t deadline = patience_until(2 * PATIENCE_MS);
    double seen;
    do
        seen = ask(where, query);
    while (seen != expected && patience_turn(deadline));
    CHECK_SAYING(seen == expected, "%s is %g, expected %g", query, seen, expected);
}

static void prometheus_scrapes_it(void **state)
{
    (void)state;
    char yaml[512], config[300], data[300], where[192], line_address[160];
    if (!is_installed("prometheus"))
        skip(); /* likewise */
    struct server *s = start();
    (void)snprintf(yaml, sizeof yaml,
                   "global:\n  scrape_interval: 500ms\n  scrape_timeout: 400ms\n"
                   "scrape_configs:\n  - job_name: remuda\n    static_configs:\n"
                   "      - targets: ['%s']\n",
                   address + strlen("http://"));
    (void)snprintf(config, sizeof config, "--config.file=%s",
                   server_write_file(s, "prometheus.yml", yaml));
    (void)snprintf(data, sizeof data, "--storage.tsdb.path=%s", server_path(s, "tsdb"));
    const char *const argv[] = {
        "prometheus", config, data, "--web.listen-address=127.0.0.1:0", "--log.level=info", NULL};
    struct lines log;
    int fd;
    pid_t pid = start_program(argv, "/dev/null", &fd);
    lines_init(&log, fd);
    const char *line = lines_wait_text(&log, "Listening on", patience_until(2 * PATIENCE_MS));
    CHECK(line && lines_pair(line, "address", line_address, sizeof line_address));
    (void)snprintf(where, sizeof where, "http://%s", line_address);
    wait_for(where, "up", 1);
    wait_for(where, "remuda_ready", 1);
    wait_for(where, "sum(remuda_workers%7Brole=%22web%22,state=%22idle%22%7D)", 2);
    wait_for(where, "remuda_requests_total%7Broute=%22GET%20/%22%7D", 1);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    CHECK(waitpid(pid, NULL, 0) == pid);
    lines_fini(&log);
}

SERVER_MAIN(SERVER_TEST(promtool_finds_nothing_to_complain_about),
            SERVER_TEST(prometheus_scrapes_it))
