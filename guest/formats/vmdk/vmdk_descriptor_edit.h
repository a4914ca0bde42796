/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes in the text of a descriptor, of which all else stays. Pure: bytes in memory, which become others. What comes
 * of a change is read as any descriptor is before it is written anywhere.
 */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_DESCRIPTOR_EDIT_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_DESCRIPTOR_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/span.h"
#include "guest/formats/vmdk/vmdk_descriptor.h"

/* The content ID of an image that has no parent, as its parent's. */
#define VMDK_CID_NONE UINT32_MAX

struct vmdk_descriptor_edit {
    uint8_t *bytes; /* `room` of them; zeros behind the text, one at least */
    size_t len;     /* bytes of text */
    size_t room;
};

/* All of `room` bytes as they were read; what follows the text becomes zeros. False when no zero follows it. */
MUST_CHECK bool vmdk_descriptor_edit_begin(struct vmdk_descriptor_edit *edit, uint8_t *bytes, size_t room);

/*
 * Another content ID, of as many digits as the old one has: *ret_cid. It is at *ret_pos, *ret_len bytes. False when
 * there is none.
 */
MUST_CHECK bool vmdk_descriptor_edit_cid(struct vmdk_descriptor_edit *edit, uint32_t cid, uint32_t *ret_cid,
                                         size_t *ret_pos, size_t *ret_len);

/* Another parent; an empty name: none any more. False when there is no room, or the text is an odd one. */
MUST_CHECK bool vmdk_descriptor_edit_parent(struct vmdk_descriptor_edit *edit, uint32_t parent_cid, struct span name);

/* Extent `index` has so many sectors, and so the disk of disk_sectors. False likewise. */
MUST_CHECK bool vmdk_descriptor_edit_extent(struct vmdk_descriptor_edit *edit, uint32_t index, uint64_t sectors,
                                            uint64_t disk_sectors);

/* Behind the line of extent `index`, which is the last one, come `count` others: lines with their ends. False likewise.
 */
MUST_CHECK bool vmdk_descriptor_edit_add(struct vmdk_descriptor_edit *edit, uint32_t index, struct span lines,
                                         uint32_t count);

/* A disk of one extent has so many sectors. False likewise. */
MUST_CHECK bool vmdk_descriptor_edit_sectors(struct vmdk_descriptor_edit *edit, uint64_t sectors);

#endif
