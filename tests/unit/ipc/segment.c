/* ipc/segment.c: whose slice is whose, what a reference may mean, where room is found, and that
 * memory comes, stays and goes as it should. Writing where one must not is tried in a forked child.
 */
#include "ipc/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "tests/harness/check.h"

#undef fork

#define SEATS 4U
#define SLICE (UINT64_C(4) << 20)
#define PAGES (SLICE / SEGMENT_PAGE)
#define STATION (SLICE / 16)
#define MIB (UINT64_C(1) << 20)

static struct segment ours;  /* of seat 1 */
static struct segment other; /* of seat 2 */
static int segment_fd = -1;

static int setup(void **state)
{
    (void)state;
    struct err err;
    if (segment_create(SEATS, SLICE, &segment_fd, &err) < 0 ||
        segment_map(segment_fd, SEATS, SLICE, 1, &ours, &err) < 0)
        return -1;
    return segment_map(segment_fd, SEATS, SLICE, 2, &other, &err);
}

static int teardown(void **state)
{
    (void)state;
    segment_unmap(&ours);
    segment_unmap(&other);
    fd_close(&segment_fd);
    return 0;
}

static uint64_t bytes_in_use(void)
{
    struct stat info;
    CHECK_EQ(fstat(segment_fd, &info), 0);
    return (uint64_t)info.st_blocks * 512;
}

static struct segment_run take(uint64_t bytes, uint64_t room)
{
    struct segment_run run;
    CHECK_EQ(segment_take(&ours.slice, bytes, room, &run), 0);
    CHECK(run.bytes >= bytes && run.at + run.bytes <= SLICE);
    CHECK(run.at % SEGMENT_PAGE == 0 && run.bytes % SEGMENT_PAGE == 0);
    return run;
}

/* Taken and written: each octet the same. */
static struct segment_run take_filled(uint64_t bytes, int octet)
{
    struct segment_run run = take(bytes, 0);
    CHECK_EQ(segment_ready(&ours.slice, &run, 0, bytes), 0);
    memset(segment_own(&ours.slice, &run), octet, bytes);
    return run;
}

/* The signal that ends a child which does it; 0: none. */
static int in_child(void (*act)(void *), void *arg)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make it an exit */
        (void)signal(SIGBUS, SIG_DFL);
        act(arg);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void write_there(void *at)
{
    *(volatile char *)at = 1;
}

/* ---- who sees and writes what ---- */

static void what_one_writes_all_read_at_the_same_reference(void **state)
{
    (void)state;
    struct segment_run run = take_filled(10000, 'x');
    struct segment_ref ref = {.seat = 1, .at = run.at, .len = 10000};
    CHECK_EQ(segment_at(&other, ref)[0], 'x');
    CHECK_EQ(segment_at(&other, ref)[9999], 'x');
    CHECK_EQ(segment_at(&ours, ref)[9999], 'x');
    ref.seat = 2;
    CHECK_EQ(segment_at(&other, ref)[0], 0);
}

static void a_process_writes_its_own_slice_and_no_other(void **state)
{
    (void)state;
    CHECK_EQ(in_child(write_there, ours.slice.base), 0);
    CHECK_EQ(ours.slice.base[0], 1);
    CHECK_EQ(in_child(write_there, ours.slice.base + SLICE - 1), 0);
    for (uint32_t seat = 0; seat < SEATS; seat++) /* its own too, through the readers' mapping */
        CHECK_EQ(in_child(write_there, (void *)(uintptr_t)segment_at(
                                           &ours, (struct segment_ref){.seat = seat, .len = 1})),
                 SIGSEGV);
}

static void what_is_for_reading_stays_so(void **state)
{
    (void)state;
    errno = 0;
    CHECK(mprotect((void *)(uintptr_t)ours.base, SEGMENT_PAGE, PROT_READ | PROT_WRITE) < 0);
    CHECK_EQ(errno, EACCES);
}

static void a_mapping_stays_without_the_descriptor(void **state)
{
    (void)state;
    fd_close(&segment_fd);
    struct segment_run run = take_filled(1, 'y');
    CHECK_EQ(*segment_at(&other, (struct segment_ref){.seat = 1, .at = run.at, .len = 1}), 'y');
}

