/* Process: `remuda doctor`. Runs tables of checks and prints what they found. Which server is meant
 * is said by the settings alone: it need not run, and one that does is not asked. */
#include "server/doctor.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_out.h"
#include "base/str.h"

#define FILE_MAX (1U << 16)

static const char *const verdicts[DOCTOR_VERDICTS] = {"ok", "warn", "bad"};

void doctor_run(struct doctor *doctor, const char *group, const struct doctor_check *checks,
                size_t n)
{
    for (size_t i = 0; i < n && doctor->n < DOCTOR_ROWS_MAX; i++) {
        if (checks[i].is_tried && doctor->is_fake)
            continue;
        struct doctor_row *row = &doctor->rows[doctor->n++];
        *row = (struct doctor_row){.group = group, .name = checks[i].name};
        checks[i].look(doctor, row);
    }
}

void doctor_run_all(struct doctor *doctor)
{
#define RUN(group) doctor_run(doctor, #group, doctor_##group##_checks, doctor_##group##_n);
    DOCTOR_CHECKS(RUN)
}

#define FORMAT(text)                                                                               \
    va_list args;                                                                                  \
    va_start(args, format);                                                                        \
    (void)vsnprintf(text, sizeof(text), format, args);                                             \
    va_end(args)

void doctor_found(struct doctor_row *row, const char *format, ...)
{
    FORMAT(row->found);
}

void doctor_advise(struct doctor_row *row, enum doctor_verdict verdict, const char *format, ...)
{
    row->verdict = verdict;
    FORMAT(row->advice);
}

void doctor_command(struct doctor_row *row, const char *format, ...)
{
    FORMAT(row->command);
}

bool doctor_read(const char *root, const char *name, char *out, size_t cap)
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    if (fd_read_file(path, FILE_MAX, &text, &len) < 0)
        return false;
    (void)snprintf(out, cap, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
    return true;
}

bool doctor_number(const char *root, const char *name, uint64_t *out)
{
    char text[64];
    return doctor_read(root, name, text, sizeof text) &&
           str_parse_u64(str_make(text, strcspn(text, " \t")), UINT64_MAX, out) == 0;
}

enum doctor_verdict doctor_worst(const struct doctor *doctor)
{
    enum doctor_verdict worst = DOCTOR_OK;
    for (size_t i = 0; i < doctor->n; i++)
        worst = doctor->rows[i].verdict > worst ? doctor->rows[i].verdict : worst;
    return worst;
}

static size_t count(const struct doctor *doctor, enum doctor_verdict verdict)
{
    size_t n = 0;
    for (size_t i = 0; i < doctor->n; i++)
        n += doctor->rows[i].verdict == verdict;
    return n;
}

/* ---- for people ---- */

#define INDENT 28
#define WIDTH 100

/* A sentence in lines, all behind the first indented. */
static void print_wrapped(const char *text, FILE *out)
{
    size_t column = INDENT;
    while (*text) {
        size_t len = strcspn(text, " ");
        if (column > INDENT && column + 1 + len > WIDTH) {
            (void)fprintf(out, "\n%*s", INDENT, "");
            column = INDENT;
        } else if (column > INDENT) {
            (void)fputc(' ', out);
            column++;
        }
        (void)fprintf(out, "%.*s", (int)len, text);
        column += len;
        text += len;
        text += strspn(text, " ");
    }
    (void)fputc('\n', out);
}

static void print_row(const struct doctor_row *row, FILE *out)
{
    (void)fprintf(out, "%-5s %-21s ", verdicts[row->verdict], row->name);
    print_wrapped(row->found, out);
    if (row->advice[0]) {
        (void)fprintf(out, "%*s", INDENT, "");
        print_wrapped(row->advice, out);
    }
    if (row->command[0])
        (void)fprintf(out, "%*s# %s\n", INDENT, "", row->command);
}

void doctor_print(const struct doctor *doctor, FILE *out)
{
    const char *group = "";
    for (size_t i = 0; i < doctor->n; i++) {
        if (strcmp(group, doctor->rows[i].group) != 0)
            (void)fprintf(out, "%s---- %s ----\n", i > 0 ? "\n" : "", doctor->rows[i].group);
        group = doctor->rows[i].group;
        print_row(&doctor->rows[i], out);
    }
    (void)fprintf(out, "\n%zu ok, %zu to look at, %zu bad\n", count(doctor, DOCTOR_OK),
                  count(doctor, DOCTOR_WARN), count(doctor, DOCTOR_BAD));
}

/* ---- for programs ---- */

static void print_text(struct json_out *out, const char *name, const char *text)
{
    json_out_text(out, name, str_make(text, strlen(text)));
}

void doctor_print_json(const struct doctor *doctor, struct json_out *out)
{
    json_out_bool(out, "ok", doctor_worst(doctor) < DOCTOR_BAD);
    json_out_open(out, "rows", '[');
    for (size_t i = 0; i < doctor->n; i++) {
        const struct doctor_row *row = &doctor->rows[i];
        json_out_open(out, NULL, '{');
        print_text(out, "group", row->group);
        print_text(out, "name", row->name);
        print_text(out, "verdict", verdicts[row->verdict]);
        print_text(out, "found", row->found);
        print_text(out, "advice", row->advice);
        print_text(out, "command", row->command);
        json_out_close(out, '}');
    }
    json_out_close(out, ']');
}
