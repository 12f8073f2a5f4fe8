/* ipc/msg.c: what may travel on a channel. Frames of every wrong size, magic, version, type,
 * direction and number of descriptors are refused, and what came with them is closed. */
#include "ipc/msg.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/harness/check.h"

static int ends[2]; /* of a channel: the test writes into 0 and reads from 1 */
static int some_fd;

static int setup(void **state)
{
    (void)state;
    some_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return some_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&ends[0]);
    fd_close(&ends[1]);
    fd_close(&some_fd);
    return 0;
}

static int count_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

static int receive(int is_master, struct msg *out_msg, size_t *out_n_fds)
{
    int fds[FD_PASS_MAX];
    *out_n_fds = 0;
    int rc = msg_receive(ends[1], is_master, out_msg, fds, out_n_fds);
    for (size_t i = 0; rc == 1 && i < *out_n_fds; i++) {
        CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        fd_close(&fds[i]);
    }
    return rc;
}

/* Sends octets as they are, with descriptors. Expects them refused and the descriptors closed. */
static void check_refused(const void *data, size_t len, size_t n_fds, int is_master)
{
    int fds[FD_PASS_MAX] = {some_fd, some_fd, some_fd, some_fd};
    struct msg msg;
    size_t n_received;
    int before = count_fds();
    CHECK_EQ(fd_send(ends[0], data, len, fds, n_fds), 0);
    CHECK_EQ(receive(is_master, &msg, &n_received), -EPROTO);
    CHECK_EQ(n_received, 0);
    CHECK_EQ(count_fds(), before);
}

/* The table of the header's comments: direction and descriptors. */
static const struct {
    enum msg_type type;
    int to_master;
    size_t fds_min, fds_max;
} rules[] = {
    {MSG_HELLO, 1, 0, 0},     {MSG_READY, 1, 0, 0},       {MSG_FAILED, 1, 0, 0},
    {MSG_FORKED, 1, 0, 0},    {MSG_FORK_FAILED, 1, 0, 0}, {MSG_FULL, 1, 0, 0},
    {MSG_DRAINED, 1, 0, 0},   {MSG_APP, 0, 0, 1},         {MSG_BOARD, 0, 1, 1},
    {MSG_FORK, 0, 1, 1},      {MSG_LISTEN, 0, 1, 1},      {MSG_UNLISTEN, 0, 0, 0},
    {MSG_START, 0, 0, 0},     {MSG_DRAIN, 0, 0, 0},       {MSG_STOP, 0, 0, 0},
    {MSG_REOPENED, 1, 0, 0},  {MSG_WORN, 1, 0, 0},        {MSG_LOGS, 0, 1, 2},
    {MSG_LEDGER, 0, 1, 1},    {MSG_RETIRE, 0, 0, 0},      {MSG_LOST, 1, 0, 0},
    {MSG_OVERDUE, 1, 0, 0},   {MSG_LET_GO, 1, 0, 0},      {MSG_DEADLY, 1, 0, 0},
    {MSG_SEGMENT, 0, 1, 2},   {MSG_POOL, 0, 1, 1},        {MSG_GONE, 0, 0, 0},
    {MSG_TASK_LOST, 0, 0, 0}, {MSG_LANES, 0, 0, 0},       {MSG_THREADS, 0, 0, 0},
    {MSG_DUMP, 0, 1, 1},
};

static void frames_go_one_way_with_the_descriptors_they_need(void **state)
{
    (void)state;
    int fds[FD_PASS_MAX] = {some_fd, some_fd, some_fd, some_fd};
    CHECK_EQ(sizeof rules / sizeof rules[0], MSG_TYPE_COUNT - 1);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        for (int is_master = 0; is_master < 2; is_master++) {
            for (size_t n_fds = 0; n_fds <= FD_PASS_MAX; n_fds++) {
                check_context("%s to %s with %zu descriptors", msg_names[rules[i].type],
                              is_master ? "master" : "child", n_fds);
                struct msg msg = msg_make(rules[i].type);
                size_t n_received;
                if (is_master != rules[i].to_master || n_fds < rules[i].fds_min ||
                    n_fds > rules[i].fds_max) {
                    check_refused(&msg, sizeof msg, n_fds, is_master);
                    continue;
                }
                CHECK_EQ(msg_send(ends[0], &msg, fds, n_fds), 0);
                CHECK_EQ(receive(is_master, &msg, &n_received), 1);
                CHECK_EQ(msg.type, rules[i].type);
                CHECK_EQ(n_received, n_fds);
            }
        }
    }
}

