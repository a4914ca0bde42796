/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS, version 2 (LUKS2 On-Disk Format Specification 1.1.1): read, and told of. */
#ifndef INSTAR_GUEST_FORMATS_LUKS_LUKS2_H
#define INSTAR_GUEST_FORMATS_LUKS_LUKS2_H

#include "guest/image/format.h"

struct luks2;

/* Whether the image's file has a header of this version: its first copy, or, without any header, the second one. */
MUST_CHECK bool luks2_find(struct image *image, bool *ret_is_there, struct error *error);

/* Reads the header and, to read the disk, finds its keys; fills in what an image has, but for its state. */
MUST_CHECK bool luks2_open(struct image *image, struct luks2 **ret_luks2, struct error *error);

/* As in struct format. */
void luks2_map(const struct luks2 *luks2, uint64_t voff, uint64_t len, struct extent *ret_extent);
void luks2_describe(const struct luks2 *luks2);

#endif
