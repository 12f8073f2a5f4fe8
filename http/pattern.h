/* The syntax of route patterns: "/users/:id/files/" and then "*rest". What they mean is in
 * http/router.h. */
#ifndef REMUDA_HTTP_PATTERN_H
#define REMUDA_HTTP_PATTERN_H

#include <stddef.h>

#include "base/str.h"

struct err;

#define PATTERN_SEGMENTS_MAX 32 /* a guess: real applications stay below 12 */
#define PATTERN_PARAMS_MAX 16

enum pattern_kind { PATTERN_STATIC, PATTERN_PARAM, PATTERN_REST };

struct pattern_segment {
    enum pattern_kind kind;
    struct str text; /* of a static segment, may be empty; else the parameter's name, never empty */
};

struct pattern {
    size_t n_segments; /* ≥ 1; "/" is one empty segment */
    size_t n_params;
    struct pattern_segment segments[PATTERN_SEGMENTS_MAX];
};

/* Splits a pattern; the segments point into text.
 * Returns  0; -EINVAL, and *err (may be NULL) says what is wrong with it and what is allowed */
int pattern_parse(const char *text, struct pattern *out_pattern, struct err *err)
    __attribute__((warn_unused_result));

#endif
