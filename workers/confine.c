/* See confine.h. Process: compute workers, when they begin. Measured here: the filter costs no
 * system call that a handler makes more than some 50 ns. */
#include "workers/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/settings.h"

#define NICEST 19 /* setpriority(2) */
#define OOM_SCORE_ADJ                                                                              \
    500 /* of at most 1000, where 0 is usual: as if it had half of all memory more */
#define STACK_BYTES (1024U * 1024U)      /* of threads: eight times as much is usual, and counts */
#define READY_STACK_BYTES (128U * 1024U) /* of the first thread; a log line needs some 20 KiB */
#define OWN_BYTES                                                                                  \
    (512U * 1024U) /* pages that the loader has given it and that it has written to, or will, and
                      so are its own: 90 to 200 KiB were measured */

bool confine_has_memory_limit(void)
{
    return REMUDA_SANITIZE[0] == '\0';
}

/* ---- limits ---- */

/* And read back. hard: so that the app can't raise it again. Returns 0; -errno, *err */
static int set_limit(__rlimit_resource_t which, const char *name, uint64_t value, uint64_t hard,
                     struct err *err)
{
    struct rlimit limit = {.rlim_cur = value, .rlim_max = hard};
    struct rlimit seen = {0};
    if (setrlimit(which, &limit) < 0)
        return err_set(err, errno, "can't limit %s to %llu: %s", name, (unsigned long long)value,
                       strerror(errno));
    if (getrlimit(which, &seen) < 0 || seen.rlim_cur != value)
        return err_set(err, EIO, "limit of %s is %llu, not the %llu it was set to", name,
                       (unsigned long long)seen.rlim_cur, (unsigned long long)value);
    return 0;
}

/* Bytes of address space that are mapped; 0: not known. */
static uint64_t mapped_bytes(void)
{
    char text[128];
    unsigned long long pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, "%llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* The stack of this thread grows by touch, and under a limit that is used up it does not: then a
 * handler that was refused memory, and says so, would crash in the function that writes its log
 * line. Touched once this far down, the addresses are there; memory comes when it is used. */
__attribute__((noinline)) static void stretch_stack(void)
{
    volatile char room[READY_STACK_BYTES];
    room[0] = 0;
    (void)room[0];
}

/* So much more than is mapped now, less what of that becomes private: then its private memory as a
 * whole stays within the limit.
 * Threads of one malloc arena and with small stacks, so that they don't eat what was meant for the
 * handler's data. */
static int limit_memory(const struct setting_pool *pool, struct err *err)
{
    pthread_attr_t small;
    (void)mallopt(M_ARENA_MAX, 1);
    if (pthread_attr_init(&small) == 0) {
        if (pthread_attr_setstacksize(&small, STACK_BYTES) == 0)
            (void)pthread_setattr_default_np(&small);
        (void)pthread_attr_destroy(&small);
    }
    if (pool->memory_limit_bytes == 0 || !confine_has_memory_limit())
        return 0;
    stretch_stack();
    uint64_t mapped = mapped_bytes();
    if (mapped == 0)
        return err_set(err, EIO,
                       "can't set memory_limit of pool %s: /proc/self/statm can't be read; mount "
                       "/proc, or say memory_limit: 0 for no limit",
                       pool->name);
    uint64_t limit = mapped + pool->memory_limit_bytes - OWN_BYTES;
    return set_limit(RLIMIT_AS, "address space", limit, limit, err);
}

static int limit_descriptors(const struct setting_pool *pool, struct err *err)
{
    struct rlimit now = {0};
    uint64_t n = pool->nofile;
    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && n > now.rlim_max) {
        log_warn("nofile of the pool is more than this process may have",
                 "pool=%s nofile=%llu "
                 "limit=%llu does=\"use the limit\"",
                 pool->name, (unsigned long long)n, (unsigned long long)now.rlim_max);
        n = now.rlim_max;
    }
    int rc = set_limit(RLIMIT_NOFILE, "descriptors", n, n, err);
    if (rc == -EPERM) /* valgrind lets nobody lower the hard one; the kernel does */
        rc = set_limit(RLIMIT_NOFILE, "descriptors", n, now.rlim_max, err);
    return rc;
}

