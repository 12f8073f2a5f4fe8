/* Tests of server/pidfile.c. A lock belongs to an open file, so that this process can play both the
 * one who holds it and the one who asks. */
#include "server/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"

#undef fork /* tests start processes of their own; the ban is for the server's code */

static char folder[64];
static char path[96];
static struct pidfile file;
static struct err err;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/remuda-pidfile-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/pid", folder);
    file.fd = -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pidfile_close(&file);
    (void)unlink(path);
    return rmdir(folder); /* fails when a file under another name was left behind */
}

static void write_text(const char *text)
{
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static const char *read_text(void)
{
    static char text[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    fd_close(&fd);
    return text;
}

static void check_holds_our_pid(void)
{
    char expected[32];
    (void)snprintf(expected, sizeof expected, "%d\n", (int)getpid());
    assert_string_equal(read_text(), expected);
}

static void file_holds_the_pid_for_everybody_to_read(void **state)
{
    (void)state;
    struct stat st;
    mode_t before = umask(077);
    assert_int_equal(pidfile_open(&file, path, &err), 0);
    (void)umask(before);
    check_holds_our_pid();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    pidfile_close(&file);
    assert_int_equal(access(path, F_OK), -1);
    pidfile_close(&file);
}

static void file_that_somebody_holds_is_refused_with_his_pid(void **state)
{
    (void)state;
    struct pidfile second;
    char pid[32];
    assert_int_equal(pidfile_open(&file, path, &err), 0);
    assert_int_equal(pidfile_open(&second, path, &err), -EEXIST);
    assert_int_equal(second.fd, -1);
    (void)snprintf(pid, sizeof pid, "pid %d", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "remuda reload"));
    check_holds_our_pid();
}

/* After a reboot the number is any process's: here init's, and our own parent's. */
static void number_of_a_living_process_alone_means_nothing(void **state)
{
    (void)state;
    char pid[32];
    (void)snprintf(pid, sizeof pid, "%d\n", (int)getppid());
    const char *const stale[] = {"1\n", pid, "1", "", "  \n", "2147483647\n"};
    for (size_t i = 0; i < sizeof stale / sizeof stale[0]; i++) {
        write_text(stale[i]);
        assert_int_equal(pidfile_open(&file, path, &err), 0);
        check_holds_our_pid();
        pidfile_close(&file);
    }
}

/* Waits until the child has written its byte. */
static pid_t start_holder(void)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct pidfile theirs;
        struct err why;
        if (pidfile_open(&theirs, path, &why) < 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return pid;
}

static void file_of_a_killed_process_is_stale(void **state)
{
    (void)state;
    pid_t seen;
    pid_t pid = start_holder();
    assert_int_equal(pidfile_read(path, &seen, &err), 0);
    assert_int_equal(seen, pid);
    assert_int_equal(pidfile_open(&file, path, &err), -EEXIST);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(pidfile_read(path, &seen, &err), -ESRCH);
    assert_non_null(strstr(err.text, "stale"));
    assert_int_equal(pidfile_open(&file, path, &err), 0);
    check_holds_our_pid();
}

/* A path that was mistyped must not cost anybody a file. */
static void what_is_no_pid_file_is_left_alone(void **state)
{
    (void)state;
    static const char *const others[] = {"workers: 4\n", "12 monkeys\n", "-1\n", "12\n13\n",
                                         "123456789012345678901234567890123456789\n"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        write_text(others[i]);
        assert_int_equal(pidfile_open(&file, path, &err), -EINVAL);
        assert_non_null(strstr(err.text, "no pid file"));
        pidfile_sweep(path, 0);
        assert_string_equal(read_text(), others[i]);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(pidfile_open(&file, path, &err), -ELOOP);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pidfile_open(&file, path, &err), -EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(pidfile_open(&file, path, &err) < 0);
    assert_int_equal(rmdir(path), 0);
}

static void folder_that_is_missing_is_named(void **state)
{
    (void)state;
    char missing[128];
    (void)snprintf(missing, sizeof missing, "%s/none/pid", folder);
    assert_int_equal(pidfile_open(&file, missing, &err), -ENOENT);
    assert_non_null(strstr(err.text, missing));
    assert_int_equal(file.fd, -1);
}

static void file_of_somebody_else_is_not_removed(void **state)
{
    (void)state;
    assert_int_equal(pidfile_open(&file, path, &err), 0);
    assert_int_equal(unlink(path), 0);
    write_text("1\n");
    pidfile_close(&file);
    assert_string_equal(read_text(), "1\n");
}

static void renamed_over_a_stale_file_it_is_held_and_removed_there(void **state)
{
    (void)state;
    char second[128];
    struct pidfile other;
    pid_t pid;
    (void)snprintf(second, sizeof second, "%s.2", path);
    assert_int_equal(pidfile_open(&file, second, &err), 0);
    write_text("1\n");
    assert_int_equal(pidfile_rename(&file, path, &err), 0);
    assert_string_equal(file.path, path);
    assert_int_equal(access(second, F_OK), -1);
    check_holds_our_pid();
    assert_int_equal(pidfile_read(path, &pid, &err), 0);
    assert_int_equal(pid, getpid());
    assert_int_equal(pidfile_open(&other, path, &err), -EEXIST);
    pidfile_close(&file);
    assert_int_equal(access(path, F_OK), -1);
}

static void relative_path_outlives_a_change_of_folder(void **state)
{
    (void)state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(pidfile_open(&file, "pid", &err), 0);
    assert_int_equal(chdir(before), 0);
    assert_string_equal(file.path, path);
    pidfile_close(&file);
    assert_int_equal(access(path, F_OK), -1);
}

static void reader_is_told_what_is_there(void **state)
{
    (void)state;
    pid_t pid = 77;
    assert_int_equal(pidfile_read(path, &pid, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
    write_text("1\n");
    assert_int_equal(pidfile_read(path, &pid, &err), -ESRCH);
    write_text("one\n");
    assert_int_equal(pidfile_read(path, &pid, &err), -EINVAL);
    assert_int_equal(pid, 77);
}

static void only_a_stale_file_is_swept(void **state)
{
    (void)state;
    assert_int_equal(pidfile_open(&file, path, &err), 0);
    pidfile_sweep(path, 0);
    check_holds_our_pid();
    pidfile_close(&file);
    write_text("1\n");
    pidfile_sweep(path, 0);
    assert_int_equal(access(path, F_OK), -1);
    pidfile_sweep(path, 0);
}

/* Who was killed between fork(2) and the child's first steps leaves it to the child. */
static void file_of_a_dead_process_goes_though_its_child_holds_it(void **state)
{
    (void)state;
    assert_int_equal(pidfile_open(&file, path, &err), 0);
    pidfile_sweep(path, getppid());
    check_holds_our_pid();
    pidfile_sweep(path, getpid()); /* as if it were dead, and this its child */
    assert_int_equal(access(path, F_OK), -1);
}

/* Starts when the gate closes, tells whether it won, and holds what it has until it is killed. */
static pid_t start_rival(const int gate[2], const int won[2])
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    struct pidfile theirs;
    struct err why;
    char byte;
    (void)close(gate[1]);
    if (read(gate[0], &byte, 1) != 0)
        _exit(1);
    int rc = pidfile_open(&theirs, path, &why);
    if (write(won[1], rc == 0 ? "w" : rc == -EEXIST ? "l" : "?", 1) != 1)
        _exit(1);
    for (;;)
        (void)pause();
}

/* All of them find the same stale file, or none, at the same moment. */
static void of_many_that_start_at_once_one_wins(void **state)
{
    (void)state;
    enum { N = 12, ROUNDS = 10 };
    for (int round = 0; round < ROUNDS; round++) {
        int gate[2];
        int won[2];
        pid_t pids[N];
        char outcome;
        int winners = 0;
        if (round % 2 == 0)
            write_text("1\n");
        assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
        assert_int_equal(pipe2(won, O_CLOEXEC), 0);
        for (int i = 0; i < N; i++)
            pids[i] = start_rival(gate, won);
        (void)close(gate[0]);
        (void)close(gate[1]);
        for (int i = 0; i < N; i++) {
            assert_int_equal(read(won[0], &outcome, 1), 1);
            assert_int_not_equal(outcome, '?');
            winners += outcome == 'w';
        }
        for (int i = 0; i < N; i++) {
            assert_int_equal(kill(pids[i], SIGKILL), 0);
            assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
        }
        (void)close(won[0]);
        (void)close(won[1]);
        assert_int_equal(winners, 1);
        pidfile_sweep(path, 0);
        assert_int_equal(access(path, F_OK), -1);
    }
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(file_holds_the_pid_for_everybody_to_read),
        CASE(file_that_somebody_holds_is_refused_with_his_pid),
        CASE(number_of_a_living_process_alone_means_nothing),
        CASE(file_of_a_killed_process_is_stale),
        CASE(what_is_no_pid_file_is_left_alone),
        CASE(folder_that_is_missing_is_named),
        CASE(file_of_somebody_else_is_not_removed),
        CASE(renamed_over_a_stale_file_it_is_held_and_removed_there),
        CASE(relative_path_outlives_a_change_of_folder),
        CASE(reader_is_told_what_is_there),
        CASE(only_a_stale_file_is_swept),
        CASE(file_of_a_dead_process_goes_though_its_child_holds_it),
        CASE(of_many_that_start_at_once_one_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
