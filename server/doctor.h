/* What `remuda doctor` looks at: a table of checks, each of which says what it found, whether that
 * is well, and what would change it. Checks only read, and what they try they undo. */
#ifndef REMUDA_SERVER_DOCTOR_H
#define REMUDA_SERVER_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "config/machine.h"

struct settings;

#define DOCTOR_TEXT_MAX 512
#define DOCTOR_ROWS_MAX 64

enum doctor_verdict {
    DOCTOR_OK,
    DOCTOR_WARN, /* it serves, but slower, with less, or telling less */
    DOCTOR_BAD,  /* it does not serve as configured */
    DOCTOR_VERDICTS
};

struct doctor_row {
    const char *group; /* static: "machine" */
    const char *name;  /* static, as in texts and JSON: "transparent_hugepages" */
    enum doctor_verdict verdict;
    char found[DOCTOR_TEXT_MAX];   /* a sentence without its end */
    char advice[DOCTOR_TEXT_MAX];  /* what to change, and what for; "" nothing */
    char command[DOCTOR_TEXT_MAX]; /* the exact command, for a shell as root; "" there is none */
};

struct doctor {
    const struct settings *settings; /* resolved */
    const struct machine *machine;   /* as machine_read() left it */
    const char *proc, *sys;          /* "/proc", "/sys", or trees that a test made */
    bool is_fake; /* only files are looked at: nothing is tried on this machine */
    struct doctor_row rows[DOCTOR_ROWS_MAX];
    size_t n;
};

struct doctor_check {
    const char *name;
    void (*look)(const struct doctor *doctor, struct doctor_row *row);
    bool is_tried; /* by doing it, not by reading a file */
};

/* Runs the checks of a table, in its order; each fills a row. */
void doctor_run(struct doctor *doctor, const char *group, const struct doctor_check *checks,
                size_t n);

/* All of them. */
void doctor_run_all(struct doctor *doctor);

/* For checks: what was found; the verdict when it is not DOCTOR_OK, with advice. printf-like. */
void doctor_found(struct doctor_row *row, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void doctor_advise(struct doctor_row *row, enum doctor_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void doctor_command(struct doctor_row *row, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A file below a root, its first line without the end. Returns false: it can't be read */
bool doctor_read(const char *root, const char *name, char *out, size_t cap);
/* The same as a number. */
bool doctor_number(const char *root, const char *name, uint64_t *out);

/* Processes and threads that there may be at most: in a reload there are two of everyone. */
uint64_t doctor_machine_count(const struct settings *settings);

/* The worst of all rows. */
enum doctor_verdict doctor_worst(const struct doctor *doctor);

/* For people: a line for each row, further ones for what to change. */
void doctor_print(const struct doctor *doctor, FILE *out);

/* As members of the object that is open: "ok", "rows". Returns 0; -ENOMEM */
struct json_out;
void doctor_print_json(const struct doctor *doctor, struct json_out *out);

/* Tables of checks. */
#define DOCTOR_CHECKS(X)                                                                           \
    X(machine)                                                                                     \
    X(kernel)                                                                                      \
    X(sockets)                                                                                     \
    X(limits)                                                                                      \
    X(build)
#define DOCTOR_DECLARE(group)                                                                      \
    extern const struct doctor_check doctor_##group##_checks[];                                    \
    extern const size_t doctor_##group##_n;
DOCTOR_CHECKS(DOCTOR_DECLARE)

#endif
