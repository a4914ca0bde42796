/* SPDX-License-Identifier: Apache-2.0 */
/* A VHD that is changed in place. */
#ifndef INSTAR_GUEST_FORMATS_VPC_VPC_MODIFY_H
#define INSTAR_GUEST_FORMATS_VPC_VPC_MODIFY_H

#include "guest/formats/vpc/vpc_image.h"
#include "guest/image/block_modify.h"

/* Of a dynamic disk, after block_modify_begin: the copy of the footer says this length, and at the end the footer does.
 */
MUST_CHECK bool vpc_modify_set_len(struct block_modify *blocks, uint64_t virtual_len, struct error *error);

#endif
