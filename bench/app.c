/* What bench/run asks remuda for and examples/demo does not have: 200 routes with parameters, an
 * answer out of a file that is read once, a body that is counted, a handler that returns at once in
 * the lane io. bench/peers_app.py and bench/microhttpd.c give the same answers. */
#include <remuda.h>

#include <stdio.h>
#include <unistd.h>

#define BODY_MAX 65536

static char body[BODY_MAX]; /* of /body, read in init: all workers share it */
static size_t body_len;

static void give_body(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_send_ref(res, 200, "application/json", body, body_len, NULL, NULL);
}

static void part(rmd_request *req, rmd_response *res)
{
    rmd_text(res, 200, "%s %s\n", rmd_param(req, "id"), rmd_param(req, "part"));
}

/* The whole body has come, in memory or in a file, before the handler is called. */
static void upload(rmd_request *req, rmd_response *res)
{
    rmd_text(res, 200, "counted %zu\n", rmd_body(req).len);
}

static void hello(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_send(res, 200, "text/plain; charset=utf-8", "hello\n", 6);
}

/* So that the script knows whose CPU time to read. */
static void info(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_json(res, 200, "{\"pid\": %d}", (int)getpid());
}

/* app_config.body names the file; without it there is nothing to read. */
static int init(void)
{
    const char *path = rmd_config_string("body", NULL);
    FILE *file = path ? fopen(path, "re") : NULL;

    if (!path)
        return 0;
    if (file) {
        body_len = fread(body, 1, sizeof(body), file);
        fclose(file);
    }
    if (body_len == 0)
        rmd_log(RMD_LOG_ERROR, "nothing can be read from %s", path);
    return body_len > 0 ? 0 : -1;
}

/* /res000 … /res199 */
#define ONE(n)                                                                                     \
    {                                                                                              \
        "GET", "/res" n "/:id/parts/:part", part                                                   \
    }
#define TEN(n)                                                                                     \
    ONE(n "0"), ONE(n "1"), ONE(n "2"), ONE(n "3"), ONE(n "4"), ONE(n "5"), ONE(n "6"),            \
        ONE(n "7"), ONE(n "8"), ONE(n "9")
#define HUNDRED(n)                                                                                 \
    TEN(n "0"), TEN(n "1"), TEN(n "2"), TEN(n "3"), TEN(n "4"), TEN(n "5"), TEN(n "6"),            \
        TEN(n "7"), TEN(n "8"), TEN(n "9")

static const rmd_route routes[] = {
    {"GET", "/", hello},
    {"GET", "/info", info},
    {"GET", "/body", give_body},
    {"POST", "/upload", upload},
    {"GET", "/io", hello, .lane = RMD_IO},
    HUNDRED("0"),
    HUNDRED("1"),
    {0},
};

RMD_APP(.name = "bench", .routes = routes, .init = init);
