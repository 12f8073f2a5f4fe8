/* Process: master. THE table of causes is read from the top; the first row whose facts are all
 * there is the cause. What the master knows by itself stands above what a process with app code
 * left behind, which may be untrue. */
#include "server/cause.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static const struct {
    uint32_t facts;
    enum cause cause;
    const char *text;
} table[] = {
    {CAUSE_LEAVING | CAUSE_EXIT_0, CAUSE_IS_ORDERED, ""},
    {CAUSE_DOOMED, CAUSE_IS_MASTER, ""},
    {CAUSE_KILL | CAUSE_OOM, CAUSE_IS_MEMORY, "killed by the kernel: out of memory"},
    {CAUSE_KILL, CAUSE_IS_OUTSIDE, "killed from outside"},
    {CAUSE_PANIC | CAUSE_SIGNAL, CAUSE_IS_ASSERTION, "an assertion failed"},
    {CAUSE_SIGNAL | CAUSE_LEFT_FAULT | CAUSE_SENT, CAUSE_IS_OUTSIDE, "killed from outside"},
    {CAUSE_SIGNAL | CAUSE_FAULT | CAUSE_ENOMEM, CAUSE_IS_REFUSED, "it was refused memory"},
    {CAUSE_SIGNAL | CAUSE_FAULT, CAUSE_IS_CRASH, "crashed"},
    {CAUSE_SIGNAL | CAUSE_LIMIT, CAUSE_IS_LIMIT, "a resource limit was reached"},
    {CAUSE_SIGNAL, CAUSE_IS_OUTSIDE, "killed from outside"},
    {CAUSE_SAID_WHY, CAUSE_IS_FAILED, ""},
    {CAUSE_PANIC, CAUSE_IS_EXIT, "it could not go on, and ended itself"},
    {CAUSE_LEFT_EXIT | CAUSE_ENOMEM, CAUSE_IS_REFUSED, "it was refused memory, and called exit"},
    {CAUSE_LEFT_EXIT, CAUSE_IS_EXIT, "the app called exit"},
    {0, CAUSE_IS_EXIT, "the app or a library called _exit"},
};

static size_t find_row(uint32_t facts)
{
    size_t i = 0;
    while ((table[i].facts & facts) != table[i].facts)
        i++; /* the last row takes all */
    return i;
}

enum cause cause_judge(uint32_t facts)
{
    return table[find_row(facts)].cause;
}

uint32_t cause_facts_of(int status)
{
    static const struct {
        int signal;
        uint32_t facts;
    } signals[] = {
        {SIGKILL, CAUSE_KILL},  {SIGSEGV, CAUSE_FAULT}, {SIGABRT, CAUSE_FAULT},
        {SIGBUS, CAUSE_FAULT},  {SIGFPE, CAUSE_FAULT},  {SIGILL, CAUSE_FAULT},
        {SIGSYS, CAUSE_FAULT},  {SIGTRAP, CAUSE_FAULT}, {SIGXCPU, CAUSE_LIMIT},
        {SIGXFSZ, CAUSE_LIMIT},
    };
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status) == 0 ? CAUSE_EXIT_0 : 0;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (signals[i].signal == WTERMSIG(status))
            return CAUSE_SIGNAL | signals[i].facts;
    return CAUSE_SIGNAL;
}

const char *cause_print(enum cause cause, uint32_t facts, int status, char out[CAUSE_TEXT_MAX])
{
    const char *text = table[find_row(facts)].text;
    if (cause == CAUSE_IS_EXIT && !(facts & CAUSE_PANIC))
        (void)snprintf(out, CAUSE_TEXT_MAX, "%s(%d)", text, WEXITSTATUS(status));
    else
        (void)snprintf(out, CAUSE_TEXT_MAX, "%s", text);
    return out;
}
