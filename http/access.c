/* Access-log lines. A format is compiled to a list of items, each a piece of literal text or an
 * atom, so that rendering is one pass without allocation.
 *
 * Log injection is the risk here: everything that a peer chose goes through put_escaped(), which
 * leaves only printable ASCII. UTF-8 is escaped too, since U+2028, U+0085 and the bidirectional
 * controls forge lines in viewers just as well as LF does in files. */
#include "http/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "http/access_json.h"

#define ATOMS                                                                                      \
    "h l u t r m U q H s B b f a T D M L p {name}i {name}o {name}e {trace_id}x {task_end}x "       \
    "{task_wait_us}x {task_wall_us}x {task_cpu_us}x {task_faults}x {task_peak_bytes}x, and %% "    \
    "for a percent sign"
#define JSON_WORD "json" /* the whole format: objects instead of lines */

#define ELLIPSIS "…" /* three octets */
#define ELLIPSIS_LEN (sizeof ELLIPSIS - 1)

struct line {
    char *out;
    size_t len;
    size_t limit; /* what is behind is kept for the end of the line */
    bool is_cut;
    struct access_format *format; /* whose clock %(t)s takes */
};

struct item {
    void (*render)(struct line *line, const struct item *item, const struct access_entry *entry);
    struct str text; /* literal text, a header's name, an environment variable's value */
    char *owned;     /* heap, where text is not in the format's copy */
};

struct access_format {
    size_t n_items;
    struct item *items;
    char *text; /* copy of the format that items point into */
    bool is_json;
    bool has_trace;
    int64_t clock_seconds; /* the moment that clock_text tells: it changes once a second only */
    size_t clock_len;
    char clock_text[64];
};

/* ---- putting a line together ---- */

/* Whole or not at all, so that no escape is cut. */
static void put(struct line *line, const char *data, size_t len)
{
    if (line->is_cut || len > line->limit - line->len) {
        line->is_cut = true;
        return;
    }
    memcpy(line->out + line->len, data, len);
    line->len += len;
}

/* As much as there is room for. */
static void put_run(struct line *line, const char *data, size_t len)
{
    size_t room = line->limit - line->len;
    put(line, data, len < room ? len : room);
    line->is_cut |= len > room;
}

static bool is_plain(unsigned char c, bool with_blanks)
{
    return c >= (with_blanks ? 0x21 : 0x20) && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(struct line *line, struct str s, bool with_blanks)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < s.len && !line->is_cut; i++) {
        size_t run = i;
        while (run < s.len && is_plain((unsigned char)s.p[run], with_blanks))
            run++;
        put_run(line, s.p + i, run - i);
        i = run;
        if (i == s.len)
            return;
        unsigned char c = (unsigned char)s.p[i];
        char escape[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
        bool is_short = c == '"' || c == '\\';
        if (is_short)
            escape[1] = (char)c;
        put(line, escape, is_short ? 2 : 4);
    }
}

static void put_or_dash(struct line *line, struct str s, bool with_blanks)
{
    if (s.len == 0)
        put(line, "-", 1);
    else
        put_escaped(line, s, with_blanks);
}

static void put_number(struct line *line, uint64_t value)
{
    char digits[STR_U64_MAX];
    put(line, digits, str_print_u64(digits, value));
}

/* ---- atoms ---- */

#define ATOM(name)                                                                                 \
    static void atom_##name(struct line *line, __attribute__((unused)) const struct item *item,    \
                            __attribute__((unused)) const struct access_entry *e)

/* Cut between characters, never inside one of the operator's UTF-8. */
ATOM(literal)
{
    size_t n = item->text.len;
    size_t room = line->limit - line->len;
    if (n > room) {
        n = room;
        while (n > 0 && ((unsigned char)item->text.p[n] & 0xc0) == 0x80)
            n--;
    }
    put(line, item->text.p, n);
    line->is_cut |= n < item->text.len;
}

ATOM(peer)
{
    put_or_dash(line, e->peer_address, true);
}

ATOM(dash)
{
    put(line, "-", 1);
}

/* localtime_r(3) and printing cost more than all the rest of a line. */
static void set_clock(struct access_format *format, time_t seconds)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec"; /* in no locale's words */
    struct tm t;
    int n = -1;
    if (localtime_r(&seconds, &t)) { /* else a year beyond int */
        long minutes = labs(t.tm_gmtoff) / 60;
        n = snprintf(format->clock_text, sizeof format->clock_text,
                     "[%02d/%.3s/%04d:%02d:%02d:%02d %c%02ld%02ld]", t.tm_mday,
                     months + (size_t)t.tm_mon * 3, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec,
                     t.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60);
    }
    if (n <= 0 || (size_t)n >= sizeof format->clock_text) {
        format->clock_text[0] = '-';
        n = 1;
    }
    format->clock_len = (size_t)n;
    format->clock_seconds = seconds;
}

