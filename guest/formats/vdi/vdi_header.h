/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a VDI image, version 1.1. There is no specification but VirtualBox's source (VDICore.h). */
#ifndef INSTAR_GUEST_FORMATS_VDI_VDI_HEADER_H
#define INSTAR_GUEST_FORMATS_VDI_VDI_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/image/uuid.h"

#define VDI_HEADER_LEN 512u
#define VDI_SECTOR_LEN 512u
/* The only length of blocks that QEMU reads; VirtualBox makes no other ones either. */
#define VDI_BLOCK_LEN (1u << 20)
/* As in QEMU, whose table of blocks fits an int, in whole sectors. */
#define VDI_BLOCK_COUNT_MAX ((INT32_MAX + 1u - VDI_SECTOR_LEN) / 4u)
#define VDI_DISK_LEN_MAX ((uint64_t)VDI_BLOCK_COUNT_MAX * VDI_BLOCK_LEN)

/* Entries of the block map from here on are no block: discarded, or never allocated. */
#define VDI_ENTRY_NONE_MIN 0xfffffffeu
#define VDI_ENTRY_NONE 0xffffffffu /* never allocated */

#define VDI_TYPE_DYNAMIC 1u
#define VDI_TYPE_STATIC 2u

struct vdi_header {
    uint32_t type;
    uint32_t map_off;     /* bytes, a multiple of 512 */
    uint32_t data_off;    /* bytes, a multiple of 512 */
    uint32_t block_count; /* of the disk, and entries of the map */
    uint32_t allocated_count;
    uint64_t disk_len; /* bytes, whole sectors; no more than the blocks have */
};

/*
 * The header of a new image: what it says of itself, and a UUID of the image and one of its last snapshot, from 32
 * random bytes. `ret_head` has VDI_HEADER_LEN bytes.
 */
void vdi_header_emit(const struct vdi_header *header, const uint8_t random[2 * UUID_LEN], uint8_t *ret_head);

/* Sets the number of blocks that are allocated, in a header's VDI_HEADER_LEN bytes. */
void vdi_header_set_allocated(uint8_t *head, uint32_t count);

/* Whether a disk may have this length. */
MUST_CHECK bool vdi_check_len(uint64_t disk_len, struct error *error);

/* `head` has VDI_HEADER_LEN bytes. Checks in QEMU's order, in its words. */
MUST_CHECK bool vdi_header_parse(struct span head, struct vdi_header *ret_header, struct error *error);

#endif
