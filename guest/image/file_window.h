/* SPDX-License-Identifier: Apache-2.0 */
/* A part of a file, or of a disk, as QEMU's raw driver has it by "offset" and "size"; errors are in its words. */
#ifndef INSTAR_GUEST_IMAGE_FILE_WINDOW_H
#define INSTAR_GUEST_IMAGE_FILE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/file.h"

/* `len` bytes from `off`, or all that follow when it has no `len`. */
struct file_window {
    uint64_t off;
    bool has_len;
    uint64_t len;
};

/*
 * Whether it lies within `containing_len` bytes, which are rounded up to whole sectors. In *ret_len comes its length, a
 * multiple of 512. `place` is for errors.
 */
MUST_CHECK bool file_window_check(const struct file_window *window, uint64_t containing_len, const char *place,
                                  uint64_t *ret_len, struct error *error);

/* The file is a part of itself from now on. For files that are only read, and before anybody has read them. */
MUST_CHECK bool file_set_window(struct file *file, const struct file_window *window, struct error *error);

#endif
