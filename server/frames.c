/* What a process says to the master, frame by frame. Process: master.
 *
 * App code ran in it, so nothing is believed: what may be said by whom is checked by msg_receive()
 * and here, pids by herd_name(), and one wrong frame costs its sender the life. */
#include "server/frames.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/msg.h"
#include "server/graves.h"
#include "server/renew.h"
#include "server/reopen.h"
#include "server/strangers.h"
#include "server/tasks.h"

#define FRAMES_A_TURN 64             /* of one channel, so that no child keeps us busy */
#define LOST_RETRY_US CLOCK_US_PER_S /* until it may have room for descriptors; a guess */

static bool is_from(const struct seat *seat, enum role role)
{
    return seat->role == role;
}

/* FORKED may come after its subject was given up: then the process is killed that nobody awaits. */
static bool hear_forked(struct herd *herd, struct seat *loader, const struct msg *msg)
{
    if (!is_from(loader, ROLE_LOADER))
        return false;
    loader->heartbeat_us = herd->now_us; /* see read_loader() in master.c */
    struct seat *seat = slots_find_occupant(&herd->slots, msg->seat, msg->epoch);
    if (seat && seat->role != ROLE_LOADER && seat->generation == loader->generation)
        return herd_name(herd, seat, msg->pid);
    int status;
    (void)slots_take_unclaimed(&herd->slots, msg->pid, &status);
    if (strangers_is_child(msg->pid) && !slots_find_by_pid(&herd->slots, msg->pid) &&
        !coroners_is_one(&herd->coroners, msg->pid) && msg->pid != herd->admin_pid)
        (void)kill(msg->pid, SIGKILL);
    return true;
}

static bool hear_fork_failed(struct herd *herd, struct seat *loader, const struct msg *msg)
{
    if (!is_from(loader, ROLE_LOADER))
        return false;
    loader->heartbeat_us = herd->now_us; /* see read_loader() in master.c */
    struct seat *seat = slots_find_occupant(&herd->slots, msg->seat, msg->epoch);
    if (seat && seat->role != ROLE_LOADER && seat->generation == loader->generation &&
        seat->pid == 0)
        herd_refuse(herd, seat, msg->value > 0 && msg->value < 4096 ? (int)msg->value : EIO);
    return true;
}

/* Whoever was short has room now for what it should hold. */
static bool hear_full(struct herd *herd, struct seat *seat, const struct msg *msg)
{
    bool is_short = msg->value == MSG_FULL_DESCRIPTORS;
    herd->is_changed |= seat->is_short && !is_short;
    seat->is_short = is_short;
    seat->is_full = msg->value != MSG_FULL_NOT;
    return is_from(seat, ROLE_WEB);
}

/* What it could not take is sent again: logs after a while, a socket when it is not short. */
static bool hear_lost(struct herd *herd, struct seat *seat, const struct msg *msg)
{
    if (msg->about == MSG_LOGS)
        return reopen_hear_lost(seat, msg, herd->now_us);
    if ((msg->about == MSG_SEGMENT || msg->about == MSG_POOL) && is_from(seat, ROLE_WEB)) {
        herd_owe_pools(herd, seat, msg->about == MSG_SEGMENT, herd->now_us + LOST_RETRY_US);
        return true;
    }
    if (msg->about != MSG_LISTEN || !is_from(seat, ROLE_WEB) || msg->value < 0 ||
        msg->value >= (int64_t)herd->slots.n_words * 64)
        return false;
    slots_set_held(seat, (uint32_t)msg->value, false);
    return true;
}

/* A loader that can't have what its app needs is as good as one that failed. */
static bool hear_ready(struct herd *herd, struct seat *seat, const struct msg *msg)
{
    bool is_new = is_from(seat, ROLE_LOADER) && seat->phase == SEAT_BOOTING;
    if (is_new && !herd_use_pools(herd, seat, (uint32_t)msg->about))
        return true;
    herd_happen(herd, seat, DECIDE_READY);
    return true;
}

/* Returns false: this process may not say that. */
static bool hear_frame(struct herd *herd, struct seat *seat, const struct msg *msg)
{
    switch ((enum msg_type)msg->type) {
    case MSG_HELLO:
        return herd_name(herd, seat, msg->pid);
    case MSG_READY:
        return hear_ready(herd, seat, msg);
    case MSG_FAILED:
        memcpy(seat->reason, msg->text, sizeof seat->reason); /* logged with its death */
        herd_happen(herd, seat, DECIDE_FAILED);
        return true;
    case MSG_FORKED:
        return hear_forked(herd, seat, msg);
    case MSG_FORK_FAILED:
        return hear_fork_failed(herd, seat, msg);
    case MSG_FULL:
        return hear_full(herd, seat, msg);
    case MSG_DRAINED:
        if (!is_from(seat, ROLE_WEB) && !is_from(seat, ROLE_COMPUTE))
            return false;
        herd_happen(herd, seat, DECIDE_DRAINED);
        return true;
    case MSG_WORN:
        return renew_hear(herd, seat, msg);
    case MSG_REOPENED:
        return reopen_hear(seat, msg);
    case MSG_LOST:
        return hear_lost(herd, seat, msg);
    case MSG_OVERDUE:
        return tasks_hear(herd, seat, msg);
    case MSG_DEADLY:
        return poison_hear(herd, seat, msg);
    case MSG_LET_GO:
        return graves_hear(herd, seat, msg);
    default:
        return false; /* msg_receive() lets no other through */
    }
}

void frames_hear(struct herd *herd, struct seat *seat)
{
    for (int i = 0; i < FRAMES_A_TURN && seat->channel_fd >= 0; i++) {
        struct msg msg;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        int rc = msg_receive(seat->channel_fd, 1, &msg, fds, &n_fds);
        if (rc == -EAGAIN)
            return;
        while (n_fds > 0)
            fd_close(&fds[--n_fds]); /* nobody sends the master any; the table says so as well */
        if (rc == -EPROTO || (rc > 0 && !hear_frame(herd, seat, &msg))) {
            log_error("protocol broken", "role=%s slot=%d pid=%d frame=%s",
                      role_table[seat->role].name, seat->slot, (int)seat->pid,
                      rc > 0 ? msg_names[msg.type] : "?");
            herd_happen(herd, seat, DECIDE_BROKE);
            fd_close(&seat->channel_fd); /* nothing else that it says is of interest */
        } else if (rc <= 0) {
            fd_close(&seat->channel_fd);
            herd_happen(herd, seat, DECIDE_CLOSED);
        }
    }
}
