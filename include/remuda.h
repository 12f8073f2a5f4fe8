/* remuda.h: what an application of the remuda server sees.
 *
 * An application is a shared object with a route table:
 *
 *     #include <remuda.h>
 *     static void hello(rmd_request *req, rmd_response *res)
 *     {
 *         rmd_text(res, 200, "hello, %s\n", rmd_param(req, "name"));
 *     }
 *     static const rmd_route routes[] = {{"GET", "/hello/:name", hello}, {0}};
 *     RMD_APP(.name = "hello", .routes = routes);
 *
 *     cc -shared -fPIC hello.c -o hello.so && remuda run ./hello.so
 *
 * Text that a function returns is NUL-terminated and lives, like everything that belongs to a
 * request, until its answer has been sent; the request's arena holds it. The comment of each
 * function says in its Safe line in which lanes and threads it may be called. Usable from C11
 * and from C++17.
 *
 * A route's lane says on which thread everything of its requests runs that the app is called for:
 * filters, handler, consumer, producer, callbacks of tickets. Inline that is the worker's own
 * thread, which serves everybody else; in the io lane it is one of several, never two at a time for
 * one request. What requests share the app must protect, once a route is in io. In the compute lane
 * it is the main thread of another process, which runs one request at a time. */
#ifndef REMUDA_H
#define REMUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RMD_API __attribute__((visibility("default")))
#define RMD_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#else
#define RMD_API
#define RMD_PRINTF(format_at, args_at)
#endif

/* Rows of the tables below name only what they need; the rest is zero (C17 §6.7.9). */
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

/* Grows when a .so built against an older header can no longer be served. */
#define RMD_ABI_VERSION 3

typedef struct rmd_request rmd_request;   /* one request; never outlives its answer */
typedef struct rmd_response rmd_response; /* its answer */
typedef struct rmd_writer rmd_writer;     /* where a streamed answer is written */
typedef struct rmd_deferred rmd_deferred; /* a ticket for an answer that comes later */
typedef struct rmd_call rmd_call;         /* one call of a task, in a compute worker */

/* Borrowed bytes, not NUL-terminated. data may be NULL only when len is 0. */
typedef struct rmd_slice {
    const char *data;
    size_t len; /* bytes */
} rmd_slice;

/* ---- the application's tables ------------------------------------------------------------- */

/* Where a handler runs. */
enum rmd_lane {
    RMD_INLINE,  /* on the worker's event loop: short handlers that never block */
    RMD_IO,      /* on a thread of the worker: handlers that wait */
    RMD_COMPUTE, /* in a process of a compute pool, within its limits: handlers that burn CPU or
                  * memory. Where there are no other processes (--single, call, tests) as RMD_IO */
    RMD_AUTO     /* begins as RMD_IO; moved to RMD_COMPUTE and back, by what its calls wait for and
                  * compute. By saying so an app declares that the handler may run in either: on a
                  * thread, and in another process, where nothing is kept for later requests */
};

/* Fills res, exactly once. A handler that returns without an answer gets 500, unless it has put the
 * answer off (rmd_defer()) or waits for the body (rmd_receive()). */
typedef void (*rmd_handler)(rmd_request *req, rmd_response *res);

/* Runs before the handler, on its thread. 0: go on; anything else: res holds the answer, the
 * handler is skipped (filters `after` still run). */
typedef int (*rmd_before)(rmd_request *req, rmd_response *res);

/* Runs when the answer is complete but not yet sent, on the thread that gave it: may add headers,
 * change the status, log. */
typedef void (*rmd_after)(rmd_request *req, rmd_response *res);

/* Makes the body of an error that the server answers by itself (404, 405, 413, 500 …). res already
 * has the status; leaving it without a body gives the server's own page. Not called for requests
 * that could not be parsed. Filters `after` do not run behind an error that comes before or instead
 * of the handler's answer: 408, 413, 503, 504, 507. Those are made on the worker's own thread, also
 * for routes of the io lane, and the request of a 504 may be a copy without body and user data. */
typedef void (*rmd_error_page)(rmd_request *req, rmd_response *res, int status);

/* One row of the route table; the last row is all zeros. The setting `routes` wins over lane, pool,
 * timeout_ms and body_limit. */
