/* What the shared table says of a request, for last words, status and titles. */
#ifndef REMUDA_WORKERS_ENTRY_H
#define REMUDA_WORKERS_ENTRY_H

struct request_entry;
struct rmd_request;

/* Everything but the phase, which the caller writes behind it (released). */
void entry_fill(struct request_entry *entry, struct rmd_request *req);

#endif
