/* The smallest application: one handler, one route, one line that ties them together. */
#include <remuda.h>

static void hello(rmd_request *req, rmd_response *res)
{
    rmd_text(res, 200, "hello, %s\n", rmd_param(req, "name"));
}

static const rmd_route routes[] = {
    {"GET", "/hello/:name", hello},
    {0},
};

RMD_APP(.name = "hello", .routes = routes);
