/* A list of complaints for a person, one line each, so that all of a configuration's mistakes come
 * in one go. Lifetime: whoever calls mistakes_fini(); a zeroed struct is a valid empty list. */
#ifndef REMUDA_CONFIG_MISTAKES_H
#define REMUDA_CONFIG_MISTAKES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define MISTAKES_MAX 100 /* lines kept; what is over it is only counted */

struct mistake {
    unsigned line;   /* in the file, from 1; 0: not from a file */
    unsigned column; /* from 1 */
    char *text;      /* the whole line, heap */
};

struct mistakes {
    struct mistake items[MISTAKES_MAX];
    size_t n;
    size_t n_more;      /* found, not kept */
    bool is_memory_out; /* a line was lost because memory was refused */
};

/* Adds "file:line:column: " and the text. */
void mistakes_add_at(struct mistakes *m, const char *file, unsigned line, unsigned column,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Adds a line as it is. */
void mistakes_add(struct mistakes *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether anything was found, lost lines included. */
bool mistakes_is_empty(const struct mistakes *m);

/* Puts lines that are from a file first, in its order; the others keep theirs. */
void mistakes_sort(struct mistakes *m);

/* Appends all of from's lines to `to`; from is empty afterwards. */
void mistakes_take(struct mistakes *to, struct mistakes *from);

/* Prints every line behind `prefix` ("" or "warning: "). */
void mistakes_print(const struct mistakes *m, const char *prefix, FILE *to);

/* Frees the lines; the list is empty and usable again. */
void mistakes_fini(struct mistakes *m);

#endif
