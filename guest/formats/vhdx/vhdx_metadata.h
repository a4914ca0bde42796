/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata region (2.6): a table of items, and the items that say what disk it is. */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_METADATA_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_METADATA_H

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/vhdx/vhdx_region.h"
#include "guest/image/image.h"

/* Of the region, where its table ends and items begin. */
#define VHDX_METADATA_TABLE_LEN (64u << 10)
#define VHDX_BLOCK_LEN_MIN (1u << 20)
#define VHDX_BLOCK_LEN_MAX (256u << 20)

struct vhdx_metadata {
    uint64_t virtual_len; /* bytes; a multiple of sector_len, VHDX_DISK_LEN_MAX at most */
    uint32_t block_len;   /* bytes; a power of two from 1 MiB to 256 MiB */
    uint32_t sector_len;  /* bytes; 512 or 4096 */
    bool has_parent;
    uint64_t virtual_len_off;   /* bytes of the file: where virtual_len stands; of a file that is read */
    struct vhdx_region locator; /* bytes of the file; of length 0: none */
};

/* Reads table and items of `region`, through the cache. */
MUST_CHECK bool vhdx_metadata_read(struct image *image, struct vhdx_region region, struct vhdx_metadata *ret_metadata,
                                   struct error *error);

/* Of a new file: items, but for a locator, and the table that tells of them. */
struct vhdx_new_metadata {
    struct vhdx_metadata metadata; /* of `locator` only len counts: it stands behind the other items */
    bool is_fixed;                 /* every block has its place */
    struct vhdx_guid disk_id;
};

/* What both take is VHDX_METADATA_HEAD_LEN zeros each: the start of the table, and of the items. */
#define VHDX_METADATA_HEAD_LEN 512u
/* Where the locator's bytes are among the items. */
#define VHDX_LOCATOR_OFF 40u
void vhdx_metadata_emit(const struct vhdx_new_metadata *new, uint8_t *ret_table, uint8_t *ret_items);

#endif
