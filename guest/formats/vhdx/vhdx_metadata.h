/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata region (2.6): a table of items, and the items that say what disk it is. */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_METADATA_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_METADATA_H

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/vhdx/vhdx_region.h"
#include "guest/image/image.h"

struct vhdx_metadata {
    uint64_t virtual_len; /* bytes; a multiple of sector_len, VHDX_DISK_LEN_MAX at most */
    uint32_t block_len;   /* bytes; a power of two from 1 MiB to 256 MiB */
    uint32_t sector_len;  /* bytes; 512 or 4096 */
    bool has_parent;
    struct vhdx_region locator; /* bytes of the file; of length 0: none */
};

/* Reads table and items of `region`, through the cache. */
MUST_CHECK bool vhdx_metadata_read(struct image *image, struct vhdx_region region, struct vhdx_metadata *ret_metadata,
                                   struct error *error);

#endif