static void nobody_can_change_its_size(void **state)
{
    (void)state;
    CHECK(ftruncate(segment_fd, 0) < 0);
    CHECK(ftruncate(segment_fd, (off_t)(SEATS * SLICE + 4096)) < 0);
}

static void what_is_not_the_segment_is_not_mapped(void **state)
{
    (void)state;
    struct err err = {0};
    struct segment s;
    CHECK_EQ(segment_map(segment_fd, SEATS, SLICE, SEATS, &s, &err), -ERANGE);
    CHECK_EQ(segment_map(segment_fd, SEATS, SLICE, UINT32_MAX, &s, &err), -ERANGE);
    CHECK_EQ(segment_map(segment_fd, SEATS + 1, SLICE, 1, &s, &err), -EINVAL);
    CHECK_HAS(err.text, "16777216 bytes, not 20971520");
    CHECK_EQ(segment_map(segment_fd, SEATS, SLICE + 1, 1, &s, &err), -EINVAL);
    CHECK_EQ(segment_map(segment_fd, SEATS, SEGMENT_SLICE_MIN / 2, 1, &s, &err), -EINVAL);
    CHECK_EQ(segment_map(segment_fd, SEATS, SEGMENT_SLICE_MAX * 2, 1, &s, &err), -EINVAL);
    CHECK_EQ(segment_map(-1, SEATS, SLICE, 1, &s, &err), -EBADF);
}

/* 258 GiB of addresses, and no memory but what is touched. */
static void all_seats_with_the_default_slice_can_be_mapped(void **state)
{
    (void)state;
    if (getenv("REMUDA_UNDER_VALGRIND"))
        skip(); /* it keeps notes of every address */
    struct err err = {0};
    struct segment s;
    int fd = -1;
    CHECK_EQ(segment_create(1032, 256 * MIB, &fd, &err), 0);
    if (segment_map(fd, 1032, 256 * MIB, 1031, &s, &err) < 0)
        CHECK_FAIL("%s", err.text);
    struct segment_run run;
    CHECK_EQ(segment_take(&s.slice, 256 * MIB, 0, &run), 0);
    CHECK_EQ(segment_ready(&s.slice, &run, 256 * MIB - 1, 1), 0);
    s.slice.base[256 * MIB - 1] = 'z';
    CHECK_EQ(*segment_at(&s, (struct segment_ref){.seat = 1031, .at = 256 * MIB - 1, .len = 1}),
             'z');
    struct stat info;
    CHECK_EQ(fstat(fd, &info), 0);
    CHECK(info.st_blocks <= 8);
    CHECK_EQ(segment_clear(fd, 256 * MIB, 1031, 256 * MIB), 0);
    CHECK_EQ(fstat(fd, &info), 0);
    CHECK_EQ(info.st_blocks, 0);
    segment_unmap(&s);
    fd_close(&fd);
}

static void map_with_little_address_space(void *arg)
{
    (void)arg;
    struct err err = {0};
    struct segment s = {.n_seats = 77};
    struct rlimit limit = {SEATS * SLICE / 2, SEATS * SLICE / 2};
    bool is_right = setrlimit(RLIMIT_AS, &limit) == 0 &&
                    segment_map(segment_fd, SEATS, SLICE, 1, &s, &err) == -ENOMEM &&
                    strstr(err.text, "no address space") && s.n_seats == 77;
    _exit(is_right ? 0 : 1);
}

static void create_with_a_limit_on_files(void *arg)
{
    (void)arg;
    struct err err = {0};
    int fd = 77;
    struct rlimit limit = {SEATS * SLICE - 1, SEATS * SLICE - 1};
    (void)signal(SIGXFSZ, SIG_IGN); /* as server/main.c */
    bool is_right = setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                    segment_create(SEATS, SLICE, &fd, &err) == -EFBIG &&
                    strstr(err.text, "ulimit -f") && fd == 77;
    _exit(is_right ? 0 : 1);
}

