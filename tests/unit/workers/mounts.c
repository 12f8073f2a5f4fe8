/* workers/mounts.c: opening what the settings say, which mount has a path, when a route of the app
 * is more specific, and what is left of the path. */
#include "workers/mounts.h"

#include "http/router.h"
#include "tests/unit/http/asked.h"

static struct settings *settings;
static struct mounts mounts;
static struct router *router;

static void handler(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
}

static const rmd_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = handler},
    {.method = "GET", .pattern = "/:page", .handler = handler},
    {.method = "GET", .pattern = "/assets", .handler = handler},
    {.method = "GET", .pattern = "/assets/version", .handler = handler},
    {.method = "GET", .pattern = "/assets/:id", .handler = handler},
    {.method = "GET", .pattern = "/assets/img/:id", .handler = handler},
    {.method = "POST", .pattern = "/assets/upload", .handler = handler},
    {.method = "GET", .pattern = "/assets/a/*rest", .handler = handler},
    {.method = "GET", .pattern = "/assets/not:param/x", .handler = handler},
    {.method = "PUT", .pattern = "/*rest", .handler = handler},
    {.method = "GET", .pattern = "/api/*rest", .handler = handler},
    {0}};
static const rmd_app app = {.abi = RMD_ABI_VERSION,
                            .app_size = sizeof(rmd_app),
                            .route_size = sizeof(rmd_route),
                            .group_size = sizeof(rmd_group),
                            .routes = routes};

static const char *const index_names[] = {"index.html"};
#define MOUNT(path_, folder_)                                                                      \
    {                                                                                              \
        .path = (path_), .folder = (folder_), .index = index_names, .n_index = 1, .follow = true,  \
        .cache_control = "max-age=60"                                                              \
    }

static const struct setting_mount three[] = {
    MOUNT("/assets/", "assets"), MOUNT("/assets/v2/", "v2"), MOUNT("/größe b/", "assets")};
static const struct setting_mount with_root[] = {MOUNT("/", "assets"), MOUNT("/assets/", "v2")};

static int setup(void **state)
{
    struct err err;
    if (asked_enter_folder(state) < 0 || mkdir("assets", 0755) < 0 || mkdir("v2", 0755) < 0 ||
        mkdir("assets/sub", 0755) < 0)
        return -1;
    asked_write("assets/a.txt", "first");
    asked_write("assets/sub/b.txt", "below");
    asked_write("v2/a.txt", "second");
    settings = settings_new();
    return settings && router_new(&app, 100, &router, &err) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    mounts_close(&mounts);
    settings_free(settings);
    router_free(router);
    return asked_leave_folder(state);
}

static int open_mounts(const struct setting_mount *items, size_t n, struct err *err)
{
    settings->static_mounts = (struct setting_mounts){items, n};
    return mounts_open(&mounts, settings, NULL, err);
}

static void open_all(const struct setting_mount *items, size_t n)
{
    struct err err;
    CHECK_SAYING(open_mounts(items, n, &err) == 0, "%s", err.text);
}

/* Routes a request for a path as received. Returns the path of the mount that gets it; "" none */
static const char *route(struct asked *a, const char *method, const char *path)
{
    asked_init(a, method, "");
    a->req.raw_path = str_of(path);
    int rc = router_match(router, str_of(method), a->req.raw_path, &a->arena, &a->req.match);
    CHECK(rc >= 0);
    a->req.outcome = (enum router_outcome)rc;
    const struct mount *mount = mounts_choose(&mounts, &a->req);
    return mount ? mount->files.prefix.p : "";
}

static const char *chosen(const char *method, const char *path)
{
    struct asked a;
    const char *mount = route(&a, method, path);
    asked_fini(&a);
    return mount;
}

static void the_longest_path_has_it(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *mount; /* "" none */
    } rows[] = {
        {"/assets/a.txt", "/assets/"},
        {"/assets/", "/assets/"},
        {"/assets", "/assets/"}, /* redirected */
        {"/assets/v2/a.txt", "/assets/v2/"},
        {"/assets/v2", "/assets/v2/"},
        {"/assets/v2x", "/assets/"},
        {"/größe b/x", "/größe b/"},
        {"/", ""},
        {"/asset", ""},
        {"/assetsx", ""},
        {"/x/assets/", ""},
        {"", ""},
        {"*", ""},
    };
    open_all(three, 3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct mount *mount = mounts_find(&mounts, str_of(rows[i].path));
        check_context("%s", rows[i].path);
        CHECK_TEXT(mount ? mount->files.prefix.p : "", rows[i].mount);
    }
}

