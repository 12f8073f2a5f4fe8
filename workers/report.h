/* What only a process itself knows, for `remuda dump`: its connections, its allocator. */
#ifndef REMUDA_WORKERS_REPORT_H
#define REMUDA_WORKERS_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct conn;
struct msg;

/* Obeys a MSG_DUMP.
 * fd    as it came; stays the caller's
 * tell  appends a line for each connection of `all`; NULL: there are none */
void report_answer(const struct msg *msg, int fd, void (*tell)(const void *all, struct buf *out),
                   const void *all);

/* Appends the line of a connection. Without memory nothing is appended.
 * age_us     since it was accepted
 * waited_us  since it has been waiting for what it waits for
 * Returns    false: the text is as long as it may be */
bool report_connection(struct buf *out, const struct conn *conn, uint64_t age_us,
                       uint64_t waited_us, uint64_t now_us);

#endif
