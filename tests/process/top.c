/* `remuda top` on a terminal of its own (a pseudo-terminal): what it draws, what keys do, and that
 * the terminal is as before on every way out. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#undef fork

struct screen {
    int fd; /* our end */
    pid_t pid;
    struct termios before;
    char text[1 << 18]; /* everything that was written, escapes and all */
    size_t n;
    size_t seen; /* a wait has found what is before */
};

static struct screen screen;

static void set_size(unsigned short columns, unsigned short rows)
{
    struct winsize size = {.ws_col = columns, .ws_row = rows};
    CHECK(ioctl(screen.fd, TIOCSWINSZ, &size) == 0);
}

_Noreturn static void become_top(const struct server *s, const char *slave, const char *kind)
{
    char variable[128], term[64];
    int fd;
    (void)snprintf(variable, sizeof variable, "REMUDA_CONTROL_SOCKET=%s", control_socket(s));
    (void)snprintf(term, sizeof term, "TERM=%s", kind);
    if (setsid() < 0 || (fd = open(slave, O_RDWR)) < 0 || ioctl(fd, TIOCSCTTY, 0) < 0 ||
        dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir(s->folder) < 0)
        _exit(126);
    (void)putenv(variable);
    (void)putenv(term);
    (void)unsetenv("NO_COLOR");
    (void)execl(REMUDA_BINARY, REMUDA_BINARY, "top", "--interval", "100ms", (char *)NULL);
    _exit(127);
}

static void open_top(const struct server *s, unsigned short columns, unsigned short rows,
                     const char *kind)
{
    screen = (struct screen){.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    CHECK(screen.fd >= 0 && grantpt(screen.fd) == 0 && unlockpt(screen.fd) == 0);
    set_size(columns, rows);
    CHECK(tcgetattr(screen.fd, &screen.before) == 0);
    const char *slave = ptsname(screen.fd);
    CHECK(slave != NULL);
    (void)fflush(NULL);
    screen.pid = fork();
    CHECK(screen.pid >= 0);
    if (screen.pid == 0)
        become_top(s, slave, kind);
}

static void press(const char *keys)
{
    CHECK_EQ(write(screen.fd, keys, strlen(keys)), strlen(keys));
}

/* Reads what is there. Returns false: the terminal's other end is closed */
static bool take(void)
{
    struct pollfd look = {.fd = screen.fd, .events = POLLIN};
    while (poll(&look, 1, 0) > 0) {
        if (screen.n + 4096 > sizeof screen.text) { /* old frames are of no interest */
            memmove(screen.text, screen.text + screen.n / 2, screen.n - screen.n / 2);
            screen.n -= screen.n / 2;
            screen.seen = 0;
        }
        ssize_t n = read(screen.fd, screen.text + screen.n, 4096);
        if (n <= 0)
            return false;
        screen.n += (size_t)n;
        screen.text[screen.n] = '\0';
    }
    return true;
}

/* Waits until something new on the screen has this text. */
static void expect(const char *text)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        bool is_open = take();
        const char *at = strstr(screen.text + screen.seen, text);
        if (at) {
            screen.seen = (size_t)(at - screen.text) + strlen(text);
            return;
        }
        CHECK_SAYING(is_open && patience_turn(deadline), "top never shows \"%s\": %.2000s", text,
                     screen.n > 2000 ? screen.text + screen.n - 2000 : screen.text);
    }
}

static int wait_end(void)
{
    int status = 0;
    uint64_t deadline = patience_until(PATIENCE_MS);
    pid_t pid;
    while ((pid = waitpid(screen.pid, &status, WNOHANG)) == 0) {
        (void)take();
        CHECK_SAYING(patience_turn(deadline), "top does not end");
    }
    CHECK_EQ(pid, screen.pid);
    return status;
}

/* The screen, the cursor, wrapping and the modes of the terminal are as they were. */
static void check_restored(void)
{
    struct termios after;
    (void)take();
    CHECK(tcgetattr(screen.fd, &after) == 0);
    CHECK_EQ(after.c_lflag, screen.before.c_lflag);
    CHECK_EQ(after.c_iflag, screen.before.c_iflag);
    const char *enter = NULL, *leave = NULL;
    for (const char *at = screen.text; (at = strstr(at, "\033[?1049")); at++)
        *(at[7] == 'h' ? &enter : &leave) = at;
    CHECK(leave != NULL && (!enter || leave > enter));
    CHECK(strstr(leave - 13, "\033[?25h") != NULL);
}

static void close_screen(void)
{
    (void)close(screen.fd);
}

/* ---- */

