/* setgroups, then setresgid, then setresuid: in this order, since the later ones take away the
 * right to the earlier. */
#include "workers/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "config/settings.h"

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

int privileges_drop(const struct settings *settings, struct err *err)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    const char *name = NULL;
    int rc = 0;
    if (settings->user)
        rc = find_user(settings->user, settings->group != NULL, &uid, &gid, &name, err);
    if (rc == 0 && settings->group)
        rc = find_group(settings->group, &gid, err);
    if (rc < 0 || (uid == geteuid() && gid == getegid()))
        return rc;
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
