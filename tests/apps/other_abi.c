/* An application built against a header of another time. */
#include <remuda.h>

const rmd_app rmd_app_entry = {.abi = RMD_ABI_VERSION + 41,
                               .app_size = sizeof(rmd_app),
                               .route_size = sizeof(rmd_route),
                               .group_size = sizeof(rmd_group),
                               .name = "other_abi"};
