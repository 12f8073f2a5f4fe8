/* base/arena.c */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void arena_gives_aligned_memory_that_does_not_overlap(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 256);
    unsigned char *pieces[200];
    for (unsigned i = 0; i < 200; i++) {
        size_t bytes = i * 7 % 90;
        if (i % 3 == 0) {
            pieces[i] = (unsigned char *)arena_alloc_text(&a, bytes);
        } else {
            pieces[i] = arena_alloc(&a, bytes);
            assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        }
        assert_non_null(pieces[i]);
        memset(pieces[i], (int)i, bytes);
    }
    for (unsigned i = 0; i < 200; i++) {
        for (size_t k = 0; k < i * 7 % 90; k++)
            assert_int_equal(pieces[i][k], i);
    }
    arena_fini(&a);
}

static void arena_takes_nothing_from_the_heap_under_a_steady_load(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024);
    assert_null(a.block); /* nor before anybody asks */
    char *first = arena_alloc(&a, 100);
    struct arena_block *block = a.block;
    for (int round = 0; round < 1000; round++) {
        arena_reset(&a);
        assert_ptr_equal(a.block, block);
        assert_ptr_equal(arena_alloc(&a, 100), first);
        for (int i = 0; i < 8; i++)
            assert_non_null(arena_alloc(&a, 100));
        assert_ptr_equal(a.block, block);
    }
    arena_fini(&a);
}

static void arena_reset_keeps_the_first_block_and_frees_the_others(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 256);
    assert_non_null(arena_alloc(&a, 200));
    struct arena_block *first = a.block;
    for (int i = 0; i < 50; i++)
        assert_non_null(arena_alloc(&a, 200)); /* leaks are the sanitizer's to find */
    assert_non_null(arena_alloc(&a, 100000));
    assert_ptr_not_equal(a.block, first);
    arena_reset(&a);
    assert_ptr_equal(a.block, first);
    assert_int_equal(a.end - a.at, 256);
    arena_fini(&a);
    assert_null(a.block);
    assert_non_null(arena_alloc(&a, 10)); /* as after arena_init() */
    arena_fini(&a);
    arena_fini(&a);
    arena_reset(&a);
}

static void arena_refuses_sizes_that_overflow(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 256);
    volatile size_t huge = SIZE_MAX; /* or the compiler sees through it */
    assert_null(arena_alloc(&a, huge));
    assert_null(arena_alloc_text(&a, huge));
    char *p = arena_alloc(&a, 16);
    assert_non_null(p);
    assert_null(arena_alloc(&a, huge));
    assert_null(arena_alloc(&a, huge - 8));
    assert_null(arena_alloc_text(&a, huge / 2 + 1));
    assert_ptr_equal(arena_alloc(&a, 16), p + 16); /* as before */
    arena_fini(&a);
}

static void arena_texts_end_in_nul(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 256);
    assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(&a, NULL, 0), "");
    size_t len = 0;
    assert_string_equal(arena_printf(&a, &len, "%s-%d", "n", 5), "n-5");
    assert_int_equal(len, 3);
    assert_string_equal(arena_printf(&a, NULL, "%s", ""), "");
    for (int n = 505; n < 520; n++) { /* around the buffer that short texts are made in */
        char *text = arena_printf(&a, &len, "%*d", n, 8);
        assert_non_null(text);
        assert_int_equal(len, n);
        assert_int_equal(strlen(text), n);
        assert_int_equal(text[n - 1], '8');
    }
    arena_fini(&a);
}

/* A source that rounds up to 1000 bytes, counts, and refuses when it shall. */
struct store {
    size_t n_taken, n_given, bytes;
    bool is_empty;
};

static void *store_take(void *owner, size_t bytes, size_t *out_bytes)
{
    struct store *store = owner;
    if (store->is_empty)
        return NULL;
    *out_bytes = (bytes + 999) / 1000 * 1000;
    store->n_taken++;
    store->bytes += *out_bytes;
    return malloc(*out_bytes);
}

static void store_give(void *owner, void *memory, size_t bytes)
{
    struct store *store = owner;
    store->n_given++;
    store->bytes -= bytes;
    free(memory);
}

static void arena_takes_from_its_source_and_gives_all_back(void **state)
{
    (void)state;
    struct store store = {0};
    const struct arena_source source = {store_take, store_give, &store};
    struct arena a;
    arena_init_from(&a, 900, &source);
    assert_int_equal(store.n_taken, 0);
    for (int round = 0; round < 3; round++) {
        char *first = arena_alloc(&a, 950); /* what the source gave beyond is used */
        assert_non_null(first);
        memset(first, 'x', 950);
        assert_int_equal(store.bytes, 1000);
        char *large = arena_alloc_text(&a, 5000);
        assert_non_null(large);
        memset(large, 'y', 5000);
        assert_int_equal(store.bytes, 7000);
        store.is_empty = true;
        assert_null(arena_alloc(&a, 3000));
        store.is_empty = false;
        arena_reset(&a);
        assert_int_equal(store.bytes, 1000);
    }
    assert_int_equal(store.n_taken, 4); /* the first block was kept */
    arena_fini(&a);
    assert_int_equal(store.bytes, 0);
    assert_int_equal(store.n_given, store.n_taken);
    assert_non_null(arena_alloc_text(&a, 5000)); /* as after arena_init_from() */
    arena_reset(&a);
    assert_int_equal(store.bytes, 0); /* a large one is not */
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_aligned_memory_that_does_not_overlap),
        cmocka_unit_test(arena_takes_nothing_from_the_heap_under_a_steady_load),
        cmocka_unit_test(arena_takes_from_its_source_and_gives_all_back),
        cmocka_unit_test(arena_reset_keeps_the_first_block_and_frees_the_others),
        cmocka_unit_test(arena_refuses_sizes_that_overflow),
        cmocka_unit_test(arena_texts_end_in_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
