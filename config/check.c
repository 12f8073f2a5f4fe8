/* Cross-field rules. Each rule is a function of a few lines; complaints find their place by the
 * settings' sources, so that the person is led to the line that was written last. */
#include "config/check.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/safedir.h"
#include "config/pool.h"
#include "config/schema.h"
#include "config/value.h"

#define CHECK_HEALTH_MAX 100 /* fits limit_request_line, whatever that is */
#define CHECK_SERVER_MAX 100 /* as http/conn.h, which has no room for more in the common fields */

static void complain_at(const struct settings *s, enum setting_id id, unsigned line,
                        unsigned column, struct mistakes *m, const char *text)
{
    const struct setting_source *source = &s->sources[id];
    const char *name = schema_specs[id].name;
    switch (source->origin) {
    case SETTING_FROM_FILE:
        mistakes_add_at(m, source->where, line, column, "%s: %s", name, text);
        break;
    case SETTING_FROM_ENVIRONMENT:
        mistakes_add(m, "environment: %s: %s: %s", source->where, name, text);
        break;
    case SETTING_FROM_COMMAND_LINE:
        mistakes_add(m, "command line: %s: %s", source->where, text);
        break;
    default:
        mistakes_add(m, "%s: %s", name, text);
        break;
    }
}

void check_complain(const struct settings *s, enum setting_id id, struct mistakes *m,
                    const char *format, ...)
{
    struct err err;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    complain_at(s, id, s->sources[id].line, s->sources[id].column, m, err.text);
}

static bool is_later(const struct setting_source *a, const struct setting_source *b)
{
    if (a->origin != b->origin)
        return a->origin > b->origin;
    return a->line != b->line ? a->line > b->line : a->column > b->column;
}

/* Whether a rule about two settings makes sense: none of them was refused. */
static bool are_good(const struct settings *s, enum setting_id a, enum setting_id b)
{
    return !s->sources[a].is_bad && !s->sources[b].is_bad;
}

static const char *print(char out[64], const struct settings *s, enum setting_id id)
{
    struct buf text = {0};
    bool is_printed = value_print(&text, s, &schema_specs[id], 0) == 0;
    (void)snprintf(out, 64, "%s", is_printed && text.data ? text.data : "?");
    buf_fini(&text);
    return out;
}

/* Two sizes of which one is a part of the other. */
static void check_part(const struct settings *s, enum setting_id part, enum setting_id whole,
                       struct mistakes *m)
{
    const uint64_t *part_bytes = schema_peek_field(s, &schema_specs[part]);
    const uint64_t *whole_bytes = schema_peek_field(s, &schema_specs[whole]);
    if (!are_good(s, part, whole) || *part_bytes <= *whole_bytes)
        return;
    char a[64];
    char b[64];
    if (is_later(&s->sources[part], &s->sources[whole]))
        check_complain(s, part, m, "%s is more than %s, which is %s; allowed: at most that",
                       print(a, s, part), schema_specs[whole].name, print(b, s, whole));
    else
        check_complain(s, whole, m, "%s is less than %s, which is %s; allowed: at least that",
                       print(a, s, whole), schema_specs[part].name, print(b, s, part));
}

static void check_user(const struct settings *s, struct mistakes *m)
{
    if (s->user)
        return;
    if (s->group && are_good(s, SETTING_ID_group, SETTING_ID_user))
        check_complain(s, SETTING_ID_group, m,
                       "is set without user; workers would change their group and keep the user "
                       "that started the server; set user as well");
    if (s->initgroups && are_good(s, SETTING_ID_initgroups, SETTING_ID_user))
        check_complain(s, SETTING_ID_initgroups, m,
                       "is on without user, whose groups are meant; set user as well");
}

static void check_binds(const struct settings *s, struct mistakes *m)
{
    for (size_t i = 1; i < s->bind.n; i++) {
        const struct setting_bind *bind = &s->bind.items[i];
        for (size_t k = 0; k < i; k++) {
            if (strcmp(bind->text, s->bind.items[k].text) != 0)
                continue;
            if (bind->kind == SETTING_BIND_TCP && bind->port == 0)
                continue; /* the kernel gives each a port of its own */
            char text[sizeof((struct err *)0)->text];
            (void)snprintf(text, sizeof text, "%s is there twice; allowed: each address once",
                           bind->text);
            complain_at(s, SETTING_ID_bind, bind->line, bind->column, m, text);
            break;
        }
    }
}

