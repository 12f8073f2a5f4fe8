/* ipc/account.c: what tasks have used, added up, and what is left of it when a worker dies. */
#include "ipc/account.h"

#include "tests/harness/check.h"

static void numbers_add_up_and_the_peak_is_the_most(void **state)
{
    (void)state;
    static struct account account;
    static const struct account_used used[] = {
        {.wait_us = 1, .wall_us = 10, .cpu_us = 100, .faults = 1000, .peak_bytes = 50},
        {.wait_us = 2, .wall_us = 20, .cpu_us = 200, .faults = 2000, .peak_bytes = 30}};
    struct account_sums sums = {0};
    account_note(&account, ACCOUNT_ANSWERED, &used[0]);
    account_note(&account, ACCOUNT_DROPPED, &used[1]);
    account_add(&sums, &account);
    account_add(&sums, &account);
    account_count(&sums, ACCOUNT_KILLED, &used[0]);
    CHECK_EQ(account_tasks(&sums), 5);
    CHECK_EQ(sums.numbers[ACCOUNT_ANSWERED], 2);
    CHECK_EQ(sums.numbers[ACCOUNT_DROPPED], 2);
    CHECK_EQ(sums.numbers[ACCOUNT_KILLED], 1);
    CHECK_EQ(sums.numbers[ACCOUNT_WAIT_US], 7);
    CHECK_EQ(sums.numbers[ACCOUNT_WALL_US], 70);
    CHECK_EQ(sums.numbers[ACCOUNT_CPU_US], 700);
    CHECK_EQ(sums.numbers[ACCOUNT_FAULTS], 7000);
    CHECK_EQ(sums.numbers[ACCOUNT_PEAK_BYTES], 50);
}

static void check_used(const struct account_used *got, const struct account_used *wanted)
{
    CHECK_EQ(got->wait_us, wanted->wait_us);
    CHECK_EQ(got->wall_us, wanted->wall_us);
    CHECK_EQ(got->cpu_us, wanted->cpu_us);
    CHECK_EQ(got->faults, wanted->faults);
    CHECK_EQ(got->peak_bytes, wanted->peak_bytes);
}

static void of_a_dead_worker_only_its_last_task_counts(void **state)
{
    (void)state;
    static const struct account_used life = {.cpu_us = 900, .faults = 90, .peak_bytes = 4096};
    static const struct {
        uint64_t id, taken_us, cpu_us, faults; /* the mark */
        struct account_used wanted;
    } rows[] = {
        {7,
         300,
         500,
         40,
         {.wait_us = 200, .wall_us = 700, .cpu_us = 400, .faults = 50, .peak_bytes = 4096}},
        {6, 300, 500, 40, {.wait_us = 900}},  /* that is another: it was not begun */
        {7, 5000, 500, 40, {.wait_us = 900}}, /* nonsense from here on */
        {7, 300, UINT64_MAX, UINT64_MAX, {.wait_us = 200, .wall_us = 700, .peak_bytes = 4096}},
        {7, 50, 0, 0, {.wall_us = 950, .cpu_us = 900, .faults = 90, .peak_bytes = 4096}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct account_mark mark;
        check_context("row %zu", i);
        struct account_used before = {.cpu_us = rows[i].cpu_us, .faults = rows[i].faults};
        account_begin(&mark, rows[i].id, rows[i].taken_us, &before, i);
        CHECK_EQ(account_block(&mark, 7, 4), rows[i].id == 7 && i > 0 ? (int64_t)i - 1 : -1);
        CHECK_EQ(account_block(&mark, 7, 1), -1);
        struct account_used got = account_of_dead(&mark, 7, 100, 1000, &life);
        check_used(&got, &rows[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_add_up_and_the_peak_is_the_most),
        cmocka_unit_test(of_a_dead_worker_only_its_last_task_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