static void what_is_sent_arrives_unchanged(void **state)
{
    (void)state;
    struct msg sent = msg_make(MSG_FORKED);
    struct msg zero = {.magic = sent.magic, .version = sent.version, .type = sent.type};
    CHECK_BYTES(&sent, sizeof sent, &zero, sizeof zero); /* all else is zero */
    sent.seat = 7;
    sent.epoch = UINT32_MAX;
    sent.role = 2;
    sent.slot = -1;
    sent.pid = 12345;
    sent.value = INT64_MIN;
    memset(sent.text, 't', MSG_TEXT_MAX - 1);
    CHECK_EQ(msg_send(ends[0], &sent, NULL, 0), 0);
    struct msg received;
    size_t n_fds;
    CHECK_EQ(receive(1, &received, &n_fds), 1);
    CHECK_BYTES(&received, sizeof received, &sent, sizeof sent);
}

static void text_is_always_terminated(void **state)
{
    (void)state;
    struct msg msg = msg_make(MSG_FAILED);
    size_t n_fds;
    memset(msg.text, 't', MSG_TEXT_MAX);
    CHECK_EQ(msg_send(ends[0], &msg, NULL, 0), 0);
    CHECK_EQ(receive(1, &msg, &n_fds), 1);
    CHECK_EQ(strnlen(msg.text, MSG_TEXT_MAX), MSG_TEXT_MAX - 1);
}

static void frames_of_another_size_are_refused(void **state)
{
    (void)state;
    char octets[sizeof(struct msg) + 8];
    struct msg msg = msg_make(MSG_BOARD);
    memset(octets, 0, sizeof octets);
    memcpy(octets, &msg, sizeof msg);
    for (size_t len = 1; len <= sizeof octets; len++) {
        check_context("%zu octets", len);
        if (len != sizeof msg)
            check_refused(octets, len, 1, 0);
    }
}

static void frames_of_strangers_are_refused(void **state)
{
    (void)state;
    struct msg msg = msg_make(MSG_BOARD);
    for (int bit = 0; bit < 32; bit++) {
        struct msg bad = msg;
        bad.magic ^= 1U << bit;
        check_refused(&bad, sizeof bad, 1, 0);
    }
    for (int bit = 0; bit < 16; bit++) {
        struct msg bad = msg;
        bad.version = (uint16_t)(bad.version ^ 1U << bit);
        check_refused(&bad, sizeof bad, 1, 0);
    }
    static const uint16_t types[] = {0, MSG_TYPE_COUNT, MSG_TYPE_COUNT + 1, 255, 256, 65535};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct msg bad = msg;
        bad.type = types[i];
        check_refused(&bad, sizeof bad, 1, 0);
        check_refused(&bad, sizeof bad, 0, 1);
    }
}

/* More than fd_send() would send: straight from sendmsg(2). */
static void too_many_descriptors_are_closed(void **state)
{
    (void)state;
    enum { N = FD_PASS_MAX + 4 };
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(N * sizeof(int))];
    } control;
    struct msg msg = msg_make(MSG_BOARD);
    struct iovec part = {&msg, sizeof msg};
    memset(&control, 0, sizeof control);
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(N * sizeof(int));
    for (int i = 0; i < N; i++)
        memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &some_fd, sizeof(int));
    int before = count_fds();
    CHECK_EQ(sendmsg(ends[0], &header, 0), sizeof msg);
    size_t n_fds;
    CHECK_EQ(receive(0, &msg, &n_fds), -EPROTO);
    CHECK_EQ(count_fds(), before);
}

