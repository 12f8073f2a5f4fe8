/* The reading side of what a dead process left. Process: master, coroner. Whoever wrote it ran app
 * code and died: it may have been in the middle of a store, or have scribbled over it all. */
#include "ipc/remains.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

const char *const remains_step_names[REMAINS_STEPS] = {[REMAINS_STEP_REQUEST] = "request",
                                                       [REMAINS_STEP_FRAMES] = "frames",
                                                       [REMAINS_STEP_MODULES] = "modules",
                                                       [REMAINS_STEP_LIMITS] = "limits",
                                                       [REMAINS_STEP_IMAGE] = "image"};

static uint32_t at_most(uint32_t n, uint32_t limit)
{
    return n < limit ? n : limit;
}

static void end_text(char *text, size_t size)
{
    text[size - 1] = '\0';
}

void remains_bound_request(struct request_entry *entry)
{
    end_text(entry->method, sizeof entry->method);
    if (entry->target_len > sizeof entry->target)
        entry->target_len = sizeof entry->target;
    if (entry->trace_len > sizeof entry->trace)
        entry->trace_len = 0;
}

static void bound(struct remains *r)
{
    end_text(r->thread, sizeof r->thread);
    remains_bound_request(&r->request);
    r->n_frames = at_most(r->n_frames, REMAINS_FRAMES);
    r->n_modules = at_most(r->n_modules, REMAINS_MODULES);
    r->n_limits = at_most(r->n_limits, REMAINS_LIMITS);
    for (uint32_t i = 0; i < r->n_frames; i++)
        if (r->frames[i].module >= r->n_modules)
            r->frames[i].module = REMAINS_NO_MODULE;
    for (uint32_t i = 0; i < r->n_modules; i++) {
        struct remains_module *module = &r->modules[i];
        end_text(module->path, sizeof module->path);
        if (module->build_id_len > REMAINS_BUILD_ID_MAX)
            module->build_id_len = 0;
    }
    r->head_len = at_most(r->head_len, REMAINS_IMAGE_BYTES);
    r->body_len = at_most(r->body_len, REMAINS_IMAGE_BYTES - r->head_len);
    if (r->head_bytes < r->head_len)
        r->head_bytes = r->head_len;
    if (r->body_bytes < r->body_len)
        r->body_bytes = r->body_len;
}

bool remains_take(const struct remains *shared, struct remains *out)
{
    /* Pages that it has not written to are not read where that can be known: a look makes memory
     * of them. */
    uint32_t kind = shared->kind;
    if (kind == REMAINS_NONE || kind >= REMAINS_KINDS) {
        memset(out, 0, offsetof(struct remains, log));
        memcpy(&out->log, &shared->log, sizeof out->log);
        return false;
    }
    memcpy(out, shared, sizeof *out);
    out->kind = kind; /* a child that it has left behind might still write */
    bound(out);
    return true;
}

uint64_t remains_offset(const struct remains *remains, const struct remains_frame *frame)
{
    if (frame->module >= remains->n_modules)
        return frame->address;
    uint64_t base = remains->modules[frame->module].base;
    return frame->address >= base ? frame->address - base : frame->address;
}

bool remains_is_app(const struct remains_module *module)
{
    return strncmp(module->path, "/memfd:" REMAINS_APP_COPY, 7 + strlen(REMAINS_APP_COPY)) == 0;
}

uint32_t remains_first_frame(const struct remains *r)
{
    uint32_t i = 0;
    while (r->kind == REMAINS_EXIT && i < r->n_frames && r->frames[i].module == r->frames[0].module)
        i++;
    return i < r->n_frames ? i : 0;
}

bool remains_is_of_app(const struct remains_module *module, const char *app)
{
    size_t skip = strspn(app, "./");
    size_t len = strlen(app + skip);
    size_t module_len = strlen(module->path);
    return remains_is_app(module) ||
           (module_len >= len && strcmp(module->path + module_len - len, app + skip) == 0);
}

uint32_t remains_last_frame(const struct remains *r, const char *app)
{
    for (uint32_t i = r->n_frames; i > 0; i--) {
        uint16_t module = r->frames[i - 1].module;
        if (module < r->n_modules && remains_is_of_app(&r->modules[module], app))
            return i < r->n_frames ? i + 1 : i;
    }
    return r->n_frames;
}