typedef struct rmd_route {
    const char *method;  /* "GET" …; "*": any method. GET also answers HEAD */
    const char *pattern; /* "/users/:id" one segment; "/files/" + "*rest" the rest of the path;
                          * static segments win over parameters, parameters over the rest */
    rmd_handler handler;
    enum rmd_lane lane;
    unsigned timeout_ms;  /* 0: the server's setting; else 1 … 3600000 */
    rmd_handler fallback; /* answers while the route's breaker is open (compute lane); NULL: 503 */
    size_t body_limit;    /* bytes; 0: the setting limit_request_body */
    bool stream_body;     /* call the handler at the end of the head: see rmd_receive() */
    bool idempotent;      /* may be tried once more when its worker dies */
    void *data;           /* yours; see rmd_route_data() */
    const char *pool;     /* lanes compute and auto: name of its pool (setting `pools`); NULL: the
                           * pool "default" */
} rmd_route;

/* Routes that share a path prefix and filters; the last row is all zeros. */
typedef struct rmd_group {
    const char *prefix; /* "/admin": put in front of each pattern; "" for none */
    const rmd_route *routes;
    rmd_before before; /* NULL: none */
    rmd_after after;   /* NULL: none */
} rmd_group;

/* Runs in a compute worker for whoever hands work to it by name, within the limits of its pool.
 * Only the payload goes there: no pointer of the process that asks, no request.
 * payload  valid during the call
 * Returns  0, whatever rmd_call_result() was given goes back; else an error of the app's own, 1 …,
 *          which goes back instead */
typedef int (*rmd_task_function)(rmd_call *call, rmd_slice payload);

/* One row of the task table; the last row is all zeros. */
typedef struct rmd_task {
    const char *name; /* no two the same */
    rmd_task_function run;
    const char *pool;    /* NULL: "default" */
    unsigned timeout_ms; /* 0: the pool's; else 1 … 3600000 */
} rmd_task;

/* Order of calls: app.before, group.before, handler, group.after, app.after. The app's own two
 * also run for requests that no route matches. */
typedef struct rmd_app {
    unsigned abi;              /* filled by RMD_APP */
    unsigned app_size;         /* filled by RMD_APP: sizeof(rmd_app) */
    unsigned route_size;       /* filled by RMD_APP: sizeof(rmd_route) */
    unsigned group_size;       /* filled by RMD_APP: sizeof(rmd_group) */
    unsigned task_size;        /* filled by RMD_APP: sizeof(rmd_task) */
    const char *name;          /* shown in logs and by `remuda routes` */
    const rmd_route *routes;   /* may be NULL */
    const rmd_group *groups;   /* may be NULL */
    rmd_before before;         /* NULL: none */
    rmd_after after;           /* NULL: none */
    rmd_error_page error_page; /* NULL: the server's own */
    int (*init)(void);         /* once in the loader, before any worker is forked: what it leaves in
                                * memory is shared by all workers. Must not start threads (use
                                * worker_init). Not 0: the app is refused */
    int (*worker_init)(void);  /* once in each worker. Not 0: the worker is not used */
    void (*worker_exit)(void); /* once in each worker that ends in an orderly way */
    /* Once in the loader for each compute pool in which routes run, behind init and as it: a model
     * that is loaded here is shared by all workers. Not 0: the app is refused */
    int (*pool_init)(const char *pool);
    /* Once in each compute worker, behind worker_init, within the limits of its pool. Not 0: the
     * worker is not used */
    int (*compute_init)(const char *pool);
    const rmd_task *tasks; /* may be NULL */
} rmd_app;

/* The one definition that every application has; the server looks it up by this name. */
extern RMD_API const rmd_app rmd_app_entry;

#define RMD_APP(...)                                                                               \
    const rmd_app rmd_app_entry = {.abi = RMD_ABI_VERSION,                                         \
                                   .app_size = sizeof(rmd_app),                                    \
                                   .route_size = sizeof(rmd_route),                                \
                                   .group_size = sizeof(rmd_group),                                \
                                   .task_size = sizeof(rmd_task),                                  \
                                   __VA_ARGS__}

/* ---- the request -------------------------------------------------------------------------- */