static void a_mount_at_the_root_has_everything_else(void **state)
{
    (void)state;
    open_all(with_root, 2);
    CHECK_TEXT(mounts_find(&mounts, STR("/"))->files.prefix.p, "/");
    CHECK_TEXT(mounts_find(&mounts, STR("/x"))->files.prefix.p, "/");
    CHECK_TEXT(mounts_find(&mounts, STR("/assets"))->files.prefix.p, "/assets/");
    CHECK(mounts_find(&mounts, STR("")) == NULL);
    CHECK(mounts_find(&mounts, STR("*")) == NULL);
}

static void a_route_wins_only_when_it_is_more_specific(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *path;
        const char *mount; /* "" the app */
    } rows[] = {
        {"GET", "/assets/version", ""},
        {"HEAD", "/assets/version", ""},
        {"GET", "/assets/img/7", ""},
        {"GET", "/assets/a/b/c", ""},
        {"GET", "/assets/not:param/x", ""},
        {"GET", "/assets", ""},           /* a route of that very path */
        {"GET", "/assets/7", "/assets/"}, /* "/assets/:id" is not longer */
        {"GET", "/assets/", "/assets/"},
        {"GET", "/assets/img/7/8", "/assets/"},
        {"GET", "/assets/v2/version", "/assets/v2/"},
        {"GET", "/%61ssets/7", "/assets/"},
        {"GET", "/assets/x/../7", "/assets/"},
        {"GET", "/assets/../7", ""},
        {"GET", "/about", ""},
        {"GET", "/", ""},
        {"GET", "/assets/upload", "/assets/"}, /* the route is for POST */
        {"POST", "/assets/upload", ""},
        {"PUT", "/assets/7", "/assets/"}, /* "/" and the rest is shorter */
        {"PUT", "/assets/upload", "/assets/"},
        {"PATCH", "/assets/upload", ""},   /* the app's 405 */
        {"OPTIONS", "/assets/upload", ""}, /* the app's 204 */
        {"GET", "/assets/%zz", ""},        /* 400 */
    };
    open_all(three, 3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s %s", rows[i].method, rows[i].path);
        CHECK_TEXT(chosen(rows[i].method, rows[i].path), rows[i].mount);
    }
}

static void a_mount_at_the_root_leaves_the_app_what_begins_with_more(void **state)
{
    (void)state;
    open_all(with_root, 2);
    CHECK_TEXT(chosen("GET", "/"), "");
    CHECK_TEXT(chosen("GET", "/api/users"), "");
    CHECK_TEXT(chosen("GET", "/about"), "/");
    CHECK_TEXT(chosen("PUT", "/about"), "/");
    CHECK_TEXT(chosen("GET", "/assets/7"), "/assets/");
}

static void without_mounts_the_app_has_everything(void **state)
{
    (void)state;
    open_all(NULL, 0);
    CHECK_EQ(mounts.n, 0);
    CHECK_TEXT(chosen("GET", "/assets/7"), "");
    CHECK_TEXT(chosen("GET", "/missing/it"), "");
}

/* Asks as a worker does. Returns the status */
static int ask(struct asked *a, const char *method, const char *path)
{
    CHECK(route(a, method, path)[0] != '\0');
    int rc = mounts_answer(mounts_choose(&mounts, &a->req), &a->req, &a->res, &a->err);
    if (rc == 0)
        asked_read_body(a);
    return rc == 0 ? a->res.status : rc;
}

static void what_is_behind_the_mounts_path_is_a_file(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int status;
        const char *body; /* of 200; of 301 the Location */
    } rows[] = {
        {"/assets/a.txt", 200, "first"},
        {"/assets/v2/a.txt", 200, "second"},
        {"/assets/sub/b.txt", 200, "below"},
        {"/%61ssets/%61.txt", 200, "first"},
        {"/assets/./sub/../a.txt", 200, "first"},
        {"/assets/v2/../a.txt", 200, "first"},
        {"/gr%C3%B6%C3%9Fe%20b/sub/b.txt", 200, "below"},
        {"/gr%C3%B6%C3%9Fe%20b", 301, "/gr%C3%B6%C3%9Fe%20b/"},
        {"/assets/v2", 301, "/assets/v2/"},
        {"/assets/sub", 301, "/assets/sub/"},
        {"/assets/x/..%2Fa.txt", 404, NULL},
        {"/assets/sub%2Fb.txt", 404, NULL},
        {"/assets//a.txt", 404, NULL},
        {"/assets/sub/", 403, NULL},
        {"/assets/a.txt/", 404, NULL},
    };
    open_all(three, 3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct asked a;
        check_context("%s", rows[i].path);
        CHECK_EQ(ask(&a, "GET", rows[i].path), rows[i].status);
        if (rows[i].body)
            CHECK_TEXT(rows[i].status == 200 ? a.body : asked_field(&a, "Location"), rows[i].body);
        asked_fini(&a);
    }
}