ATOM(time)
{
    int64_t seconds = e->wall_us / 1000000;
    if (seconds != line->format->clock_seconds)
        set_clock(line->format, (time_t)seconds);
    put(line, line->format->clock_text, line->format->clock_len);
}

ATOM(request_line)
{
    if (e->method.len + e->target.len + e->protocol.len == 0) {
        put(line, "-", 1);
        return;
    }
    put_escaped(line, e->method, false);
    put(line, " ", 1);
    put_escaped(line, e->target, false);
    if (e->protocol.len > 0) /* of a request that a worker died of it is not known */
        put(line, " ", 1);
    put_escaped(line, e->protocol, false);
}

ATOM(target)
{
    put_or_dash(line, e->target, true);
}

ATOM(method)
{
    put_or_dash(line, e->method, true);
}

ATOM(path)
{
    put_or_dash(line, e->path, true);
}

ATOM(query)
{
    put_escaped(line, e->query, true);
}

ATOM(protocol)
{
    put_or_dash(line, e->protocol, true);
}

ATOM(status)
{
    if (e->status == 0)
        put(line, "-", 1);
    else
        put_number(line, (uint64_t)e->status);
}

ATOM(bytes)
{
    put_number(line, e->body_bytes);
}

ATOM(bytes_or_dash)
{
    if (e->body_bytes == 0)
        put(line, "-", 1);
    else
        put_number(line, e->body_bytes);
}

ATOM(seconds)
{
    put_number(line, e->elapsed_us / 1000000);
}

ATOM(microseconds)
{
    put_number(line, e->elapsed_us);
}

ATOM(milliseconds)
{
    put_number(line, e->elapsed_us / 1000);
}

ATOM(decimal_seconds)
{
    char fraction[STR_U64_MAX];
    (void)str_print_u64(fraction, 1000000 + e->elapsed_us % 1000000); /* a 1, then six digits */
    fraction[0] = '.';
    put_number(line, e->elapsed_us / 1000000);
    put(line, fraction, 7);
}

ATOM(pid)
{
    put(line, "<", 1);
    put_number(line, (uint64_t)e->pid);
    put(line, ">", 1);
}

ATOM(trace_id)
{
    put_or_dash(line, e->trace_id, true);
}

ATOM(task_end)
{
    put_or_dash(line, e->task ? str_of(e->task->end) : (struct str){0}, true);
}

/* A number of the task, by its place there. */
static void put_used(struct line *line, const struct access_entry *e, size_t at)
{
    uint64_t value;
    if (!e->task || !e->task->is_measured) {
        put(line, "-", 1);
        return;
    }
    memcpy(&value, (const char *)e->task + at, sizeof value);
    put_number(line, value);
}