/* "GET", "POST" … as received.
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_method(const rmd_request *req);

/* The path, percent-decoded once, dot segments removed, without the query: "/hello/ann". An
 * encoded slash stays "%2F", so that it can't be taken for a separator; so does "%252F", and who
 * must tell the two apart asks rmd_param() or rmd_target(). Never decode it again. Starts with "/",
 * or is "*".
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_path(const rmd_request *req);

/* The request target as received, query included (RFC 9112 §3.2).
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_target(rmd_request *req);

/* The query as received, without "?"; "" when there is none.
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_query_string(rmd_request *req);

/* Value of a path parameter, percent-decoded (here an encoded slash is a slash); for "*rest" the
 * rest of the path without its leading slash.
 * name     as in the pattern, without ":" or "*"
 * Returns  text; NULL when the pattern has no such parameter or memory is refused
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_param(rmd_request *req, const char *name);

/* First value of a query parameter, "+" and percent-decoded (application/x-www-form-urlencoded).
 * Returns  text, "" for a name without value; NULL when absent, when an escape is malformed or
 *          decodes to NUL, or when memory is refused
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_query(rmd_request *req, const char *name);

/* Walks over all parameters of the query / of a urlencoded form, in order, repeated names too.
 * at       0 at first; where to go on, afterwards
 * Returns  true: *out_name and *out_value are set, "" for none; NULL where one is malformed or
 *          memory is refused. false at the end
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API bool rmd_query_next(rmd_request *req, size_t *at, const char **out_name,
                            const char **out_value);
RMD_API bool rmd_form_next(rmd_request *req, size_t *at, const char **out_name,
                           const char **out_value);

/* A query parameter as a decimal integer.
 * min, max   allowed range, inclusive
 * Returns    0 and *out_value; -ENOENT absent; -EINVAL not an integer; -ERANGE outside the range.
 *            On failure *out_value is as before, so a default can be put there first
 * Safe       lanes: all · threads: the one that runs the handler */
RMD_API int rmd_query_int(rmd_request *req, const char *name, long long min, long long max,
                          long long *out_value);

/* First value of a field of a form: of an application/x-www-form-urlencoded body as rmd_query(), of
 * a multipart/form-data body the octets of the first part with this name that is no file.
 * Returns  text; NULL also when the body has another Content-Type, is malformed, or the value of a
 *          part holds a NUL
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_form(rmd_request *req, const char *name);

/* One part of a multipart/form-data body (RFC 7578). */
typedef struct rmd_part {
    const char *name;
    const char *filename; /* as the client's file was called, which may be anything: "../../etc/x";
                           * text to show, never a path. NULL: not a file */
    const char *type;     /* its Content-Type; NULL: none was sent, it is text/plain */
    rmd_slice data;       /* in rmd_body(), at offset data_at of it and of rmd_body_fd() */
    size_t data_at;       /* bytes */
} rmd_part;

/* How many parts a multipart/form-data body has, at most 1,000. The whole body was found good.
 * Returns  0 … ; -EINVAL another Content-Type, or malformed; -E2BIG too many parts or headers;
 *          -ENOMEM
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API int rmd_part_count(rmd_request *req);

/* Part number i, 0 … rmd_part_count() - 1, in the client's order.
 * Returns  the part; NULL for none
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const rmd_part *rmd_part_at(rmd_request *req, size_t i);

/* The first part of a name.
 * Returns  the part; NULL for none
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const rmd_part *rmd_part_find(rmd_request *req, const char *name);

/* Value of a header field, without blanks around it; names compare without case. When a field came
 * several times, its values joined by ", " (RFC 9110 §5.3; Cookie by "; ").
 * Returns  text; NULL when absent or memory is refused
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_header(rmd_request *req, const char *name);

/* How many header fields came, 0 … limit_request_fields.
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API size_t rmd_header_count(const rmd_request *req);

/* One header field as received, in order.
 * i        0 … rmd_header_count() - 1
 * Returns  0; -ERANGE
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API int rmd_header_at(const rmd_request *req, size_t i, rmd_slice *out_name,
                          rmd_slice *out_value);

/* Value of a cookie (RFC 6265 §5.4), as received, surrounding quotes removed.
 * Returns  text; NULL when absent or memory is refused
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_cookie(rmd_request *req, const char *name);

/* The whole body; len 0 when there is none, and in a handler with stream_body. One above
 * body_buffer_size lies in a spool file, of which this is a read-only mapping.
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API rmd_slice rmd_body(const rmd_request *req);

/* Descriptor of the spool file that holds the body, at offset 0, for copy_file_range(2) and the
 * like. The server keeps and closes it; its read position means nothing.
 * Returns  descriptor; -1 when the body is in memory
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API int rmd_body_fd(const rmd_request *req);

/* Takes a piece of a body that comes in; an empty piece (len 0) says that it was all of it. May
 * give the answer in res at any piece: what follows is then not delivered any more. After the empty
 * piece it must give one, or put it off. rmd_defer() at an earlier piece makes the body wait: an
 * answer callback that gives no answer lets it go on.
 * piece  valid during the call */
