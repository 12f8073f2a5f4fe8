/* http/conn_env.c, http/conn_answer.c: the field with a request's identity. It lies ready with the
 * date, but for its value; it is put together where its name is too long for that, or the client
 * gave the identity. The client sees no difference. */
#include "http/conn.h"

#include "tests/unit/http/wire.h"

#define LONGEST 500U /* more than what lies ready has room for */
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_MINE "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n\r\n"
#define SEED UINT64_C(0xfedcba9876543210)

static struct wire wire;

static int setup(void **state)
{
    (void)state;
    wire_open(&wire);
    conn_env_set_seed(&wire.env, SEED);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_close(&wire);
    return 0;
}

static void use_name(struct str name, const char *server)
{
    wire.env.id_header = name;
    conn_env_set_time(&wire.env, 0, str_of(server)); /* it is taken up when the second is over */
    conn_env_set_time(&wire.env, WIRE_WALL, str_of(server));
}

static const char *ask(const char *request)
{
    wire_reopen(&wire);
    wire_feed_text(&wire, request);
    return wire_text(&wire);
}

/* The answer is the plain one, and has one line more. */
static void expect_line(const char *plain, const char *answer, const char *name, const char *id)
{
    char line[LONGEST + TRACE_ID_LEN + 16];
    (void)snprintf(line, sizeof line, "\r\n%s: %s\r\n", name, id);
    const char *at = strstr(answer, line);
    CHECK_SAYING(at != NULL, "no %s: %s in\n%s", name, id, answer);
    size_t before = (size_t)(at - answer);
    CHECK(before < strlen(plain));
    CHECK_BYTES(answer, before, plain, before);
    CHECK_TEXT(at + strlen(line) - 2, plain + before);
}

/* Each length on both sides of what there is room for, with much and with little else there. */
static void a_name_of_any_length_reaches_the_client(void **state)
{
    (void)state;
    char longest_server[CONN_SERVER_MAX + 1] = "";
    memset(longest_server, 's', CONN_SERVER_MAX);
    const char *const servers[] = {"", "remuda", longest_server};
    char name[LONGEST + 1], plain[512], id[TRACE_ID_LEN + 1];
    memset(name, 'n', sizeof name);
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        size_t n_ready = 0;
        use_name(STR(""), servers[i]);
        (void)snprintf(plain, sizeof plain, "%s", ask(GET));
        for (size_t len = 1; len <= LONGEST; len++) {
            check_context("a name of %zu octets, server \"%s\"", len, servers[i]);
            name[len] = '\0';
            use_name(str_make(name, len), servers[i]);
            n_ready += wire.env.identified.len > 0;
            expect_line(plain, ask(GET_MINE), name, "mine");
            const char *answer = ask(GET);
            trace_format((const uint64_t[]){SEED, wire.env.trace_count}, id);
            expect_line(plain, answer, name, id);
            name[len] = 'n';
        }
        CHECK(n_ready > 100 && n_ready < LONGEST); /* both kinds were there */
    }
}

/* Through several carries, also of two digits. */
static void identities_are_those_of_a_count(void **state)
{
    (void)state;
    struct wire_answer answer;
    struct str value;
    char id[TRACE_ID_LEN + 1];
    use_name(STR("X-Request-ID"), "remuda");
    for (uint64_t i = 1; i <= 0x1011; i++) {
        (void)ask(GET);
        CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
        CHECK(wire_field(&answer, "X-Request-ID", &value));
        trace_format((const uint64_t[]){SEED, i}, id);
        CHECK_BYTES(value.p, value.len, id, TRACE_ID_LEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_of_any_length_reaches_the_client, setup, teardown),
        cmocka_unit_test_setup_teardown(identities_are_those_of_a_count, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
