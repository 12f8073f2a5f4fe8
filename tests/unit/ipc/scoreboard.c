/* ipc/scoreboard.c: the shared table's layout, who may write what, and that a freed seat gives its
 * pages back. Writing where one must not is tried in a forked child. */
#include "ipc/scoreboard.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "ipc/task.h"
#include "tests/harness/check.h"

#undef fork

#define SEATS 6
#define INFLIGHT 20
#define ROUTES 70 /* more than one page of statistics */
#define PAGE 4096U

static struct scoreboard board;
static int board_fd = -1;

static int setup(void **state)
{
    (void)state;
    struct err err;
    return scoreboard_create(SEATS, INFLIGHT, ROUTES, &board_fd, &board, &err);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&board_fd);
    return munmap((void *)(uintptr_t)board.base, board.bytes);
}

static struct scoreboard_part map_part(uint32_t seat)
{
    struct err err;
    struct scoreboard_part part;
    if (scoreboard_map_part(&board, board_fd, seat, &part, &err) < 0)
        CHECK_FAIL("%s", err.text);
    return part;
}

static void unmap_part(const struct scoreboard_part *part)
{
    CHECK_EQ(munmap(part->head, board.part_bytes), 0);
}

/* Writes one byte in a child. Returns the signal that ended the child; 0: the write went well */
static int write_in_child(char *at)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make it an exit */
        *(volatile char *)at = 1;
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void the_head_says_how_the_table_is_laid_out(void **state)
{
    (void)state;
    const struct scoreboard_head *head = (const void *)board.base;
    CHECK_EQ(head->layout, SCOREBOARD_LAYOUT);
    CHECK_EQ(head->n_seats, SEATS);
    CHECK_EQ(head->n_inflight, INFLIGHT);
    CHECK_EQ(head->n_routes, ROUTES);
    CHECK_EQ(head->master_pid, getpid());
    CHECK(head->started_us > 0);
}

/* Parts lie on pages of their own, one behind the other, inside the table. */
static void parts_do_not_overlap(void **state)
{
    (void)state;
    struct stat info;
    CHECK_EQ(fstat(board_fd, &info), 0);
    CHECK_EQ(info.st_size, board.bytes);
    const char *end = board.base + PAGE;
    for (uint32_t seat = 0; seat < SEATS; seat++) {
        struct scoreboard_part part = scoreboard_peek(&board, seat);
        const char *head = (const char *)part.head;
        check_context("seat %u", seat);
        CHECK_EQ((uintptr_t)head % PAGE, 0);
        CHECK(head >= end);
        CHECK_EQ((uintptr_t)part.task % PAGE, 0);
        CHECK((const char *)part.task >= head + sizeof *part.head);
        CHECK((const char *)part.inflight >= (const char *)part.task + SCOREBOARD_TASK_BYTES);
        CHECK((const char *)part.routes >= (const char *)(part.inflight + INFLIGHT));
        CHECK(part.batch >= (const char *)(part.routes + ROUTES));
        end = part.batch + SCOREBOARD_BATCH_BYTES;
        CHECK((size_t)(end - head) <= board.part_bytes);
    }
    CHECK(end <= board.base + board.bytes);
    check_context("nothing");
}

static void what_an_occupant_writes_everyone_reads(void **state)
{
    (void)state;
    struct scoreboard_part own = map_part(2);
    own.head->pid = 4711;
    atomic_store(&own.head->requests, 99);
    own.inflight[INFLIGHT - 1].route = 17;
    atomic_store(&own.routes[ROUTES - 1].errors, 5);
    own.batch[0] = 'a';
    own.batch[SCOREBOARD_BATCH_BYTES - 1] = 'z';
    struct scoreboard_part seen = scoreboard_peek(&board, 2);
    CHECK_EQ(seen.head->pid, 4711);
    CHECK_EQ(atomic_load(&seen.head->requests), 99);
    CHECK_EQ(seen.inflight[INFLIGHT - 1].route, 17);
    CHECK_EQ(atomic_load(&seen.routes[ROUTES - 1].errors), 5);
    CHECK_EQ(seen.batch[0], 'a');
    CHECK_EQ(seen.batch[SCOREBOARD_BATCH_BYTES - 1], 'z');
    /* and nothing of it lies in another seat */
    CHECK_EQ(scoreboard_peek(&board, 1).batch[SCOREBOARD_BATCH_BYTES - 1], 0);
    CHECK_EQ(scoreboard_peek(&board, 3).head->pid, 0);
    unmap_part(&own);
}

static void a_process_writes_its_own_part_and_no_other(void **state)
{
    (void)state;
    struct scoreboard_part own = map_part(1);
    CHECK_EQ(write_in_child((char *)own.head), 0);
    CHECK_EQ(own.head->layout & 0xffU, 1); /* by another process, seen here */
    CHECK_EQ(write_in_child(own.batch + SCOREBOARD_BATCH_BYTES - 1), 0);
    for (uint32_t seat = 0; seat < SEATS; seat++) { /* its own too, through the reader's mapping */
        struct scoreboard_part seen = scoreboard_peek(&board, seat);
        CHECK_EQ(write_in_child((char *)seen.head), SIGSEGV);
        CHECK_EQ(write_in_child((char *)seen.inflight), SIGSEGV);
        CHECK_EQ(write_in_child((char *)seen.routes), SIGSEGV);
        CHECK_EQ(write_in_child(seen.batch), SIGSEGV);
    }
    CHECK_EQ(write_in_child((char *)(uintptr_t)board.base), SIGSEGV);
    unmap_part(&own);
}

