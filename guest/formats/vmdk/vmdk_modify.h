/* SPDX-License-Identifier: Apache-2.0 */
/* Images that exist, and are changed in place. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_MODIFY_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_MODIFY_H

#include "guest/formats/vmdk/vmdk.h"
#include "guest/formats/vmdk/vmdk_descriptor_edit.h"
#include "guest/formats/vmdk/vmdk_layout.h"
#include "guest/image/write/block_modify.h"

/* Of one sparse extent. */
struct vmdk_modify {
    struct block_modify blocks; /* first */
    struct vmdk *vmdk;
    struct vmdk_extent *extent;
    struct vmdk_sparse_header header;
    uint64_t metadata_end; /* bytes: where grains may begin, if there are no others */
    bool is_part;          /* an extent in a file of its own: the descriptor is elsewhere */
    uint32_t parent_cid;   /* of vmdk_set_backing: the new one, since vmdk_can_set_backing */
};

static inline struct vmdk_modify *vmdk_modify_of(struct block_modify *blocks)
{
    return (struct vmdk_modify *)blocks;
}

/* Refuses all but a hosted sparse extent that is not compressed. */
MUST_CHECK bool vmdk_check_plain(const struct image *image, const struct vmdk_extent *extent, struct error *error);

/* Refuses all but images of one sparse extent in their own file that is not compressed: *ret_extent. */
MUST_CHECK bool vmdk_modify_check_kind(const struct image *image, struct vmdk_extent **ret_extent, struct error *error);

/* Begins to change an extent in the file of `image`, which `layout` tells of. In arena memory. */
MUST_CHECK bool vmdk_modify_make(struct image *image, struct vmdk_extent *extent, const struct vmdk_layout *layout,
                                 struct vmdk_modify **ret_modify, struct error *error);

/* A grain's entry, in both tables where there are two. */
MUST_CHECK bool vmdk_modify_set_entry(struct vmdk_modify *modify, uint64_t grain, uint64_t entry, struct error *error);

/* The table of the directory at `directory_off` that has the grain. */
MUST_CHECK bool vmdk_modify_find_table(struct vmdk_modify *modify, uint64_t directory_off, uint64_t grain,
                                       struct block_table *ret_table, struct error *error);

/*
 * The descriptor within the file, VMDK_DESCRIPTOR_LEN bytes, to be changed. Who does that in the bounce buffer behind
 * the header writes both by the next function.
 */
MUST_CHECK bool vmdk_modify_read_descriptor(struct vmdk_modify *modify, uint8_t *bytes,
                                            struct vmdk_descriptor_edit *ret_edit, struct error *error);

/*
 * Header and descriptor become what the bounce buffer begins with, by one write: after all that was written before is
 * on stable storage, and it is, too, afterwards.
 */
MUST_CHECK bool vmdk_modify_write_head(struct vmdk_modify *modify, struct error *error);

/* Nothing of the extent's part of the disk is the image's any more, and the file ends behind its metadata. */
MUST_CHECK bool vmdk_modify_make_empty(struct vmdk_modify *modify, struct error *error);

/* Begins to change an image whose extents are in files of their own. */
MUST_CHECK bool vmdk_parts_open_target(struct image *image, struct target **ret_target, struct error *error);

/* format.open_target */
bool vmdk_open_target(struct image *image, struct target **ret_target, struct error *error);

/* format.resize: images become longer, of several files the last one. */
bool vmdk_resize(struct image *image, const struct resize_plan *plan, struct error *error);

/* Refuses lengths and plans that no such image can have. */
MUST_CHECK bool vmdk_resize_check_plan(const struct image *image, const struct resize_plan *plan, struct error *error);
/* An extent becomes `len` bytes long, at last by one write of its header, and of the descriptor that it has. */
MUST_CHECK bool vmdk_resize_extent(struct vmdk_modify *modify, uint64_t len, struct error *error);

/* target_operations.set_backing and can_set_backing */
bool vmdk_set_backing(struct target *target, const struct file_name *name, const char *format, struct error *error);
bool vmdk_can_set_backing(struct target *target, const struct file_name *name, const char *format,
                          const struct image *backing, struct error *error);

/* format.repair */
bool vmdk_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                 struct error *error);

#endif
