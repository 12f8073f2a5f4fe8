/* ipc/spawn.c: what a child starts with, whose child it is, and that nobody outlives the master.
 * Each test plays master in a process of its own, since subreapers and death signals are for life;
 * what the children find comes back through a pipe. */
#include "ipc/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "tests/harness/check.h"
#include "tests/harness/patience.h"

#undef fork

#define EXIT_ORPHAN 70
#define STAY_S 120 /* whoever should have been killed long before ends by itself */

/* What a child finds when it starts. */
struct finding {
    pid_t pid;
    pid_t parent;
    int death_signal;
    int n_open; /* descriptors but the standard three, its log, its channel, and /proc's own */
    bool is_masked;
    bool is_handled; /* a signal has not its default action */
    unsigned epoch;
    enum role role;
};

static int report[2]; /* children write findings; its write end is their channel */

static int setup(void **state)
{
    (void)state;
    return pipe2(report, O_CLOEXEC) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&report[0]);
    fd_close(&report[1]);
    return 0;
}

static void on_signal(int number)
{
    (void)number;
}

/* Descriptors open here that are none of the heritage's. Those beyond the limit are valgrind's. */
static int count_others(const struct heritage *h)
{
    int n = 0;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -1;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return -1;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        int fd = atoi(entry->d_name);
        n += entry->d_name[0] != '.' && fd > 2 && fd != h->channel_fd && fd != h->log_fd &&
             fd != h->access_fd && fd != dirfd(dir) && (rlim_t)fd < limit.rlim_cur;
    }
    (void)closedir(dir);
    return n;
}

static void find_out(const struct heritage *h, struct finding *out)
{
    sigset_t mask;
    *out =
        (struct finding){.pid = getpid(), .parent = getppid(), .epoch = h->epoch, .role = h->role};
    (void)prctl(PR_GET_PDEATHSIG, &out->death_signal);
    out->n_open = count_others(h);
    (void)sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number < 32; number++) {
        struct sigaction action;
        out->is_masked |= sigismember(&mask, number);
        out->is_handled |= sigaction(number, NULL, &action) == 0 && action.sa_handler == on_signal;
    }
}

_Noreturn static void main_reports(const struct heritage *h)
{
    struct finding finding;
    find_out(h, &finding);
    _exit(write(h->channel_fd, &finding, sizeof finding) == sizeof finding ? 0 : 1);
}

_Noreturn static void main_stays(const struct heritage *h)
{
    struct finding finding;
    find_out(h, &finding);
    if (write(h->channel_fd, &finding, sizeof finding) != sizeof finding)
        _exit(1);
    (void)alarm(STAY_S);
    for (;;)
        (void)pause();
}

static void main_returns(const struct heritage *h)
{
    (void)h;
}

static struct heritage heritage_of_me(void)
{
    return (struct heritage){.role = ROLE_WEB,
                             .epoch = 5,
                             .master_pid = getpid(),
                             .channel_fd = report[1],
                             .log_fd = STDERR_FILENO,
                             .access_fd = -1};
}

/* The loader of these tests: makes one grandchild, reports itself, and stays or goes. */
static spawn_main grandchild_main = main_reports;

_Noreturn static void main_loader(const struct heritage *h)
{
    struct err err;
    pid_t pid = 0;
    struct finding finding;
    find_out(h, &finding);
    int rc = spawn_grandchild(h, grandchild_main, &pid, &err);
    if (rc < 0)
        _exit(-rc);
    finding.pid = pid; /* whom it has made */
    if (write(h->channel_fd, &finding, sizeof finding) != sizeof finding)
        _exit(1);
    (void)alarm(STAY_S);
    for (;;)
        (void)pause();
}

/* Runs `play` in a process that is nobody's but this test's, and waits for its end. A check that
 * fails there ends it with a status that is not 0. */
static void play_master(int (*play)(void))
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(play());
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_SAYING(status == 0, "the master of this test failed: status %x", (unsigned)status);
}

/* For use inside of play_master(), where a failing check must not jump. */
#define WANT(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);   \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static bool read_finding(struct finding *out)
{
    return patience_poll(report[0], POLLIN, patience_until(PATIENCE_MS)) &&
           read(report[0], out, sizeof *out) == sizeof *out;
}

/* Waits for a child's end; its exit status, 128 + signal, -errno. */
static int end_of(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid)
        return -errno;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- a child ---- */

