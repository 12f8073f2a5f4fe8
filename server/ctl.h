/* The commands' side of the control socket: finds the running server, asks it, waits for it. What
 * goes wrong is printed here, so that all commands say it alike. */
#ifndef REMUDA_SERVER_CTL_H
#define REMUDA_SERVER_CTL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/str.h"
#include "config/merge.h"
#include "server/control_path.h"

#define CTL_ANSWER_US (5 * UINT64_C(1000000)) /* a master that takes longer is stopped or stuck */
#define CTL_FOREVER UINT64_MAX

struct ctl {
    const char *command; /* "reload", for messages */
    struct merge_result merge;
    struct control_path path;
    int fd;           /* -1: not connected */
    pid_t server_pid; /* who answers, or got a signal */
    char socket[CONTROL_PATH_MAX];
    struct buf in; /* what was received */
    size_t taken;  /* of in: behind the latest answer */
    bool is_quiet; /* what goes wrong is not printed, only kept */
    char why[512]; /* what went wrong last, for people; "" nothing did */
};

/* Reads the command line. Mistakes in the file are none of these commands' affair, as long as the
 * socket is found: a reload into a broken file is for the server to refuse.
 * options    of the command; NULL: none
 * max_rest   arguments that it takes
 * out_exit   what to exit with when this returns false
 * Returns    true: go on; false: help or a mistake was printed. ctl_end() is due in both cases */
bool ctl_begin(struct ctl *ctl, const char *command, int argc, char **argv,
               struct merge_option *options, size_t max_rest, int *out_exit)
    __attribute__((warn_unused_result));
void ctl_end(struct ctl *ctl);

/* Connects, sends a request and receives its answer, a refusal is printed. When the server has no
 * control socket but a pid file names it, it gets a signal instead, which is told.
 * number   of the signal; 0: none does the same
 * Returns  0: "ok":true, or *out_is_signalled; an exit code */
int ctl_order(struct ctl *ctl, const char *request, int number, struct str *out_answer,
              bool *out_is_signalled) __attribute__((warn_unused_result));

/* Connects to the server. Returns 0; an exit code, the reason is on standard error */
int ctl_connect(struct ctl *ctl) __attribute__((warn_unused_result));

/* The same without a word. Returns 0; -errno: ENOENT, ECONNREFUSED: nobody listens there */
int ctl_try_connect(struct ctl *ctl) __attribute__((warn_unused_result));
void ctl_disconnect(struct ctl *ctl);

/* Sends one request, without its newline. Returns 0; an exit code */
int ctl_send(struct ctl *ctl, const char *request) __attribute__((warn_unused_result));

/* Waits for one answer, an object that is valid JSON, borrowed until the next call.
 * timeout_us  CTL_FOREVER: as long as the server lives
 * Returns     0, also when it says "ok":false; an exit code */
int ctl_receive(struct ctl *ctl, uint64_t timeout_us, struct str *out_answer)
    __attribute__((warn_unused_result));

/* Sends and receives; a refusal is printed.
 * Returns 0: "ok":true; an exit code */
int ctl_ask(struct ctl *ctl, const char *request, struct str *out_answer)
    __attribute__((warn_unused_result));

/* Whether an answer says that it went well; if not, prints why. Returns 0; an exit code */
int ctl_check(struct ctl *ctl, struct str answer) __attribute__((warn_unused_result));

/* Waits until the server has closed the connection, if there is one, and its process is gone.
 * Returns 0; an exit code */
int ctl_wait_end(struct ctl *ctl) __attribute__((warn_unused_result));

#endif
