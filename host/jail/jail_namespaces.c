/* SPDX-License-Identifier: Apache-2.0 */
#include "host/jail/jail_namespaces.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "host/jail/jail_sanitizer.h"

#define OF_SYSTEM (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC)
#define ROOT_FLAGS (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* A directory that nearly every system has, and that nobody looks at afterwards. */
#define MOUNT_POINT "/proc"

/*
 * The root becomes a file system that is empty and read-only. By chroot, and not by pivot_root and taking the old root
 * away: that waits for all processors (namespace_unlock in the kernel's fs/namespace.c), a quarter of a short command.
 * A process without capabilities, whose directory is the new root and that has no other one open, does not get out of
 * it.
 */
static bool root_empty(void)
{
    return mount("none", MOUNT_POINT, "tmpfs", ROOT_FLAGS, "size=4k,nr_inodes=2,mode=0555") == 0 &&
           chdir(MOUNT_POINT) == 0 && chroot(".") == 0;
}

bool jail_namespaces_enter(bool *ret_has_namespaces, struct error *error)
{
    *ret_has_namespaces = false;
    if (JAIL_HAS_SANITIZER) {
        return true; /* it reads files when it reports */
    }
    /* Root may have them without one of users, where those are switched off. */
    if (unshare(CLONE_NEWUSER | OF_SYSTEM) != 0 && unshare(OF_SYSTEM) != 0) {
        return true;
    }
    /*
     * In a namespace of users that was given without its rights (EPERM), or under a profile that forbids mounts
     * (EACCES), as some systems do, nothing can be mounted. In a chroot whose root is no mount point (EINVAL), what is
     * mounted would show outside. All the same the process has no way to what it has left.
     */
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 &&
        (errno == EPERM || errno == EACCES || errno == EINVAL)) {
        return true;
    }
    if (access(MOUNT_POINT, F_OK) != 0) {
        return true;
    }
    if (!root_empty()) {
        return error_set(error, ERROR_HOST, NULL, "cannot empty the file system of the machine's process: %s",
                         strerror(errno));
    }
    *ret_has_namespaces = true;
    return true;
}
