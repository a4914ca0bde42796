/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/files/named_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "host/job/files/file_handle.h"
#include "host/job/files/file_place.h"
#include "host/job/files/files.h"

/* Somebody may make the file, or remove it, just when we look: then we look once more, so often at most. */
#define LOOKS_MAX 8u

int named_file_open(const char *path, bool may_wait, int *ret_fd)
{
    struct file_place place;
    int result = file_place_look(&place, path);
    if (result != 0) {
        return result;
    }
    bool waits = may_wait && S_ISFIFO(place.status.st_mode);
    errno = ENOENT;
    int fd = place.handle < 0 ? -1
             : waits          ? file_handle_open_waiting(place.handle, O_RDONLY)
                              : file_place_open(&place, O_RDONLY);
    result = fd >= 0 ? 0 : errno;
    file_place_release(&place);
    if (result == 0) {
        *ret_fd = fd;
    }
    return result;
}

/* Whether what stands there may be added to. */
static bool place_check(const struct file_place *place, const char *path, struct error *error)
{
    if (file_place_is_trap(place) || file_place_name_is_trap(place)) {
        return error_set(error, ERROR_IO, path, "refused to write to it: %s",
                         file_place_is_trap(place) ? FILE_PLACE_TRAP : FILE_PLACE_NAME_TRAP);
    }
    /* By a descriptor somebody gave it to us; /dev/null is a device. */
    return file_place_is_descriptor(place) || S_ISCHR(place->status.st_mode) ||
           file_type_check(&place->status, path, error);
}

bool named_file_append(const char *path, int *ret_fd, struct error *error)
{
    int fd = -1;
    int error_number = EEXIST;
    for (unsigned int look = 0; look < LOOKS_MAX && fd < 0 && error_number == EEXIST; look++) {
        struct file_place place;
        RETURN_IF_FAILED(file_place_find(&place, path, ERROR_REASON_OPEN, error));
        if (place.handle >= 0 && !place_check(&place, path, error)) {
            file_place_release(&place);
            return false;
        }
        fd = place.handle >= 0 ? file_place_open(&place, O_RDWR | O_APPEND)
                               : openat(place.directory_fd, place.name,
                                        O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        error_number = errno;
        file_place_release(&place);
    }
    if (fd < 0) {
        return error_set_cause(error, ERROR_REASON_OPEN, ERROR_IO, path, file_place_problem(error_number));
    }
    *ret_fd = fd;
    return true;
}
