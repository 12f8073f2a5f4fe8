/* Process: a tracer, its holder and its reader. Reading order: stacks_take() → hold() → read_all().
 *
 * The two children leave what they find in memory that is shared with who asks. The holder's part
 * is not the app's to write; the reader's is whatever the app's files make of it, so it is bounded
 * once the reader is dead. */
#include "workers/stacks.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/settings.h"
#include "ipc/spawn.h"
#include "workers/crash_maps.h"
#include "workers/reader.h"

#define MODULES_MAX 96U
#define RANGES_MAX 192U
#define STACK_ONE_BYTES (256U * 1024U)  /* of a stack, of a single thread; */
#define STACK_EACH_BYTES (64U * 1024U)  /* and of each of many */
#define STOP_US (2 * CLOCK_US_PER_S)    /* for a thread to stop: it does when it runs next */
#define SPIN_US 200U                    /* of that without a nap: usually it is there by then */
#define HOLDER_US (30 * CLOCK_US_PER_S) /* all threads together */
#define NAMES_US (15 * CLOCK_US_PER_S)  /* 0.2 s is usual; nobody waits, and others serve */
#define PAGE 4096U

/* ---- what they share ---- */

/* A mapping of its code. */
struct range {
    uint64_t begin, end;
    uint32_t object;
};

struct held_thread {
    pid_t tid;
    int rc;
    bool is_other;
    bool is_late; /* the holder's: seized, but it had not stopped when it should have */
    char state;
    char name[REMAINS_THREAD_MAX];
    char wchan[STACKS_WCHAN_MAX];
    uint64_t stopped_us;
    struct user_regs_struct regs;
    uint64_t stack_at;
    size_t stack_len;
};

struct held {
    int rc; /* of all: no such process, no right */
    uint32_t n_objects, n_ranges, n_threads, n_left_out;
    struct remains_module objects[MODULES_MAX];
    struct range ranges[RANGES_MAX];
    struct held_thread threads[STACKS_THREADS_MAX];
};

struct found_thread {
    _Atomic uint32_t n_frames;
    _Atomic uint32_t n_named;
    struct remains_frame frames[REMAINS_FRAMES];
    struct symbols_place places[REMAINS_FRAMES];
};

struct found {
    _Atomic uint32_t has_library;
    struct found_thread threads[STACKS_THREADS_MAX];
};

static struct {
    const struct stacks_ask *ask;
    struct held *held;   /* written by the holder */
    struct found *found; /* written by the reader */
    char *stacks;        /* of all threads, each STACK_…_BYTES; written by the holder */
    size_t stack_bytes;  /* of each */
} room;

static void *map_shared(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static size_t stacks_bytes(void)
{
    return room.ask->tid ? STACK_ONE_BYTES : (size_t)STACK_EACH_BYTES * STACKS_THREADS_MAX;
}

/* ---- /proc ---- */

static size_t read_file(pid_t pid, pid_t tid, const char *name, char *out, size_t cap)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, cap - 1);
    fd_close(&fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* What a thread is called, and what it does, before it is stopped.
 * Returns  false: there is no such thread of that process, or it is no child of the master's */
static bool look_at_thread(pid_t pid, struct held_thread *t)
{
    char stat[512];
    char *name_end;
    t->state = '?';
    if (read_file(pid, t->tid, "stat", stat, sizeof stat) == 0)
        return false;
    name_end = strrchr(stat, ')'); /* the name may hold anything (proc(5)) */
    if (!name_end || strlen(name_end) < 5 ||
        strtol(name_end + 4, NULL, 10) != room.ask->heritage->master_pid)
        return false;
    t->state = name_end[2];
    size_t n = read_file(pid, t->tid, "comm", t->name, sizeof t->name);
    if (n > 0 && t->name[n - 1] == '\n')
        t->name[n - 1] = '\0';
    (void)read_file(pid, t->tid, "wchan", t->wchan, sizeof t->wchan);
    for (const char *c = t->wchan; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '_' || *c == '.'))
            t->wchan[0] = '\0';
    if (strcmp(t->wchan, "0") == 0)
        t->wchan[0] = '\0';
    return true;
}

/* ---- objects, before anybody is stopped ---- */

static void read_build_id(int mem_fd, struct remains_module *module)
{
    unsigned char page[PAGE]; /* linkers put the note in front of everything else */
    ssize_t n = pread(mem_fd, page, sizeof page, (off_t)module->base);
    if (n > 0)
        module->build_id_len = (uint8_t)crash_maps_build_id(page, (size_t)n, module->build_id);
}

/* A line of /proc/PID/maps. The mappings of one object follow each other, the one of its first
 * octets first. */
