/* Process: the coroner's reader, a child that may crash or hang over a file without harm, and
 * `remuda version`. libdw is loaded here and nowhere else: no process that serves has it. */
#include "workers/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/user.h>
#include <unistd.h>

#ifdef REMUDA_LIBDW

#include <dlfcn.h>
#include <elfutils/libdwfl.h>

#include "base/fault.h"
#include "workers/crash_maps.h"

#define LIBRARY "libdw.so.1"

/* The functions that are called, by their names. */
#define FUNCTIONS(X)                                                                               \
    X(dwfl_begin)                                                                                  \
    X(dwfl_report_begin)                                                                           \
    X(dwfl_report_elf)                                                                             \
    X(dwfl_report_end)                                                                             \
    X(dwfl_addrmodule)                                                                             \
    X(dwfl_module_addrinfo)                                                                        \
    X(dwfl_module_getsrc)                                                                          \
    X(dwfl_lineinfo)                                                                               \
    X(dwfl_module_nextcu)                                                                          \
    X(dwarf_haspc)                                                                                 \
    X(dwarf_getsrc_die)                                                                            \
    X(dwarf_linesrc)                                                                               \
    X(dwarf_lineno)                                                                                \
    X(dwfl_attach_state)                                                                           \
    X(dwfl_getthread_frames)                                                                       \
    X(dwfl_frame_pc)                                                                               \
    X(dwfl_thread_state_registers)                                                                 \
    X(dwfl_thread_state_register_pc)                                                               \
    X(dwfl_build_id_find_elf)                                                                      \
    X(dwfl_standard_find_debuginfo)                                                                \
    X(dwfl_offline_section_address)