typedef void (*rmd_consumer)(rmd_request *req, rmd_response *res, rmd_slice piece, void *state);

/* Asks for the body piece by piece, as the client sends it. With stream_body in the route's row the
 * handler is called when the head is there and nothing of the body is kept; without it, or without
 * a body, the pieces are there at once. 100 Continue is sent now, if the client waits for it; a
 * handler with stream_body that answers without rmd_receive() refuses the body unread.
 * consume  called after the handler has returned, never before, in the route's lane
 * done     called exactly once with state, also when the client goes away, on the worker's own
 *          thread; NULL: none
 * Returns  0; -EBUSY it was asked for already (done is not called)
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API int rmd_receive(rmd_request *req, rmd_consumer consume, void *state,
                        void (*done)(void *state));

/* Who sent it: "192.0.2.1:54321", "[2001:db8::1]:54321", or "unix:" for a unix socket. Behind
 * proxies that are trusted (forwarded_allow_ips, proxy_protocol) it is the client that they name,
 * with port 0 when they name none.
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_peer(rmd_request *req);

/* "https" when a trusted proxy says that the client came by it (Forwarded, secure_scheme_headers),
 * else "http".
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_scheme(const rmd_request *req);

/* The authority that the request is for: "www.example.org", "localhost:8000", "[::1]:8000"; as the
 * client sent it to the first trusted proxy, where that says so, else the target's or that of Host.
 * "" for an HTTP/1.0 request without one. A client may write any name here.
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_host(const rmd_request *req);

/* Identity of this request across logs, answers and processes: the trace-id of the client's
 * traceparent (W3C Trace Context), else its X-Request-ID where that is 1 to 128 characters of A–Z
 * a–z 0–9 . _ - =, else 32 hexadecimal digits made here. Every answer carries it
 * (request_id_header).
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_trace_id(rmd_request *req);

/* A traceparent for requests that the app itself makes on behalf of this one: the client's trace
 * where it sent a valid traceparent, else a trace of this request's own; the parent is new at each
 * call.
 * Returns  text; NULL when memory is refused
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_traceparent(rmd_request *req);

/* Pattern of the matched route, prefix included: "/hello/:name"; "" when none matched.
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_route_pattern(const rmd_request *req);

/* The .data of the matched route; NULL when none matched.
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API void *rmd_route_data(const rmd_request *req);

/* One pointer that filters and handlers of this request hand each other; NULL at first.
 * Safe  lanes: all · threads: the one that runs the handler */
RMD_API void rmd_set_user_data(rmd_request *req, void *data);
RMD_API void *rmd_user_data(const rmd_request *req);

/* Memory from the request's arena: aligned for any type, not zeroed, never freed one by one, gone
 * when the answer has been sent.
 * Returns  pointer; NULL when memory is refused
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void *rmd_alloc(rmd_request *req, size_t bytes);

/* printf into the request's arena.
 * Returns  text; NULL when memory is refused
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_format(rmd_request *req, const char *format, ...) RMD_PRINTF(2, 3);

/* A JSON string literal with its quotes (RFC 8259 §7), in the request's arena. Bytes that are no
 * valid UTF-8 become U+FFFD.
 * Returns  text; NULL when memory is refused
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_json_quote(rmd_request *req, const char *data, size_t len);

/* ---- the response ------------------------------------------------------------------------- */

