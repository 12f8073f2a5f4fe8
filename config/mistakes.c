/* The list of complaints: lines on the heap, so that they outlive the settings they are about. */
#include "config/mistakes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void add(struct mistakes *m, const char *file, unsigned line, unsigned column,
                const char *format, va_list args)
{
    if (m->n == MISTAKES_MAX) {
        m->n_more++;
        return;
    }
    char *text;
    if (vasprintf(&text, format, args) < 0) {
        m->is_memory_out = true;
        return;
    }
    char *whole = text;
    if (file && asprintf(&whole, "%s:%u:%u: %s", file, line, column, text) < 0) {
        m->is_memory_out = true;
        free(text);
        return;
    }
    if (whole != text)
        free(text);
    m->items[m->n++] = (struct mistake){line, column, whole};
}

void mistakes_add_at(struct mistakes *m, const char *file, unsigned line, unsigned column,
                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(m, file, line, column, format, args);
    va_end(args);
}

void mistakes_add(struct mistakes *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(m, NULL, 0, 0, format, args);
    va_end(args);
}

bool mistakes_is_empty(const struct mistakes *m)
{
    return m->n == 0 && !m->is_memory_out;
}

static bool is_before(const struct mistake *a, const struct mistake *b)
{
    if ((a->line == 0) != (b->line == 0))
        return a->line != 0;
    if (a->line != b->line)
        return a->line < b->line;
    return a->column < b->column;
}

void mistakes_sort(struct mistakes *m)
{
    /* By insertion, since lines of the same place must keep their order and there are few. */
    for (size_t i = 1; i < m->n; i++) {
        struct mistake item = m->items[i];
        size_t j = i;
        for (; j > 0 && is_before(&item, &m->items[j - 1]); j--)
            m->items[j] = m->items[j - 1];
        m->items[j] = item;
    }
}

void mistakes_take(struct mistakes *to, struct mistakes *from)
{
    for (size_t i = 0; i < from->n; i++) {
        if (to->n < MISTAKES_MAX) {
            to->items[to->n++] = from->items[i];
        } else {
            free(from->items[i].text);
            to->n_more++;
        }
    }
    to->n_more += from->n_more;
    to->is_memory_out |= from->is_memory_out;
    *from = (struct mistakes){0};
}

void mistakes_print(const struct mistakes *m, const char *prefix, FILE *to)
{
    for (size_t i = 0; i < m->n; i++)
        (void)fprintf(to, "%s%s\n", prefix, m->items[i].text);
    if (m->n_more > 0)
        (void)fprintf(to, "%s… and %zu more\n", prefix, m->n_more);
    if (m->is_memory_out)
        (void)fprintf(to, "%sout of memory\n", prefix);
}

void mistakes_fini(struct mistakes *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->items[i].text);
    *m = (struct mistakes){0};
}
