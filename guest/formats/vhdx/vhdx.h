/* SPDX-License-Identifier: Apache-2.0 */
/* VHDX, Hyper-V's second format. */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_H

#include "guest/image/format.h"

extern const struct format vhdx_format;

#endif
