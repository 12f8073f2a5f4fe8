/* The functions of remuda.h that answer with files. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "http/files.h"
#include "http/opened.h"
#include "include/remuda.h"
#include "workers/chain.h"

static int64_t now_seconds(void)
{
    return (int64_t)(clock_wall_us() / CLOCK_US_PER_S);
}

void rmd_send_file(rmd_request *req, rmd_response *res, const char *folder, const char *path)
{
    const struct app *app = chain_get_process()->app;
    struct err err = {0};
    struct files files = {
        .root_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .is_following = true,
        .is_br = true,
        .is_gzip = true,
        .mime = app ? &app->mime : NULL,
    };
    int status = 500;
    if (files.root_fd < 0)
        err_set(&err, errno, "can't open the folder %s: %s", folder, strerror(errno));
    else if (!path)
        status = 404; /* as rmd_param() says that it was malformed */
    else
        status = files_answer_one(&files, path, now_seconds(), req, res, &err);
    fd_close(&files.root_fd);
    chain_finish_file(req, res, status, &err);
}

/* A copy of the type in the arena. Returns 0; -ENOMEM */
static int copy_type(rmd_request *req, const char *type, struct str *out_type)
{
    const char *copy = arena_strndup(req->arena, type ? type : "", type ? strlen(type) : 0);
    *out_type = str_of(copy);
    return copy ? 0 : -ENOMEM;
}

void rmd_send_fd(rmd_request *req, rmd_response *res, const char *type, int fd)
{
    struct opened file = {.fd = fd};
    struct err err = {0};
    int status = 500;
    bool is_text = !type || !str_has_control(str_of(type));
    if (!is_text)
        err_set(&err, EINVAL, "control character in a Content-Type");
    else if (copy_type(req, type, &file.type) < 0)
        err_set(&err, ENOMEM, "no memory for an answer");
    else if (fstat(fd, &file.st) < 0)
        err_set(&err, errno, "fstat: %s", strerror(errno));
    else if (!S_ISREG(file.st.st_mode))
        err_set(&err, EINVAL, "the descriptor is of no regular file");
    else
        status = -1;
    if (status > 0)
        fd_close(&fd);
    else
        status = opened_answer(&file, now_seconds(), req, res, &err);
    chain_finish_file(req, res, status, &err);
}