static void no_path_makes_a_redirect_to_another_host(void **state)
{
    (void)state;
    static const char *const paths[] = {"//evil",        "//evil/..",  "/%2Fevil",    "///sub",
                                        "//evil/%2e%2e", "/\\evil",    "/x/..//sub",  "/.//sub",
                                        "//sub",         "/%5C%5Csub", "/sub/..//sub"};
    open_all(with_root, 1);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct asked a;
        check_context("%s", paths[i]);
        int status = ask(&a, "GET", paths[i]);
        const char *location = asked_field(&a, "Location");
        CHECK(status == 404 || (status == 301 && location[1] != '/' && location[1] != '\\'));
        asked_fini(&a);
    }
}

static void the_mounts_own_settings_are_used(void **state)
{
    (void)state;
    struct setting_mount mount = MOUNT("/m/", "assets");
    mount.listing = mount.dotfiles = mount.gzip = true;
    mount.follow = false;
    asked_write("assets/.env", "hidden");
    asked_write("assets/a.txt.gz", "packed");
    CHECK_EQ(symlink("a.txt", "assets/link"), 0);
    open_all(&mount, 1);
    struct asked a;
    CHECK_EQ(ask(&a, "GET", "/m/"), 200);
    CHECK_HAS(a.body, "Index of /m/");
    asked_fini(&a);
    CHECK_EQ(ask(&a, "GET", "/m/.env"), 200);
    asked_fini(&a);
    CHECK_EQ(ask(&a, "GET", "/m/link"), 404);
    asked_fini(&a);
    CHECK_EQ(ask(&a, "GET", "/m/a.txt"), 200);
    CHECK_TEXT(asked_field(&a, "Cache-Control"), "max-age=60");
    CHECK_TEXT(asked_field(&a, "Vary"), "Accept-Encoding");
    CHECK_BYTES(a.res.type.p, a.res.type.len, "text/plain; charset=utf-8", 25);
    asked_fini(&a);
}

static void a_folder_that_is_not_there_fails_the_start(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        const char *reason;
    } rows[] = {{"missing", "static: /b/: cannot open the folder missing: No such file"},
                {"assets/a.txt", "static: /b/: cannot open the folder assets/a.txt: Not a dir"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct setting_mount items[] = {MOUNT("/a/", "assets"), MOUNT("/b/", rows[i].folder)};
        struct err err = {0};
        int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
        fd_close(&(int){before});
        CHECK(open_mounts(items, 2, &err) < 0);
        CHECK_HAS(err.text, rows[i].reason);
        CHECK_EQ(mounts.n, 0);
        CHECK(mounts.items == NULL);
        int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
        fd_close(&(int){after});
        CHECK_EQ(after, before);
    }
}

static void a_mount_stays_the_folder_that_it_was(void **state)
{
    (void)state;
    CHECK_EQ(symlink("assets", "current"), 0);
    const struct setting_mount mount = MOUNT("/m/", "current");
    open_all(&mount, 1);
    CHECK(symlink("v2", "next") == 0 && rename("next", "current") == 0);
    struct asked a;
    CHECK_EQ(ask(&a, "GET", "/m/a.txt"), 200);
    CHECK_TEXT(a.body, "first");
    asked_fini(&a);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_longest_path_has_it),
        IN_FOLDER(a_mount_at_the_root_has_everything_else),
        IN_FOLDER(a_route_wins_only_when_it_is_more_specific),
        IN_FOLDER(a_mount_at_the_root_leaves_the_app_what_begins_with_more),
        IN_FOLDER(without_mounts_the_app_has_everything),
        IN_FOLDER(what_is_behind_the_mounts_path_is_a_file),
        IN_FOLDER(no_path_makes_a_redirect_to_another_host),
        IN_FOLDER(the_mounts_own_settings_are_used),
        IN_FOLDER(a_folder_that_is_not_there_fails_the_start),
        IN_FOLDER(a_mount_stays_the_folder_that_it_was),
    };
    return cmocka_run_group_tests_name("workers/mounts", tests, NULL, NULL);
}
