/* What the mixed load of tests/harness/ask.h asks for: every answer follows from the request's own
 * identity, so that one that went astray, came twice or lost an octet cannot pass for another. Each
 * names the process that gave it. */
#include <remuda.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX 4000000

static long long number(rmd_request *req, const char *name, long long max)
{
    long long n = 0;
    (void)rmd_query_int(req, name, 0, max, &n);
    return n;
}

static const char *identity(rmd_request *req)
{
    const char *id = rmd_query(req, "id");
    return id ? id : "none";
}

static void wait_ms(long long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

static void hello(rmd_request *req, rmd_response *res)
{
    rmd_text(res, 200, "hello, %s\n", rmd_param(req, "id"));
}

/* The same as ask_octet() of the harness. */
static unsigned char octet(uint64_t id, uint64_t at)
{
    uint64_t z = id + (at / 8 + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (unsigned char)((z ^ (z >> 31)) >> (at % 8 * 8));
}

static void bytes(rmd_request *req, rmd_response *res)
{
    size_t n = (size_t)number(req, "n", BYTES_MAX);
    uint64_t id = strtoull(identity(req), NULL, 16);
    unsigned char *data = malloc(n + 1);
    if (!data) {
        rmd_error(res, 503);
        return;
    }
    for (size_t i = 0; i < n; i++)
        data[i] = octet(id, i);
    rmd_send_ref(res, 200, "application/octet-stream", (char *)data, n, free, data);
}

static void echo(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    rmd_send_ref(res, 200, "application/octet-stream", body.data, body.len, NULL, NULL);
}

struct series {
    const char *id;
    long long i, n;
    int pause_ms;
};

static int next_line(rmd_writer *out, void *state)
{
    struct series *s = state;
    if (s->i == s->n)
        return RMD_END;
    if (rmd_write_format(out, "%s %06lld\n", s->id, s->i++) != 0)
        return RMD_ABORT;
    return s->i == s->n ? RMD_END : s->pause_ms;
}

static void stream(rmd_request *req, rmd_response *res)
{
    struct series *s = rmd_alloc(req, sizeof(*s));
    if (!s) {
        rmd_error(res, 503);
        return;
    }
    *s = (struct series){identity(req), 0, number(req, "n", 100000), (int)number(req, "ms", 1000)};
    rmd_stream(res, 200, "text/plain", next_line, s, NULL);
}

struct errand {
    rmd_deferred *ticket;
    long long ms;
    char id[32];
};

static void come_back(rmd_request *req, rmd_response *res, void *arg)
{
    struct errand *errand = arg;
    if (req)
        rmd_text(res, 200, "later %s\n", errand->id);
    free(errand);
}

static void *run_errand(void *arg)
{
    struct errand *errand = arg;
    wait_ms(errand->ms);
    rmd_complete(errand->ticket, come_back, errand);
    return NULL;
}

static void later(rmd_request *req, rmd_response *res)
{
    pthread_t thread;
    struct errand *errand = malloc(sizeof(*errand));
    if (!errand) {
        rmd_error(res, 503);
        return;
    }
    *errand = (struct errand){.ms = number(req, "ms", 60000)};
    snprintf(errand->id, sizeof(errand->id), "%s", identity(req));
    errand->ticket = rmd_defer(req);
    if (!errand->ticket) {
        free(errand);
        rmd_error(res, 503);
        return;
    }
    if (pthread_create(&thread, NULL, run_errand, errand) == 0)
        pthread_detach(thread);
    else
        rmd_complete(errand->ticket, come_back, errand);
}

static void nap(rmd_request *req, rmd_response *res)
{
    wait_ms(number(req, "ms", 60000));
    rmd_text(res, 200, "slept %s\n", identity(req));
}

static void crash(rmd_request *req, rmd_response *res)
{
    (void)req, (void)res;
    abort();
}

static void name_worker(rmd_request *req, rmd_response *res)
{
    const char *name = rmd_format(req, "pid=%d generation=%d", (int)getpid(), rmd_generation());
    if (name)
        (void)rmd_set_header(res, "X-Worker", name);
}

static const rmd_route routes[] = {
    {"GET", "/hello/:id", hello},
    {"GET", "/bytes", bytes},
    {"POST", "/echo", echo},
    {"GET", "/stream", stream},
    {"GET", "/later", later},
    {"GET", "/sleep", nap, .lane = RMD_IO},
    {"GET", "/crash", crash}, /* of tests/fault/chaos.c alone */
    {0},
};

RMD_APP(.name = "churn", .routes = routes, .after = name_worker);
