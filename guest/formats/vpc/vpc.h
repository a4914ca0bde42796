/* SPDX-License-Identifier: Apache-2.0 */
/* VHD, the format of Virtual PC. */
#ifndef INSTAR_GUEST_FORMATS_VPC_VPC_H
#define INSTAR_GUEST_FORMATS_VPC_VPC_H

#include "guest/image/format.h"

extern const struct format vpc_format;

#endif
