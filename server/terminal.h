/* The terminal as `remuda top` uses it: a screen of its own, keys one by one, and all of that
 * undone on every way out. Escapes that every terminal of the last decades obeys, no library. */
#ifndef REMUDA_SERVER_TERMINAL_H
#define REMUDA_SERVER_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

enum terminal_key {
    TERMINAL_NONE, /* nothing, or something unknown */
    TERMINAL_UP = 256,
    TERMINAL_DOWN,
    TERMINAL_PAGE_UP,
    TERMINAL_PAGE_DOWN,
    TERMINAL_ESCAPE,
    TERMINAL_END /* the terminal has gone */
};

/* Whether standard input and output are a terminal that can be drawn on. */
bool terminal_is_usable(void);

/* Whether it is to be coloured: not when NO_COLOR says so (no-color.org). */
bool terminal_has_colour(void);

/* Whether it takes UTF-8, by the locale of the environment. */
bool terminal_is_utf8(void);

/* Takes the screen. Returns 0; -errno */
int terminal_open(void) __attribute__((warn_unused_result));

/* Gives it back as it was. Also without terminal_open(), and twice. */
void terminal_close(void);

/* Columns and rows; 80 × 24 where the terminal does not say. */
void terminal_size(unsigned *out_width, unsigned *out_height);

/* Writes all of it. */
void terminal_write(const char *data, size_t len);

/* Reads one key; other values are the character itself. Call when standard input is readable. */
int terminal_read_key(void);

/* Whether keys were read that terminal_read_key() has not given yet. */
bool terminal_has_keys(void);

#endif
