/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_JAIL_JAIL_USER_H
#define INSTAR_HOST_JAIL_JAIL_USER_H

#include <sys/types.h>

/*
 * Becomes another user, in one group and no other; for a process of root's with one thread. Capabilities stay, for what
 * is still to be opened, until jail_privileges_drop. The parent-death signal is armed anew, as the kernel forgets it.
 * Returns 0 or an errno: EPERM and EINVAL where this process cannot have other users, as in a namespace without them.
 */
int jail_user_become(uid_t uid, gid_t gid);

#endif