/* The master's: its claim is the one word that two may write. */
static void the_page_of_a_task_can_be_mapped_by_itself(void **state)
{
    (void)state;
    struct err err;
    struct task_seat *task = NULL;
    struct scoreboard_part own = map_part(4);
    CHECK_EQ(scoreboard_map_task(&board, board_fd, SEATS, &task, &err), -ERANGE);
    CHECK_EQ(scoreboard_map_task(&board, board_fd, 4, &task, &err), 0);
    atomic_store(&own.task->claim, 77);
    CHECK_EQ(atomic_load(&task->claim), 77);
    atomic_store(&task->claim, 78);
    CHECK_EQ(atomic_load(&own.task->claim), 78);
    CHECK_EQ(atomic_load(&scoreboard_peek(&board, 4).task->claim), 78);
    CHECK_EQ(write_in_child((char *)scoreboard_peek(&board, 4).task), SIGSEGV);
    CHECK_EQ(munmap(task, SCOREBOARD_TASK_BYTES), 0);
    unmap_part(&own);
}

static void a_part_stays_mapped_without_the_descriptor(void **state)
{
    (void)state;
    struct scoreboard_part own = map_part(0);
    fd_close(&board_fd);
    own.head->pid = 1;
    CHECK_EQ(scoreboard_peek(&board, 0).head->pid, 1);
    unmap_part(&own);
}

static void a_seat_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    static const uint32_t seats[] = {SEATS, SEATS + 1, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct err err = {0};
        struct scoreboard_part part = {.batch = "untouched"};
        CHECK_EQ(scoreboard_map_part(&board, board_fd, seats[i], &part, &err), -ERANGE);
        CHECK_EQ(err.code, ERANGE);
        CHECK(err.text[0]);
        CHECK_TEXT(part.batch, "untouched");
    }
}

static blkcnt_t blocks_in_use(void)
{
    struct stat info;
    CHECK_EQ(fstat(board_fd, &info), 0);
    return info.st_blocks;
}

static void clearing_a_seat_zeroes_it_and_gives_its_pages_back(void **state)
{
    (void)state;
    blkcnt_t empty = blocks_in_use();
    struct scoreboard_part left = map_part(2);
    struct scoreboard_part own = map_part(3);
    struct scoreboard_part right = map_part(4);
    left.batch[SCOREBOARD_BATCH_BYTES - 1] = 'l';
    right.head->pid = 'r';
    blkcnt_t neighbours = blocks_in_use();
    CHECK(neighbours > empty);
    memset(own.head, 0xa5, board.part_bytes);
    CHECK(blocks_in_use() >= neighbours + (blkcnt_t)(board.part_bytes / 512));
    CHECK_EQ(scoreboard_clear(&board, board_fd, 3), 0);
    CHECK_EQ(blocks_in_use(), neighbours);
    const char *octets = (const char *)own.head;
    for (size_t i = 0; i < board.part_bytes; i++)
        CHECK(octets[i] == 0);
    CHECK_EQ(left.batch[SCOREBOARD_BATCH_BYTES - 1], 'l');
    CHECK_EQ(right.head->pid, 'r');
    CHECK_EQ(((const struct scoreboard_head *)(const void *)board.base)->n_seats, SEATS);
    unmap_part(&left);
    unmap_part(&own);
    unmap_part(&right);
}

/* A table cut short under its readers would be SIGBUS for all of them. */
static uint32_t find(uint32_t seat, uint32_t from)
{
    return scoreboard_find_inflight(&board, board_fd, seat, from);
}

static void entries_that_were_never_written_are_passed_over_and_cost_no_memory(void **state)
{
    (void)state;
    const uint32_t last = INFLIGHT - 1;
    struct scoreboard_part part = map_part(2);
    struct scoreboard_part other = map_part(3);
    other.head->pid = 1; /* what lies behind the entries is not one */
    part.routes[0].requests = 1;
    blkcnt_t before = blocks_in_use();
    CHECK_EQ(find(2, 0), INFLIGHT);
    CHECK_EQ(find(1, 0), INFLIGHT);
    CHECK_EQ(find(5, 0), INFLIGHT); /* holes up to the end of the file */
    CHECK_EQ(find(2, INFLIGHT), INFLIGHT);
    CHECK_EQ(blocks_in_use(), before);
    part.inflight[last].phase = ENTRY_IO;
    const size_t page_at = last * sizeof part.inflight[0] / PAGE * PAGE;
    uint32_t first = find(2, 0);
    CHECK_EQ(first, page_at / sizeof part.inflight[0]); /* it begins on the page before */
    CHECK(first > 0 && page_at % sizeof part.inflight[0] != 0);
    for (uint32_t i = first; i < INFLIGHT; i++)
        CHECK_EQ(find(2, i), i);
    CHECK_EQ(find(2, INFLIGHT), INFLIGHT);
    CHECK_EQ(scoreboard_find_inflight(&board, -1, 2, 0), 0); /* can't be told: looked at */
    unmap_part(&part);
    unmap_part(&other);
}

