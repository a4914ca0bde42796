/* SPDX-License-Identifier: Apache-2.0 */
#include "host/jail/jail_namespaces.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* Root's is everybody's whom the system's own users are; another one's is entered by way of its namespace of users. */
static bool network_join(int network_fd)
{
    if (setns(network_fd, CLONE_NEWNET) == 0) {
        return true;
    }
    int user_fd = ioctl(network_fd, NS_GET_USERNS);
    bool success = user_fd >= 0 && setns(user_fd, CLONE_NEWUSER) == 0 && setns(network_fd, CLONE_NEWNET) == 0;
    if (user_fd >= 0) {
        close(user_fd);
    }
    return success;
}

bool jail_namespaces_enter(int network_fd, bool *ret_has_namespaces, struct error *error)
{
    *ret_has_namespaces = false;
    bool has_network = network_fd != 0 && !JAIL_HAS_SANITIZER && network_join(network_fd);
    if (network_fd != 0) {
        close(network_fd);
    }
    if (JAIL_HAS_SANITIZER) {
        return true; /* it reads files when it reports */
    }
    int of_system = OF_SYSTEM & (has_network ? ~CLONE_NEWNET : ~0);
    /* Without one of users: root, where those are switched off, and who has come into one with the network. */
    if (unshare(CLONE_NEWUSER | of_system) != 0 && unshare(of_system) != 0) {
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
