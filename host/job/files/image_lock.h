/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks on images, as QEMU's file driver takes and respects them: byte ranges of the file itself, held by the open
 * file description, so a child that has the descriptor holds them, too. For each thing that somebody may do with an
 * image (its permissions) there are two bytes:
 *   100 + n  read-locked by everybody who does it
 *   200 + n  read-locked by everybody who wants that nobody else does
 * Whoever comes takes his locks, and then looks whether one that conflicts with them is held by anybody else.
 *
 * File systems without such locks are refused as in QEMU: by the error of the first lock.
 */
#ifndef INSTAR_HOST_JOB_FILES_IMAGE_LOCK_H
#define INSTAR_HOST_JOB_FILES_IMAGE_LOCK_H

#include <stdbool.h>

#include "base/attributes.h"
#include "base/error.h"

/* Permissions; bit n is for the bytes 100 + n and 200 + n. */
enum image_permission {
    IMAGE_READ = 1u << 0, /* and get what was written last */
    IMAGE_WRITE = 1u << 1,
    IMAGE_WRITE_UNCHANGED = 1u << 2, /* what is there already */
    IMAGE_RESIZE = 1u << 3,
};

/*
 * Takes the locks of one who does `permissions` and wants others not to do `unshared`, both sets of enum
 * image_permission, in addition to those that `fd`, open for reading, has. On failure *error is of kind ERROR_IN_USE
 * when a conflict is the reason, and locks may be left: close the file. `path` is for messages.
 */
MUST_CHECK bool image_lock_take(int fd, unsigned int permissions, unsigned int unshared, const char *path,
                                struct error *error);

/* Whether image_lock_take would find a conflict now. Takes nothing; `fd` may be open for anything. */
MUST_CHECK bool image_lock_test(int fd, unsigned int permissions, unsigned int unshared, const char *path,
                                struct error *error);

#endif