static void nobody_can_change_the_size_of_the_table(void **state)
{
    (void)state;
    CHECK(ftruncate(board_fd, 0) < 0);
    CHECK(ftruncate(board_fd, (off_t)board.bytes + 4096) < 0);
    struct stat info;
    CHECK_EQ(fstat(board_fd, &info), 0);
    CHECK_EQ(info.st_size, board.bytes);
}

static void peers_are_written_out_whatever_lies_there(void **state)
{
    (void)state;
    char text[SCOREBOARD_PEER_MAX];
    struct request_entry entry;
    memset(&entry, 0xff, sizeof entry);
    scoreboard_peer(&entry, text);
    CHECK_TEXT(text, "");
    entry.peer_family = AF_INET;
    scoreboard_peer(&entry, text);
    CHECK_TEXT(text, "255.255.255.255");
    entry.peer_family = AF_INET6;
    scoreboard_peer(&entry, text);
    CHECK_TEXT(text, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    entry.peer_family = AF_UNIX;
    scoreboard_peer(&entry, text);
    CHECK_TEXT(text, "");
    static const uint8_t address[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
    memcpy(entry.peer_address, address, sizeof address);
    entry.peer_family = AF_INET6;
    scoreboard_peer(&entry, text);
    CHECK_TEXT(text, "2001:db8::1");
}

static void stage_is_told_to_all_readers(void **state)
{
    (void)state;
    CHECK_EQ(scoreboard_stage(&board), BOARD_SERVING);
    CHECK_EQ(scoreboard_tell_stage(board_fd, BOARD_LEAVING), 0);
    CHECK_EQ(scoreboard_stage(&board), BOARD_LEAVING);
    CHECK_EQ(scoreboard_tell_stage(-1, BOARD_STOPPING), -EBADF);
    CHECK_EQ(scoreboard_stage(&board), BOARD_LEAVING);
}

static void seats_in_use_are_told_to_all_readers(void **state)
{
    (void)state;
    CHECK_EQ(scoreboard_used(&board), 0);
    CHECK_EQ(scoreboard_tell_used(board_fd, 2), 0);
    CHECK_EQ(scoreboard_used(&board), 2);
    CHECK_EQ(scoreboard_tell_used(board_fd, 1000000), 0);
    CHECK_EQ(scoreboard_used(&board), board.n_seats);
    CHECK_EQ(scoreboard_tell_used(-1, 2), -EBADF);
}

static void an_exemplar_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    struct route_exemplar shared = {0}, out;
    CHECK(!scoreboard_read_exemplar(&shared, &out));
    scoreboard_set_exemplar(&shared, "abc-1", 5, 1234, 99);
    CHECK(scoreboard_read_exemplar(&shared, &out));
    CHECK_EQ(out.trace_len, 5);
    CHECK(memcmp(out.trace, "abc-1", 5) == 0);
    CHECK_EQ(out.latency_us, 1234);
    CHECK_EQ(out.wall_us, 99);
    shared.version++; /* its writer is at it, or has died of it */
    CHECK(!scoreboard_read_exemplar(&shared, &out));
    scoreboard_set_exemplar(&shared, "abc-2", 5, 2, 100);
    CHECK(scoreboard_read_exemplar(&shared, &out));
    CHECK_EQ(out.latency_us, 2);
    shared.trace_len = SCOREBOARD_TRACE_MAX + 1;
    CHECK(!scoreboard_read_exemplar(&shared, &out));
    shared.trace_len = 5;
    shared.trace[2] = '\n';
    CHECK(!scoreboard_read_exemplar(&shared, &out));
}

static void states_and_phases_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < ENTRY_PHASES; i++)
        CHECK(scoreboard_phase_names[i] && scoreboard_phase_names[i][0]);
    for (int i = 0; i < SEAT_STATES; i++)
        CHECK(scoreboard_state_names[i] && scoreboard_state_names[i][0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_head_says_how_the_table_is_laid_out, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_do_not_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(what_an_occupant_writes_everyone_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(a_process_writes_its_own_part_and_no_other, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_page_of_a_task_can_be_mapped_by_itself, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_part_stays_mapped_without_the_descriptor, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_seat_that_does_not_exist_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(clearing_a_seat_zeroes_it_and_gives_its_pages_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            entries_that_were_never_written_are_passed_over_and_cost_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_can_change_the_size_of_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(peers_are_written_out_whatever_lies_there, setup, teardown),
        cmocka_unit_test_setup_teardown(stage_is_told_to_all_readers, setup, teardown),
        cmocka_unit_test_setup_teardown(seats_in_use_are_told_to_all_readers, setup, teardown),
        cmocka_unit_test(an_exemplar_is_read_whole_or_not_at_all),
        cmocka_unit_test_setup_teardown(states_and_phases_have_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
