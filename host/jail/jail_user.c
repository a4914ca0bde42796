/* SPDX-License-Identifier: Apache-2.0 */
#include "host/jail/jail_user.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int jail_user_become(uid_t uid, gid_t gid)
{
    pid_t parent = getppid();
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct before[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, before) != 0 || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) {
        return errno;
    }
    /* The user last: it takes the effective capabilities away, and with them the right to the other two. */
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0 ||
        syscall(SYS_capset, &header, before) != 0 || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return errno;
    }
    if (getppid() != parent) {
        _exit(EXIT_FAILURE); /* the parent ended before the line above */
    }
    return 0;
}
