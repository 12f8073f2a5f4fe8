/* What `remuda top` shows, as a pure function: a model, a width and a height give lines of text.
 * Nothing here knows a terminal; cmd_top.c colours the lines and puts them on one. */
#ifndef REMUDA_SERVER_TOP_VIEW_H
#define REMUDA_SERVER_TOP_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "server/view.h"

#define TOP_VIEW_ROWS_MAX 1024
#define TOP_VIEW_COLUMNS_MAX 500
#define TOP_VIEW_COLUMNS_MIN 20 /* narrower windows are written for as if they were so wide */

enum top_view_style {
    TOP_VIEW_PLAIN,
    TOP_VIEW_TITLE, /* first line */
    TOP_VIEW_HEAD,  /* of the table, and the line of keys */
    TOP_VIEW_QUIET, /* idle workers */
    TOP_VIEW_WARN,  /* draining, booting, full; questions */
    TOP_VIEW_BAD    /* hung, killed; refusals */
};

struct top_view {
    const struct view *view; /* NULL: no server answers */
    const char *name;        /* of what is watched: a file, a folder, a socket */
    const char *clock;       /* "08:15:00" */
    const char *message;     /* what became of the last order, or why nobody answers; "" for none */
    bool is_message_bad;
    bool is_help;   /* explain instead of showing */
    bool is_asking; /* whether to stop the server */
    bool is_utf8;   /* the terminal knows more than ASCII */
    size_t first;   /* worker in the first row of the table */
};

struct top_view_page {
    struct buf text; /* n lines, each with a newline; none is wider than the width */
    size_t n;
    enum top_view_style styles[TOP_VIEW_ROWS_MAX]; /* of each line */
};

/* Renders the model.
 * width, height  of the window; height 0: as many lines as it takes, for plain output
 * page           zeroed, or from a call before
 * Returns        0: exactly height lines; -ENOMEM */
int top_view_render(const struct top_view *model, unsigned width, unsigned height,
                    struct top_view_page *page) __attribute__((warn_unused_result));
void top_view_fini(struct top_view_page *page);

/* Rows that the table of workers has in a window, at least 1: what a page of scrolling is. */
size_t top_view_rows(const struct top_view *model, unsigned height);

#endif
