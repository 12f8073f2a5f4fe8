/* Fuzz target: fields of proxies. The first octet says which fields are looked at, the second what
 * the client claims (how many octets of the rest); then come fields, "Name: value" a line. Trusted
 * are 10.0.0.0/8, fd00::/8 and unix sockets.
 *
 * A peer that is not trusted never changes anything. From one that is, what comes out is an address
 * that was named, trusted or not as the chain says, and a valid host. When the walk ended at a
 * client, whatever that client put in front changes nothing; and one trusted hop more, at the
 * right, changes nothing either. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "http/forwarded.h"
#include "http/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS_MAX 40
#define OCTETS_MAX 20000

/* A head, as guard_judge() leaves it. */
struct request {
    struct head head;
    struct field fields[FIELDS_MAX];
    char *octets; /* heap, of the exact size */
    size_t len;
};

static struct network networks[3];
static const struct network_list trusted = {networks, 3};
static struct network any;
static const struct network_list everybody = {&any, 1};
static const struct network_list nobody = {0};

static struct str trim_line(struct str line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.p[i] == '\r' || line.p[i] == '\0')
            line.len = i; /* guard_judge() lets none of them through */
    return str_trim(line);
}

static void add(struct request *r, struct str name, struct str before, struct str value,
                struct str behind)
{
    struct field *field = &r->fields[r->head.n_fields++];
    const struct str parts[] = {name, before, value, behind};
    field->name_at = (uint32_t)r->len;
    field->name_len = (uint32_t)name.len;
    for (size_t i = 0; i < 4; i++) {
        if (parts[i].len > 0)
            memcpy(r->octets + r->len, parts[i].p, parts[i].len);
        r->len += parts[i].len;
    }
    field->value_at = field->name_at + field->name_len;
    field->value_len = (uint32_t)(r->len - field->value_at);
}

static struct str next_line(struct str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->len);
    struct str line = str_make(rest->p, end ? (size_t)(end - rest->p) : rest->len);
    *rest = end ? str_make(end + 1, rest->len - line.len - 1) : str_make(rest->p, 0);
    return line;
}

static bool is_list(struct str name)
{
    return str_is_equal_nocase(name, STR("forwarded")) ||
           str_is_equal_nocase(name, STR("x-forwarded-for"));
}

/* claim: goes in front of the first line of each list; hop: "10.0.0.1" goes behind the last. */
static void make(struct request *r, struct str text, struct str claim, bool has_hop)
{
    uint32_t last[2] = {UINT32_MAX, UINT32_MAX};
    bool is_claimed[2] = {false, false};
    r->octets = malloc(OCTETS_MAX);
    RMD_ASSERT(r->octets);
    r->len = 0;
    r->head = (struct head){.fields = r->fields};
    for (int round = 0; round < 2; round++) {
        uint32_t n = 0;
        for (struct str rest = text; rest.len > 0 && n < FIELDS_MAX;) {
            struct str line = trim_line(next_line(&rest));
            const char *colon = line.len > 0 ? memchr(line.p, ':', line.len) : NULL;
            if (!colon || colon == line.p)
                continue;
            struct str name = str_make(line.p, (size_t)(colon - line.p));
            struct str value = str_trim(str_make(colon + 1, line.len - name.len - 1));
            bool is_rfc7239 = name.len == 9;
            if (round == 0) {
                if (is_list(name))
                    last[is_rfc7239] = n;
            } else {
                bool is_first = is_list(name) && !is_claimed[is_rfc7239];
                is_claimed[is_rfc7239] |= is_first;
                add(r, name, is_first ? claim : STR(""), value,
                    !has_hop || last[is_rfc7239] != n ? STR("")
                    : is_rfc7239                      ? STR(",for=10.0.0.1")
                                                      : STR(", 10.0.0.1"));
            }
            n++;
        }
    }
    char *exact = malloc(r->len + 1);
    RMD_ASSERT(exact);
    memcpy(exact, r->octets, r->len);
    free(r->octets);
    r->octets = exact;
}

struct verdict {
    int status;
    struct forwarded out;
};

static struct verdict judge(const struct request *r, const struct network_list *list,
                            enum forwarded_look look, const struct peer *peer)
{
    struct verdict v;
    struct forwarded_rules rules;
    forwarded_rules_init(&rules, list, NULL, 0, look);
    memset(&v, 0xaa, sizeof v);
    v.status = forwarded_judge(&rules, peer, &r->head, r->octets, &v.out);
    return v;
}

