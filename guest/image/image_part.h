/* SPDX-License-Identifier: Apache-2.0 */
/* An image's disk, or a part of it, as a raw image: QEMU's raw driver over one of another format. */
#ifndef INSTAR_GUEST_IMAGE_IMAGE_PART_H
#define INSTAR_GUEST_IMAGE_IMAGE_PART_H

#include "guest/image/file_window.h"
#include "guest/image/image.h"

/*
 * `within` is open to be read or described, with what is behind it if it is to be read. The part's image->backing is
 * `within`, which nobody reads by itself any more: its extents, and those behind it, have the part's offsets.
 */
MUST_CHECK bool image_open_part(struct image *within, const struct file_window *window, struct image **ret_part,
                                struct error *error);

#endif
