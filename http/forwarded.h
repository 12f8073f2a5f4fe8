/* Who really asked, and for what, when the peer is a reverse proxy that is trusted: Forwarded
 * (RFC 7239), X-Forwarded-For, X-Forwarded-Host and Gunicorn's secure_scheme_headers.
 *
 * From a peer that is not trusted nothing is looked at, so that nobody can speak for others. And of
 * what a trusted peer sends only that part counts which trusted proxies wrote: each appends at the
 * right, so the list is read from the right and left at the first address that is not trusted. What
 * stands left of it the client may have made up, quotes and all; it is never looked at, and cannot
 * change how the rest is read.
 *
 *     X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.5      peer 10.0.0.9, trusted 10.0.0.0/8
 *                               └ the client             (6.6.6.6 is what it claims) */
#ifndef REMUDA_HTTP_FORWARDED_H
#define REMUDA_HTTP_FORWARDED_H

#include <stdint.h>

#include "base/network.h"
#include "base/str.h"
#include "http/parse.h"
#include "http/request.h"

#define FORWARDED_DEADLINE_MAX_MS 3600000U /* an hour, as much as a route may have */
#define FORWARDED_HOPS_MAX                                                                         \
    32 /* elements of a list that are read, empty ones too; guess: real chains
                                 have two or three. At the limit the last good address is taken */

/* Which fields are looked at. A proxy that only knows X-Forwarded-For often passes a client's own
 * Forwarded on (nginx does unless told otherwise), and the other way round. */
enum forwarded_look {
    FORWARDED_LOOK_ANY,     /* both. Where both are there they must name the same client, else the
                               request is refused; otherwise Forwarded wins */
    FORWARDED_LOOK_RFC7239, /* Forwarded only */
    FORWARDED_LOOK_X,       /* X-Forwarded-For and X-Forwarded-Host only */
};

/* A field that says how the client spoke to the proxy: this value is https, any other is http. */
struct forwarded_scheme {
    struct str name;  /* compared without case */
    struct str value; /* compared octet by octet */
};

/* Gunicorn's: X-FORWARDED-PROTOCOL ssl, X-FORWARDED-PROTO https, X-FORWARDED-SSL on. */
#define FORWARDED_SCHEMES_USUAL 3
extern const struct forwarded_scheme forwarded_usual_schemes[FORWARDED_SCHEMES_USUAL];

/* Made once by forwarded_rules_init(), read-only afterwards. */
struct forwarded_rules {
    const struct network_list *trusted;     /* borrowed */
    const struct forwarded_scheme *schemes; /* borrowed */
    size_t n_schemes;
    enum forwarded_look look;
    struct str deadline; /* name of the field with the client's deadline; empty: none. Borrowed */
    uint64_t lengths;    /* of names that matter: bit number length % 64 */
    uint32_t letters;    /* that they begin with: bit number letter % 32 */
};

/* How the walk over the addresses ended. */
enum forwarded_chain {
    FORWARDED_CHAIN_NONE,      /* the peer is not trusted, or names nobody: it is the client */
    FORWARDED_CHAIN_CLIENT,    /* at an address that is not trusted */
    FORWARDED_CHAIN_TRUSTED,   /* at the left end: all are trusted, the leftmost is the client */
    FORWARDED_CHAIN_HIDDEN,    /* at "unknown", an obfuscated name, or an element without for=: the
                                  client is the last address before it, or the peer */
    FORWARDED_CHAIN_MALFORMED, /* at something that is no element: likewise */
    FORWARDED_CHAIN_LONG,      /* at FORWARDED_HOPS_MAX: likewise */
};

enum forwarded_proto { FORWARDED_PROTO_UNKNOWN, FORWARDED_PROTO_HTTP, FORWARDED_PROTO_HTTPS };

struct forwarded {
    struct peer client; /* the peer itself when nobody else was named; port 0 when none was given */
    enum forwarded_proto proto; /* UNKNOWN: nobody said anything; the connection's own holds */
    struct str host;            /* what the client asked for, a valid host with an optional port,
                                    into the octets; empty: nobody said, head->host holds */
    bool has_deadline;
    uint32_t deadline_ms; /* what the client still waits for, from its first octet on */
    enum forwarded_chain chain;
    const char *reason; /* of a refusal: static text; else NULL */
};

/* schemes    n of them; 0: forwarded_usual_schemes. They and trusted must outlive the rules */
void forwarded_rules_init(struct forwarded_rules *rules, const struct network_list *trusted,
                          const struct forwarded_scheme *schemes, size_t n_schemes,
                          enum forwarded_look look);

/* May a head have fields that matter? Told by the lengths of its names, without a look at them. */
static inline bool forwarded_may_be_in(const struct forwarded_rules *rules, const struct head *head)
{
    return (rules->lengths & head->name_lengths) != 0;
}

/* There is a field, too, in which who asks says how long it waits for the answer. name outlives the
 * rules */
void forwarded_rules_watch_deadline(struct forwarded_rules *rules, struct str name);

/* Judges one request.
 *
 * Client: the first address from the right that is not trusted; see enum forwarded_chain for the
 * other ends. Several field lines are one list (RFC 9110 §5.3), and no quoted string goes over from
 * one line to another. X-Forwarded-For has addresses, with a port or in brackets at will.
 *
 * Scheme: each of rules->schemes that is there must say the same, and so must the Forwarded
 * element, or the request is refused with 400, as Gunicorn does. A proto= other than http and https
 * says nothing.
 *
 * Host and proto of Forwarded are those of the leftmost element that trusted proxies wrote and that
 * has them: it describes the client's own request. X-Forwarded-Host counts when there is exactly
 * one value. What is no valid host (http/guard.h), and one with a quoted-pair in it, says nothing.
 *
 * Deadline: a whole number of milliseconds, 0 … FORWARDED_DEADLINE_MAX_MS, in one field; anything
 * else is refused, since whoever sends it relies on it.
 *
 * peer     who is at the other end of the connection, after a PROXY header where there was one
 * head     judged by guard_judge(); base: first octet of the request line
 * Returns  0; else the status of the refusal, 400, with out->reason. *out is filled in both cases
 * Costs    without such fields some ten instructions a field; nothing is allocated */
int forwarded_judge(const struct forwarded_rules *rules, const struct peer *peer,
                    const struct head *head, const char *base, struct forwarded *out)
    __attribute__((warn_unused_result));

#endif
