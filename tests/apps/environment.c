/* Tells what the app sees of its environment and of its descriptors. */
#include <remuda.h>

#include <stdlib.h>

static void tell(rmd_request *req, rmd_response *res)
{
    const char *value = getenv(rmd_param(req, "name"));
    rmd_text(res, 200, "%s\n", value ? value : "(not set)");
}

static const rmd_route routes[] = {
    {"GET", "/env/:name", tell},
    {0},
};

RMD_APP(.name = "environment", .routes = routes);