static int play_child(void)
{
    struct err err;
    struct heritage heritage = heritage_of_me();
    struct finding found;
    pid_t pid;
    sigset_t all;
    int null = open("/dev/null", O_RDONLY); /* not close-on-exec, and in several places */
    WANT(null > 2 && dup2(null, 60) == 60 && dup2(null, 200) == 200 && dup2(null, 201) == 201);
    WANT(dup2(report[1], 100) == 100);
    heritage.channel_fd = 100;
    (void)signal(SIGUSR1, on_signal);
    (void)signal(SIGTERM, on_signal);
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    WANT(spawn_child(&heritage, main_reports, &pid, &err) == 0);
    WANT(read_finding(&found));
    WANT(end_of(pid) == 0);
    WANT(found.pid == pid && found.parent == getpid());
    WANT(found.n_open == 0);
    WANT(!found.is_masked && !found.is_handled);
    WANT(found.death_signal == SIGKILL);
    WANT(found.epoch == 5 && found.role == ROLE_WEB);
    WANT(fcntl(200, F_GETFD) >= 0); /* the parent's are untouched */
    WANT(spawn_child(&heritage, main_returns, &pid, &err) == 0);
    return end_of(pid) == EXIT_FAILURE ? 0
                                       : 1; /* a main that returns ends the child all the same */
}

static void a_child_starts_with_a_clean_slate(void **state)
{
    (void)state;
    play_master(play_child);
}

/* A log, an access log and a channel in any order are kept, and closed ones are no trouble. */
static int play_kept(void)
{
    static const int order[][3] = {
        {80, 90, 100}, {100, 90, 80}, {90, 80, 100}, {3, 4, 5}, {300, 3, -1}};
    struct err err;
    struct finding found;
    int null = open("/dev/null", O_RDONLY);
    int channel = dup2(report[1], 500);
    WANT(null >= 0 && channel == 500 && dup2(report[0], 501) == 501);
    fd_close(&report[0]);
    fd_close(&report[1]);
    report[0] = 501;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        pid_t pid;
        for (int fd = 3; fd < 320; fd++)
            WANT(dup2(STDIN_FILENO, fd) == fd);
        struct heritage heritage = heritage_of_me();
        heritage.channel_fd = order[i][0];
        heritage.log_fd = order[i][1];
        heritage.access_fd = order[i][2];
        WANT(dup2(channel, heritage.channel_fd) == heritage.channel_fd);
        WANT(spawn_child(&heritage, main_reports, &pid, &err) == 0);
        WANT(read_finding(&found));
        WANT(end_of(pid) == 0);
        WANT(found.n_open == 0);
    }
    return 0;
}

static void a_child_keeps_log_and_channel_and_nothing_else(void **state)
{
    (void)state;
    play_master(play_kept);
}

/* ---- a grandchild ---- */

static int play_grandchild(void)
{
    struct err err;
    struct heritage heritage = heritage_of_me();
    struct finding first, second;
    pid_t loader;
    WANT(spawn_adopt_orphans() == 0);
    grandchild_main = main_reports;
    WANT(spawn_child(&heritage, main_loader, &loader, &err) == 0);
    WANT(read_finding(&first) && read_finding(&second));
    WANT(first.pid == second.pid);                               /* one made it, the other is it */
    WANT(first.parent == getpid() && second.parent == getpid()); /* adopted */
    WANT(first.death_signal == SIGKILL && second.death_signal == SIGKILL);
    WANT(first.n_open == 0 && second.n_open == 0);
    WANT(end_of(first.pid) == 0); /* so the master can wait for it */
    WANT(kill(loader, SIGKILL) == 0);
    WANT(end_of(loader) == 128 + SIGKILL);
    return waitpid(-1, NULL, 0) < 0 && errno == ECHILD ? 0 : 1; /* no intermediate is left over */
}

static void a_grandchild_is_the_masters_child(void **state)
{
    (void)state;
    play_master(play_grandchild);
}