/* The server adds Date, Server (server_header), Content-Length or Transfer-Encoding, Connection,
 * X-Request-ID (request_id_header) and, to a 405, Allow. Setting one of the first five is refused;
 * one of the last two that a handler sets is sent instead. The body of an answer to HEAD, and of
 * 204 and 304, is not sent, whatever was given (RFC 9110 §6.4.1). Every function that gives an
 * answer replaces an earlier one. All of them: Safe  lanes: all · threads: the one that runs the
 * handler. */

/* Status without body.
 * status   200 … 599; anything else gives 500
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void rmd_set_status(rmd_response *res, int status);

/* Status set so far; 0 while there is no answer.
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API int rmd_status(const rmd_response *res);

/* Sets a header field in place of every earlier one of this name / adds one more.
 * name     token (RFC 9110 §5.6.2)
 * value    no CR, LF, NUL or other control character but HTAB; copied
 * Returns  0; -EINVAL (nothing changed); -EPERM a field that the server owns; -ENOMEM
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API int rmd_set_header(rmd_response *res, const char *name, const char *value);
RMD_API int rmd_add_header(rmd_response *res, const char *name, const char *value);

/* Value of a field that was set, for `after` filters.
 * Returns  text; NULL when absent
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_response_header(const rmd_response *res, const char *name);

/* Answers printf text as text/plain; charset=utf-8.
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void rmd_text(rmd_response *res, int status, const char *format, ...) RMD_PRINTF(3, 4);

/* Answers printf text as application/json; see rmd_json_quote().
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void rmd_json(rmd_response *res, int status, const char *format, ...) RMD_PRINTF(3, 4);

/* Answers bytes, copied before return.
 * type     Content-Type, copied; NULL: none, also when one was set before
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void rmd_send(rmd_response *res, int status, const char *type, const void *data,
                      size_t len);

/* Answers bytes without copying them. They stay untouched until done(arg) is called, which happens
 * exactly once, when they have been sent or are no longer wanted, on the worker's own thread; or by
 * a function that gives another answer in place of this one.
 * done     NULL: static data, or memory of this request (rmd_alloc(), rmd_body())
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void rmd_send_ref(rmd_response *res, int status, const char *type, const void *data,
                          size_t len, void (*done)(void *arg), void *arg);

/* Answers GET and HEAD with a file beneath a folder: Content-Type by its name, ETag, Last-Modified,
 * preconditions, ranges, and NAME.br or NAME.gz in its place for clients that prefer them. Other
 * methods get 405. What is no regular file beneath the folder is 404: "..", links that lead out,
 * names that begin with ".", folders.
 * folder   as the worker sees it; relative ones from its working directory
 * path     relative to folder, decoded: rmd_param(req, "rest")
 * Safe     lanes: all · threads: the one that runs the handler; may block on the file system */
RMD_API void rmd_send_file(rmd_request *req, rmd_response *res, const char *folder,
                           const char *path);

/* Answers with an open regular file, from its beginning to its present end. For GET and HEAD with
 * ETag, Last-Modified, preconditions and ranges, as rmd_send_file() has them. The server closes fd
 * when it has been sent or is no longer wanted, also on failure.
 * type     Content-Type, copied; NULL: none
 * fd       open for reading
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void rmd_send_fd(rmd_request *req, rmd_response *res, const char *type, int fd);

/* Answers with a Location. status 301, 302, 303, 307 or 308.
 * Returns  0; -EINVAL (then the answer is 500); -ENOMEM
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API int rmd_redirect(rmd_response *res, int status, const char *location);

/* Answers the error page of a status (the app's error_page, else the server's).
 * status   400 … 599
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void rmd_error(rmd_response *res, int status);

/* What a producer of a streamed answer returns: how many milliseconds to wait before it is called
 * again (0: as soon as the client can take more; at most 3600000), or one of these. One that has
 * nothing to write yet should say how long to wait: if it returns 0 without having written, 16
 * times in a row, it is called every 10 ms from then on, and the log says so. */
enum { RMD_END = -1, RMD_ABORT = -2 }; /* complete / broken: cut the connection */
typedef int (*rmd_producer)(rmd_writer *out, void *state);

