/* The crash handler. Process: loader and workers; runs on whatever thread crashed, on a stack of
 * its own.
 *
 * Only async-signal-safe calls (signal-safety(7)), plus the unwinder of the compiler's runtime,
 * which finds its tables without a lock (glibc 2.35, _dl_find_object) and was run once before, so
 * that nothing of it is left to be loaded. Each step may meet memory that the app has destroyed:
 * one that faults is left by siglongjmp() and noted, and the next one goes on. Whatever happens,
 * the process then dies by the signal it got. What is not done here: names, log lines, files. */
#include "workers/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/request.h"
#include "ipc/remains.h"
#include "workers/crash_maps.h"

#define STACK_BYTES (64U * 1024U) /* the unwinder was seen to need 6 KiB of it (gcc 12, x86-64) */
#define GUARD_BYTES 4096U

_Thread_local struct crash_subject crash_subject;
static _Thread_local void *own_stack; /* NULL: the thread has none, or one of a sanitizer's */

static const int fatal_signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP};

static struct {
    struct remains *remains; /* NULL: nowhere to write */
    pid_t pid;               /* whose they are */
    _Atomic pid_t dying;     /* the thread that is in the handler; 0: none */
    volatile sig_atomic_t is_in_step;
    sigjmp_buf step_failed;
    const struct crash_farewell *_Atomic farewell;
} crash;

/* What the handler was called with. */
struct fault {
    int signal;
    siginfo_t *info;
    ucontext_t *context; /* NULL: exit(3), no signal */
    int error;           /* errno, before anything here could change it */
};

/* ---- steps ---- */

static void write_request(const struct fault *fault)
{
    (void)fault;
    const struct request_entry *entry = crash_subject.entry;
    if (entry)
        memcpy(&crash.remains->request, entry, sizeof *entry);
}

/* Program counter and stack pointer at the fault; where a call to a wild address came from. */
static uintptr_t pc_of(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)context->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

/* As if the call had returned already, so that the unwinder finds the caller of an address that is
 * no code (a NULL function pointer). */
static void leave_call(ucontext_t *context)
{
#if defined(__x86_64__)
    greg_t *registers = context->uc_mcontext.gregs;
    memcpy(&registers[REG_RIP], (const void *)(uintptr_t)registers[REG_RSP], sizeof(greg_t));
    registers[REG_RSP] += (greg_t)sizeof(greg_t);
#elif defined(__aarch64__)
    context->uc_mcontext.pc = context->uc_mcontext.regs[30];
#else
    (void)context;
#endif
}

struct walk {
    uintptr_t from; /* frames before this one are the handler's own */
    bool has_begun;
};

static _Unwind_Reason_Code on_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *walk = arg;
    struct remains *r = crash.remains;
    int is_exact = 0;
    uintptr_t pc = (uintptr_t)_Unwind_GetIPInfo(context, &is_exact);
    walk->has_begun |= pc == walk->from;
    if (!walk->has_begun)
        return _URC_NO_REASON;
    uint32_t n = r->n_frames;
    if (n >= REMAINS_FRAMES || (pc == 0 && n > 0))
        return _URC_END_OF_STACK;
    r->frames[n] = (struct remains_frame){pc, REMAINS_NO_MODULE, is_exact != 0};
    r->n_frames = n + 1;
    return _URC_NO_REASON;
}

static void write_frames(const struct fault *fault)
{
    struct remains *r = crash.remains;
    struct walk walk = {.from = fault->context ? pc_of(fault->context) : 0,
                        .has_begun = !fault->context};
    (void)_Unwind_Backtrace(on_frame, &walk);
    if (!fault->context || r->n_frames > 1)
        return;
    r->frames[0] = (struct remains_frame){walk.from, REMAINS_NO_MODULE, 1};
    r->n_frames = 1;
    ucontext_t saved = *fault->context;
    leave_call(fault->context);
    walk = (struct walk){.from = pc_of(fault->context)};
    (void)_Unwind_Backtrace(on_frame, &walk);
    if (r->n_frames > 1)
        r->frames[1].is_exact = 0;
    *fault->context = saved;
}

