/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a VDI image, version 1.1. There is no specification but VirtualBox's source (VDICore.h). */
#ifndef INSTAR_GUEST_FORMATS_VDI_VDI_HEADER_H
#define INSTAR_GUEST_FORMATS_VDI_VDI_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

#define VDI_HEADER_LEN 512u
#define VDI_SECTOR_LEN 512u
/* The only length of blocks that QEMU reads; VirtualBox makes no other ones either. */
#define VDI_BLOCK_LEN (1u << 20)
/* As in QEMU, whose table of blocks fits an int. */
#define VDI_BLOCK_COUNT_MAX (INT32_MAX / 4u)

/* Entries of the block map from here on are no block: discarded, or never allocated. */
#define VDI_ENTRY_NONE_MIN 0xfffffffeu

#define VDI_TYPE_STATIC 2u

struct vdi_header {
    uint32_t type;
    uint32_t map_off;     /* bytes, a multiple of 512 */
    uint32_t data_off;    /* bytes, a multiple of 512 */
    uint32_t block_count; /* of the disk, and entries of the map */
    uint32_t allocated_count;
    uint64_t disk_len; /* bytes, whole sectors; no more than the blocks have */
};

/* `head` has VDI_HEADER_LEN bytes. Checks in QEMU's order, in its words. */
MUST_CHECK bool vdi_header_parse(struct span head, struct vdi_header *ret_header, struct error *error);

#endif