static int play_loader_dies(void)
{
    struct err err;
    struct heritage heritage = heritage_of_me();
    struct finding found;
    pid_t loader;
    WANT(spawn_adopt_orphans() == 0);
    grandchild_main = main_stays;
    WANT(spawn_child(&heritage, main_loader, &loader, &err) == 0);
    WANT(read_finding(&found) && read_finding(&found));
    WANT(kill(loader, SIGKILL) == 0);
    WANT(end_of(loader) == 128 + SIGKILL);
    WANT(waitpid(found.pid, NULL, WNOHANG) == 0); /* workers outlive their loader */
    WANT(kill(found.pid, SIGTERM) == 0);
    return end_of(found.pid) == 128 + SIGTERM ? 0 : 1;
}

static void a_grandchild_outlives_its_loader(void **state)
{
    (void)state;
    play_master(play_loader_dies);
}

/* ---- the master dies ---- */

static int play_dying_master(void)
{
    struct err err;
    struct heritage heritage = heritage_of_me();
    struct finding found;
    pid_t loader, child;
    WANT(spawn_adopt_orphans() == 0);
    grandchild_main = main_stays;
    WANT(spawn_child(&heritage, main_loader, &loader, &err) == 0);
    WANT(spawn_child(&heritage, main_stays, &child, &err) == 0);
    for (int i = 0; i < 3; i++)
        WANT(read_finding(&found));
    (void)kill(getpid(), SIGKILL);
    return 1;
}

/* All of them hold the pipe's write end: its end of file is the death of the last. */
static void nobody_outlives_the_master(void **state)
{
    (void)state;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(play_dying_master());
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    fd_close(&report[1]);
    CHECK(patience_poll(report[0], POLLIN, patience_until(PATIENCE_MS)));
    char octet;
    CHECK_EQ(read(report[0], &octet, 1), 0);
}

/* Who comes up when its master is gone already ends by itself: its main is never called. */
static int play_orphans(void)
{
    struct err err;
    struct heritage heritage = heritage_of_me();
    struct finding found;
    pid_t pid;
    WANT(spawn_adopt_orphans() == 0);
    heritage.master_pid = getppid(); /* of whom these are no children */
    WANT(spawn_child(&heritage, main_reports, &pid, &err) == 0);
    WANT(end_of(pid) == EXIT_ORPHAN);
    WANT(spawn_grandchild(&heritage, main_reports, &pid, &err) == 0);
    WANT(end_of(pid) == EXIT_ORPHAN);
    struct pollfd poll_fd = {.fd = report[0], .events = POLLIN};
    WANT(poll(&poll_fd, 1, 0) == 0);
    heritage.master_pid = getpid();
    WANT(spawn_grandchild(&heritage, main_reports, &pid, &err) == 0); /* the counter-test */
    WANT(read_finding(&found) && found.pid == pid);
    return end_of(pid) == 0 ? 0 : 1;
}

static void a_child_without_its_master_ends_before_its_main(void **state)
{
    (void)state;
    play_master(play_orphans);
}

/* ---- what can fail ---- */

#ifdef REMUDA_DEBUG
static int count_fds(void)
{
    struct heritage nothing = {.channel_fd = -1, .log_fd = -1, .access_fd = -1};
    return count_others(&nothing);
}

static const char *plan; /* faults of the next play */

static int play_refused(void)
{
    struct err err = {0};
    struct heritage heritage = heritage_of_me();
    pid_t pid = 4711;
    WANT(setenv("REMUDA_FAULT", plan, 1) == 0);
    WANT(spawn_adopt_orphans() == 0);
    int before = count_fds();
    int rc = strstr(plan, ":1:") || strstr(plan, "ENOMEM")
                 ? spawn_grandchild(&heritage, main_reports, &pid, &err)
                 : spawn_child(&heritage, main_reports, &pid, &err);
    WANT(rc == (strstr(plan, "ENOMEM") ? -ENOMEM : -EAGAIN));
    WANT(err.code == -rc && strstr(err.text, "fork"));
    WANT(pid == 4711);
    WANT(count_fds() == before);
    WANT(waitpid(-1, NULL, 0) < 0 && errno == ECHILD); /* nobody is left */
    return 0;
}

static void a_fork_that_is_refused_is_told_and_leaves_nothing(void **state)
{
    (void)state;
    static const char *const plans[] = {
        "spawn.fork:EAGAIN",     /* of a child */
        "spawn.fork:ENOMEM",     /* of the intermediate */
        "spawn.fork:EAGAIN:1:9", /* of the grandchild, by the intermediate */
    };
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        plan = plans[i];
        play_master(play_refused);
    }
}
#endif

