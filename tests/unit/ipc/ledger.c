/* Tests of ipc/ledger.c: who can write it, and that who reads it sees nothing half done. */
#include "ipc/ledger.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

#undef fork /* a helper of the test's own; the ban is for the server's code */

#define N_SEATS 5
#define N_ROUTES 3

static struct ledger *ledger;
static const struct ledger *seen;
static struct ledger_copy copy;
static int fd;

static int set_up(void **state)
{
    struct err err;
    (void)state;
    return ledger_create(N_SEATS, N_ROUTES, &fd, &ledger, &err) < 0 ||
           ledger_map(fd, &seen, &err) < 0 || ledger_copy_init(&copy, seen) < 0;
}

static int tear_down(void **state)
{
    (void)state;
    ledger_copy_fini(&copy);
    ledger_close(ledger, &fd);
    return 0;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct totals_route *routes = ledger_routes(ledger);
    ledger_begin(ledger);
    ledger->page.generation = 7;
    ledger->page.n_seats = 2;
    ledger_seats(ledger)[1] = (struct ledger_seat){.pid = 4711, .state = LEDGER_READY};
    (void)snprintf(routes[2].name, sizeof routes[2].name, "GET /c");
    ledger->page.totals.n_routes = 3;
    memcpy(ledger->settings, "a\0b\0c", 6);
    ledger->page.settings_len = 6;
    ledger->page.settings_number++;
    ledger_end(ledger, 99);
    assert_true(ledger_read(&copy, seen));
    assert_int_equal(copy.page.generation, 7);
    assert_int_equal(copy.page.told_us, 99);
    assert_int_equal(copy.seats[1].pid, 4711);
    assert_string_equal(copy.page.totals.routes[2].name, "GET /c");
    assert_ptr_equal(copy.page.totals.routes, copy.routes);
    assert_memory_equal(copy.settings, "a\0b\0c", 6);
}

static void what_is_being_written_is_not_taken(void **state)
{
    (void)state;
    ledger_begin(ledger);
    ledger->page.generation = 1;
    ledger_end(ledger, 1);
    assert_true(ledger_read(&copy, seen));
    ledger_begin(ledger);
    ledger->page.generation = 2;
    assert_false(ledger_read(&copy, seen));
    assert_int_equal(copy.page.generation, 1);
    ledger_end(ledger, 2);
    assert_true(ledger_read(&copy, seen));
    assert_int_equal(copy.page.generation, 2);
}

static void while_somebody_is_buried_it_is_behind(void **state)
{
    (void)state;
    assert_true(ledger_read(&copy, seen));
    ledger_bury(ledger);
    assert_false(ledger_is_current(&copy, seen));
    assert_false(ledger_read(&copy, seen));
    ledger_begin(ledger);
    ledger_end(ledger, 3);
    assert_true(ledger_read(&copy, seen));
    assert_true(ledger_is_current(&copy, seen));
}

static void numbers_beyond_their_room_are_cut(void **state)
{
    (void)state;
    ledger_begin(ledger);
    ledger->page.n_seats = UINT32_MAX;
    ledger->page.totals.n_routes = UINT32_MAX;
    ledger->page.n_pools = ledger->page.n_breakers = ledger->page.settings_len = UINT32_MAX;
    ledger_end(ledger, 1);
    assert_true(ledger_read(&copy, seen));
    assert_int_equal(copy.page.n_seats, N_SEATS);
    assert_int_equal(copy.page.totals.n_routes, N_ROUTES);
    assert_int_equal(copy.page.n_pools, LEDGER_POOLS);
    assert_int_equal(copy.page.n_breakers, LEDGER_BREAKERS);
    assert_int_equal(copy.page.settings_len, 0);
}

static void nobody_else_can_write_it(void **state)
{
    (void)state;
    errno = 0;
    void *base = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_equal(base, MAP_FAILED);
    assert_int_equal(errno, EPERM);
    assert_true(pwrite(fd, "x", 1, 0) < 0);
}

/* The master forks processes in which app code runs: its mapping must not be theirs. */
static void children_do_not_have_it(void **state)
{
    (void)state;
    unsigned char is_there;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(mincore(ledger, 4096, &is_there) < 0 && errno == ENOMEM ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_being_written_is_not_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(while_somebody_is_buried_it_is_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_beyond_their_room_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_else_can_write_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(children_do_not_have_it, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
