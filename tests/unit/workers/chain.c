/* workers/chain.c: order of filters and handlers, error pages and their guard against recursion,
 * what happens when an app makes a mistake, answers that come later, folders that the settings
 * mount, and which apps are refused. */
#include "workers/chain.h"

#include <fcntl.h>

#include "tests/unit/workers/calls.h"
#include "workers/mounts.h"

static char trail[256]; /* who was called, in order */
static int stops;       /* which filter answers by itself: 'a' the app's, 'g' the group's, 0 none */
static void (*in_after)(rmd_request *req, rmd_response *res);
static int page_status; /* that the error page was asked for */
static unsigned n_pages;
static enum { PAGE_NONE, PAGE_TEXT, PAGE_ERROR, PAGE_FIELD, PAGE_STATUS, PAGE_BAD_STATUS } page;

static void note(const char *who)
{
    size_t len = strlen(trail);
    (void)snprintf(trail + len, sizeof trail - len, "%s%s", len ? " " : "", who);
}

static int filter(rmd_response *res, const char *name, int letter)
{
    note(name);
    if (stops != letter)
        return 0;
    rmd_text(res, 401, "stopped");
    return 1;
}

static int app_before(rmd_request *req, rmd_response *res)
{
    (void)req;
    return filter(res, "app.before", 'a');
}

static int group_before(rmd_request *req, rmd_response *res)
{
    (void)req;
    return filter(res, "group.before", 'g');
}

static void group_after(rmd_request *req, rmd_response *res)
{
    (void)req;
    note("group.after");
    CHECK_EQ(rmd_set_header(res, "X-After", "group"), 0);
}

static void app_after(rmd_request *req, rmd_response *res)
{
    note("app.after");
    if (in_after)
        in_after(req, res);
}

static void handler(rmd_request *req, rmd_response *res)
{
    note("handler");
    rmd_text(res, 200, "%s", rmd_route_pattern(req));
}

static void handle_nothing(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
    note("handler");
}

static void handle_status(rmd_request *req, rmd_response *res)
{
    long long status = 0;
    CHECK_EQ(rmd_query_int(req, "s", -1000000, 1000000, &status), 0);
    if (rmd_query(req, "empty"))
        rmd_set_status(res, (int)status);
    else
        rmd_text(res, (int)status, "body");
}

static void handle_error(rmd_request *req, rmd_response *res)
{
    long long status = 0;
    CHECK_EQ(rmd_query_int(req, "s", -1000000, 1000000, &status), 0);
    rmd_error(res, (int)status);
}

static void handle_two_errors(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_error(res, 404);
    rmd_error(res, 418);
}

static unsigned times_later; /* that an answer is put off once more */

static void give_later(rmd_request *req, rmd_response *res, void *arg)
{
    (void)arg;
    CHECK(req != NULL && res != NULL);
    note("answer");
    if (times_later > 0) {
        times_later--;
        rmd_complete(rmd_defer(req), give_later, NULL);
    } else if (rmd_query(req, "error")) {
        rmd_error(res, 404);
    } else if (!rmd_query(req, "nothing")) {
        rmd_text(res, 200, "later");
    }
}

static void handle_later(rmd_request *req, rmd_response *res)
{
    (void)res;
    note("handler");
    rmd_complete(rmd_defer(req), give_later, NULL);
}

static void take_piece(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    (void)req;
    (void)state;
    note(piece.len > 0 ? "piece" : "end");
    if (piece.len == 0)
        rmd_text(res, 200, "taken");
}

static void handle_pieces(rmd_request *req, rmd_response *res)
{
    (void)res;
    note("handler");
    CHECK_EQ(rmd_receive(req, take_piece, NULL, NULL), 0);
}

