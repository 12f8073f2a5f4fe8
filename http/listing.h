/* A folder as a page: names, sizes, dates, links. */
#ifndef REMUDA_HTTP_LISTING_H
#define REMUDA_HTTP_LISTING_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

#define LISTING_NAMES_MAX 10000 /* read of one folder; the page says when there are more */

struct listing_options {
    struct str path;   /* of the folder, decoded, for the title: "/assets/img/" */
    bool has_parent;   /* a link to "../" */
    bool has_dotfiles; /* names that begin with "." are shown */
    bool has_links;    /* symbolic links are shown; whether they lead anywhere is not looked at */
};

/* Appends an HTML page in UTF-8: folders first, each by its octets. Only what can be sent is there:
 * folders, regular files, links. A name that is no UTF-8 is shown with U+FFFD, its link is right.
 * fd       of the folder, open for reading (not O_PATH); closed here, also on failure
 * Returns  0; -errno of readdir(3); -ENOMEM. Then *out may hold a part
 * Safe     any thread; may block: on the file system, for some 10 ms when the folder is full */
int listing_render(int fd, const struct listing_options *options, struct buf *out)
    __attribute__((warn_unused_result));

#endif
