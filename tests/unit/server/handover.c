/* Tests of server/handover.c: sockets of this process, passed to itself. */
#include "server/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/listen.h"

#define N_SLOTS 3

static char folder[64];
static char path[96];
static char unix_text[128];
static struct settings settings;
static struct setting_bind binds[2];
static struct listen_set set;
static struct listen_set taken;
static struct listen_set admin;
static struct listen_set taken_admin;
static struct handover about;
static struct err err;
static int talk[2];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/remuda-handover-XXXXXX");
    if (!mkdtemp(folder) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/a socket", folder);
    (void)snprintf(unix_text, sizeof unix_text, "unix:%s", path);
    binds[0] = (struct setting_bind){
        .kind = SETTING_BIND_TCP, .text = "127.0.0.1:0", .host = "127.0.0.1", .port = 0};
    binds[1] = (struct setting_bind){.kind = SETTING_BIND_UNIX, .text = unix_text, .path = path};
    settings = (struct settings){.backlog = 16, .bind = {.items = binds, .n = 2}};
    log_init(STDERR_FILENO, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    return listen_open(&settings, N_SLOTS, &set, &err);
}

static int tear_down(void **state)
{
    (void)state;
    listen_close(&taken);
    listen_close(&taken_admin);
    listen_close(&set);
    listen_close(&admin);
    fd_close(&talk[0]);
    fd_close(&talk[1]);
    (void)unlink(path);
    return rmdir(folder);
}

/* What an environment would hold behind the name; to be freed. */
static char *print(void)
{
    const struct handover given = {.from = getpid(), .talk_fd = talk[1], .generation = 41};
    char *variable = handover_print(&given, &set, &admin, &err);
    assert_non_null(variable);
    assert_int_equal(strncmp(variable, "REMUDA_UPGRADE=", 15), 0);
    memmove(variable, variable + 15, strlen(variable + 15) + 1);
    return variable;
}

static void what_is_printed_is_read(void **state)
{
    (void)state;
    char *text = print();
    assert_int_equal(fcntl(set.items[0].fd, F_SETFD, 0), 0); /* as behind an exec */
    assert_int_equal(handover_parse(text, &about, &taken, &taken_admin, &err), 0);
    free(text);
    assert_int_equal(about.from, getpid());
    assert_int_equal(about.talk_fd, talk[1]);
    assert_int_equal(about.generation, 41);
    assert_int_equal(taken.n, set.n);
    assert_int_equal(taken.n_slots, N_SLOTS);
    assert_int_equal(taken.n_addresses, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const struct listen_address *theirs = &set.addresses[i];
        const struct listen_address *ours = &taken.addresses[i];
        assert_string_equal(ours->text, theirs->text);
        assert_string_equal(ours->bind, theirs->bind);
        assert_int_equal(ours->where_len, theirs->where_len);
        assert_memory_equal(&ours->where, &theirs->where, theirs->where_len);
        assert_true(ours->device == theirs->device && ours->inode == theirs->inode);
        assert_true(ours->is_shared && ours->is_new);
    }
    assert_string_equal(taken.addresses[1].path, path);
    for (uint32_t id = 0; id < set.n; id++) {
        assert_int_equal(taken.items[id].fd, set.items[id].fd);
        assert_int_equal(taken.items[id].slot, set.items[id].slot);
        assert_int_equal(fcntl(taken.items[id].fd, F_GETFD), FD_CLOEXEC);
    }
    listen_close(&taken);
    assert_int_equal(access(path, F_OK), 0); /* the other one goes on with it */
}

static void sockets_of_the_admin_process_are_told_apart(void **state)
{
    (void)state;
    struct settings only = settings;
    only.bind.n = 1;
    assert_int_equal(listen_open(&only, 1, &admin, &err), 0);
    char *text = print();
    assert_int_equal(handover_parse(text, &about, &taken, &taken_admin, &err), 0);
    free(text);
    assert_int_equal(taken.n_addresses, 2);
    assert_int_equal(taken_admin.n_addresses, 1);
    assert_int_equal(taken_admin.n, 1);
    assert_int_equal(taken_admin.items[0].fd, admin.items[0].fd);
    assert_string_equal(taken_admin.addresses[0].text, admin.addresses[0].text);
}

static void addresses_that_leave_are_not_passed(void **state)
{
    (void)state;
    set.addresses[1].is_leaving = true;
    char *text = print();
    assert_null(strstr(text, "unix:"));
    assert_int_equal(handover_parse(text, &about, &taken, &taken_admin, &err), 0);
    free(text);
    assert_int_equal(taken.n_addresses, 1);
    assert_int_equal(taken.n, N_SLOTS);
}

static void sockets_of_systemd_stay_systemds(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        free(set.addresses[i].bind);
        free(set.addresses[i].path);
        set.addresses[i].bind = set.addresses[i].path = NULL;
    }
    char *text = print();
    assert_int_equal(handover_parse(text, &about, &taken, &taken_admin, &err), 0);
    free(text);
    assert_true(listen_is_passed(&taken));
    listen_share(&taken, false);
    assert_true(listen_is_shared(&taken));
}

