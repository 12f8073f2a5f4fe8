/* Tests of server/cause.c: each way to die, and what must hold for any combination of facts. */
#include "server/cause.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define EXITED(code) ((code) << 8)

static const struct {
    int status;
    uint32_t more;
    enum cause cause;
    const char *text;
} rows[] = {
    {EXITED(0), CAUSE_LEAVING, CAUSE_IS_ORDERED, ""},
    {EXITED(0), CAUSE_LEAVING | CAUSE_LEFT_EXIT, CAUSE_IS_ORDERED, ""},
    {EXITED(1), CAUSE_SAID_WHY | CAUSE_LEFT_EXIT, CAUSE_IS_FAILED, ""},
    {EXITED(3), CAUSE_LEFT_EXIT, CAUSE_IS_EXIT, "the app called exit(3)"},
    {EXITED(0), CAUSE_LEFT_EXIT, CAUSE_IS_EXIT, "the app called exit(0)"},
    {EXITED(1), CAUSE_PANIC, CAUSE_IS_EXIT, "it could not go on, and ended itself"},
    {EXITED(9), 0, CAUSE_IS_EXIT, "the app or a library called _exit(9)"},
    {EXITED(3), CAUSE_LEAVING | CAUSE_LEFT_EXIT, CAUSE_IS_EXIT, "the app called exit(3)"},
    {SIGKILL, 0, CAUSE_IS_OUTSIDE, "killed from outside"},
    {SIGKILL, CAUSE_OOM, CAUSE_IS_MEMORY, "killed by the kernel: out of memory"},
    {SIGKILL, CAUSE_DOOMED, CAUSE_IS_MASTER, ""},
    {SIGKILL, CAUSE_DOOMED | CAUSE_OOM, CAUSE_IS_MASTER, ""},
    {SIGABRT, CAUSE_DOOMED | CAUSE_LEFT_FAULT | CAUSE_SENT, CAUSE_IS_MASTER, ""},
    {SIGABRT, CAUSE_LEFT_FAULT, CAUSE_IS_CRASH, "crashed"},
    {SIGABRT, CAUSE_LEFT_FAULT | CAUSE_PANIC, CAUSE_IS_ASSERTION, "an assertion failed"},
    {SIGABRT, CAUSE_LEFT_FAULT | CAUSE_SENT, CAUSE_IS_OUTSIDE, "killed from outside"},
    {SIGSEGV, 0, CAUSE_IS_CRASH, "crashed"},
    {SIGSEGV, CAUSE_LEFT_FAULT, CAUSE_IS_CRASH, "crashed"},
    {SIGSEGV | 0x80, CAUSE_LEFT_FAULT, CAUSE_IS_CRASH, "crashed"}, /* with a core dump */
    {SIGSEGV, CAUSE_LEFT_FAULT | CAUSE_SENT, CAUSE_IS_OUTSIDE, "killed from outside"},
    {SIGTERM, 0, CAUSE_IS_OUTSIDE, "killed from outside"},
    {SIGTERM, CAUSE_LEAVING, CAUSE_IS_OUTSIDE, "killed from outside"},
    {SIGXCPU, 0, CAUSE_IS_LIMIT, "a resource limit was reached"},
    {SIGSEGV, CAUSE_LEFT_FAULT | CAUSE_ENOMEM, CAUSE_IS_REFUSED, "it was refused memory"},
    {SIGABRT, CAUSE_LEFT_FAULT | CAUSE_ENOMEM, CAUSE_IS_REFUSED, "it was refused memory"},
    {SIGABRT, CAUSE_LEFT_FAULT | CAUSE_SENT | CAUSE_ENOMEM, CAUSE_IS_OUTSIDE,
     "killed from outside"},
    {EXITED(1), CAUSE_LEFT_EXIT | CAUSE_ENOMEM, CAUSE_IS_REFUSED,
     "it was refused memory, and called exit"},
    {EXITED(0), CAUSE_LEAVING | CAUSE_LEFT_EXIT | CAUSE_ENOMEM, CAUSE_IS_ORDERED, ""},
    {SIGPIPE, 0, CAUSE_IS_OUTSIDE, "killed from outside"},
};

static void each_end_has_its_cause(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[CAUSE_TEXT_MAX];
        uint32_t facts = cause_facts_of(rows[i].status) | rows[i].more;
        enum cause cause = cause_judge(facts);
        assert_int_equal(cause, rows[i].cause);
        assert_string_equal(cause_print(cause, facts, rows[i].status, text), rows[i].text);
    }
}

static void what_the_master_did_itself_is_never_blamed_on_others(void **state)
{
    (void)state;
    for (uint32_t facts = 0; facts < 1U << CAUSE_FACTS; facts++) {
        enum cause cause = cause_judge(facts);
        assert_true(cause < CAUSES);
        if (facts & CAUSE_DOOMED)
            assert_true(cause == CAUSE_IS_MASTER || cause == CAUSE_IS_ORDERED);
        if (cause == CAUSE_IS_MEMORY)
            assert_true((facts & CAUSE_OOM) && (facts & CAUSE_KILL));
        if (cause == CAUSE_IS_ORDERED)
            assert_true((facts & CAUSE_LEAVING) && (facts & CAUSE_EXIT_0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_end_has_its_cause),
        cmocka_unit_test(what_the_master_did_itself_is_never_blamed_on_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
