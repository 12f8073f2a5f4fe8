/* Reopening of logs. Process: master, and the one of --single for its own files.
 *
 * Workers and loader may lack the right to open a log (`user`, a folder of root's), so only the
 * master opens, once for all, and hands the descriptors on. Who gets them writes what it has
 * gathered to the old file and then lets the new one take the old one's number. A process is behind
 * until it says REOPENED. One that is asked for meanwhile inherits what the loader has; should that
 * be the old files, it is behind like any other. */
#include "server/reopen.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/settings.h"
#include "server/logfile.h"

#define RETRY_US (10 * CLOCK_US_PER_MS) /* a full channel empties in less, usually */
#define LOST_RETRY_US                                                                              \
    (CLOCK_US_PER_S / 2) /* who may open no more descriptors closes some: a guess */

static unsigned reopen_file(const char *path, int fd)
{
    struct err err;
    char quoted[LOG_QUOTE_MAX + 8];
    int rc = logfile_reopen(path, fd, &err);
    if (rc < 0)
        log_error("log not reopened", "why=%s does=\"go on with the old one\"",
                  log_quote(quoted, err.text, strlen(err.text)));
    return rc > 0;
}

unsigned reopen_files(const struct settings *settings, int log_fd, int access_fd)
{
    return reopen_file(settings->errorlog, log_fd) + reopen_file(settings->accesslog, access_fd);
}

/* A generation whose settings name other files has them open beside the others'. */
static unsigned reopen_generation(const struct generation *g, const struct generation *current)
{
    if (!g)
        return 0;
    const struct heritage *h = &g->heritage;
    bool is_current = g == current;
    bool has_log = is_current || h->log_fd != current->heritage.log_fd;
    bool has_access = is_current || h->access_fd != current->heritage.access_fd;
    return reopen_files(g->settings, has_log ? h->log_fd : -1, has_access ? h->access_fd : -1);
}

void reopen_logs(struct reopen *reopen, struct herd *herd)
{
    int files[HERITAGE_LOGS_MAX];
    if (heritage_log_files(&herd->current->heritage, files) == 0 && !herd->candidate &&
        !herd->leaving) {
        log_notice("no log is a file, nothing to reopen", "%s", "");
        return;
    }
    log_notice("reopening logs", "%s", ""); /* the last line of the old file */
    if (reopen_generation(herd->current, herd->current) +
            reopen_generation(herd->candidate, herd->current) +
            reopen_generation(herd->leaving, herd->current) ==
        0)
        return;
    herd->logs++;
    reopen->since_us = herd->now_us;
}

static void send_logs(struct reopen *reopen, const struct herd *herd, struct seat *seat)
{
    int files[HERITAGE_LOGS_MAX];
    size_t n_files = heritage_log_files(&herd_generation(herd, seat)->heritage, files);
    struct msg msg = msg_make(MSG_LOGS);
    msg.value = (int64_t)herd->logs;
    if (n_files == 0) { /* its logs are no files, only another generation's are */
        seat->logs = herd->logs;
        return;
    }
    int rc = msg_send(seat->channel_fd, &msg, files, n_files);
    if (rc == 0)
        seat->logs_sent = herd->logs;
    else if (rc == -EAGAIN)
        reopen->retry_us = herd->now_us + RETRY_US; /* else its end will be seen */
}

void reopen_tell(struct reopen *reopen, struct herd *herd)
{
    unsigned n_behind = 0;
    unsigned n_processes = 1;
    if (reopen->since_us == 0)
        return;
    reopen->retry_us = SEAT_NEVER;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        if (seat->phase == SEAT_FREE || seat->channel_fd < 0)
            continue;
        n_processes++;
        if (seat->logs == herd->logs)
            continue;
        if (seat->logs_sent == 0 && herd->now_us >= seat->logs_again_us)
            send_logs(reopen, herd, seat);
        else if (seat->logs_sent == 0 && seat->logs_again_us < reopen->retry_us)
            reopen->retry_us = seat->logs_again_us;
        n_behind += seat->logs != herd->logs;
    }
    if (n_behind > 0)
        return;
    log_notice("logs reopened", "processes=%u ms=%" PRIu64, n_processes,
               (herd->now_us - reopen->since_us) / CLOCK_US_PER_MS);
    reopen->since_us = 0;
}

bool reopen_hear(struct seat *seat, const struct msg *msg)
{
    if (seat->logs_sent == 0 || msg->value != (int64_t)seat->logs_sent)
        return false;
    seat->logs = seat->logs_sent;
    seat->logs_sent = 0;
    return true;
}

bool reopen_hear_lost(struct seat *seat, const struct msg *msg, uint64_t now_us)
{
    if (seat->logs_sent == 0 || msg->value != (int64_t)seat->logs_sent)
        return false;
    seat->logs_sent = 0;
    seat->logs_again_us = now_us + LOST_RETRY_US;
    return true;
}

uint64_t reopen_next_us(const struct reopen *reopen)
{
    return reopen->since_us == 0 ? SEAT_NEVER : reopen->retry_us;
}