static void a_limit_on_files_is_an_error_with_a_reason(void **state)
{
    (void)state;
    CHECK_EQ(in_child(create_with_a_limit_on_files, NULL), 0);
}

static void refused_address_space_is_an_error_with_a_reason(void **state)
{
    (void)state;
    CHECK_EQ(in_child(map_with_little_address_space, NULL), 0);
}

/* ---- references ---- */

static void references_out_of_bounds_mean_nothing(void **state)
{
    (void)state;
    static const struct segment_ref refused[] = {
        {.seat = SEATS, .at = 0, .len = 1},
        {.seat = UINT32_MAX, .at = 0, .len = 0},
        {.seat = 0, .at = SLICE, .len = 1},
        {.seat = 0, .at = SLICE + 1, .len = 0},
        {.seat = 0, .at = 0, .len = SLICE + 1},
        {.seat = 0, .at = SLICE - 1, .len = 2},
        {.seat = 0, .at = 1, .len = UINT64_MAX},
        {.seat = 0, .at = UINT64_MAX, .len = 1},
        {.seat = 0, .at = UINT64_MAX, .len = UINT64_MAX},
        {.seat = SEATS - 1, .at = UINT64_MAX - SLICE + 2, .len = SLICE},
    };
    static const struct segment_ref taken[] = {
        {.seat = 0, .at = 0, .len = SLICE},
        {.seat = SEATS - 1, .at = SLICE - 1, .len = 1},
        {.seat = SEATS - 1, .at = SLICE, .len = 0},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char out[4] = "abc";
        check_context("reference %zu", i);
        CHECK(segment_at(&ours, refused[i]) == NULL);
        CHECK_EQ(segment_copy(&ours, refused[i], out), -ERANGE);
        CHECK_TEXT(out, "abc");
    }
    check_context("nothing");
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        CHECK(segment_at(&ours, taken[i]) == ours.base + taken[i].seat * SLICE + taken[i].at);
}

static void copies_are_counted_and_lie_where_they_should(void **state)
{
    (void)state;
    struct segment_run run = take_filled(3 * SEGMENT_PAGE, 'a');
    segment_own(&ours.slice, &run)[SEGMENT_PAGE - 1] = 'b';
    segment_own(&ours.slice, &run)[2 * SEGMENT_PAGE] = 'c';
    char *out = malloc(SEGMENT_PAGE + 2);
    CHECK(out);
    struct segment_ref ref = {.seat = 1, .at = run.at + SEGMENT_PAGE - 1, .len = SEGMENT_PAGE + 2};
    CHECK_EQ(segment_copy(&other, ref, out), 0);
    CHECK(out[0] == 'b' && out[1] == 'a' && out[SEGMENT_PAGE + 1] == 'c');
    CHECK_EQ(other.copied, SEGMENT_PAGE + 2);
    CHECK_EQ(ours.copied, 0);
    ref.len = 0;
    CHECK_EQ(segment_copy(&other, ref, NULL), 0);
    CHECK_EQ(other.copied, SEGMENT_PAGE + 2);
    free(out);
}

/* ---- room ---- */

static void the_first_room_is_taken_and_found_again(void **state)
{
    (void)state;
    struct segment_run a = take(1, 0);
    struct segment_run b = take(SEGMENT_PAGE + 1, 0);
    struct segment_run c = take(SEGMENT_PAGE, 0);
    CHECK_EQ(a.at, 0);
    CHECK_EQ(a.bytes, SEGMENT_PAGE);
    CHECK_EQ(b.at, SEGMENT_PAGE);
    CHECK_EQ(b.bytes, 2 * SEGMENT_PAGE);
    CHECK_EQ(c.at, 3 * SEGMENT_PAGE);
    segment_give(&ours.slice, &b);
    CHECK_EQ(b.bytes, 0);
    segment_give(&ours.slice, &b); /* nothing */
    CHECK_EQ(ours.slice.n_used, 2);
    struct segment_run large = take(3 * SEGMENT_PAGE, 0);
    CHECK_EQ(large.at, 4 * SEGMENT_PAGE);
    b = take(2 * SEGMENT_PAGE, 0);
    CHECK_EQ(b.at, SEGMENT_PAGE);
    CHECK_EQ(take(1, 0).at, 7 * SEGMENT_PAGE);
    CHECK_EQ(ours.slice.peak_ever, 8);
}