/* With no room for descriptors, a good frame is told from one that may have none, and from one that
 * is sent the wrong way. */
static void frame_whose_descriptors_have_no_room_is_told_from_a_bad_one(void **state)
{
    (void)state;
    static const struct {
        enum msg_type type;
        int is_master, rc;
    } cases[] = {{MSG_LISTEN, 0, -EMFILE}, {MSG_LOGS, 0, -EMFILE}, {MSG_STOP, 0, -EPROTO},
                 {MSG_LISTEN, 1, -EPROTO}, {MSG_FULL, 1, -EPROTO}, {MSG_FULL, 0, -EPROTO}};
    struct rlimit before;
    if (getenv("REMUDA_UNDER_VALGRIND"))
        skip(); /* it keeps limits of its own */
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
        struct msg msg = msg_make(cases[i].type), received = {0};
        size_t n_fds;
        msg.value = 7;
        CHECK_EQ(msg_send(ends[0], &msg, &some_fd, 1), 0);
        CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
        int rc = receive(cases[i].is_master, &received, &n_fds);
        CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
        check_context("%s", msg_names[cases[i].type]);
        CHECK_EQ(rc, cases[i].rc);
        CHECK_EQ(n_fds, 0);
        CHECK_EQ(received.value, rc == -EMFILE ? 7 : 0);
    }
}

static void nobody_waits_on_a_channel(void **state)
{
    (void)state;
    struct msg msg = msg_make(MSG_STOP);
    size_t n_fds;
    CHECK_EQ(receive(0, &msg, &n_fds), -EAGAIN);
    msg = msg_make(MSG_STOP);
    int rc = 0;
    unsigned n = 0;
    for (; rc == 0; n++) {
        CHECK(n < 1000000);
        rc = msg_send(ends[0], &msg, NULL, 0);
    }
    CHECK_EQ(rc, -EAGAIN); /* full */
    CHECK_EQ(receive(0, &msg, &n_fds), 1);
}

static void a_peer_that_is_gone_is_told_from_one_that_is_silent(void **state)
{
    (void)state;
    struct msg msg = msg_make(MSG_STOP);
    size_t n_fds;
    fd_close(&ends[0]);
    CHECK_EQ(receive(0, &msg, &n_fds), 0);
    CHECK_EQ(receive(0, &msg, &n_fds), 0);
    msg = msg_make(MSG_STOP);
    CHECK_EQ(msg_send(ends[1], &msg, NULL, 0), -EPIPE); /* and no SIGPIPE */
}

/* A worker that fails says why and dies without reading what was sent to it: the kernel reports the
 * reset in front of its last words. */
static void last_words_are_read_before_the_reset(void **state)
{
    (void)state;
    struct msg msg = msg_make(MSG_FAILED);
    size_t n_fds;
    memcpy(msg.text, "why", 4);
    CHECK_EQ(msg_send(ends[0], &msg, NULL, 0), 0);
    struct msg unread = msg_make(MSG_START);
    CHECK_EQ(msg_send(ends[1], &unread, NULL, 0), 0);
    fd_close(&ends[0]);
    CHECK_EQ(receive(1, &msg, &n_fds), 1);
    CHECK_TEXT(msg.text, "why");
    CHECK_EQ(receive(1, &msg, &n_fds), 0);
}

static void every_frame_has_a_name(void **state)
{
    (void)state;
    for (int type = 0; type < MSG_TYPE_COUNT; type++) {
        CHECK(msg_names[type] != NULL && msg_names[type][0]);
        for (int other = 0; other < type; other++)
            CHECK(strcmp(msg_names[type], msg_names[other]) != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_go_one_way_with_the_descriptors_they_need, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_sent_arrives_unchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(text_is_always_terminated, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_of_another_size_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_of_strangers_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_descriptors_are_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(frame_whose_descriptors_have_no_room_is_told_from_a_bad_one,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_waits_on_a_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_is_gone_is_told_from_one_that_is_silent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(last_words_are_read_before_the_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(every_frame_has_a_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