static void error_page(rmd_request *req, rmd_response *res, int status)
{
    (void)req;
    n_pages++;
    page_status = status;
    CHECK_EQ(rmd_status(res), status);
    if (page == PAGE_TEXT)
        rmd_text(res, status, "page of %d", status);
    else if (page == PAGE_ERROR)
        rmd_error(res, 502); /* from within: gets the server's page */
    else if (page == PAGE_FIELD)
        CHECK_EQ(rmd_set_header(res, "X-Page", "yes"), 0);
    else if (page == PAGE_STATUS)
        rmd_set_status(res, 410);
    else if (page == PAGE_BAD_STATUS)
        rmd_text(res, 42, "page");
}

static const rmd_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = handler},
    {.method = "GET", .pattern = "/nothing", .handler = handle_nothing},
    {.method = "GET", .pattern = "/status", .handler = handle_status},
    {.method = "GET", .pattern = "/error", .handler = handle_error},
    {.method = "GET", .pattern = "/two", .handler = handle_two_errors},
    {.method = "POST", .pattern = "/small", .handler = handler, .body_limit = 3},
    {0}};
static const rmd_route group_routes[] = {
    {.method = "GET", .pattern = "/in", .handler = handler},
    {.method = "POST", .pattern = "/in", .handler = handler},
    {.method = "GET", .pattern = "/later", .handler = handle_later},
    {.method = "POST", .pattern = "/pieces", .handler = handle_pieces, .stream_body = true},
    {.method = "GET", .pattern = "/f/:id", .handler = handler},
    {.method = "GET", .pattern = "/f/fixed", .handler = handler},
    {0}};
static const rmd_route plain_routes[] = {{.method = "GET", .pattern = "/in", .handler = handler},
                                         {0}};
static const rmd_group groups[] = {
    {.prefix = "/g", .routes = group_routes, .before = group_before, .after = group_after},
    {.prefix = "/plain", .routes = plain_routes},
    {0}};
static const rmd_app filtered = CALLS_APP(.routes = routes, .groups = groups, .before = app_before,
                                          .after = app_after, .error_page = error_page);
static const rmd_app bare = CALLS_APP(.routes = routes);

static int setup(void **state)
{
    (void)state;
    trail[0] = '\0';
    stops = 0;
    in_after = NULL;
    page = PAGE_NONE;
    n_pages = 0;
    calls_open(&filtered);
    return 0;
}

static int setup_bare(void **state)
{
    (void)state;
    trail[0] = '\0';
    calls_open(&bare);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    calls_close();
    return 0;
}

static const char *trail_of(const char *target, int *out_status)
{
    trail[0] = '\0';
    *out_status = calls_get(target);
    return trail;
}

/* ---- order ---- */

static void filters_run_around_the_handler_from_outside_in(void **state)
{
    (void)state;
    int status;
    CHECK_TEXT(trail_of("/g/in", &status), "app.before group.before handler group.after app.after");
    CHECK_EQ(status, 200);
    CHECK_TEXT(calls_text(), "/g/in");
    CHECK_TEXT(calls_field("X-After"), "group");
    CHECK_TEXT(trail_of("/plain/in", &status), "app.before handler app.after");
    CHECK_TEXT(trail_of("/", &status), "app.before handler app.after");
    CHECK(calls_field("X-After") == NULL);
}

static void the_apps_own_filters_run_without_a_route_too(void **state)
{
    (void)state;
    int status;
    CHECK_TEXT(trail_of("/nowhere", &status), "app.before app.after");
    CHECK_EQ(status, 404);
    CHECK_TEXT(trail_of("/g/nowhere", &status), "app.before app.after");
    stops = 'a';
    CHECK_TEXT(trail_of("/nowhere", &status), "app.before app.after");
    CHECK_EQ(status, 401);
}

static void a_filter_that_answers_stops_the_way_in_but_not_the_way_out(void **state)
{
    (void)state;
    int status;
    stops = 'a';
    CHECK_TEXT(trail_of("/g/in", &status), "app.before group.after app.after");
    CHECK_EQ(status, 401);
    CHECK_TEXT(calls_text(), "stopped");
    stops = 'g';
    CHECK_TEXT(trail_of("/g/in", &status), "app.before group.before group.after app.after");
    CHECK_EQ(status, 401);
    CHECK_TEXT(calls_field("X-After"), "group");
}

