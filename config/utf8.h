/* Whether bytes are text that a YAML file may hold. */
#ifndef REMUDA_CONFIG_UTF8_H
#define REMUDA_CONFIG_UTF8_H

#include <stddef.h>

#include "base/str.h"

struct utf8_fault {
    size_t line_at;  /* offset of the first byte of the line with the fault */
    unsigned line;   /* from 1 */
    unsigned column; /* from 1, in characters */
    const char *what;
};

/* Finds the first byte that is not UTF-8 (RFC 3629) or a control character that YAML forbids
 * (yaml.org/spec/1.1 §5.1).
 * Returns  true and fills *out_fault; false when the text is fine */
bool utf8_find_fault(struct str text, struct utf8_fault *out_fault);

#endif
