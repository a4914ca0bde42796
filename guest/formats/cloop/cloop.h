/* SPDX-License-Identifier: Apache-2.0 */
/* cloop: a compressed loop device, as it was used for live CDs. */
#ifndef INSTAR_GUEST_FORMATS_CLOOP_CLOOP_H
#define INSTAR_GUEST_FORMATS_CLOOP_CLOOP_H

#include "guest/image/format.h"

extern const struct format cloop_format;

#endif
