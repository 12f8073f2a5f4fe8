/* A route whose pattern is none: a parameter without a name. */
#include <remuda.h>

static void answer(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_set_status(res, 204);
}

static const rmd_route routes[] = {
    {"GET", "/users/:/posts", answer, .lane = RMD_INLINE},
    {0},
};

RMD_APP(.name = "bad_pattern", .routes = routes);
