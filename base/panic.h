/* Assertions that stay on in release. Refuse what peers, apps, files and the kernel can cause;
 * assert only what our own mistake can cause. */
#ifndef REMUDA_BASE_PANIC_H
#define REMUDA_BASE_PANIC_H

#define RMD_ASSERT(condition)                                                                      \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            panic_assert(#condition, __FILE__, __LINE__);                                          \
    } while (0)

#ifdef REMUDA_DEBUG
#define RMD_DEBUG_ASSERT(condition) RMD_ASSERT(condition)
#else
#define RMD_DEBUG_ASSERT(condition) ((void)sizeof(condition))
#endif

/* Writes the place to standard error and to the area given to panic_set_area(), then aborts. */
_Noreturn void panic_assert(const char *condition, const char *file, int line);

/* Not a mistake of ours, but this process is of no more use: leaves words there, exits with 1.
 * words  why; has been logged */
_Noreturn void panic_leave(const char *words);

/* Text area (in the shared table) where both leave their words for the master.
 * bytes  ≥ 64; NULL switches it off */
void panic_set_area(char *area, unsigned bytes);

#endif