static void a_full_slice_refuses_and_has_room_again(void **state)
{
    (void)state;
    struct segment_run run;
    struct segment_run half = take(SLICE / 2, 0);
    CHECK_EQ(segment_take(&ours.slice, SLICE / 2 + 1, 0, &run), -ENOSPC);
    CHECK_EQ(segment_take(&ours.slice, UINT64_MAX, 0, &run), -ENOSPC);
    CHECK_EQ(segment_take(&ours.slice, 1, UINT64_MAX, &run), 0);
    segment_give(&ours.slice, &run);
    struct segment_run rest = take(SLICE / 2, 0);
    CHECK_EQ(segment_take(&ours.slice, 1, 0, &run), -ENOSPC);
    CHECK_EQ(ours.slice.n_used, PAGES);
    segment_give(&ours.slice, &half);
    CHECK_EQ(segment_take(&ours.slice, SLICE / 2 + 1, 0, &run), -ENOSPC);
    segment_give(&ours.slice, &rest);
    CHECK_EQ(ours.slice.n_used, 0);
    run = take(SLICE, 0);
    CHECK_EQ(run.at, 0);
}

static void a_run_grows_where_it_lies_as_far_as_there_is_room(void **state)
{
    (void)state;
    struct segment_run run = take(1, 0);
    CHECK_EQ(segment_extend(&ours.slice, &run, 5 * SEGMENT_PAGE - 1), 0);
    CHECK_EQ(run.bytes, 5 * SEGMENT_PAGE);
    CHECK_EQ(segment_extend(&ours.slice, &run, 1), 0);
    CHECK_EQ(run.bytes, 5 * SEGMENT_PAGE);
    struct segment_run behind = take(1, 0);
    CHECK_EQ(behind.at, 5 * SEGMENT_PAGE);
    CHECK_EQ(segment_extend(&ours.slice, &run, 5 * SEGMENT_PAGE + 1), -ENOSPC);
    CHECK_EQ(run.bytes, 5 * SEGMENT_PAGE);
    CHECK_EQ(ours.slice.n_used, 6);
    CHECK_EQ(segment_extend(&ours.slice, &behind, UINT64_MAX), -ENOSPC);
    CHECK_EQ(segment_extend(&ours.slice, &behind, SLICE - behind.at + 1), -ENOSPC);
    CHECK_EQ(segment_extend(&ours.slice, &behind, SLICE - behind.at), 0);
    segment_trim(&ours.slice, &behind, 1);
    CHECK_EQ(behind.bytes, SEGMENT_PAGE);
    CHECK_EQ(ours.slice.n_used, 6);
    segment_trim(&ours.slice, &behind, SEGMENT_PAGE);
    CHECK_EQ(ours.slice.n_used, 6);
}

/* What grows is not shut in by small runs, and begins where others have begun before. */
static void runs_that_grow_begin_at_stations(void **state)
{
    (void)state;
    struct segment_run first = take(65536, STATION / 2);
    struct segment_run small = take(1, 0);
    struct segment_run second = take(65536, STATION / 2);
    CHECK_EQ(first.at, STATION);
    CHECK_EQ(small.at, 0);
    CHECK_EQ(second.at, 2 * STATION);
    CHECK_EQ(segment_extend(&ours.slice, &first, STATION), 0);
    CHECK_EQ(segment_extend(&ours.slice, &second, 10 * STATION), 0);
    CHECK_EQ(take(65536, STATION).at, 12 * STATION);
    segment_give(&ours.slice, &second);
    CHECK_EQ(take(65536, 8 * STATION).at, 2 * STATION);
    segment_give(&ours.slice, &first);
    CHECK_EQ(take(65536, STATION - 65536).at, STATION);
    /* more than any station has: anywhere */
    CHECK_EQ(take(65536, SLICE - 65536).at, SEGMENT_PAGE);
}

