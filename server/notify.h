/* What the service manager is told (sd_notify(3)): that we are ready, reload, stop, live, and who
 * is the main process. Without NOTIFY_SOCKET in the environment nobody is told anything. */
#ifndef REMUDA_SERVER_NOTIFY_H
#define REMUDA_SERVER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct err;

#define NOTIFY_STATUS_MAX 256

enum notify_phase {
    NOTIFY_NOTHING,
    NOTIFY_BOOTING,
    NOTIFY_READY,
    NOTIFY_RELOADING,
    NOTIFY_STOPPING
};

struct notify {
    int fd;                     /* -1: there is nobody to tell */
    struct sockaddr_un address; /* whom */
    socklen_t address_len;
    enum notify_phase told;         /* what the manager takes us for */
    char status[NOTIFY_STATUS_MAX]; /* what it shows */
    uint64_t watchdog_us;           /* how often it wants to hear from us; 0: it doesn't care */
    uint64_t watchdog_due_us;       /* when it is told next */
    uint64_t patience_due_us;       /* when it is asked for more time next */
    uint64_t retry_us;              /* its socket was full: try again then; UINT64_MAX: no need */
    bool is_silent;                 /* another process is the main one, and speaks */
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of the environment, so
 * that no child and no app speaks in our name.
 * Returns  0, also when there is nobody to tell; -errno, *err: the socket's address is no good */
int notify_open(struct notify *n, struct err *err) __attribute__((warn_unused_result));
void notify_close(struct notify *n);

/* Tells what has changed since it was last told, and what is due. Once a turn of the loop; never
 * waits: what the manager's socket doesn't take is told later.
 * status  one line for people, cut at NOTIFY_STATUS_MAX */
void notify_turn(struct notify *n, enum notify_phase phase, const char *status, uint64_t now_us);

/* When notify_turn() has something to do though nothing has changed; UINT64_MAX: never. */
uint64_t notify_next_us(const struct notify *n, enum notify_phase phase);

/* Says that another process is the main one from now on, and is silent from then on: the manager
 * listens to the main process only (systemd.exec(5), NotifyAccess=main).
 * Returns  0; -errno: to be tried again when notify_next_us() says, before that it is -EAGAIN */
int notify_hand_over(struct notify *n, pid_t pid, uint64_t now_us)
    __attribute__((warn_unused_result));

/* This process has become the main one, which the manager takes for ready. */
void notify_take_over(struct notify *n);

#endif
