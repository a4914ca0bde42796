/* SPDX-License-Identifier: Apache-2.0 */
/* Parallels, of expanding disks. */
#ifndef INSTAR_GUEST_FORMATS_PARALLELS_PARALLELS_H
#define INSTAR_GUEST_FORMATS_PARALLELS_PARALLELS_H

#include "guest/image/format.h"

extern const struct format parallels_format;

#endif