/* Random takes, extensions, trims and gives, beside a note of whose each page is. */
static void no_page_is_ever_two_runs(void **state)
{
    (void)state;
    enum { RUNS = 40, STEPS = 20000 };
    static uint8_t owner[PAGES];
    struct segment_run runs[RUNS] = {0};
    unsigned seed = 4711;
    memset(owner, 0, sizeof owner);
    for (int step = 0; step < STEPS; step++) {
        int i = rand_r(&seed) % RUNS;
        struct segment_run *run = &runs[i];
        struct segment_run before = *run;
        uint64_t bytes = (uint64_t)(rand_r(&seed) % (int)(SLICE / 20)) + 1;
        check_context("step %d", step);
        if (run->bytes == 0)
            (void)!segment_take(&ours.slice, bytes, rand_r(&seed) % 3 ? 0 : bytes, run);
        else if (rand_r(&seed) % 3 == 0)
            (void)!segment_extend(&ours.slice, run, bytes);
        else
            segment_trim(&ours.slice, run, rand_r(&seed) % 2 ? 0 : bytes);
        if (before.bytes > 0)
            memset(owner + before.at / SEGMENT_PAGE, 0, before.bytes / SEGMENT_PAGE);
        uint64_t n = 0;
        for (uint64_t page = 0; page < run->bytes / SEGMENT_PAGE; page++) {
            CHECK_EQ(owner[run->at / SEGMENT_PAGE + page], 0);
            owner[run->at / SEGMENT_PAGE + page] = 1;
        }
        for (uint64_t page = 0; page < PAGES; page++)
            n += owner[page];
        CHECK_EQ(ours.slice.n_used, n);
    }
    check_context("nothing");
}

/* ---- memory ---- */

static void memory_comes_once_and_stays_for_a_steady_load(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct segment_run run = take_filled(MIB, 'x');
        segment_give(&ours.slice, &run);
        segment_turn(&ours.slice);
        CHECK(!segment_shed(&ours.slice, SLICE));
    }
    CHECK_EQ(ours.slice.populated, MIB / SEGMENT_PAGE);
    CHECK_EQ(bytes_in_use(), MIB);
}

static void what_was_large_once_is_given_back(void **state)
{
    (void)state;
    struct segment_run small = take_filled(SEGMENT_PAGE, 'x');
    struct segment_run large = take_filled(3 * MIB, 'x');
    segment_give(&ours.slice, &large);
    CHECK(!segment_shed(&ours.slice, SLICE)); /* it was needed in this period, */
    segment_turn(&ours.slice);
    CHECK(!segment_shed(&ours.slice, SLICE)); /* in the last one, */
    segment_turn(&ours.slice);
    CHECK(segment_shed(&ours.slice, MIB)); /* no more */
    CHECK_EQ(bytes_in_use(), 2 * MIB + SEGMENT_PAGE);
    while (segment_shed(&ours.slice, MIB / 2)) {
    }
    CHECK_EQ(bytes_in_use(), SEGMENT_PAGE);
    CHECK_EQ(ours.slice.n_resident, 1);
    CHECK_EQ(segment_own(&ours.slice, &small)[SEGMENT_PAGE - 1], 'x');
    large = take_filled(3 * MIB, 'y'); /* and comes again */
    CHECK_EQ(bytes_in_use(), 3 * MIB + SEGMENT_PAGE);
}

static void what_is_taken_is_never_shed(void **state)
{
    (void)state;
    struct segment_run low = take_filled(MIB, 'l');
    struct segment_run high = take_filled(MIB, 'h');
    segment_give(&ours.slice, &low);
    for (int i = 0; i < 3; i++) {
        segment_turn(&ours.slice);
        while (segment_shed(&ours.slice, 3 * SEGMENT_PAGE)) {
        }
    }
    CHECK_EQ(bytes_in_use(), MIB);
    for (uint64_t i = 0; i < MIB; i++)
        CHECK(segment_own(&ours.slice, &high)[i] == 'h');
}