/* Two sockets of one server can't share an address; the kernel would say so of a server that is
 * only starting. */
static void check_admin(const struct settings *s, struct mistakes *m)
{
    const struct setting_bind *admin = s->admin_bind;
    for (size_t i = 0; admin && i < s->bind.n; i++) {
        const struct setting_bind *bind = &s->bind.items[i];
        char text[sizeof((struct err *)0)->text];
        if (strcmp(bind->text, admin->text) != 0 ||
            (bind->kind == SETTING_BIND_TCP && bind->port == 0))
            continue;
        (void)snprintf(text, sizeof text,
                       "its bind is %s, which bind has too; allowed: one of its own", admin->text);
        complain_at(s, SETTING_ID_admin, admin->line, admin->column, m, text);
        return;
    }
}

/* What is wrong with a member of secure_scheme_headers. NULL: nothing */
static const char *check_scheme(const struct settings_node *first, const struct settings_node *node)
{
    struct str value = str_make(node->text, node->len);
    if (!str_is_token(str_of(node->key)))
        return "is no name of a header field; allowed: letters, digits and !#$%&'*+-.^_`|~";
    for (const struct settings_node *other = first; other != node; other = other->next)
        if (str_is_equal_nocase(str_of(other->key), str_of(node->key)))
            return "is there twice, since case does not matter; allowed: each field once";
    if (node->kind != SETTINGS_SCALAR || node->is_null || value.len == 0)
        return "has no text; allowed: the value that means https";
    if (str_has_control(value) || str_trim(value).len < value.len)
        return "has a value that no field can have; allowed: text without blanks around it and "
               "without control characters";
    return NULL;
}

static void check_schemes(const struct settings *s, struct mistakes *m)
{
    const struct setting_source *source = &s->sources[SETTING_ID_secure_scheme_headers];
    const struct settings_node *first = s->secure_scheme_headers->first;
    for (const struct settings_node *node = first; node; node = node->next) {
        char quoted[VALUE_QUOTE_MAX];
        const char *wrong = check_scheme(first, node);
        if (!wrong)
            continue;
        value_quote(quoted, str_of(node->key));
        if (node->key_line > 0)
            mistakes_add_at(m, source->where, node->key_line, node->key_column,
                            "secure_scheme_headers: %s %s", quoted, wrong);
        else
            mistakes_add(m, "command line: --set secure_scheme_headers: %s %s", quoted, wrong);
    }
}

static void check_mounts(const struct settings *s, struct mistakes *m)
{
    for (size_t i = 1; i < s->static_mounts.n; i++) {
        const struct setting_mount *mount = &s->static_mounts.items[i];
        for (size_t k = 0; k < i; k++) {
            if (strcmp(mount->path, s->static_mounts.items[k].path) != 0)
                continue;
            char quoted[VALUE_QUOTE_MAX];
            char text[2 * VALUE_QUOTE_MAX];
            (void)snprintf(text, sizeof text, "%s is there twice; allowed: each path once",
                           value_quote(quoted, str_of(mount->path)));
            complain_at(s, SETTING_ID_static, mount->line, mount->column, m, text);
            break;
        }
    }
}

/* A daemon's standard streams lead nowhere: nothing is to be lost there. */
static void check_daemon(const struct settings *s, struct mistakes *m)
{
    static const enum setting_id logs[] = {SETTING_ID_errorlog, SETTING_ID_accesslog};
    static const char *const streams[] = {"standard error", "standard output"};
    for (size_t i = 0; s->daemon && i < sizeof logs / sizeof logs[0]; i++) {
        const char *const *path = schema_peek_field(s, &schema_specs[logs[i]]);
        if (*path && strcmp(*path, "-") == 0 && are_good(s, SETTING_ID_daemon, logs[i]))
            check_complain(s, SETTING_ID_daemon, m,
                           "is on, but %s is \"-\", %s, which a daemon does not have; set %s to a "
                           "file",
                           schema_specs[logs[i]].name, streams[i], schema_specs[logs[i]].name);
    }
}

static void check_field_name(const struct settings *s, enum setting_id id, const char *name,
                             struct mistakes *m)
{
    if (name[0] != '\0' && !str_is_token(str_of(name)))
        check_complain(s, id, m,
                       "is no name of a header field; allowed: letters, digits and "
                       "!#$%%&'*+-.^_`|~, or nothing");
}

