/* Process: loader, and the one of --single, while they have one thread: capabilities belong to
 * threads (capset(2)).
 *
 * Two system calls and a prctl(2), which have no wrapper in the C library. libcap and libcap-ng
 * have one, but all that is wanted here is "none": the sets are cleared, nothing is computed. */
#include "workers/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

#define SETS _LINUX_CAPABILITY_U32S_3

/* What the kernel knows: it refuses the first number behind. */
static int last_capability(void)
{
    int n = 0;
    while (n < 64 && prctl(PR_CAPBSET_READ, n, 0, 0, 0) >= 0)
        n++;
    return n - 1;
}

int capabilities_unbind(struct err *err)
{
    for (int n = last_capability(); n >= 0; n--)
        if (prctl(PR_CAPBSET_DROP, n, 0, 0, 0) < 0)
            return errno == EPERM
                       ? 0
                       : err_set(err, errno, "prctl(PR_CAPBSET_DROP, %d): %s", n, strerror(errno));
    return 0;
}

int capabilities_read(struct capabilities *out, struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[SETS] = {0};
    if (syscall(SYS_capget, &head, sets) < 0)
        return err_set(err, errno, "capget: %s", strerror(errno));
    *out = (struct capabilities){
        .effective = sets[0].effective | (uint64_t)sets[1].effective << 32,
        .permitted = sets[0].permitted | (uint64_t)sets[1].permitted << 32,
        .inheritable = sets[0].inheritable | (uint64_t)sets[1].inheritable << 32,
    };
    for (int n = last_capability(); n >= 0; n--) {
        out->bounding |= (uint64_t)(prctl(PR_CAPBSET_READ, n, 0, 0, 0) == 1) << n;
        out->ambient |= (uint64_t)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, n, 0, 0) == 1) << n;
    }
    return 0;
}

int capabilities_clear(struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[SETS] = {0};
    struct capabilities left;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_set(err, errno, "prctl(PR_CAP_AMBIENT): %s", strerror(errno));
    if (syscall(SYS_capset, &head, none) < 0)
        return err_set(err, errno, "capset: %s", strerror(errno));
    int rc = capabilities_read(&left, err);
    if (rc == 0 && (left.effective | left.permitted | left.inheritable | left.ambient) != 0)
        rc = err_set(err, EPERM, "capabilities are left after capset: %llx",
                     (unsigned long long)(left.effective | left.permitted | left.inheritable |
                                          left.ambient));
    return rc;
}
