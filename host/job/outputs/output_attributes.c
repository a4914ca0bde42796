/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/outputs/output_attributes.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/attributes.h"

#define ACL_NAME "system.posix_acl_access"

/* Some file systems have none. */
static bool is_missing(int errno_value)
{
    return errno_value == EOPNOTSUPP || errno_value == ENODATA;
}

/* What writing to a file takes away, or makes wrong. */
static bool is_lost(const char *name)
{
    static const char *const names[] = {"security.capability", "security.ima", "security.evm"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int attribute_copy(int old_fd, int new_fd, const char *name)
{
    static char value[XATTR_SIZE_MAX];
    static char there[XATTR_SIZE_MAX];
    ssize_t len = fgetxattr(old_fd, name, value, sizeof(value));
    if (len < 0) {
        return is_missing(errno) ? 0 : errno;
    }
    /* A label that it has already need not be set, which not everybody may. */
    if (fgetxattr(new_fd, name, there, sizeof(there)) == len && memcmp(value, there, (size_t)len) == 0) {
        return 0;
    }
    return fsetxattr(new_fd, name, value, (size_t)len, 0) == 0 ? 0 : errno;
}

static int attributes_copy(int old_fd, int new_fd)
{
    static char names[XATTR_LIST_MAX];
    bool has_acl = false;
    ssize_t len = flistxattr(old_fd, names, sizeof(names));
    if (len < 0) {
        return is_missing(errno) ? 0 : errno;
    }
    for (const char *name = names; name < names + len; name += strlen(name) + 1) {
        int result = is_lost(name) ? 0 : attribute_copy(old_fd, new_fd, name);
        if (result != 0) {
            return result;
        }
        has_acl = has_acl || strcmp(name, ACL_NAME) == 0;
    }
    if (!has_acl && fremovexattr(new_fd, ACL_NAME) != 0 && !is_missing(errno)) {
        return errno;
    }
    return 0;
}

int output_attributes_copy(int old_fd, const struct stat *status, int new_fd)
{
    struct stat made;
    if (fstat(new_fd, &made) != 0) {
        return errno;
    }
    bool is_others = made.st_uid != status->st_uid || made.st_gid != status->st_gid;
    if (is_others && fchown(new_fd, status->st_uid, status->st_gid) != 0) {
        return errno;
    }
    int result = attributes_copy(old_fd, new_fd);
    if (result != 0) {
        return result;
    }
    return fchmod(new_fd, status->st_mode & 0777) == 0 ? 0 : errno;
}