/* ---- without a route ---- */

static void methods_are_offered_when_the_one_asked_for_is_missing(void **state)
{
    (void)state;
    CHECK_EQ(calls_send_request("DELETE", "/g/in", "", NULL), 405);
    CHECK_TEXT(calls_field("Allow"), "GET, HEAD, OPTIONS, POST");
    CHECK_EQ(page_status, 405);
    CHECK_EQ(calls_send_request("OPTIONS", "/g/in", "", NULL), 204);
    CHECK_TEXT(calls_field("Allow"), "GET, HEAD, OPTIONS, POST");
    CHECK(calls_field("Content-Length") == NULL);
    CHECK_EQ(calls_send_request("OPTIONS", "*", "", NULL), 204);
    CHECK_TEXT(calls_field("Allow"), "GET, HEAD, OPTIONS, POST");
    CHECK_EQ(calls_send_request("OPTIONS", "/nowhere", "", NULL), 404);
}

/* ---- error pages ---- */

static void the_app_makes_the_page_of_each_error(void **state)
{
    (void)state;
    page = PAGE_TEXT;
    CHECK_EQ(calls_get("/nowhere"), 404);
    CHECK_TEXT(calls_text(), "page of 404");
    CHECK_EQ(calls_get("/nothing"), 500);
    CHECK_TEXT(calls_text(), "page of 500");
    CHECK_EQ(calls_get("/error?s=503"), 503);
    CHECK_TEXT(calls_text(), "page of 503");
    CHECK_EQ(calls_send_request("POST", "/small", "", "four"), 413); /* the machine's own refusal */
    CHECK_TEXT(calls_text(), "page of 413");
    unsigned n = n_pages;
    CHECK_EQ(calls_send("GET / HTTP/1.1\r\n\r\n", 18), 400); /* could not be parsed: not asked */
    CHECK_EQ(n_pages, n);
}

static void a_page_left_without_a_body_is_the_servers(void **state)
{
    (void)state;
    CHECK_EQ(calls_get("/nowhere"), 404);
    CHECK_TEXT(calls_text(), "404 Not Found\n");
    CHECK_TEXT(calls_field("Content-Type"), "text/plain; charset=utf-8");
    page = PAGE_FIELD;
    CHECK_EQ(calls_get("/nowhere"), 404);
    CHECK_TEXT(calls_text(), "404 Not Found\n");
    CHECK_TEXT(calls_field("X-Page"), "yes"); /* fields that it set stay */
    page = PAGE_STATUS;
    CHECK_EQ(calls_get("/nowhere"), 410);
    CHECK_TEXT(calls_text(), "410 Gone\n");
    page = PAGE_BAD_STATUS;
    CHECK_EQ(calls_get("/nowhere"), 404);
}

static void an_error_inside_of_an_error_page_gets_the_servers_page(void **state)
{
    (void)state;
    page = PAGE_ERROR;
    CHECK_EQ(calls_get("/nowhere"), 502);
    CHECK_TEXT(calls_text(), "502 Bad Gateway\n");
    CHECK_EQ(n_pages, 1);
}

/* Only inside of a page: the next error of the same request gets a page of the app's again. */
static void a_second_error_gets_its_own_page(void **state)
{
    (void)state;
    page = PAGE_TEXT;
    CHECK_EQ(calls_get("/two"), 418);
    CHECK_TEXT(calls_text(), "page of 418");
    CHECK_EQ(n_pages, 2);
}

static void an_error_has_a_status_of_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        int status;
    } rows[] = {{"/error?s=400", 400}, {"/error?s=599", 599}, {"/error?s=399", 500},
                {"/error?s=600", 500}, {"/error?s=0", 500},   {"/error?s=-1", 500},
                {"/error?s=200", 500}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_EQ(calls_get(rows[i].target), rows[i].status);
}