/* What the server can say of an error that it answers by itself, beyond its status, for people to
 * read: "the handler needs more than memory_limit (512 MiB) of its compute pool". For error pages.
 * Returns  text; NULL: nothing
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API const char *rmd_error_why(const rmd_request *req);

/* ---- what the client would like ----------------------------------------------------------- */

/* Which of what the app has does the client prefer (RFC 9110 §12.5)? By Accept, Accept-Encoding,
 * Accept-Language. An answer that depends on it should name the field in Vary. For codings
 * "identity" is the content as it is.
 * offers   best first, NULL-terminated: (const char *[]){"text/html", "application/json", NULL}
 * Returns  index of the offer; -1: none is acceptable (406, or a default)
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API int rmd_accept_type(rmd_request *req, const char *const *offers);
RMD_API int rmd_accept_encoding(rmd_request *req, const char *const *offers);
RMD_API int rmd_accept_language(rmd_request *req, const char *const *offers);

/* Sets ETag and Last-Modified, then judges the request's preconditions by them (If-Match,
 * If-None-Match, If-Modified-Since, If-Unmodified-Since; RFC 9110 §13). To be called where the
 * answer will be 2xx, before the work for it.
 * etag      with its quotes: "\"v7\"", "W/\"v7\"" for a weak one; NULL: none
 * modified  seconds since 1970; negative: not known
 * Returns   true: res holds the answer, 304 or 412, and the handler is done. false: go on
 * Safe      lanes: all · threads: the one that runs the handler */
RMD_API bool rmd_precondition(rmd_request *req, rmd_response *res, const char *etag,
                              long long modified);

/* Lets a GET have parts of the answer that was given: bytes (rmd_send(), rmd_send_ref(),
 * rmd_text()) with status 200. Range gives 206 with one part or several (multipart/byteranges) or
 * 416, If-Range is judged by the ETag and Last-Modified that res has (RFC 9110 §14). Says
 * Accept-Ranges.
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void rmd_allow_ranges(rmd_request *req, rmd_response *res);

/* Answers a stream: head now, body from produce(), which is called when the wait that it asked for
 * is over and no more than 64 KiB are gathered or unsent (so a slow client holds up its own stream
 * only). HTTP/1.1 clients get it chunked, 1.0 clients until close. A client that ends its side of
 * the connection is taken to have left. In the io lane produce() runs on a thread, may block as
 * long as request_timeout allows, and is called several times in a row while it does not ask to
 * wait.
 * done     called exactly once with state, also when the client goes away, on the worker's own
 *          thread; NULL: none
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API void rmd_stream(rmd_response *res, int status, const char *type, rmd_producer produce,
                        void *state, void (*done)(void *state));

/* Writes to a stream; copied. A producer should write some 16 KiB a call: more costs memory.
 * Returns  0; -ENOMEM
 * Safe     only inside a producer */
RMD_API int rmd_write(rmd_writer *out, const void *data, size_t len);
RMD_API int rmd_write_format(rmd_writer *out, const char *format, ...) RMD_PRINTF(2, 3);

/* Writes one server-sent event (WHATWG HTML, text/event-stream); newlines in data are handled.
 * event    its type; NULL: "message"
 * Returns  0; -EINVAL a line break in event; -ENOMEM
 * Safe     only inside a producer */
RMD_API int rmd_write_event(rmd_writer *out, const char *event, const char *data);

/* ---- answers that come later --------------------------------------------------------------- */

/* Gives the answer that was put off: fills res as a handler does, or puts it off once more. When
 * the request has ended without it (the client left, or had to wait too long) req and res are NULL:
 * then it only frees what arg holds, on the worker's own thread. */
typedef void (*rmd_answer)(rmd_request *req, rmd_response *res, void *arg);

/* Puts the answer off: the handler returns, the connection waits, the worker serves others, and
 * whatever thread or callback has the result turns the ticket in with rmd_complete(). Every ticket
 * must be turned in, exactly once. After the route's timeout_ms (0: the setting request_timeout),
 * counted from this call, the client is answered 504. Filters `after` run when the answer is there.
 * A client that ends its side of the connection meanwhile is taken to have left.
 * Returns  the ticket; NULL when there is one already, when the answer is there already (in filters
 *          `after`), or when memory is refused
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API rmd_deferred *rmd_defer(rmd_request *req);

/* Turns a ticket in, which then is no longer the caller's. answer(req, res, arg) is called soon,
 * exactly once, in the route's lane and never from within this function.
 * Safe     everywhere but in signal handlers; any thread */
