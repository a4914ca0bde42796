/* SPDX-License-Identifier: Apache-2.0 */
/* What every format's open begins with. Errors have no place: image_open adds the file. */
#ifndef INSTAR_GUEST_IMAGE_FORMAT_OPEN_H
#define INSTAR_GUEST_IMAGE_FORMAT_OPEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/image.h"

/* Sets image->state to `len` bytes of zeros from the arena, which *ret_state is, too. */
MUST_CHECK bool format_open_state(struct image *image, size_t len, void **ret_state, struct error *error);

/* QEMU reads nothing behind this offset of a file: whole GiB below 2^63. */
#define FORMAT_OPEN_OFF_MAX 0x7fffffffc0000000ull

/* Copies `len` bytes at `off` of the image's file, through the cache; zeros where the file is shorter. */
MUST_CHECK bool format_open_read(struct image *image, uint64_t off, void *target, size_t len, struct error *error);

/* Sets image->virtual_len. False, in our words, when that is more than QEMU's sizes hold (INT64_MAX). */
MUST_CHECK bool format_open_set_len(struct image *image, uint64_t virtual_len, struct error *error);

/* Sets image->backing_name to the `len` bytes at `off` of the file; false when there are more than a name may have. */
MUST_CHECK bool format_open_backing_name(struct image *image, uint64_t off, uint64_t len, struct error *error);

#endif
