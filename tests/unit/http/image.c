/* http/image.c: all cases of tests/cases come out the same when each request and each answer goes
 * through its image; what is known besides the head survives; and whatever was changed, cut or made
 * up on the way is refused, or harms nobody. */
#include "http/image.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/harness/cases.h"
#include "tests/unit/http/wire.h"

#define GET(fields) "GET /hello/you?a=b HTTP/1.1\r\nHost: a.example\r\n" fields "\r\n"
#define INLINE_MAX 100U /* octets of a body that go with an image, here */

static struct wire wire;
static struct conn_env there; /* the loop of the other process */
static struct buf image;      /* of the last request */

/* ---- the way there and back ---- */

/* A copy of its exact size, so that reading on is seen. */
static struct str exact(struct str octets)
{
    char *copy = malloc(octets.len ? octets.len : 1);
    CHECK(copy != NULL);
    if (octets.len > 0)
        memcpy(copy, octets.p, octets.len);
    return str_make(copy, octets.len);
}

static void drop(struct str octets)
{
    free((void *)(uintptr_t)octets.p);
}

static void make_request_image(const struct rmd_request *req, struct str body)
{
    image.len = 0;
    size_t bytes = image_request_bytes(req, body.len);
    CHECK(buf_reserve(&image, bytes) == 0);
    image_put_request(req, body, image.data);
    image.len = bytes;
}

static struct exchange *take_exchange(void)
{
    struct exchange *ex = exchange_take(&there.pool);
    CHECK(ex != NULL);
    return ex;
}

static void give_back(void *arg)
{
    struct exchange *ex = arg;
    exchange_settle(ex);
    exchange_give_back(&there.pool, ex);
}

/* What the handler over there has answered comes to be the answer here. */
static void bring_back(struct exchange *ex, struct rmd_response *res)
{
    const char *reason = NULL;
    const struct rmd_response *far = &ex->res;
    bool with_body = far->body_len <= INLINE_MAX;
    size_t bytes = image_answer_bytes(far, with_body);
    struct str answer = str_make(malloc(bytes), bytes);
    CHECK(answer.p != NULL);
    image_put_answer(far, with_body, (char *)(uintptr_t)answer.p);
    bool is_beside = far->kind == RESPONSE_BYTES && !with_body;
    struct str body = is_beside ? str_make(far->body, far->body_len) : STR("");
    if (image_read_answer(answer, body, -1, res, res->req->arena, &reason) < 0)
        CHECK_FAIL("answer refused: %s", reason);
    drop(answer);
    res->produce = far->produce;
    res->done = is_beside ? give_back : far->done;
    res->done_arg = is_beside ? ex : far->done_arg;
    if (!is_beside) {
        ex->res.done = NULL;
        give_back(ex);
    }
}

/* The hook: as wire_on_handle(), but elsewhere. */
static void handle_there(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    const char *reason = NULL;
    bool is_beside = req->body.len > INLINE_MAX;
    make_request_image(req, is_beside ? STR("") : req->body);
    if (!req->match.route || req->head.bytes == 0) {
        wire_on_handle(owner, req, res);
        return;
    }
    struct str octets = exact(str_make(image.data, image.len));
    struct exchange *ex = take_exchange();
    if (image_read_request(octets, is_beside ? req->body : STR(""), &there, ex, &reason) < 0)
        CHECK_FAIL("request refused: %s", reason);
    drop(octets);
    CHECK(ex->req.match.route == req->match.route);
    CHECK_TEXT(ex->req.method, req->method);
    CHECK_EQ(ex->req.head.minor, req->head.minor);
    CHECK_EQ(ex->req.head.n_fields, req->head.n_fields);
    CHECK(str_is_equal(ex->req.head.host, req->head.host));
    CHECK(str_is_equal(ex->req.query, req->query));
    CHECK(str_is_equal(ex->req.body, req->body));
    CHECK(str_is_equal(request_trace_id(&ex->req), request_trace_id(req)));
    wire_on_handle(owner, &ex->req, &ex->res);
    bring_back(ex, res);
}