static void it_shows_workers_and_what_they_do(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    struct client *c = client_to(s);
    open_top(s, 80, 24, "xterm");
    expect("running");
    expect("2/2 workers");
    expect("REQUEST");
    client_send_text(c, "GET /stream?n=2&ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("busy");
    expect("GET /stream");
    press("+");
    expect("workers: 3");
    expect("3/3 workers");
    press("-");
    expect("workers: 2");
    press("r");
    expect("reloading");
    expect("reloaded: generation 2 serves");
    press("?");
    expect("any key: back");
    press("x");
    expect("r reload");
    press("q");
    CHECK_EQ(wait_end(), 0);
    check_restored();
    close_screen();
}

static void a_resize_is_drawn_for(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    open_top(s, 200, 60, "xterm");
    expect("REQUESTS");
    expect("\033[60;1H");
    set_size(40, 12);
    expect("\033[12;1H");
    press("q");
    CHECK_EQ(wait_end(), 0);
    check_restored();
    close_screen();
}

static void every_way_out_restores_the_terminal(void **state)
{
    (void)state;
    static const char *const keys[] = {"q", "\003", "\034", NULL, NULL};
    static const int signals[] = {0, 0, 0, SIGTERM, SIGHUP};
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        open_top(s, 80, 24, "xterm");
        expect("2/2 workers");
        if (keys[i])
            press(keys[i]);
        else
            CHECK(kill(screen.pid, signals[i]) == 0);
        CHECK_EQ(wait_end(), 0);
        check_restored();
        close_screen();
    }
}

/* As a shell sees it: stopped with the terminal in order, and drawn again when it goes on. Its
 * process group is orphaned here, where the kernel ignores a stop from the keyboard, so the stop is
 * seen by what it does around it. */
static void suspended_it_gives_the_terminal_back_and_takes_it_again(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    open_top(s, 80, 24, "xterm");
    expect("2/2 workers");
    press("\032");
    expect("\033[?1049l");
    CHECK(kill(screen.pid, SIGCONT) == 0);
    expect("\033[?1049h");
    expect("2/2 workers");
    press("q");
    CHECK_EQ(wait_end(), 0);
    check_restored();
    close_screen();
}

static void a_server_that_goes_is_news_and_one_that_comes_is_shown(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    open_top(s, 80, 24, "xterm");
    expect("2/2 workers");
    press("s");
    expect("stop the server?");
    press("n");
    expect("r reload");
    press("sy");
    expect("stopping");
    CHECK_EQ(server_wait_exit(s), 0);
    expect("no remuda is running");
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--workers", "3", NULL};
    server_launch(s, &(struct server_options){.args = args});
    expect("3/3 workers");
    press("q");
    CHECK_EQ(wait_end(), 0);
    check_restored();
    close_screen();
}

/* A terminal that can't be drawn on gets plain lines, once. */
static void a_dumb_terminal_gets_plain_lines(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    open_top(s, 80, 24, "dumb");
    expect("2/2 workers");
    CHECK_EQ(wait_end(), 0);
    (void)take();
    CHECK(!strchr(screen.text, '\033'));
    close_screen();
}

static void no_terminal_gets_plain_lines(void **state)
{
    (void)state;
    char path[128];
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    (void)snprintf(path, sizeof path, "%s", control_socket(s));
    const char *args[] = {"top", "--interval", "100ms", "--control-socket", path, NULL};
    struct server *top = server_start(&(struct server_options){.args = args});
    CHECK_EQ(server_run(top), 0);
    CHECK_HAS(lines_text(&top->out), "2/2 workers");
    CHECK(!strchr(lines_text(&top->out), '\033'));
    const char *batch[] = {"top", "--batch", "--interval", "100ms", "--control-socket", path, NULL};
    top = server_start(&(struct server_options){.args = batch});
    CHECK(lines_wait_text(&top->out, "2/2 workers", patience_until(PATIENCE_MS)));
    CHECK(lines_wait_text(&top->out, "2/2 workers", patience_until(PATIENCE_MS)));
    server_signal(top, SIGKILL);
    CHECK_EQ(server_wait_exit(top), -SIGKILL);
}

static void with_nothing_to_watch_it_says_so(void **state)
{
    (void)state;
    const char *args[] = {"top", "--once", NULL};
    struct server *top = server_start(&(struct server_options){.args = args});
    CHECK_EQ(server_run(top), 5);
    CHECK_HAS(lines_text(&top->log), "no remuda is running");
    const char *wrong[] = {"top", "--interval", "1ms", NULL};
    top = server_start(&(struct server_options){.args = wrong});
    CHECK_EQ(server_run(top), 2);
    CHECK_HAS(lines_text(&top->log), "100ms to 1h");
    const char *both[] = {"top", "--once", "--batch", NULL};
    top = server_start(&(struct server_options){.args = both});
    CHECK_EQ(server_run(top), 2);
    CHECK_HAS(lines_text(&top->log), "allowed: one of them");
}

SERVER_MAIN(SERVER_TEST(it_shows_workers_and_what_they_do), SERVER_TEST(a_resize_is_drawn_for),
            SERVER_TEST(every_way_out_restores_the_terminal),
            SERVER_TEST(suspended_it_gives_the_terminal_back_and_takes_it_again),
            SERVER_TEST(a_server_that_goes_is_news_and_one_that_comes_is_shown),
            SERVER_TEST(a_dumb_terminal_gets_plain_lines),
            SERVER_TEST(no_terminal_gets_plain_lines),
            SERVER_TEST(with_nothing_to_watch_it_says_so))