static bool is_same_peer(const struct peer *a, const struct peer *b)
{
    char texts[2][PEER_TEXT_MAX];
    size_t len = request_format_peer(a, true, texts[0]);
    return request_format_peer(b, true, texts[1]) == len && memcmp(texts[0], texts[1], len) == 0;
}

static void check_untouched(const struct verdict *v, const struct peer *peer)
{
    RMD_ASSERT(v->status == 0 && !v->out.reason && is_same_peer(&v->out.client, peer));
    RMD_ASSERT(v->out.proto == FORWARDED_PROTO_UNKNOWN && v->out.host.len == 0);
    RMD_ASSERT(v->out.chain == FORWARDED_CHAIN_NONE);
}

static void check_verdict(const struct verdict *v, const struct request *r,
                          const struct network_list *list, const struct peer *peer)
{
    const struct forwarded *out = &v->out;
    RMD_ASSERT(v->status == 0 || v->status == 400);
    RMD_ASSERT((v->status != 0) == (out->reason != NULL));
    RMD_ASSERT(out->proto <= FORWARDED_PROTO_HTTPS && out->chain <= FORWARDED_CHAIN_LONG);
    sa_family_t family = out->client.address.any.sa_family;
    RMD_ASSERT(family == AF_INET || family == AF_INET6 || is_same_peer(&out->client, peer));
    bool is_trusted = network_has(list, &out->client.address.any);
    RMD_ASSERT(is_trusted == (out->chain != FORWARDED_CHAIN_CLIENT));
    RMD_ASSERT(out->chain != FORWARDED_CHAIN_NONE || is_same_peer(&out->client, peer));
    if (out->host.len > 0) {
        RMD_ASSERT(guard_is_host(out->host));
        RMD_ASSERT(out->host.p >= r->octets && out->host.p + out->host.len <= r->octets + r->len);
    }
}

static void check_same(const struct verdict *a, const struct verdict *b)
{
    RMD_ASSERT(a->status == b->status && a->out.reason == b->out.reason);
    RMD_ASSERT(is_same_peer(&a->out.client, &b->out.client));
    RMD_ASSERT(a->out.proto == b->out.proto && a->out.chain == b->out.chain);
    RMD_ASSERT(str_is_equal(a->out.host, b->out.host));
}

static void open_networks(void)
{
    RMD_ASSERT(network_parse(STR("10.0.0.0/8"), &networks[0], NULL) == 0);
    RMD_ASSERT(network_parse(STR("fd00::/8"), &networks[1], NULL) == 0);
    RMD_ASSERT(network_parse(STR("unix"), &networks[2], NULL) == 0);
    RMD_ASSERT(network_parse(STR("*"), &any, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4000)
        return 0;
    open_networks();
    static const enum forwarded_look looks[] = {FORWARDED_LOOK_ANY, FORWARDED_LOOK_RFC7239,
                                                FORWARDED_LOOK_X};
    enum forwarded_look look = looks[data[0] % 3];
    struct str text = str_make((const char *)data + 2, size - 2);
    char claim_text[257];
    size_t claimed = data[1] < text.len ? data[1] : text.len;
    struct str claim = str_make(claim_text, claimed + 1);
    for (size_t i = 0; i < claimed; i++) {
        char c = text.p[text.len - 1 - i]; /* from behind, so that it is no copy of the fields */
        claim_text[i] = c;
        if (c == '\r' || c == '\n' || c == '\0')
            claim_text[i] = '"';
    }
    claim_text[claimed] = ',';

    struct request request;
    make(&request, text, STR(""), false);
    struct peer stranger = {.address.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = 0x01020304}};
    struct peer proxy = {.address.any.sa_family = AF_UNIX};
    struct verdict v = judge(&request, &trusted, look, &stranger);
    check_untouched(&v, &stranger);
    v = judge(&request, &nobody, look, &proxy);
    check_untouched(&v, &proxy);
    v = judge(&request, &everybody, look, &stranger);
    check_verdict(&v, &request, &everybody, &stranger);
    v = judge(&request, &trusted, look, &proxy);
    check_verdict(&v, &request, &trusted, &proxy);

    if (look != FORWARDED_LOOK_ANY && v.status == 0 && v.out.chain == FORWARDED_CHAIN_CLIENT) {
        struct request other;
        make(&other, text, claim, false);
        struct verdict with_claim = judge(&other, &trusted, look, &proxy);
        check_same(&v, &with_claim);
        free(other.octets);
        make(&other, text, claim, true);
        struct verdict with_hop = judge(&other, &trusted, look, &proxy);
        if (with_hop.out.chain != FORWARDED_CHAIN_LONG)
            check_same(&v, &with_hop);
        free(other.octets);
    }
    free(request.octets);
    return 0;
}