static int setup(void **state)
{
    (void)state;
    static const struct conn_hooks none;
    wire_open(&wire);
    conn_env_set_seed(&wire.env, 0x1234567890abcdef);
    if (conn_env_init(&there, &wire_limits, wire.router, &none, &wire, 4096) < 0)
        return -1;
    conn_env_set_seed(&there, 0xfedcba0987654321);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_close(&wire);
    conn_env_fini(&there);
    buf_fini(&image);
    return 0;
}

static void run_case(const struct cases_case *one, struct buf *out)
{
    wire_reopen(&wire);
    conn_env_set_seed(&wire.env, wire.env.trace_seed);
    (void)wire_feed(&wire, one->octets, one->len);
    cases_mask(&wire.sent);
    out->len = 0;
    CHECK(buf_append(out, wire.sent.data ? wire.sent.data : "", wire.sent.len) == 0);
}

static void all_cases_come_out_the_same_through_images(void **state)
{
    (void)state;
    struct cases_list list;
    struct err err;
    struct buf here = {0};
    struct buf elsewhere = {0};
    if (cases_load_all(&list, &err) < 0)
        CHECK_FAIL("%s", err.text);
    for (size_t i = 0; i < list.n; i++) {
        check_context("%s", list.items[i].name);
        wire.env.hooks.handle = wire_on_handle;
        run_case(&list.items[i], &here);
        unsigned n_handled = wire.n_handled;
        wire.env.hooks.handle = handle_there;
        run_case(&list.items[i], &elsewhere);
        CHECK_BYTES(elsewhere.data, elsewhere.len, here.data, here.len);
        CHECK_EQ(wire.n_handled, n_handled);
    }
    check_context("nothing");
    cases_free(&list);
    buf_fini(&here);
    buf_fini(&elsewhere);
}

