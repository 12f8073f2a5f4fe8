/* Parses addresses of `bind` into their parts and one canonical spelling, so that two spellings of
 * one address are seen to be the same. Whether a name exists is for who binds it to find out. */
#include "config/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/err.h"

#define HOST_MAX 253 /* RFC 1035 §2.3.4: 255 octets on the wire, so 253 characters */

static int refuse(struct err *err, const char *what)
{
    return err_set(err, EINVAL, "%s; allowed: " ADDRESS_FORMS, what);
}

static int parse_unix(struct arena *arena, struct str path, struct setting_bind *out,
                      struct err *err)
{
    if (path.len == 0)
        return refuse(err, "no path behind unix:");
    if (path.len >= sizeof((struct sockaddr_un *)0)->sun_path)
        return err_set(err, EINVAL, "the path has %zu bytes; allowed: at most %zu (unix(7))",
                       path.len, sizeof((struct sockaddr_un *)0)->sun_path - 1);
    const char *copy = arena_strndup(arena, path.p, path.len);
    const char *text = arena_printf(arena, NULL, "unix:%.*s", STR_ARG(path));
    if (!copy || !text)
        return err_set(err, ENOMEM, "out of memory");
    *out = (struct setting_bind){.kind = SETTING_BIND_UNIX, .path = copy, .text = text};
    return 0;
}

/* RFC 1123 §2.1 names, with the underscores that people use all the same. */
static bool is_host_name(const char *host)
{
    if (host[0] == '-' || host[0] == '.')
        return false;
    for (const char *p = host; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.' && *p != '_')
            return false;
    return true;
}

static bool is_all_of(const char *text, const char *set)
{
    return text[strspn(text, set)] == '\0';
}

/* Rewrites host in its canonical spelling. Returns NULL, or what is wrong with it. */
static const char *check_host(char host[HOST_MAX + 1], bool is_bracketed)
{
    if (is_bracketed) {
        char *scope = strchr(host, '%'); /* RFC 4007 §11: fe80::1%eth0; kept as it is */
        struct in6_addr v6;
        char plain[INET6_ADDRSTRLEN];
        char rest[HOST_MAX + 1] = "";
        if (scope) {
            (void)snprintf(rest, sizeof rest, "%s", scope);
            *scope = '\0';
        }
        if (inet_pton(AF_INET6, host, &v6) != 1 || (scope && rest[1] == '\0'))
            return "no IPv6 address between the brackets";
        (void)snprintf(host, HOST_MAX + 1, "%s%s", inet_ntop(AF_INET6, &v6, plain, sizeof plain),
                       rest);
        return NULL;
    }
    if (strchr(host, ':'))
        return "an IPv6 address needs brackets: [::1]:8000";
    struct in_addr v4;
    if (is_all_of(host, "0123456789.") && inet_pton(AF_INET, host, &v4) != 1)
        return "no IPv4 address before the port";
    if (!is_host_name(host))
        return "no host name before the port";
    for (char *p = host; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return NULL;
}

int address_parse(struct arena *arena, struct str text, struct setting_bind *out, struct err *err)
{
    if (text.len == 0)
        return refuse(err, "is empty");
    for (size_t i = 0; i < text.len; i++)
        if (iscntrl((unsigned char)text.p[i]))
            return refuse(err, "contains a control character");
    if (str_has_prefix(text, STR("unix:")))
        return parse_unix(arena, str_make(text.p + 5, text.len - 5), out, err);

    const char *colon = memrchr(text.p, ':', text.len);
    struct str host = str_make(text.p, colon ? (size_t)(colon - text.p) : 0);
    bool is_bracketed = text.p[0] == '[';
    if (!colon || (is_bracketed && (host.len < 2 || host.p[host.len - 1] != ']')))
        return refuse(err, is_bracketed ? "no port behind the bracket" : "has no port");
    uint64_t port;
    if (str_parse_u64(str_make(colon + 1, text.len - host.len - 1), 65535, &port) < 0)
        return refuse(err, "the port is no number from 0 to 65535");

    if (is_bracketed)
        host = str_make(host.p + 1, host.len - 2);
    char plain[HOST_MAX + 1];
    if (host.len > HOST_MAX)
        return refuse(err, "the host name is too long");
    if (host.len == 0 && !is_bracketed)
        host = STR("0.0.0.0"); /* as Gunicorn reads ":8000" */
    (void)snprintf(plain, sizeof plain, "%.*s", STR_ARG(host));
    const char *wrong = check_host(plain, is_bracketed);
    if (wrong)
        return refuse(err, wrong);

    const char *copy = arena_strndup(arena, plain, strlen(plain));
    const char *canonical =
        arena_printf(arena, NULL, is_bracketed ? "[%s]:%u" : "%s:%u", plain, (unsigned)port);
    if (!copy || !canonical)
        return err_set(err, ENOMEM, "out of memory");
    *out = (struct setting_bind){
        .kind = SETTING_BIND_TCP, .host = copy, .port = (uint16_t)port, .text = canonical};
    return 0;
}
