/* A request and its answer as structs, for what answers without a connection (http/files.c,
 * http/opened.c, workers/mounts.c), and a folder to serve. */
#ifndef REMUDA_TESTS_UNIT_HTTP_ASKED_H
#define REMUDA_TESTS_UNIT_HTTP_ASKED_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "http/request.h"
#include "http/response.h"
#include "tests/harness/check.h"

#define ASKED_FIELDS_MAX 200

struct asked {
    struct rmd_request req;
    struct rmd_response res;
    struct arena arena;
    struct field fields[ASKED_FIELDS_MAX];
    char *body; /* what was sent, NUL behind it */
    size_t body_len;
    struct err err;
};

/* fields: each "Name: value" with CRLF; borrowed. */
__attribute__((unused)) static void asked_init(struct asked *a, const char *method,
                                               const char *fields)
{
    *a = (struct asked){0};
    arena_init(&a->arena, 4096);
    (void)snprintf(a->req.method, sizeof a->req.method, "%s", method);
    a->req.head.method_len = (uint32_t)strlen(method);
    a->req.base = fields;
    a->req.head.fields = a->fields;
    a->req.arena = &a->arena;
    for (const char *at = fields; *at;) {
        const char *colon = strchr(at, ':');
        const char *end = strstr(at, "\r\n");
        CHECK(colon && end && a->req.head.n_fields < ASKED_FIELDS_MAX);
        a->fields[a->req.head.n_fields++] = (struct field){
            .name_at = (uint32_t)(at - fields),
            .name_len = (uint32_t)(colon - at),
            .value_at = (uint32_t)(colon + 2 - fields),
            .value_len = (uint32_t)(end - colon - 2),
        };
        at = end + 2;
    }
    response_begin(&a->res, &a->req);
    a->req.res = &a->res;
}

/* Puts together what a connection would send. */
__attribute__((unused)) static void asked_read_body(struct asked *a)
{
    a->body = malloc(a->res.body_len + 1);
    CHECK(a->body != NULL);
    if (a->res.kind == RESPONSE_BYTES && a->res.body_len > 0) {
        memcpy(a->body, a->res.body, a->res.body_len);
        a->body_len = a->res.body_len;
    }
    for (uint32_t i = 0; a->res.kind == RESPONSE_FILE && i < a->res.n_parts; i++) {
        const struct response_part *part = &a->res.parts[i];
        CHECK(part->len >= 1 && a->body_len + part->len <= a->res.body_len);
        if (part->data)
            memcpy(a->body + a->body_len, part->data, part->len);
        else
            CHECK_EQ(pread(a->res.fd, a->body + a->body_len, part->len, (off_t)part->offset),
                     part->len);
        a->body_len += part->len;
    }
    CHECK_EQ(a->body_len, a->res.body_len);
    a->body[a->body_len] = '\0';
}

__attribute__((unused)) static void asked_fini(struct asked *a)
{
    response_drop_body(&a->res);
    free(a->body);
    arena_fini(&a->arena);
}

/* Value of a field of the answer, "" when it has none. */
__attribute__((unused)) static const char *asked_field(const struct asked *a, const char *name)
{
    const struct response_field *field = response_find(&a->res, str_of(name));
    return field ? field->value.p : "";
}

__attribute__((unused)) static size_t asked_count_fields(const struct asked *a)
{
    size_t n = 0;
    for (const struct response_field *field = a->res.fields; field; field = field->next)
        n++;
    return n;
}

/* ---- a folder ---- */

/* Kernels before 5.6 have no openat2(2), and neither has valgrind 3.19: then links are not
 * followed. */
__attribute__((unused)) static bool asked_has_openat2(void)
{
    long rc = syscall(SYS_openat2, -1, NULL, NULL, 0);
    return rc >= 0 || errno != ENOSYS;
}

/* Makes a folder and goes there; *state gets its path. For cmocka's set-up. */
__attribute__((unused)) static int asked_enter_folder(void **state)
{
    char *path = strdup("/tmp/remuda-files-"
                        "XX"
                        "XX"
                        "XX");
    if (!path || !mkdtemp(path) || chmod(path, 0755) < 0 || chdir(path) < 0)
        return -1;
    *state = path;
    return 0;
}

__attribute__((unused)) static int asked_leave_folder(void **state)
{
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
    int rc = chdir("/") < 0 || system(command) != 0 ? -1 : 0;
    free(*state);
    return rc;
}

__attribute__((unused)) static void asked_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK_SAYING(fd >= 0, "%s: %s", path, strerror(errno));
    CHECK_EQ(fd_write_all(fd, text, strlen(text)), 0);
    fd_close(&fd);
}

/* Sets the time of change. */
__attribute__((unused)) static void asked_touch(const char *path, int64_t seconds, long nanoseconds)
{
    struct timespec times[2] = {{.tv_sec = seconds, .tv_nsec = nanoseconds},
                                {.tv_sec = seconds, .tv_nsec = nanoseconds}};
    CHECK_EQ(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

__attribute__((unused)) static int asked_open_folder(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK_SAYING(fd >= 0, "%s: %s", path, strerror(errno));
    return fd;
}

#endif
