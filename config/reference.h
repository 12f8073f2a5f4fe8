/* The manual page of all settings, docs/settings.md. */
#ifndef REMUDA_CONFIG_REFERENCE_H
#define REMUDA_CONFIG_REFERENCE_H

#include "base/buf.h"

/* Appends the page in Markdown. It depends on the table of settings only, never on the machine.
 * Returns  0; -ENOMEM */
int reference_render(struct buf *out) __attribute__((warn_unused_result));

#endif
