/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images: the file is the disk. */
#ifndef INSTAR_GUEST_FORMATS_RAW_RAW_H
#define INSTAR_GUEST_FORMATS_RAW_RAW_H

#include "guest/image/format.h"

extern const struct format raw_format;

#endif
