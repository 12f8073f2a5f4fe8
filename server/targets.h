/* What `bind` names, as addresses that sockets can be bound to. */
#ifndef REMUDA_SERVER_TARGETS_H
#define REMUDA_SERVER_TARGETS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config/settings.h"

struct err;

#define TARGETS_TOO_MANY_FILES                                                                     \
    "too many open files (raise `ulimit -n`, or have fewer workers or binds)"

/* A row of `bind`, or one of the addresses its name has. */
struct target {
    const struct setting_bind *bind; /* borrowed from the settings */
    struct sockaddr_storage address;
    socklen_t address_len;
    bool is_one_of_many; /* a name with several addresses: this one may be missing here */
};

struct targets {
    struct target *items; /* n, own heap; nothing is there twice */
    size_t n;
    size_t cap;
};

/* Adds what a row of `bind` means; names are looked up.
 * Returns  0; -errno, *err: the name has no address, the path is too long
 * Safe     may block: on a name that is not in /etc/hosts */
int targets_add(struct targets *targets, const struct setting_bind *bind, struct err *err)
    __attribute__((warn_unused_result));
void targets_fini(struct targets *targets);

/* Whether [::] is to leave IPv4 alone: it serves that as well, unless that port of IPv4 has a row
 * of its own. */
bool targets_is_v6_only(const struct targets *targets, const struct target *target);

/* Port of an address; 0: none. */
in_port_t targets_port(const struct sockaddr_storage *address);

/* A name with several addresses and port 0 gets one port for all of them: what is behind `target`
 * gets the port of `bound`. */
void targets_share_port(struct targets *targets, const struct target *target,
                        const struct sockaddr_storage *bound);

/* Why an address can't be listened on, for a person. code: positive errno. Borrowed text */
const char *targets_explain(int code, const struct target *target);

/* How long an address that somebody has may be waited for. */
struct targets_wait {
    uint64_t for_us;   /* in all, from the first refusal on; 0: not at all */
    uint64_t until_us; /* 0: it has not begun */
};

/* Waits a moment for an address in use, where that may help: workers whose master was killed hold
 * its sockets until they have died of that, too. Whoever is known to be another program keeps it.
 * Logs, once, what it waits for, and who has it. From then on signals wait for signals_open(); one
 * that stops the server ends the wait.
 * Returns  whether it should be tried again
 * Safe     may block: 20 ms, and for_us in all */
bool targets_wait(struct targets_wait *wait, const struct target *target);

/* Fills *err with "cannot listen on …: why". Returns -code */
int targets_refuse(struct err *err, int code, const struct target *target);

#endif
