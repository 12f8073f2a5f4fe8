/* Frames on a channel and the table of who may send which. */
#include "ipc/msg.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/fault.h"
#include "base/fd.h"

#define MSG_MAGIC 0x52454d55U /* "REMU" */
#define MSG_VERSION 1U

_Static_assert(MSG_LANES_ROUTES / 8 < MSG_TEXT_MAX, "a bit for each, and the last octet is no bit");
_Static_assert(sizeof(struct msg) == 272, "frames have one size in every process");

/* THE table of frames: who sends it, how many descriptors it carries. */
static const struct {
    int is_to_master;
    size_t fds_min;
    size_t fds_max;
} rules[MSG_TYPE_COUNT] = {
    [MSG_HELLO] = {1, 0, 0},   [MSG_READY] = {1, 0, 0},       [MSG_FAILED] = {1, 0, 0},
    [MSG_FORKED] = {1, 0, 0},  [MSG_FORK_FAILED] = {1, 0, 0}, [MSG_FULL] = {1, 0, 0},
    [MSG_DRAINED] = {1, 0, 0}, [MSG_WORN] = {1, 0, 0},        [MSG_REOPENED] = {1, 0, 0},
    [MSG_LOST] = {1, 0, 0},    [MSG_APP] = {0, 0, 1},         [MSG_BOARD] = {0, 1, 1},
    [MSG_FORK] = {0, 1, 1},    [MSG_LISTEN] = {0, 1, 1},      [MSG_UNLISTEN] = {0, 0, 0},
    [MSG_START] = {0, 0, 0},   [MSG_DRAIN] = {0, 0, 0},       [MSG_RETIRE] = {0, 0, 0},
    [MSG_STOP] = {0, 0, 0},    [MSG_LOGS] = {0, 1, 2},        [MSG_OVERDUE] = {1, 0, 0},
    [MSG_LET_GO] = {1, 0, 0},  [MSG_DEADLY] = {1, 0, 0},      [MSG_SEGMENT] = {0, 1, 2},
    [MSG_POOL] = {0, 1, 1},    [MSG_GONE] = {0, 0, 0},        [MSG_TASK_LOST] = {0, 0, 0},
    [MSG_LANES] = {0, 0, 0},   [MSG_THREADS] = {0, 0, 0},     [MSG_LEDGER] = {0, 1, 1},
    [MSG_DUMP] = {0, 1, 1},
};

const char *const msg_names[MSG_TYPE_COUNT] = {
    [0] = "?",
    [MSG_HELLO] = "hello",
    [MSG_READY] = "ready",
    [MSG_FAILED] = "failed",
    [MSG_FORKED] = "forked",
    [MSG_FORK_FAILED] = "fork_failed",
    [MSG_FULL] = "full",
    [MSG_DRAINED] = "drained",
    [MSG_WORN] = "worn",
    [MSG_REOPENED] = "reopened",
    [MSG_LOST] = "lost",
    [MSG_OVERDUE] = "overdue",
    [MSG_DEADLY] = "deadly",
    [MSG_LET_GO] = "let_go",
    [MSG_SEGMENT] = "segment",
    [MSG_POOL] = "pool",
    [MSG_GONE] = "gone",
    [MSG_TASK_LOST] = "task_lost",
    [MSG_APP] = "app",
    [MSG_BOARD] = "board",
    [MSG_FORK] = "fork",
    [MSG_LISTEN] = "listen",
    [MSG_UNLISTEN] = "unlisten",
    [MSG_START] = "start",
    [MSG_RETIRE] = "retire",
    [MSG_DRAIN] = "drain",
    [MSG_STOP] = "stop",
    [MSG_LANES] = "lanes",
    [MSG_THREADS] = "threads",
    [MSG_LEDGER] = "ledger",
    [MSG_LOGS] = "logs",
    [MSG_DUMP] = "dump",
};

struct msg msg_make(enum msg_type type)
{
    return (struct msg){.magic = MSG_MAGIC, .version = MSG_VERSION, .type = (uint16_t)type};
}

int msg_send(int channel_fd, const struct msg *msg, const int *fds, size_t n_fds)
{
    int failure = FAULT("msg.send");
    return failure ? -failure : fd_send(channel_fd, msg, sizeof *msg, fds, n_fds);
}

static int is_known(const struct msg *msg, ssize_t bytes, int is_master)
{
    if (bytes != (ssize_t)sizeof *msg || msg->magic != MSG_MAGIC || msg->version != MSG_VERSION)
        return 0;
    if (msg->type == 0 || msg->type >= MSG_TYPE_COUNT)
        return 0;
    return rules[msg->type].is_to_master == is_master;
}

static int is_allowed(const struct msg *msg, size_t n_fds)
{
    return n_fds >= rules[msg->type].fds_min && n_fds <= rules[msg->type].fds_max;
}

int msg_receive(int channel_fd, int is_master, struct msg *out_msg, int *fds, size_t *out_n_fds)
{
    struct msg msg;
    size_t n_fds = 0;
    int received[FD_PASS_MAX];
    ssize_t n = fd_receive(channel_fd, &msg, sizeof msg, received, &n_fds);
    /* A peer that died with frames unread: the kernel reports that once, in front of what the peer
     * had said, and a dying worker's FAILED is what we want to read most. */
    if (n == -ECONNRESET)
        n = fd_receive(channel_fd, &msg, sizeof msg, received, &n_fds);
    bool is_bereft = n == -EMFILE;
    if (is_bereft)
        n = sizeof msg;
    if (n == -EMSGSIZE)
        return -EPROTO;
    if (n <= 0)
        return n == -ECONNRESET ? 0 : (int)n;
    if (!is_known(&msg, n, is_master != 0) ||
        (is_bereft ? rules[msg.type].fds_max == 0 : !is_allowed(&msg, n_fds))) {
        for (size_t i = 0; i < n_fds; i++)
            fd_close(&received[i]);
        return -EPROTO;
    }
    msg.text[MSG_TEXT_MAX - 1] = '\0';
    memcpy(fds, received, n_fds * sizeof(int));
    *out_msg = msg;
    *out_n_fds = n_fds;
    return is_bereft ? -EMFILE : 1;
}
