/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2 images. README.md says what is read and written, its limits, and which folder has what. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_QCOW2_H
#define INSTAR_GUEST_FORMATS_QCOW2_QCOW2_H

#include "guest/image/format.h"

extern const struct format qcow2_format;

#endif