static void take_mapping(const char *line, uint64_t *base, char path[REMAINS_PATH_MAX])
{
    uint64_t begin, end, offset;
    char rights[8];
    int at = 0;
    struct held *h = room.held;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %n", &begin, &end, rights,
               &offset, &at) < 4 ||
        at == 0 || (line[at] != '/' && line[at] != '['))
        return;
    size_t len = strcspn(line + at, "\n");
    size_t skip = len < REMAINS_PATH_MAX ? 0 : len - (REMAINS_PATH_MAX - 1);
    char name[REMAINS_PATH_MAX];
    memcpy(name, line + at + skip, len - skip);
    name[len - skip] = '\0';
    if (offset == 0 || strcmp(name, path) != 0) {
        memcpy(path, name, sizeof name);
        *base = begin;
    }
    if (rights[2] != 'x' || h->n_ranges == RANGES_MAX)
        return;
    bool is_new = h->n_objects == 0 || h->objects[h->n_objects - 1].base != *base;
    if (is_new && h->n_objects == MODULES_MAX)
        return;
    if (is_new) {
        struct remains_module *module = &h->objects[h->n_objects++];
        module->base = *base;
        memcpy(module->path, path, REMAINS_PATH_MAX);
    }
    h->ranges[h->n_ranges++] = (struct range){begin, end, h->n_objects - 1};
}

static int read_objects(pid_t pid, int mem_fd)
{
    char path[64];
    char line[1024];
    char object[REMAINS_PATH_MAX] = "";
    uint64_t base = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return -errno;
    while (fgets(line, sizeof line, maps))
        take_mapping(line, &base, object);
    (void)fclose(maps);
    for (uint32_t i = 0; i < room.held->n_objects; i++)
        read_build_id(mem_fd, &room.held->objects[i]);
    return 0;
}

/* ---- the holder ---- */

/* Lets a thread go that has stopped. One that has stopped for a signal gets it now. */
static void let_go(pid_t tid, int status)
{
    bool is_for_signal = status >> 16 == 0 && WSTOPSIG(status) != SIGTRAP;
    intptr_t signal = is_for_signal ? WSTOPSIG(status) : 0;
    (void)ptrace(PTRACE_DETACH, tid, NULL, (void *)signal);
}

/* Those that did not stop in time do so some time later, or for a signal of their own, and must not
 * wait for the others then. */
static void let_late_go(void)
{
    for (uint32_t i = 0; i < room.held->n_threads; i++) {
        struct held_thread *t = &room.held->threads[i];
        int status;
        if (t->is_late && waitpid(t->tid, &status, __WALL | WNOHANG) == t->tid &&
            WIFSTOPPED(status))
            let_go(t->tid, status);
    }
}

/* Waits until a thread that was told to stop has.
 * running_us  when it was known to run; becomes when that was last seen
 * Returns     the status of waitpid(2); -errno */
static int await_stop(pid_t tid, uint64_t *running_us)
{
    uint64_t begin_us = *running_us;
    const struct timespec nap = {.tv_nsec = 50000};
    for (;;) {
        int status;
        uint64_t now_us = clock_now_us();
        pid_t pid = waitpid(tid, &status, __WALL | WNOHANG);
        uint64_t waited_us = now_us - begin_us;
        if (pid == tid)
            return WIFSTOPPED(status) ? status : -ESRCH;
        if (pid < 0 && errno != EINTR)
            return -errno;
        if (waited_us > STOP_US)
            return -ETIMEDOUT;
        *running_us = now_us;
        if (waited_us > SPIN_US) {
            let_late_go();
            (void)nanosleep(&nap, NULL);
        } else {
            (void)sched_yield();
        }
    }
}

static uint64_t stack_pointer(const struct user_regs_struct *regs)
{
#if defined(__x86_64__)
    return regs->rsp;
#elif defined(__aarch64__)
    return regs->sp;
#else
    (void)regs;
    return 0;
#endif
}

/* Of one that is seized. Returns as await_stop() */
static int stop_thread(const struct held_thread *t, uint64_t *out_running_us)
{
    struct held_thread again = {.tid = t->tid};
    if (!look_at_thread(room.ask->pid, &again)) /* from here on the number can't be another's */
        return -ESRCH;
    *out_running_us = clock_now_us();
    if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0)
        return -errno;
    return await_stop(t->tid, out_running_us);
}

