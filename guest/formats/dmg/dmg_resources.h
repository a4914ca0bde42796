/* SPDX-License-Identifier: Apache-2.0 */
/* The resource fork of older images ("Inside Macintosh: More Macintosh Toolbox", 1-121): tables are its resources. */
#ifndef INSTAR_GUEST_FORMATS_DMG_DMG_RESOURCES_H
#define INSTAR_GUEST_FORMATS_DMG_DMG_RESOURCES_H

#include "guest/formats/dmg/dmg_chunks.h"
#include "guest/image/image.h"

/* Feeds all resources of the fork of `len` bytes at `off`, DMG_TABLES_LEN_MAX at most. */
MUST_CHECK bool dmg_resources_read(struct image *image, uint64_t off, uint64_t len, struct dmg_chunks *chunks,
                                   struct error *error);

#endif
