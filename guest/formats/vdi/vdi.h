/* SPDX-License-Identifier: Apache-2.0 */
/* VirtualBox's disk images. */
#ifndef INSTAR_GUEST_FORMATS_VDI_VDI_H
#define INSTAR_GUEST_FORMATS_VDI_VDI_H

#include "guest/image/format.h"

extern const struct format vdi_format;

#endif
