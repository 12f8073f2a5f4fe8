/* http/deferred.c: tickets that come in from any thread: each once, oldest first, and the loop is
 * woken; and who is told when nobody waits any more. */
#include "http/deferred.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/harness/check.h"

#define THREADS 4
#define EACH 3000 /* tickets of a thread */

static struct deferred_box box;
static unsigned n_nobody; /* calls without a request */
static void *last_arg;

static void answer(rmd_request *req, rmd_response *res, void *arg)
{
    CHECK(req == NULL && res == NULL);
    n_nobody++;
    last_arg = arg;
}

static int setup(void **state)
{
    (void)state;
    n_nobody = 0;
    last_arg = NULL;
    CHECK_EQ(deferred_open(&box), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    deferred_close(&box);
    fd_close(&box.wake_fd);
    return 0;
}

static struct rmd_deferred *new_ticket(void)
{
    struct rmd_deferred *d = deferred_new(&box, (struct exchange *)(void *)&box);
    CHECK(d != NULL);
    return d;
}

static bool is_woken(int wait_ms)
{
    struct pollfd fd = {.fd = box.wake_fd, .events = POLLIN};
    return poll(&fd, 1, wait_ms) == 1;
}

static void tickets_come_out_in_the_order_in_which_they_came_in(void **state)
{
    (void)state;
    struct rmd_deferred *tickets[10];
    int numbers[10];
    CHECK(deferred_take(&box) == NULL);
    for (int i = 0; i < 10; i++)
        tickets[i] = new_ticket();
    CHECK(!is_woken(0)); /* those that are out wake nobody */
    for (int i = 0; i < 10; i++) {
        CHECK(atomic_load(&tickets[i]->is_wanted));
        deferred_turn_in(tickets[i], answer, &numbers[i]);
        CHECK(is_woken(0));
    }
    struct rmd_deferred *d = deferred_take(&box);
    for (int i = 0; i < 10; i++) {
        struct rmd_deferred *next = d->next;
        CHECK(d == tickets[i]);
        CHECK(d->answer == answer && d->arg == &numbers[i]);
        CHECK(d->ex == (struct exchange *)(void *)&box);
        deferred_give_back(d, true);
        d = next;
    }
    CHECK(d == NULL);
    CHECK(!is_woken(0));
    CHECK(deferred_take(&box) == NULL);
    CHECK_EQ(n_nobody, 0);
}

static void who_turns_in_too_late_is_told(void **state)
{
    (void)state;
    int something;
    struct rmd_deferred *d = new_ticket();
    deferred_drop(d);
    CHECK(!atomic_load(&d->is_wanted));
    CHECK(d->ex == NULL);
    deferred_turn_in(d, answer, &something);
    CHECK_EQ(n_nobody, 0); /* on the loop's thread, not from within */
    CHECK(deferred_take(&box) == d);
    CHECK(d->next == NULL);
    deferred_give_back(d, false);
    CHECK_EQ(n_nobody, 1);
    CHECK(last_arg == &something);
}

/* Turned in, then dropped before the loop has looked. */
static void a_ticket_may_be_dropped_in_the_box(void **state)
{
    (void)state;
    struct rmd_deferred *d = new_ticket();
    deferred_turn_in(d, answer, NULL);
    deferred_drop(d);
    CHECK(deferred_take(&box) == d);
    CHECK(d->ex == NULL);
    deferred_give_back(d, false);
    CHECK_EQ(n_nobody, 1);
}

static void closing_gives_back_what_came_in(void **state)
{
    (void)state;
    struct rmd_deferred *late = new_ticket();
    for (int i = 0; i < 5; i++)
        deferred_turn_in(new_ticket(), answer, NULL);
    deferred_close(&box);
    CHECK_EQ(n_nobody, 5);
    deferred_turn_in(late, answer, NULL); /* box and descriptor are still there */
    CHECK_EQ(n_nobody, 5);
    deferred_close(&box);
    CHECK_EQ(n_nobody, 6);
}

/* ---- threads ---- */

struct errand {
    int thread, number;
    struct rmd_deferred *ticket;
    int written; /* before the ticket is turned in, read by the loop */
};

static struct errand errands[THREADS][EACH];
static int first_of_thread[THREADS];

static void *run_errands(void *arg)
{
    struct errand *mine = arg;
    for (int i = 0; i < EACH; i++) {
        (void)atomic_load_explicit(&mine[i].ticket->is_wanted, memory_order_relaxed);
        mine[i].written = i + 1;
        deferred_turn_in(mine[i].ticket, answer, &mine[i]);
    }
    return NULL;
}

static void take_all(int *n, unsigned *n_dropped)
{
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(&box); d; d = next) {
        struct errand *errand = d->arg;
        next = d->next;
        CHECK(errand->ticket == d);
        CHECK_EQ(errand->written, errand->number + 1);
        CHECK_EQ(first_of_thread[errand->thread], errand->number); /* in the thread's order */
        first_of_thread[errand->thread]++;
        *n_dropped += d->ex == NULL;
        deferred_give_back(d, d->ex != NULL);
        ++*n;
    }
}

static void threads_turn_in_at_the_same_time(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int n = 0;
    unsigned n_dropped = 0;
    memset(first_of_thread, 0, sizeof first_of_thread);
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < EACH; i++)
            errands[t][i] = (struct errand){.thread = t, .number = i, .ticket = new_ticket()};
    for (int t = 0; t < THREADS; t++)
        CHECK(pthread_create(&threads[t], NULL, run_errands, errands[t]) == 0);
    /* Meanwhile requests end: of tickets that have not been taken, in the box or still out. */
    for (int i = EACH - 1; i > first_of_thread[0]; i -= 2) {
        deferred_drop(errands[0][i].ticket);
        take_all(&n, &n_dropped);
    }
    while (n < THREADS * EACH) {
        CHECK_SAYING(is_woken(20000), "asleep with tickets in the box: %d came", n);
        take_all(&n, &n_dropped);
    }
    for (int t = 0; t < THREADS; t++)
        CHECK(pthread_join(threads[t], NULL) == 0);
    CHECK_EQ(n, THREADS * EACH);
    CHECK_EQ(n_nobody, n_dropped);
    CHECK(deferred_take(&box) == NULL);
}

/* As a loop does: sleeps until it is woken, and finds a ticket each time. */
static void the_loop_is_woken_for_each_that_comes_to_an_empty_box(void **state)
{
    (void)state;
    pthread_t thread;
    int n = 0;
    unsigned n_dropped = 0;
    memset(first_of_thread, 0, sizeof first_of_thread);
    for (int i = 0; i < EACH; i++)
        errands[0][i] = (struct errand){.number = i, .ticket = new_ticket()};
    CHECK(pthread_create(&thread, NULL, run_errands, errands[0]) == 0);
    while (n < EACH) {
        CHECK_SAYING(is_woken(20000), "asleep with tickets in the box: %d came", n);
        take_all(&n, &n_dropped);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_EQ(n_nobody, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(tickets_come_out_in_the_order_in_which_they_came_in),
        TEST(who_turns_in_too_late_is_told),
        TEST(a_ticket_may_be_dropped_in_the_box),
        TEST(closing_gives_back_what_came_in),
        TEST(threads_turn_in_at_the_same_time),
        TEST(the_loop_is_woken_for_each_that_comes_to_an_empty_box),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