uint32_t remains_count_same(const struct remains *r, uint32_t i, uint32_t end)
{
    uint32_t n = 1;
    while (i + n < end && r->frames[i + n].address == r->frames[i].address)
        n++;
    return n;
}

/* ` key="text"`, or nothing for "". Returns how much of out it took */
static size_t print_quoted(char *out, size_t cap, const char *key, const char *text)
{
    char quoted[LOG_QUOTE_MAX + 8];
    if (!text[0])
        return 0;
    int n = snprintf(out, cap, " %s=%s", key, log_quote(quoted, text, strlen(text)));
    return n < 0 || (size_t)n >= cap ? 0 : (size_t)n;
}

const char *remains_print_frame(const struct remains *r, uint32_t i, const char *app,
                                const char *function, const char *at, char out[REMAINS_LINE_MAX])
{
    const struct remains_frame *frame = &r->frames[i];
    size_t len = (size_t)snprintf(out, REMAINS_LINE_MAX, "n=%u", i - remains_first_frame(r));
    len += print_quoted(out + len, REMAINS_LINE_MAX - len, "function", function);
    len += print_quoted(out + len, REMAINS_LINE_MAX - len, "at", at);
    if (frame->module < r->n_modules) {
        const struct remains_module *module = &r->modules[frame->module];
        const char *path = remains_is_app(module) ? app : module->path;
        len += print_quoted(out + len, REMAINS_LINE_MAX - len, "module", path);
        (void)snprintf(out + len, REMAINS_LINE_MAX - len, " offset=0x%" PRIx64,
                       remains_offset(r, frame));
    } else {
        (void)snprintf(out + len, REMAINS_LINE_MAX - len, " address=0x%" PRIx64, frame->address);
    }
    return out;
}

const char *remains_build_id(const struct remains_module *module,
                             char out[2 * REMAINS_BUILD_ID_MAX + 1])
{
    out[0] = '\0';
    for (size_t i = 0; i < module->build_id_len; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", module->build_id[i]);
    return out;
}

static const struct {
    int signal; /* 0: any */
    int code;
    const char *name;
} codes[] = {
    {SIGSEGV, SEGV_MAPERR, "MAPERR"}, {SIGSEGV, SEGV_ACCERR, "ACCERR"},
    {SIGBUS, BUS_ADRALN, "ADRALN"},   {SIGBUS, BUS_ADRERR, "ADRERR"},
    {SIGBUS, BUS_OBJERR, "OBJERR"},   {SIGFPE, FPE_INTDIV, "INTDIV"},
    {SIGFPE, FPE_INTOVF, "INTOVF"},   {SIGFPE, FPE_FLTDIV, "FLTDIV"},
    {SIGFPE, FPE_FLTOVF, "FLTOVF"},   {SIGFPE, FPE_FLTUND, "FLTUND"},
    {SIGFPE, FPE_FLTRES, "FLTRES"},   {SIGFPE, FPE_FLTINV, "FLTINV"},
    {SIGILL, ILL_ILLOPC, "ILLOPC"},   {SIGILL, ILL_ILLOPN, "ILLOPN"},
    {SIGILL, ILL_ILLTRP, "ILLTRP"},   {SIGILL, ILL_PRVOPC, "PRVOPC"},
    {SIGTRAP, TRAP_BRKPT, "BRKPT"},   {SIGTRAP, TRAP_TRACE, "TRACE"},
    {SIGSYS, 1, "SECCOMP"},           {0, SI_USER, "USER"},
    {0, SI_QUEUE, "QUEUE"},           {0, SI_TKILL, "TKILL"},
    {0, SI_TIMER, "TIMER"},           {0, SI_KERNEL, "KERNEL"},
};

const char *remains_code_name(int signal, int code)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].code == code && (codes[i].signal == 0 || codes[i].signal == signal))
            return codes[i].name;
    return "?";
}

bool remains_was_sent(const struct remains *remains)
{
    return remains->code == SI_USER || remains->code == SI_QUEUE || remains->code == SI_TKILL;
}
