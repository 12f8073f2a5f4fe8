/* Tests of server/last_words.c: what is read out of a dead worker's part, nonsense too. */
#include "server/last_words.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "workers/loader.h"

#define N_INFLIGHT 4
#define NOW_US UINT64_C(5000000)

/* How lines look is for workers/ to say; here it shows what they are made from. */
size_t loader_render_lost(struct access_format *format, const struct loader_lost *lost, char *out,
                          size_t cap)
{
    assert_non_null(format);
    assert_true(cap >= 512);
    assert_true(lost->wall_us > 0);
    char target[LOG_QUOTE_MAX + 8];
    char method[LOG_QUOTE_MAX + 8];
    return (size_t)snprintf(out, cap, "%.*s %s %s %.*s %llu %d %.*s\n", STR_ARG(lost->peer),
                            log_quote(method, lost->method.p, lost->method.len),
                            log_quote(target, lost->target.p, lost->target.len),
                            STR_ARG(lost->trace_id), (unsigned long long)lost->elapsed_us,
                            (int)lost->pid, STR_ARG(lost->note));
}

struct scene {
    struct scoreboard board;
    int board_fd;
    struct scoreboard_part part; /* writable: what the worker wrote */
    int log_fd;
    int access_fd;
    struct last_words_about about;
    char log[16384];
    char access[SCOREBOARD_BATCH_BYTES + 4096];
};

static int set_up(void **state)
{
    static struct scene scene;
    struct err err;
    scene = (struct scene){.board_fd = -1};
    if (scoreboard_create(2, N_INFLIGHT, 2, &scene.board_fd, &scene.board, &err) < 0 ||
        scoreboard_map_part(&scene.board, scene.board_fd, 1, &scene.part, &err) < 0)
        return -1;
    memcpy(scene.part.routes[1].name, "GET /:name", 11);
    scene.log_fd = memfd_create("log", MFD_CLOEXEC);
    scene.access_fd = memfd_create("access", MFD_CLOEXEC);
    scene.about = (struct last_words_about){.board = &scene.board,
                                            .board_fd = scene.board_fd,
                                            .seat = 1,
                                            .slot = 3,
                                            .pid = 4711,
                                            .note = "worker died: SIGSEGV",
                                            .access_fd = scene.access_fd,
                                            .access = (struct access_format *)&scene,
                                            .now_us = NOW_US};
    log_init(scene.log_fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    (void)munmap(scene->part.head, scene->board.part_bytes);
    (void)munmap((void *)(uintptr_t)scene->board.base, scene->board.bytes);
    fd_close(&scene->board_fd);
    fd_close(&scene->log_fd);
    fd_close(&scene->access_fd);
    return 0;
}

static void read_back(struct scene *scene)
{
    ssize_t n = pread(scene->log_fd, scene->log, sizeof scene->log - 1, 0);
    assert_true(n >= 0);
    scene->log[n] = '\0';
    n = pread(scene->access_fd, scene->access, sizeof scene->access - 1, 0);
    assert_true(n >= 0);
    scene->access[n] = '\0';
}

static void write_entry(struct request_entry *entry, const char *target)
{
    (void)snprintf(entry->method, sizeof entry->method, "GET");
    entry->peer_family = AF_INET;
    memcpy(entry->peer_address, (const uint8_t[]){192, 0, 2, 1}, 4);
    size_t len = strlen(target);
    memcpy(entry->target, target, len);
    entry->target_len = (uint16_t)len;
    entry->started_us = NOW_US - 1500000;
    entry->route = 1; /* see set_up() */
    entry->phase = ENTRY_HANDLER;
}

static void an_idle_worker_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(last_words_write(&scene->about), 0);
    read_back(scene);
    assert_string_equal(scene->log, "");
    assert_string_equal(scene->access, "");
}

static void each_unfinished_request_gets_its_lines(void **state)
{
    struct scene *scene = *state;
    write_entry(&scene->part.head->current, "/one");
    write_entry(&scene->part.inflight[0], "/two");
    memcpy(scene->part.inflight[0].trace, "its-own.id", 10);
    scene->part.inflight[0].trace_len = 10;
    write_entry(&scene->part.inflight[N_INFLIGHT - 1], "/three");
    memcpy(scene->part.inflight[N_INFLIGHT - 1].trace, "a\" b", 4); /* not believed */
    scene->part.inflight[N_INFLIGHT - 1].trace_len = 4;
    scene->part.inflight[N_INFLIGHT - 1].phase = ENTRY_STREAM;
    assert_int_equal(last_words_write(&scene->about), 3);
    read_back(scene);
    assert_non_null(strstr(scene->log, "request lost slot=3 pid=4711 method=\"GET\" "
                                       "target=\"/one\" peer=\"192.0.2.1\" phase=handler "
                                       "elapsed_ms=1500 route=\"GET /:name\""));
    assert_non_null(strstr(scene->log, "target=\"/two\""));
    assert_non_null(strstr(scene->log, "target=\"/three\" peer=\"192.0.2.1\" phase=stream"));
    assert_string_equal(scene->access,
                        "192.0.2.1 \"GET\" \"/one\"  1500000 4711 worker died: SIGSEGV\n"
                        "192.0.2.1 \"GET\" \"/two\" its-own.id 1500000 4711 worker died: "
                        "SIGSEGV\n"
                        "192.0.2.1 \"GET\" \"/three\"  1500000 4711 worker died: SIGSEGV\n");
}

