/* Listening sockets: made here, owned by the master, lent to workers. TCP addresses get one
 * SO_REUSEPORT socket for each slot; a unix socket is one that all slots share.
 *
 * The set changes with a reload, in two steps: what the new settings add is bound beside the old
 * (listen_prepare), then, when its workers are there, all listen and what the settings do not name
 * any more is given up (listen_commit, listen_retire). */
#ifndef REMUDA_SERVER_LISTEN_H
#define REMUDA_SERVER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "config/settings.h"
#include "server/endpoint.h"

struct err;

#define LISTEN_SLOTS_MAX 512 /* the most `workers` that the schema allows */

/* One socket. Its index in the set is its id in MSG_LISTEN, and stays that while it lives. */
struct listener {
    int fd;          /* -1: nobody's, the id is free */
    int slot;        /* whose it is; -1: shared by all */
    uint32_t origin; /* index of the address in listen_set.addresses */
};

/* One address that is listened on. */
struct listen_address {
    char text[ENDPOINT_TEXT_MAX]; /* "http://127.0.0.1:8000", "unix:/run/a"; "": a free entry */
    char *bind; /* the setting's canonical text, own heap; NULL: somebody passed it to
                      us, and `bind` does not count */
    struct sockaddr_storage where; /* as bound: with the port that the kernel chose */
    socklen_t where_len;
    char *path;   /* unix: absolute, own heap; else NULL */
    dev_t device; /* unix: of the socket's file as it was made */
    ino_t inode;
    bool is_new;     /* not announced yet */
    bool is_leaving; /* the settings do not name it any more */
    bool is_shared;  /* others listen there as well, and go on: systemd, another master */
};

struct listen_set {
    struct listener *items; /* n, room for cap */
    uint32_t n;
    uint32_t cap;
    struct listen_address *addresses; /* n_addresses, room for cap_addresses */
    uint32_t n_addresses;
    uint32_t cap_addresses;
    bool has_slot[LISTEN_SLOTS_MAX]; /* TCP addresses have a socket for this slot */
    uint32_t n_slots;                /* the highest of them + 1; never falls */
    uint32_t backlog;
};

/* What a reload is going to change. */
struct listen_change {
    struct listen_set added; /* bound, not listening yet; one socket for each address */
    bool *is_kept;           /* of each address of the present set: goes on */
    uint32_t n_kept;         /* room of is_kept */
};

/* Binds everything that the settings name, and listens. What fails closes all again. An address
 * that another remuda has, or nobody who can be found, is tried for some seconds (targets_wait()).
 * n_slots  sockets for each TCP address, 1 … LISTEN_SLOTS_MAX
 * Returns  0; -errno, *err is a sentence for the user. Logs addresses that were skipped */
int listen_open(const struct settings *settings, uint32_t n_slots, struct listen_set *out,
                struct err *err) __attribute__((warn_unused_result));

/* Finds out what the settings add to a set and leave out of it, and binds what they add. A bind
 * whose text is as before keeps its addresses: names are not looked up again. Addresses that were
 * passed to us stay, whatever the settings say. Nobody can connect to what is only bound.
 * Returns  0; -errno, *err: as listen_open(); nothing is left open */
int listen_prepare(const struct listen_set *set, const struct settings *settings,
                   struct listen_change *out, struct err *err) __attribute__((warn_unused_result));

/* Listens on what was prepared, gives each TCP address sockets for slots 0 … n_slots - 1, and marks
 * what is left out. *change is empty afterwards.
 * Returns  0; -errno, *err: the set is as it was, the change is undone. No connection is lost by
 *          that: a socket that listened already when another one failed stays, as of a slot without
 *          a worker */
int listen_commit(struct listen_set *set, struct listen_change *change, uint32_t n_slots,
                  struct err *err) __attribute__((warn_unused_result));

/* Closes what was prepared and not committed. Twice is fine. */
void listen_discard(struct listen_change *change);

/* One more slot: a socket of it for each TCP address.
 * slot     0 … LISTEN_SLOTS_MAX - 1; one that has its sockets is left alone
 * Returns  0; -errno, *err: the set is as it was; see listen_commit() */
int listen_open_slot(struct listen_set *set, uint32_t slot, struct err *err)
    __attribute__((warn_unused_result));

/* Before a graceful stop: has the kernel drop the first packet of each new connection, while those
 * that are under way still arrive. A client that was dropped tries again after a second and finds
 * the port closed, which it can tell from a request that got lost. A unix socket is shut: connects
 * are refused at once, those in its queue can still be accepted (seen; unix(7) is silent). */
void listen_refuse_new(const struct listen_set *set);

/* Some time before that: connections are handed over as they come, without waiting for their first
 * octets (TCP_DEFER_ACCEPT), so that none is left in the kernel's hands at the end; one that waits
 * already comes when the kernel repeats its part of the handshake, within seconds. */
void listen_hand_over_all(const struct listen_set *set);

/* The same for what a commit left out; files of unix sockets go. Then its holders are to be told
 * (MSG_RETIRE), then listen_close_leaving() frees its ids.
 * Returns  sockets that leave */
uint32_t listen_retire(const struct listen_set *set);
void listen_close_leaving(struct listen_set *set);

/* Logs the addresses that are new since the last call, and those that leave. */
void listen_announce(struct listen_set *set);

/* Whether the sockets are systemd's, which `bind` does not touch; whether others have any of it. */
bool listen_is_passed(const struct listen_set *set);
bool listen_is_shared(const struct listen_set *set);

/* Says of all that is not systemd's that another master has it too, or has it no more. */
void listen_share(struct listen_set *set, bool is_shared);

/* Marks as leaving what nobody else has. */
void listen_leave_unshared(struct listen_set *set);

/* Whether a socket is of an address that leaves. */
bool listen_is_leaving(const struct listen_set *set, uint32_t id);

/* Closes all sockets and unlinks the files of unix sockets that are still ours. Twice is fine. */
void listen_close(struct listen_set *set);

#endif
