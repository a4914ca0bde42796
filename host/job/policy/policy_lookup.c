/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/policy/policy_lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/job/files/file_handle.h"

/* A path with ".." is tried again when something was renamed anywhere meanwhile; not for as long as others like. */
#define LOOK_UP_ATTEMPTS 100

static int look_up(int directory_fd, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | flags, .resolve = RESOLVE_NO_MAGICLINKS | resolve};
    int fd = -1;
    for (unsigned int attempt = 0; attempt < LOOK_UP_ATTEMPTS; attempt++) {
        fd = (int)syscall(SYS_openat2, directory_fd, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN) {
            break;
        }
    }
    return fd;
}

int policy_lookup(const struct policy_target *target, uint64_t flags)
{
    /* The root holds everything: no link leads out of it, and those that start with a slash start there. */
    bool is_root = strcmp(target->directory->path, "/") == 0;
    uint64_t resolve = RESOLVE_NO_XDEV | (is_root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH);
    return look_up(target->directory->fd, target->beneath, flags, resolve);
}

int policy_lookup_anywhere(const struct policy_target *target, uint64_t flags)
{
    return look_up(target->directory->fd, target->beneath, flags, 0);
}

bool policy_path_is_hidden(const char *path)
{
    while (*path != '\0') { /* ends: every round passes some of `path` */
        path += strspn(path, "/");
        size_t len = strcspn(path, "/");
        bool is_dots = len == 1 || (len == 2 && path[1] == '.');
        if (path[0] == '.' && !is_dots) {
            return true;
        }
        path += len;
    }
    return false;
}

bool policy_directory_take(int fd, struct policy_directory *ret_directory)
{
    if (fd < 0) {
        return false;
    }
    char path[PATH_MAX];
    char *copy = file_handle_path(fd, path) ? strdup(path) : NULL;
    if (copy == NULL) {
        int saved_errno = errno;
        close(fd);
        errno = saved_errno;
        return false;
    }
    *ret_directory = (struct policy_directory){.fd = fd, .path = copy};
    return true;
}
