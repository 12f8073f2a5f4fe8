/* Why something failed: a code for the program and a sentence for the person. */
#ifndef REMUDA_BASE_ERR_H
#define REMUDA_BASE_ERR_H

#define ERR_TEXT_MAX 512

struct err {
    int code;                /* positive errno; 0: nothing failed */
    char text[ERR_TEXT_MAX]; /* what, where, what is allowed; no trailing newline */
};

/* Fills *err, when err is not NULL; text longer than ERR_TEXT_MAX is cut.
 * code     positive errno, 1 …
 * Returns  -code, so that a caller can `return err_set(…)`
 * Safe     anywhere but signal handlers */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the text that is already there. Returns -err->code. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
