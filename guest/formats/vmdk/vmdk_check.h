/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_CHECK_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_CHECK_H

#include "guest/formats/vmdk/vmdk.h"

/* format.check: as QEMU's, it ends with the first thing that is wrong. */
bool vmdk_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error);

#endif
