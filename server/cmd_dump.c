/* `remuda dump`: has the server write down all that can be seen of it, and keeps that in a file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "server/cli.h"
#include "server/ctl.h"
#include "server/dump.h"

#define SILENCE_MS 60000 /* the stacks of a process with much debug information take a while */

/* The last octets that were written, to see whether it is whole. */
struct tail {
    char text[sizeof DUMP_END + 1];
    size_t len;
};

static void keep_tail(struct tail *tail, const char *data, size_t len)
{
    for (size_t i = len > sizeof tail->text ? len - sizeof tail->text : 0; i < len; i++) {
        if (tail->len == sizeof tail->text)
            memmove(tail->text, tail->text + 1, --tail->len);
        tail->text[tail->len++] = data[i];
    }
}

static bool is_whole(const struct tail *tail)
{
    struct str end = STR(DUMP_END "\n");
    return tail->len >= end.len && memcmp(tail->text + tail->len - end.len, end.p, end.len) == 0;
}

/* The file, while it lacks its end. */
static const char *volatile unfinished;

/* Ctrl-C: half a dump would be in the way of the next. */
static void on_cancel(int number)
{
    if (unfinished)
        (void)unlink(unfinished);
    _exit(128 + number);
}

/* From here on it is removed by who cancels; one that was there before is not. */
static int create(const char *name)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t cancels;
    (void)sigemptyset(&cancels);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        (void)sigaddset(&cancels, numbers[i]);
    (void)sigprocmask(SIG_BLOCK, &cancels, NULL);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    for (size_t i = 0; fd >= 0 && i < sizeof numbers / sizeof numbers[0]; i++)
        (void)signal(numbers[i], on_cancel);
    unfinished = fd >= 0 ? name : NULL;
    (void)sigprocmask(SIG_UNBLOCK, &cancels, NULL);
    return fd;
}

/* What came with the answer, then the rest. Returns 0; an exit code */
static int copy(const struct ctl *ctl, int fd)
{
    char piece[65536];
    struct tail tail = {.len = 0};
    const char *data = ctl->in.data + ctl->taken;
    ssize_t n = (ssize_t)(ctl->in.len - ctl->taken);
    do {
        struct pollfd ready = {.fd = ctl->fd, .events = POLLIN};
        keep_tail(&tail, data, (size_t)n);
        if (fd_write_all(fd, data, (size_t)n) < 0) {
            (void)fprintf(stderr, "remuda dump: %s\n", strerror(errno));
            return CLI_CONFIG;
        }
        n = poll(&ready, 1, SILENCE_MS) > 0 ? recv(ctl->fd, piece, sizeof piece, 0) : 0;
        data = piece;
    } while (n > 0);
    if (is_whole(&tail))
        return CLI_OK;
    (void)fprintf(stderr, "remuda dump: it is not whole; the server's log may say why\n");
    return CLI_CONFIG;
}

static const char *choose_name(const struct ctl *ctl, char out[64])
{
    struct tm tm;
    time_t now = (time_t)(clock_wall_us() / CLOCK_US_PER_S);
    if (ctl->merge.n_rest > 0)
        return ctl->merge.rest[0];
    (void)gmtime_r(&now, &tm);
    (void)snprintf(out, 64, "remuda-%d-%04d%02d%02dT%02d%02d%02dZ.dump", (int)ctl->server_pid,
                   tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return out;
}

static int dump(struct ctl *ctl)
{
    char chosen[64];
    struct str answer;
    int code = ctl_connect(ctl);
    if (code != 0)
        return code;
    const char *name = choose_name(ctl, chosen);
    bool is_output = strcmp(name, "-") == 0;
    int fd = is_output ? STDOUT_FILENO : create(name);
    if (fd < 0) {
        (void)fprintf(stderr, "remuda dump: %s: %s\n", name, strerror(errno));
        return CLI_CONFIG;
    }
    code = ctl_ask(ctl, "{\"request\":\"dump\"}", &answer);
    if (code != 0 && !is_output)
        (void)unlink(name);
    if (code == 0)
        code = copy(ctl, fd);
    if (!is_output)
        fd_close(&fd);
    unfinished = NULL;
    if (code == 0 && !is_output)
        (void)puts(name);
    return code;
}

int cmd_dump(int argc, char **argv)
{
    struct ctl ctl;
    int code;
    if (ctl_begin(&ctl, "dump", argc, argv, NULL, 1, &code))
        code = dump(&ctl);
    ctl_end(&ctl);
    return code;
}
