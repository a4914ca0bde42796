/* SPDX-License-Identifier: Apache-2.0 */

#include "host/job/files/image_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define PERMISSION_COUNT 4u
/* Where the two bytes of permission 0 are. */
#define HELD_OFF 100
#define UNSHARED_OFF 200

/* As QEMU's messages call them. */
static const char *const permission_names[PERMISSION_COUNT] = {"consistent read", "write", "write unchanged", "resize"};

static bool bytes_lock(int fd, unsigned int set, off_t start, const char *path, struct error *error)
{
    for (unsigned int i = 0; i < PERMISSION_COUNT; i++) {
        struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = start + i, .l_len = 1};
        if ((set & 1u << i) != 0 && fcntl(fd, F_OFD_SETLK, &lock) != 0) {
            return error_set(error, errno == EAGAIN || errno == EACCES ? ERROR_IN_USE : ERROR_IO, path,
                             "Failed to lock byte %jd: %s", (intmax_t)(start + i), strerror(errno));
        }
    }
    return true;
}

/* Whether nobody else holds one of the bytes of `set`; `kind` is for the message. */
static bool bytes_test(int fd, unsigned int set, off_t start, const char *kind, const char *path, struct error *error)
{
    for (unsigned int i = 0; i < PERMISSION_COUNT; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start + i, .l_len = 1};
        if ((set & 1u << i) == 0) {
            continue;
        }
        if (fcntl(fd, F_OFD_GETLK, &lock) != 0) {
            return error_set(error, ERROR_IO, path, "Failed to look at the lock of byte %jd: %s", (intmax_t)(start + i),
                             strerror(errno));
        }
        if (lock.l_type != F_UNLCK) {
            return error_set(error, ERROR_IN_USE, path, "Failed to get %s\"%s\" lock", kind, permission_names[i]);
        }
    }
    return true;
}

bool image_lock_test(int fd, unsigned int permissions, unsigned int unshared, const char *path, struct error *error)
{
    return bytes_test(fd, permissions, UNSHARED_OFF, "", path, error) &&
           bytes_test(fd, unshared, HELD_OFF, "shared ", path, error);
}

bool image_lock_take(int fd, unsigned int permissions, unsigned int unshared, const char *path, struct error *error)
{
    return bytes_lock(fd, permissions, HELD_OFF, path, error) && bytes_lock(fd, unshared, UNSHARED_OFF, path, error) &&
           image_lock_test(fd, permissions, unshared, path, error);
}
