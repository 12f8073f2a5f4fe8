/* Binary upgrade, the side of the new master: it says how far it has come, and learns when it is
 * the only one. The other side is server/upgrade.h.
 *
 * Words are datagrams of a socket pair. To the old master: "booting" a step of the start is done,
 * "left ADDRESS" a socket that was passed and is not used, "ready PID", "failed WHY", "stopping".
 * From it: "main", "stopping". The end of the pair is the end of the old master. */
#ifndef REMUDA_SERVER_SUCCESSOR_H
#define REMUDA_SERVER_SUCCESSOR_H

#include <stdbool.h>
#include <sys/types.h>

enum successor_news {
    SUCCESSOR_QUIET,
    SUCCESSOR_MAIN,  /* this is the service manager's main process from now on */
    SUCCESSOR_OWNER, /* the old master leaves: the sockets are this one's alone */
    SUCCESSOR_ALONE, /* it has ended */
};

struct successor {
    int talk_fd;        /* to the old master; -1: there is none, or no more */
    pid_t old_pid;      /* 0: there never was one */
    bool is_app_loaded; /* "booting" was said of that */
    bool is_accepted;   /* "ready" was said */
};

/* talk_fd belongs to it from now on; -1: this is no successor. */
void successor_init(struct successor *s, int talk_fd, pid_t old_pid);
void successor_fini(struct successor *s);

/* Whether there is an old master that goes on when this one fails. */
static inline bool successor_has_old(const struct successor *s)
{
    return s->talk_fd >= 0;
}

/* Whether nothing may be accepted yet: what fails now must cost nobody a request. */
static inline bool successor_is_waiting(const struct successor *s)
{
    return s->talk_fd >= 0 && !s->is_accepted;
}

/* Says a word with what belongs to it; "" for nothing. Nothing happens without an old master. */
void successor_tell(const struct successor *s, const char *word, const char *what);

/* Says that the app's init is done, from when on its workers have their own time. Once. */
void successor_tell_loaded(struct successor *s);

/* Says that this master serves. */
void successor_tell_ready(struct successor *s);

/* The next thing that the old master said; QUIET: nothing more now. */
enum successor_news successor_hear(struct successor *s);

#endif