static void the_server_makes_the_pages_of_an_app_without_one(void **state)
{
    (void)state;
    CHECK_EQ(calls_get("/nowhere"), 404);
    CHECK_TEXT(calls_text(), "404 Not Found\n");
    CHECK_EQ(calls_get("/two"), 418);
    CHECK_TEXT(calls_text(), "418 I'm a teapot\n");
    CHECK_EQ(calls_get("/nothing"), 500); /* looked at also when no filter runs behind it */
    CHECK_EQ(calls_get("/status?s=600"), 500);
    CHECK_EQ(calls_get("/status?s=199&empty"), 500);
    CHECK_EQ(calls_send_request("POST", "/", "", NULL), 405);
    CHECK_TEXT(calls_field("Allow"), "GET, HEAD, OPTIONS");
}

/* ---- mistakes of an app ---- */

static void a_handler_without_an_answer_gets_500_and_a_line_in_the_log(void **state)
{
    (void)state;
    (void)calls_log();
    CHECK_EQ(calls_get("/nothing?x=1"), 500);
    CHECK_TEXT(calls_text(), "500 Internal Server Error\n");
    const char *log = calls_log();
    CHECK_HAS(log, "without an answer");
    CHECK_HAS(log, "route=\"/nothing\"");
    CHECK_HAS(log, "/nothing?x=1");
}

static void a_status_that_is_none_gets_500_and_a_line_in_the_log(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "99", "100", "199", "600", "-1", "1000", "65736"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char target[64];
        (void)snprintf(target, sizeof target, "/status?s=%s", bad[i]);
        CHECK_EQ(calls_get(target), 500);
        CHECK_HAS(calls_log(), "status outside");
        (void)snprintf(target, sizeof target, "/status?s=%s&empty", bad[i]);
        CHECK_EQ(calls_get(target), 500);
        CHECK_HAS(calls_log(), "status outside");
    }
    CHECK_EQ(calls_get("/status?s=200&empty"), 200);
    CHECK_TEXT(calls_field("Content-Length"), "0");
    CHECK_EQ(calls_get("/status?s=599"), 599);
    CHECK_TEXT(calls_log(), "");
}

static void spoil_status(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_set_status(res, 7);
}

static void change_status(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_set_status(res, 202);
}

static void an_after_filter_may_change_the_status_but_not_spoil_it(void **state)
{
    (void)state;
    in_after = change_status;
    CHECK_EQ(calls_get("/"), 202);
    CHECK_TEXT(calls_text(), "/");
    in_after = spoil_status;
    CHECK_EQ(calls_get("/"), 500);
    CHECK_HAS(calls_log(), "status outside");
}

/* ---- answers that come later ---- */

static void filters_behind_the_handler_run_when_the_answer_is_there(void **state)
{
    (void)state;
    int status;
    times_later = 0;
    CHECK_TEXT(trail_of("/g/later", &status),
               "app.before group.before handler answer group.after app.after");
    CHECK_EQ(status, 200);
    CHECK_TEXT(calls_text(), "later");
    CHECK_TEXT(calls_field("X-After"), "group");
    times_later = 2; /* once, however often it was put off */
    CHECK_TEXT(trail_of("/g/later", &status),
               "app.before group.before handler answer answer answer group.after app.after");
    CHECK_EQ(status, 200);
    trail[0] = '\0';
    CHECK_EQ(calls_send_request("POST", "/g/pieces", "", "body"), 200);
    CHECK_TEXT(trail, "app.before group.before handler piece end group.after app.after");
    CHECK_TEXT(calls_field("X-After"), "group");
    CHECK_TEXT(calls_log(), "");
}

