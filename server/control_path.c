/* Where the control socket lies. Process: master before the first fork, and the commands.
 *
 * `auto` must give server and commands the same path though they are started differently: by
 * systemd or from a shell, with or without XDG_RUNTIME_DIR. So what names the socket is only what
 * both know, the path of the configuration file or the folder; and there are several places, of
 * which the server takes the first that it may write to, and the commands the first where somebody
 * answers:
 *     /run/remuda          root's, or a service's (RuntimeDirectory=remuda)
 *     XDG_RUNTIME_DIR      a user's, else /run/user/UID
 *     /tmp/remuda-UID      for containers that have neither; mode 0700, and owned by us or not used
 */
#include "server/control_path.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "config/settings.h"

#define LABEL_MAX 24 /* of the socket's name, what a person recognises it by */

/* FNV-1a: names need to differ, not to be secret. */
static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

/* "shop-0123456789abcdef.ctl" of /srv/shop/remuda.yaml, or of /srv/shop/. */
static void print_name(char *out, size_t cap, const char *identity)
{
    char label[LABEL_MAX + 1];
    size_t n = 0;
    const char *slash = strrchr(identity, '/');
    const char *first = slash;
    while (first > identity && first[-1] != '/')
        first--;
    for (; first < slash && n < LABEL_MAX; first++)
        label[n++] = isalnum((unsigned char)*first) ? *first : '_';
    label[n] = '\0';
    (void)snprintf(out, cap, "%s-%016llx.ctl", n > 0 ? label : "root",
                   (unsigned long long)hash(identity));
}

static int add_place(struct control_path *out, const char *folder, const char *name,
                     struct err *err)
{
    int n = snprintf(out->places[out->n], CONTROL_PATH_MAX, "%s/%s", folder, name);
    if (n < 0 || (size_t)n >= CONTROL_PATH_MAX)
        return err_set(err, ENAMETOOLONG, "%s/%s: a socket's path has at most %zu bytes", folder,
                       name, CONTROL_PATH_MAX - 1);
    (void)snprintf(out->folders[out->n++], CONTROL_PATH_MAX, "%s", folder);
    return 0;
}

static int find_auto(const struct settings *settings, struct control_path *out, struct err *err)
{
    char real[PATH_MAX];
    char identity[PATH_MAX + 2];
    char name[64];
    char folder[PATH_MAX];
    const char *file = settings->file ? settings->file : ".";
    if (!realpath(file, real))
        return err_set(err, errno, "%s: %s", file, strerror(errno));
    (void)snprintf(identity, sizeof identity, "%s%s", real, settings->file ? "" : "/");
    print_name(name, sizeof name, identity);
    int rc = add_place(out, "/run/remuda", name, err);
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/')
        (void)snprintf(folder, sizeof folder, "%s/remuda", runtime);
    else
        (void)snprintf(folder, sizeof folder, "/run/user/%u/remuda", (unsigned)geteuid());
    if (rc == 0)
        (void)add_place(out, folder, name, NULL); /* too long a path: there are others */
    (void)snprintf(folder, sizeof folder, "/tmp/remuda-%u", (unsigned)geteuid());
    return rc == 0 ? add_place(out, folder, name, err) : rc;
}

int control_path_find(const struct settings *settings, struct control_path *out, struct err *err)
{
    struct control_path path = {0};
    const char *given = settings->control_socket;
    int rc = 0;
    if (given[0] == '\0' || strcmp(given, "off") == 0) {
        path.is_off = true;
    } else if (strcmp(given, "auto") == 0) {
        rc = find_auto(settings, &path, err);
    } else {
        path.is_explicit = true;
        if (strlen(given) >= CONTROL_PATH_MAX)
            rc = err_set(err, ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", given,
                         CONTROL_PATH_MAX - 1);
        else
            (void)snprintf(path.places[path.n++], CONTROL_PATH_MAX, "%s", given);
    }
    if (rc == 0)
        *out = path;
    return rc;
}

const char *control_path_distrust(const char *folder)
{
    struct stat st;
    if (lstat(folder, &st) < 0)
        return strerror(errno);
    if (!S_ISDIR(st.st_mode))
        return "it is no folder";
    if (st.st_uid != 0 && st.st_uid != geteuid() && geteuid() != 0)
        return "it belongs to somebody else";
    return st.st_mode & (S_IWGRP | S_IWOTH) ? "others may write to it" : NULL;
}

const char *control_path_prepare(const struct control_path *path, struct err *err)
{
    if (path->is_explicit)
        return path->places[0];
    for (size_t i = 0; i < path->n; i++) {
        const char *folder = path->folders[i];
        /* Only that of all users is for others to look into. */
        mode_t mode = geteuid() == 0 && i == 0 ? 0755 : 0700;
        int code = mkdir(folder, mode) < 0 && errno != EEXIST ? errno : 0;
        const char *why = code ? strerror(code) : control_path_distrust(folder);
        if (!why && access(folder, W_OK | X_OK) < 0) {
            code = errno;
            why = strerror(code);
        }
        if (!why)
            return path->places[i];
        (void)err_set(err, code ? code : EACCES, "%s: %s", folder, why);
    }
    return NULL;
}
