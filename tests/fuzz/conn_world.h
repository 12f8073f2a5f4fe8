/* For fuzz_conn.c: two clients, the loop that they share, and what is known of them. */
#ifndef REMUDA_TESTS_FUZZ_CONN_WORLD_H
#define REMUDA_TESTS_FUZZ_CONN_WORLD_H

#include "tests/fuzz/conn_refuse.h"

#include "base/panic.h"
#include "http/conn.h"
#include "http/router.h"

#define N_CLIENTS 2
#define N_TICKETS 64     /* that the application holds at once */
#define N_AWAY 8         /* errands, behind which there is no room for another request's */
#define N_ENDS 1024      /* of requests, that are remembered; more than there are at once */
#define BIG_BYTES 70000U /* more than is copied, and than is sent in one go */
#define FILE_BYTES 65536U
#define ENDLESS SIZE_MAX

/* One answer that is over: what its request was, and how it ended. */
struct outcome {
    int status; /* 0: cut off */
    bool is_head;
    bool is_known; /* of the body: */
    uint64_t hash;
    uint64_t len;
};

struct client {
    struct conn conn;
    const char *octets; /* that it has still to send */
    size_t len;
    size_t room;       /* that its socket takes */
    bool is_unplugged; /* its socket fails when it is written to */
    bool is_filled;    /* what was read of it last took all the room there was */
    bool is_slow;      /* it, not the application, let time pass */
    bool has_all;      /* its last answer, which closes */
    bool is_early;     /* its last answer closes, and did not wait for the request's body */
    struct buf sent;   /* what it got */
    struct outcome *outcomes;
    size_t n_outcomes;
    size_t outcomes_room;
};

/* A ticket that the application holds. */
struct held {
    struct rmd_deferred *ticket;
    struct task *task;
};

/* An errand of the io lane: conn_pool.h. */
struct errand_away {
    struct exchange *ex;
    bool has_begun; /* it can't be taken back */
    bool has_run;
    bool is_overdue; /* that was told */
};

static struct {
    struct conn_env env;
    struct deferred_box box;
    struct client clients[N_CLIENTS];
    struct client *now; /* whose turn it is */
    struct held held[N_TICKETS];
    size_t n_held;
    struct errand_away away[N_AWAY + N_CLIENTS]; /* oldest first; a request under way has room */
    size_t n_away;
    bool is_at_home;       /* all lanes run on the loop */
    int file_fd;           /* what /f/ sends from */
    uint64_t ends[N_ENDS]; /* second halves of the ids of requests that ended, to see each once */
    long n_owed;           /* callbacks */
    long n_handled;        /* requests whose finished hook is owed */
    bool is_cut;           /* something was done to a connection that may cut its answers */
    bool is_changed;       /* something was done that may change answers */
    bool is_long;          /* there was a body that is not drained to its end */
} world;

static char big[BIG_BYTES];

#define HASH_START UINT64_C(14695981039346656037)

/* FNV-1a, which goes on over pieces. */
static uint64_t hash_more(uint64_t hash, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)data[i]) * UINT64_C(1099511628211);
    return hash;
}

#endif
