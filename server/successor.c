/* The new master's part of a binary upgrade. Process: master. */
#include "server/successor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

void successor_init(struct successor *s, int talk_fd, pid_t old_pid)
{
    *s = (struct successor){.talk_fd = talk_fd, .old_pid = old_pid};
}

void successor_fini(struct successor *s)
{
    fd_close(&s->talk_fd);
}

void successor_tell(const struct successor *s, const char *word, const char *what)
{
    char text[ERR_TEXT_MAX + 32];
    if (s->talk_fd < 0)
        return;
    int n = snprintf(text, sizeof text, "%s%s%s", word, what[0] ? " " : "", what);
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    if (send(s->talk_fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("old master not told", "word=%s why=\"%s\"", word, strerror(errno));
}

void successor_tell_loaded(struct successor *s)
{
    if (!s->is_app_loaded)
        successor_tell(s, "booting", "");
    s->is_app_loaded = true;
}

void successor_tell_ready(struct successor *s)
{
    char pid[16];
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    successor_tell(s, "ready", pid);
    s->is_accepted = true;
}

enum successor_news successor_hear(struct successor *s)
{
    char text[64];
    if (s->talk_fd < 0)
        return SUCCESSOR_QUIET;
    ssize_t n = recv(s->talk_fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return SUCCESSOR_QUIET;
    if (n <= 0) {
        fd_close(&s->talk_fd);
        return SUCCESSOR_ALONE;
    }
    text[n] = '\0';
    return strcmp(text, "main") == 0       ? SUCCESSOR_MAIN
           : strcmp(text, "stopping") == 0 ? SUCCESSOR_OWNER
                                           : SUCCESSOR_QUIET;
}