static void memory_that_the_kernel_filled_is_known(void **state)
{
    (void)state;
    struct segment_run run = take(5 * SEGMENT_PAGE, 0);
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(read(zero, segment_own(&ours.slice, &run) + 100, 2 * SEGMENT_PAGE), 2 * SEGMENT_PAGE);
    fd_close(&zero);
    segment_filled(&ours.slice, &run, 100, 2 * SEGMENT_PAGE);
    segment_filled(&ours.slice, &run, 100, 0);
    CHECK_EQ(ours.slice.n_resident, 3);
    CHECK_EQ(bytes_in_use(), 3 * SEGMENT_PAGE);
    CHECK_EQ(segment_ready(&ours.slice, &run, 0, 5 * SEGMENT_PAGE), 0);
    CHECK_EQ(ours.slice.populated, 2);
    CHECK_EQ(bytes_in_use(), 5 * SEGMENT_PAGE);
}

static void clearing_a_seat_gives_back_its_memory_part_by_part(void **state)
{
    (void)state;
    struct segment_run before = take_filled(SLICE, 'x');
    struct segment_run neighbour;
    CHECK_EQ(segment_take(&other.slice, SLICE, 0, &neighbour), 0);
    CHECK_EQ(segment_ready(&other.slice, &neighbour, 0, 1), 0);
    CHECK_EQ(segment_ready(&other.slice, &neighbour, SLICE - 1, 1), 0);
    memset(segment_own(&other.slice, &neighbour), 'n', 1);
    int n = 0;
    int rc;
    while ((rc = segment_clear(segment_fd, SLICE, 1, MIB)) == 1)
        n++;
    CHECK_EQ(rc, 0);
    CHECK_EQ(n, SLICE / MIB - 1);
    CHECK_EQ(bytes_in_use(), 2 * SEGMENT_PAGE);
    CHECK_EQ(segment_own(&ours.slice, &before)[SLICE - 1], 0);
    CHECK_EQ(segment_own(&other.slice, &neighbour)[0], 'n');
    CHECK_EQ(segment_clear(segment_fd, SLICE, SEATS - 1, MIB), 0);
    CHECK_EQ(segment_clear(-1, SLICE, 1, MIB), -EBADF);
}

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    fd_close(&fd);
    return n == (ssize_t)strlen(text);
}

/* As root, or as one who is root in a namespace of users. */
static bool enter_own_mounts(void)
{
    char user[32];
    char group[32];
    (void)snprintf(user, sizeof user, "0 %u 1", (unsigned)getuid());
    (void)snprintf(group, sizeof group, "0 %u 1", (unsigned)getgid());
    if (unshare(CLONE_NEWNS) == 0)
        return true;
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && put("/proc/self/setgroups", "deny") &&
           put("/proc/self/uid_map", user) && put("/proc/self/gid_map", group);
}