/* While a producer or a deferred answer runs, the table has its request twice. */
static void a_request_that_is_there_twice_is_lost_once(void **state)
{
    struct scene *scene = *state;
    write_entry(&scene->part.head->current, "/one");
    write_entry(&scene->part.inflight[1], "/one");
    scene->part.inflight[1].phase = ENTRY_STREAM;
    write_entry(&scene->part.inflight[2], "/one");
    scene->part.inflight[2].started_us++;
    assert_int_equal(last_words_write(&scene->about), 2);
}

static void no_access_log_no_access_lines(void **state)
{
    struct scene *scene = *state;
    scene->about.access_fd = -1;
    scene->about.access = NULL;
    write_entry(&scene->part.head->current, "/one");
    scene->part.head->batch_len = 4;
    memcpy(scene->part.batch, "abc\n", 4);
    assert_int_equal(last_words_write(&scene->about), 1);
    read_back(scene);
    assert_string_equal(scene->access, "");
}

static void the_batch_is_written_up_to_its_last_whole_line(void **state)
{
    struct scene *scene = *state;
    static const char batch[] = "first line\nsecond line\nthi";
    memcpy(scene->part.batch, batch, sizeof batch - 1);
    scene->part.head->batch_len = sizeof batch - 1;
    assert_int_equal(last_words_write(&scene->about), 0);
    read_back(scene);
    assert_string_equal(scene->access, "first line\nsecond line\n");
}

static void a_batch_longer_than_its_room_is_cut_to_it(void **state)
{
    struct scene *scene = *state;
    memset(scene->part.batch, 'a', SCOREBOARD_BATCH_BYTES);
    scene->part.batch[SCOREBOARD_BATCH_BYTES - 1] = '\n';
    scene->part.head->batch_len = UINT32_MAX;
    assert_int_equal(last_words_write(&scene->about), 0);
    read_back(scene);
    assert_int_equal(strlen(scene->access), SCOREBOARD_BATCH_BYTES);
}

static void nonsense_is_read_without_harm(void **state)
{
    struct scene *scene = *state;
    memset(scene->part.head, 0xff, sizeof *scene->part.head);
    memset(scene->part.inflight, 0xfe, N_INFLIGHT * sizeof *scene->part.inflight);
    memset(scene->part.batch, 0xff, SCOREBOARD_BATCH_BYTES);
    assert_int_equal(last_words_write(&scene->about), 1 + N_INFLIGHT);
    char words[LAST_WORDS_BYTES];
    assert_string_equal(last_words_panic(&scene->board, 1, words), ""); /* it has no end */
    char request[LAST_WORDS_REQUEST_BYTES];
    assert_true(strlen(last_words_request(&scene->board, 1, NOW_US, request)) > 0);
    read_back(scene);
    assert_non_null(strstr(scene->log, "phase=? elapsed_ms=0"));
}

static void a_request_cannot_forge_a_line(void **state)
{
    struct scene *scene = *state;
    write_entry(&scene->part.head->current, "/a\"\r\n10.0.0.1 - - forged\x1b[2J");
    assert_int_equal(last_words_write(&scene->about), 1);
    read_back(scene);
    assert_ptr_equal(strchr(scene->access, '\n'), scene->access + strlen(scene->access) - 1);
    assert_ptr_equal(strchr(scene->log, '\n'), scene->log + strlen(scene->log) - 1);
    assert_null(strchr(scene->access, '\x1b'));
    assert_non_null(strstr(scene->access, "/a\\\"\\x0d\\x0a10.0.0.1"));
}

static void panic_words_come_back(void **state)
{
    struct scene *scene = *state;
    char words[LAST_WORDS_BYTES];
    assert_string_equal(last_words_panic(&scene->board, 1, words), "");
    (void)snprintf(scene->part.head->last_words, LAST_WORDS_BYTES, "assertion failed at x.c:1");
    assert_string_equal(last_words_panic(&scene->board, 1, words), "assertion failed at x.c:1");
    char request[LAST_WORDS_REQUEST_BYTES];
    assert_string_equal(last_words_request(&scene->board, 1, NOW_US, request), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_idle_worker_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_unfinished_request_gets_its_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_that_is_there_twice_is_lost_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_access_log_no_access_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_batch_is_written_up_to_its_last_whole_line, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_batch_longer_than_its_room_is_cut_to_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_read_without_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_cannot_forge_a_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(panic_words_come_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
