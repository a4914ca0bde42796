/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_LUKS_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_LUKS_H

#include "guest/crypto/luks_header.h"
#include "guest/formats/qcow2/open/qcow2_image.h"

/* The LUKS header of an image that has one. */
MUST_CHECK bool qcow2_luks_read(struct image *image, struct luks_header *ret_luks, struct error *error);

#endif