static void a_later_answer_is_checked_like_others(void **state)
{
    (void)state;
    int status;
    page = PAGE_TEXT;
    (void)calls_log();
    CHECK_TEXT(trail_of("/g/later?nothing", &status),
               "app.before group.before handler answer group.after app.after");
    CHECK_EQ(status, 500);
    CHECK_TEXT(calls_text(), "page of 500");
    CHECK_HAS(calls_log(), "without an answer");
    (void)trail_of("/g/later?error", &status);
    CHECK_EQ(status, 404);
    CHECK_TEXT(calls_text(), "page of 404");
    in_after = spoil_status;
    (void)trail_of("/g/later", &status);
    CHECK_EQ(status, 500);
    CHECK_HAS(calls_log(), "status outside");
}

/* A filter's answer comes first: the handler that would put it off is not called. */
static void a_filter_that_answers_is_not_waited_behind(void **state)
{
    (void)state;
    int status;
    stops = 'g';
    CHECK_TEXT(trail_of("/g/later", &status), "app.before group.before group.after app.after");
    CHECK_EQ(status, 401);
}

/* ---- folders that the settings mount ---- */

static char mounted[64];
static struct mounts mounts;

static int setup_mounted(void **state)
{
    static struct mount mount;
    (void)snprintf(mounted, sizeof mounted, "/tmp/remuda-chain-XXXXXX");
    CHECK(mkdtemp(mounted) != NULL);
    mount.files = (struct files){.root_fd = open(mounted, O_PATH | O_DIRECTORY | O_CLOEXEC),
                                 .prefix = STR("/g/f/")};
    CHECK(mount.files.root_fd >= 0);
    int fd = openat(mount.files.root_fd, ".", O_RDONLY | O_DIRECTORY);
    int file = openat(fd, "a.txt", O_CREAT | O_WRONLY, 0644);
    CHECK(file >= 0 && write(file, "octets", 6) == 6);
    CHECK(close(file) == 0 && close(fd) == 0);
    mounts = (struct mounts){.items = &mount, .n = 1};
    (void)setup(state);
    chain_set_mounts(&mounts);
    return 0;
}

static int teardown_mounted(void **state)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/a.txt", mounted);
    fd_close(&mounts.items[0].files.root_fd);
    CHECK(unlink(path) == 0 && rmdir(mounted) == 0);
    return teardown(state);
}

static void a_file_of_a_mount_is_answered_between_the_apps_own_filters(void **state)
{
    (void)state;
    int status;
    page = PAGE_TEXT;
    CHECK_TEXT(trail_of("/g/f/a.txt", &status), "app.before app.after");
    CHECK_EQ(status, 200);
    CHECK_TEXT(calls_text(), "octets");
    CHECK(calls_field("X-After") == NULL); /* not the filters of the group that has a route there */
    CHECK_TEXT(trail_of("/g/f/missing", &status), "app.before app.after");
    CHECK_EQ(status, 404);
    CHECK_TEXT(calls_text(), "page of 404");
    CHECK_TEXT(trail_of("/g/f/fixed", &status),
               "app.before group.before handler group.after app.after"); /* more specific */
    CHECK_EQ(calls_send_request("POST", "/g/f/a.txt", "", "body"), 405);
    CHECK_HAS(calls_field("Allow"), "GET");
    CHECK_TEXT(calls_text(), "page of 405");
    CHECK_EQ(calls_send_request("HEAD", "/g/f/a.txt", "", NULL), 200);
    CHECK_TEXT(calls_field("Content-Length"), "6");
    stops = 'a';
    CHECK_TEXT(trail_of("/g/f/a.txt", &status), "app.before app.after");
    CHECK_EQ(status, 401);
    CHECK_TEXT(calls_log(), "");
}

static void the_last_filter_may_change_a_file_into_something_else(void **state)
{
    (void)state;
    int status;
    in_after = change_status;
    (void)trail_of("/g/f/a.txt", &status);
    CHECK_EQ(status, 202);
    CHECK_TEXT(calls_text(), "octets");
    in_after = spoil_status;
    (void)trail_of("/g/f/a.txt", &status);
    CHECK_EQ(status, 500);
    CHECK_TEXT(calls_text(), "500 Internal Server Error\n");
}