static void path_that_breaks_lines_is_refused(void **state)
{
    (void)state;
    const struct handover given = {.from = 1, .talk_fd = talk[1]};
    set.addresses[1].path[3] = '\n';
    assert_null(handover_print(&given, &set, &admin, &err));
    assert_non_null(strstr(err.text, "line feed"));
    set.addresses[1].path[3] = 'p';
}

static void check_refused(const char *text, const char *why)
{
    struct err reason = {0};
    assert_true(handover_parse(text, &about, &taken, &taken_admin, &reason) < 0);
    if (!strstr(reason.text, why))
        fail_msg("\"%s\" was expected in: %s", why, reason.text);
    assert_int_equal(taken.n, 0);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    char head[64];
    static const char *const bodies[] = {
        "nonsense\n",
        "address http://127.0.0.1:80\n",
        "address http://127.0.0.1:80\nbind a\n",
        "address http://127.0.0.1:80\nbind a\nsockets x\n",
        "address http://127.0.0.1:80\nbind a\nsockets 1:0\n",
        "address http://127.0.0.1:80\nbind a\nsockets 99999999999:0\n",
        "address http://127.0.0.1:80\nbind a\nfile x\nsockets 3:0\n",
        "address http://127.0.0.1:80\nbind a\nsockets 3:",
    };
    check_refused("", "no version");
    check_refused("one\n", "no version");
    check_refused("2 1 4 1 bind\n", "in another way");
    check_refused("1 0 4 1 bind\n", "incomplete");
    check_refused("1 1 4\n", "incomplete");
    check_refused("1 1 987654 1 bind\n", "not open");
    (void)snprintf(head, sizeof head, "1 1 %d 1 bind\n", talk[1]);
    check_refused(head, "no socket in it");
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "%s%s", head, bodies[i]);
        check_refused(text, "REMUDA_UPGRADE");
    }
}

/* Each descriptor must be what is said of it. */
static void descriptors_are_checked(void **state)
{
    (void)state;
    char text[512];
    const char *address = set.addresses[0].text;
    const char *const format = "1 1 %d 1 bind\naddress %s\nbind a\nsockets %d:%d\n";
    (void)snprintf(text, sizeof text, format, talk[1], address, 987654, 0);
    check_refused(text, "not open");
    (void)snprintf(text, sizeof text, format, talk[1], address, talk[1], 0);
    check_refused(text, "is a");
    (void)snprintf(text, sizeof text, format, talk[1], "http://127.0.0.1:1", set.items[0].fd, 0);
    check_refused(text, "and not on http://127.0.0.1:1");
    (void)snprintf(text, sizeof text, format, talk[1], address, set.items[0].fd, LISTEN_SLOTS_MAX);
    check_refused(text, "slot");
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_printed_is_read),
        CASE(sockets_of_the_admin_process_are_told_apart),
        CASE(addresses_that_leave_are_not_passed),
        CASE(sockets_of_systemd_stay_systemds),
        CASE(path_that_breaks_lines_is_refused),
        CASE(nonsense_is_refused),
        CASE(descriptors_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
