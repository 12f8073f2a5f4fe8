/* Injected faults, in builds with REMUDA_DEBUG only. The plan is text in the environment, so a test
 * can hand it to a real server: REMUDA_FAULT="spawn.fork:EAGAIN:2:3" lets two calls pass, then
 * fails three, then passes all others. Counts are per process and inherited by fork. */
#include "base/fault.h"

#ifdef REMUDA_DEBUG

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_MAX 8

struct fault_plan {
    char point[32];
    int code;
    unsigned skip;
    unsigned count; /* failures left */
};

static struct fault_plan plans[PLAN_MAX];
static unsigned n_plans;
static bool is_read;

static const struct {
    const char *name;
    int code;
} codes[] = {{"EAGAIN", EAGAIN}, {"ENOMEM", ENOMEM}, {"ENOSPC", ENOSPC}, {"EMFILE", EMFILE},
             {"EIO", EIO},       {"EPERM", EPERM},   {"EINTR", EINTR}};

static int parse_code(const char *text)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(codes[i].name, text) == 0)
            return codes[i].code;
    return atoi(text);
}

static void read_plan(void)
{
    is_read = true;
    const char *at = getenv("REMUDA_FAULT");
    while (at && *at && n_plans < PLAN_MAX) {
        struct fault_plan *plan = &plans[n_plans];
        char code[16] = "";
        *plan = (struct fault_plan){.count = 0x7fffffff}; /* forgets a refused one */
        if (sscanf(at, "%31[^:,]:%15[^:,]:%u:%u", plan->point, code, &plan->skip, &plan->count) < 2)
            break;
        plan->code = parse_code(code);
        if (plan->code > 0)
            n_plans++;
        at = strchr(at, ',');
        if (at)
            at++;
    }
}

int fault_check(const char *point)
{
    if (!is_read)
        read_plan();
    for (unsigned i = 0; i < n_plans; i++) {
        struct fault_plan *plan = &plans[i];
        if (strcmp(plan->point, point) != 0)
            continue;
        if (plan->skip > 0) {
            plan->skip--;
            continue;
        }
        if (plan->count == 0)
            continue;
        plan->count--;
        return plan->code;
    }
    return 0;
}

#else

typedef int fault_is_off; /* a translation unit must not be empty, C17 §6.9 */

#endif