static void without_mounts_the_app_has_the_path(void **state)
{
    (void)state;
    int status;
    chain_set_mounts(NULL);
    CHECK_TEXT(trail_of("/g/f/a.txt", &status),
               "app.before group.before handler group.after app.after");
}

/* ---- which apps are refused ---- */

static const char *refusal(const rmd_app *decl)
{
    static struct err err;
    struct app app;
    err = (struct err){0};
    CHECK_EQ(chain_open(&app, decl, 512, "./x.so", &err), -EINVAL);
    CHECK_HAS(err.text, "./x.so");
    chain_close(&app);
    return err.text;
}

static int run_task(rmd_call *call, rmd_slice payload)
{
    (void)call, (void)payload;
    return 0;
}

static void tasks_whose_time_is_out_of_range_are_refused(void **state)
{
    (void)state;
    rmd_task tasks[] = {{"resize", run_task, .timeout_ms = 3600000}, {0}};
    rmd_app app = CALLS_APP(.routes = routes, .tasks = tasks);
    struct err err;
    struct app opened;
    CHECK_EQ(chain_open(&opened, &app, 512, "./x.so", &err), 0);
    chain_close(&opened);
    tasks[0].timeout_ms = 3600001;
    CHECK_HAS(refusal(&app), "task \"resize\": timeout_ms 3600001; allowed are 0");
}

static void apps_of_another_interface_are_refused(void **state)
{
    (void)state;
    rmd_app app = CALLS_APP(.routes = routes);
    app.abi = RMD_ABI_VERSION + 1;
    CHECK_HAS(refusal(&app), "version");
    app.abi = 0;
    CHECK_HAS(refusal(&app), "version 0");
    app = bare;
    app.app_size--;
    CHECK_HAS(refusal(&app), "RMD_APP()");
    app = bare;
    app.route_size = 0;
    CHECK_HAS(refusal(&app), "RMD_APP()");
    app = bare;
    app.group_size = 1;
    CHECK_HAS(refusal(&app), "RMD_APP()");
    static const rmd_route bad[] = {{.method = "GET", .pattern = "no-slash", .handler = handler},
                                    {0}};
    app = bare;
    app.routes = bad;
    CHECK_HAS(refusal(&app), "no-slash");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(filters_run_around_the_handler_from_outside_in, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_apps_own_filters_run_without_a_route_too, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_filter_that_answers_stops_the_way_in_but_not_the_way_out,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(methods_are_offered_when_the_one_asked_for_is_missing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_app_makes_the_page_of_each_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_left_without_a_body_is_the_servers, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_inside_of_an_error_page_gets_the_servers_page,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_error_gets_its_own_page, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_has_a_status_of_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(the_server_makes_the_pages_of_an_app_without_one,
                                        setup_bare, teardown),
        cmocka_unit_test_setup_teardown(a_handler_without_an_answer_gets_500_and_a_line_in_the_log,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_status_that_is_none_gets_500_and_a_line_in_the_log, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_after_filter_may_change_the_status_but_not_spoil_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(filters_behind_the_handler_run_when_the_answer_is_there,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_later_answer_is_checked_like_others, setup, teardown),
        cmocka_unit_test_setup_teardown(a_filter_that_answers_is_not_waited_behind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_of_a_mount_is_answered_between_the_apps_own_filters,
                                        setup_mounted, teardown_mounted),
        cmocka_unit_test_setup_teardown(the_last_filter_may_change_a_file_into_something_else,
                                        setup_mounted, teardown_mounted),
        cmocka_unit_test_setup_teardown(without_mounts_the_app_has_the_path, setup_mounted,
                                        teardown_mounted),
        cmocka_unit_test_setup_teardown(apps_of_another_interface_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(tasks_whose_time_is_out_of_range_are_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
