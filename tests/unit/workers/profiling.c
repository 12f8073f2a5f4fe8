/* Tests of workers/profiling.c: how the blocks are named. */
#include "workers/profiling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "workers/chain.h"

#define TEN "/123456789"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define N_BLOCKS 10U

static void handler(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
}

static void names_that_are_changed_are_no_others(void **state)
{
    (void)state;
    static const rmd_route routes[] = {
        {"GET", "/a", handler},
        {"GET", LONG "/one", handler},
        {"GET", LONG "/two", handler},
        {"GET", TEN TEN TEN TEN TEN TEN TEN TEN "/\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4",
         handler},
        {"GET", "/caf\xe9", handler},
        {"GET", "/caf\xe8", handler},
        {"GET", "/caf\u00e9", handler},
        {0},
    };
    static const rmd_app decl = {.abi = RMD_ABI_VERSION,
                                 .app_size = sizeof(rmd_app),
                                 .route_size = sizeof(rmd_route),
                                 .group_size = sizeof(rmd_group),
                                 .task_size = sizeof(rmd_task),
                                 .routes = routes};
    struct err err;
    struct app app = {0};
    struct profiling p;
    struct seat_head *head = calloc(1, sizeof *head);
    struct route_stats *blocks = calloc(N_BLOCKS, sizeof *blocks);
    const struct scoreboard_part part = {.head = head, .routes = blocks};
    assert_non_null(head);
    assert_non_null(blocks);
    assert_int_equal(chain_open(&app, &decl, N_BLOCKS, "test", &err), 0);
    profiling_init(&p, &app, &part, N_BLOCKS);
    assert_int_equal(p.n_routes, 7);
    assert_string_equal(blocks[0].name, "GET /a");
    assert_memory_equal(blocks[1].name, "GET " LONG, 80);
    assert_int_equal(strlen(blocks[1].name), sizeof blocks[1].name - 1);
    assert_string_not_equal(blocks[1].name, blocks[2].name);
    assert_int_equal(strlen(blocks[3].name), sizeof blocks[3].name - 2); /* no half character */
    assert_memory_equal(blocks[4].name, "GET /caf?~", 10); /* else it would be in no sums */
    assert_int_equal(strlen(blocks[4].name), 18);
    assert_string_not_equal(blocks[4].name, blocks[5].name);
    assert_string_equal(blocks[6].name, "GET /caf\u00e9");
    assert_string_equal(p.none->name, "none");
    profiling_fini(&p);
    chain_close(&app);
    free(blocks);
    free(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_that_are_changed_are_no_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