/* The thread stands still from here to the caller's detach. */
static int copy_thread(int mem_fd, struct held_thread *t, char *stack)
{
    struct iovec regs = {&t->regs, sizeof t->regs};
    if (room.ask->is_wanted && !room.ask->is_wanted(room.ask->context)) {
        t->is_other = true;
        return 0;
    }
    if (ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_PRSTATUS, &regs) < 0)
        return -errno;
    t->stack_at = stack_pointer(&t->regs);
    ssize_t n = pread(mem_fd, stack, room.stack_bytes, (off_t)t->stack_at);
    t->stack_len = n > 0 ? (size_t)n : 0; /* the first frame is known even so */
    return 0;
}

/* What can be done beforehand is: memory for the copy is made now, not while the thread stands. */
static int hold_thread(int mem_fd, struct held_thread *t, char *stack)
{
    int injected = FAULT("stacks.seize");
    (void)madvise(stack, room.stack_bytes, MADV_POPULATE_WRITE); /* Linux 5.14 */
    if (injected || ptrace(PTRACE_SEIZE, t->tid, NULL, NULL) < 0)
        return -(injected ? injected : errno);
    uint64_t running_us;
    int status = stop_thread(t, &running_us);
    t->is_late = status < 0;
    if (status < 0)
        return status;
    int rc = copy_thread(mem_fd, t, stack);
    if (FAULT("stacks.stopped")) /* what becomes of the thread when this process dies now? */
        (void)kill(getpid(), SIGKILL);
    let_go(t->tid, status);
    t->stopped_us = clock_now_us() - running_us; /* or less: nobody has seen when it stopped */
    return rc;
}

static void list_threads(pid_t pid)
{
    char path[64];
    struct held *h = room.held;
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    struct dirent *entry;
    while (tasks && (entry = readdir(tasks)))
        if (entry->d_name[0] == '.')
            continue;
        else if (h->n_threads < STACKS_THREADS_MAX)
            h->threads[h->n_threads++].tid = (pid_t)strtol(entry->d_name, NULL, 10);
        else
            h->n_left_out++;
    if (tasks)
        (void)closedir(tasks);
}

static void hold(const struct heritage *heritage)
{
    const struct stacks_ask *ask = room.ask;
    struct held *h = room.held;
    char path[64];
    (void)heritage;
    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)ask->pid);
    int mem_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (mem_fd < 0) {
        h->rc = errno == EACCES ? -EPERM : errno == ENOENT ? -ESRCH : -errno;
        _exit(EXIT_SUCCESS);
    }
    h->rc = read_objects(ask->pid, mem_fd);
    for (uint32_t i = 0; i < STACKS_THREADS_MAX; i++)
        h->threads[i].rc = -ECHILD; /* as long as nobody has looked, should this process die */
    if (ask->tid)
        h->threads[h->n_threads++].tid = ask->tid;
    else
        list_threads(ask->pid);
    for (uint32_t i = 0; h->rc == 0 && i < h->n_threads; i++) {
        struct held_thread *t = &h->threads[i];
        let_late_go();
        t->rc = look_at_thread(ask->pid, t)
                    ? hold_thread(mem_fd, t, room.stacks + i * room.stack_bytes)
                    : -ESRCH;
        if (t->rc == -EPERM || t->rc == -EACCES)
            h->rc = -EPERM;
    }
    _exit(EXIT_SUCCESS);
}

/* ---- the reader ---- */

