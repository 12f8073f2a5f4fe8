/* An application on Kore, beside which bench/run puts remuda: a server in C whose app is a shared
 * object, the nearest relative that Debian has.
 *
 * Kore loads it, finds handlers by the names that its configuration gives for routes (peers.sh),
 * and forks the worker behind kore_parent_configure(). As for the peers in Python, BENCH_FILE holds
 * the body of what is always the same, and BENCH_TYPE is its Content-Type. Kore makes the head of
 * each answer anew and copies what it is given; files it sends by sendfile(2), and keeps them open.
 * From memory it writes 8 KiB at a time, so large answers come from the file. */
#include <kore/kore.h>
#include <kore/hooks.h>
#include <kore/http.h>

#include <fcntl.h>
#include <sys/stat.h>

#if defined(__linux__)
#include <kore/seccomp.h>

#include <sys/syscall.h>
/* What glibc calls for stat(2) since 2.33. It is not on the list of Kore 4.1, whose workers are
 * killed for any other call. */
KORE_SECCOMP_FILTER("bench", KORE_SYSCALL_ALLOW(newfstatat))
#endif

#define BODY_MAX 65536

int give_body(struct http_request *req);
int give_file(struct http_request *req);
int give_part(struct http_request *req);
int give_count(struct http_request *req);

static const char *path, *type;
static char body[BODY_MAX];
static size_t body_len;

/* In the parent, before the worker is forked. Files larger than BODY_MAX are asked of give_file. */
void kore_parent_configure(int argc, char **argv)
{
    FILE *file;

    (void)argc, (void)argv;
    path = getenv("BENCH_FILE");
    type = getenv("BENCH_TYPE");
    file = path && type ? fopen(path, "re") : NULL;
    if (!file)
        fatal("BENCH_FILE cannot be read, or no BENCH_TYPE");
    body_len = fread(body, 1, sizeof(body), file);
    (void)fclose(file);
}

static int give(struct http_request *req, const void *data, size_t len)
{
    http_response_header(req, "content-type", type);
    http_response(req, HTTP_STATUS_OK, data, len);
    return KORE_RESULT_OK;
}

int give_body(struct http_request *req)
{
    return give(req, body, body_len);
}

/* As Kore's own filemap does it, which would not know the type of a file whose name has no dot. */
int give_file(struct http_request *req)
{
    struct kore_server *server = req->owner->owner->server;
    struct kore_fileref *ref = kore_fileref_get(path, server->tls);
    struct stat st;
    int fd;

    if (!ref) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
            return KORE_RESULT_ERROR; /* closes the connection, which wrk reports */
        ref = kore_fileref_create(server, path, fd, st.st_size, &st.st_mtim); /* has fd now */
    }
    http_response_header(req, "content-type", type);
    http_response_fileref(req, HTTP_STATUS_OK, ref);
    return KORE_RESULT_OK;
}

/* /resNNN/:id/parts/:part, which the route's regular expression has seen to. Kore compiles that
 * without groups, so what it matched is looked for once more. */
int give_part(struct http_request *req)
{
    const char *id = strchr(req->path + 1, '/') + 1;
    const char *id_end = strchr(id, '/');
    const char *part = strrchr(id_end, '/') + 1;
    char text[256];
    int len = snprintf(text, sizeof(text), "%.*s %.100s\n", (int)(id_end - id) % 100, id, part);

    return give(req, text, (size_t)len);
}

/* The whole body has come before the handler is called. */
int give_count(struct http_request *req)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "counted %zu\n", req->http_body_length);

    return give(req, text, (size_t)len);
}
