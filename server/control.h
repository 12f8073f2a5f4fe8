/* The control socket: commands connect to it, send a line of JSON and get one back (or two, for an
 * order whose outcome takes time). What the orders mean is the host's affair: control.c knows
 * sockets, lines and patience, and nothing of the master. docs/control.md is the protocol. */
#ifndef REMUDA_SERVER_CONTROL_H
#define REMUDA_SERVER_CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/control_path.h"

struct err;
struct json_out;

#define CONTROL_CLIENTS 16
#define CONTROL_POLLS (1 + CONTROL_CLIENTS) /* entries of poll(2) that it needs */
#define CONTROL_LINE_MAX 4096               /* bytes of a request with its newline */
#define CONTROL_PROTOCOL 1                  /* raised when an old command would misread an answer */

enum control_order { CONTROL_RELOAD, CONTROL_UPGRADE, CONTROL_ORDERS };

/* What became of an order. */
struct control_outcome {
    bool is_done;    /* else refused */
    int generation;  /* that serves now */
    int pid;         /* of the new master; 0: there is none */
    uint64_t ms;     /* that it took */
    const char *why; /* refused: the reason; valid until the next turn */
};

/* What the master does for it. Functions return 0 or a negative errno with the reason in *err, and
 * never wait. Those that are NULL are refused. */
struct control_host {
    void *context;
    /* Appends members of an object: everything that is known. */
    void (*status)(void *context, struct json_out *out);
    /* Likewise: what the calls of the routes take. */
    void (*routes)(void *context, struct json_out *out);
    /* Begins; *out_number is what outcome() is asked about later. */
    int (*begin)(void *context, enum control_order order, uint64_t *out_number, struct err *err);
    /* Returns false while it goes on. */
    bool (*outcome)(void *context, enum control_order order, uint64_t number,
                    struct control_outcome *out);
    int (*stop)(void *context, bool is_quick, struct err *err);
    int (*reopen)(void *context, struct err *err);
    /* Somebody else answers on this socket, which is let go of here: a line, as always, and text
     * behind it. client_fd is borrowed */
    int (*dump)(void *context, int client_fd, struct err *err);
    /* pool: a compute pool; NULL: web workers. is_relative: by so many, else to so many.
     * *out_workers: how many there will be */
    int (*scale)(void *context, const char *pool, bool is_relative, int workers,
                 uint32_t *out_workers, struct err *err);
};

struct control_client; /* control.c */

struct control {
    struct control_host host;
    int listen_fd;                  /* -1: there is no socket */
    struct control_client *clients; /* CONTROL_CLIENTS */
    uint64_t accept_us;             /* accepting failed: not before this time; 0: it did not */
    char path[CONTROL_PATH_MAX];    /* "" when there is no socket */
    dev_t device;                   /* of the socket's file */
    ino_t inode;
};

/* Allocates everything; makes no socket yet. Returns 0; -ENOMEM */
int control_init(struct control *control, const struct control_host *host)
    __attribute__((warn_unused_result));
void control_fini(struct control *control);

/* Makes the socket, mode 0600 from its first moment. One that is left from a dead server is
 * replaced, one that somebody listens on never. May wait for a second for another server that
 * starts at the same time.
 * Returns  0; -errno, *err: there is none then, everything else works */
int control_open(struct control *control, const char *path, struct err *err)
    __attribute__((warn_unused_result));

/* Gives the socket another path of the same folder; what is there is replaced, unless somebody
 * listens on it. Clients notice nothing.
 * leaver   who may listen there: a master that leaves its name; 0: nobody
 * Returns  0, also when there is no socket; -errno, *err: it stays where it is */
int control_rename(struct control *control, const char *path, pid_t leaver, struct err *err)
    __attribute__((warn_unused_result));

/* Lets go of clients and the socket; its file goes only if it is still ours. */
void control_close(struct control *control);

/* Before poll(2): fills CONTROL_POLLS entries, unused ones with fd -1. */
void control_watch(const struct control *control, uint64_t now_us,
                   struct pollfd polls[CONTROL_POLLS]);

/* After it: accepts, reads, obeys, answers. */
void control_serve(struct control *control, const struct pollfd polls[CONTROL_POLLS],
                   uint64_t now_us);

/* At the end of a turn: tells outcomes to those who wait for them, and closes whoever was too
 * slow. */
void control_report(struct control *control, uint64_t now_us);

/* When control_report() must be called though nothing came; UINT64_MAX: no need. */
uint64_t control_next_us(const struct control *control);

#endif