#define USED_ATOM(name)                                                                            \
    ATOM(task_##name)                                                                              \
    {                                                                                              \
        put_used(line, e, offsetof(struct access_task, name));                                     \
    }
USED_ATOM(wait_us)
USED_ATOM(wall_us)
USED_ATOM(cpu_us)
USED_ATOM(faults)
USED_ATOM(peak_bytes)

static struct str request_header(const struct access_entry *e, struct str name)
{
    return e->request_header ? e->request_header(e->context, name) : (struct str){NULL, 0};
}

ATOM(referer)
{
    put_or_dash(line, request_header(e, STR("Referer")), false);
}

ATOM(user_agent)
{
    put_or_dash(line, request_header(e, STR("User-Agent")), false);
}

ATOM(request_header)
{
    put_or_dash(line, request_header(e, item->text), false);
}

ATOM(response_header)
{
    struct str none = {NULL, 0};
    put_or_dash(line, e->response_header ? e->response_header(e->context, item->text) : none,
                false);
}

ATOM(environment)
{
    put_or_dash(line, item->text, false);
}

static int base64_value(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

struct str access_user(const struct access_entry *entry, char out[ACCESS_USER_MAX])
{
    struct str none = {NULL, 0};
    struct str field = str_trim(request_header(entry, STR("Authorization")));
    if (field.len <= 6 || !str_is_equal_nocase(str_make(field.p, 6), STR("Basic ")))
        return none;
    struct str token = str_trim(str_make(field.p + 6, field.len - 6));
    unsigned bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < token.len && n < ACCESS_USER_MAX; i++) {
        int value = base64_value(token.p[i]);
        if (value < 0)
            return none;
        bits = (bits << 6 | (unsigned)value) & 0xfff;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        out[n] = (char)(bits >> n_bits & 0xff);
        if (out[n] == ':')
            return str_make(out, n);
        n++;
    }
    return none;
}

ATOM(user)
{
    char user[ACCESS_USER_MAX];
    put_or_dash(line, access_user(e, user), true);
}

struct atom {
    const char *name;
    void (*render)(struct line *line, const struct item *item, const struct access_entry *entry);
};

static const struct atom atoms[] = {
    {"h", atom_peer},
    {"l", atom_dash},
    {"u", atom_user},
    {"t", atom_time},
    {"r", atom_request_line},
    {"m", atom_method},
    {"U", atom_path},
    {"q", atom_query},
    {"H", atom_protocol},
    {"s", atom_status},
    {"B", atom_bytes},
    {"b", atom_bytes_or_dash},
    {"f", atom_referer},
    {"a", atom_user_agent},
    {"T", atom_seconds},
    {"D", atom_microseconds},
    {"M", atom_milliseconds},
    {"L", atom_decimal_seconds},
    {"p", atom_pid},
    {"{trace_id}x", atom_trace_id},
    {"{task_end}x", atom_task_end},
    {"{task_wait_us}x", atom_task_wait_us},
    {"{task_wall_us}x", atom_task_wall_us},
    {"{task_cpu_us}x", atom_task_cpu_us},
    {"{task_faults}x", atom_task_faults},
    {"{task_peak_bytes}x", atom_task_peak_bytes},
};

/* ---- compiling ---- */

/* Gunicorn's {name}e looks into the environment of the request that WSGI makes, where names have no
 * case; what of it is here has its own names in these rows. */
static const struct atom variables[] = {
    {"REQUEST_METHOD", atom_method}, {"RAW_URI", atom_target},           {"PATH_INFO", atom_path},
    {"QUERY_STRING", atom_query},    {"SERVER_PROTOCOL", atom_protocol}, {"REMOTE_ADDR", atom_peer},
};

static bool is_named(struct str name, const char *row)
{
    return str_is_equal_nocase(name, str_of(row));
}

/* HTTP_X_ONE, CONTENT_TYPE and CONTENT_LENGTH are fields of the request. NULL: out of memory */
static char *name_field(struct str name)
{
    size_t skip = name.len > 5 && is_named(str_make(name.p, 5), "HTTP_") ? 5 : 0;
    char *field = strndup(name.p + skip, name.len - skip);
    for (char *at = field; at && *at; at++)
        *at = *at == '_' ? '-' : *at;
    return field;
}

/* The process's own. Now and not for each line: getenv(3) races with an application that calls
 * setenv(3). NULL: out of memory */
static char *read_environment(struct str name)
{
    char *key = strndup(name.p, name.len);
    const char *value = key ? getenv(key) : NULL;
    char *copy = key ? strdup(value ? value : "") : NULL;
    free(key);
    return copy;
}

static int compile_variable(struct str name, struct item *item)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        if (is_named(name, variables[i].name)) {
            item->render = variables[i].render;
            return 0;
        }
    }
    bool is_field = is_named(name, "CONTENT_TYPE") || is_named(name, "CONTENT_LENGTH") ||
                    (name.len > 5 && is_named(str_make(name.p, 5), "HTTP_"));
    item->owned = is_field ? name_field(name) : read_environment(name);
    item->text = str_of(item->owned);
    item->render = is_field ? atom_request_header : atom_environment;
    return item->owned ? 0 : -ENOMEM;
}

/* {name}i, {name}o or {name}e. Returns 0; -EINVAL; -ENOMEM */
static int compile_named(struct str atom, struct item *item)
{
    if (atom.len < 4 || atom.p[0] != '{' || atom.p[atom.len - 2] != '}')
        return -EINVAL;
    struct str name = str_make(atom.p + 1, atom.len - 3);
    item->text = name;
    switch (atom.p[atom.len - 1]) {
    case 'i':
        item->render = atom_request_header;
        return 0;
    case 'o':
        item->render = atom_response_header;
        return 0;
    case 'e':
        return compile_variable(name, item);
    default:
        return -EINVAL;
    }
}

