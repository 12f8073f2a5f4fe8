/* A call, for the files that make and end one: workers/offload.c and workers/offload_map.c. */
#ifndef REMUDA_WORKERS_OFFLOAD_CALL_H
#define REMUDA_WORKERS_OFFLOAD_CALL_H

#include "http/deferred.h"
#include "workers/offload.h"
#include "workers/offload_wait.h"

struct offload_map;

struct offload {
    rmd_deferred *ticket; /* of its request; NULL: it is waited for */
    rmd_offloaded done;
    void *arg;
    struct offload_map *map;   /* it is one of several; NULL: it is not, or it is the one for all */
    struct offload_wait *wait; /* NULL: nobody waits, it has a ticket */
    struct task task;          /* but for its identity and payload */
    int pool;
    const char *payload; /* until it was handed over */
    size_t len;
    bool is_payload_ours; /* heap */
    int payload_fd;       /* a file that holds it instead; -1 */
    int error;
    char *result; /* heap; or it is to be fetched: */
    size_t result_len;
    int result_fd;             /* from a file; -1 */
    struct desk_slot *lent;    /* from another's slice, which is held by this slot; NULL */
    struct segment_ref ref;    /* there */
    struct rmd_deferred *back; /* takes the slot back to the loop; NULL: we are there */
};

/* Without a payload. NULL: memory is refused */
struct offload *offload_new(void);

/* NULL is fine. is_on_loop: this is the loop's thread */
void offload_free(struct offload *call, bool is_on_loop);

/* Whose desk calls go to. NULL: there is none */
struct web *offload_home(void);

/* Is there no other process, so that calls are to be run in place? */
bool offload_is_alone(void);

/* What the request, the row of the task and its pool say of a call.
 * patience_us  how long the request may wait, 0: without end
 * Returns      0; -ENOENT; -EOPNOTSUPP */
int offload_fill(struct offload *call, rmd_request *req, const char *task, unsigned timeout_ms,
                 uint64_t patience_us) __attribute__((warn_unused_result));

/* Have compute workers no addresses for so many octets? */
bool offload_is_too_large(size_t len);

/* Takes the payload, on the caller's thread: what is large into a file, if it is in none.
 * stays    it is there until the call is over, or left
 * Returns  0; -ENOMEM; -EMSGSIZE */
int offload_pack(struct offload *call, const rmd_request *req, const void *payload, size_t len,
                 bool stays) __attribute__((warn_unused_result));

/* Large results are copied where there is another thread for it, which then needs a way back.
 * Returns  0; -ENOMEM */
int offload_prepare_back(struct offload *call, rmd_request *req)
    __attribute__((warn_unused_result));

/* The call is over: its result, as memory of the request, on its thread. Returns as
 * rmd_offloaded */
int offload_fetch(struct offload *call, rmd_request *req, rmd_slice *out_result)
    __attribute__((warn_unused_result));

/* On the loop's thread, as rmd_answer: begins with a call, arg, that has its payload. */
void offload_start(rmd_request *req, rmd_response *res, void *arg);

/* Puts the answer off; begin(…, arg) is called on the loop's thread, soon or at once.
 * Returns  0; -EBUSY, -ENOMEM: it is not called */
int offload_put_off(struct offload *call, rmd_request *req, rmd_answer begin, void *arg)
    __attribute__((warn_unused_result));

/* Of a time in which an answer is to be given: less what a handler may need for that. */
uint64_t offload_less_spare(uint64_t limit_us);

/* How long an answer is waited for that is put off now, less what a handler may need to give one.
 * Returns  µs; 0: without end */
uint64_t offload_patience_us(const rmd_request *req);

/* On the loop's thread: out with it. Returns 0; -errno: it is not out, and may be tried again */
int offload_hand_over(struct offload *call) __attribute__((warn_unused_result));

/* How many calls of several may be out: so many that their pool is kept busy, and others get their
 * turn. */
size_t offload_window(const struct offload *call);

/* Where there is no other process: runs it. Returns as rmd_offloaded */
int offload_run_here(struct offload *call);

/* ---- workers/offload_map.c ---- */

/* The result of a part is in a file: may it stay there, so that another thread reads it? */
bool offload_map_may_keep(const struct offload *call);

/* A part is back. */
void offload_map_on_part(struct offload_map *map);

#endif
