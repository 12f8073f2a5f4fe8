/* What a process died of, as a pure function of what is known about its end. */
#ifndef REMUDA_SERVER_CAUSE_H
#define REMUDA_SERVER_CAUSE_H

#include <stddef.h>
#include <stdint.h>

/* What may be known; bits of a word. */
enum cause_fact {
    CAUSE_LEAVING = 1U << 0,    /* it was told to end, or had said that it would */
    CAUSE_DOOMED = 1U << 1,     /* the master had sent it a signal to end it */
    CAUSE_SAID_WHY = 1U << 2,   /* it had said what failed */
    CAUSE_PANIC = 1U << 3,      /* it had left words: an assertion of ours had failed in
                                   it, or it could not go on */
    CAUSE_SIGNAL = 1U << 4,     /* a signal ended it; else it exited */
    CAUSE_KILL = 1U << 5,       /* … SIGKILL */
    CAUSE_FAULT = 1U << 6,      /* … one that what a process executes can cause */
    CAUSE_LIMIT = 1U << 7,      /* … SIGXCPU or SIGXFSZ */
    CAUSE_EXIT_0 = 1U << 8,     /* it exited with 0 */
    CAUSE_LEFT_FAULT = 1U << 9, /* its crash handler ran, for that signal */
    CAUSE_LEFT_EXIT = 1U << 10, /* somebody in it called exit(3) */
    CAUSE_SENT = 1U << 11,      /* the signal was sent by another process */
    CAUSE_OOM = 1U << 12,       /* the cgroup counted a kill for want of memory that no other
                                   death accounts for */
    CAUSE_ENOMEM = 1U << 13,    /* the last that failed in it, failed for want of memory */
    CAUSE_FACTS = 14
};

enum cause {
    CAUSE_IS_ORDERED,   /* as it was told */
    CAUSE_IS_MASTER,    /* killed by the master, which has said why */
    CAUSE_IS_FAILED,    /* it has said why */
    CAUSE_IS_MEMORY,    /* killed by the kernel, which was out of memory */
    CAUSE_IS_REFUSED,   /* it was refused memory, and did not bear it: by its errno, so a guess */
    CAUSE_IS_OUTSIDE,   /* killed by somebody else */
    CAUSE_IS_ASSERTION, /* a mistake of ours */
    CAUSE_IS_CRASH,     /* a fault, or abort(3) */
    CAUSE_IS_LIMIT,     /* a resource limit */
    CAUSE_IS_EXIT,      /* it ended itself */
    CAUSES
};

/* facts    of a death, any combination
 * Returns  the cause */
enum cause cause_judge(uint32_t facts);

/* The facts that waitpid(2) tells. */
uint32_t cause_facts_of(int status);

/* The cause in words, for who has not said anything more exact: "killed from outside". "" for
 * ORDERED, MASTER, FAILED. exit: what it called, from `facts`. Returns out */
#define CAUSE_TEXT_MAX 96
const char *cause_print(enum cause cause, uint32_t facts, int status, char out[CAUSE_TEXT_MAX]);

#endif