void confine_task(const struct setting_pool *pool)
{
    struct rlimit limit;
    struct rusage usage;
    if (pool->cpu_limit_us == 0 || getrusage(RUSAGE_SELF, &usage) < 0 ||
        getrlimit(RLIMIT_CPU, &limit) < 0)
        return;
    uint64_t used_s = (uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec +
                      (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000000U;
    uint64_t until_s = used_s + pool->cpu_limit_us / 1000000U + 1;
    if (limit.rlim_cur == until_s || until_s > limit.rlim_max)
        return;
    limit.rlim_cur = until_s;
    (void)setrlimit(RLIMIT_CPU, &limit);
}

void confine_rest(const struct setting_pool *pool)
{
    struct rlimit limit;
    if (pool->cpu_limit_us == 0 || getrlimit(RLIMIT_CPU, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_CPU, &limit);
}

/* ---- no processes ---- */

#if defined(__SANITIZE_ADDRESS__)
static bool is_forkless;

/* Its search for leaks at exit begins with a process. Found by the sanitizer by its name. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void)
{
    return is_forkless;
}
#define NOTE_FORKLESS() ((void)(is_forkless = true))
#else
#define NOTE_FORKLESS() ((void)0)
#endif

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000U /* another table of calls of the same processor */
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF_EQUAL(value, then, otherwise)                                                           \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), then, otherwise)

int confine_forbid_fork(void)
{
#ifdef ARCHITECTURE
    /* clone3 takes its flags from memory, which a filter can't read: glibc asks clone then. */
    static const struct sock_filter code[] = {
        LOAD(arch),
        IF_EQUAL(ARCHITECTURE, 1, 0),
        REFUSE(ENOSYS),
        LOAD(nr),
#ifdef X32_BIT
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
        REFUSE(ENOSYS),
#endif
        IF_EQUAL(SYS_clone3, 0, 1),
        REFUSE(ENOSYS),
#ifdef SYS_fork
        IF_EQUAL(SYS_fork, 1, 0),
        IF_EQUAL(SYS_vfork, 0, 1),
        REFUSE(EPERM),
#endif
        IF_EQUAL(SYS_clone, 1, 0),
        ALLOW,
        LOAD(args[0]), /* the lower half: both processors are little-endian */
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
        REFUSE(EPERM),
        ALLOW,
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0],
                                       .filter = (struct sock_filter *)(uintptr_t)code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return -ENOTSUP;
    NOTE_FORKLESS();
    return 0;
#else
    return -ENOTSUP;
#endif
}

/* ---- all of it ---- */

/* When the machine, or the container, runs out of memory after all, the kernel should take a
 * compute worker before it takes one that serves. To be less of a target takes a privilege, to be
 * more of one does not. What can't be written changes nothing else. */
static void volunteer(void)
{
    char text[16] = "";
    bool was_dumpable = prctl(PR_GET_DUMPABLE) == 1;
    (void)prctl(PR_SET_DUMPABLE, 1); /* else who has changed its user owns nothing in /proc/self */
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && atoi(text) < OOM_SCORE_ADJ) {
        int n = snprintf(text, sizeof text, "%d", OOM_SCORE_ADJ);
        (void)!pwrite(fd, text, (size_t)n, 0);
    }
    fd_close(&fd);
    if (!was_dumpable)
        (void)prctl(PR_SET_DUMPABLE, 0);
}

/* Than web workers, whose niceness is what the server was started with. */
static int be_nicer(const struct setting_pool *pool, struct err *err)
{
    int wanted = getpriority(PRIO_PROCESS, 0) + (int)pool->nice;
    if (wanted > NICEST)
        wanted = NICEST;
    if (setpriority(PRIO_PROCESS, 0, wanted) < 0)
        return err_set(err, errno, "can't be nice %d: %s", wanted, strerror(errno));
    return 0;
}

int confine_worker(const struct setting_pool *pool, struct err *err)
{
    if (setpgid(0, 0) < 0)
        return err_set(err, errno, "no process group of its own: %s", strerror(errno));
    volunteer();
    int rc = be_nicer(pool, err);
    if (rc == 0)
        rc = set_limit(RLIMIT_CORE, "core dumps", 0, 0, err);
    if (rc == 0)
        rc = limit_descriptors(pool, err);
    if (rc == 0 && pool->fork == 0 && confine_forbid_fork() < 0)
        rc = err_set(err, ENOTSUP,
                     "this kernel has no filter of system calls (seccomp) with which to keep "
                     "handlers of pool %s from making processes; say fork: yes to let them",
                     pool->name);
    if (rc == 0)
        rc = limit_memory(pool, err);
    return rc;
}
