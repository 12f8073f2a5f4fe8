/* Tests of workers/crash_maps.c: text like that of /proc/PID/maps, and this process's own. */
#include "workers/crash_maps.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct remains remains;
static struct crash_maps maps;

static const char text[] =
    "55d0c0000000-55d0c0001000 r--p 00000000 fd:00 11 /usr/bin/remuda\n"
    "55d0c0001000-55d0c0005000 r-xp 00001000 fd:00 11 /usr/bin/remuda\n"
    "55d0c0005000-55d0c0006000 rw-p 00005000 fd:00 11 /usr/bin/remuda\n"
    "55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0 [heap]\n"
    "7f0000000000-7f0000001000 r--p 00000000 00:01 22 /memfd:remuda-app (deleted)\n"
    "7f0000001000-7f0000002000 r-xp 00001000 00:01 22 /memfd:remuda-app (deleted)\n"
    "7f0000003000-7f0000004000 rw-p 00000000 00:00 0 \n"
    "7f0000004000-7f0000006000 rwxp 00000000 00:00 0 \n"
    "7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0 [vdso]\n";

static void add_frame(uint64_t address)
{
    remains.frames[remains.n_frames++] =
        (struct remains_frame){.address = address, .module = REMAINS_NO_MODULE};
}

static int set_up(void **state)
{
    (void)state;
    memset(&remains, 0, sizeof remains);
    add_frame(0x7f0000001234); /* the app */
    add_frame(0x55d0c0001010); /* the binary */
    add_frame(0x7f0000001fff); /* the app's last octet of code */
    add_frame(0x7f0000000010); /* no code */
    add_frame(0x7f0000004010); /* code without a file */
    add_frame(0x7ffd00000100); /* the vdso */
    add_frame(0);
    return 0;
}

static void check_all(void)
{
    assert_int_equal(remains.n_modules, 3);
    assert_string_equal(remains.modules[remains.frames[0].module].path,
                        "/memfd:remuda-app (deleted)");
    assert_true(remains_is_app(&remains.modules[remains.frames[0].module]));
    assert_int_equal(remains_offset(&remains, &remains.frames[0]), 0x1234);
    assert_string_equal(remains.modules[remains.frames[1].module].path, "/usr/bin/remuda");
    assert_int_equal(remains_offset(&remains, &remains.frames[1]), 0x1010);
    assert_int_equal(remains.frames[2].module, remains.frames[0].module);
    assert_int_equal(remains.frames[3].module, REMAINS_NO_MODULE);
    assert_int_equal(remains.frames[4].module, REMAINS_NO_MODULE);
    assert_string_equal(remains.modules[remains.frames[5].module].path, "[vdso]");
    assert_int_equal(remains.frames[6].module, REMAINS_NO_MODULE);
}

static void frames_find_their_modules_however_the_text_is_cut(void **state)
{
    for (size_t step = 1; step < sizeof text; step = step < 70 ? step + 1 : step * 2) {
        (void)set_up(state);
        crash_maps_init(&maps, &remains, false);
        for (size_t at = 0; at < sizeof text - 1; at += step)
            crash_maps_feed(&maps, text + at,
                            step < sizeof text - 1 - at ? step : sizeof text - 1 - at);
        check_all();
    }
}

static void nonsense_and_long_paths_do_no_harm(void **state)
{
    (void)state;
    static const char *const lines[] = {"",
                                        "x\n",
                                        "1\n",
                                        "1-\n",
                                        "1-2\n",
                                        "1-2 r\n",
                                        "1-2 r-xp 0 0 0\n",
                                        "zz-yy r-xp 0 0:0 0 /a\n",
                                        "0-ffffffffffffffff r-xp 00000000 0:0 0 /all\n"};
    char line[4096];
    crash_maps_init(&maps, &remains, false);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        crash_maps_feed(&maps, lines[i], strlen(lines[i]));
    assert_string_equal(remains.modules[0].path, "/all");
    memset(line, 'p', sizeof line);
    memcpy(line, "0-ffffffffffffffff r-xp 00000000 0:0 0 /", 40);
    line[sizeof line - 1] = '\n';
    crash_maps_feed(&maps, line, sizeof line);
    assert_int_equal(remains.n_modules, 2);
    assert_int_equal(strlen(remains.modules[1].path), REMAINS_PATH_MAX - 1);
}

static void more_modules_than_there_is_room_for_are_left_out(void **state)
{
    (void)state;
    char line[128];
    memset(&remains, 0, sizeof remains);
    for (uint64_t i = 0; i < REMAINS_MODULES + 5; i++)
        add_frame(0x1000 * (i + 1) + 8);
    crash_maps_init(&maps, &remains, false);
    for (int i = 0; i < REMAINS_MODULES + 5; i++) {
        int n = snprintf(line, sizeof line, "%x-%x r-xp 00000000 0:0 0 /lib%d\n", 0x1000 * (i + 1),
                         0x1000 * (i + 2), i);
        crash_maps_feed(&maps, line, (size_t)n);
    }
    assert_int_equal(remains.n_modules, REMAINS_MODULES);
    assert_int_equal(remains.frames[REMAINS_MODULES + 4].module, REMAINS_NO_MODULE);
}

/* The real file, and this very function: its module is the test program, with its build id, the
 * same as in its file. */
static void own_code_is_found_with_its_build_id(void **state)
{
    (void)state;
    unsigned char head[4096];
    unsigned char id[REMAINS_BUILD_ID_MAX];
    memset(&remains, 0, sizeof remains);
    add_frame((uint64_t)(uintptr_t)own_code_is_found_with_its_build_id);
    crash_maps_init(&maps, &remains, true);
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    char piece[777];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0;)
        crash_maps_feed(&maps, piece, (size_t)n);
    (void)close(fd);
    assert_int_equal(remains.n_modules, 1);
    char self[512];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(len > 0);
    self[len] = '\0';
    if (getenv("REMUDA_UNDER_VALGRIND"))
        return; /* there /proc/self/exe is valgrind's */
    assert_non_null(strstr(self, "crash_maps"));
    fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(pread(fd, head, sizeof head, 0) > 0);
    (void)close(fd);
    size_t n = crash_maps_build_id(head, sizeof head, id);
    assert_int_equal(remains.modules[0].build_id_len, n);
    assert_memory_equal(remains.modules[0].build_id, id, n);
}

static void build_ids_of_broken_files_are_none(void **state)
{
    (void)state;
    unsigned char file[4096];
    unsigned char broken[4096];
    unsigned char id[REMAINS_BUILD_ID_MAX];
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ssize_t n = pread(fd, file, sizeof file, 0);
    (void)close(fd);
    assert_true(n > 0);
    for (size_t len = 0; len < (size_t)n; len++)
        (void)crash_maps_build_id(file, len, id); /* a sanitizer looks on */
    assert_int_equal(crash_maps_build_id(file, 10, id), 0);
    unsigned seed = 1;
    for (int i = 0; i < 20000; i++) {
        memcpy(broken, file, sizeof broken);
        for (int k = 0; k < 4; k++) {
            seed = seed * 1103515245U + 12345U;
            broken[(seed >> 8) % 1024] = (unsigned char)(seed >> 3);
        }
        (void)crash_maps_build_id(broken, sizeof broken, id);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_find_their_modules_however_the_text_is_cut),
        TEST(nonsense_and_long_paths_do_no_harm),
        TEST(more_modules_than_there_is_room_for_are_left_out),
        TEST(own_code_is_found_with_its_build_id),
        TEST(build_ids_of_broken_files_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
