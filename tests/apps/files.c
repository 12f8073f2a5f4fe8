/* Handlers that answer with files, for tests: app_config.folder says where they are. */
#include <remuda.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void by_path(rmd_request *req, rmd_response *res)
{
    rmd_send_file(req, res, rmd_config_string("folder", "."), rmd_param(req, "rest"));
}

/* A file that has no name: "descriptor", open already. */
static void by_descriptor(rmd_request *req, rmd_response *res)
{
    char name[] = "/tmp/remuda-test.fd.XXXXXX";
    int fd = mkstemp(name);
    if (fd < 0 || unlink(name) != 0 || write(fd, "descriptor", 10) != 10) {
        if (fd >= 0)
            close(fd);
        rmd_error(res, 503);
        return;
    }
    rmd_send_fd(req, res, "x/y", fd);
}

static void by_bad_descriptor(rmd_request *req, rmd_response *res)
{
    rmd_send_fd(req, res, "x/y", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static const rmd_route routes[] = {
    {"*", "/path/*rest", by_path, .lane = RMD_INLINE},
    {"*", "/descriptor", by_descriptor, .lane = RMD_INLINE},
    {"*", "/bad-descriptor", by_bad_descriptor, .lane = RMD_INLINE},
    {0},
};

RMD_APP(.name = "files", .routes = routes);