static void check_own_fields(const struct settings *s, struct mistakes *m)
{
    size_t len = strlen(s->server_header);
    if (len > CHECK_SERVER_MAX)
        check_complain(s, SETTING_ID_server_header, m, "%zu bytes long; allowed: at most %d", len,
                       CHECK_SERVER_MAX);
    if (str_has_control(str_make(s->server_header, len)))
        check_complain(s, SETTING_ID_server_header, m,
                       "has a control character; allowed: text that a field can have");
    check_field_name(s, SETTING_ID_request_id_header, s->request_id_header, m);
    check_field_name(s, SETTING_ID_deadline_header, s->deadline_header, m);
}

static void check_health(const struct settings *s, struct mistakes *m)
{
    size_t len = strlen(s->health_check);
    size_t n = 0;
    while (n < len && s->health_check[n] > ' ' && s->health_check[n] < 0x7f &&
           s->health_check[n] != '#')
        n++;
    if (len > 0 && (s->health_check[0] != '/' || n < len || len > CHECK_HEALTH_MAX))
        check_complain(
            s, SETTING_ID_health_check, m,
            "is no path to ask for; allowed: one that begins with /, such as /health, of "
            "at most %d visible ASCII characters without #",
            CHECK_HEALTH_MAX);
}

void check_settings(const struct settings *s, struct mistakes *mistakes, struct mistakes *warnings)
{
    check_own_fields(s, mistakes);
    check_health(s, mistakes);
    check_daemon(s, mistakes);
    check_schemes(s, mistakes);
    check_user(s, mistakes);
    check_binds(s, mistakes);
    check_admin(s, mistakes);
    check_mounts(s, mistakes);
    pool_check(s, warnings);
    check_part(s, SETTING_ID_limit_request_line, SETTING_ID_limit_request_head, mistakes);
    check_part(s, SETTING_ID_limit_request_field_size, SETTING_ID_limit_request_head, mistakes);

    if (s->max_requests_jitter > 0 && s->max_requests == 0 &&
        are_good(s, SETTING_ID_max_requests_jitter, SETTING_ID_max_requests))
        check_complain(s, SETTING_ID_max_requests_jitter, warnings,
                       "has no effect, since max_requests is 0; set max_requests as well");

    /* The default, written out, is no mistake: `remuda config` does that. */
    const char *usual = schema_specs[SETTING_ID_access_log_format].default_text;
    if (strcmp(s->access_log_format, usual) != 0 && !s->accesslog &&
        are_good(s, SETTING_ID_access_log_format, SETTING_ID_accesslog))
        check_complain(s, SETTING_ID_access_log_format, warnings,
                       "has no effect, since accesslog is off; set accesslog to a path or \"-\"");
}

/* path as seen after the server has changed to `chdir`. */
static const char *from_chdir(char out[PATH_MAX], const struct settings *s, const char *path)
{
    if (path[0] == '/' || !s->chdir)
        (void)snprintf(out, PATH_MAX, "%s", path);
    else if (snprintf(out, PATH_MAX, "%s/%s", s->chdir, path) >= PATH_MAX)
        out[0] = '\0'; /* too long for the kernel too: ENOENT */
    return out;
}

static void check_folder_of(const struct settings *s, enum setting_id id, const char *path,
                            unsigned line, unsigned column, struct mistakes *m)
{
    char folder[PATH_MAX];
    struct stat st;
    if (!path || strcmp(path, "-") == 0)
        return;
    from_chdir(folder, s, path);
    char *slash = strrchr(folder, '/');
    if (!slash)
        return;
    slash[slash == folder] = '\0';
    if (stat(folder, &st) == 0 && S_ISDIR(st.st_mode))
        return;
    char quoted[VALUE_QUOTE_MAX];
    char text[2 * VALUE_QUOTE_MAX];
    (void)snprintf(text, sizeof text, "no folder %s; allowed: a path whose folder exists",
                   value_quote(quoted, str_of(folder)));
    complain_at(s, id, line, column, m, text);
}

