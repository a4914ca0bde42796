/* SPDX-License-Identifier: Apache-2.0 */
/* Bochs' growing disks (redologs): README.md. */
#ifndef INSTAR_GUEST_FORMATS_BOCHS_BOCHS_H
#define INSTAR_GUEST_FORMATS_BOCHS_BOCHS_H

#include "guest/image/format.h"

extern const struct format bochs_format;

#endif