/* The kernel's own object is in no file, and the same for all processes. */
static int open_vdso(void)
{
    const char *at = (const char *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
    Elf64_Ehdr head;
    if (!at)
        return -ENOENT;
    memcpy(&head, at, sizeof head);
    size_t bytes = head.e_shoff + (size_t)head.e_shnum * head.e_shentsize;
    int fd = memfd_create("vdso", MFD_CLOEXEC);
    if (fd >= 0 && fd_write_all(fd, at, bytes) < 0)
        fd_close(&fd);
    return fd;
}

static void add_objects(const struct heritage *heritage)
{
    for (uint32_t i = 0; i < room.held->n_objects; i++) {
        const struct remains_module *module = &room.held->objects[i];
        bool is_copy = remains_is_app(module) && heritage->app_fd > 0;
        bool is_vdso = strcmp(module->path, "[vdso]") == 0;
        int vdso_fd = is_vdso ? open_vdso() : -1;
        if (module->path[0] != '/' && vdso_fd < 0)
            continue;
        struct symbols_object object = {
            .path = is_copy ? heritage->settings->app : module->path,
            .fd = is_copy ? heritage->app_fd : vdso_fd,
            .base = module->base,
            .build_id = module->build_id,
            .build_id_len = module->build_id_len,
        };
        (void)!symbols_add(&object); /* its frames stay without names, and end the stack */
        fd_close(&vdso_fd);
    }
}

static void follow(const struct held_thread *t, const char *stack, struct found_thread *out)
{
    uint64_t addresses[REMAINS_FRAMES];
    struct symbols_snapshot snapshot = {.regs = &t->regs,
                                        .pid = room.ask->pid,
                                        .tid = t->tid,
                                        .stack_at = t->stack_at,
                                        .stack = stack,
                                        .stack_len = t->stack_len};
    uint32_t n = symbols_unwind(&snapshot, addresses, REMAINS_FRAMES);
    for (uint32_t i = 0; i < n; i++)
        out->frames[i] = (struct remains_frame){.address = addresses[i], .is_exact = i == 0};
    out->n_frames = n;
}

static void name(struct found_thread *t)
{
    for (uint32_t i = 0; i < t->n_frames; i++) {
        const struct remains_frame *frame = &t->frames[i];
        struct symbols_place *place = &t->places[i];
        symbols_find(frame->address - (frame->is_exact ? 0 : 1), place);
        if (place->function[0] && !frame->is_exact)
            place->offset++;
        t->n_named = i + 1;
    }
}

/* First all stacks, then the names: should time run out, these are what may be missing. */
static void read_all(const struct heritage *heritage)
{
    if (reader_begin(heritage) < 0)
        _exit(EXIT_FAILURE);
    room.found->has_library = 1;
    add_objects(heritage);
    symbols_begin();
    for (uint32_t i = 0; i < room.held->n_threads; i++)
        if (room.held->threads[i].rc == 0 && !room.held->threads[i].is_other)
            follow(&room.held->threads[i], room.stacks + i * room.stack_bytes,
                   &room.found->threads[i]);
    for (uint32_t i = 0; i < room.held->n_threads; i++)
        name(&room.found->threads[i]);
    _exit(EXIT_SUCCESS);
}

/* ---- who asks ---- */

/* Waits for a child, so long. Afterwards it is gone. */
static void await_child(pid_t pid, uint64_t limit_us)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    if (fd < 0 || poll(&end, 1, (int)(limit_us / CLOCK_US_PER_MS)) <= 0)
        (void)kill(pid, SIGKILL);
    fd_close(&fd);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static int run_child(spawn_main main, uint64_t limit_us)
{
    struct err err;
    struct heritage child = *room.ask->heritage;
    pid_t pid;
    child.master_pid = getpid();
    int rc = spawn_child(&child, main, &pid, &err);
    if (rc == 0)
        await_child(pid, limit_us);
    return rc;
}

/* Index of an object in what is printed of a thread; those without frames have no place there. */
static uint16_t find_module(struct remains *r, uint64_t address)
{
    const struct held *h = room.held;
    uint32_t i = 0;
    while (i < h->n_ranges && !(address >= h->ranges[i].begin && address < h->ranges[i].end))
        i++;
    if (i == h->n_ranges)
        return REMAINS_NO_MODULE;
    const struct remains_module *module = &h->objects[h->ranges[i].object];
    for (uint32_t k = 0; k < r->n_modules; k++)
        if (r->modules[k].base == module->base)
            return (uint16_t)k;
    if (r->n_modules == REMAINS_MODULES)
        return REMAINS_NO_MODULE;
    r->modules[r->n_modules] = *module;
    return (uint16_t)r->n_modules++;
}

/* Nobody writes to these any more; what the reader wrote may be anything. */
static int take_thread(const struct held_thread *held, const struct found_thread *found,
                       struct stacks_thread *t)
{
    *t = (struct stacks_thread){.tid = held->tid,
                                .rc = held->rc,
                                .state = held->state,
                                .stopped_us = held->stopped_us,
                                .is_other = held->is_other};
    memcpy(t->name, held->name, sizeof t->name);
    memcpy(t->wchan, held->wchan, sizeof t->wchan);
    t->remains = calloc(1, sizeof *t->remains);
    t->places = calloc(REMAINS_FRAMES, sizeof *t->places);
    if (!t->remains || !t->places)
        return -ENOMEM;
    struct remains *r = t->remains;
    uint32_t n = found->n_frames <= REMAINS_FRAMES ? found->n_frames : 0;
    uint32_t n_named = found->n_named <= n ? found->n_named : 0;
    memcpy(r->frames, found->frames, n * sizeof r->frames[0]);
    for (uint32_t i = 0; i < n; i++)
        r->frames[i].module =
            find_module(r, r->frames[i].address - (r->frames[i].is_exact ? 0 : 1));
    memcpy(t->places, found->places, n_named * sizeof t->places[0]);
    for (uint32_t i = 0; i < n_named; i++) {
        t->places[i].function[SYMBOLS_NAME_MAX - 1] = '\0';
        t->places[i].file[SYMBOLS_FILE_MAX - 1] = '\0';
    }
    r->n_frames = n;
    t->n_named = n_named;
    return 0;
}

static int take_all(struct stacks *out)
{
    const struct held *h = room.held;
    struct stacks stacks = {.n_left_out = h->n_left_out, .has_library = room.found->has_library};
    stacks.threads = calloc(h->n_threads + 1, sizeof *stacks.threads);
    int rc = stacks.threads ? 0 : -ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < h->n_threads; i++)
        rc = take_thread(&h->threads[i], &room.found->threads[i],
                         &stacks.threads[stacks.n_threads++]);
    if (rc < 0)
        stacks_free(&stacks);
    else
        *out = stacks;
    return rc;
}