/* On a file system with room for 16 pages: the real refusal, which is SIGBUS for who touches. */
static void take_more_than_there_is(void *arg)
{
    int *has_tried = arg;
    struct segment s;
    struct err err;
    if (!enter_own_mounts() || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/tmp", "tmpfs", 0, "size=64k") < 0)
        _exit(0);
    int fd = open("/tmp/segment", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    *has_tried = 1;
    struct segment_run run;
    struct segment_run more;
    char octet;
    if (fd < 0 || ftruncate(fd, (off_t)(2 * SLICE)) < 0 ||
        segment_map(fd, 2, SLICE, 0, &s, &err) < 0 || segment_take(&s.slice, 32768, 0, &run) < 0 ||
        segment_ready(&s.slice, &run, 0, 32768) < 0)
        _exit(1);
    memset(segment_own(&s.slice, &run), 'x', 32768);
    if (segment_take(&s.slice, 131072, 0, &more) < 0 ||
        segment_ready(&s.slice, &more, 0, 131072) != -ENOMEM)
        _exit(2);
    if (segment_copy(&s, (struct segment_ref){.seat = 1, .len = 1}, &octet) != -ENOMEM)
        _exit(3);
    segment_give(&s.slice, &more);
    _exit(segment_own(&s.slice, &run)[32767] == 'x' ? 0 : 4);
}

static void refused_memory_is_an_error_and_no_signal(void **state)
{
    (void)state;
    int *has_tried = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(has_tried != MAP_FAILED);
    CHECK_EQ(in_child(take_more_than_there_is, has_tried), 0);
    bool is_skipped = *has_tried == 0;
    CHECK_EQ(munmap(has_tried, 4096), 0);
    if (is_skipped)
        skip(); /* no user namespaces here */
}

/* ---- arenas ---- */

static void what_an_arena_holds_others_can_read(void **state)
{
    (void)state;
    struct arena_source source = segment_source(&ours.slice);
    struct segment_ref ref;
    struct arena arena;
    arena_init_from(&arena, 8000, &source);
    char *small = arena_strndup(&arena, "hello", 5);
    char *large = arena_alloc(&arena, MIB);
    CHECK(small && large);
    memset(large, 'l', MIB);
    CHECK(segment_find(&ours, large, MIB, &ref));
    CHECK_EQ(ref.seat, 1);
    CHECK_EQ(ref.len, MIB);
    CHECK_EQ(segment_at(&other, ref)[MIB - 1], 'l');
    CHECK(segment_find(&ours, small, 5, &ref));
    CHECK_BYTES(segment_at(&other, ref), 5, "hello", 5);
    CHECK(arena_alloc(&arena, SLICE) == NULL); /* full */
    arena_reset(&arena);
    CHECK_EQ(ours.slice.n_used, 2);
    arena_fini(&arena);
    CHECK_EQ(ours.slice.n_used, 0);
}

static void memory_of_one_s_own_has_a_reference_and_no_other(void **state)
{
    (void)state;
    struct segment_ref ref = {.seat = 77};
    char *base = ours.slice.base;
    CHECK(!segment_find(&ours, &ref, 1, &ref));
    CHECK(!segment_find(&ours, NULL, 0, &ref));
    CHECK(!segment_find(&ours, base - 1, 1, &ref));
    CHECK(!segment_find(&ours, base + SLICE, 1, &ref));
    CHECK(!segment_find(&ours, base + SLICE - 1, 2, &ref));
    CHECK(!segment_find(&ours, base, UINT64_MAX, &ref));
    CHECK(!segment_find(&ours, other.slice.base, 1, &ref));
    CHECK_EQ(ref.seat, 77);
    CHECK(segment_find(&ours, base, SLICE, &ref));
    CHECK(segment_find(&ours, base + 5, 7, &ref));
    CHECK(ref.at == 5 && ref.len == 7 && ref.seat == 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_one_writes_all_read_at_the_same_reference),
        TEST(a_process_writes_its_own_slice_and_no_other),
        TEST(what_is_for_reading_stays_so),
        TEST(a_mapping_stays_without_the_descriptor),
        TEST(nobody_can_change_its_size),
        TEST(what_is_not_the_segment_is_not_mapped),
        TEST(all_seats_with_the_default_slice_can_be_mapped),
        TEST(a_limit_on_files_is_an_error_with_a_reason),
        TEST(refused_address_space_is_an_error_with_a_reason),
        TEST(references_out_of_bounds_mean_nothing),
        TEST(copies_are_counted_and_lie_where_they_should),
        TEST(the_first_room_is_taken_and_found_again),
        TEST(a_full_slice_refuses_and_has_room_again),
        TEST(a_run_grows_where_it_lies_as_far_as_there_is_room),
        TEST(runs_that_grow_begin_at_stations),
        TEST(no_page_is_ever_two_runs),
        TEST(memory_comes_once_and_stays_for_a_steady_load),
        TEST(what_was_large_once_is_given_back),
        TEST(what_is_taken_is_never_shed),
        TEST(memory_that_the_kernel_filled_is_known),
        TEST(clearing_a_seat_gives_back_its_memory_part_by_part),
        TEST(refused_memory_is_an_error_and_no_signal),
        TEST(what_an_arena_holds_others_can_read),
        TEST(memory_of_one_s_own_has_a_reference_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