static void write_modules(const struct fault *fault)
{
    (void)fault;
    char piece[1024];
    struct crash_maps maps;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    crash_maps_init(&maps, crash.remains, true);
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0)
        crash_maps_feed(&maps, piece, (size_t)n);
    (void)close(fd);
}

static void write_limits(const struct fault *fault)
{
    (void)fault;
    _Static_assert(RLIM_NLIMITS <= REMAINS_LIMITS, "all of them");
    for (unsigned i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
        (void)getrlimit(i, &limit);
        crash.remains->limits[i] = (struct remains_limit){limit.rlim_cur, limit.rlim_max};
    }
    crash.remains->n_limits = RLIM_NLIMITS;
}

/* The octets of the head as received, and the body as far as it is there. */
static void write_image(const struct fault *fault)
{
    (void)fault;
    struct remains *r = crash.remains;
    const struct rmd_request *req = crash_subject.req;
    const struct request_entry *entry = crash_subject.entry;
    if (!entry || atomic_load_explicit(&entry->phase, memory_order_relaxed) == ENTRY_FREE || !req ||
        req->magic != REQUEST_MAGIC || !req->base)
        return;
    size_t head = req->head.bytes < REMAINS_IMAGE_BYTES ? req->head.bytes : REMAINS_IMAGE_BYTES;
    size_t body = REMAINS_IMAGE_BYTES - head;
    body = req->body.len < body ? req->body.len : body;
    memcpy(r->image, req->base, head);
    r->head_len = (uint32_t)head;
    r->head_bytes = req->head.bytes;
    if (body > 0)
        memcpy(r->image + head, req->body.p, body);
    r->body_len = (uint32_t)body;
    r->body_bytes = req->body.len;
}

static void (*const steps[REMAINS_STEPS])(const struct fault *fault) = {
    [REMAINS_STEP_REQUEST] = write_request, [REMAINS_STEP_FRAMES] = write_frames,
    [REMAINS_STEP_MODULES] = write_modules, [REMAINS_STEP_LIMITS] = write_limits,
    [REMAINS_STEP_IMAGE] = write_image,
};

/* ---- the record ---- */

static void write_basics(enum remains_kind kind, const struct fault *fault)
{
    struct remains *r = crash.remains;
    r->pid = crash.pid;
    r->tid = gettid();
    r->signal = fault->signal;
    r->at_us = clock_now_us();
    r->error = fault->error;
    r->failed = 0;
    r->n_frames = r->n_modules = r->n_limits = r->head_len = r->body_len = 0;
    atomic_store_explicit(&r->request.phase, ENTRY_FREE, memory_order_relaxed);
    (void)prctl(PR_GET_NAME, r->thread);
    if (fault->info) {
        r->code = fault->info->si_code;
        if (remains_was_sent(r)) {
            r->sender_pid = fault->info->si_pid;
            r->sender_uid = fault->info->si_uid;
        } else if (r->code > 0) {
            r->address = (uintptr_t)fault->info->si_addr;
        }
    }
    atomic_store_explicit(&r->kind, kind, memory_order_release);
}

static void write_remains(enum remains_kind kind, const struct fault *fault)
{
    write_basics(kind, fault);
    for (volatile int i = 0; i < REMAINS_STEPS; i++) {
        if (sigsetjmp(crash.step_failed, 0) == 0) {
            crash.is_in_step = 1;
            steps[i](fault);
        } else {
            crash.remains->failed |= 1U << i;
        }
        crash.is_in_step = 0;
    }
}

/* ---- the handler ---- */

static void say_farewell(const siginfo_t *info)
{
    const struct crash_farewell *farewell =
        atomic_exchange_explicit(&crash.farewell, NULL, memory_order_acquire);
    if (!farewell || info->si_code == SI_TKILL || atomic_load(farewell->is_begun))
        return; /* TKILL: the app's own abort(3) */
    (void)!send(farewell->fd, farewell->octets, farewell->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(farewell->fd, SHUT_WR);
}

/* A fault happens again when the handler returns, and leaves a core dump of the very place; what
 * was sent has to be sent again. */
static void die(int signal, const siginfo_t *info)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    (void)sigaction(signal, &action, NULL);
    bool happens_again = info->si_code > 0 && signal != SIGSYS && signal != SIGTRAP;
    if (!happens_again)
        (void)syscall(SYS_tgkill, getpid(), gettid(), signal);
}

