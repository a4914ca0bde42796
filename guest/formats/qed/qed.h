/* SPDX-License-Identifier: Apache-2.0 */
/* QED, the QEMU enhanced disk. */
#ifndef INSTAR_GUEST_FORMATS_QED_QED_H
#define INSTAR_GUEST_FORMATS_QED_QED_H

#include "guest/image/format.h"

extern const struct format qed_format;

#endif
