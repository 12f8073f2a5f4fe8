/* workers/privileges.c: who drops privileges has no way back, and who can't is told why. Each test
 * runs in a process of its own, since there is no way back. */
#include "workers/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "config/settings.h"
#include "tests/harness/check.h"
#include "workers/capabilities.h"

#undef fork

#define SOME_ID 61234 /* of nobody */

static struct settings settings;
static struct err err;

/* For use in the child, where a failing check must not jump. */
#define WANT(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: does not hold: %s (%s)\n", __FILE__, __LINE__,           \
                          #condition, err.text);                                                   \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int drop(const char *user, const char *group, bool initgroups)
{
    err = (struct err){0};
    settings.user = user;
    settings.group = group;
    settings.initgroups = initgroups;
    return privileges_drop(&settings, &err);
}

static void play(int (*in_child)(void))
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(in_child());
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_SAYING(status == 0, "the process of this test failed: status %x", (unsigned)status);
}

/* Only root can become somebody else. */
static void play_as_root(int (*in_child)(void))
{
    if (geteuid() != 0)
        skip();
    play(in_child);
}

/* All three of each id, and no supplementary group but those. */
static bool is_all(uid_t uid, gid_t gid)
{
    uid_t uids[3];
    gid_t gids[3];
    if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
        return false;
    for (int i = 0; i < 3; i++)
        if (uids[i] != uid || gids[i] != gid)
            return false;
    return true;
}

static bool has_only_group(gid_t gid)
{
    gid_t groups[64];
    int n = getgroups(64, groups);
    for (int i = 0; i < n; i++)
        if (groups[i] != gid)
            return false;
    return n >= 0;
}

static bool has_no_capabilities(void)
{
    char line[256];
    bool is_found = false;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        unsigned long long set = 0;
        if (sscanf(line, "CapEff: %llx", &set) == 1 || sscanf(line, "CapPrm: %llx", &set) == 1) {
            is_found = true;
            if (set)
                return false;
        }
    }
    if (file)
        (void)fclose(file);
    return is_found;
}

/* ---- nothing to do ---- */

static int stay(void)
{
    char user[16], group[16];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    (void)snprintf(user, sizeof user, "%u", (unsigned)uid);
    (void)snprintf(group, sizeof group, "%u", (unsigned)gid);
    WANT(drop(NULL, NULL, false) == 0 && is_all(uid, gid));
    WANT(drop(user, group, false) == 0 && is_all(uid, gid));
    WANT(drop(NULL, group, true) == 0 && is_all(uid, gid));
    return 0;
}

static void without_user_and_group_nothing_changes(void **state)
{
    (void)state;
    play(stay);
}

/* ---- as root ---- */

static int become_numbers(void)
{
    gid_t extra[] = {1, 2, 3};
    WANT(setgroups(3, extra) == 0);
    WANT(drop("61234", "61235", false) == 0);
    WANT(is_all(SOME_ID, SOME_ID + 1));
    WANT(has_only_group(SOME_ID + 1));
    WANT(has_no_capabilities());
    WANT(setuid(0) < 0 && seteuid(0) < 0 && setgid(0) < 0 && setgroups(3, extra) < 0);
    WANT(drop("0", NULL, false) == -EPERM); /* and this module finds none either */
    WANT(err.code == EPERM && strstr(err.text, "only root"));
    return 0;
}

static void who_drops_privileges_has_no_way_back(void **state)
{
    (void)state;
    play_as_root(become_numbers);
}

static int become_name(void)
{
    const struct passwd *entry = getpwnam("nobody");
    if (!entry)
        return 0; /* no such user on this machine: the numbers are tested above */
    uid_t uid = entry->pw_uid;
    gid_t gid = entry->pw_gid;
    WANT(drop("nobody", NULL, false) == 0);
    WANT(is_all(uid, gid)); /* the user's own group, when no other is named */
    WANT(has_only_group(gid) && has_no_capabilities());
    return 0;
}

static void a_user_by_name_brings_its_group(void **state)
{
    (void)state;
    play_as_root(become_name);
}

static int become_with_groups(void)
{
    const struct passwd *entry = getpwnam("nobody");
    gid_t extra[] = {1, 2, 3};
    if (!entry)
        return 0;
    WANT(setgroups(3, extra) == 0);
    gid_t expected[64];
    int n_expected = 64;
    (void)getgrouplist("nobody", SOME_ID, expected, &n_expected);
    WANT(drop("nobody", "61234", true) == 0);
    gid_t groups[64];
    WANT(getgroups(64, groups) == n_expected);
    return 0;
}