static void check_app(const struct settings *s, struct mistakes *m)
{
    char path[PATH_MAX];
    char quoted[VALUE_QUOTE_MAX];
    struct stat st;
    if (!s->app)
        return;
    from_chdir(path, s, s->app);
    int code = stat(path, &st) < 0 || access(path, R_OK) < 0 ? errno : 0;
    if (code == 0 && S_ISREG(st.st_mode))
        return;
    check_complain(s, SETTING_ID_app, m, "%s: %s; allowed: path of a readable shared object",
                   value_quote(quoted, str_of(path)),
                   code != 0 ? strerror(code) : "not a regular file");
}

static void check_mounted(const struct settings *s, const struct setting_mount *mount,
                          struct mistakes *m)
{
    char folder[PATH_MAX];
    char quoted[VALUE_QUOTE_MAX];
    char text[2 * VALUE_QUOTE_MAX];
    struct stat st;
    int code = stat(from_chdir(folder, s, mount->folder), &st) < 0 ? errno : 0;
    if (code == 0 && S_ISDIR(st.st_mode))
        return;
    (void)snprintf(text, sizeof text, "%s: %s; allowed: a folder that exists",
                   value_quote(quoted, str_of(folder)),
                   code != 0 ? strerror(code) : "not a folder");
    complain_at(s, SETTING_ID_static, mount->line, mount->column, m, text);
}

/* The folder is written to at the end as well, when the file is removed. */
static void check_pidfile(const struct settings *s, struct mistakes *m)
{
    char path[PATH_MAX];
    char quoted[VALUE_QUOTE_MAX];
    const struct setting_source *source = &s->sources[SETTING_ID_pidfile];
    if (!s->pidfile)
        return;
    size_t before = m->n;
    check_folder_of(s, SETTING_ID_pidfile, s->pidfile, source->line, source->column, m);
    if (m->n > before)
        return;
    from_chdir(path, s, s->pidfile);
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = '\0';
    const char *folder = slash ? path : ".";
    if (access(folder, W_OK | X_OK) < 0)
        check_complain(s, SETTING_ID_pidfile, m,
                       "folder %s: %s; allowed: a path in a folder that can be written to",
                       value_quote(quoted, str_of(folder)), strerror(errno));
}

/* Opened as it will be when there is something to write. */
static void check_crash_dir(const struct settings *s, struct mistakes *m)
{
    char path[PATH_MAX];
    struct err err;
    int fd = -1;
    if (s->crash_dir && safedir_open(from_chdir(path, s, s->crash_dir), &fd, &err) < 0)
        check_complain(
            s, SETTING_ID_crash_dir, m,
            "%s; allowed: a folder that exists, is yours or root's, and that nobody else "
            "can write to",
            err.text);
    fd_close(&fd);
}

void check_files(const struct settings *s, struct mistakes *mistakes)
{
    struct stat st;
    char quoted[VALUE_QUOTE_MAX];
    if (s->chdir && (stat(s->chdir, &st) < 0 || !S_ISDIR(st.st_mode))) {
        check_complain(s, SETTING_ID_chdir, mistakes, "no folder %s; allowed: a folder that exists",
                       value_quote(quoted, str_of(s->chdir)));
        return; /* whatever is relative to it would be told again */
    }
    char folder[PATH_MAX];
    if (s->spool_dir &&
        (stat(from_chdir(folder, s, s->spool_dir), &st) < 0 || !S_ISDIR(st.st_mode)))
        check_complain(s, SETTING_ID_spool_dir, mistakes,
                       "no folder %s; allowed: a folder that exists",
                       value_quote(quoted, str_of(folder)));
    static const enum setting_id logs[] = {SETTING_ID_errorlog, SETTING_ID_accesslog,
                                           SETTING_ID_slowlog};
    check_app(s, mistakes);
    check_pidfile(s, mistakes);
    check_crash_dir(s, mistakes);
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        const char *const *path = schema_peek_field(s, &schema_specs[logs[i]]);
        check_folder_of(s, logs[i], *path, s->sources[logs[i]].line, s->sources[logs[i]].column,
                        mistakes);
    }
    for (size_t i = 0; i < s->bind.n; i++)
        check_folder_of(s, SETTING_ID_bind, s->bind.items[i].path, s->bind.items[i].line,
                        s->bind.items[i].column, mistakes);
    for (size_t i = 0; i < s->static_mounts.n; i++)
        check_mounted(s, &s->static_mounts.items[i], mistakes);
}
