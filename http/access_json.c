/* Access log as JSON. What a line says and in which order is one table.
 *
 * All strings of a request together can be longer than a line, and an object cut anywhere is none.
 * So a line that does not fit is made again with at most half as many bytes for each string, until
 * it does: what is short, which is most, stays whole, and no string is starved by one before it. */
#include "http/access_json.h"

#include "base/json.h"
#include "http/date.h"

#define ELLIPSIS "…"

struct object {
    char *out;
    size_t len;
    size_t cap;
    size_t each;  /* bytes that a string may take, without its quotes */
    bool is_full; /* something found no room */
};

static void put(struct object *object, const char *data, size_t len)
{
    if (len > object->cap - object->len) {
        object->is_full = true;
        return;
    }
    memcpy(object->out + object->len, data, len);
    object->len += len;
}

static void put_text(struct object *object, struct str text)
{
    if (text.len == 0) {
        put(object, "null", 4);
        return;
    }
    put(object, "\"", 1);
    size_t room = object->cap - object->len;
    size_t taken;
    object->len += json_escape(object->out + object->len, room < object->each ? room : object->each,
                               text, &taken);
    if (taken < text.len) {
        object->is_full |= room <= object->each;
        put(object, ELLIPSIS, sizeof ELLIPSIS - 1);
    }
    put(object, "\"", 1);
}

static void put_number(struct object *object, uint64_t value)
{
    char digits[STR_U64_MAX];
    put(object, digits, str_print_u64(digits, value));
}

/* ---- members ---- */

#define MEMBER(name) static void member_##name(struct object *object, const struct access_entry *e)

MEMBER(time)
{
    char stamp[DATE_STAMP_LEN + 1];
    date_format_stamp(stamp, e->wall_us);
    put(object, "\"", 1);
    put(object, stamp, DATE_STAMP_LEN);
    put(object, "\"", 1);
}

MEMBER(peer)
{
    put_text(object, str_is_equal(e->peer_address, STR("-")) ? STR("") : e->peer_address);
}

MEMBER(user)
{
    char user[ACCESS_USER_MAX];
    put_text(object, access_user(e, user));
}

MEMBER(method)
{
    put_text(object, e->method);
}

MEMBER(target)
{
    put_text(object, e->target);
}

MEMBER(path)
{
    put_text(object, e->path);
}

MEMBER(query)
{
    put_text(object, e->query);
}

MEMBER(protocol)
{
    put_text(object, e->protocol);
}

MEMBER(status)
{
    if (e->status == 0)
        put(object, "null", 4);
    else
        put_number(object, (uint64_t)e->status);
}

MEMBER(bytes)
{
    put_number(object, e->body_bytes);
}

MEMBER(duration_us)
{
    put_number(object, e->elapsed_us);
}

static struct str find_field(const struct access_entry *e, struct str name)
{
    return e->request_header ? e->request_header(e->context, name) : STR("");
}

MEMBER(referer)
{
    put_text(object, find_field(e, STR("Referer")));
}

MEMBER(user_agent)
{
    put_text(object, find_field(e, STR("User-Agent")));
}

MEMBER(trace_id)
{
    put_text(object, e->trace_id);
}

MEMBER(pid)
{
    put_number(object, (uint64_t)e->pid);
}

#define ROW(name)                                                                                  \
    {                                                                                              \
        {",\"" #name "\":", sizeof #name + 3}, member_##name                                       \
    }

static const struct {
    struct str key; /* with a comma in front */
    void (*put)(struct object *object, const struct access_entry *entry);
} members[] = {
    ROW(time),        ROW(peer),    ROW(user),       ROW(method),   ROW(target),
    ROW(path),        ROW(query),   ROW(protocol),   ROW(status),   ROW(bytes),
    ROW(duration_us), ROW(referer), ROW(user_agent), ROW(trace_id), ROW(pid),
};

/* Only in lines of requests that were one. */
static void put_task(struct object *object, const struct access_task *task)
{
    const struct {
        struct str key;
        uint64_t value;
    } numbers[] = {{STR(",\"task_wait_us\":"), task->wait_us},
                   {STR(",\"task_wall_us\":"), task->wall_us},
                   {STR(",\"task_cpu_us\":"), task->cpu_us},
                   {STR(",\"task_faults\":"), task->faults},
                   {STR(",\"task_peak_bytes\":"), task->peak_bytes}};
    put(object, ",\"task_end\":", 12);
    put_text(object, str_of(task->end));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        put(object, numbers[i].key.p, numbers[i].key.len);
        if (task->is_measured)
            put_number(object, numbers[i].value);
        else
            put(object, "null", 4);
    }
}

/* Returns false: it does not fit */
static bool render(struct object *object, const struct access_entry *entry)
{
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        put(object, members[i].key.p, members[i].key.len);
        members[i].put(object, entry);
    }
    if (entry->task)
        put_task(object, entry->task);
    if (entry->note.len > 0) {
        put(object, ",\"note\":", 8);
        put_text(object, entry->note);
    }
    put(object, "}\n", 2);
    object->out[0] = '{'; /* over the first comma */
    return !object->is_full;
}

size_t access_json_render(const struct access_entry *entry, char *out, size_t cap)
{
    struct object object = {.out = out, .cap = cap, .each = cap};
    while (!render(&object, entry)) {
        object.len = 0;
        object.is_full = false;
        object.each /= 2; /* with 0 it takes some 700 bytes */
    }
    return object.len;
}