static void initgroups_takes_the_users_own_groups(void **state)
{
    (void)state;
    play_as_root(become_with_groups);
}

static int become_group(void)
{
    gid_t extra[] = {1, 2, 3};
    WANT(setgroups(3, extra) == 0);
    WANT(drop(NULL, "61234", false) == 0);
    WANT(is_all(0, SOME_ID) && has_only_group(SOME_ID));
    return 0;
}

static void a_group_alone_leaves_the_user(void **state)
{
    (void)state;
    play_as_root(become_group);
}

/* ---- rights without a user ---- */

static int drop_capabilities(void)
{
    struct capabilities c;
    WANT(drop(NULL, NULL, false) == 0 && is_all(0, 0));
    WANT(has_no_capabilities() && capabilities_read(&c, &err) == 0);
    WANT((c.effective | c.permitted | c.inheritable | c.ambient | c.bounding) == 0);
    WANT(setgroups(0, NULL) < 0 && setresuid(1, 1, 1) < 0); /* what root might do otherwise */
    return 0;
}

static void capabilities_go_without_a_change_of_user(void **state)
{
    (void)state;
    play_as_root(drop_capabilities);
}

static int keep_capabilities(void)
{
    struct capabilities before, after;
    settings.capabilities = CAPABILITIES_KEEP;
    WANT(capabilities_read(&before, &err) == 0 && before.effective != 0);
    WANT(drop(NULL, NULL, false) == 0 && capabilities_read(&after, &err) == 0);
    WANT(memcmp(&before, &after, sizeof before) == 0);
    return 0;
}

static void capabilities_are_kept_when_asked_for(void **state)
{
    (void)state;
    play_as_root(keep_capabilities);
}

static int forbid_new(void)
{
    WANT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 || getenv("REMUDA_UNDER_VALGRIND"));
    settings.no_new_privs = true;
    WANT(drop(NULL, NULL, false) == 0);
    WANT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    WANT(drop(NULL, NULL, false) == 0); /* twice is as good */
    return 0;
}

static void new_privileges_are_forbidden(void **state)
{
    (void)state;
    play(forbid_new);
}

/* ---- refusals ---- */

static int ask_for_strangers(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    WANT(drop("4000000000", NULL, false) == -ENOENT); /* of no database: of which group? */
    WANT(strstr(err.text, "set group"));
    WANT(drop("no-such-user-here", NULL, false) == -ENOENT);
    WANT(err.code == ENOENT && strstr(err.text, "user") && strstr(err.text, "no-such-user-here"));
    WANT(drop(NULL, "no-such-group-here", false) == -ENOENT);
    WANT(strstr(err.text, "group") && strstr(err.text, "no-such-group-here"));
    WANT(drop("61234", "no-such-group-here", false) == -ENOENT); /* before anything was changed */
    WANT(drop("", NULL, false) == -ENOENT);
    WANT(drop("-1", NULL, false) == -ENOENT);
    WANT(drop("4294967295", NULL, false) == -ENOENT); /* (uid_t)-1 means "leave it" to the kernel */
    WANT(drop(NULL, "4294967295", false) == -ENOENT);
    WANT(drop("4294967296", NULL, false) == -ENOENT); /* and no number wraps to root */
    WANT(is_all(uid, gid));
    return 0;
}

static void strangers_are_refused_before_anything_changes(void **state)
{
    (void)state;
    play(ask_for_strangers);
}

static int ask_without_right(void)
{
    if (geteuid() == 0)
        WANT(setgroups(0, NULL) == 0 && setresgid(SOME_ID, SOME_ID, SOME_ID) == 0 &&
             setresuid(SOME_ID, SOME_ID, SOME_ID) == 0);
    WANT(drop("0", NULL, false) == -EPERM);
    WANT(strstr(err.text, "only root"));
    WANT(drop(NULL, "0", false) == -EPERM);
    WANT(drop("61999", "61999", true) == -EPERM);
    return 0;
}

static void only_root_may_become_somebody_else(void **state)
{
    (void)state;
    play(ask_without_right);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_user_and_group_nothing_changes),
        cmocka_unit_test(who_drops_privileges_has_no_way_back),
        cmocka_unit_test(a_user_by_name_brings_its_group),
        cmocka_unit_test(initgroups_takes_the_users_own_groups),
        cmocka_unit_test(a_group_alone_leaves_the_user),
        cmocka_unit_test(capabilities_go_without_a_change_of_user),
        cmocka_unit_test(capabilities_are_kept_when_asked_for),
        cmocka_unit_test(new_privileges_are_forbidden),
        cmocka_unit_test(strangers_are_refused_before_anything_changes),
        cmocka_unit_test(only_root_may_become_somebody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
