/* Answers of many content types at a time, by the loop and by threads of the io lane: a worker
 * keeps the first types that it has seen for all of them. */
#include <stdio.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define CLIENTS 16
#define TYPES 40U /* more than are kept */
#define ROUNDS 60U

/* Each is of another length, so that one in another's place is seen. */
static void print_type(char out[64], unsigned i)
{
    (void)snprintf(out, 64, "a/%0*u", (int)i + 1, i);
}

/* Which one a client asks for: never the same as another one in that round. */
static unsigned choose(unsigned client, unsigned round)
{
    return (client * 7 + round) % TYPES;
}

static void each_answer_has_its_own_type(void **state)
{
    (void)state;
    static struct reply r;
    struct client *c[CLIENTS];
    char type[64], request[256];
    struct server *s = server_start_app(REMUDA_TEST_APPS_DIR "/lanes.so", "--workers", "1",
                                        "--threads", "4", NULL);
    for (unsigned i = 0; i < CLIENTS; i++)
        c[i] = client_to(s);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < CLIENTS; i++) {
            print_type(type, choose(i, round));
            (void)snprintf(request, sizeof request,
                           "GET /typed%s?type=%s HTTP/1.1\r\nHost: a\r\n\r\n", i % 4 ? "-io" : "",
                           type);
            client_send_text(c[i], request);
        }
        for (unsigned i = 0; i < CLIENTS; i++) {
            client_read(c[i], &r, false);
            print_type(type, choose(i, round));
            CHECK_EQ(r.status, 200);
            CHECK_TEXT(reply_field(&r, "Content-Type"), type);
        }
    }
}

SERVER_MAIN(SERVER_TEST(each_answer_has_its_own_type))