#define DECLARE(name) __typeof__(&name) name;
#define LOAD(name)                                                                                 \
    if (!(lib.name = (__typeof__(&name))dlsym(handle, #name)))                                     \
        return -ENOENT;

static struct {
    FUNCTIONS(DECLARE)
} lib;

static Dwfl *session;

int symbols_open(void)
{
    static Dwfl_Callbacks callbacks;
    void *handle = FAULT("symbols.open") ? NULL : dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return -ENOENT;
    FUNCTIONS(LOAD)
    (void)unsetenv("DEBUGINFOD_URLS"); /* nothing here asks the network */
    callbacks = (Dwfl_Callbacks){.find_elf = lib.dwfl_build_id_find_elf,
                                 .find_debuginfo = lib.dwfl_standard_find_debuginfo,
                                 .section_address = lib.dwfl_offline_section_address};
    session = lib.dwfl_begin(&callbacks);
    if (!session)
        return -ENOMEM;
    lib.dwfl_report_begin(session);
    return 0;
}

/* Names out of a file that was replaced since would be wrong ones. */
static bool is_same(const struct symbols_object *object, int fd)
{
    unsigned char head[4096]; /* linkers put the note in front of everything else */
    unsigned char found[REMAINS_BUILD_ID_MAX];
    ssize_t n = pread(fd, head, sizeof head, 0);
    size_t len = n > 0 ? crash_maps_build_id(head, (size_t)n, found) : 0;
    return object->build_id_len == 0 ||
           (len == object->build_id_len && memcmp(found, object->build_id, len) == 0);
}

int symbols_add(const struct symbols_object *object)
{
    int fd = object->fd >= 0 ? fcntl(object->fd, F_DUPFD_CLOEXEC, 3)
                             : open(object->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (!is_same(object, fd)) {
        (void)close(fd);
        return -ESTALE;
    }
    Dwfl_Module *module =
        lib.dwfl_report_elf(session, object->path, object->path, fd, object->base, false);
    if (!module) {
        (void)close(fd);
        return -ENOEXEC;
    }
    return 0;
}

void symbols_begin(void)
{
    (void)lib.dwfl_report_end(session, NULL, NULL);
}

static void copy_end(char *out, size_t cap, const char *text)
{
    size_t len = strlen(text);
    const char *from = len < cap ? text : text + len - (cap - 1);
    (void)snprintf(out, cap, "%s", from);
}

/* clang writes no table of which unit an address is in (.debug_aranges), on which
 * dwfl_module_getsrc() depends: so each unit is asked. */
static const char *find_line_by_unit(Dwfl_Module *module, uint64_t address, int *out_number)
{
    Dwarf_Addr bias = 0;
    Dwarf_Die *unit = NULL;
    while ((unit = lib.dwfl_module_nextcu(module, unit, &bias))) {
        if (lib.dwarf_haspc(unit, address - bias) <= 0)
            continue;
        Dwarf_Line *line = lib.dwarf_getsrc_die(unit, address - bias);
        if (!line || lib.dwarf_lineno(line, out_number) != 0)
            return NULL;
        return lib.dwarf_linesrc(line, NULL, NULL);
    }
    return NULL;
}

void symbols_find(uint64_t address, struct symbols_place *out)
{
    memset(out, 0, sizeof *out);
    Dwfl_Module *module = lib.dwfl_addrmodule(session, address);
    if (!module)
        return;
    GElf_Off offset = 0;
    GElf_Sym symbol;
    const char *name =
        lib.dwfl_module_addrinfo(module, address, &offset, &symbol, NULL, NULL, NULL);
    if (name) {
        (void)snprintf(out->function, sizeof out->function, "%s", name);
        out->offset = (uint32_t)offset;
    }
    Dwfl_Line *line = lib.dwfl_module_getsrc(module, address);
    int number = 0;
    const char *file = line ? lib.dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL)
                            : find_line_by_unit(module, address, &number);
    if (file) {
        copy_end(out->file, sizeof out->file, file);
        out->line = number > 0 ? (uint32_t)number : 0;
    }
}

/* ---- a stack from outside ----
 *
 * libdwfl follows a stack as it does one of a core file: it asks for registers once, and for words
 * of memory. What was not copied is not there, and ends it. */

static const struct symbols_snapshot *subject;

static pid_t next_thread(Dwfl *dwfl, void *context, void **thread)
{
    (void)dwfl;
    (void)context;
    bool is_first = *thread == NULL;
    *thread = &subject;
    return is_first ? subject->tid : 0;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *context, void **thread)
{
    (void)dwfl;
    (void)context;
    *thread = &subject;
    return tid == subject->tid;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *out, void *context)
{
    (void)dwfl;
    (void)context;
    const struct symbols_snapshot *s = subject;
    if (address < s->stack_at || address - s->stack_at > s->stack_len ||
        s->stack_len - (address - s->stack_at) < sizeof *out)
        return false;
    memcpy(out, s->stack + (address - s->stack_at), sizeof *out);
    return true;
}

/* By the numbers that DWARF gives them on this machine. */
static bool set_registers(Dwfl_Thread *thread, void *context)
{
    const struct user_regs_struct *r = subject->regs;
    (void)context;
#if defined(__x86_64__)
    const Dwarf_Word words[] = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi,
                                r->rbp, r->rsp, r->r8,  r->r9,  r->r10, r->r11,
                                r->r12, r->r13, r->r14, r->r15, r->rip};
    return lib.dwfl_thread_state_registers(thread, 0, sizeof words / sizeof words[0], words);
#elif defined(__aarch64__)
    Dwarf_Word words[32];
    for (size_t i = 0; i < 31; i++)
        words[i] = r->regs[i];
    words[31] = r->sp;
    lib.dwfl_thread_state_register_pc(thread, r->pc);
    return lib.dwfl_thread_state_registers(thread, 0, 32, words);
#else
    (void)r;
    (void)thread;
    return false;
#endif
}

struct walk {
    uint64_t *out;
    uint32_t n, cap;
};

static int take_frame(Dwfl_Frame *frame, void *context)
{
    struct walk *walk = context;
    Dwarf_Addr address;
    bool is_exact;
    if (walk->n == walk->cap || !lib.dwfl_frame_pc(frame, &address, &is_exact) || address == 0)
        return DWARF_CB_ABORT;
    walk->out[walk->n++] = address;
    return DWARF_CB_OK;
}

uint32_t symbols_unwind(const struct symbols_snapshot *snapshot, uint64_t *out, uint32_t cap)
{
    static const Dwfl_Thread_Callbacks callbacks = {.next_thread = next_thread,
                                                    .get_thread = get_thread,
                                                    .memory_read = read_memory,
                                                    .set_initial_registers = set_registers};
    static bool is_attached;
    struct walk walk = {.out = out, .cap = cap};
    subject = snapshot;
    if (!is_attached)
        is_attached = lib.dwfl_attach_state(session, NULL, snapshot->pid, &callbacks, NULL);
    if (is_attached)
        (void)lib.dwfl_getthread_frames(session, snapshot->tid, take_frame, &walk);
    return walk.n;
}

const char *symbols_library(void)
{
    static char text[32];
    void *handle = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
    __typeof__(&dwfl_version) version =
        handle ? (__typeof__(&dwfl_version))dlsym(handle, "dwfl_version") : NULL;
    (void)snprintf(text, sizeof text, "%s", version ? version(NULL) : "not there");
    if (handle)
        (void)dlclose(handle);
    return text;
}

#else

int symbols_open(void)
{
    return -ENOENT;
}

int symbols_add(const struct symbols_object *object)
{
    (void)object;
    return -ENOENT;
}

void symbols_begin(void)
{
}

void symbols_find(uint64_t address, struct symbols_place *out)
{
    (void)address;
    memset(out, 0, sizeof *out);
}

uint32_t symbols_unwind(const struct symbols_snapshot *snapshot, uint64_t *out, uint32_t cap)
{
    (void)snapshot;
    (void)out;
    (void)cap;
    return 0;
}

const char *symbols_library(void)
{
    return "not built in";
}

#endif
