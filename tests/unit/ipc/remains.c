/* Tests of ipc/remains.c: nothing that a dying process wrote is believed. */
#include "ipc/remains.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct remains shared;
static struct remains taken;

static int set_up(void **state)
{
    (void)state;
    memset(&shared, 0, sizeof shared);
    memset(&taken, 0xff, sizeof taken);
    return 0;
}

static void who_left_nothing_has_but_a_log(void **state)
{
    (void)state;
    shared.n_frames = 3;
    memcpy(shared.log.text, "last line\n", 10);
    shared.log.at = 10;
    assert_false(remains_take(&shared, &taken));
    assert_int_equal(taken.n_frames, 0);
    assert_int_equal(taken.log.at, 10);
}

/* Every octet is chosen by the app: all that is printed stays within its bounds. */
static void nonsense_is_read_without_harm(void **state)
{
    (void)state;
    char line[REMAINS_LINE_MAX];
    char id[2 * REMAINS_BUILD_ID_MAX + 1];
    unsigned seed = 7;
    for (int round = 0; round < 200; round++) {
        unsigned char *octets = (unsigned char *)&shared;
        for (size_t i = 0; i < offsetof(struct remains, image); i++) {
            seed = seed * 1103515245U + 12345U;
            octets[i] = round == 0 ? 0xff : (unsigned char)(seed >> 16);
        }
        shared.kind = round % 2 ? REMAINS_SIGNAL : REMAINS_EXIT;
        assert_true(remains_take(&shared, &taken));
        assert_true(taken.n_frames <= REMAINS_FRAMES);
        assert_true(taken.head_len + taken.body_len <= REMAINS_IMAGE_BYTES);
        for (uint32_t i = remains_first_frame(&taken); i < taken.n_frames; i++) {
            (void)remains_print_frame(&taken, i, "/app.so", "name", "file.c:1", line);
            assert_true(strlen(line) < sizeof line);
            assert_null(strchr(line, '\n'));
        }
        for (uint32_t i = 0; i < taken.n_modules; i++)
            assert_true(strlen(remains_build_id(&taken.modules[i], id)) < sizeof id);
        (void)remains_code_name(taken.signal, taken.code);
    }
}

static void frames_are_printed_with_what_is_known(void **state)
{
    (void)state;
    char line[REMAINS_LINE_MAX];
    shared.kind = REMAINS_SIGNAL;
    shared.n_modules = 2;
    shared.modules[0].base = 0x1000;
    memcpy(shared.modules[0].path, "/memfd:remuda-app (deleted)", 28);
    shared.modules[1].base = 0x8000;
    memcpy(shared.modules[1].path, "/lib/a\"b.so", 12);
    shared.n_frames = 3;
    shared.frames[0] = (struct remains_frame){0x1234, 0, 1};
    shared.frames[1] = (struct remains_frame){0x8010, 1, 0};
    shared.frames[2] = (struct remains_frame){0x99, 7, 0};
    assert_true(remains_take(&shared, &taken));
    assert_string_equal(
        remains_print_frame(&taken, 0, "/srv/app.so", "f+0x4", "app.c:3", line),
        "n=0 function=\"f+0x4\" at=\"app.c:3\" module=\"/srv/app.so\" offset=0x234");
    assert_string_equal(remains_print_frame(&taken, 1, "/srv/app.so", "", "", line),
                        "n=1 module=\"/lib/a\\\"b.so\" offset=0x10");
    assert_string_equal(remains_print_frame(&taken, 2, "/srv/app.so", "", "", line),
                        "n=2 address=0x99");
}

/* The innermost frames of an exit are the hook's own. */
static void an_exit_is_shown_from_its_caller_on(void **state)
{
    (void)state;
    char line[REMAINS_LINE_MAX];
    shared.kind = REMAINS_EXIT;
    shared.n_modules = 2;
    shared.n_frames = 4;
    for (uint16_t i = 0; i < 4; i++)
        shared.frames[i] = (struct remains_frame){0x100 + i, i < 2 ? 0 : 1, 0};
    assert_true(remains_take(&shared, &taken));
    assert_int_equal(remains_first_frame(&taken), 2);
    (void)remains_print_frame(&taken, 2, "a", "", "", line);
    assert_int_equal(strncmp(line, "n=0 ", 4), 0);
    taken.kind = REMAINS_SIGNAL;
    assert_int_equal(remains_first_frame(&taken), 0);
}

static void codes_have_names(void **state)
{
    (void)state;
    assert_string_equal(remains_code_name(SIGSEGV, SEGV_MAPERR), "MAPERR");
    assert_string_equal(remains_code_name(SIGBUS, BUS_ADRERR), "ADRERR");
    assert_string_equal(remains_code_name(SIGABRT, SI_TKILL), "TKILL");
    assert_string_equal(remains_code_name(SIGSEGV, 4711), "?");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_left_nothing_has_but_a_log),
        TEST(nonsense_is_read_without_harm),
        TEST(frames_are_printed_with_what_is_known),
        TEST(an_exit_is_shown_from_its_caller_on),
        TEST(codes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