static int compile_atom(struct str name, struct item *item)
{
    for (size_t i = 0; i < sizeof atoms / sizeof atoms[0]; i++) {
        if (str_is_equal(name, str_of(atoms[i].name))) {
            item->render = atoms[i].render;
            return 0;
        }
    }
    return compile_named(name, item);
}

/* What begins at the "%" `at`. Returns its length; -EINVAL; -ENOMEM */
static int compile_percent(const char *at, struct item *item)
{
    if (at[1] == '%') {
        *item = (struct item){atom_literal, {at, 1}, NULL};
        return 2;
    }
    const char *close = at[1] == '(' ? strchr(at, ')') : NULL;
    if (!close || close[1] != 's')
        return -EINVAL;
    int rc = compile_atom(str_make(at + 2, (size_t)(close - at) - 2), item);
    return rc < 0 ? rc : (int)(close - at) + 2;
}

static int compile(struct access_format *format, struct err *err)
{
    for (const char *at = format->text; *at;) {
        struct item *item = &format->items[format->n_items++];
        int len;
        if (*at == '%') {
            len = compile_percent(at, item);
        } else {
            len = (int)strcspn(at, "%");
            *item = (struct item){atom_literal, {at, (size_t)len}, NULL};
            for (int i = 0; i < len; i++) {
                if (((unsigned char)at[i] < 0x20 && at[i] != '\t') || at[i] == 0x7f)
                    return err_set(err, EINVAL,
                                   "control character at position %td: a request gives one line",
                                   at + i - format->text + 1);
            }
        }
        if (len == -ENOMEM)
            return err_set(err, ENOMEM, "no memory for the access log's format");
        if (len < 0)
            return err_set(err, EINVAL,
                           "\"%.*s\" at position %td is no atom; %%(x)s takes for x one of " ATOMS,
                           (int)strcspn(at, " \"\t"), at, at - format->text + 1);
        at += len;
        format->has_trace |= item->render == atom_trace_id;
    }
    return 0;
}

int access_format_new(const char *format, struct access_format **out_format, struct err *err)
{
    size_t n = 1; /* an item for each "%" and for what is before, between and behind */
    for (const char *at = format; *at; at++)
        n += *at == '%' ? 2 : 0;
    struct access_format *made = calloc(1, sizeof *made);
    if (made) {
        made->items = calloc(n, sizeof *made->items);
        made->text = strdup(format);
        made->is_json = made->has_trace = strcmp(format, JSON_WORD) == 0;
        made->clock_seconds = INT64_MIN;
    }
    int rc;
    if (!made || !made->items || !made->text || strlen(format) > INT16_MAX)
        rc = err_set(err, ENOMEM, "no memory for the access log's format");
    else
        rc = made->is_json ? 0 : compile(made, err);
    if (rc < 0)
        access_format_free(made);
    else
        *out_format = made;
    return rc;
}

void access_format_free(struct access_format *format)
{
    if (!format)
        return;
    for (size_t i = 0; i < format->n_items; i++)
        free(format->items[i].owned);
    free(format->items);
    free(format->text);
    free(format);
}

bool access_has_trace(const struct access_format *format)
{
    return format->has_trace;
}

/* Rendered before the line itself: a long target can't push out why the worker was killed. */
static void put_last_words(struct line *line, const struct access_entry *entry)
{
    put(line, " trace=", 7);
    put_or_dash(line, entry->trace_id, true);
    put(line, " note=\"", 7);
    put_escaped(line, entry->note, false);
    line->limit++; /* kept for this */
    line->is_cut = false;
    put(line, "\"", 1);
}

size_t access_render(struct access_format *format, const struct access_entry *entry, char *out,
                     size_t cap)
{
    if (format->is_json)
        return access_json_render(entry, out, cap);
    char words[512];
    struct line last = {.out = words, .limit = cap / 2 < sizeof words ? cap / 2 : sizeof words};
    last.limit--;
    if (entry->note.len > 0)
        put_last_words(&last, entry);

    struct line line = {.out = out, .limit = cap - ELLIPSIS_LEN - last.len - 1, .format = format};
    for (size_t i = 0; i < format->n_items && !line.is_cut; i++)
        format->items[i].render(&line, &format->items[i], entry);
    char *end = out + line.len;
    if (line.is_cut) {
        memcpy(end, ELLIPSIS, ELLIPSIS_LEN);
        end += ELLIPSIS_LEN;
    }
    memcpy(end, words, last.len);
    end[last.len] = '\n';
    return (size_t)(end - out) + last.len + 1;
}
