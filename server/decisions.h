/* What the server has decided by itself of late: numbers of workers and threads, lanes of routes.
 * Each is one line of the log, with the figures that decided, and the last ones are kept for
 * `remuda status --decisions`. */
#ifndef REMUDA_SERVER_DECISIONS_H
#define REMUDA_SERVER_DECISIONS_H

#include <stdint.h>

#define DECISIONS_KEPT 32U
#define DECISIONS_KIND_BYTES 16
#define DECISIONS_ABOUT_BYTES 96
#define DECISIONS_VALUE_BYTES 16
#define DECISIONS_WHY_BYTES 80
#define DECISIONS_FIGURES_BYTES 320

/* One, as it is handed in: texts are copied, and cut where they are longer than what is kept. */
struct decisions_entry {
    const char *event;  /* of the log line: "compute pool grows" */
    const char *kind;   /* "compute", "threads", "workers", "lane" */
    const char *about;  /* which: name of a pool, number of a slot, a route */
    const char *number; /* it is one, called so in the log; NULL: it is text, */
    const char *text;   /* and called so; NULL: as kind */
    const char *from;
    const char *to;
    const char *why; /* in words */
};

struct decision {
    uint64_t number; /* 1 …, since the start */
    uint64_t at_us;
    char kind[DECISIONS_KIND_BYTES];
    char about[DECISIONS_ABOUT_BYTES];
    char from[DECISIONS_VALUE_BYTES];
    char to[DECISIONS_VALUE_BYTES];
    char why[DECISIONS_WHY_BYTES];
    char figures[DECISIONS_FIGURES_BYTES]; /* key=value, as in the log */
};

struct decisions {
    uint64_t n; /* taken since the start; the last DECISIONS_KEPT are kept */
    struct decision kept[DECISIONS_KEPT];
};

/* Logs it and keeps it. figures: "key=value key=value", the inputs. */
void decisions_note(struct decisions *decisions, uint64_t now_us,
                    const struct decisions_entry *entry, const char *figures, ...)
    __attribute__((format(printf, 4, 5)));

struct adapt_look; /* server/adapt.h */
struct adapt_verdict;

struct decisions_figures {
    char text[DECISIONS_FIGURES_BYTES];
};

/* What the controller saw and made of it, " key=value key=value", for decisions_note().
 * Returns  out->text */
const char *decisions_figures(struct decisions_figures *out, const struct adapt_look *look,
                              const struct adapt_verdict *verdict);

/* The one that was taken i before the last. NULL: it is not kept */
const struct decision *decisions_peek(const struct decisions *decisions, uint64_t i);

#endif