static void large_bodies_stay_where_they_lie(void **state)
{
    (void)state;
    wire.env.hooks.handle = handle_there;
    wire_feed_text(&wire, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(wire.sent.len > WIRE_BIG_BYTES);
    CHECK_BYTES(wire.sent.data + wire.sent.len - WIRE_BIG_BYTES, WIRE_BIG_BYTES, wire_big,
                WIRE_BIG_BYTES);
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(there.pool.n, 1); /* given back when all was sent */
}

/* ---- requests ---- */

/* Makes the image of a request that came; valid until the next one. */
static void capture(const char *octets)
{
    wire.env.hooks.handle = handle_there;
    wire_reopen(&wire);
    image.len = 0;
    wire_feed_text(&wire, octets);
    CHECK(image.len > 0);
}

static struct exchange *read_image(struct str body)
{
    const char *reason = NULL;
    struct exchange *ex = take_exchange();
    if (image_read_request(str_make(image.data, image.len), body, &there, ex, &reason) < 0)
        CHECK_FAIL("refused: %s", reason);
    return ex;
}

static void what_is_known_besides_the_head_survives(void **state)
{
    (void)state;
    static const char *const peers[] = {"192.0.2.1:54321", "[2001:db8::1]:54321", "unix:"};
    for (size_t i = 0; i < 3; i++) {
        struct peer peer = {0};
        char text[PEER_TEXT_MAX];
        check_context("%s", peers[i]);
        peer.address.any.sa_family = i == 0 ? AF_INET : i == 1 ? AF_INET6 : AF_UNIX;
        if (i == 0) {
            peer.address.v4.sin_port = htons(54321);
            CHECK_EQ(inet_pton(AF_INET, "192.0.2.1", &peer.address.v4.sin_addr), 1);
        } else if (i == 1) {
            peer.address.v6.sin6_port = htons(54321);
            peer.address.v6.sin6_scope_id = 7;
            CHECK_EQ(inet_pton(AF_INET6, "2001:db8::1", &peer.address.v6.sin6_addr), 1);
        }
        wire.env.hooks.handle = handle_there;
        wire_reopen_from(&wire, &peer);
        wire.env.now_us = 77000000 + i;
        wire_feed_text(&wire, GET(""));
        struct exchange *ex = read_image(STR(""));
        (void)request_format_peer(&ex->req.peer, true, text);
        CHECK_TEXT(text, peers[i]);
        CHECK_EQ(ex->req.peer.address.v6.sin6_scope_id, i == 1 ? 7 : 0);
        CHECK_EQ(ex->req.started_us, 77000000 + i);
        CHECK(ex->req.is_body_complete && !ex->req.is_https);
        CHECK(ex->req.env == &there && ex->req.res == &ex->res && ex->res.req == &ex->req);
        give_back(ex);
    }
    check_context("nothing");
}

/* As a proxy says, which the octets of the head alone do not. */
static void what_a_trusted_proxy_said_holds_there(void **state)
{
    (void)state;
    struct network network;
    struct forwarded_rules rules;
    struct err err;
    if (network_parse(STR("192.0.2.0/24"), &network, &err) < 0)
        CHECK_FAIL("%s", err.text);
    struct network_list trusted = {.items = &network, .n = 1};
    forwarded_rules_init(&rules, &trusted, NULL, 0, FORWARDED_LOOK_ANY);
    wire.env.forwarded = &rules;
    struct peer peer = {.address.v4 = {.sin_family = AF_INET}};
    CHECK_EQ(inet_pton(AF_INET, "192.0.2.9", &peer.address.v4.sin_addr), 1);
    wire.env.hooks.handle = handle_there;
    wire_reopen_from(&wire, &peer);
    wire_feed_text(&wire, GET("X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\n"
                              "X-Forwarded-Host: outside.example:444\r\n"));
    struct exchange *ex = read_image(STR(""));
    char text[PEER_TEXT_MAX];
    (void)request_format_peer(&ex->req.peer, false, text);
    CHECK_TEXT(text, "203.0.113.5");
    CHECK(ex->req.is_https);
    CHECK(str_is_equal(ex->req.head.host, STR("outside.example:444")));
    give_back(ex);
    wire.env.forwarded = NULL;
}

static void identity_and_version_are_those_that_came(void **state)
{
    (void)state;
    capture(GET("X-Request-ID: given-by.me\r\n"));
    struct exchange *ex = read_image(STR(""));
    CHECK(str_is_equal(request_trace_id(&ex->req), STR("given-by.me")));
    give_back(ex);
    capture("GET / HTTP/1.7\r\nHost: a\r\n\r\n");
    ex = read_image(STR(""));
    CHECK_EQ(ex->req.head.minor, 7);
    CHECK(str_has_prefix(request_trace_id(&ex->req), STR("1234567890abcdef")));
    give_back(ex);
}

/* reason NULL: taken. */
static void check_request(struct str octets, struct str body, const char *expected)
{
    const char *reason = NULL;
    struct str copy = exact(octets);
    struct exchange *ex = take_exchange();
    int rc = image_read_request(copy, body, &there, ex, &reason);
    drop(copy);
    give_back(ex);
    CHECK_EQ(rc, expected ? -EBADMSG : 0);
    if (expected)
        CHECK_HAS(reason, expected);
}

static void an_image_cut_anywhere_is_refused(void **state)
{
    (void)state;
    capture("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    for (size_t len = 0; len < image.len; len++) {
        check_context("%zu of %zu", len, image.len);
        check_request(str_make(image.data, len), STR(""), "");
    }
    check_context("nothing");
    check_request(str_make(image.data, image.len), STR(""), NULL);
    CHECK(buf_append(&image, "x", 1) == 0);
    check_request(str_make(image.data, image.len), STR(""), "lengths");
}

/* It is taken or refused; what is taken is a whole request. */
static void no_changed_octet_does_harm(void **state)
{
    (void)state;
    capture("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    unsigned n_taken = 0;
    for (size_t at = 0; at < image.len; at++) {
        for (unsigned change = 1; change < 256; change = change * 2 + 1) {
            const char *reason = NULL;
            struct str copy = exact(str_make(image.data, image.len));
            ((char *)(uintptr_t)copy.p)[at] ^= (char)change;
            struct exchange *ex = take_exchange();
            int rc = image_read_request(copy, STR(""), &there, ex, &reason);
            drop(copy);
            CHECK(rc == 0 || (rc == -EBADMSG && reason));
            n_taken += rc == 0;
            if (rc == 0)
                CHECK_EQ(ex->req.body.len, 5);
            give_back(ex);
        }
    }
    CHECK(n_taken > 0);
}

static void a_body_is_as_long_as_the_head_says(void **state)
{
    (void)state;
    capture("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    struct exchange *ex = read_image(STR(""));
    CHECK(str_is_equal(ex->req.body, STR("hello")));
    struct buf without = {0};
    CHECK(buf_reserve(&without, image.len) == 0);
    size_t len = image_request_bytes(&ex->req, 0);
    image_put_request(&ex->req, STR(""), without.data);
    check_request(str_make(image.data, image.len), STR("hello"), "two bodies");
    check_request(str_make(without.data, len), STR(""), "not as long");
    check_request(str_make(without.data, len), STR("hell"), "not as long");
    check_request(str_make(without.data, len), STR("hello!"), "not as long");
    check_request(str_make(without.data, len), STR("hello"), NULL);
    buf_fini(&without);
    give_back(ex);
    capture(GET(""));
    check_request(str_make(image.data, image.len), STR("x"), "not as long");
}

/* The limits of the reader's loop hold, whatever those of the writer's. */
static void heads_over_a_limit_are_refused(void **state)
{
    (void)state;
    capture(GET("X: 12345678901234567890\r\n"));
    there.limits.field_size = 20;
    check_request(str_make(image.data, image.len), STR(""), "head");
}

/* ---- answers ---- */

static struct arena arena; /* of those that are written */

static struct rmd_response begin_answer(enum response_kind kind, int status)
{
    struct rmd_response res;
    response_begin(&res, NULL);
    res.kind = kind;
    res.status = status;
    return res;
}

static void add(struct rmd_response *res, const char *name, const char *value)
{
    CHECK_EQ(response_set(res, &arena, str_of(name), str_of(value), false), 0);
}

static struct str make_answer_image(const struct rmd_response *res, bool with_body)
{
    size_t bytes = image_answer_bytes(res, with_body);
    char *octets = malloc(bytes);
    CHECK(octets != NULL);
    image_put_answer(res, with_body, octets);
    return str_make(octets, bytes);
}

/* Reads an image; expected NULL: it is taken. */
static void check_answer(struct str octets, struct str body, int fd, const char *expected)
{
    const char *reason = NULL;
    struct arena own;
    struct rmd_response res;
    arena_init(&own, 256);
    response_begin(&res, NULL);
    int rc = image_read_answer(octets, body, fd, &res, &own, &reason);
    CHECK_EQ(rc, expected ? -EBADMSG : 0);
    if (expected) {
        CHECK_HAS(reason, expected);
        CHECK_EQ(res.kind, RESPONSE_NONE);
    }
    if (fd >= 0 && expected)
        CHECK(fcntl(fd, F_GETFD) < 0);
    response_drop_body(&res);
    arena_fini(&own);
}

static int setup_answer(void **state)
{
    arena_init(&arena, 1024);
    return setup(state);
}

static int teardown_answer(void **state)
{
    arena_fini(&arena);
    return teardown(state);
}

static void an_answer_is_what_it_was(void **state)
{
    (void)state;
    const char *reason = NULL;
    struct rmd_response res = begin_answer(RESPONSE_BYTES, 201);
    struct rmd_response back;
    struct arena own;
    add(&res, "content-type", "text/x");
    add(&res, "Set-Cookie", "a=1");
    add(&res, "Set-Cookie", "b=2");
    add(&res, "X-Empty", "");
    res.body = "body";
    res.body_len = 4;
    arena_init(&own, 256);
    for (int with_body = 0; with_body < 2; with_body++) {
        struct str octets = make_answer_image(&res, with_body);
        response_begin(&back, NULL);
        CHECK_EQ(
            image_read_answer(octets, with_body ? STR("") : STR("body"), -1, &back, &own, &reason),
            0);
        drop(octets); /* all of it was copied */
        CHECK_EQ(back.status, 201);
        CHECK_EQ(back.kind, RESPONSE_BYTES);
        CHECK(str_is_equal(back.type, STR("text/x")));
        CHECK_BYTES(back.body, back.body_len, "body", 4);
        CHECK(str_is_equal(back.fields->value, STR("a=1")));
        CHECK(str_is_equal(back.fields->next->value, STR("b=2")));
        CHECK(str_is_equal(back.last->name, STR("X-Empty")));
        CHECK(back.fields->next->next == back.last && back.last->value.len == 0);
        CHECK(!back.done);
    }
    arena_fini(&own);
}

static void kinds_without_a_body_have_none(void **state)
{
    (void)state;
    for (int kind = RESPONSE_EMPTY; kind <= RESPONSE_STREAM; kind++) {
        if (kind != RESPONSE_EMPTY && kind != RESPONSE_STREAM)
            continue;
        struct rmd_response res = begin_answer((enum response_kind)kind, 200);
        struct str octets = make_answer_image(&res, true);
        check_answer(octets, STR(""), -1, NULL);
        check_answer(octets, STR("x"), -1, "another kind");
        check_answer(octets, STR(""), open("/dev/null", O_RDONLY | O_CLOEXEC), "another kind");
        drop(octets);
    }
}

static void files_are_sent_from_regular_files_only(void **state)
{
    (void)state;
    static const struct response_part parts[] = {
        {.data = "between", .len = 7}, {.offset = 3, .len = 5}, {.data = "end", .len = 3}};
    const char *reason = NULL;
    struct arena own;
    struct rmd_response back;
    struct rmd_response res = begin_answer(RESPONSE_FILE, 206);
    int ends[2];
    res.fd = -1;
    res.parts = parts;
    res.n_parts = 3;
    struct str octets = make_answer_image(&res, false);
    int file = memfd_create("file", MFD_CLOEXEC);
    CHECK(file >= 0);
    arena_init(&own, 256);
    response_begin(&back, NULL);
    CHECK_EQ(image_read_answer(octets, STR(""), file, &back, &own, &reason), 0);
    CHECK_EQ(back.fd, file);
    CHECK_EQ(back.n_parts, 3);
    CHECK_EQ(back.body_len, 15);
    CHECK_BYTES(back.parts[0].data, 7, "between", 7);
    CHECK(back.parts[0].data != parts[0].data && !back.parts[1].data);
    CHECK_EQ(back.parts[1].offset, 3);
    response_drop_body(&back);
    CHECK(fcntl(file, F_GETFD) < 0);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    check_answer(octets, STR(""), ends[0], "no file");
    fd_close(&ends[1]);
    check_answer(octets, STR(""), -1, "no file");
    for (size_t len = 0; len < octets.len; len++)
        check_answer(str_make(octets.p, len), STR(""), -1, "");
    drop(octets);
    res.n_parts = 1; /* of memory alone */
    octets = make_answer_image(&res, false);
    check_answer(octets, STR(""), -1, NULL);
    check_answer(octets, STR(""), memfd_create("file", MFD_CLOEXEC), "no file");
    drop(octets);
    arena_fini(&own);
}

static void parts_that_no_file_has_are_refused(void **state)
{
    (void)state;
    static const struct response_part wrong[][2] = {
        {{.offset = 1, .len = 0}, {.len = 1}},
        {{.offset = UINT64_MAX, .len = 1}, {.len = 1}},
        {{.offset = INT64_MAX, .len = 1}, {.len = 1}},
        {{.offset = 0, .len = UINT64_MAX}, {.len = 1}},
        {{.offset = 0, .len = INT64_MAX}, {.len = 1}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct rmd_response res = begin_answer(RESPONSE_FILE, 200);
        check_context("row %zu", i);
        res.parts = wrong[i];
        res.n_parts = 2;
        struct str octets = make_answer_image(&res, false);
        check_answer(octets, STR(""), memfd_create("file", MFD_CLOEXEC), "no file has");
        drop(octets);
    }
    check_context("nothing");
}

/* What no handler could set, put in by hand. */
static void fields_that_no_handler_may_set_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        const char *reason;
    } rows[] = {
        {"X-Name", "a\r\nSet-Cookie: b", "malformed"},
        {"X-Name", "a\nb", "malformed"},
        {"X-Name", "a\001", "malformed"},
        {"X Name", "a", "malformed"},
        {"X-Name\r\nY", "a", "malformed"},
        {"", "a", "malformed"},
        {"X:", "a", "malformed"},
        {"Content-Length", "5", "the server's"},
        {"transfer-encoding", "x", "the server's"},
        {"Connection", "close", "the server's"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rmd_response res = begin_answer(RESPONSE_EMPTY, 200);
        struct response_field field = {.name = str_of(rows[i].name),
                                       .value = str_of(rows[i].value)};
        check_context("row %zu", i);
        res.fields = &field;
        struct str octets = make_answer_image(&res, false);
        check_answer(octets, STR(""), -1, rows[i].reason);
        drop(octets);
    }
    struct rmd_response res = begin_answer(RESPONSE_EMPTY, 200);
    res.type = STR("text/plain\r\nX: y");
    check_context("type");
    struct str octets = make_answer_image(&res, false);
    check_answer(octets, STR(""), -1, "malformed");
    drop(octets);
    check_context("nothing");
}

static void an_answer_cut_or_changed_anywhere_does_no_harm(void **state)
{
    (void)state;
    struct rmd_response res = begin_answer(RESPONSE_BYTES, 200);
    add(&res, "content-type", "text/x");
    add(&res, "Set-Cookie", "a=1");
    res.body = "body";
    res.body_len = 4;
    struct str octets = make_answer_image(&res, true);
    for (size_t len = 0; len < octets.len; len++) {
        struct str cut = exact(str_make(octets.p, len));
        check_context("cut at %zu", len);
        check_answer(cut, STR(""), -1, "");
        drop(cut);
    }
    for (size_t at = 0; at < octets.len; at++) {
        for (unsigned change = 1; change < 256; change = change * 2 + 1) {
            const char *reason = NULL;
            struct rmd_response back;
            struct arena own;
            struct str changed = exact(octets);
            ((char *)(uintptr_t)changed.p)[at] ^= (char)change;
            arena_init(&own, 256);
            response_begin(&back, NULL);
            int rc = image_read_answer(changed, STR(""), -1, &back, &own, &reason);
            drop(changed);
            check_context("octet %zu changed by %u", at, change);
            CHECK(rc == 0 || (rc == -EBADMSG && reason));
            if (rc == 0)
                CHECK(back.status >= 200 && back.status <= 599 && back.kind > RESPONSE_NONE);
            arena_fini(&own);
        }
    }
    check_context("nothing");
    drop(octets);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define ANSWER_TEST(name) cmocka_unit_test_setup_teardown(name, setup_answer, teardown_answer)
    const struct CMUnitTest tests[] = {
        TEST(all_cases_come_out_the_same_through_images),
        TEST(large_bodies_stay_where_they_lie),
        TEST(what_is_known_besides_the_head_survives),
        TEST(what_a_trusted_proxy_said_holds_there),
        TEST(identity_and_version_are_those_that_came),
        TEST(an_image_cut_anywhere_is_refused),
        TEST(no_changed_octet_does_harm),
        TEST(a_body_is_as_long_as_the_head_says),
        TEST(heads_over_a_limit_are_refused),
        ANSWER_TEST(an_answer_is_what_it_was),
        ANSWER_TEST(kinds_without_a_body_have_none),
        ANSWER_TEST(files_are_sent_from_regular_files_only),
        ANSWER_TEST(parts_that_no_file_has_are_refused),
        ANSWER_TEST(fields_that_no_handler_may_set_are_refused),
        ANSWER_TEST(an_answer_cut_or_changed_anywhere_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
