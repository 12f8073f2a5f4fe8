/* request_timeout of a handler that runs in a process of its own: when its time is over a timer of
 * the process raises SIGABRT, whose handler (workers/crash.h) sends the client the 504 that was
 * prepared here, leaves a backtrace, and ends the worker. For workers that run one handler at a
 * time: there is one timer. */
#ifndef REMUDA_WORKERS_OVERTIME_H
#define REMUDA_WORKERS_OVERTIME_H

#include "workers/web.h"

/* Without it the other functions do nothing. Lifetime of web: until overtime_close(). */
void overtime_open(struct web *web);
void overtime_close(void);

/* A handler of this request begins now. Of no answer octets may be on their way to the client.
 * fd  its connection; borrowed until overtime_end() */
void overtime_begin(struct rmd_request *req, int fd);

/* It has returned. */
void overtime_end(void);

#endif
