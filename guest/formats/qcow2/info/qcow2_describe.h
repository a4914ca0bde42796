/* SPDX-License-Identifier: Apache-2.0 */
/* What qemu-img info says of qcow2 images only. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_INFO_QCOW2_DESCRIBE_H
#define INSTAR_GUEST_FORMATS_QCOW2_INFO_QCOW2_DESCRIBE_H

#include "guest/formats/qcow2/open/qcow2_image.h"

/* format.describe */
bool qcow2_describe(struct image *image, struct error *error);

#endif
