/* remuda_test.h: unit tests of an application's handlers, without a server.
 *
 * The same connection machine, router, filters and limits as in the server, fed from memory. Link
 * the application's objects and `pkg-config --libs remuda-test`:
 *
 *     rmd_test *t = rmd_test_new(&rmd_app_entry);
 *     const rmd_reply *reply = rmd_test_request(t, "GET", "/hello/ann", NULL, NULL, 0);
 *     assert(reply->status == 200);
 *     rmd_test_free(t);
 */
#ifndef REMUDA_TEST_H
#define REMUDA_TEST_H

#include <remuda.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmd_test rmd_test;

/* One answer. Valid until the next call with the same rmd_test. */
typedef struct rmd_reply {
    int status;       /* 0: the connection closed without an answer */
    const char *head; /* status line and fields as sent, NUL-terminated */
    const char *body; /* decoded when it was chunked; NUL-terminated behind body_len */
    size_t body_len;  /* bytes */
    bool is_closing;  /* the connection closes behind this answer */
    rmd_test *test;   /* whose answer it is */
} rmd_reply;

/* Starts a test: runs the app's init and worker_init.
 * Returns  handle; NULL, with the reason on standard error, when the app is refused */
RMD_API rmd_test *rmd_test_new(const rmd_app *app);

/* A scalar of app_config: for the getters, before or between requests. Returns 0; -ENOMEM */
RMD_API int rmd_test_set_config(rmd_test *t, const char *key, const char *value);

/* Sends one request and runs its handler to the end (streams included; waits of a producer are
 * skipped, not waited for).
 * headers  further fields, each "Name: value\r\n"; NULL: none. Host and Content-Length are added
 * body     NULL: none
 * Returns  the answer; never NULL */
RMD_API const rmd_reply *rmd_test_request(rmd_test *t, const char *method, const char *target,
                                          const char *headers, const void *body, size_t body_len);

/* Sends raw octets on a connection of their own; the first answer. */
RMD_API const rmd_reply *rmd_test_raw(rmd_test *t, const void *octets, size_t len);

/* Value of a field of the answer, names without case; NULL when absent. Valid as the reply. */
RMD_API const char *rmd_reply_header(const rmd_reply *reply, const char *name);

/* Runs worker_exit and frees everything. */
RMD_API void rmd_test_free(rmd_test *t);

#ifdef __cplusplus
}
#endif

#endif
