/* SPDX-License-Identifier: Apache-2.0 */
/* A VDI image that is changed in place. */
#ifndef INSTAR_GUEST_FORMATS_VDI_VDI_MODIFY_H
#define INSTAR_GUEST_FORMATS_VDI_VDI_MODIFY_H

#include "guest/formats/vdi/vdi.h"
#include "guest/image/bit_set.h"
#include "guest/image/write/block_modify.h"

struct vdi_modify {
    struct block_modify blocks; /* first */
    const struct vdi *vdi;
    struct bit_set used;      /* numbers of the file's blocks */
    uint32_t next;            /* none below it is free */
    uint32_t allocated_count; /* what the header is to say, */
    uint32_t written_count;   /* and what it says */
};

/* Nothing of the map has been looked at: nothing is used. Refuses images whose header leaves no room for the map. */
MUST_CHECK bool vdi_modify_make(struct image *image, struct vdi_modify **ret_modify, struct error *error);

/* Whether the file has a number for another block. */
bool vdi_modify_has_free(struct vdi_modify *modify);

/* The next number that nobody has is this block's; *ret_off is the place. vdi_modify_has_free. */
MUST_CHECK bool vdi_modify_take(struct vdi_modify *modify, uint64_t block, uint64_t *ret_off, struct error *error);

/* The header has the count; on stable storage afterwards. */
MUST_CHECK bool vdi_modify_write_count(struct vdi_modify *modify, struct error *error);

#endif
