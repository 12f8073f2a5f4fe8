/* The functions of remuda_test.h: an application's handlers, run through the same connection
 * machine as in the server, from memory. Linked into an app's own test program, never into the
 * server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "config/settings.h"
#include "include/remuda_test.h"
#include "workers/chain.h"
#include "workers/inproc.h"
#include "workers/pool_map.h"

static const struct http_limits limits = LIMITS_DEFAULT;

struct rmd_test {
    struct app app;
    struct arena arena; /* configuration, header values: until rmd_test_free() */
    struct settings_node config;
    struct buf answer; /* octets of the last answer */
    struct buf head;   /* its head, NUL-terminated */
    struct buf body;   /* its body, decoded */
    rmd_reply reply;
};

static void use(struct rmd_test *t)
{
    chain_set_process(&(struct chain_process){.role = "test",
                                              .slot = -1,
                                              .config = &t->config,
                                              .config_file = "rmd_test_set_config",
                                              .app = &t->app});
}

rmd_test *rmd_test_new(const rmd_app *app)
{
    struct err err = {0};
    struct rmd_test *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    arena_init(&t->arena, 1024);
    t->config.kind = SETTINGS_MAP;
    log_identify("test", -1, -1);
    int rc = chain_open(&t->app, app, 4096, "app", &err);
    use(t);
    int failed = rc == 0 && app->init ? app->init() : 0;
    if (failed)
        rc = err_set(&err, ECANCELED, "the app's init returned %d", failed);
    if (rc == 0)
        rc = pool_map_call(&t->app, app->pool_init, "pool_init", &err);
    failed = rc == 0 && app->worker_init ? app->worker_init() : 0;
    if (failed)
        rc = err_set(&err, ECANCELED, "the app's worker_init returned %d", failed);
    if (rc == 0)
        rc = pool_map_call(&t->app, app->compute_init, "compute_init", &err);
    if (rc == 0)
        return t;
    (void)fprintf(stderr, "rmd_test_new: %s\n", err.text);
    chain_close(&t->app);
    arena_fini(&t->arena);
    free(t);
    return NULL;
}

/* A member of a map, made when it is not there. */
static struct settings_node *member(struct rmd_test *t, struct settings_node *map, struct str key)
{
    for (const struct settings_node *node = map->first; node; node = node->next)
        if (str_is_equal(str_of(node->key), key))
            return (struct settings_node *)(uintptr_t)node; /* made here, so it is ours to change */
    struct settings_node *node = arena_alloc(&t->arena, sizeof *node);
    char *name = arena_strndup(&t->arena, key.p, key.len);
    if (!node || !name)
        return NULL;
    *node = (struct settings_node){.kind = SETTINGS_MAP, .key = name, .next = map->first};
    map->first = node;
    map->n++;
    return node;
}

int rmd_test_set_config(rmd_test *t, const char *key, const char *value)
{
    struct settings_node *node = &t->config;
    for (const char *at = key; *at;) {
        size_t n = strcspn(at, ".");
        node = member(t, node, str_make(at, n));
        if (!node)
            return -ENOMEM;
        at += at[n] == '.' ? n + 1 : n;
    }
    char *text = arena_strndup(&t->arena, value, strlen(value));
    if (!text)
        return -ENOMEM;
    const char *name = node->key;
    const struct settings_node *next = node->next;
    *node = (struct settings_node){
        .kind = SETTINGS_SCALAR, .key = name, .next = next, .text = text, .len = strlen(value)};
    return 0;
}

/* ---- answers ---- */

/* Reads the first answer out of t->answer. */
static int read_answer(struct rmd_test *t)
{
    int rc = inproc_read_answer(str_make(t->answer.data, t->answer.len), &t->head, &t->body);
    if (rc <= 0)
        return rc;
    t->reply.head = t->head.data;
    t->reply.status = rc;
    return 0;
}

static const rmd_reply *run(rmd_test *t, struct str octets)
{
    use(t);
    t->answer.len = t->head.len = t->body.len = 0;
    t->reply = (rmd_reply){.head = "", .body = "", .test = t};
    int rc = inproc_exchange(&t->app, &limits, octets, &t->answer, &t->reply.is_closing);
    if (rc == 0)
        rc = read_answer(t);
    size_t body_len = t->body.len;
    if (rc == 0)
        rc = buf_append(&t->body, "", 1);
    if (rc < 0) {
        (void)fprintf(stderr, "rmd_test_request: no memory\n");
        t->reply = (rmd_reply){.head = "", .body = "", .test = t};
        return &t->reply;
    }
    t->reply.body = t->body.data;
    t->reply.body_len = body_len;
    return &t->reply;
}

const rmd_reply *rmd_test_request(rmd_test *t, const char *method, const char *target,
                                  const char *headers, const void *body, size_t body_len)
{
    struct buf octets = {0};
    struct inproc_request request = {method, target, str_of(headers ? headers : ""),
                                     str_make(body, body_len)};
    if (inproc_write_request(&request, &octets) < 0)
        octets.len = 0;
    const rmd_reply *reply = run(t, str_make(octets.data, octets.len));
    buf_fini(&octets);
    return reply;
}

const rmd_reply *rmd_test_raw(rmd_test *t, const void *octets, size_t len)
{
    return run(t, str_make(octets, len));
}

const char *rmd_reply_header(const rmd_reply *reply, const char *name)
{
    const char *line = strstr(reply->head, "\r\n");
    for (; line && line[2] != '\r' && line[2] != '\0'; line = strstr(line + 2, "\r\n")) {
        const char *start = line + 2;
        size_t n = strcspn(start, ":");
        if (n != strlen(name) || strncasecmp(start, name, n) != 0)
            continue;
        start += n + 1 + strspn(start + n + 1, " \t");
        return arena_strndup(&reply->test->arena, start, strcspn(start, "\r"));
    }
    return NULL;
}

void rmd_test_free(rmd_test *t)
{
    if (!t)
        return;
    use(t);
    if (t->app.decl->worker_exit)
        t->app.decl->worker_exit();
    chain_close(&t->app);
    arena_fini(&t->arena);
    buf_fini(&t->answer);
    buf_fini(&t->head);
    buf_fini(&t->body);
    free(t);
}
