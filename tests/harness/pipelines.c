/* See pipelines.h. */
#include "tests/harness/pipelines.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness/check.h"

uint64_t pipelines_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed >> 8;
}

static size_t choose(const struct cases_list *list, bool may_close, uint64_t *seed)
{
    for (;;) {
        size_t i = pipelines_random(seed) % list->n;
        const struct cases_case *one = &list->items[i];
        if (one->len <= PIPELINES_CASE_BYTES_MAX && (may_close || !one->closes))
            return i;
    }
}

void pipelines_make(struct pipelines_mix *mix, const struct cases_list *list, uint64_t *seed)
{
    static const size_t pieces[] = {1, 2, 3, 7, 19, 64, 200, 100000};
    mix->n = 1 + pipelines_random(seed) % PIPELINES_CASES_MAX;
    mix->octets.len = 0;
    for (size_t i = 0; i < mix->n; i++) {
        mix->index[i] = choose(list, i + 1 == mix->n, seed);
        const struct cases_case *one = &list->items[mix->index[i]];
        CHECK(buf_append(&mix->octets, one->octets, one->len) == 0);
    }
    mix->piece = pieces[pipelines_random(seed) % (sizeof pieces / sizeof pieces[0])];
}

size_t pipelines_cut(const struct pipelines_mix *mix, size_t left, uint64_t *seed)
{
    size_t n = 1 + pipelines_random(seed) % mix->piece;
    return n < left ? n : left;
}

const char *pipelines_text(const struct pipelines_mix *mix, const struct cases_list *list)
{
    static char text[1024];
    size_t at = 0;
    for (size_t i = 0; i < mix->n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i > 0 ? " + " : "",
                               list->items[mix->index[i]].name);
    (void)snprintf(text + at, sizeof text - at, ", pieces of at most %zu", mix->piece);
    return text;
}
