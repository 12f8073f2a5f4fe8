/* What a process that crashes, is aborted or calls exit() leaves in its part of the shared table:
 * where each thread's fault was, through which calls it came there, and the request in its hands.
 * Written by a signal handler (workers/crash.c), read when the writer is dead, by processes that
 * believe nothing of it: remains_take() makes a copy that is safe to read. */
#ifndef REMUDA_IPC_REMAINS_H
#define REMUDA_IPC_REMAINS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "ipc/scoreboard.h"

#define REMAINS_FRAMES 64
#define REMAINS_MODULES 32
#define REMAINS_PATH_MAX 232
#define REMAINS_BUILD_ID_MAX 20
#define REMAINS_THREAD_MAX 16
#define REMAINS_LIMITS 16
#define REMAINS_IMAGE_BYTES (128U * 1024U)
#define REMAINS_APP_COPY "remuda-app" /* name of the memfd with the app's sealed copy */
#define REMAINS_NO_MODULE UINT16_MAX

enum remains_kind {
    REMAINS_NONE,
    REMAINS_SIGNAL, /* its handler of a fatal signal ran */
    REMAINS_EXIT,   /* somebody called exit(3) */
    REMAINS_KINDS
};

/* What is written, in this order. One that faults itself is left out, the others follow. */
enum remains_step {
    REMAINS_STEP_REQUEST,
    REMAINS_STEP_FRAMES,
    REMAINS_STEP_MODULES,
    REMAINS_STEP_LIMITS,
    REMAINS_STEP_IMAGE,
    REMAINS_STEPS
};
extern const char *const remains_step_names[REMAINS_STEPS];

struct remains_frame {
    uint64_t address;  /* as it was in the process */
    uint16_t module;   /* index; REMAINS_NO_MODULE: in none that is known */
    uint16_t is_exact; /* 1: the instruction itself; 0: a return address, behind its call */
};

struct remains_module {
    uint64_t base; /* where its first octet was mapped */
    uint8_t build_id_len;
    uint8_t build_id[REMAINS_BUILD_ID_MAX]; /* as in memory; len 0: it has none */
    char path[REMAINS_PATH_MAX];            /* of /proc/PID/maps, NUL-terminated, its end if cut */
};

struct remains_limit {
    uint64_t soft, hard; /* UINT64_MAX: none */
};

struct remains {
    _Atomic uint32_t kind; /* enum remains_kind; NONE: all but log means nothing */
    int32_t pid;
    int32_t tid;
    int32_t signal;
    int32_t code;       /* si_code */
    int32_t error;      /* errno of the thread at its end, of compute workers; 0: not known */
    int32_t sender_pid; /* who sent it, with code SI_USER, SI_QUEUE, SI_TKILL; else 0 */
    uint32_t sender_uid;
    uint32_t failed;  /* bit enum remains_step: could not be written */
    uint64_t address; /* si_addr, of faults */
    uint64_t at_us;   /* monotonic clock */
    char thread[REMAINS_THREAD_MAX];
    struct request_entry request; /* whose handler the thread was in; phase FREE: none */
    _Atomic uint32_t n_frames;
    struct remains_frame frames[REMAINS_FRAMES]; /* innermost first */
    _Atomic uint32_t n_modules;
    struct remains_module modules[REMAINS_MODULES];
    uint32_t n_limits;
    struct remains_limit limits[REMAINS_LIMITS]; /* index RLIMIT_… */
    uint32_t head_len;                           /* octets of the head at the begin of image */
    uint32_t body_len;                           /* octets of the body behind it */
    uint64_t head_bytes;                         /* as it was: more than head_len means cut */
    uint64_t body_bytes;
    char image[REMAINS_IMAGE_BYTES];
    struct log_ring log; /* the process's own last lines, from its start on */
};

/* Copies what a dead process left: numbers are within their bounds afterwards, text ends.
 * Returns  false: it left nothing; then only out->log is filled */
bool remains_take(const struct remains *shared, struct remains *out);

/* The same for an entry of the table: its numbers within bounds, its text ended. */
void remains_bound_request(struct request_entry *entry);

/* Where a frame is in its module: an address to give to addr2line(1) or gdb with that file. */
uint64_t remains_offset(const struct remains *remains, const struct remains_frame *frame);

/* Hexadecimal digits of a module's build id; "" for none. Returns out */
const char *remains_build_id(const struct remains_module *module,
                             char out[2 * REMAINS_BUILD_ID_MAX + 1]);

/* A frame as pairs for a log line: `n=0 function="f+0x12" at="app.c:34" module="/srv/app.so"
 * offset=0x11ad`.
 * i        below n_frames
 * app      path of the app, which the process had loaded as a copy without a name
 * function, at  "": not known
 * Returns  out */
#define REMAINS_LINE_MAX (4 * LOG_QUOTE_MAX)
const char *remains_print_frame(const struct remains *remains, uint32_t i, const char *app,
                                const char *function, const char *at, char out[REMAINS_LINE_MAX]);

/* Whether a module is the app's sealed copy. */
bool remains_is_app(const struct remains_module *module);

/* The app's own object: the sealed copy, or the file itself under app_copy: no. */
bool remains_is_of_app(const struct remains_module *module, const char *app);

/* Behind the last frame that shows: the app's outermost, and the server's function that called it.
 * What follows is the way through the server, the same for all; without a frame of the app it is
 * what there is to see. */
uint32_t remains_last_frame(const struct remains *remains, const char *app);

/* How many frames from i on are the same one: a recursion. i < end ≤ n_frames */
uint32_t remains_count_same(const struct remains *remains, uint32_t i, uint32_t end);

/* First frame that is worth showing: of an exit(3) the innermost ones are our own. */
uint32_t remains_first_frame(const struct remains *remains);

/* "MAPERR", "TKILL" …: a code of siginfo (sigaction(2)) in words; "?" when unknown. Static text */
const char *remains_code_name(int signal, int code);

/* Whether it was sent by a process or a thread (and not by the kernel for what was executed). */
bool remains_was_sent(const struct remains *remains);

#endif
