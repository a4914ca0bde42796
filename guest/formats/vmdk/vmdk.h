/* SPDX-License-Identifier: Apache-2.0 */
/* VMDK, VMware's disk images. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_H

#include "guest/image/format.h"

extern const struct format vmdk_format;

#endif
