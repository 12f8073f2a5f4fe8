/* Requests on the control socket, as a pure function. */
#include "server/control_request.h"

#include <errno.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json_value.h"

const char *const control_request_names[CONTROL_REQUEST_KINDS] = {
    [CONTROL_REQUEST_STATUS] = "status",   [CONTROL_REQUEST_RELOAD] = "reload",
    [CONTROL_REQUEST_STOP] = "stop",       [CONTROL_REQUEST_SCALE] = "scale",
    [CONTROL_REQUEST_UPGRADE] = "upgrade", [CONTROL_REQUEST_REOPEN] = "reopen",
    [CONTROL_REQUEST_ROUTES] = "routes",   [CONTROL_REQUEST_DUMP] = "dump",
};

#define KIND(name) (1U << CONTROL_REQUEST_##name)

static int read_kind(struct str value, struct control_request *out)
{
    char name[16];
    if (json_value_text(value, name, sizeof name) < 0)
        return -EINVAL;
    for (int i = 0; i < CONTROL_REQUEST_KINDS; i++) {
        if (str_is_equal(str_of(name), str_of(control_request_names[i]))) {
            out->kind = (enum control_request_kind)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int read_wait(struct str value, struct control_request *out)
{
    if (json_value_kind(value) != JSON_BOOL)
        return -EINVAL;
    out->wants_outcome = value.p[0] == 't';
    return 0;
}

static int read_how(struct str value, struct control_request *out)
{
    out->is_quick = str_is_equal(value, STR("\"quick\""));
    return out->is_quick || str_is_equal(value, STR("\"graceful\"")) ? 0 : -EINVAL;
}

static int read_workers(struct str value, struct control_request *out)
{
    char text[16];
    if (json_value_kind(value) == JSON_NUMBER)
        return control_request_parse_workers(value, &out->is_relative, &out->workers);
    if (json_value_text(value, text, sizeof text) < 0)
        return -EINVAL;
    return control_request_parse_workers(str_of(text), &out->is_relative, &out->workers);
}

static int read_pool(struct str value, struct control_request *out)
{
    int rc = json_value_text(value, out->pool, sizeof out->pool);
    return rc < 0 || out->pool[0] == '\0' ? -EINVAL : 0;
}

static const struct member {
    const char *name;
    int (*read)(struct str value, struct control_request *out);
    unsigned kinds; /* whose it is */
    const char *allowed;
} members[] = {
    {"request", read_kind, ~0U,
     "\"status\", \"reload\", \"stop\", \"scale\", \"upgrade\", \"reopen\", \"routes\", \"dump\""},
    {"wait", read_wait, KIND(RELOAD) | KIND(UPGRADE) | KIND(STOP), "true, false"},
    {"how", read_how, KIND(STOP), "\"graceful\", \"quick\""},
    {"workers", read_workers, KIND(SCALE), "1 to 512, \"+N\", \"-N\""},
    {"pool", read_pool, KIND(SCALE), "the name of a compute pool"},
};
#define N_MEMBERS (sizeof members / sizeof members[0])

int control_request_parse_workers(struct str text, bool *out_is_relative, int *out_workers)
{
    uint64_t n;
    bool is_relative = text.len > 0 && (text.p[0] == '+' || text.p[0] == '-');
    struct str digits = str_make(text.p + is_relative, text.len - is_relative);
    if (str_parse_u64(digits, CONTROL_REQUEST_WORKERS_MAX, &n) < 0 || n == 0)
        return -EINVAL;
    *out_is_relative = is_relative;
    *out_workers = is_relative && text.p[0] == '-' ? -(int)n : (int)n;
    return 0;
}

static size_t find_member(struct str name)
{
    size_t i = 0;
    while (i < N_MEMBERS && !str_is_equal(str_of(members[i].name), name))
        i++;
    return i;
}

int control_request_parse(struct str line, struct control_request *out, struct err *err)
{
    struct control_request request = {.wants_outcome = true};
    struct str object, name, value;
    struct str at = {0};
    bool is_given[N_MEMBERS] = {false};
    const char *wrong = json_value_check(line, &object);
    if (wrong)
        return err_set(err, EINVAL, "a request is a line of JSON, this has %s", wrong);
    if (json_value_kind(object) != JSON_OBJECT)
        return err_set(err, EINVAL, "a request is a JSON object: {\"request\":\"status\"}");
    while (json_value_next(object, &at, &name, &value)) {
        size_t i = find_member(name);
        if (i == N_MEMBERS)
            return err_set(
                err, EINVAL,
                "no request has a member \"%.*s\"; allowed: request, wait, how, workers, pool",
                name.len > 40 ? 40 : (int)name.len, name.p);
        if (is_given[i])
            return err_set(err, EINVAL, "\"%s\" is there twice", members[i].name);
        if (members[i].read(value, &request) < 0)
            return err_set(
                err, EINVAL, "\"%s\" is %.*s; this version (" REMUDA_VERSION ") knows: %s",
                members[i].name, value.len > 40 ? 40 : (int)value.len, value.p, members[i].allowed);
        is_given[i] = true;
    }
    if (!is_given[0])
        return err_set(err, EINVAL, "\"request\" is missing; allowed: %s", members[0].allowed);
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (is_given[i] && !(members[i].kinds & (1U << request.kind)))
            return err_set(err, EINVAL, "\"%s\" means nothing for \"%s\"", members[i].name,
                           control_request_names[request.kind]);
    if (request.kind == CONTROL_REQUEST_SCALE && !is_given[find_member(STR("workers"))])
        return err_set(err, EINVAL, "\"workers\" is missing; allowed: 1 to 512, \"+N\", \"-N\"");
    *out = request;
    return 0;
}
