/* The bounding set, setgroups, setresgid, setresuid, the other capabilities: in this order, since
 * the later ones take away the right to the earlier.
 *
 * Capabilities go also when nobody else is to be become. As root: root without them still owns
 * what is root's, but can't load a module, trace others, or read their files. As a user who was
 * given some (CAP_NET_BIND_SERVICE by systemd): the master needs them, workers get their sockets
 * from it. The master itself keeps what it was started with: what it can't do without (to change
 * users, to open logs anywhere, to signal workers of another user) is as good as root, so that
 * giving up the rest would only look safer; and it runs nobody's code. */
#include "workers/privileges.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "config/settings.h"
#include "workers/capabilities.h"

static int find_user(const char *text, bool has_group, uid_t *out_uid, gid_t *out_gid,
                     const char **out_name, struct err *err)
{
    uint64_t id;
    bool is_number = str_parse_u64(str_of(text), UINT32_MAX - 1, &id) == 0;
    errno = 0;
    const struct passwd *entry = is_number ? getpwuid((uid_t)id) : getpwnam(text);
    if (!entry && !is_number)
        return err_set(err, ENOENT, "user: there is no user \"%s\"", text);
    if (!entry && !has_group) /* else the group would stay the one that we were started with */
        return err_set(err, ENOENT, "user: %s is in no user database: set group, too", text);
    *out_uid = entry ? entry->pw_uid : (uid_t)id;
    *out_gid = entry ? entry->pw_gid : getegid();
    *out_name = entry ? entry->pw_name : NULL;
    return 0;
}

static int find_group(const char *text, gid_t *out_gid, struct err *err)
{
    uint64_t id;
    if (str_parse_u64(str_of(text), UINT32_MAX - 1, &id) == 0) {
        *out_gid = (gid_t)id;
        return 0;
    }
    const struct group *entry = getgrnam(text);
    if (!entry)
        return err_set(err, ENOENT, "group: there is no group \"%s\"", text);
    *out_gid = entry->gr_gid;
    return 0;
}

/* Becomes who the settings say. */
static int become(const struct settings *settings, uid_t uid, gid_t gid, const char *name,
                  struct err *err)
{
    if (geteuid() != 0)
        return err_set(err, EPERM, "user, group: only root may change to uid %u, gid %u",
                       (unsigned)uid, (unsigned)gid);
    if (settings->initgroups && name ? initgroups(name, gid) < 0 : setgroups(1, &gid) < 0)
        return err_set(err, errno, "setgroups: %s", strerror(errno));
    if (setresgid(gid, gid, gid) < 0)
        return err_set(err, errno, "setresgid %u: %s", (unsigned)gid, strerror(errno));
    if (setresuid(uid, uid, uid) < 0)
        return err_set(err, errno, "setresuid %u: %s", (unsigned)uid, strerror(errno));
    if (uid != 0 && setuid(0) == 0)
        return err_set(err, EPERM, "the way back to root is still open after setresuid");
    return 0;
}

static int forbid_new(struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return err_set(err, errno, "prctl(PR_SET_NO_NEW_PRIVS): %s", strerror(errno));
    return 0;
}

/* As the kernel says it, not as it was asked for. */
static void tell(void)
{
    struct err err;
    struct capabilities c;
    if (!log_is_on(LOG_LEVEL_DEBUG) || capabilities_read(&c, &err) < 0)
        return;
    log_debug("privileges",
              "uid=%u gid=%u groups=%d effective=%" PRIx64 " permitted=%" PRIx64
              " inheritable=%" PRIx64 " bounding=%" PRIx64 " ambient=%" PRIx64 " no_new_privs=%d",
              (unsigned)geteuid(), (unsigned)getegid(), getgroups(0, NULL), c.effective,
              c.permitted, c.inheritable, c.bounding, c.ambient,
              prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

int privileges_drop(const struct settings *settings, struct err *err)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    const char *name = NULL;
    bool is_drop = settings->capabilities == CAPABILITIES_DROP;
    int rc = 0;
    if (settings->user)
        rc = find_user(settings->user, settings->group != NULL, &uid, &gid, &name, err);
    if (rc == 0 && settings->group)
        rc = find_group(settings->group, &gid, err);
    if (rc == 0 && is_drop)
        rc = capabilities_unbind(err);
    if (rc == 0 && (uid != geteuid() || gid != getegid()))
        rc = become(settings, uid, gid, name, err);
    if (rc == 0 && is_drop)
        rc = capabilities_clear(err);
    if (rc == 0 && settings->no_new_privs)
        rc = forbid_new(err);
    if (rc == 0)
        tell();
    return rc;
}
