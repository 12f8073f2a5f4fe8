/* Addresses to listen on, as `bind` writes them. */
#ifndef REMUDA_CONFIG_ADDRESS_H
#define REMUDA_CONFIG_ADDRESS_H

#include "base/str.h"
#include "config/settings.h"

struct err;

#define ADDRESS_FORMS "host:port, [ipv6]:port, :port, unix:/path (port 0 to 65535)"

/* Reads one address. Names are not resolved.
 * text     such as "127.0.0.1:8000", "[::1]:80", ":80", "localhost:http" is refused, "unix:/run/a"
 * out      its texts lie in the arena; line and column are 0
 * Returns  0; -EINVAL, *err says what is wrong; -ENOMEM */
int address_parse(struct arena *arena, struct str text, struct setting_bind *out, struct err *err)
    __attribute__((warn_unused_result));

#endif