static bool is_any_held(void)
{
    const struct held *h = room.held;
    uint32_t i = 0;
    while (i < h->n_threads && (h->threads[i].rc < 0 || h->threads[i].is_other))
        i++;
    return i < h->n_threads;
}

int stacks_take(const struct stacks_ask *ask, struct stacks *out)
{
    room.ask = ask;
    room.stack_bytes = ask->tid ? STACK_ONE_BYTES : STACK_EACH_BYTES;
    room.held = map_shared(sizeof *room.held);
    room.found = map_shared(sizeof *room.found);
    room.stacks = map_shared(stacks_bytes());
    int rc = room.held && room.found && room.stacks ? 0 : -ENOMEM;
    if (rc == 0)
        rc = run_child(hold, HOLDER_US);
    if (rc == 0)
        rc = room.held->rc;
    if (rc == 0 && room.held->n_threads == 0)
        rc = -ESRCH;
    if (rc == 0 && is_any_held())
        (void)run_child(read_all, NAMES_US); /* without it there are threads, but no frames */
    if (rc == 0)
        rc = take_all(out);
    if (room.held)
        (void)munmap(room.held, sizeof *room.held);
    if (room.found)
        (void)munmap(room.found, sizeof *room.found);
    if (room.stacks)
        (void)munmap(room.stacks, stacks_bytes());
    return rc;
}

void stacks_free(struct stacks *stacks)
{
    for (uint32_t i = 0; stacks->threads && i < stacks->n_threads; i++) {
        free(stacks->threads[i].remains);
        free(stacks->threads[i].places);
    }
    free(stacks->threads);
    *stacks = (struct stacks){0};
}

const char *stacks_print(const struct stacks_thread *t, uint32_t i, const char *app,
                         char out[REMAINS_LINE_MAX])
{
    char function[SYMBOLS_NAME_MAX + 16] = "";
    char at[SYMBOLS_FILE_MAX + 16] = "";
    const struct symbols_place *place = &t->places[i];
    if (i < t->n_named && place->function[0])
        (void)snprintf(function, sizeof function, "%s+0x%x", place->function, place->offset);
    if (i < t->n_named && place->file[0])
        (void)snprintf(at, sizeof at, "%s:%u", place->file, place->line);
    return remains_print_frame(t->remains, i, app, function, at, out);
}

/* ---- why not ---- */

static long read_number(const char *path, const char *key)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    const char *at = key ? strstr(text, key) : text;
    return at ? strtol(at + (key ? strlen(key) : 0), NULL, 10) : -1;
}

const char *stacks_remedy(pid_t pid, char out[STACKS_REMEDY_MAX])
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    long tracer = read_number(path, "\nTracerPid:");
    long scope = read_number("/proc/sys/kernel/yama/ptrace_scope", NULL);
    if (tracer > 0)
        (void)snprintf(out, STACKS_REMEDY_MAX, "process %ld (gdb, strace) traces it already",
                       tracer);
    else if (scope >= 3)
        (void)snprintf(out, STACKS_REMEDY_MAX,
                       "kernel.yama.ptrace_scope is %ld: set it to 2 or less and boot again",
                       scope);
    else if (scope == 2 || geteuid() == 0)
        (void)snprintf(out, STACKS_REMEDY_MAX,
                       "give the master CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE; "
                       "Kubernetes: capabilities.add; systemd: CapabilityBoundingSet)%s",
                       scope == 2 ? ", kernel.yama.ptrace_scope is 2" : "");
    else if (scope == 1)
        (void)snprintf(out, STACKS_REMEDY_MAX,
                       "set slow_request, then workers allow it; or kernel.yama.ptrace_scope=0");
    else
        (void)snprintf(out, STACKS_REMEDY_MAX,
                       "start remuda as root or as the user of its workers; a seccomp profile "
                       "must allow ptrace");
    return out;
}
