/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS, version 1: an encrypted disk behind a header that says how. */
#ifndef INSTAR_GUEST_FORMATS_LUKS_LUKS_H
#define INSTAR_GUEST_FORMATS_LUKS_LUKS_H

#include "guest/image/format.h"

extern const struct format luks_format;

#endif