RMD_API void rmd_complete(rmd_deferred *ticket, rmd_answer answer, void *arg);

/* Is somebody still waiting for this answer? For work that may be given up half-way.
 * Safe     any thread that holds the ticket */
RMD_API bool rmd_is_wanted(const rmd_deferred *ticket);

/* Does nobody wait for this request's answer any more: has its client left, or its time passed? For
 * handlers of the lanes io and compute that may give up half-way; what they answer then goes
 * nowhere. It costs a load from memory.
 * Returns  true: it may. Always false inline, where nobody can notice
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API bool rmd_cancelled(const rmd_request *req);

/* How long is this request's answer still waited for?
 * Returns  milliseconds, 0: not any more; -1: without end, or on the loop of an event worker, where
 *          nobody counts but a client that has said how long it waits (setting deadline_header)
 * Safe     lanes: all · threads: the one that runs the handler */
RMD_API long long rmd_deadline_ms(const rmd_request *req);

/* ---- heavy work from other handlers --------------------------------------------------------- */

/* Gives the answer that waited for a task: fills res as a handler does, in the route's lane. When
 * the request has ended without it, req and res are NULL: then it only frees what arg holds.
 * error   0: result is what the task gave; 1 …: the task's own; negative: -EAGAIN the queue is
 *         full, or it would wait there past its time; -ECONNREFUSED its circuit breaker is open;
 *         -ETIMEDOUT its time was over; -ENOMEM its worker was refused memory; -ETIME it used too
 *         much CPU time; -ECANCELED the server stops, or nobody waits any more; -EIO its worker
 *         died; another -errno
 * result  as memory of the request (rmd_alloc()), so rmd_send_ref() may send it from there */
typedef void (*rmd_offloaded)(rmd_request *req, rmd_response *res, int error, rmd_slice result,
                              void *arg);

/* Hands work to a task of the app's table, which runs in a compute worker, and puts the answer off
 * until it is done, as rmd_defer() does. Where there are no other processes (--single, call, tests)
 * it runs at once.
 * payload     copied, but for a whole body that lies in a file (rmd_body_fd()), which goes as it
 *             is; at most as large as `segment`. What is large is copied here, on this thread
 * timeout_ms  0: that of the task, or of its pool; else at most so long. Never longer than the
 *             answer is waited for, less a tenth of a second for what done has to say
 * done        called exactly once, never from within this function
 * Returns     0; -ENOENT there is no such task; -EBUSY the answer is put off, or there, already;
 *             -EOPNOTSUPP in a compute worker; -EMSGSIZE too large; -ENOMEM. On failure done is not
 *             called
 * Safe        lanes: inline, io · threads: the one that runs the handler */
RMD_API int rmd_offload(rmd_request *req, const char *task, const void *payload, size_t len,
                        unsigned timeout_ms, rmd_offloaded done, void *arg);

/* Likewise, but waits for the result and puts nothing off: for handlers that may block, those of
 * the lane io and all of sync workers. It also comes back when nobody waits for the answer any
 * more; a client that ends its side of the connection is taken to have left.
 * payload     not copied, where that is not needed
 * out_result  as memory of the request; untouched on failure. NULL: nobody wants it
 * Returns     0; as error of rmd_offloaded: 1 …: the task's own, a negative one; also -ENOENT there
 *             is no such task, -EOPNOTSUPP in a compute worker, -EMSGSIZE too large, -ECANCELED
 *             nobody waits for the answer, -EDEADLK on the loop of an event worker, which others
 *             need
 * Safe        lanes: io, all of sync workers · threads: the one that runs the handler */
RMD_API int rmd_offload_wait(rmd_request *req, const char *task, const void *payload, size_t len,
                             unsigned timeout_ms, rmd_slice *out_result);

