/* SPDX-License-Identifier: Apache-2.0 */
/* UDIF, Apple's disk images. */
#ifndef INSTAR_GUEST_FORMATS_DMG_DMG_H
#define INSTAR_GUEST_FORMATS_DMG_DMG_H

#include "guest/image/format.h"

extern const struct format dmg_format;

#endif