static int play_no_pipes(void)
{
    struct err err = {0};
    struct heritage heritage = heritage_of_me();
    pid_t pid;
    struct rlimit none;
    WANT(getrlimit(RLIMIT_NOFILE, &none) == 0);
    none.rlim_cur = 5;
    for (int fd = 3; fd < 5; fd++)
        WANT(fcntl(fd, F_GETFD) >= 0 || dup2(STDIN_FILENO, fd) == fd);
    WANT(setrlimit(RLIMIT_NOFILE, &none) == 0);
    WANT(spawn_grandchild(&heritage, main_reports, &pid, &err) == -EMFILE);
    WANT(strstr(err.text, "pipe"));
    return 0;
}

static void a_pipe_that_is_refused_is_told(void **state)
{
    (void)state;
    play_master(play_no_pipes);
}

/* ---- threads ---- */

/* Runs a program of another name and reads what it writes to the report, to its end. */
static int run_program(const char *path, const char *script, const char *folder, char out[512])
{
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script,
                    NULL};
    char *environment[] = {(char *)(uintptr_t) "WORD=given", NULL};
    pid_t pid;
    struct err err;
    int status;
    size_t len = 0;
    const struct spawn_program program = {.path = path,
                                          .argv = argv,
                                          .environment = environment,
                                          .folder = folder,
                                          .kept_fds = &report[1],
                                          .n_kept = 1,
                                          .report_fd = report[1]};
    CHECK_EQ(spawn_program(&program, &pid, &err), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    fd_close(&report[1]);
    for (ssize_t n = 1; n > 0; len += (size_t)n)
        CHECK((n = read(report[0], out + len, 511 - len)) >= 0);
    out[len] = '\0';
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_program_gets_what_it_is_given_and_nothing_else(void **state)
{
    (void)state;
    char out[512];
    char expected[64];
    char script[256];
    int stray = open("/dev/null", O_RDONLY); /* not close-on-exec, by somebody's mistake */
    CHECK(stray > STDERR_FILENO);
    (void)snprintf(script, sizeof script,
                   "echo $WORD $HOME >&%d; pwd >&%d; for n in 3 4 5 6 7 8 9; do "
                   "if [ -e /proc/$$/fd/$n ]; then echo $n >&%d; fi; done",
                   report[1], report[1], report[1]);
    (void)snprintf(expected, sizeof expected, "given\n/\n%d\n", report[1]);
    CHECK_EQ(run_program("/bin/sh", script, "/", out), 0);
    CHECK_TEXT(out, expected);
    (void)close(stray);
}

static void a_program_that_cannot_be_run_says_so(void **state)
{
    (void)state;
    char out[512];
    CHECK_EQ(run_program("/nonexistent/program", "", "/", out), 127);
    CHECK_TEXT(out, "failed cannot run /nonexistent/program: No such file or directory");
}

static void a_folder_that_is_gone_is_named(void **state)
{
    (void)state;
    char out[512];
    CHECK_EQ(run_program("/bin/sh", "", "/nonexistent", out), 127);
    CHECK_TEXT(out, "failed cannot enter /nonexistent: No such file or directory");
}

static void *wait_for_end(void *pipe_fd)
{
    char octet;
    (void)!read(*(int *)pipe_fd, &octet, 1);
    return NULL;
}

static void threads_are_counted(void **state)
{
    (void)state;
    int go[2];
    pthread_t threads[2];
    int before = spawn_count_threads();
    CHECK(before >= 1);
    CHECK_EQ(pipe2(go, O_CLOEXEC), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_for_end, &go[0]), 0);
    CHECK_EQ(spawn_count_threads(), before + 2);
    fd_close(&go[1]);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    fd_close(&go[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_child_starts_with_a_clean_slate, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_keeps_log_and_channel_and_nothing_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_grandchild_is_the_masters_child, setup, teardown),
        cmocka_unit_test_setup_teardown(a_grandchild_outlives_its_loader, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_outlives_the_master, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_without_its_master_ends_before_its_main, setup,
                                        teardown),
#ifdef REMUDA_DEBUG
        cmocka_unit_test_setup_teardown(a_fork_that_is_refused_is_told_and_leaves_nothing, setup,
                                        teardown),
#endif
        cmocka_unit_test_setup_teardown(a_pipe_that_is_refused_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_program_gets_what_it_is_given_and_nothing_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_program_that_cannot_be_run_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_gone_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_are_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