/* Answers the error page that a failed call calls for, with the status of a request of the lane
 * compute that ends so: 503 where another try may help (full, refused, cancelled, too much memory
 * or CPU time), 504 for one whose time was over, else 500, also for a task's own error. Retry-After
 * is a second: the handler may know better, and say so after this call. A mistake of the app (no
 * such task, say, or a payload that is too large) is logged.
 * error  as of rmd_offloaded or rmd_offload_wait(), not 0
 * Safe   lanes: all · threads: the one that runs the handler */
RMD_API void rmd_offload_error(rmd_response *res, int error);

/* What became of one of several payloads. */
typedef struct rmd_outcome {
    int error; /* as for rmd_offloaded */
    rmd_slice result;
} rmd_outcome;

/* As rmd_offloaded. outcomes: n of them, in the order of the payloads, valid during the call */
typedef void (*rmd_mapped)(rmd_request *req, rmd_response *res, const rmd_outcome *outcomes,
                           size_t n, void *arg);

/* As rmd_offload(), with many payloads for one task. No more are out at a time than keep the pool
 * busy (twice its workers, a quarter of its queue), so that others get their turn; where the queue
 * is full, they wait for room.
 * n           1 … 100000
 * timeout_ms  for all of it
 * Returns     as rmd_offload(); -EINVAL another n
 * Safe        lanes: inline, io · threads: the one that runs the handler */
RMD_API int rmd_offload_map(rmd_request *req, const char *task, const rmd_slice *payloads, size_t n,
                            unsigned timeout_ms, rmd_mapped done, void *arg);

/* ---- inside a task ------------------------------------------------------------------------ */

/* Memory of the call, as rmd_alloc(); a result that lies in it is not copied.
 * Returns  pointer; NULL when memory is refused
 * Safe     tasks · threads: the one that runs the task */
RMD_API void *rmd_call_alloc(rmd_call *call, size_t bytes);

/* What goes back when the task returns 0; the last one given counts. Without one it is empty.
 * data     valid until the task has returned: memory of the call, the payload, or static
 * len      at most the pool's `segment`; else its asker gets -EMSGSIZE
 * Safe     tasks · threads: the one that runs the task */
RMD_API void rmd_call_result(rmd_call *call, const void *data, size_t len);

/* As rmd_cancelled() and rmd_deadline_ms().
 * Returns  true: nobody waits for it any more / milliseconds, 0: not any more, -1: without end
 * Safe     tasks · any thread, until the task has returned */
RMD_API bool rmd_call_cancelled(const rmd_call *call);
RMD_API long long rmd_call_deadline_ms(const rmd_call *call);

/* ---- settings, process, log --------------------------------------------------------------- */

/* app_config: of the YAML file, by dotted key ("db.pool_size").
 * Returns  the value; fallback when there is none, and when it has another type than asked for
 *          (then with one warning in the log, which names its file and line)
 * Safe     everywhere, from init on; any thread */
RMD_API const char *rmd_config_string(const char *key, const char *fallback);
RMD_API long long rmd_config_int(const char *key, long long fallback);
RMD_API bool rmd_config_bool(const char *key, bool fallback);
RMD_API double rmd_config_double(const char *key, double fallback);
RMD_API long long rmd_config_duration_ms(const char *key, long long fallback_ms); /* "30s" */
RMD_API long long rmd_config_bytes(const char *key, long long fallback_bytes);    /* "64MiB" */

/* Which process this is: "loader", "web", "compute", "single" or "test".
 * Safe  everywhere */
RMD_API const char *rmd_role(void);

/* Its slot, 0 … workers - 1, of a compute worker in its pool; -1 where there is none.
 * Safe  everywhere */
RMD_API int rmd_slot(void);

/* Its generation, 1 …; 0 where there is none.
 * Safe  everywhere */
RMD_API int rmd_generation(void);

enum rmd_log_level { RMD_LOG_ERROR, RMD_LOG_WARN, RMD_LOG_NOTICE, RMD_LOG_INFO, RMD_LOG_DEBUG };

/* One line in the server's log; control characters are escaped.
 * Safe  everywhere but in signal handlers; any thread */
RMD_API void rmd_log(enum rmd_log_level level, const char *format, ...) RMD_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif

#endif
