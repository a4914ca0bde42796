/* SPDX-License-Identifier: Apache-2.0 */
/* An open VHD. */
#ifndef INSTAR_GUEST_FORMATS_VPC_VPC_IMAGE_H
#define INSTAR_GUEST_FORMATS_VPC_VPC_IMAGE_H

#include "guest/formats/vpc/vpc_footer.h"
#include "guest/formats/vpc/vpc_header.h"
#include "guest/image/image.h"
#include "guest/image/tables/block_table.h"

/* An entry of a block that has no place in the file. */
#define VPC_BLOCK_UNUSED 0xffffffffu

struct vpc {
    struct vpc_footer footer;
    bool is_fixed;            /* the file is the disk, and a footer */
    bool has_parent;          /* a differencing disk */
    struct vpc_header header; /* of all that are not fixed */
    struct block_table table; /* sector numbers: a bitmap, and then the block */
    bool is_copy_damaged;     /* opened by the footer at the end, to be checked: what the file begins with is none */
    uint32_t *slots;          /* vpc_blocks.c's memory; NULL: not yet */
};

static inline struct vpc *vpc_of(const struct image *image)
{
    return image->state;
}

/* The parent's name into image->backing_name, as far as the image has one that can be followed. */
MUST_CHECK bool vpc_parent_name_read(struct image *image, struct error *error);

/* format.map */
MUST_CHECK bool vpc_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent,
                        struct error *error);

/* format.check */
MUST_CHECK bool vpc_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result,
                          struct error *error);

/* vpc_repair.c: format.repair */
bool vpc_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                struct error *error);

/* format.open_target */
bool vpc_open_target(struct image *image, struct target **ret_target, struct error *error);

/* vpc_resize.c: format.resize */
bool vpc_resize(struct image *image, const struct resize_plan *plan, struct error *error);

/* format.create */
bool vpc_create(const struct target_setup *setup, struct target **ret_target, struct error *error);

#endif
