/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/files/file_handle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/attributes.h"

/* "/proc/self/fd/" and a number */
#define HANDLE_LINK_LEN 32

/* Those that linux/magic.h does not have: fs/configfs/mount.c, fs/fuse/control.c, ipc/mqueue.c of the kernel. */
#define CONFIGFS_MAGIC 0x62656570
#define FUSE_CONTROL_MAGIC 0x65735543
#define MQUEUE_MAGIC 0x19800202

static void handle_link(char link[HANDLE_LINK_LEN], int handle)
{
    snprintf(link, HANDLE_LINK_LEN, "/proc/self/fd/%d", handle);
}

int file_handle_open(int handle, int flags)
{
    char link[HANDLE_LINK_LEN];
    handle_link(link, handle);
    int fd = open(link, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0) {
        fcntl(fd, F_SETFL, flags & O_APPEND); /* cannot fail; io_uring would not wait for the disk otherwise */
    }
    return fd;
}

int file_handle_open_waiting(int handle, int flags)
{
    char link[HANDLE_LINK_LEN];
    handle_link(link, handle);
    return open(link, flags | O_CLOEXEC | O_NOCTTY);
}

bool file_handle_path(int handle, char path[PATH_MAX])
{
    char link[HANDLE_LINK_LEN];
    handle_link(link, handle);
    ssize_t len = readlink(link, path, PATH_MAX);
    if (len < 0) {
        return false;
    }
    if (len == PATH_MAX || path[0] != '/') { /* the latter: outside of this process's root */
        errno = len == PATH_MAX ? ENAMETOOLONG : ENOENT;
        return false;
    }
    path[len] = '\0';
    return true;
}

bool file_handle_is_kernels(int handle)
{
    static const unsigned long kinds[] = {
        PROC_SUPER_MAGIC,     SYSFS_MAGIC,          DEBUGFS_MAGIC,      TRACEFS_MAGIC,       CGROUP_SUPER_MAGIC,
        CGROUP2_SUPER_MAGIC,  SECURITYFS_MAGIC,     SELINUX_MAGIC,      SMACK_MAGIC,         BPF_FS_MAGIC,
        PSTOREFS_MAGIC,       EFIVARFS_MAGIC,       DEVPTS_SUPER_MAGIC, NSFS_MAGIC,          BINFMTFS_MAGIC,
        BINDERFS_SUPER_MAGIC, RDTGROUP_SUPER_MAGIC, SOCKFS_MAGIC,       ANON_INODE_FS_MAGIC, PIPEFS_MAGIC,
        CONFIGFS_MAGIC,       FUSE_CONTROL_MAGIC,   MQUEUE_MAGIC,
    };
    struct statfs status;
    if (fstatfs(handle, &status) != 0) {
        return true; /* who cannot be asked is not trusted */
    }
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if ((unsigned long)status.f_type == kinds[i]) {
            return true;
        }
    }
    return false;
}
