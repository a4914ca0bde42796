/* SPDX-License-Identifier: Apache-2.0 */
/* A VHD that is changed in place. */
#ifndef INSTAR_GUEST_FORMATS_VPC_VPC_MODIFY_H
#define INSTAR_GUEST_FORMATS_VPC_VPC_MODIFY_H

#include "guest/formats/vpc/vpc_blocks.h"
#include "guest/formats/vpc/vpc_image.h"
#include "guest/image/write/block_modify.h"

/* Of a dynamic disk, after block_modify_begin: the copy of the footer says this length, and at the end the footer does.
 */
MUST_CHECK bool vpc_modify_set_len(struct block_modify *blocks, uint64_t virtual_len, struct error *error);

/* A dynamic disk all of whose blocks have been looked at; what was found then does not count. */
MUST_CHECK bool vpc_modify_make(const struct vpc_blocks *look, struct block_modify **ret_blocks, struct error *error);

/* Storage for a block, behind all others: its bitmap, which is the caller's to write, begins at *ret_off. */
MUST_CHECK bool vpc_modify_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error);

/* The footer stands right behind everything, and block_modify_finish makes the file end there. */
MUST_CHECK bool vpc_modify_cut(struct block_modify *blocks, struct error *error);

#endif