static void on_fatal_signal(int signal, siginfo_t *info, void *context)
{
    int error = errno;
    pid_t tid = gettid();
    pid_t nobody = 0;
    if (!crash.remains || crash.pid != getpid()) {
        die(signal, info); /* a process that app code forked is no worker */
    } else if (atomic_compare_exchange_strong(&crash.dying, &nobody, tid)) {
        const struct fault fault = {signal, info, context, error};
        if (signal == SIGABRT)
            say_farewell(info);
        write_remains(REMAINS_SIGNAL, &fault);
        die(signal, info);
    } else if (nobody != tid) {
        for (;;)
            (void)pause(); /* the first thread that crashed ends us all */
    } else if (crash.is_in_step) {
        siglongjmp(crash.step_failed, 1);
    } else {
        die(signal, info);
    }
}

/* exit(3), by whoever called it; whether that was in order is for the master to say. */
static void on_exit_called(void)
{
    int error = errno;
    pid_t nobody = 0;
    if (!crash.remains || crash.pid != getpid() ||
        !atomic_compare_exchange_strong(&crash.dying, &nobody, gettid()))
        return;
    const struct fault fault = {.error = error};
    write_remains(REMAINS_EXIT, &fault);
    atomic_store(&crash.dying, 0);
}

/* ---- set-up ---- */

static int give_stack(void)
{
    stack_t stack;
    if (sigaltstack(NULL, &stack) == 0 && !(stack.ss_flags & SS_DISABLE))
        return 0; /* a sanitizer's */
    long least = sysconf(_SC_MINSIGSTKSZ);
    size_t bytes = STACK_BYTES + (least > 0 ? ((size_t)least + 4095) & ~(size_t)4095 : 0);
    char *memory = mmap(NULL, GUARD_BYTES + bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    (void)mprotect(memory, GUARD_BYTES, PROT_NONE);
    own_stack = memory;
    stack = (stack_t){.ss_sp = memory + GUARD_BYTES, .ss_size = bytes};
    return sigaltstack(&stack, NULL) < 0 ? -errno : 0;
}

static _Unwind_Reason_Code ignore_frame(struct _Unwind_Context *context, void *arg)
{
    (void)context;
    (void)arg;
    return _URC_NO_REASON;
}

void crash_arm(void)
{
    (void)give_stack(); /* without one only an overflow of the stack goes unexplained */
    (void)_Unwind_Backtrace(ignore_frame, NULL);
    struct sigaction action = {.sa_sigaction = on_fatal_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof fatal_signals / sizeof fatal_signals[0]; i++) {
        struct sigaction old;
        if (sigaction(fatal_signals[i], NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
            (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN))
            (void)sigaction(fatal_signals[i], &action, NULL);
    }
    (void)atexit(on_exit_called);
}

void crash_attach(struct remains *remains, const struct request_entry *current)
{
    crash_subject.entry = current;
    crash.pid = getpid();
    crash.remains = remains;
    log_set_ring(remains ? &remains->log : NULL);
}

int crash_enter_thread(void)
{
    sigset_t aborts;
    (void)sigemptyset(&aborts);
    (void)sigaddset(&aborts, SIGABRT);
    (void)sigprocmask(SIG_BLOCK, &aborts, NULL);
    return give_stack();
}

void crash_leave_thread(void)
{
    stack_t stack;
    stack_t none = {.ss_flags = SS_DISABLE};
    if (!own_stack || sigaltstack(NULL, &stack) < 0 || sigaltstack(&none, NULL) < 0)
        return;
    if (stack.ss_sp == (char *)own_stack + GUARD_BYTES) /* else the app has put its own there */
        (void)munmap(own_stack, GUARD_BYTES + stack.ss_size);
    own_stack = NULL;
}

void crash_set_farewell(const struct crash_farewell *farewell)
{
    atomic_store_explicit(&crash.farewell, farewell, memory_order_release);
}
