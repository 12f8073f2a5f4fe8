/* An application on GNU libmicrohttpd, beside which bench/run puts remuda: a library in C that
 * somebody might have taken instead.
 *
 * One thread with the library's epoll loop, its way to serve many connections with one thread. The
 * answer is made once and queued for every request that asks for it; what is computed for each
 * request (a route's parameters, a body's length, a file's descriptor) is made for each, since that
 * is the work of such a server. Arguments are those of the references, whose socket it uses, too.
 * The library has no router: a binary search among the names of the 200 resources stands for it. */
#include "bench/reference.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS_MAX 100000u
#define KEEP_ALIVE_S 75u
#define ROUTES 200
#define NAME_LEN 7 /* "/res137" */

static char routes[ROUTES][NAME_LEN + 1]; /* in order */
static struct MHD_Response *ready;        /* the answer that is always the same */

/* The field Connection is the library's, and so are Date and Content-Length. */
static struct MHD_Response *with_fields(struct MHD_Response *response)
{
    if (!response || MHD_add_response_header(response, "Server", "libmicrohttpd") != MHD_YES ||
        MHD_add_response_header(response, "Content-Type", reference_content()->type) != MHD_YES)
        abort(); /* no memory: the measurement is over */
    return response;
}

/* Gives an answer that was made for this request. */
static enum MHD_Result give(struct MHD_Connection *connection, struct MHD_Response *response)
{
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, with_fields(response));

    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result give_text(struct MHD_Connection *connection, char *text, int len)
{
    return give(connection,
                MHD_create_response_from_buffer((size_t)len, text, MHD_RESPMEM_MUST_COPY));
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, NAME_LEN);
}

/* /resNNN/:id/parts/:part */
static enum MHD_Result give_part(struct MHD_Connection *connection, const char *url)
{
    static const char between[] = "/parts/";
    const char *id = url + NAME_LEN + 1;
    const char *id_end = strchr(id, '/');
    char text[256];

    if (!bsearch(url, routes, ROUTES, sizeof(routes[0]), compare) || !id_end ||
        strncmp(id_end, between, sizeof(between) - 1) != 0)
        return MHD_NO; /* closes the connection, which wrk reports */
    return give_text(connection, text,
                     snprintf(text, sizeof(text), "%.*s %.100s\n", (int)(id_end - id) % 100, id,
                              id_end + sizeof(between) - 1));
}

static enum MHD_Result give_file(struct MHD_Connection *connection)
{
    struct stat st;
    int fd = open(reference_content()->file, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return MHD_NO;
    return give(connection, MHD_create_response_from_fd((size_t)st.st_size, fd)); /* closes fd */
}

/* The library calls with the head, then with each piece of a body, then without one. Only the last
 * call may be answered: at the first it takes an answer for a refusal, and closes the connection.
 * *state is one more than the octets of the body that have come, NULL at the first call. */
static enum MHD_Result on_request(void *closure, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *piece,
                                  size_t *piece_len, void **state)
{
    char text[64];

    (void)closure, (void)version, (void)piece;
    if (!*state || *piece_len > 0) {
        *state = (void *)((uintptr_t)*state + (*state ? *piece_len : 1));
        *piece_len = 0;
        return MHD_YES;
    }
    if (method[0] == 'P')
        return give_text(connection, text,
                         snprintf(text, sizeof(text), "counted %zu\n", (size_t)*state - 1));
    if (strncmp(url, "/res", 4) == 0 && strlen(url) > NAME_LEN + 1)
        return give_part(connection, url);
    if (strncmp(url, "/files/", 7) == 0 && reference_content()->file)
        return give_file(connection);
    return MHD_queue_response(connection, MHD_HTTP_OK, ready);
}

int main(int argc, char **argv)
{
    int listen_fd = reference_init(argc, argv);
    const struct reference_content *content = reference_content();

    for (int i = 0; i < ROUTES; i++)
        (void)snprintf(routes[i], sizeof(routes[i]), "/res%03d", i);
    ready = with_fields(MHD_create_response_from_buffer(content->body_len, (void *)content->body,
                                                        MHD_RESPMEM_PERSISTENT));
    if (!MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_USE_ERROR_LOG, 0,
                          NULL, NULL, on_request, NULL, MHD_OPTION_LISTEN_SOCKET, listen_fd,
                          MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                          MHD_OPTION_CONNECTION_TIMEOUT, KEEP_ALIVE_S, MHD_OPTION_END)) {
        fprintf(stderr, "%s: the library does not start\n", argv[0]);
        return 2;
    }
    for (;;)
        pause();
}
