/* Hundreds of heavy requests that crash, eight at a time, beside a light load: each client is told,
 * nobody else notices, and nothing is left of them: no process, seat, descriptor, room in the
 * segment, memory of the master. REMUDA_TEST_LONG=1 makes it as many as are promised. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/census.h"
#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define WILD_SO REMUDA_TEST_APPS_DIR "/wild.so"
#define AT_A_TIME 8
#define WARM_UP 4       /* one more opens a breaker */
#define PROCESSES 4     /* loader, web worker, two compute workers */
#define SEGMENT_KIB 512 /* that its users may hold in reserve; three crashes would leave more */

static struct reply r;
static unsigned long n_of[600]; /* answers, by status */
static unsigned long n_died;

/* Eight clients, each with a request that kills its worker, or would.
 * is_same  they ask for the same thing each time, which the server learns */
static void ask_at_once(struct server *s, unsigned long first, bool is_same)
{
    struct client *clients[AT_A_TIME];
    char request[64];
    for (unsigned i = 0; i < AT_A_TIME; i++) {
        clients[i] = client_to(s);
        if (is_same)
            client_send_text(clients[i], "GET /crash HTTP/1.1\r\nHost: a\r\n\r\n");
        else if (snprintf(request, sizeof request, "GET /crash?%lu HTTP/1.1\r\nHost: a\r\n\r\n",
                          first + i) > 0)
            client_send_text(clients[i], request);
    }
    for (unsigned i = 0; i < AT_A_TIME; i++) {
        client_read(clients[i], &r, false);
        CHECK(r.status == 500 || (r.status == 503 && is_same));
        CHECK(r.status == 500 || reply_field(&r, "Retry-After"));
        n_of[r.status]++;
        client_close(clients[i]);
    }
}

static void crash_many(const char *what, const char *failures, bool is_same, unsigned long crashes)
{
    static const char *const names[] = {"before", "half", "after"};
    struct census census[3];
    char request[64];
    server_let_crash();
    struct server *s = server_start_app(WILD_SO, "--workers", "1", "--set", "compute.workers=2",
                                        "--set", failures, NULL);
    s->is_violent = true;
    for (unsigned i = 0; i < WARM_UP; i++) { /* what is made once is made now */
        struct client *c = client_to(s);
        (void)snprintf(request, sizeof request, "GET /crash?first=%u HTTP/1.1\r\nHost: a\r\n\r\n",
                       i);
        client_exchange(c, &r, request);
        CHECK_EQ(r.status, 500);
        client_close(c);
    }
    struct census rest = census_wait_calm(s, PROCESSES);
    struct load *load = load_start(server_address(s, 0), 4, "/", "hello\n");
    load_wait_settled(load);
    census[0] = census_wait_calm(s, PROCESSES);
    n_of[500] = n_of[503] = 0;
    for (unsigned long done = 0; done < crashes; done += AT_A_TIME) {
        if (done == crashes / 2 / AT_A_TIME * AT_A_TIME) {
            census_wait_same(s, &census[0]);
            census[1] = census_take(s);
        }
        ask_at_once(s, done, is_same);
        (void)lines_take(&s->log); /* a full pipe would lose some of it */
    }
    census_wait_same(s, &census[0]);
    census[2] = census_take(s);
    struct load_result result = load_finish(load);
    n_died = lines_count(&s->log, "compute worker died") - WARM_UP;
    (void)printf("> %s: %lu requests, %lu times 500, %lu times 503, %lu workers died; beside them "
                 "%lu light requests, %lu failed\n",
                 what, n_of[500] + n_of[503], n_of[500], n_of[503], n_died, result.answered,
                 result.broken + result.wrong + result.refused);
    census_print(names, census, 3);
    load_check(&result, 0);
    census_wait_same_at_rest(s, &rest);
    census_check_memory(&census[1], &census[2], crashes < 500 ? 128 : 32);
    CHECK_SAYING(census[2].segment_kib <= census[0].segment_kib + SEGMENT_KIB,
                 "the segment has grown from %zu to %zu KiB", census[0].segment_kib,
                 census[2].segment_kib);
}

static void crashes_leave_nothing_behind(void **state)
{
    (void)state;
    unsigned long crashes = patience_times(96 / patience_factor() / AT_A_TIME, 125) * AT_A_TIME;
    crash_many("crashes", "compute.breaker.failures=0", false, crashes);
    CHECK_EQ(n_of[500], crashes);
    CHECK_EQ(n_died, crashes);
}

/* As one URL that crashes is met in the field: after a few of them nobody dies of it any more. */
static void one_that_crashes_again_and_again_is_no_longer_let_in(void **state)
{
    (void)state;
    unsigned long crashes = patience_times(25, 125) * AT_A_TIME;
    crash_many("the same again and again", "compute.breaker.failures=5", true, crashes);
    CHECK_EQ(n_of[500] + n_of[503], crashes);
    CHECK_SAYING(n_died <= AT_A_TIME, "%lu workers died", n_died);
    CHECK(n_died > 0);
}

SERVER_MAIN(SERVER_TEST(crashes_leave_nothing_behind),
            SERVER_TEST(one_that_crashes_again_and_again_is_no_longer_let_in))
