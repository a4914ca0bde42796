/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that exists and consists of several files, to be changed in place. One sparse extent is at work at a time,
 * in memory that all of them have one after the other: there may be two thousand.
 */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_PARTS_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_PARTS_H

#include "guest/formats/vmdk/vmdk_modify.h"

struct vmdk_parts {
    struct target target; /* first; its file is the descriptor's; requests of flat extents are its own */
    struct image *image;
    struct vmdk *vmdk;
    struct image part_image; /* the image, as a sparse extent at work sees it */
    struct image_environment environment;
    struct arena part_arena; /* as it is before an extent takes of it */
    struct arena arena;      /* of the extent at work */
    uint32_t current;        /* the sparse extent at work, VMDK_PART_NONE: none is */
    struct vmdk_modify *modify;
    bool *is_changed; /* of each extent: its file has something that may not be on stable storage */
    bool has_begun;
    uint8_t *descriptor; /* VMDK_DESCRIPTOR_LEN bytes, for the start of it */
    uint32_t parent_cid; /* of set_backing: the new one, since can_set_backing */
};

#define VMDK_PART_NONE UINT32_MAX

static inline struct vmdk_parts *vmdk_parts_of(struct target *target)
{
    return (struct vmdk_parts *)target;
}

/* Whether an image's extents are in files of their own. */
static inline bool vmdk_is_in_parts(const struct image *image)
{
    return vmdk_of(image)->extents[0].file != image->file;
}

/* In arena memory; no extent is looked at. */
MUST_CHECK bool vmdk_parts_make(struct image *image, struct vmdk_parts **ret_parts, struct error *error);

/* Refuses an image of which an extent cannot be changed; all of them are looked at. *ret_is_sparse: all are sparse. */
MUST_CHECK bool vmdk_parts_check(struct vmdk_parts *parts, bool *ret_is_sparse, struct error *error);

/* Refuses an extent whose file is not to be written. */
MUST_CHECK bool vmdk_parts_check_file(const struct vmdk_parts *parts, const struct vmdk_extent *extent,
                                      struct error *error);

/* The image as extent `index` sees it; memory of the extent before is used anew, and none is at work. */
struct image *vmdk_parts_image(struct vmdk_parts *parts, uint32_t index);

/* Looks at a sparse extent, and makes it the one at work: parts->modify. */
MUST_CHECK bool vmdk_parts_select(struct vmdk_parts *parts, uint32_t index, struct error *error);

/* Nothing of the extent at work is left in memory, and none is at work. */
MUST_CHECK bool vmdk_parts_settle(struct vmdk_parts *parts, struct error *error);

/* Another content ID, before the first change. */
MUST_CHECK bool vmdk_parts_begin(struct vmdk_parts *parts, struct error *error);

/* The whole descriptor in arena memory, with room for room_len bytes more and some, to be changed. */
MUST_CHECK bool vmdk_parts_read_descriptor(struct vmdk_parts *parts, uint64_t room_len,
                                           struct vmdk_descriptor_edit *ret_edit, struct error *error);
/* The descriptor's file becomes that, by one write: stable storage before and afterwards. */
MUST_CHECK bool vmdk_parts_write_descriptor(struct vmdk_parts *parts, const struct vmdk_descriptor_edit *edit,
                                            struct error *error);

/* vmdk_parts_backing.c: target_operations.set_backing and can_set_backing */
bool vmdk_parts_set_backing(struct target *target, const struct file_name *name, const char *format,
                            struct error *error);
bool vmdk_parts_can_set_backing(struct target *target, const struct file_name *name, const char *format,
                                const struct image *backing, struct error *error);

/* vmdk_parts_resize.c: the last extent becomes longer, and others come behind it. */
MUST_CHECK bool vmdk_parts_resize(struct image *image, const struct resize_plan *plan, struct error *error);

#endif
