/* SPDX-License-Identifier: Apache-2.0 */
/* What qemu-img info says of qcow2 images only. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_INFO_QCOW2_DESCRIBE_H
#define INSTAR_GUEST_FORMATS_QCOW2_INFO_QCOW2_DESCRIBE_H

#include "guest/crypto/luks_header.h"
#include "guest/formats/qcow2/open/qcow2_image.h"

/* format.describe */
bool qcow2_describe(struct image *image, struct error *error);

/* The LUKS header of an image that has one. */
MUST_CHECK bool qcow2_luks_read(struct image *image, struct luks_header *ret_luks, struct error *error);

#endif
