/* An application in memory: requests go in as octets through the same machine as in the server,
 * and the answer comes out in pieces. For the tests of workers/app.c, chain.c and inproc.c. */
#ifndef REMUDA_TESTS_UNIT_WORKERS_CALLS_H
#define REMUDA_TESTS_UNIT_WORKERS_CALLS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/settings.h"
#include "tests/harness/check.h"
#include "workers/chain.h"
#include "workers/inproc.h"

#define CALLS_APP(...)                                                                             \
    {                                                                                              \
        .abi = RMD_ABI_VERSION, .app_size = sizeof(rmd_app), .route_size = sizeof(rmd_route),      \
        .group_size = sizeof(rmd_group), .task_size = sizeof(rmd_task), __VA_ARGS__                \
    }

static const struct http_limits calls_limits = LIMITS_DEFAULT;

static struct app calls_app;
static struct settings_node calls_config;
static int calls_log_fd = -1; /* what was logged */
static struct buf calls_answer, calls_head, calls_body;

__attribute__((unused)) static void calls_open(const rmd_app *decl)
{
    struct err err;
    if (chain_open(&calls_app, decl, 512, "the test's app", &err) < 0)
        CHECK_FAIL("%s", err.text);
    calls_log_fd = memfd_create("log", MFD_CLOEXEC);
    CHECK(calls_log_fd >= 0);
    log_init(calls_log_fd, LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    chain_set_process(&(struct chain_process){.role = "test",
                                              .slot = 3,
                                              .generation = 7,
                                              .config = &calls_config,
                                              .config_file = "app.yaml",
                                              .app = &calls_app});
}

__attribute__((unused)) static void calls_close(void)
{
    chain_set_process(&(struct chain_process){.role = "none", .slot = -1});
    log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    chain_close(&calls_app);
    fd_close(&calls_log_fd);
    buf_fini(&calls_answer);
    buf_fini(&calls_head);
    buf_fini(&calls_body);
}

/* What was logged since the last call. */
__attribute__((unused)) static const char *calls_log(void)
{
    static char text[8192];
    ssize_t n = pread(calls_log_fd, text, sizeof text - 1, 0);
    CHECK(n >= 0 && ftruncate(calls_log_fd, 0) == 0 && lseek(calls_log_fd, 0, SEEK_SET) == 0);
    text[n] = '\0';
    return text;
}

/* Sends octets. Returns the status; 0: no answer. Head and body are in calls_head and calls_body */
__attribute__((unused)) static int calls_send(const char *octets, size_t len)
{
    bool is_closing;
    calls_answer.len = calls_head.len = calls_body.len = 0;
    CHECK_EQ(inproc_exchange(&calls_app, &calls_limits, str_make(octets, len), &calls_answer,
                             &is_closing),
             0);
    int status =
        inproc_read_answer(str_make(calls_answer.data, calls_answer.len), &calls_head, &calls_body);
    CHECK(status >= 0);
    CHECK(buf_append(&calls_body, "", 1) == 0);
    calls_body.len--;
    return status;
}

/* One request. fields: each with CRLF; body: NULL none */
__attribute__((unused)) static int calls_send_request(const char *method, const char *target,
                                                      const char *fields, const char *body)
{
    struct buf octets = {0};
    struct inproc_request request = {method, target, str_of(fields), str_of(body)};
    CHECK_EQ(inproc_write_request(&request, &octets), 0);
    int status = calls_send(octets.data, octets.len);
    buf_fini(&octets);
    return status;
}

__attribute__((unused)) static int calls_get(const char *target)
{
    return calls_send_request("GET", target, "", NULL);
}

/* The body of the last answer, NUL-terminated. */
__attribute__((unused)) static const char *calls_text(void)
{
    return calls_body.data;
}

/* Value of a field of the last answer; NULL when it has none. Valid until the next call. */
__attribute__((unused)) static const char *calls_field(const char *name)
{
    static char value[4096];
    char wanted[128];
    int n = snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *at = strstr(calls_head.data, wanted);
    if (!at)
        return NULL;
    (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(at + n, "\r"), at + n);
    return value;
}

#endif
