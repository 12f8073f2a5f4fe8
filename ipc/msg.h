/* Frames on a channel: fixed size, checked on arrival, at most FD_PASS_MAX descriptors. A process
 * that ran app code is not believed: what it may say is in the table of msg.c. */
#ifndef REMUDA_IPC_MSG_H
#define REMUDA_IPC_MSG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/account.h"

#define MSG_TEXT_MAX 192
#define MSG_LANES_ROUTES 1024U

enum msg_type {
    /* to the master */
    MSG_HELLO = 1,   /* pid: I run, under this pid */
    MSG_READY,       /* I can do my work. Loader: value = routes, about = bits of the compute pools
                        in which routes or tasks of the app run, bit 0 for the default one */
    MSG_FAILED,      /* text: why I can't; I exit now */
    MSG_FORKED,      /* loader: seat, epoch, pid of a child it made */
    MSG_FORK_FAILED, /* loader: seat, epoch, value = errno */
    MSG_FULL,        /* web: value MSG_FULL_…: does it accept, and why not */
    MSG_DRAINED,     /* web: no longer accepts; its listeners are empty and closed here.
                        compute: takes no more tasks, and ends */
    MSG_WORN,        /* web, compute: text = why I want to be replaced; I go on until MSG_DRAIN */
    MSG_REOPENED,    /* everyone: value = number of the MSG_LOGS that it obeyed */
    MSG_LOST,        /* everyone: I may not have the descriptors of a frame, and could not obey it:
                        about = its type, value = its value */
    MSG_OVERDUE, /* web: value = task id, about = enum task_loss: nobody waits for it any more, or
                        its time is over: whoever still runs it is to be killed */
    MSG_DEADLY,  /* web: value = fingerprint of a request whose task's worker died, about = enum
                    task_loss: of what, text = trace id */
    MSG_LET_GO,  /* web: seat, epoch: of that occupant, of whom MSG_GONE told, I hold nothing */
    /* from the master */
    MSG_APP,     /* loader: fd = sealed copy of the app (none: load it from its path) */
    MSG_BOARD,   /* everyone: fd = the shared table, to map one's own part for writing */
    MSG_SEGMENT, /* web, compute: fds = the payload segment and, for web, the breakers' page
                    (ipc/breaker.h); value = bytes of a slice, about = how many slices */
    MSG_POOL, /* web: slot = pool, value = charge << 32 | limit of its queue, about = workers that
                     it has; fd = where to write. compute: fd = where to read */
    MSG_GONE, /* web: seat, epoch: a compute worker that died. Say LET_GO when you hold none of
                     its answers. about = 1: it had a task of slot = pool in hand, nobody knows
                     which */
    MSG_TASK_LOST, /* web: value = task id, about = enum task_loss, pid, text, used: who had it is
                     dead; sent when all that it had replied can be read in the inbox */
    MSG_FORK,      /* loader: role, seat, epoch, slot, value = pool; fd = the child's end of its
                     channel */
    MSG_LISTEN,    /* web, admin: value = listener id, slot = whose it is; fd = listening socket */
    MSG_UNLISTEN,  /* web: value = listener id: stop accepting from it, close your copy */
    MSG_START,     /* web, admin: everything was sent; accept from now on */
    MSG_RETIRE,    /* web: value = listener id, of an address that is given up: accept what waits
                     there, then close your copy */
    MSG_DRAIN,     /* web: give up your listeners, say DRAINED, finish, exit 0. value MSG_DRAIN_…:
                     what becomes of the listeners.
                     compute: take no more tasks, finish the one in hand, exit 0 */
    MSG_STOP,      /* everyone: end now, exit 0 */
    MSG_LANES,   /* web: where routes of the lane auto run from now on. value = index of the first,
                      text = bits of it and those behind it, MSG_LANES_ROUTES in all: 1 in the
                      compute lane. Of other routes they mean nothing */
    MSG_THREADS, /* web: value = how many threads of its io lane it may have from now on, within
                      what its settings say */
    MSG_LEDGER,  /* admin: fd = ipc/ledger.h, to map for reading */
    MSG_LOGS,    /* everyone: value = its number; fds = what to write logs to from now on, those of
                     heritage_log_files(). Say REOPENED */
    MSG_DUMP,    /* web, compute: value = where, about = how many octets: write there, into the fd,
                 what only you know of yourself (ipc/report.h). No answer */
    MSG_TYPE_COUNT
};

enum {
    MSG_DRAIN_EMPTY, /* the server stops: accept until they are empty, then close them */
    MSG_DRAIN_LEAVE, /* others go on with them: close your copies at once */
};

enum msg_full {
    MSG_FULL_NOT,         /* it accepts */
    MSG_FULL_CONNECTIONS, /* at worker_connections */
    MSG_FULL_DESCRIPTORS, /* it may open no more of them; it gets no LISTEN until it is NOT again */
};

struct msg {
    uint32_t magic;
    uint16_t version;
    uint16_t type; /* enum msg_type */
    uint32_t seat;
    uint32_t epoch;
    int32_t role; /* enum role */
    int32_t slot;
    int32_t pid;
    int32_t about; /* as the frame says: enum msg_type, enum task_loss, … */
    int64_t value;
    struct account_used used; /* TASK_LOST: by that task */
    char text[MSG_TEXT_MAX];  /* NUL-terminated */
};

/* A frame of a type with everything else zero. */
struct msg msg_make(enum msg_type type);

/* Sends without waiting. Returns 0; -EAGAIN full; -EPIPE nobody there; -errno */
int msg_send(int channel_fd, const struct msg *msg, const int *fds, size_t n_fds)
    __attribute__((warn_unused_result));

/* Receives one frame without waiting, checked: size, magic, version, type, direction (is_master:
 * the caller is the master), number of descriptors, termination of text. Descriptors belong to the
 * caller; those of a refused frame are closed.
 * Returns  1 a frame; 0 the peer is gone; -EAGAIN none there; -EPROTO a frame that nobody may send;
 *          -EMFILE *out_msg is a good frame, but this process may not have the descriptors that
 *          came with it, and they are gone; another -errno */
int msg_receive(int channel_fd, int is_master, struct msg *out_msg, int *fds, size_t *out_n_fds)
    __attribute__((warn_unused_result));

extern const char *const msg_names[MSG_TYPE_COUNT];

#endif
