/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the extents of an image, each in its file. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_EXTENTS_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_EXTENTS_H

#include "guest/formats/vmdk/vmdk.h"

/* All extents of the image, and what a descriptor says of them; virtual_len, cluster_len. */
MUST_CHECK bool vmdk_extents_open(struct image *image, struct error *error);

/* The start of the image's descriptor, where QEMU looks for it: bytes of the arena. */
MUST_CHECK bool vmdk_read_descriptor_head(struct image *image, struct span *ret_text, struct error *error);

#endif
