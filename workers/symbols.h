/* Names for addresses in shared objects, by libdw (elfutils) where it was there when remuda was
 * built and is there when it runs. It is loaded only by the process that asks. */
#ifndef REMUDA_WORKERS_SYMBOLS_H
#define REMUDA_WORKERS_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SYMBOLS_NAME_MAX 160
#define SYMBOLS_FILE_MAX 200

struct symbols_place {
    char function[SYMBOLS_NAME_MAX]; /* as the linker knows it; "" unknown */
    char file[SYMBOLS_FILE_MAX];     /* of the source, its end if cut; "" unknown */
    uint32_t line;                   /* 0: unknown */
    uint32_t offset;                 /* of the address in function */
};

struct symbols_object {
    const char *path; /* to look for debug information beside it */
    int fd;           /* of it, to be read instead of path; -1: read path */
    uint64_t base;    /* address of its first octet */
    const uint8_t *build_id;
    size_t build_id_len; /* 0: any will do; else a file with another one is not used */
};

/* Loads the library, once. Returns 0; -ENOENT: there is none */
int symbols_open(void);

/* Adds an object. May read files, however long that takes.
 * Returns  0; -ESTALE: the file is another one by now; another -errno: it can't be read */
int symbols_add(const struct symbols_object *object);

/* Behind the last symbols_add(). */
void symbols_begin(void);

/* What is at an address; out is all zero when nobody knows. */
void symbols_find(uint64_t address, struct symbols_place *out);

/* One thread of another process as it was: registers and the end of its stack. */
struct symbols_snapshot {
    const void *regs; /* struct user_regs_struct of <sys/user.h> */
    pid_t pid, tid;
    uint64_t stack_at; /* address of the first octet that was copied */
    const char *stack;
    size_t stack_len;
};

/* Follows a stack by the unwind tables of the objects that were added.
 * Returns  how many addresses, innermost first, the first one exact; 0: nothing is known */
uint32_t symbols_unwind(const struct symbols_snapshot *snapshot, uint64_t *out, uint32_t cap);

/* "0.188", "not there" or "not built in". Static text */
const char *symbols_library(void);

#endif
